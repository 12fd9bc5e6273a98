//! One connection: its socket, and the task that reads from it and finishes what the turn could not send at once.
//!
//! All connections share one read buffer: requests are executed where they were read, and a connection owns memory only
//! for a partial request or unsent output. The task never waits for anything but its socket and its [`Waker`]: a turn
//! that leaves output unsent, or that closes the connection, wakes it.

use super::clock;
use super::socket::Socket;
use super::world::World;
use crate::base::limits::{READ_BUFFER_BYTES, SEND_SHARE_BYTES};
use crate::command::{Closing, Slot};
use crate::session::{self, Progress};
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::ErrorKind;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, ReadBuf};

/// The socket side of a client.
pub struct Connection {
    pub slot: Slot,
    stream: RefCell<Socket>,
    waker: RefCell<Option<Waker>>,
    /// Output waits for the socket.
    unsent: Cell<bool>,
    over: Cell<bool>,
}

/// How far the output went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    All,
    /// The socket takes no more for now, or it is the turn of others.
    Blocked,
    /// The peer is gone.
    Broken,
}

impl Connection {
    /// What goes out may wait to fill packets (`repl-disable-tcp-nodelay`).
    pub fn gather(&self) {
        if let Some(tcp) = self.stream.borrow().tcp() {
            let _ = tcp.set_nodelay(false);
        }
    }

    pub fn new(slot: Slot, stream: Socket) -> Self {
        Connection {
            slot,
            stream: RefCell::new(stream),
            waker: RefCell::new(None),
            unsent: Cell::new(false),
            over: Cell::new(false),
        }
    }

    /// Ends the connection; its task cleans up.
    pub fn end(&self) {
        self.over.set(true);
        self.wake();
    }

    /// Makes the task look again.
    pub fn wake(&self) {
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    /// Gives bytes to the socket; how many it took. Where it takes no more, the task is woken to wait for room: only a
    /// task can, and mostly it is a turn that sends.
    pub fn send(&self, mut bytes: &[u8]) -> (usize, Sent) {
        let mut stream = self.stream.borrow_mut();
        let all = bytes.len();
        while !bytes.is_empty() {
            if all - bytes.len() >= SEND_SHARE_BYTES {
                self.unsent.set(true);
                self.wake();
                return (all - bytes.len(), Sent::Blocked);
            }
            match stream.try_write(bytes) {
                Ok(0) => return (all - bytes.len(), Sent::Broken),
                Ok(n) => bytes = &bytes[n..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.unsent.set(true);
                    self.wake();
                    return (all - bytes.len(), Sent::Blocked);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return (all - bytes.len(), Sent::Broken),
            }
        }
        match stream.try_flush() {
            Ok(()) => (all, Sent::All),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.unsent.set(true);
                self.wake();
                (all, Sent::Blocked)
            }
            Err(_) => (all, Sent::Broken),
        }
    }

    /// Reads what is there, for a loop that is held up: how much; `None` at the end, which its task sees later.
    pub fn read_now(&self, buffer: &mut [u8]) -> Option<usize> {
        match self.stream.borrow_mut().read_now(buffer) {
            Ok(0) => None,
            Ok(count) => Some(count),
            Err(why) if matches!(why.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Some(0),
            Err(_) => None,
        }
    }

    /// The same, but waits so long for something to read.
    pub fn read_within(&self, buffer: &mut [u8], wait_ms: u16) -> Option<usize> {
        match self.read_now(buffer) {
            Some(0) => {
                self.stream.borrow().wait_now(false, wait_ms);
                self.read_now(buffer)
            }
            read => read,
        }
    }

    /// Gives bytes to the system, for a loop that is held up; how many it took.
    pub fn write_now(&self, bytes: &[u8]) -> usize {
        let mut stream = self.stream.borrow_mut();
        let count = stream.write_now(bytes).unwrap_or(0);
        if stream.try_flush().is_err() {
            drop(stream);
            self.unsent.set(true); // TLS keeps something: the task sends it behind the script
            self.wake();
        }
        count
    }

    /// Gives all of it to the system, for a loop that is held up; `false` where that takes longer, or cannot be.
    pub fn write_whole(&self, mut bytes: &[u8], within_ms: u64) -> bool {
        let mut stream = self.stream.borrow_mut();
        let until = clock::micros() + within_ms * 1000;
        while !bytes.is_empty() {
            match stream.write_now(bytes) {
                Ok(0) => return false,
                Ok(count) => bytes = &bytes[count..],
                Err(why) if why.kind() == ErrorKind::WouldBlock && clock::micros() < until => stream.wait_now(true, 10),
                Err(why) if why.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        true
    }

    /// Reads, executes and sends until the connection is over.
    pub async fn serve(self: Rc<Self>, world: Rc<World>) {
        poll_fn(|cx| self.poll(cx, &world)).await;
        self.stream.borrow_mut().close();
        world.forget(&self);
    }

    fn poll(&self, cx: &mut Context<'_>, world: &World) -> Poll<()> {
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        drop(waker);
        if self.over.get() {
            return Poll::Ready(());
        }
        if self.unsent.get() && self.stream.borrow_mut().poll_write_ready(cx).is_ready() {
            self.unsent.set(false);
            world.send(self);
            if self.over.get() {
                return Poll::Ready(());
            }
        }
        self.poll_read(cx, world)
    }

    fn poll_read(&self, cx: &mut Context<'_>, world: &World) -> Poll<()> {
        loop {
            let share = share(world, self.slot);
            let mut shared = world.read_buffer.borrow_mut();
            let mut buffer = ReadBuf::new(&mut shared[..share]);
            match Pin::new(&mut *self.stream.borrow_mut()).poll_read(cx, &mut buffer) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => return Poll::Ready(()),
                Poll::Ready(Ok(())) => {}
            }
            let bytes = buffer.filled();
            let mut server = world.server.borrow_mut();
            server.stats.net_in += bytes.len() as u64;
            server.stats.reads += 1;
            world.tick(&mut server);
            let began = server.last_tick;
            let progress = session::input(&mut server, self.slot, bytes, &mut world.args.borrow_mut());
            let gone = server.clients.get(self.slot).is_none_or(|client| client.closing == Some(Closing::Now));
            if bytes.len() == share {
                world.pace(clock::micros().saturating_sub(began));
            }
            drop(server);
            world.turn.notify_one();
            if gone {
                return Poll::Ready(());
            }
            if progress == Progress::Closing {
                return Poll::Pending; // the turn sends what is left, and ends it
            }
            // A read that did not fill its share has emptied the socket: the next one only says when to come again.
            if bytes.len() == share {
                // More is there: first all others have their turn, those included that the system has yet to name.
                let _ = pin!(tokio::task::yield_now()).poll(cx);
                return Poll::Pending;
            }
        }
    }
}

/// How much the client may bring at once: its share, so that it does not keep the others waiting for long, or what its
/// large request still lacks.
fn share(world: &World, slot: Slot) -> usize {
    let server = world.server.borrow();
    let lacks = server.clients.get(slot).map_or(0, |client| client.parser.wanted(client.partial.len()));
    lacks.clamp(world.read_share(), READ_BUFFER_BYTES)
}
