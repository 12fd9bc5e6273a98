//! MIGRATE's socket: sends the values to the other server while the client waits, and takes away what arrived there.
//!
//! A connection stays open for ten seconds, for the next values that go into the same database there with the same login,
//! which is said each time: it may have been taken back.

use super::clock;
use super::world::World;
use crate::base::Millis;
use crate::command::{Migration, Server};
use crate::resp::{Frame, decode};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Answers that have not been read yet; one is a line.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Connections that are kept, and for how long.
const KEPT_MAX: usize = 64;
const KEPT_FOR: Millis = Millis(10_000);

/// Where a connection goes, and how it was greeted: who does not say the password is not lent one of another's.
type Peer = (String, u16, Vec<u8>);

/// Connections without a migration, the latest used last.
#[derive(Default)]
pub struct Kept(VecDeque<(Peer, TcpStream, Millis)>);

impl Kept {
    fn take(&mut self, server: &mut Server, peer: &Peer) -> Option<TcpStream> {
        let at = self.0.iter().rposition(|(kept, ..)| kept == peer)?;
        let (_, stream, _) = self.0.remove(at)?;
        server.kept_migrations = self.0.len();
        Some(stream)
    }

    fn keep(&mut self, server: &mut Server, peer: Peer, stream: TcpStream) {
        self.0.push_back((peer, stream, clock::mono()));
        if self.0.len() > KEPT_MAX {
            self.0.pop_front();
        }
        server.kept_migrations = self.0.len();
    }

    /// Closes those that nobody has used for long.
    pub fn tend(&mut self, server: &mut Server) {
        let now = clock::mono();
        while self.0.front().is_some_and(|(.., used)| now.since(*used) > KEPT_FOR) {
            self.0.pop_front();
        }
        server.kept_migrations = self.0.len();
    }
}

/// Begins; the client is answered when it is over.
pub fn begin(world: &Rc<World>, migration: Box<Migration>) {
    let world = world.clone();
    tokio::task::spawn_local(async move {
        let mut taken = vec![false; migration.moved.len()];
        let mut result = carry(&world, &migration, &mut taken).await;
        {
            let mut server = world.server.borrow_mut();
            world.tick(&mut server);
            let removed = server.migrated(&migration, &taken);
            result = result.and(removed);
            server.answer_saved(migration.waiter, result.as_ref().copied().map_err(String::as_str));
        }
        world.resume(migration.waiter.slot);
        world.turn.notify_one();
    });
}

/// What went wrong.
enum Trouble {
    /// The connection ended before anything was answered: one that was kept may have been closed long ago.
    Silent(String),
    Told(String),
}

/// Over a connection that was kept, or a new one; which keys were taken.
async fn carry(world: &World, migration: &Migration, taken: &mut [bool]) -> Result<(), String> {
    let limit = Duration::from_millis(migration.timeout.0.max(1) as u64);
    let greetings = migration.request[..migration.greeting_bytes].to_vec();
    let peer: Peer = (migration.host.clone(), migration.port, greetings);
    let mut kept = world.kept.borrow_mut().take(&mut world.server.borrow_mut(), &peer);
    loop {
        let was_kept = kept.is_some();
        let mut stream = match kept.take() {
            Some(stream) => stream,
            None => {
                let connected = TcpStream::connect((migration.host.as_str(), migration.port));
                match tokio::time::timeout(limit, connected).await {
                    Ok(Ok(stream)) => stream,
                    _ => return Err(failed("connecting to the client")),
                }
            }
        };
        let _ = stream.set_nodelay(true); // slower without
        match send(&mut stream, migration, taken, limit, !was_kept || migration.greetings > 1).await {
            Err(Trouble::Silent(_)) if was_kept => {}
            Err(Trouble::Silent(why) | Trouble::Told(why)) => return Err(why),
            Ok(refused) => {
                world.kept.borrow_mut().keep(&mut world.server.borrow_mut(), peer, stream);
                return refused.map_or(Ok(()), Err);
            }
        }
    }
}

fn failed(what: &str) -> String {
    format!("IOERR error or timeout {what}")
}

/// Greets where that is needed, and sends the values only to who took the greetings: they belong into one database. What
/// the other server refused of the values, if anything.
async fn send(
    stream: &mut TcpStream,
    migration: &Migration,
    taken: &mut [bool],
    limit: Duration,
    greets: bool,
) -> Result<Option<String>, Trouble> {
    let (greetings, values) = migration.request.split_at(migration.greeting_bytes);
    let mut refused = None;
    let mut note = |_, answer: &Frame| {
        if let Some(error) = answer.error().filter(|_| refused.is_none()) {
            refused = Some(format!("ERR Target instance replied with error: {error}"));
        }
    };
    if greets {
        ask(stream, greetings, migration.greetings, limit, &mut note).await?;
        if let Some(refused) = refused {
            return Err(Trouble::Told(refused));
        }
    }
    let mut refused = None;
    let keys = taken.len();
    let note = |key: usize, answer: &Frame| match answer.error() {
        Some(error) if refused.is_none() => {
            refused = Some(format!("ERR Target instance replied with error: {error}"));
        }
        Some(_) => {}
        None => taken[key] = true,
    };
    ask(stream, values, keys, limit, note).await?;
    Ok(refused)
}

/// Sends requests and hears the answers. Each step has the time that the client has given.
async fn ask(
    stream: &mut TcpStream,
    requests: &[u8],
    count: usize,
    limit: Duration,
    mut note: impl FnMut(usize, &Frame),
) -> Result<(), Trouble> {
    match tokio::time::timeout(limit, stream.write_all(requests)).await {
        Ok(Ok(())) => {}
        Ok(Err(_)) => return Err(Trouble::Silent(failed("writing to target instance"))),
        Err(_) => return Err(Trouble::Told(failed("writing to target instance"))),
    }
    let mut held = Vec::new();
    for number in 0..count {
        match tokio::time::timeout(limit, answer(stream, &mut held)).await {
            Ok(Some(answer)) => note(number, &answer),
            Ok(None) if number == 0 && held.is_empty() => {
                return Err(Trouble::Silent(failed("reading to target instance")));
            }
            _ => return Err(Trouble::Told(failed("reading to target instance"))),
        }
    }
    Ok(())
}

/// The next answer; `None` where the connection ends or speaks something else.
async fn answer(stream: &mut TcpStream, held: &mut Vec<u8>) -> Option<Frame> {
    loop {
        if let Some((frame, len)) = decode(held).ok()? {
            held.drain(..len);
            return Some(frame);
        }
        let read = stream.read_buf(held).await.ok()?;
        if read == 0 || held.len() > ANSWER_BYTES_MAX {
            return None;
        }
    }
}
