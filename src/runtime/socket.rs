//! A socket, whatever it is made of.
//!
//! An enum and not a trait object, so that a plain TCP connection costs one branch and no call through a pointer. Two
//! ways to use one: without waiting, as the turn does (`try_write`), and as any stream of tokio's.

use nix::poll::{PollFd, PollFlags, poll};
use socket2::SockRef;
use std::cell::RefCell;
use std::io::{ErrorKind, Read, Result};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsStream;

/// See the module.
pub enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream<Wire>>),
}

/// The TCP connection under TLS.
pub struct Wire {
    stream: TcpStream,
    /// The loop is held up, and hears from nobody what is ready: the system itself is asked.
    direct: bool,
}

impl Wire {
    pub fn new(stream: TcpStream) -> Wire {
        Wire { stream, direct: false }
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let wire = self.get_mut();
        if !wire.direct {
            return Pin::new(&mut wire.stream).poll_read(cx, buffer);
        }
        match (&*SockRef::from(&wire.stream)).read(buffer.initialize_unfilled()) {
            Ok(count) => {
                buffer.advance(count);
                Poll::Ready(Ok(()))
            }
            Err(why) if why.kind() == ErrorKind::WouldBlock => Poll::Pending,
            Err(why) => Poll::Ready(Err(why)),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        let wire = self.get_mut();
        if !wire.direct {
            return Pin::new(&mut wire.stream).poll_write(cx, bytes);
        }
        match SockRef::from(&wire.stream).send(bytes) {
            Err(why) if why.kind() == ErrorKind::WouldBlock => Poll::Pending,
            sent => Poll::Ready(sent),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

impl Socket {
    /// Gives bytes to the system without waiting; how many it took.
    ///
    /// # Errors
    /// `WouldBlock` where it takes none for now; whatever else, and `Ok(0)`, where the peer is gone.
    pub fn try_write(&mut self, bytes: &[u8]) -> Result<usize> {
        match self {
            Socket::Tcp(stream) => stream.try_write(bytes),
            Socket::Unix(stream) => stream.try_write(bytes),
            Socket::Tls(stream) => now(|cx| Pin::new(&mut **stream).poll_write(cx, bytes)),
        }
    }

    /// Whether all that was taken is out: TLS keeps what the system did not take. Without waiting.
    ///
    /// # Errors
    /// `WouldBlock` where something is left.
    pub fn try_flush(&mut self) -> Result<()> {
        match self {
            Socket::Tcp(_) | Socket::Unix(_) => Ok(()),
            Socket::Tls(stream) => now(|cx| Pin::new(&mut **stream).poll_flush(cx)),
        }
    }

    /// Whether it may take bytes again; the task is woken when it does.
    pub fn poll_write_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        match self {
            Socket::Tcp(stream) => stream.poll_write_ready(cx),
            Socket::Unix(stream) => stream.poll_write_ready(cx),
            Socket::Tls(stream) => match Pin::new(&mut **stream).poll_flush(cx) {
                Poll::Ready(Ok(())) => stream.get_ref().0.stream.poll_write_ready(cx),
                flushed => flushed,
            },
        }
    }

    /// Says goodbye where there is a word for it.
    pub fn close(&mut self) {
        if let Socket::Tls(stream) = self {
            let _ = now(|cx| Pin::new(&mut **stream).poll_shutdown(cx));
        }
    }

    /// Its descriptor, as CLIENT LIST shows it.
    pub fn fd(&self) -> RawFd {
        match self {
            Socket::Unix(stream) => stream.as_raw_fd(),
            _ => self.tcp().map_or(-1, AsRawFd::as_raw_fd),
        }
    }

    /// The TCP connection below.
    pub fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Socket::Tcp(stream) => Some(stream),
            Socket::Tls(stream) => Some(&stream.get_ref().0.stream),
            Socket::Unix(_) => None,
        }
    }

    /// Reads what is there into `buffer`; how much. For tasks that share the socket with a turn that writes to it.
    ///
    /// # Errors
    /// The system's, or TLS'.
    pub async fn read(socket: &RefCell<Socket>, buffer: &mut [u8]) -> Result<usize> {
        std::future::poll_fn(|cx| {
            let mut buffer = ReadBuf::new(buffer);
            let read = Pin::new(&mut *socket.borrow_mut()).poll_read(cx, &mut buffer);
            read.map_ok(|()| buffer.filled().len())
        })
        .await
    }

    /// Writes something short; whether all of it was taken.
    ///
    /// # Errors
    /// As [`Socket::try_write`].
    pub fn try_write_all(&mut self, bytes: &[u8]) -> Result<bool> {
        let whole = self.try_write(bytes)? == bytes.len();
        match self.try_flush() {
            Err(why) if why.kind() != ErrorKind::WouldBlock => Err(why),
            _ => Ok(whole), // what TLS keeps goes out with the next words
        }
    }

    /// Reads from the system itself, whatever it is that the task of the socket waits for. For a loop that is held up, and
    /// hears from nobody what is ready.
    ///
    /// # Errors
    /// `WouldBlock` where nothing is there; or the system's, or TLS'.
    pub fn read_now(&mut self, buffer: &mut [u8]) -> Result<usize> {
        match self {
            Socket::Tcp(stream) => (&*SockRef::from(&*stream)).read(buffer),
            Socket::Unix(stream) => (&*SockRef::from(&*stream)).read(buffer),
            Socket::Tls(stream) => directly(stream, |stream| {
                let mut buffer = ReadBuf::new(buffer);
                now(|cx| stream.poll_read(cx, &mut buffer)).map(|()| buffer.filled().len())
            }),
        }
    }

    /// The same for writing; how much the system, or TLS, took.
    ///
    /// # Errors
    /// As [`Socket::read_now`].
    pub fn write_now(&mut self, bytes: &[u8]) -> Result<usize> {
        match self {
            Socket::Tcp(stream) => SockRef::from(&*stream).send(bytes),
            Socket::Unix(stream) => SockRef::from(&*stream).send(bytes),
            Socket::Tls(stream) => directly(stream, |mut stream| {
                let count = now(|cx| stream.as_mut().poll_write(cx, bytes))?;
                let _ = now(|cx| stream.poll_flush(cx)); // what it keeps goes out later
                Ok(count)
            }),
        }
    }

    /// Waits until it can be read from, or written to, but not for longer. For a loop that is held up.
    pub fn wait_now(&self, to_write: bool, wait_ms: u16) {
        let descriptor = match self {
            Socket::Unix(stream) => stream.as_fd(),
            Socket::Tcp(stream) => stream.as_fd(),
            Socket::Tls(stream) => stream.get_ref().0.stream.as_fd(),
        };
        let wanted = if to_write { PollFlags::POLLOUT } else { PollFlags::POLLIN };
        let _ = poll(&mut [PollFd::new(descriptor, wanted)], wait_ms);
    }

    /// Whether something is there to be read, the end included. For a loop that is held up.
    pub fn has_bytes(&self) -> bool {
        let mut byte = [std::mem::MaybeUninit::uninit()];
        let peeked = match self {
            Socket::Unix(stream) => SockRef::from(stream).peek(&mut byte),
            _ => self.tcp().map_or(Ok(0), |stream| SockRef::from(stream).peek(&mut byte)),
        };
        peeked.is_ok()
    }

    /// Whether nothing has come that was not asked for, the end included.
    pub fn is_quiet(&mut self) -> bool {
        let mut byte = [0];
        let mut buffer = ReadBuf::new(&mut byte);
        let read = now(|cx| Pin::new(&mut *self).poll_read(cx, &mut buffer));
        read.is_err_and(|why| why.kind() == ErrorKind::WouldBlock)
    }
}

/// Uses a TLS connection that asks the system itself.
fn directly<T>(stream: &mut TlsStream<Wire>, mut using: impl FnMut(Pin<&mut TlsStream<Wire>>) -> T) -> T {
    let set = |stream: &mut TlsStream<Wire>, direct: bool| match stream {
        TlsStream::Client(stream) => stream.get_mut().0.direct = direct,
        TlsStream::Server(stream) => stream.get_mut().0.direct = direct,
    };
    set(stream, true);
    let done = using(Pin::new(stream));
    set(stream, false);
    done
}

/// What can be done at once. Whoever waits for the socket asks again with a waker of its own, since this one wakes nobody.
fn now<T>(poll: impl FnOnce(&mut Context<'_>) -> Poll<Result<T>>) -> Result<T> {
    let mut poll = Some(poll);
    // What the socket takes depends on the socket alone, not on how much its task has done in this turn.
    let once = std::pin::pin!(tokio::task::unconstrained(std::future::poll_fn(|cx| match poll.take() {
        Some(poll) => poll(cx),
        None => Poll::Pending,
    })));
    match once.poll(&mut Context::from_waker(std::task::Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => Err(ErrorKind::WouldBlock.into()),
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        match self.get_mut() {
            Socket::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Socket::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
            Socket::Tls(stream) => Pin::new(&mut **stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        match self.get_mut() {
            Socket::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Socket::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
            Socket::Tls(stream) => Pin::new(&mut **stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        match self.get_mut() {
            Socket::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Socket::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Socket::Tls(stream) => Pin::new(&mut **stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        match self.get_mut() {
            Socket::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Socket::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Socket::Tls(stream) => Pin::new(&mut **stream).poll_shutdown(cx),
        }
    }
}

/// A socket of which the first bytes were read already, to find out who speaks.
pub struct Begun {
    head: Vec<u8>,
    pub socket: Socket,
}

impl Begun {
    /// `head` comes again before what the socket brings.
    pub fn new(head: Vec<u8>, socket: Socket) -> Self {
        Begun { head, socket }
    }
}

impl AsyncRead for Begun {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let begun = self.get_mut();
        if begun.head.is_empty() {
            return Pin::new(&mut begun.socket).poll_read(cx, buffer);
        }
        let count = begun.head.len().min(buffer.remaining());
        buffer.put_slice(&begun.head[..count]);
        begun.head.drain(..count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Begun {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}
