//! The one gate before any handler, in the order of Redis: arity, authentication, the user's rules, state of the disk, number of good
//! replicas, role, subscription mode, stale link, loading. A handler may rely on all of it.

use super::args::Args;
use super::client::{Client, Kind};
use super::spec::{
    ALLOW_BUSY, BLOCKING, DENYOOM, Flags, Group, LOADING, MAY_REPLICATE, NO_AUTH, NO_MULTI, NONE, NOSCRIPT, READONLY,
    STALE, Spec, WRITE,
};
use super::{Context, Cx, Loading, LoadingFrom, Refusal, Server, eviction};
use crate::resp::Proto;
use crate::script;

/// Refuses what may not run now.
pub fn check(cx: &mut Cx<'_>, spec: &'static Spec, args: &Args<'_>) -> Result<(), Refusal> {
    if !spec.fits(args.len()) {
        return Err(Refusal::Arity(spec.full_name()));
    }
    let server = &*cx.server;
    let client = &server.clients[cx.slot];
    let Asked { flags, all, lacking } = asked(server, client, spec, args);
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
        eviction::admit(cx, spec, all.has(DENYOOM))?;
    }
    let server = &*cx.server;
    let client = &server.clients[cx.slot];
    let writes = all.has(WRITE);
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
    let sees_keys = writes || all.has(READONLY) || all.has(MAY_REPLICATE);
    if sees_keys && server.is_monitor(cx.slot) {
        return Err(Refusal::err("Replica can't interact with the keyspace"));
    }
    let stands_stale = flags.has(STALE) && !lacking.has(STALE);
    if !stands_stale && is_replica && !server.link_up() && !server.config.settings.replica_serve_stale_data {
        return Err(Refusal::MasterDown);
    }
    // A master that asks its replicas for a lost tail is told whom to follow at any time, also by a transaction.
    let heeds = |loading: &Loading| {
        loading.from == LoadingFrom::Replicas && matches!(spec.name, "replicaof" | "slaveof" | "exec")
    };
    let stands_loading = flags.has(LOADING) && !lacking.has(LOADING);
    if server.loading.as_ref().is_some_and(|loading| !heeds(loading)) && !stands_loading {
        return Err(Refusal::Loading);
    }
    if !flags.has(ALLOW_BUSY)
        && let Some(refusal) = server.scripting.busy()
    {
        return Err(refusal);
    }
    if sees_keys && client.kind == Kind::Replica {
        return Err(Refusal::err("Replica can't interact with the keyspace"));
    }
    Ok(())
}

/// What a request is held to.
struct Asked {
    /// Its own flags.
    flags: Flags,
    /// The same, and for EXEC those of all that is queued.
    all: Flags,
    /// For EXEC what any of the queued lacks.
    lacking: Flags,
}

#[inline]
fn asked(server: &Server, client: &Client, spec: &Spec, args: &Args<'_>) -> Asked {
    let flags = effective(server, spec, args);
    match &client.multi {
        Some(multi) if spec.name == "exec" => Asked { flags, all: flags.or(multi.any), lacking: multi.lacking },
        _ => Asked { flags, all: flags, lacking: NONE },
    }
}

/// The flags of a request: a script that has declared what it does is held to that.
#[inline]
pub fn effective(server: &Server, spec: &Spec, args: &Args<'_>) -> Flags {
    match spec.group {
        Group::Scripting => declared(server, spec, args),
        _ => spec.flags,
    }
}

#[cold]
fn declared(server: &Server, spec: &Spec, args: &Args<'_>) -> Flags {
    let Some(script) = server.declared_flags(spec, args) else { return spec.flags };
    let mut flags = spec.flags.without(STALE.or(DENYOOM).or(WRITE).or(MAY_REPLICATE));
    if !script.has(script::Flags::NO_WRITES) {
        flags = flags.or(WRITE);
        if !script.has(script::Flags::ALLOW_OOM) {
            flags = flags.or(DENYOOM);
        }
    }
    if script.has(script::Flags::ALLOW_STALE) { flags.or(STALE) } else { flags }
}

/// Refuses a script that may not run now; `declared` is what it says of itself.
pub fn check_script(cx: &mut Cx<'_>, declared: Option<script::Flags>, ro: bool) -> Result<(), Refusal> {
    let server = &*cx.server;
    let text = |text: &'static str| Err(Refusal::Text(text.into()));
    let stale = server.is_replica() && !server.link_up() && !server.config.settings.replica_serve_stale_data;
    let Some(flags) = declared else {
        return if stale && !cx.obeys() { Err(Refusal::MasterDown) } else { Ok(()) };
    };
    if stale && !flags.has(script::Flags::ALLOW_STALE) {
        return text(
            "MASTERDOWN Link with MASTER is down, replica-serve-stale-data is set to 'no' and 'allow-stale' flag is not \
             set on the script.",
        );
    }
    if flags.has(script::Flags::NO_WRITES) {
        return Ok(());
    }
    if server.is_replica() && server.config.settings.replica_read_only && !cx.obeys() {
        return text("READONLY Can not run script with write flag on readonly replica");
    }
    if let Some(fault) = server.fault.as_ref().filter(|_| !cx.obeys()) {
        return Err(Refusal::Text(fault.clone().into()));
    }
    if ro {
        return Err(Refusal::err("Can not execute a script with write flag using *_ro command."));
    }
    if !server.is_replica() && !server.enough_good_replicas() {
        return Err(Refusal::NoReplicas);
    }
    if server.is_out_of_memory() && !flags.has(script::Flags::ALLOW_OOM) && !cx.obeys() {
        return text("OOM allow-oom flag is not set on the script, can not run it when used memory > 'maxmemory'");
    }
    Ok(())
}

