//! The sentinel's port: members by their greeting, everybody else speaks RESP.

use super::{World, address, peers};
use crate::consensus::wire;
use crate::monitor::{Answered, Ask, ClientId, Later, Next};
use crate::resp::{Args, Parser, RequestLimits, Step, Writer};
use crate::runtime::listener;
use crate::runtime::socket::{Begun, Socket};
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// Messages that a subscriber may have waiting.
const MESSAGES_MAX: usize = 4096;
const BUFFER_BYTES: usize = 4 * 1024;

/// Accepts connections for as long as the sentinel runs.
pub async fn accept(world: Rc<World>, listener: TcpListener, secure: bool) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let keepalive = world.monitor.borrow().config.settings.tcp_keepalive;
                listener::prepare(&stream, keepalive);
                let world = world.clone();
                tokio::task::spawn_local(async move {
                    if !secure {
                        return enter(world, Socket::Tcp(stream)).await;
                    }
                    match world.tls.clone().accept(stream).await {
                        Ok(socket) => enter(world, socket).await,
                        Err(why) => tracing::warn!("Error accepting a client connection: {why} (addr={peer})"),
                    }
                });
            }
            Err(error) => {
                tracing::warn!("Accepting client connection: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn enter(world: Rc<World>, mut socket: Socket) {
    let mut first = Vec::with_capacity(wire::GREETING.len());
    loop {
        let count = socket.read_buf(&mut first).await;
        match wire::is_greeting(&first) {
            _ if !matches!(count, Ok(1..)) => return,
            Some(true) => return peers::serve(world, Begun::new(first, socket)).await,
            Some(false) => break,
            None => {} // part of a greeting
        }
    }
    let (addr, laddr) = socket.tcp().map(|stream| (stream.peer_addr(), stream.local_addr())).expect("TCP or TLS");
    let mut stream = Begun::new(first, socket);
    let full = {
        let monitor = world.monitor.borrow();
        monitor.clients.all.len() as i64 >= monitor.config.settings.maxclients
    };
    if full {
        let _ = send(&mut stream, b"-ERR max number of clients reached\r\n").await;
        return;
    }
    let [addr, laddr] = [addr, laddr].map(|addr| addr.map(|addr| addr.to_string()).unwrap_or_default());
    let client = world.monitor.borrow_mut().connected(super::now(), addr, laddr);
    let (sender, messages) = mpsc::channel(MESSAGES_MAX);
    world.clients.borrow_mut().insert(client, sender);
    serve(&world, client, stream, messages).await;
    world.clients.borrow_mut().remove(&client);
    world.monitor.borrow_mut().disconnected(client);
}

async fn send(stream: &mut Begun, bytes: &[u8]) -> std::io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}

async fn serve(world: &Rc<World>, client: ClientId, mut stream: Begun, mut messages: mpsc::Receiver<Vec<u8>>) {
    let (mut parser, mut args) = (Parser::default(), Args::default());
    let mut input = Vec::with_capacity(BUFFER_BYTES);
    let mut output = Vec::new();
    loop {
        tokio::select! {
            read = stream.read_buf(&mut input) => match read {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            },
            message = messages.recv() => {
                let Some(message) = message else { return };
                output.extend(message);
                while let Ok(more) = messages.try_recv() {
                    output.extend(more);
                }
                if send(&mut stream, &output).await.is_err() {
                    return;
                }
                output.clear();
                continue;
            }
        }
        loop {
            let (authenticated, proto) = {
                let monitor = world.monitor.borrow();
                let Some(known) = monitor.clients.all.get(&client) else { return };
                (known.authenticated, known.proto)
            };
            let limits = RequestLimits { bulk_bytes_max: 512 * 1024 * 1024, authenticated };
            let consumed = match parser.next(&input, &limits, &mut args) {
                Ok(Step::Incomplete) => break,
                Ok(Step::Empty { consumed }) => consumed,
                Ok(Step::Command { consumed }) => {
                    let words: Vec<Vec<u8>> = args.request(&input).iter().map(<[u8]>::to_vec).collect();
                    execute(world, client, &words, &mut output).await;
                    consumed
                }
                Err(error) => {
                    Writer::new(&mut output, proto).protocol_error(&error);
                    let _ = send(&mut stream, &output).await;
                    return;
                }
            };
            input.drain(..consumed);
        }
        if !output.is_empty() && send(&mut stream, &output).await.is_err() {
            return;
        }
        output.clear();
        if world.monitor.borrow().clients.all.get(&client).is_none_or(|known| known.closing) {
            return;
        }
    }
}

/// Waits while CLIENT PAUSE holds this command up.
async fn unpaused(world: &Rc<World>, words: &[&[u8]]) {
    loop {
        let changed = world.pause_bell.notified();
        let now = super::now().mono;
        let Some(until) = world.monitor.borrow().clients.paused_until(now, words) else { return };
        let pause = Duration::from_millis(until.since(now).0 as u64);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = changed => {}
        }
    }
}

/// One request, with whatever it needs from the group or the disk.
async fn execute(world: &Rc<World>, client: ClientId, words: &[Vec<u8>], output: &mut Vec<u8>) {
    let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
    unpaused(world, &words).await;
    let mut answered = None;
    loop {
        let ask = Ask { client, words: &words, answered: answered.take() };
        let mut out = Vec::new();
        let next = world.monitor.borrow_mut().request(super::now(), &ask, output, &mut out);
        world.perform(out);
        let killed = std::mem::take(&mut world.monitor.borrow_mut().clients.killed);
        for other in killed.into_iter().filter(|other| *other != client) {
            world.clients.borrow_mut().remove(&other);
        }
        answered = Some(match next {
            Next::Done => return,
            Next::Shutdown => {
                tracing::warn!("User requested shutdown...");
                world.exit.notify_one();
                std::future::pending::<()>().await;
                return;
            }
            Next::Later(Later::Confirm) => match world.group.linearizable().await {
                Ok(_) => {
                    world.drain();
                    Answered::Confirmed
                }
                Err(why) => Answered::NoQuorum(why.to_string()),
            },
            Next::Later(Later::Resolve(host)) => Answered::Resolved(address::resolve(&host).await),
            Next::Later(Later::Propose(entry)) => Answered::Proposed(world.propose(&entry).await),
            Next::Later(Later::Flush) => {
                let wanted = world.ask_rewrite();
                let mut rewritten = world.rewritten.subscribe();
                let done = rewritten.wait_for(|(done, _)| *done >= wanted).await;
                Answered::Flushed(done.map_or_else(|why| Err(why.to_string()), |done| done.1.clone()))
            }
        });
    }
}
