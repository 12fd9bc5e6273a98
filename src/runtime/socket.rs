//! A client's socket, whatever it is made of: what a connection asks of one, and nothing more.
//!
//! An enum and not a trait object, so that a plain TCP connection costs one branch and no call through a pointer.

use std::io::Result;
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// See the module.
pub enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
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
        }
    }

    /// Whether it may take bytes again; the task is woken when it does.
    pub fn poll_write_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        match self {
            Socket::Tcp(stream) => stream.poll_write_ready(cx),
            Socket::Unix(stream) => stream.poll_write_ready(cx),
        }
    }

    /// Reads what is there; nothing read is the end.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        match self {
            Socket::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Socket::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }

    /// Its descriptor, as CLIENT LIST shows it.
    pub fn fd(&self) -> RawFd {
        match self {
            Socket::Tcp(stream) => stream.as_raw_fd(),
            Socket::Unix(stream) => stream.as_raw_fd(),
        }
    }
}
