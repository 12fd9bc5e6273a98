//! Replication's sockets: what the pure cores want done, done; what happened, told to them.
//!
//! ```text
//! replica's client ──PSYNC──> Source ──effects──> [out] sends stream or copy when the socket takes it
//! Sink ──effects──> [upstream] one connection to the master: lines, then a copy or the stream
//! Tail ──effects──> [tail] a connection to each replica that may hold what a power cut cost us ([known])
//! ```
//! The stream's bytes are sent from the backlog in place; a link that fell behind reads them from the log on a blocking
//! thread. A full copy is made from a checkpoint by the storage thread, into a file that all who wait for it are sent.

pub(super) mod contents;
mod copy;
mod known;
mod out;
mod tail;
mod upstream;

use super::clock;
use super::world::World;
use crate::base::ReplId;
use crate::command::{Closing, Kind, Server, Slot};
use crate::replication::source::{self, CopyId, DropReason, LinkId};
use crate::replication::tail::Event as TailEvent;
use crate::replication::{Level, Note, SinkConfig, SourceConfig, Tail, sink};
use crate::store::LogReader;
use std::collections::HashMap;
use std::rc::Rc;

pub use upstream::{adopt_copy, pause_changed, stand_by, tick};

/// The runtime's side of all links.
#[derive(Default)]
pub struct Links {
    /// Where a link's client stands.
    slots: HashMap<LinkId, Slot>,
    /// What is on its way to a link.
    out: HashMap<LinkId, out::Out>,
    /// Where a link stands in the log, if it was read for it.
    readers: HashMap<LinkId, LogReader>,
    copies: HashMap<CopyId, copy::Outgoing>,
    /// Copies that are to be made as soon as a checkpoint may begin.
    ordered: Vec<CopyId>,
    upstream: Option<upstream::Upstream>,
    /// The search for a tail that a power cut cost this node, its connections, and who may be asked.
    tail: Tail,
    asked: HashMap<sink::ConnId, tail::Asked>,
    known: known::Known,
}

impl Links {
    /// A replica's connection is over.
    pub fn gone(&mut self, server: &mut Server, client_id: u64) {
        let link = LinkId(client_id);
        self.slots.remove(&link);
        self.out.remove(&link);
        self.readers.remove(&link);
        step_source(server, source::Event::Gone { link });
    }
}

/// A client has asked for the stream.
pub fn became_replica(world: &Rc<World>, slot: Slot) {
    let mut server = world.server.borrow_mut();
    if let Some(client) = server.clients.get_mut(slot) {
        client.kind = Kind::Replica;
        let link = LinkId(client.id);
        world.links.borrow_mut().slots.insert(link, slot);
    }
    if server.config.settings.repl_disable_tcp_nodelay
        && let Some(connection) = world.connection(slot)
    {
        connection.gather();
    }
}

/// One event for the master's side.
pub fn step_source(server: &mut Server, event: source::Event<'_>) {
    let Server { source, stream, links, mono, .. } = server;
    source.step(*mono, event, stream, &mut links.source);
}

/// One event for the replica's side.
pub fn step_sink(server: &mut Server, event: sink::Event<'_>) {
    let Server { sink, stream, links, mono, .. } = server;
    sink.step(*mono, event, stream, &mut links.sink);
}

/// The turn's bytes are in the log: replicas may have them, and the master may be told.
pub fn released(world: &Rc<World>) {
    tail::step(world, TailEvent::Tick);
    {
        let mut server = world.server.borrow_mut();
        if server.source.attached() > 0 {
            step_source(&mut server, source::Event::Released);
        }
        if server.is_replica() {
            step_sink(&mut server, sink::Event::Released);
        }
    }
    perform(world);
}

