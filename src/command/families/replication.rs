//! Replication as clients see it: REPLICAOF, ROLE; and the words that a replica says to its master: REPLCONF, PSYNC
//! and SYNC, which move the pure cores and leave the rest to the runtime.

use crate::base::{Offset, number};
use crate::command::spec::{
    ADMIN, ALLOW_BUSY, Categories, FAST, Flags, Group, LOADING, NO_ASYNC_LOADING, NO_MULTI, NOSCRIPT, STALE, Spec, spec,
};
use crate::command::{Args, Ask, Cx, Kind, Outcome, Refusal, client_line};
use crate::config::Address;
use crate::replication::sink;
use crate::replication::source::{self, Conf, LinkId};

const REPLICAOF: Flags = NO_ASYNC_LOADING.or(ADMIN).or(NOSCRIPT).or(STALE);
const SYNC: Flags = NO_ASYNC_LOADING.or(ADMIN).or(NO_MULTI).or(NOSCRIPT);

pub const ROWS: &[Spec] = &[
    spec("replicaof", 3, REPLICAOF, Group::Server, replicaof)
        .doc("5.0.0", "Configures a server as replica of another, or promotes it to a master."),
    spec("slaveof", 3, REPLICAOF, Group::Server, replicaof)
        .doc("1.0.0", "Sets a Redis server as a replica of another, or promotes it to being a master."),
    spec("role", 1, NOSCRIPT.or(LOADING).or(STALE).or(FAST), Group::Server, role)
        .acl(Categories::ADMIN.or(Categories::DANGEROUS))
        .doc("2.8.12", "Returns the replication role."),
    spec("psync", -3, SYNC, Group::Server, psync).doc("2.8.0", "An internal command used in replication."),
    spec("sync", 1, SYNC, Group::Server, sync).doc("1.0.0", "An internal command used in replication."),
    spec("replconf", -1, ADMIN.or(NOSCRIPT).or(LOADING).or(STALE).or(ALLOW_BUSY), Group::Server, replconf)
        .doc("3.0.0", "An internal command for configuring the replication stream."),
];

/// REPLICAOF host port | NO ONE. The directive follows, so that CONFIG REWRITE writes what is.
fn replicaof(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let (host, port) = (args.bytes()?, args.bytes()?);
    if cx.server.failover.is_some() {
        return Err(Refusal::err("REPLICAOF not allowed while failing over."));
    }
    if host.eq_ignore_ascii_case(b"no") && port.eq_ignore_ascii_case(b"one") {
        if cx.server.is_replica() {
            let fresh = cx.server.fresh_id();
            cx.server.step_sink(sink::Event::Unfollow { fresh }, "promoted");
            cx.server.config.settings.replicaof = None;
            tracing::info!("MASTER MODE enabled (user request from '{}')", client_line(cx.server, cx.slot));
        }
        cx.reply().ok();
        return Ok(());
    }
    if cx.client().kind == Kind::Replica {
        return Err(Refusal::err("Command is not valid when client is a replica."));
    }
    let port = number::parse_i64(port).and_then(|port| u16::try_from(port).ok());
    let Some(port) = port else { return Err(Refusal::err("Invalid master port")) };
    let Ok(host) = std::str::from_utf8(host) else { return Err(Refusal::err("Invalid master host")) };
    if cx.server.sink.master().is_some_and(|(of, at)| of.eq_ignore_ascii_case(host) && at == port) {
        tracing::info!(
            "REPLICAOF would result into synchronization with the master we are already connected with. No operation \
             performed."
        );
        cx.reply().simple("OK Already connected to specified master");
        return Ok(());
    }
    cx.server.refuse_waits();
    cx.server.step_sink(sink::Event::Follow { host, port, failover: false }, "follows another master");
    cx.server.config.settings.replicaof = Some(Address { host: host.to_owned(), port });
    tracing::info!("REPLICAOF {host}:{port} enabled (user request from '{}')", client_line(cx.server, cx.slot));
    cx.reply().ok();
    Ok(())
}

