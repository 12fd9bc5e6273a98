//! What a client takes of the memory: the figures of CLIENT LIST and INFO, and what `maxmemory-clients` counts.
//!
//! Nothing is kept per request for them: they are read off the client's buffers by whoever asks. Each is found in a few
//! steps, however much the client has queued, watches or listens to.
//!
//! Output is one buffer here, while Redis has a small one and a list of blocks behind it: the first 16 KiB are told as that
//! buffer (`rbs`, `obl`), what is above as the list (`oll`, `omem`). The bytes of a request that is not whole are the query
//! buffer; a request that came whole was executed where it was read, and has none.

use super::args::OwnedArgs;
use super::client::{Blocked, Client, Kind, Multi, Watched};
use super::spec::Spec;
use super::tracking::Mode;
use crate::base::limits::REPLY_BUFFER_BYTES_MAX;

/// What a name in an ordered set takes beside its bytes, about.
const NAME_BYTES: usize = size_of::<Vec<u8>>() * 3 / 2;

/// What a prefix of CLIENT TRACKING takes with its bytes, about.
const PREFIX_BYTES: usize = 64;

/// In bytes, but for `oll`; the names are CLIENT LIST's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientMemory {
    pub qbuf: usize,
    pub qbuf_free: usize,
    /// The words of the request that it waits with, and those that have come of one that is not whole.
    pub argv: usize,
    pub multi: usize,
    pub rbs: usize,
    pub obl: usize,
    pub oll: usize,
    pub omem: usize,
    pub total: usize,
}

impl Client {
    /// See the module.
    pub fn memory(&self) -> ClientMemory {
        let queued = self.multi.as_ref().map_or(0, |multi| multi.bytes());
        let waits = match &self.blocked {
            Some(Blocked::Keys { request, .. } | Blocked::Paused { request, .. }) => request.bytes(),
            _ => 0,
        };
        let read = self.parser.read_bytes().min(self.partial.len());
        let (held, waiting) = (self.out.capacity() + self.unsent.held(), self.waiting_bytes());
        let rbs = self.out.capacity().min(REPLY_BUFFER_BYTES_MAX);
        let beyond = waiting.saturating_sub(REPLY_BUFFER_BYTES_MAX);
        let watched = self.watching.capacity() * size_of::<Watched>();
        let names = self.name.capacity() + self.lib_name.capacity() + self.lib_ver.capacity();
        let listening = (self.channels.len() + self.patterns.len() + self.shards.len()) * NAME_BYTES;
        let prefixes = match self.tracking.as_deref().map(|tracking| &tracking.mode) {
            Some(Mode::Broadcast(prefixes)) => prefixes.len() * PREFIX_BYTES,
            _ => 0,
        };
        let own = size_of::<Client>() + self.addr.capacity() + self.laddr.capacity() + names;
        let kept = watched + listening + self.named_bytes + prefixes;
        let query = self.partial.capacity() + self.parser.held_bytes();
        ClientMemory {
            qbuf: self.partial.len() - read,
            qbuf_free: self.partial.capacity() - self.partial.len(),
            argv: waits + read,
            multi: queued,
            rbs,
            obl: waiting.min(REPLY_BUFFER_BYTES_MAX),
            oll: beyond.div_ceil(REPLY_BUFFER_BYTES_MAX),
            omem: held - rbs,
            total: own + query + waits + queued + held + kept,
        }
    }

    /// Bytes that it has sent and that wait, and the words of the request that it waits with.
    pub(super) fn input_bytes(&self) -> usize {
        let memory = self.memory();
        memory.qbuf + memory.qbuf_free + memory.argv
    }
}

impl Multi {
    /// Bytes that are queued.
    fn bytes(&self) -> usize {
        self.words_bytes + self.queue.capacity() * size_of::<(&'static Spec, OwnedArgs)>()
    }
}

impl super::Server {
    /// What all clients of a kind take.
    pub fn memory_of_clients(&self, kind: Kind) -> u64 {
        let of_kind = self.clients.iter().filter(|(_, client)| client.kind == kind);
        of_kind.map(|(_, client)| client.memory().total as u64).sum()
    }
}
