//! The search for a lost tail, on sockets: one connection to each replica that may hold more, lines, then units of the
//! stream, which are applied and relayed into this node's own stream and log as a master's are.

use super::{log, perform};
use crate::command::{Kind, Loading, LoadingFrom, Origin, Server};
use crate::replication::sink::{ConnId, Expect};
use crate::replication::tail::{Access, Effect, Event};
use crate::runtime::socket::Socket;
use crate::runtime::world::World;
use crate::runtime::{clock, listener};
use crate::session::StreamReader;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::Notify;

/// A connection is made within this time.
const CONNECT_TTL: Duration = Duration::from_secs(1);
const BUFFER_BYTES: usize = 64 * 1024;
/// How often one who gives looks whether our log is mended.
const FAULT_LOOK: Duration = Duration::from_millis(100);

/// One connection to a replica that is asked.
pub struct Asked {
    stream: Option<Rc<RefCell<Socket>>>,
    reader: Option<StreamReader>,
    over: Rc<Cell<bool>>,
    bell: Rc<Notify>,
}

/// Begins, where this node is a master that came back and its machine went down under it.
pub fn begin(world: &Rc<World>) {
    let peers = {
        let mut server = world.server.borrow_mut();
        let links = world.links.borrow();
        let logs = world.disk().store.log().is_some();
        if !logs || !server.stream.must_own() || !links.known.lost_power() {
            return;
        }
        server.source.may_lack_tail();
        links.known.addresses()
    };
    step(world, Event::Begin { peers: &peers });
}

/// One event, and what follows from it.
pub fn step(world: &Rc<World>, event: Event<'_>) {
    let mut out = Vec::new();
    {
        let mut server = world.server.borrow_mut();
        let mut links = world.links.borrow_mut();
        let begins = matches!(event, Event::Begin { .. } | Event::Found { .. });
        if !links.tail.is_searching() && !begins {
            return;
        }
        server.mono = clock::mono();
        let settings = &server.config.settings;
        let some = |text: &str| (!text.is_empty()).then(|| text.as_bytes().to_vec());
        links.tail.configure(Access { user: some(&settings.masteruser), password: some(&settings.masterauth) });
        links.tail.step(server.mono, event, &server.stream, &mut out);
        if links.tail.is_searching() && server.loading.is_none() {
            server.loading = Some(Loading::begun(clock::wall(), LoadingFrom::Replicas));
        }
    }
    if !out.is_empty() {
        world.turn.notify_one();
    }
    for effect in out {
        match effect {
            Effect::Connect { conn, host, port } => connect(world, conn, host, port),
            Effect::Send { conn, bytes } => send(world, conn, &bytes),
            Effect::Close { conn } => close(world, conn),
            Effect::Done => world.server.borrow_mut().loading = None,
            Effect::Log(note) => log(&note),
        }
    }
}

/// A node that was told to follow a master, or is about to end, asks no more.
pub fn stop(world: &Rc<World>) {
    step(world, Event::Stop);
}

fn connect(world: &Rc<World>, conn: ConnId, host: String, port: u16) {
    let (over, bell) = (Rc::new(Cell::new(false)), Rc::new(Notify::new()));
    let asked = Asked { stream: None, reader: None, over: over.clone(), bell: bell.clone() };
    world.links.borrow_mut().asked.insert(conn, asked);
    let world = world.clone();
    tokio::task::spawn_local(async move {
        let connected = async {
            let stream = TcpStream::connect((host.as_str(), port)).await?;
            listener::prepare(&stream, 60);
            world.tls.wrap(stream, &host).await
        };
        let stream = match tokio::time::timeout(CONNECT_TTL, connected).await {
            Ok(Ok(socket)) => Rc::new(RefCell::new(socket)),
            Ok(Err(error)) => return closed(&world, conn, &error.to_string()),
            Err(_) => return closed(&world, conn, "Connection timed out"),
        };
        match world.links.borrow_mut().asked.get_mut(&conn) {
            Some(asked) => asked.stream = Some(stream.clone()),
            None => return,
        }
        step(&world, Event::Connected { conn });
        read(&world, conn, &stream, &over, &bell).await;
    });
}