/// ROLE
fn role(cx: &mut Cx<'_>, _: &mut Args<'_>) -> Outcome {
    let server = &*cx.server;
    let end = server.stream.end().0 as i64;
    let mut reply = crate::resp::Writer::new(&mut cx.out, cx.proto);
    if let Some((host, port)) = server.sink.master() {
        let state = server.sink.state();
        reply.array(5);
        reply.bulk(b"slave");
        reply.bulk(host.as_bytes());
        reply.int(i64::from(port));
        reply.bulk(state.word().as_bytes());
        reply.int(if state == sink::LinkState::Connected { end } else { -1 });
        return Ok(());
    }
    let online = || server.source.replicas(server.mono).filter(|replica| replica.state == "online");
    reply.array(3);
    reply.bulk(b"master");
    reply.int(end);
    reply.array(online().count());
    for replica in online() {
        reply.array(3);
        reply.bulk(replica.ip.as_bytes());
        reply.bulk_int(replica.port);
        reply.bulk_int(replica.offset.0 as i64);
    }
    Ok(())
}

/// PSYNC replid offset \[FAILOVER\]: the core answers, through the runtime.
fn psync(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let replid = args.bytes()?;
    let next = args.int()?;
    if args.take("FAILOVER") {
        tracing::info!("Failover request received for replid {}.", String::from_utf8_lossy(replid));
        if !cx.server.is_replica() {
            return Err(Refusal::err("PSYNC FAILOVER can't be sent to a master."));
        }
        if !replid.eq_ignore_ascii_case(&cx.server.stream.history().id().hex()) {
            return Err(Refusal::err("PSYNC FAILOVER replid must match my replid."));
        }
        let fresh = cx.server.fresh_id();
        cx.server.step_sink(sink::Event::Unfollow { fresh }, "promoted by its master");
        cx.server.config.settings.replicaof = None;
        tracing::info!("MASTER MODE enabled (failover request from '{}')", client_line(cx.server, cx.slot));
    }
    attach(cx, source::Ask::Psync { replid, next })
}

/// SYNC
fn sync(cx: &mut Cx<'_>, _: &mut Args<'_>) -> Outcome {
    attach(cx, source::Ask::Sync)
}

fn attach(cx: &mut Cx<'_>, ask: source::Ask<'_>) -> Outcome {
    let link = link(cx);
    if cx.server.source.is_replica(link) {
        return Ok(()); // as in Redis, a second request on the same link is not heard
    }
    if cx.server.failover.is_some() {
        return Err(Refusal::Text("NOMASTERLINK Can't SYNC while failing over".into()));
    }
    if !cx.out.is_empty() {
        return Err(Refusal::err("SYNC and PSYNC are invalid with pending output"));
    }
    let (ip, fresh, slot) = (peer_ip(cx), cx.server.fresh_id(), cx.slot);
    let event = source::Event::Asked { link, ip: &ip, ask, fresh };
    cx.server.step_source(event, "a replica asked a restarted master");
    if cx.server.source.is_replica(link) {
        cx.client().kind = Kind::Replica;
        cx.ask(Ask::BecameReplica(slot));
    }
    cx.ask(Ask::Replication);
    Ok(())
}

/// REPLCONF option value \[option value ...\]
fn replconf(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let link = link(cx);
    if args.take("TAIL") {
        return tail(cx, link, args);
    }
    if args.len().is_multiple_of(2) {
        return Err(Refusal::Syntax);
    }
    while args.left() > 0 {
        let option = args.bytes()?;
        if option.eq_ignore_ascii_case(b"ack") {
            acknowledged(cx, link, args);
            return Ok(()); // never answered
        }
        if option.eq_ignore_ascii_case(b"getack") {
            cx.server.getack |= cx.client().kind == Kind::Stream;
            return Ok(());
        }
        let value = args.bytes()?;
        let Some(conf) = conf(option, value)? else { continue };
        let ip = peer_ip(cx);
        cx.server.step_source(source::Event::Said { link, ip: &ip, conf }, "REPLCONF");
    }
    cx.reply().ok();
    Ok(())
}

