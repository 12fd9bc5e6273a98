//! The connection to this node's master: lines of the handshake, then a full copy or the stream.
//!
//! One task reads; what the next bytes are, the core says ([`Sink::expects`](crate::replication::Sink)). A full copy is
//! decoded as it comes into a keyspace of its own; the old one serves until the new one is whole, and is what a restart
//! finds until a checkpoint of the new one is current: only then does the stream go on and is anything acknowledged.

use super::{perform, step_sink};
use crate::base::{Offset, ReplId};
use crate::command::{Kind, Origin, Server};
use crate::rdb;
use crate::replication::sink::{ConnId, Effect, Event, Expect};
use crate::replication::{Bulk, Progress};
use crate::runtime::rdb_file::Filler;
use crate::runtime::socket::Socket;
use crate::runtime::world::World;
use crate::runtime::{clock, listener};
use crate::session::StreamReader;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::Notify;

/// How often a link whose log is at fault looks whether that is mended.
const FAULT_LOOK: Duration = Duration::from_millis(100);

/// How much of the stream is read while a pause keeps it from being applied; the master waits then.
const PAUSED_BYTES_MAX: usize = 16 << 20;

/// What one connection to a master is.
pub struct Upstream {
    conn: ConnId,
    stream: Option<Rc<RefCell<Socket>>>,
    /// Ends the reading task, or makes it look again at what is expected.
    bell: Rc<Notify>,
    over: Rc<std::cell::Cell<bool>>,
    copy: Option<Incoming>,
    reader: Option<StreamReader>,
    /// A copy was swapped in; its checkpoint is on the way.
    loading: Option<(ConnId, u32)>,
}

/// A copy that is being received.
struct Incoming {
    bulk: Bulk,
    decoder: rdb::Decoder,
    filler: Filler,
}

/// Connects; the core is told how that went.
pub fn connect(world: &Rc<World>, conn: ConnId, host: String, port: u16) {
    let (bell, over) = (Rc::new(Notify::new()), Rc::new(std::cell::Cell::new(false)));
    let upstream = Upstream {
        conn,
        stream: None,
        bell: bell.clone(),
        over: over.clone(),
        copy: None,
        reader: None,
        loading: None,
    };
    if let Some(old) = world.links.borrow_mut().upstream.replace(upstream) {
        old.end(&mut world.server.borrow_mut());
    }
    let world = world.clone();
    tokio::task::spawn_local(async move {
        let (keepalive, timeout_s, source) = {
            let settings = &world.server.borrow().config.settings;
            (settings.tcp_keepalive, settings.repl_timeout, settings.bind_source_addr.clone())
        };
        let limit = Duration::from_secs(timeout_s.max(1) as u64);
        let connected = async {
            let stream = listener::connect(&host, port, &source).await?;
            listener::prepare(&stream, keepalive);
            world.tls.wrap(stream, &host).await
        };
        let stream = match tokio::time::timeout(limit, connected).await {
            Ok(Ok(socket)) => Rc::new(RefCell::new(socket)),
            Ok(Err(error)) => return failed(&world, conn, &plain(&error)),
            Err(_) => return failed(&world, conn, "Connection timed out"),
        };
        if over.get() {
            return;
        }
        if let Some(upstream) = &mut world.links.borrow_mut().upstream
            && upstream.conn == conn
        {
            upstream.stream = Some(stream.clone());
        }
        tell(&world, Event::Connected { conn });
        read(&world, conn, &stream, &bell, &over).await;
    });
}

/// The system's words without Rust's `(os error 111)`.
fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_string()
}

fn failed(world: &Rc<World>, conn: ConnId, why: &str) {
    tell(world, Event::ConnectFailed { conn, why });
}

fn tell(world: &Rc<World>, event: Event<'_>) {
    {
        let mut server = world.server.borrow_mut();
        world.tick(&mut server);
        step_sink(&mut server, event);
    }
    perform(world);
    world.turn.notify_one();
    world.clock_bell.notify_one();
}

/// Reads until the connection is over.
async fn read(world: &Rc<World>, conn: ConnId, stream: &RefCell<Socket>, bell: &Notify, over: &std::cell::Cell<bool>) {
    let mut kept: Vec<u8> = Vec::new();
    // How many of them the core was told of, while a pause kept them from being used.
    let mut told = 0;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        if over.get() {
            return;
        }
        let rests = {
            let server = world.server.borrow();
            server.is_paused() && server.sink.expects(conn) == Expect::Stream
        };
        if rests && told < kept.len() {
            let bytes = (kept.len() - std::mem::replace(&mut told, kept.len())) as u64;
            tell(world, Event::Bytes { conn, bytes });
        }
        if !kept.is_empty() && !rests {
            let used = take(world, conn, &kept, told);
            told = told.saturating_sub(used);
            kept.drain(..used);
            if used > 0 {
                tokio::task::yield_now().await;
                continue;
            }
        }
        // What cannot be taken now (the copy is being made current, the log has no room) is not read on: the master
        // waits.
        let (paused, at_fault) = {
            let server = world.server.borrow();
            let expects = server.sink.expects(conn);
            let at_fault = server.fault.is_some() && expects == Expect::Stream;
            let full = rests && kept.len() >= PAUSED_BYTES_MAX;
            (at_fault || full || expects == Expect::Nothing, at_fault)
        };
        tokio::select! {
            () = bell.notified() => continue,
            () = tokio::time::sleep(FAULT_LOOK), if at_fault => continue,
            read = Socket::read(stream, &mut buffer), if !paused => match read {
                Ok(0) => return closed(world, conn, "Connection with master lost."),
                Ok(count) => {
                    world.server.borrow_mut().stats.net_repl_in += count as u64;
                    kept.extend_from_slice(&buffer[..count]);
                }
                Err(error) => return closed(world, conn, &plain(&error)),
            }
        }
    }
}