async fn read(world: &Rc<World>, conn: ConnId, stream: &RefCell<Socket>, over: &Cell<bool>, bell: &Notify) {
    let mut kept: Vec<u8> = Vec::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        while !kept.is_empty() && !over.get() {
            let used = take(world, conn, &kept);
            kept.drain(..used);
            if used == 0 {
                break;
            }
            tokio::task::yield_now().await;
        }
        if kept.len() > BUFFER_BYTES {
            return closed(world, conn, "it says what it was not asked");
        }
        while world.server.borrow().fault.is_some() && !over.get() {
            tokio::time::sleep(FAULT_LOOK).await; // the log has no room: what comes is not read on
        }
        tokio::select! {
            () = bell.notified() => {}
            read = Socket::read(stream, &mut buffer) => match read {
                _ if over.get() => return,
                Ok(0) => return closed(world, conn, "it closed the connection"),
                Ok(count) => kept.extend_from_slice(&buffer[..count]),
                Err(error) => return closed(world, conn, &error.to_string()),
            }
        }
        if over.get() {
            return;
        }
    }
}

/// Uses as much of `bytes` as can be used now; how much that is.
fn take(world: &Rc<World>, conn: ConnId, bytes: &[u8]) -> usize {
    let (expect, most) = world.links.borrow().tail.expects(conn);
    match expect {
        Expect::Line => {
            let Some(end) = memchr::memchr(b'\n', bytes) else { return 0 };
            let line = bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]);
            step(world, Event::Line { conn, line });
            end + 1
        }
        Expect::Stream => {
            let bytes = &bytes[..bytes.len().min(usize::try_from(most).unwrap_or(usize::MAX))];
            match apply(world, conn, bytes) {
                Ok(()) => step(world, Event::Bytes { conn, bytes: bytes.len() as u64 }),
                Err(why) => {
                    tracing::warn!("What a replica gave back is broken: {why}");
                    closed(world, conn, &why);
                }
            }
            perform(world);
            world.turn.notify_one();
            bytes.len()
        }
        Expect::Nothing | Expect::Copy => 0,
    }
}

fn apply(world: &Rc<World>, conn: ConnId, bytes: &[u8]) -> Result<(), String> {
    let mut links = world.links.borrow_mut();
    let mut server = world.server.borrow_mut();
    if !server.stream.must_own() {
        return Err("this node is no longer the master that lost it".into());
    }
    let Some(asked) = links.asked.get_mut(&conn) else { return Ok(()) };
    world.tick(&mut server);
    let reader = asked.reader.get_or_insert_with(|| reader(&mut server));
    let result = reader.input(&mut server, bytes, &mut world.args.borrow_mut());
    server.getack = false; // it was asked of others, long ago
    result.map_err(|error| error.to_string())
}

fn reader(server: &mut Server) -> StreamReader {
    let slot = server.connect(Kind::Stream, String::new(), String::new(), -1);
    server.clients[slot].db = server.stream.db();
    StreamReader::new(slot, Origin::Master)
}

/// What is asked is short: a socket that takes none of it is a broken one.
fn send(world: &Rc<World>, conn: ConnId, bytes: &[u8]) {
    let stream = world.links.borrow().asked.get(&conn).and_then(|asked| asked.stream.clone());
    let Some(stream) = stream else { return };
    let written = stream.borrow_mut().try_write_all(bytes);
    if !matches!(written, Ok(true)) {
        closed(world, conn, "write error");
    }
}

fn closed(world: &Rc<World>, conn: ConnId, why: &str) {
    close(world, conn);
    step(world, Event::Closed { conn, why });
}

fn close(world: &Rc<World>, conn: ConnId) {
    let Some(asked) = world.links.borrow_mut().asked.remove(&conn) else { return };
    asked.over.set(true);
    asked.bell.notify_one();
    if let Some(reader) = asked.reader {
        world.server.borrow_mut().disconnect(reader.slot());
    }
}
