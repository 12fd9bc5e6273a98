//! `client-output-buffer-limit`: a client that does not read what it is sent is closed, before it takes all memory.
//!
//! Looked at for each client with new output, behind what was executed and before anything is sent, and once a second for
//! all: a soft limit is one of time too.

use super::client::{Closing, Kind, Replies, Slot};
use super::{Cx, Server, client_line};
use crate::base::limits::REPLY_BUFFER_BYTES_MAX;

/// What never counts: in Redis the first bytes of a reply lie in a buffer that each client has anyway.
pub const UNCOUNTED_BYTES: usize = REPLY_BUFFER_BYTES_MAX;

impl Server {
    /// Closes the client if its output is above the limits of its class; whether it does.
    pub fn limit_output(&mut self, slot: Slot) -> bool {
        let Some(client) = self.clients.get_mut(slot) else { return false };
        let limits = &self.config.settings.client_output_buffer_limit;
        let limit = match client.kind {
            Kind::Stream => return false,
            Kind::Replica => limits.replica,
            Kind::Normal if client.listens() => limits.pubsub,
            Kind::Normal => limits.normal,
        };
        if client.closing == Some(Closing::Now) {
            return false;
        }
        let waiting = client.waiting_bytes().saturating_sub(UNCOUNTED_BYTES) as u64;
        let reaches = |bytes: u64| bytes != 0 && waiting >= bytes;
        let since = match reaches(limit.soft_bytes) {
            true => *client.soft_since.get_or_insert(self.mono),
            false => {
                client.soft_since = None;
                self.mono
            }
        };
        let too_long = self.mono.seconds() - since.seconds() > limit.soft_seconds;
        if !reaches(limit.hard_bytes) && !too_long {
            return false;
        }
        self.over_output_limit(slot);
        true
    }

    /// The client's output is above its limit.
    pub fn over_output_limit(&mut self, slot: Slot) {
        tracing::warn!(
            "Client {} scheduled to be closed ASAP for overcoming of output buffer limits.",
            client_line(self, slot)
        );
        self.stats.output_buffer_disconnections += 1;
        self.clients[slot].drop_output();
        self.close(slot, Closing::Now);
    }
}

impl Cx<'_> {
    /// How long the reply may become until its client is closed for it; one that may be endless stops there. Behind a
    /// length that is not known before (`counted_all`), Redis counts every byte.
    pub fn reply_bytes_max(&mut self, counted_all: bool) -> usize {
        if self.obeys() || self.server.scripting.runs() || self.client().replies != Replies::On {
            return usize::MAX; // nobody is sent it as it is
        }
        let limits = &self.server.config.settings.client_output_buffer_limit;
        let limits = (limits.pubsub.hard_bytes, limits.normal.hard_bytes);
        let hard_bytes = if self.client().listens() { limits.0 } else { limits.1 };
        match hard_bytes {
            0 => usize::MAX,
            bytes => (bytes as usize).saturating_add(if counted_all { 0 } else { UNCOUNTED_BYTES }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Millis;
    use crate::command::testing;

    fn server(limits: &str) -> (Server, Slot) {
        let mut server = testing::server(limits);
        let slot = server.connect(Kind::Normal, "127.0.0.1:1".into(), "127.0.0.1:2".into(), 8);
        (server, slot)
    }

    #[test]
    fn above_the_hard_limit_a_client_is_closed_at_once() {
        let (mut server, slot) = server("client-output-buffer-limit normal 1000 0 0");
        server.clients[slot].out = vec![0; UNCOUNTED_BYTES + 999];
        assert!(!server.limit_output(slot));
        server.clients[slot].out = vec![0; UNCOUNTED_BYTES + 1000];
        assert!(server.limit_output(slot));
        assert_eq!(server.clients[slot].closing, Some(Closing::Now));
        assert_eq!(server.stats.output_buffer_disconnections, 1);
        assert!(!server.limit_output(slot), "once");
    }

    #[test]
    fn above_the_soft_limit_it_has_its_time_which_begins_anew_when_it_was_below() {
        let (mut server, slot) = server("client-output-buffer-limit pubsub 0 1000 5");
        server.clients[slot].channels.insert(b"c".to_vec());
        for (at, out, closes) in
            [(0, 2000, false), (5, 2000, false), (6, 10, false), (7, 2000, false), (12, 2000, false), (13, 2000, true)]
        {
            server.mono = Millis(at * 1000);
            server.clients[slot].out = vec![0; UNCOUNTED_BYTES + out];
            assert_eq!(server.limit_output(slot), closes, "at {at} s");
        }
    }

    #[test]
    fn by_default_an_ordinary_client_may_wait_for_any_amount() {
        let (mut server, slot) = server("");
        server.clients[slot].out = vec![0; 64 << 20];
        server.limit_output(slot);
        assert_eq!(server.clients[slot].closing, None);
    }
}
