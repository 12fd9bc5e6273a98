//! The one gate before any handler, in the order of Redis: arity, authentication, the user's rules, state of the disk, number of good
//! replicas, role, subscription mode, stale link, loading. A handler may rely on all of it.

use super::args::Args;
use super::client::Kind;
use super::spec::{ALLOW_BUSY, BLOCKING, LOADING, MAY_REPLICATE, NO_AUTH, NO_MULTI, READONLY, STALE, Spec, WRITE};
use super::{Context, Cx, Loading, Refusal, eviction};
use crate::resp::Proto;

/// Refuses what may not run now.
pub fn check(cx: &mut Cx<'_>, spec: &'static Spec, args: &Args<'_>) -> Result<(), Refusal> {
    if !spec.fits(args.len()) {
        return Err(Refusal::Arity(spec.full_name()));
    }
    let server = &*cx.server;
    let client = &server.clients[cx.slot];
    let flags = spec.flags;
    if !client.authenticated && !flags.has(NO_AUTH) && server.needs_password() {
        return Err(Refusal::NoAuth);
    }
    if client.multi.is_some() && flags.has(NO_MULTI) {
        return Err(Refusal::err("Command not allowed inside a transaction"));
    }
    if !client.may_all {
        let context = if client.multi.is_some() { Context::Multi } else { Context::Toplevel };
        let permitted = cx.server.permit(cx.slot, spec, args, context);
        permitted.map_err(|denied| cx.server.refusal(cx.slot, spec, denied))?;
    }
    if cx.server.config.settings.maxmemory != 0 {
        eviction::admit(cx, spec)?;
    }
    let server = &*cx.server;
    let client = &server.clients[cx.slot];
    let writes = flags.has(WRITE) || (spec.name == "exec" && queued(cx, |spec| spec.flags.has(WRITE)));
    let is_replica = server.is_replica();
    if (writes || spec.name == "ping")
        && let Some(fault) = &server.fault
    {
        return Err(Refusal::Text(fault.clone().into()));
    }
    if (writes || spec.name == "ping") && !is_replica && server.save_failed() {
        return Err(Refusal::SaveFailed);
    }
    if writes && !is_replica && !server.enough_good_replicas() {
        return Err(Refusal::NoReplicas);
    }
    if writes && is_replica && server.config.settings.replica_read_only {
        return Err(Refusal::ReadOnly);
    }
    if client.proto == Proto::Resp2
        && client.listens()
        && client.kind == Kind::Normal
        && !allowed_while_subscribed(spec)
    {
        let text = format!(
            "Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context",
            spec.full_name()
        );
        return Err(Refusal::err(text));
    }
    if server.is_monitor(cx.slot) && (flags.has(WRITE) || flags.has(READONLY) || flags.has(MAY_REPLICATE)) {
        return Err(Refusal::err("Replica can't interact with the keyspace"));
    }
    if is_replica && !server.link_up() && !server.config.settings.replica_serve_stale_data && !flags.has(STALE) {
        return Err(Refusal::MasterDown);
    }
    // A master that asks its replicas for a lost tail is told whom to follow at any time.
    let heeds = |loading: &Loading| !loading.from_master && matches!(spec.name, "replicaof" | "slaveof");
    if server.loading.as_ref().is_some_and(|loading| !heeds(loading)) && !flags.has(LOADING) {
        return Err(Refusal::Loading);
    }
    if client.kind == Kind::Replica && (writes || flags.has(READONLY) || flags.has(MAY_REPLICATE)) {
        return Err(Refusal::err("Replica can't interact with the keyspace"));
    }
    let _ = (ALLOW_BUSY, BLOCKING);
    Ok(())
}

/// Inside MULTI everything waits for EXEC but what ends or watches the transaction.
pub fn queues(cx: &mut Cx<'_>, spec: &'static Spec) -> bool {
    cx.client().multi.is_some() && !matches!(spec.name, "exec" | "discard" | "multi" | "watch" | "quit" | "reset")
}

/// CLIENT PAUSE holds the request back.
pub fn pauses(cx: &mut Cx<'_>, spec: &'static Spec) -> bool {
    cx.server.pause.is_some() && holds_back(cx, spec)
}

/// A replica is never held back: it may touch no key.
#[cold]
fn holds_back(cx: &mut Cx<'_>, spec: &'static Spec) -> bool {
    if cx.server.pause.is_some_and(|pause| cx.server.mono >= pause.until) {
        cx.server.settle_pause();
    }
    let Some(pause) = cx.server.pause else { return false };
    let may_write = |spec: &Spec| spec.flags.has(WRITE) || spec.flags.has(MAY_REPLICATE);
    cx.client().kind == Kind::Normal && (pause.all || may_write(spec) || (spec.name == "exec" && queued(cx, may_write)))
}

/// Whether a command of the transaction is such a one.
fn queued(cx: &Cx<'_>, such: impl Fn(&Spec) -> bool) -> bool {
    let multi = cx.server.clients[cx.slot].multi.as_ref();
    multi.is_some_and(|multi| multi.queue.iter().any(|(spec, _)| such(spec)))
}

fn allowed_while_subscribed(spec: &Spec) -> bool {
    matches!(
        spec.name,
        "ping"
            | "subscribe"
            | "ssubscribe"
            | "unsubscribe"
            | "sunsubscribe"
            | "psubscribe"
            | "punsubscribe"
            | "quit"
            | "reset"
    )
}