/// What a script that calls a command may do.
#[derive(Clone, Copy, Debug)]
pub struct Script {
    pub read_only: bool,
    /// It has called a command that writes: it is not stopped in the middle any more.
    pub wrote: bool,
    pub allow_oom: bool,
}

/// The gate of what a script calls: the rules of [`check`], as far as the script has not passed them, in the words that
/// scripts know. How many words it takes is looked at before.
pub fn check_inner(cx: &mut Cx<'_>, spec: &'static Spec, args: &Args<'_>, script: Script) -> Result<(), Refusal> {
    let flags = spec.flags;
    if flags.has(NOSCRIPT) && !(cx.server.switches.scripts_may_more && leaves_the_unit_alone(spec)) {
        return Err(Refusal::err("This Redis command is not allowed from script"));
    }
    if !cx.obeys() && !cx.server.clients[cx.slot].may_all {
        let permitted = cx.server.permit(cx.slot, spec, args, Context::Lua);
        permitted.map_err(|denied| {
            let refusal = cx.server.refusal(cx.slot, spec, denied);
            let text = refusal.text();
            Refusal::err(format!("ACL failure in script: {}", text.strip_prefix("NOPERM ").unwrap_or(&text)))
        })?;
    }
    let server = &*cx.server;
    if server.is_replica()
        && !server.link_up()
        && !server.config.settings.replica_serve_stale_data
        && !flags.has(STALE)
        && !cx.obeys()
    {
        return Err(Refusal::err("Can not execute the command on a stale replica"));
    }
    if script.read_only && (flags.has(WRITE) || flags.has(MAY_REPLICATE)) {
        return Err(Refusal::err("Write commands are not allowed from read-only scripts."));
    }
    let server = &*cx.server;
    if flags.has(DENYOOM) && server.is_out_of_memory() && !script.allow_oom && !script.wrote && !cx.obeys() {
        return Err(Refusal::OutOfMemory);
    }
    if !flags.has(WRITE) || script.wrote || cx.obeys() {
        return Ok(());
    }
    if server.is_replica() && server.config.settings.replica_read_only {
        return Err(Refusal::ReadOnly);
    }
    if let Some(fault) = &server.fault {
        return Err(Refusal::Text(fault.clone().into()));
    }
    if !server.is_replica() && server.save_failed() {
        return Err(Refusal::SaveFailed);
    }
    if !server.is_replica() && !server.enough_good_replicas() {
        return Err(Refusal::NoReplicas);
    }
    Ok(())
}

/// Whether a command that is denied to scripts would not break the unit that the script is, nor what its client reads
/// (DEBUG SET-DISABLE-DENY-SCRIPTS).
#[cold]
fn leaves_the_unit_alone(spec: &Spec) -> bool {
    let breaks = matches!(spec.group, Group::Scripting | Group::Transactions | Group::PubSub)
        || spec.flags.has(BLOCKING)
        || matches!(spec.name, "replicaof" | "slaveof" | "failover" | "replconf" | "psync" | "sync" | "monitor")
        || matches!(spec.name, "save" | "shutdown" | "auth" | "hello" | "reset" | "quit");
    !breaks
}

/// Whether the user may execute this (`redis.acl_check_cmd`).
pub fn may(cx: &Cx<'_>, spec: &'static Spec, args: &Args<'_>) -> bool {
    let client = &cx.server.clients[cx.slot];
    client.may_all || cx.server.acl.user(client.user).check(spec, args).is_ok()
}

/// Inside MULTI everything waits for EXEC but what ends or watches the transaction.
pub fn queues(cx: &mut Cx<'_>, spec: &'static Spec) -> bool {
    cx.client().multi.is_some() && !matches!(spec.name, "exec" | "discard" | "multi" | "watch" | "quit" | "reset")
}

/// CLIENT PAUSE holds the request back.
pub fn pauses(cx: &mut Cx<'_>, spec: &'static Spec, args: &Args<'_>) -> bool {
    cx.server.pause.is_some() && holds_back(cx, spec, args)
}

/// A replica is never held back: it may touch no key.
#[cold]
fn holds_back(cx: &mut Cx<'_>, spec: &'static Spec, args: &Args<'_>) -> bool {
    if cx.server.pause.is_some_and(|pause| cx.server.mono >= pause.until) {
        cx.server.settle_pause();
    }
    let Some(pause) = cx.server.pause else { return false };
    let client = &cx.server.clients[cx.slot];
    let Asked { all, .. } = asked(cx.server, client, spec, args);
    client.kind == Kind::Normal && (pause.all || all.has(WRITE) || all.has(MAY_REPLICATE))
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