fn closed(world: &Rc<World>, conn: ConnId, why: &str) {
    forget_reader(world);
    tell(world, Event::Closed { conn, why });
}

fn forget_reader(world: &Rc<World>) {
    if let Some(upstream) = &mut world.links.borrow_mut().upstream
        && let Some(reader) = upstream.reader.take()
    {
        world.server.borrow_mut().disconnect(reader.slot());
    }
}

/// Uses as much of `bytes` as can be used now; how much that is. The core was told of the first `told`.
fn take(world: &Rc<World>, conn: ConnId, bytes: &[u8], told: usize) -> usize {
    let expects = world.server.borrow().sink.expects(conn);
    match expects {
        Expect::Nothing => 0,
        Expect::Line => {
            let Some(end) = memchr::memchr(b'\n', bytes) else { return 0 };
            let line = bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]);
            tell(world, Event::Line { conn, line });
            end + 1
        }
        Expect::Copy => {
            let most = world.server.borrow().config.settings.loading_process_events_interval_bytes as usize;
            take_copy(world, conn, &bytes[..bytes.len().min(most)])
        }
        Expect::Stream => {
            take_stream(world, conn, bytes, told);
            bytes.len()
        }
    }
}

fn take_stream(world: &Rc<World>, conn: ConnId, bytes: &[u8], told: usize) {
    let result = {
        let mut links = world.links.borrow_mut();
        let Some(upstream) = &mut links.upstream else { return };
        let mut server = world.server.borrow_mut();
        world.tick(&mut server);
        let reader = upstream.reader.get_or_insert_with(|| reader(&mut server));
        let result = reader.input(&mut server, bytes, &mut world.args.borrow_mut());
        step_sink(&mut server, Event::Bytes { conn, bytes: bytes.len().saturating_sub(told) as u64 });
        if std::mem::take(&mut server.getack) {
            step_sink(&mut server, Event::GetAck { conn });
        }
        result
    };
    if let Err(error) = result {
        tracing::warn!("The master's stream is broken: {error}");
        closed(world, conn, &error.to_string());
        return;
    }
    perform(world);
    world.turn.notify_one();
}

fn reader(server: &mut Server) -> StreamReader {
    let slot = server.connect(Kind::Stream, String::new(), String::new(), -1);
    server.clients[slot].db = server.stream.db();
    StreamReader::new(slot, Origin::Master)
}

/// Writes to the master. What we say is short: a socket that takes none of it is a broken link.
pub fn send(world: &Rc<World>, conn: ConnId, bytes: &[u8]) {
    let stream = match &world.links.borrow().upstream {
        Some(upstream) if upstream.conn == conn => upstream.stream.clone(),
        _ => None,
    };
    let Some(stream) = stream else { return };
    let written = stream.borrow_mut().try_write_all(bytes);
    match written {
        Ok(true) => {}
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
            tracing::debug!("The master does not read: an acknowledgement is left out");
        }
        _ => closed(world, conn, "write error"),
    }
}

/// A script holds the loop up: the master hears how far this node is, and its link is not late where it has sent something
/// that waits for the end of the script.
pub fn stand_by(world: &World, server: &mut Server) {
    let Ok(links) = world.links.try_borrow() else { return };
    let Some(Upstream { conn, stream: Some(stream), .. }) = &links.upstream else { return };
    let (Ok(mut stream), Expect::Stream) = (stream.try_borrow_mut(), server.sink.expects(*conn)) else { return };
    let Server { sink, stream: ours, links: effects, .. } = server;
    let now = clock::mono();
    if stream.has_bytes() {
        sink.step(now, Event::Bytes { conn: *conn, bytes: 0 }, ours, &mut effects.sink);
    }
    let before = effects.sink.len();
    sink.step(now, Event::Tick, ours, &mut effects.sink);
    let said = effects.sink.drain(before..).filter(|effect| match effect {
        Effect::Send { bytes, .. } => stream.write_now(bytes).is_err(),
        _ => true,
    });
    let left: Vec<_> = said.collect();
    effects.sink.extend(left);
}

/// Ends the connection; nothing more is heard of it.
pub fn close(world: &Rc<World>, conn: ConnId) {
    let upstream = {
        let mut links = world.links.borrow_mut();
        match &links.upstream {
            Some(upstream) if upstream.conn == conn => links.upstream.take(),
            _ => None,
        }
    };
    if let Some(upstream) = upstream {
        upstream.end(&mut world.server.borrow_mut());
    }
}

