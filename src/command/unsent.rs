//! Output that a socket did not take. What is large is set aside in whole buffers: sending some of it moves none of the
//! rest, and what comes behind it begins a buffer of its own instead of making one grow without end.

use super::client::Client;
use std::collections::VecDeque;

/// A rest as small as this is moved to the front of its buffer instead, in bytes.
const MOVED_BYTES_MAX: usize = 64 * 1024;

/// Buffers in the order in which they go out, all of them cleared to be sent.
#[derive(Debug, Default)]
pub struct Unsent {
    buffers: VecDeque<Vec<u8>>,
    /// How much of the first is gone.
    gone: usize,
    bytes: usize,
}

impl Unsent {
    pub fn len(&self) -> usize {
        self.bytes
    }

    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// What the buffers take.
    pub fn held(&self) -> usize {
        self.buffers.iter().map(Vec::capacity).sum()
    }

    fn first(&self) -> Option<&[u8]> {
        self.buffers.front().map(|buffer| &buffer[self.gone..])
    }

    fn sent(&mut self, bytes: usize) {
        self.bytes -= bytes;
        self.gone += bytes;
        if self.buffers.front().is_some_and(|buffer| buffer.len() == self.gone) {
            self.buffers.pop_front();
            self.gone = 0;
        }
    }

    fn push(&mut self, buffer: Vec<u8>, gone: usize) {
        debug_assert!(gone == 0 || self.is_empty(), "only the first can be sent in part");
        self.bytes += buffer.len() - gone;
        self.gone += gone;
        self.buffers.push_back(buffer);
    }
}

impl Client {
    /// Bytes of output that wait, those included that are not cleared yet.
    pub fn waiting_bytes(&self) -> usize {
        self.unsent.len() + self.out.len()
    }

    pub fn has_output(&self) -> bool {
        !(self.out.is_empty() && self.unsent.is_empty())
    }

    /// Whether some of its output may be sent.
    pub fn may_send(&self) -> bool {
        self.cleared > 0 || !self.unsent.is_empty()
    }

    /// Drops all of its output.
    pub fn drop_output(&mut self) {
        (self.out, self.cleared, self.unsent) = (Vec::new(), 0, Unsent::default());
    }

    /// Offers what may be sent to `send`, which says how much it took, until it takes less than it was offered; how much it
    /// took in all.
    pub fn give(&mut self, mut send: impl FnMut(&[u8]) -> usize) -> usize {
        let before = self.waiting_bytes();
        while let Some(bytes) = self.unsent.first() {
            let (offered, took) = (bytes.len(), send(bytes));
            self.unsent.sent(took);
            if took < offered {
                self.set_aside(0);
                return before - self.waiting_bytes();
            }
        }
        if self.cleared > 0 {
            let took = send(&self.out[..self.cleared]);
            if took == self.out.len() {
                self.out.clear();
                self.out.shrink_to(self.reply.bytes);
                self.cleared = 0;
            } else {
                self.set_aside(took);
            }
        }
        before - self.waiting_bytes()
    }

    /// Sets what is cleared aside if it is large; its first `gone` bytes are sent.
    fn set_aside(&mut self, gone: usize) {
        if self.cleared - gone <= MOVED_BYTES_MAX {
            self.out.drain(..gone);
            self.cleared -= gone;
            return;
        }
        let mut rest = Vec::with_capacity(self.reply.bytes.max(self.out.len() - self.cleared));
        rest.extend_from_slice(&self.out[self.cleared..]);
        self.out.truncate(self.cleared);
        self.unsent.push(std::mem::replace(&mut self.out, rest), gone);
        self.cleared = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Millis;
    use crate::command::Kind;

    fn client(out: &[u8]) -> Client {
        let mut client = Client::new(1, Kind::Normal, "127.0.0.1:1".into(), "127.0.0.1:2".into(), 8, Millis(0));
        client.out = out.to_vec();
        client.cleared = out.len();
        client
    }

    #[test]
    fn all_goes_out_once_and_in_order_whatever_the_socket_takes() {
        for piece in [1, 7, 1000, 65_536, 100_000, 1 << 20] {
            let (mut client, mut expected, mut got) = (client(&[]), Vec::new(), Vec::new());
            for round in 0..40_u32 {
                let reply: Vec<u8> = (0..round * round * 300).map(|at| (at ^ round) as u8).collect();
                expected.extend_from_slice(&reply);
                client.out.extend_from_slice(&reply);
                let before = got.len();
                let took = client.give(|bytes| {
                    let took = bytes.len().min(piece);
                    got.extend_from_slice(&bytes[..took]);
                    took
                });
                assert_eq!(took, got.len() - before);
                assert_eq!(client.waiting_bytes(), expected.len() - got.len());
                client.cleared = client.out.len();
            }
            while client.may_send() {
                client.give(|bytes| {
                    got.extend_from_slice(bytes);
                    bytes.len()
                });
            }
            assert!(got == expected, "pieces of {piece}");
            assert!(!client.has_output());
        }
    }

    #[test]
    fn a_large_rest_is_not_moved() {
        let mut client = client(&vec![b'x'; 10 << 20]);
        let place = client.out.as_ptr();
        for _ in 0..5 {
            assert_eq!(client.give(|bytes| bytes.len().min(1 << 20)), 1 << 20);
        }
        assert_eq!(client.unsent.buffers[0].as_ptr(), place);
        assert_eq!(client.unsent.len(), 5 << 20);
        assert!(client.out.capacity() <= client.reply.bytes, "and what comes behind it has a buffer of its own");
    }

    #[test]
    fn what_is_not_cleared_stays() {
        let mut client = client(&vec![b'x'; 1 << 20]);
        client.out.extend_from_slice(b"later");
        client.give(|_| 3);
        assert_eq!((client.out.as_slice(), client.cleared), (b"later".as_slice(), 0));
        assert_eq!(client.give(|bytes| bytes.len()), (1 << 20) - 3);
        assert!(!client.may_send() && client.has_output());
    }
}
