//! Links to nodes: connected for as long as they are wanted, with short pauses between tries.
//!
//! A connection that ends is noticed at once, and a refused one is tried again ten times a second: a local refusal
//! costs next to nothing, and a node that comes back is to be found within that time.

use super::World;
use crate::failover::Addr;
use crate::monitor::{Event, LinkId, LinkKind};
use crate::resp;
use crate::runtime::listener;
use crate::runtime::socket::Socket;
use crate::runtime::tls::Tls;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

/// Commands that may wait for a link.
pub const QUEUE_MAX: usize = 1024;
/// A connection is made within this time.
const CONNECT_TTL: Duration = Duration::from_millis(1000);
/// The first pause after a failure, and the longest after a refusal.
const PAUSE: Duration = Duration::from_millis(50);
const PAUSE_REFUSED_MAX: Duration = Duration::from_millis(100);
/// The longest pause where nobody answers at all.
const PAUSE_MAX: Duration = Duration::from_millis(1000);
const BUFFER_BYTES: usize = 16 * 1024;
const REPLY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// For a link's task.
#[derive(Debug)]
pub enum ToLink {
    /// Bytes for this connection.
    Bytes(u64, Vec<u8>),
    /// Give the connection up.
    Reconnect,
}

/// Keeps one link until its queue is closed.
pub async fn run(
    world: Rc<World>,
    link: LinkId,
    addr: Addr,
    kind: LinkKind,
    greeting: Vec<Vec<Vec<u8>>>,
    mut queue: mpsc::Receiver<ToLink>,
) {
    let mut pause = PAUSE;
    // The last complaint of the node about the greeting: each is told once, not at every connection.
    let mut told = None;
    // The same of a handshake that fails.
    let mut secret: Option<String> = None;
    for conn in 1.. {
        let stream = tokio::select! {
            stream = connect(&world.tls, &addr) => stream,
            () = closed(&mut queue) => return,
        };
        if let Err(why) = &stream
            && why.kind() == std::io::ErrorKind::InvalidData
            && secret.as_deref() != Some(&*why.to_string())
        {
            tracing::warn!("no TLS connection to {addr}: {why}");
            secret = Some(why.to_string());
        }
        let longest = match &stream {
            Err(why) if why.kind() == std::io::ErrorKind::ConnectionRefused => PAUSE_REFUSED_MAX,
            _ => PAUSE_MAX,
        };
        if let Ok(stream) = stream {
            let lived = tokio::time::Instant::now();
            let ended = serve(&world, link, conn, kind, &addr, &greeting, stream, &mut queue, &mut told).await;
            world.event(Event::LinkDown { link });
            match ended {
                Ended::Closed => return,
                // One that worked is made anew at once.
                Ended::Broken if lived.elapsed() > PAUSE => {
                    pause = PAUSE;
                    continue;
                }
                Ended::Broken => {}
            }
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = closed(&mut queue) => return,
        }
        pause = (pause * 2).min(longest);
    }
}

enum Ended {
    Broken,
    /// Nobody wants the link any more.
    Closed,
}

/// Waits until the link is not wanted; what is sent to a connection that is not there is dropped.
async fn closed(queue: &mut mpsc::Receiver<ToLink>) {
    while queue.recv().await.is_some() {}
}

async fn connect(tls: &Tls, addr: &Addr) -> std::io::Result<Socket> {
    let connected = async {
        let stream = TcpStream::connect((addr.host.as_str(), addr.port)).await?;
        listener::prepare(&stream, 60);
        tls.wrap(stream, &addr.host).await
    };
    tokio::time::timeout(CONNECT_TTL, connected).await.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
}

#[expect(clippy::too_many_arguments, reason = "the pieces of one link, used once")]
async fn serve(
    world: &Rc<World>,
    link: LinkId,
    conn: u64,
    kind: LinkKind,
    addr: &Addr,
    greeting: &[Vec<Vec<u8>>],
    mut stream: Socket,
    queue: &mut mpsc::Receiver<ToLink>,
    told: &mut Option<String>,
) -> Ended {
    let mut bytes = Vec::new();
    greeting.iter().for_each(|words| resp::command(words, &mut bytes));
    if stream.write_all(&bytes).await.is_err() || stream.flush().await.is_err() {
        return Ended::Broken;
    }
    let mut own_replies = greeting.len();
    world.event(Event::LinkUp { link, conn });
    let mut buffer = Vec::with_capacity(BUFFER_BYTES);
    loop {
        tokio::select! {
            read = stream.read_buf(&mut buffer) => match read {
                Ok(0) | Err(_) => return Ended::Broken,
                Ok(_) => {}
            },
            what = queue.recv() => {
                match what {
                    None => return Ended::Closed,
                    Some(ToLink::Reconnect) => return Ended::Broken,
                    Some(ToLink::Bytes(of, bytes)) if of == conn => {
                        if stream.write_all(&bytes).await.is_err() || stream.flush().await.is_err() {
                            return Ended::Broken;
                        }
                    }
                    Some(ToLink::Bytes(..)) => {}
                }
                continue;
            }
        }
        let mut used = 0;
        loop {
            match resp::decode(&buffer[used..]) {
                Ok(Some((frame, length))) => {
                    used += length;
                    if own_replies > 0 {
                        own_replies -= 1;
                        if let Some(why) = frame.error() {
                            // The last command of a greeting is CLIENT SETNAME; before it stands AUTH, if at all.
                            let what = if own_replies == 0 { "CLIENT SETNAME" } else { "AUTH" };
                            if told.as_deref() != Some(why) {
                                tracing::warn!("{addr} answered {what} on the {kind:?} link: {why}");
                                *told = Some(why.to_owned());
                            }
                        } else if own_replies == 0 {
                            *told = None;
                        }
                    } else {
                        world.event(Event::Reply { link, conn, frame });
                    }
                }
                Ok(None) if buffer.len() - used > REPLY_BYTES_MAX => return Ended::Broken,
                Ok(None) => break,
                Err(why) => {
                    tracing::warn!("{addr} speaks no RESP: {why}");
                    return Ended::Broken;
                }
            }
        }
        buffer.drain(..used);
    }
}