impl Upstream {
    fn end(self, server: &mut Server) {
        self.over.set(true);
        self.bell.notify_one();
        if let Some(reader) = self.reader {
            server.disconnect(reader.slot());
        }
    }
}

/// A pause has begun or ended: the reader looks again.
pub fn pause_changed(world: &Rc<World>) {
    if let Some(upstream) = &world.links.borrow().upstream {
        upstream.bell.notify_one();
    }
}

/// The stream goes on: what follows are commands.
pub fn stream(world: &Rc<World>, conn: ConnId) {
    let mut links = world.links.borrow_mut();
    let Some(upstream) = &mut links.upstream else { return };
    if upstream.conn == conn {
        upstream.bell.notify_one();
    }
}

// ---------------------------------------------------------------------- the full copy

/// A copy of the data at `at` follows.
pub fn expect_copy(world: &Rc<World>, conn: ConnId, at: Offset) {
    let mut links = world.links.borrow_mut();
    let mut server = world.server.borrow_mut();
    let Some(upstream) = links.upstream.as_mut().filter(|upstream| upstream.conn == conn) else { return };
    upstream.copy = Some(Incoming {
        bulk: Bulk::default(),
        decoder: rdb::Decoder::new().checksum(server.switches.checksum),
        filler: Filler::new(&server.config.settings, None),
    });
    server.stats.sync_copies_received += 1;
    tracing::debug!("A full copy at offset {at} follows");
}

fn take_copy(world: &Rc<World>, conn: ConnId, bytes: &[u8]) -> usize {
    let mut used = 0;
    let mut came = 0;
    let outcome = {
        let mut links = world.links.borrow_mut();
        let copy = links.upstream.as_mut().and_then(|upstream| upstream.copy.as_mut());
        let Some(copy) = copy else { return 0 };
        let Incoming { bulk, decoder, .. } = copy;
        let fed = bulk.feed(bytes, &mut |piece| {
            came += piece.len() as u64;
            decoder.push(piece);
        });
        match fed {
            Ok((taken, progress)) => {
                used = taken;
                copy.filler.take(&mut copy.decoder).map(|()| progress)
            }
            Err(error) => Err(error.to_string()),
        }
    };
    match outcome {
        Ok(Progress::Header(extent)) => tell(world, Event::CopyHeader { conn, extent }),
        Ok(progress) => {
            if came > 0 {
                tell(world, Event::CopyBytes { conn, bytes: came });
            }
            if progress == Progress::Done {
                received(world, conn);
            }
        }
        Err(why) => {
            let fresh = world.server.borrow().fresh;
            tell(world, Event::CopyFailed { conn, why: &why, kept: true, fresh });
        }
    }
    used
}

fn received(world: &Rc<World>, conn: ConnId) {
    let whole = {
        let links = world.links.borrow();
        links.upstream.as_ref().and_then(|upstream| upstream.copy.as_ref()).is_some_and(|copy| copy.filler.whole)
    };
    if whole {
        tell(world, Event::CopyReceived { conn });
    } else {
        let fresh = world.server.borrow().fresh;
        let why = "the copy ends before its end-of-file mark";
        tell(world, Event::CopyFailed { conn, why, kept: true, fresh });
    }
}

/// The copy came whole: it takes the place of everything, in memory now, and for a restart with its checkpoint.
pub fn load_copy(world: &Rc<World>, conn: ConnId, id: ReplId, at: Offset) {
    {
        let mut links = world.links.borrow_mut();
        let mut server = world.server.borrow_mut();
        let Some(upstream) = links.upstream.as_mut().filter(|upstream| upstream.conn == conn) else { return };
        let Some(copy) = upstream.copy.take() else { return };
        let Filler { keyspace, stream_db, functions, .. } = copy.filler;
        world.disk_mut().give_up(&mut server);
        let old = std::mem::replace(&mut server.keyspace, keyspace);
        std::thread::spawn(move || drop(old));
        server.take_libraries(&functions);
        server.feed.discard();
        server.all_changed();
        world.disk_mut().begin_generation(&mut server, id, at, stream_db);
        upstream.loading = Some((conn, stream_db));
    }
    world.disk_bell.notify_one();
}

/// The checkpoint of a copy is current: the stream may go on.
pub fn adopt_copy(world: &Rc<World>) {
    let loaded = {
        let mut links = world.links.borrow_mut();
        links.upstream.as_mut().and_then(|upstream| upstream.loading.take())
    };
    if let Some((conn, db)) = loaded {
        tell(world, Event::CopyLoaded { conn, db });
        if let Some(upstream) = &world.links.borrow().upstream {
            upstream.bell.notify_one();
        }
    }
}

/// The copy on its way is given up.
pub fn discard_copy(world: &Rc<World>) {
    if let Some(upstream) = &mut world.links.borrow_mut().upstream {
        upstream.copy = None;
    }
}

/// When the core wants to be woken next, if at all.
pub fn tick(server: &Server) -> Option<crate::base::Millis> {
    server.sink.wake_at()
}