/// TAIL replid from \[upto\]: our master lost what it wrote behind `from`, and asks for it.
fn tail(cx: &mut Cx<'_>, link: LinkId, args: &mut Args<'_>) -> Outcome {
    if cx.server.is_starting() {
        return Err(Refusal::Loading); // it will know
    }
    let replid = args.bytes()?;
    let offset = |word: &[u8]| {
        let offset = number::parse_i64(word).and_then(|offset| u64::try_from(offset).ok());
        offset.map(Offset).ok_or(Refusal::NotInteger)
    };
    let from = offset(args.bytes()?)?;
    let upto = args.maybe().map(offset).transpose()?;
    args.finish()?;
    let (ip, slot) = (peer_ip(cx), cx.slot);
    cx.server.step_source(source::Event::TailAsked { link, ip: &ip, replid, from, upto }, "REPLCONF TAIL");
    if cx.server.source.is_replica(link) {
        cx.client().kind = Kind::Replica;
        cx.ask(Ask::BecameReplica(slot));
    }
    cx.ask(Ask::Replication);
    Ok(())
}

/// One pair of words; `None` for what is understood and means nothing here.
fn conf<'a>(option: &[u8], value: &'a [u8]) -> Result<Option<Conf<'a>>, Refusal> {
    let number = || number::parse_i64(value).ok_or(Refusal::NotInteger);
    let flag = || match number()? {
        on @ (0 | 1) => Ok(on == 1),
        _ => Err(Refusal::err("value is out of range, value must between 0 and 1")),
    };
    let shown = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
    Ok(Some(match option.to_ascii_lowercase().as_slice() {
        b"listening-port" => Conf::ListeningPort(number()?),
        b"ip-address" if value.len() > 255 => {
            let text = format!("REPLCONF ip-address provided by replica instance is too long: {} bytes", value.len());
            return Err(Refusal::err(text));
        }
        b"ip-address" => Conf::IpAddress(value),
        b"capa" => Conf::Capa(value),
        b"version" if is_version(value) => Conf::Version(value),
        b"version" => {
            return Err(Refusal::err(format_args!("Unrecognized version format: {}", shown(value))));
        }
        b"rdb-only" => Conf::RdbOnly(flag()?),
        b"rdb-filter-only" => {
            let words: Vec<&[u8]> = value.split(|byte| *byte == b' ').filter(|word| !word.is_empty()).collect();
            let functions = |word: &&[u8]| word.eq_ignore_ascii_case(b"functions");
            if let Some(other) = words.iter().find(|word| !functions(word)) {
                let text = format!("Unsupported rdb-filter-only option: {}", shown(other));
                return Err(Refusal::err(text));
            }
            Conf::FunctionsOnly(true)
        }
        _ => return Err(Refusal::err(format_args!("Unrecognized REPLCONF option: {}", shown(option)))),
    }))
}

/// `major.minor.patch`
fn is_version(text: &[u8]) -> bool {
    let parts: Vec<&[u8]> = text.split(|byte| *byte == b'.').collect();
    parts.len() == 3 && parts.iter().all(|part| number::parse_i64(part).is_some_and(|n| (0..=255).contains(&n)))
}

/// ACK offset \[FACK offset\]
fn acknowledged(cx: &mut Cx<'_>, link: LinkId, args: &mut Args<'_>) {
    let mut offset = || {
        let offset = args.maybe().and_then(number::parse_i64)?;
        Some(Offset(u64::try_from(offset).ok()?))
    };
    let Some(upto) = offset() else { return };
    if !cx.server.source.is_replica(link) {
        return;
    }
    let synced = if args.take("FACK") { args.maybe().and_then(number::parse_i64) } else { None };
    let synced = synced.and_then(|offset| u64::try_from(offset).ok()).map(Offset);
    cx.server.step_source(source::Event::Acked { link, upto, synced }, "REPLCONF ACK");
    cx.server.retry_waits();
    cx.server.tend_failover();
}

/// How the source calls this connection.
fn link(cx: &mut Cx<'_>) -> LinkId {
    LinkId(cx.client().id)
}

fn peer_ip(cx: &mut Cx<'_>) -> String {
    let addr = cx.client().addr.as_str();
    let ip = addr.rsplit_once(':').map_or(addr, |(ip, _)| ip);
    ip.trim_start_matches('[').trim_end_matches(']').to_owned()
}
