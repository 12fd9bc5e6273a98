//! MIGRATE's socket: sends the values to the other server while the client waits, and takes away what arrived there.

use super::world::World;
use crate::command::Migration;
use crate::resp::{Frame, decode};
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Answers that have not been read yet; one is a line.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Begins; the client is answered when it is over.
pub fn begin(world: &Rc<World>, migration: Box<Migration>) {
    let world = world.clone();
    tokio::task::spawn_local(async move {
        let mut taken = vec![false; migration.moved.len()];
        let mut result = send(&migration, &mut taken).await;
        {
            let mut server = world.server.borrow_mut();
            world.tick(&mut server);
            let removed = server.migrated(&migration, &taken);
            result = result.and(removed);
            server.answer_saved(migration.slot, result.as_ref().copied().map_err(String::as_str));
        }
        world.resume(migration.slot);
        world.turn.notify_one();
    });
}

/// The whole conversation; which keys were taken. Each step has the time that the client has given.
async fn send(migration: &Migration, taken: &mut [bool]) -> Result<(), String> {
    let limit = Duration::from_millis(migration.timeout.0.max(1) as u64);
    let trouble = |what: &str| format!("IOERR error or timeout {what}");
    let connected = tokio::time::timeout(limit, TcpStream::connect((migration.host.as_str(), migration.port))).await;
    let Ok(Ok(mut stream)) = connected else { return Err(trouble("connecting to the client")) };
    let written = tokio::time::timeout(limit, stream.write_all(&migration.request)).await;
    if !matches!(written, Ok(Ok(()))) {
        return Err(trouble("writing to target instance"));
    }
    let (mut held, mut refused) = (Vec::new(), None);
    for number in 0..migration.greetings + taken.len() {
        let answer = tokio::time::timeout(limit, answer(&mut stream, &mut held)).await;
        let Ok(Some(answer)) = answer else {
            return Err(refused.unwrap_or_else(|| trouble("reading to target instance")));
        };
        match (answer.error(), number.checked_sub(migration.greetings)) {
            (Some(error), _) if refused.is_none() => {
                refused = Some(format!("ERR Target instance replied with error: {error}"));
            }
            // Behind a failed AUTH or SELECT nothing counts as taken.
            (None, Some(key)) => taken[key] = true,
            _ => {}
        }
        if refused.is_some() && number < migration.greetings {
            return Err(refused.unwrap_or_default());
        }
    }
    refused.map_or(Ok(()), Err)
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
