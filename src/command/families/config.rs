//! CONFIG: the directives of the running node, and the counters of INFO set to zero.

use super::help::help;
use crate::command::spec::{ADMIN, Flags, Group, LOADING, NONE, NOSCRIPT, STALE, Spec, spec};
use crate::command::{Args, Ask, Blocked, Client, Cx, Outcome, Refusal};
use crate::config::{Change, SetAccess, SetError};

pub const ROWS: &[Spec] = &[spec("config", -2, NONE, Group::Server, |_, _| Err(Refusal::Syntax))
    .doc("2.0.0", "A container for server configuration commands.")
    .with(SUBS)];

const OPERATOR: Flags = ADMIN.or(NOSCRIPT).or(LOADING).or(STALE);

const SUBS: &[Spec] = &[
    spec("get", -3, OPERATOR, Group::Server, get)
        .sub_of("config")
        .doc("2.0.0", "Returns the effective values of configuration parameters."),
    spec("help", 2, LOADING.or(STALE), Group::Server, |cx, _| help(cx, HELP))
        .sub_of("config")
        .doc("5.0.0", "Returns helpful text about the different subcommands."),
    spec("resetstat", 2, OPERATOR, Group::Server, resetstat)
        .sub_of("config")
        .doc("2.0.0", "Resets the server's statistics."),
    spec("rewrite", 2, OPERATOR, Group::Server, rewrite)
        .sub_of("config")
        .doc("2.8.0", "Persists the effective configuration to file."),
    spec("set", -4, OPERATOR, Group::Server, set)
        .sub_of("config")
        .doc("2.0.0", "Sets configuration parameters in-flight."),
];

const HELP: &[&str] = &[
    "GET <pattern>",
    "    Return parameters matching the glob-like <pattern> and their values.",
    "SET <directive> <value>",
    "    Set the configuration <directive> to <value>.",
    "RESETSTAT",
    "    Reset statistics reported by the INFO command.",
    "REWRITE",
    "    Rewrite the configuration file.",
];

/// CONFIG GET pattern \[pattern ...\]
fn get(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let mut patterns = Vec::with_capacity(args.left());
    while let Some(pattern) = args.maybe() {
        patterns.push(pattern);
    }
    let found = cx.server.config.get(&patterns);
    let mut reply = cx.reply();
    reply.map(found.len());
    for (name, value) in found {
        reply.bulk(name.as_bytes());
        reply.bulk(value.as_bytes());
    }
    Ok(())
}

/// CONFIG SET directive value \[directive value ...\]: all or none.
fn set(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    if !args.left().is_multiple_of(2) {
        return Err(Refusal::Syntax);
    }
    let mut pairs = Vec::with_capacity(args.left() / 2);
    while let Some(name) = args.maybe() {
        pairs.push((name, args.bytes()?));
    }
    let is_local = is_local(cx.client());
    let access = SetAccess {
        protected: cx.server.config.settings.enable_protected_configs.allows(is_local),
        loading: cx.server.loading.is_some(),
    };
    let change = cx.server.config.set(&pairs, access).map_err(|error| match error {
        SetError::Loading => Refusal::Loading,
        error => Refusal::err(error),
    })?;
    let kept = change.kept();
    if !kept.is_empty() {
        tracing::info!("Directives without a meaning here, kept as they are: {}", kept.join(", "));
    }
    if change.names().any(|name| matches!(name, "port" | "bind" | "maxclients") || name.starts_with("tls-")) {
        return listen(cx, change);
    }
    if change.has("requirepass") {
        cx.server.set_default_password();
    }
    if change.has("maxmemory-clients") || change.has("maxmemory") {
        cx.server.client_limit_changed();
    }
    let names: Vec<&'static str> = change.names().collect();
    if !names.is_empty() {
        cx.ask(Ask::Configured(names));
    }
    cx.reply().ok();
    Ok(())
}

/// What the listening sockets and TLS depend on: whether it can be so is known later, and so is the reply.
fn listen(cx: &mut Cx<'_>, change: Change) -> Outcome {
    if !cx.may_block() {
        cx.server.config.undo(change);
        return Err(Refusal::err("CONFIG SET of port, bind, maxclients and TLS is not allowed inside a transaction"));
    }
    let waiter = cx.server.waiter(cx.slot);
    cx.ask(Ask::Listen { waiter, change });
    cx.block(Blocked::Checkpoint);
    Ok(())
}

/// CONFIG REWRITE
fn rewrite(cx: &mut Cx<'_>, _: &mut Args<'_>) -> Outcome {
    cx.server.put_users_in_config().map_err(Refusal::err)?;
    match cx.server.config.rewrite(&[]) {
        Ok(()) => {
            tracing::info!("CONFIG REWRITE executed with success.");
            cx.reply().ok();
            Ok(())
        }
        Err(error) => {
            tracing::warn!("CONFIG REWRITE failed: {}", error.detail());
            Err(Refusal::err(error))
        }
    }
}

/// CONFIG RESETSTAT
fn resetstat(cx: &mut Cx<'_>, _: &mut Args<'_>) -> Outcome {
    cx.server.stats.reset();
    cx.server.eviction.reset_stats();
    cx.server.scripting.evicted = 0;
    cx.server.garbage.reset_freed();
    cx.server.stats.sync_before = cx.server.source.counts();
    cx.server.memory.peak = cx.server.memory.used;
    cx.reply().ok();
    Ok(())
}

/// Whether a client is connected from this machine.
pub fn is_local(client: &Client) -> bool {
    let addr = client.addr.as_str();
    let ip = addr.rsplit_once(':').map_or(addr, |(ip, _)| ip).trim_start_matches('[').trim_end_matches(']');
    match ip.parse::<std::net::IpAddr>() {
        Ok(std::net::IpAddr::V4(ip)) => ip.is_loopback(),
        Ok(std::net::IpAddr::V6(ip)) => ip.is_loopback() || ip.to_ipv4_mapped().is_some_and(|ip| ip.is_loopback()),
        Err(_) => ip.starts_with('/'), // a Unix socket
    }
}