/// Does all that the cores want done.
pub fn perform(world: &Rc<World>) {
    if world.links.borrow().tail.is_searching() && world.server.borrow().is_replica() {
        tail::stop(world);
    }
    loop {
        // One that waited until all that was fed is in the log may have nothing else to be waited for.
        copy::begin_ordered(world);
        let (of_source, of_sink) = {
            let mut server = world.server.borrow_mut();
            (std::mem::take(&mut server.links.source), std::mem::take(&mut server.links.sink))
        };
        if of_source.is_empty() && of_sink.is_empty() {
            return;
        }
        if !of_sink.is_empty() {
            let replica = world.server.borrow().is_replica();
            super::logging::set_role(if replica { b'S' } else { b'M' });
        }
        for effect in of_sink {
            sink_effect(world, effect);
        }
        for effect in of_source {
            source_effect(world, effect);
        }
    }
}

fn source_effect(world: &Rc<World>, effect: source::Effect) {
    use source::Effect;
    match effect {
        Effect::HistoryChanged => history_changed(world, "a replica asked for the stream"),
        Effect::Reply { link, bytes } => reply(world, link, &bytes),
        Effect::StartCopy { copy, .. } => world.links.borrow_mut().ordered.push(copy),
        Effect::AttachCopy { copy, link, reply: header } => {
            reply(world, link, &header);
            copy::attach(world, copy, link);
        }
        Effect::AbandonCopy { copy } => copy::abandon(world, copy),
        Effect::Send { link, from, to } => {
            world.links.borrow_mut().readers.remove(&link);
            out::start(world, link, out::Out::Stream { from, to });
        }
        Effect::SendFromLog { link, from, to } => out::from_log(world, link, from, to),
        Effect::FetchTail { host, port } => tail::step(world, TailEvent::Found { host: &host, port }),
        Effect::Ping => {
            let mut server = world.server.borrow_mut();
            if server.failover.is_some() {
                return; // the stream rests: its end is what the target has
            }
            let Server { feed, stream, .. } = &mut *server;
            feed.plain(stream, [&b"PING"[..]].into_iter());
            feed.close_unit(stream);
            world.turn.notify_one();
        }
        Effect::Drop { link, why } => drop_link(world, link, why),
        Effect::Log(note) => log(&note),
    }
}

fn sink_effect(world: &Rc<World>, effect: sink::Effect) {
    use sink::Effect;
    match effect {
        Effect::Connect { conn, host, port } => upstream::connect(world, conn, host, port),
        Effect::Send { conn, bytes } => upstream::send(world, conn, &bytes),
        Effect::Close { conn } => upstream::close(world, conn),
        Effect::ExpectCopy { conn, at, .. } => upstream::expect_copy(world, conn, at),
        Effect::LoadCopy { conn, id, at } => upstream::load_copy(world, conn, id, at),
        Effect::DiscardCopy => upstream::discard_copy(world),
        Effect::Stream { conn, .. } => upstream::stream(world, conn),
        Effect::HistoryChanged => history_changed(world, "the master's history"),
        Effect::DropReplicas { why } => {
            let mut server = world.server.borrow_mut();
            step_source(&mut server, source::Event::DropAll { why });
        }
        Effect::HandedOver { accepted } => {
            let mut server = world.server.borrow_mut();
            world.tick(&mut server);
            server.failover_answered(accepted);
            world.turn.notify_one();
        }
        Effect::Rewind { .. } => {
            let mut server = world.server.borrow_mut();
            step_sink(&mut server, sink::Event::Rewound { done: false });
        }
        Effect::Log(note) => log(&note),
    }
}

fn history_changed(world: &Rc<World>, reason: &str) {
    let mut server = world.server.borrow_mut();
    let Server { feed, stream, fresh, .. } = &mut *server;
    feed.history_changed(stream, reason);
    *fresh = super::random_id(ReplId::from_random);
    world.turn.notify_one();
}

fn log(note: &Note) {
    match note.level {
        Level::Notice => tracing::info!("{}", note.text),
        Level::Warning => tracing::warn!("{}", note.text),
    }
}

