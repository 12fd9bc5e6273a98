//! The line of one client, as CLIENT LIST and log lines show it: Redis 7.2's fields in their order, and what came later.

use super::client::{Client, Closing, Kind, Slot};
use super::{Args, Cx, Mode, Server};
use crate::resp::Proto;
use std::fmt::Write;

/// Without a line end. Empty for a slot without a client.
pub fn client_line(server: &Server, slot: Slot) -> String {
    line(server, slot, 0)
}

/// The lines of several clients, each with its line end, for one of them that asks: its words and its replies are in the
/// handler's hands.
pub(super) fn client_lines(cx: &mut Cx<'_>, slots: &[Slot], args: &Args<'_>) -> String {
    let asking_bytes = args.all().map(<[u8]>::len).sum();
    let mut text = String::with_capacity(slots.len() * 320);
    cx.swap_output();
    for &slot in slots {
        text += &line(cx.server, slot, if slot == cx.slot { asking_bytes } else { 0 });
        text.push('\n');
    }
    cx.swap_output();
    text
}

fn line(server: &Server, slot: Slot, asking_bytes: usize) -> String {
    let Some(client) = server.clients.get(slot) else { return String::new() };
    let mut line = String::with_capacity(320);
    let text = String::from_utf8_lossy;
    let queued = client.multi.as_ref().map(|multi| &multi.queue);
    let memory = client.memory();
    let command = client.last.map_or_else(|| "NULL".to_owned(), |spec| spec.full_name());
    let tracking = client.tracking.as_deref();
    let written = write!(
        line,
        "id={} addr={} laddr={} fd={} name={} age={} idle={} flags={} db={} sub={} psub={} ssub={} multi={} watch={} qbuf={} \
         qbuf-free={} argv-mem={} multi-mem={} rbs={} rbp={} obl={} oll={} omem={} tot-mem={} events={} \
         cmd={command} user={} redir={} resp={} lib-name={} lib-ver={} \
         tot-net-in={} tot-net-out={} tot-cmds={}",
        client.id,
        client.addr,
        client.laddr,
        client.fd,
        text(&client.name),
        server.mono.since(client.since).seconds(),
        server.mono.since(client.active).seconds(),
        flags(client, server.is_monitor(slot)),
        client.db,
        client.channels.len(),
        client.patterns.len(),
        client.shards.len(),
        queued.map_or(-1, |queue| queue.len() as i64),
        client.watching.len(),
        memory.qbuf,
        memory.qbuf_free,
        memory.argv + asking_bytes,
        memory.multi,
        memory.rbs,
        client.reply.peak,
        memory.obl,
        memory.oll,
        memory.omem,
        memory.total + asking_bytes,
        match (client.kind, client.may_send()) {
            (Kind::Stream, _) => "",
            (_, false) => "r",
            _ => "rw", // the socket takes no more for now
        },
        match client.kind {
            Kind::Stream => "(superuser)".into(),
            _ => text(server.acl.user(client.user).name()),
        },
        tracking.map_or(-1, |tracking| tracking.redirect_id()),
        if client.proto == Proto::Resp3 { 3 } else { 2 },
        text(&client.lib_name),
        text(&client.lib_ver),
        client.bytes_in,
        client.bytes_out,
        client.commands,
    );
    debug_assert!(written.is_ok());
    line
}

fn flags(client: &Client, monitors: bool) -> String {
    let tracking = client.tracking.as_deref();
    let set = [
        (monitors, 'O'),
        (client.kind == Kind::Replica, 'S'),
        (client.kind == Kind::Stream, 'M'),
        (client.listens(), 'P'),
        (client.multi.is_some(), 'x'),
        (client.blocked.is_some(), 'b'),
        (tracking.is_some(), 't'),
        (tracking.is_some_and(|tracking| tracking.broken), 'R'),
        (tracking.is_some_and(|tracking| matches!(tracking.mode, Mode::Broadcast(_))), 'B'),
        (client.watch_broken, 'd'),
        (client.closing == Some(Closing::AfterReplies), 'c'),
        (client.closing == Some(Closing::Now), 'A'),
        (client.unix_socket, 'U'),
        (client.no_evict, 'e'),
        (client.no_touch, 'T'),
    ];
    let flags: String = set.iter().filter(|(on, _)| *on).map(|(_, letter)| letter).collect();
    if flags.is_empty() { "N".to_owned() } else { flags }
}