fn reply(world: &Rc<World>, link: LinkId, bytes: &[u8]) {
    let Some(slot) = slot_of(world, link) else { return };
    let mut server = world.server.borrow_mut();
    let Some(client) = server.clients.get_mut(slot) else { return };
    client.out.extend_from_slice(bytes);
    server.touch(slot);
    world.turn.notify_one();
}

/// The client of a link; one that has only said REPLCONF so far is found by its id.
fn slot_of(world: &Rc<World>, link: LinkId) -> Option<Slot> {
    if let Some(&slot) = world.links.borrow().slots.get(&link) {
        return Some(slot);
    }
    let server = world.server.borrow();
    server.clients.iter().find(|(_, client)| client.id == link.0).map(|(slot, _)| slot)
}

fn drop_link(world: &Rc<World>, link: LinkId, why: DropReason) {
    tracing::info!("Closing the link of replica client id={}: {why:?}", link.0);
    if let Some(slot) = slot_of(world, link) {
        world.links.borrow_mut().out.remove(&link);
        world.server.borrow_mut().close(slot, Closing::AfterReplies);
        world.close(slot);
    }
}

/// Gives the cores the directives that they obey.
pub fn configure(server: &mut Server) {
    let settings = &server.config.settings;
    let some = |text: &str| (!text.is_empty()).then(|| text.as_bytes().to_vec());
    let port = match settings.replica_announce_port {
        0 => super::tls::announced_port(settings),
        port => port,
    };
    let sink = SinkConfig {
        user: some(&settings.masteruser),
        password: some(&settings.masterauth),
        port,
        ip: some(&settings.replica_announce_ip),
        timeout_s: settings.repl_timeout,
        to_parser: true,
        rewind: false,
    };
    let source = SourceConfig {
        timeout_s: settings.repl_timeout,
        ping_period_s: settings.repl_ping_replica_period,
        // A copy is made from a checkpoint, into a file: it has a size, and whoever asks meanwhile shares it.
        diskless: false,
        lag_max_s: settings.min_replicas_max_lag,
        backlog_ttl_s: settings.repl_backlog_ttl,
        held_bytes_max: settings.client_output_buffer_limit.replica.hard_bytes,
        ..SourceConfig::default()
    };
    server.sink.configure(sink);
    server.source.configure(source);
}

/// While a start reads the store, INFO tells already whom the node will follow; nobody is dialled.
pub fn show_configured(server: &mut Server) {
    if let Some(master) = server.config.settings.replicaof.clone() {
        step_sink(server, sink::Event::Follow { host: &master.host, port: master.port, failover: false });
        server.links.sink.clear();
    }
}

/// Follows the master that the configuration names, at start.
pub fn follow_configured(world: &Rc<World>) {
    {
        let mut server = world.server.borrow_mut();
        world.tick(&mut server);
        configure(&mut server);
        if let Some(master) = server.config.settings.replicaof.clone() {
            let event = sink::Event::Follow { host: &master.host, port: master.port, failover: false };
            step_sink(&mut server, event);
        }
    }
    perform(world);
}

/// At start: a master whose machine went down under it asks its replicas for what its disk has lost.
pub fn seek_tail(world: &Rc<World>) {
    let dir = std::path::PathBuf::from(&world.server.borrow().config.settings.dir);
    world.links.borrow_mut().known = known::Known::read(&dir);
    tail::begin(world);
}

/// A clean stop begins: no more is asked.
pub fn stop_seeking(world: &Rc<World>) {
    tail::stop(world);
}

/// All is on the disk.
pub fn stopped_clean(world: &Rc<World>) {
    world.links.borrow().known.forget();
}

/// Time passes for both cores.
pub fn beat(world: &Rc<World>) {
    {
        let mut server = world.server.borrow_mut();
        server.mono = clock::mono();
        step_source(&mut server, source::Event::Tick);
        step_sink(&mut server, sink::Event::Tick);
    }
    tail::step(world, TailEvent::Tick);
    known::note(world);
    perform(world);
}
