//! What is done for each client about once a second: buffers larger than they need be are cut back, and the largest that
//! were seen lately are noted for INFO. Whose output has been above a soft limit for too long is closed.
//!
//! A client whose request came in parts keeps the room for the next one, cut back to what it has needed lately, until it
//! has needed none for two seconds.
//!
//! A client keeps room for its replies from one turn to the next. How much goes with what it has been sent lately, by the
//! rules of Redis: at first 1 KiB, as much as its largest reply as soon as that was seen to need more (16 KiB at most), and
//! less again if for some seconds half of it would have done.

use super::Server;
use super::client::{Client, Slot};
use crate::base::Millis;
use crate::base::limits::{QUERY_BUFFER_BYTES_MIN, REPLY_BUFFER_BYTES_MAX, REPLY_BUFFER_BYTES_MIN};

/// Clients that are looked at in each beat, at least; and beats in which all are.
const CLIENTS_MIN: usize = 5;
const BEATS: usize = 10;

/// A query buffer is cut back when more than this is free ...
const QUERY_FREE_BYTES_MAX: usize = 4096;
/// ... and it was not used for longer than this, ...
const QUERY_UNUSED: Millis = Millis(2000);
/// ... or is larger than this and twice as large as it need be (Redis' `PROTO_RESIZE_THRESHOLD`).
const QUERY_KEPT_BYTES: usize = 32 * 1024;

/// Seconds for which the largest buffers are remembered.
const SECONDS: usize = 8;

/// Redis' time between two looks at how much of the reply buffer is needed.
pub const PEAK_RESET: Millis = Millis(5000);

/// How a client has used its query buffer, which serves requests that do not come whole.
#[derive(Clone, Copy, Debug)]
pub struct QueryRoom {
    /// The most that was needed since the last look.
    peak: usize,
    last: Millis,
}

impl QueryRoom {
    pub fn new(now: Millis) -> Self {
        QueryRoom { peak: 0, last: now }
    }

    /// So much of it is needed.
    pub fn used(&mut self, bytes: usize, now: Millis) {
        (self.peak, self.last) = (self.peak.max(bytes), now);
    }
}

/// The room that a client keeps for replies.
#[derive(Clone, Copy, Debug)]
pub struct ReplyRoom {
    /// Bytes that are kept when all is sent.
    pub bytes: usize,
    /// The most that was needed since `since`, up to the largest room.
    pub peak: usize,
    since: Millis,
}

impl ReplyRoom {
    pub fn new(now: Millis) -> Self {
        ReplyRoom { bytes: REPLY_BUFFER_BYTES_MIN, peak: 0, since: now }
    }

    /// So much is to be sent.
    #[inline]
    pub fn needs(&mut self, bytes: usize) {
        self.peak = self.peak.max(bytes.min(REPLY_BUFFER_BYTES_MAX));
    }
}

/// What this goes by.
#[derive(Debug)]
pub struct ClientCare {
    /// Where the next beat begins.
    next: Slot,
    /// DEBUG REPLYBUFFER RESIZING.
    pub resizing: bool,
    /// DEBUG REPLYBUFFER PEAK-RESET-TIME; `None` for never.
    pub peak_reset: Option<Millis>,
    /// Of the last seconds, each in the place of its number.
    input: [usize; SECONDS],
    output: [usize; SECONDS],
}

impl Default for ClientCare {
    fn default() -> Self {
        ClientCare { next: 0, resizing: true, peak_reset: Some(PEAK_RESET), input: [0; SECONDS], output: [0; SECONDS] }
    }
}

impl ClientCare {
    /// The largest input of a client seen lately, and the largest output beyond its reply buffer.
    pub fn recent(&self) -> (usize, usize) {
        let largest = |of: &[usize; SECONDS]| of.iter().copied().max().unwrap_or_default();
        (largest(&self.input), largest(&self.output))
    }

    fn note(&mut self, second: usize, client: &Client) {
        let (input, output) = (&mut self.input[second], &mut self.output[second]);
        *input = client.input_bytes().max(*input);
        *output = client.memory().omem.max(*output);
    }
}

impl Server {
    /// A beat's share of the clients.
    pub fn tend_clients(&mut self) {
        let places = self.clients.capacity();
        let share = (places / BEATS).max(CLIENTS_MIN).min(places);
        let second = self.mono.seconds() as usize % SECONDS;
        // The next second begins with nothing.
        let next = (second + 1) % SECONDS;
        (self.client_care.input[next], self.client_care.output[next]) = (0, 0);
        for _ in 0..share {
            let slot = self.client_care.next % places;
            self.client_care.next = slot + 1;
            self.tend_client(slot, second);
        }
    }

    fn tend_client(&mut self, slot: Slot, second: usize) {
        let Server { clients, client_care: care, stats, mono: now, .. } = self;
        let Some(client) = clients.get_mut(slot) else { return };
        cut_query(client, *now);
        if care.resizing {
            match resize(client) {
                Resized::Not => {}
                Resized::Less => stats.reply_buffer_shrinks += 1,
                Resized::More => stats.reply_buffer_expands += 1,
            }
        }
        if care.peak_reset.is_some_and(|span| now.since(client.reply.since) >= span) {
            (client.reply.peak, client.reply.since) = (client.waiting_bytes().min(REPLY_BUFFER_BYTES_MAX), *now);
        }
        care.note(second, client);
        self.limit_output(slot);
        if self.counts_clients() {
            self.recount(slot);
        }
    }
}

/// Gives back what of the query buffer is not needed.
fn cut_query(client: &mut Client, now: Millis) {
    let (room, QueryRoom { peak, last }) = (client.partial.capacity(), client.query);
    if room - client.partial.len() > QUERY_FREE_BYTES_MAX {
        if now.since(last) > QUERY_UNUSED {
            client.partial.shrink_to_fit();
        } else if room > QUERY_KEPT_BYTES && room / 2 > peak {
            client.partial.shrink_to(peak.max(QUERY_BUFFER_BYTES_MIN));
        }
    }
    let held = client.partial.len();
    client.query.peak = held + client.parser.wanted(held);
}

enum Resized {
    Not,
    Less,
    More,
}

/// Fits the room for replies to what was needed.
fn resize(client: &mut Client) -> Resized {
    let room = &mut client.reply;
    let half = room.bytes / 2;
    if half >= REPLY_BUFFER_BYTES_MIN && room.peak < half {
        room.bytes = (room.peak + 1).max(REPLY_BUFFER_BYTES_MIN);
        client.out.shrink_to(room.bytes);
        Resized::Less
    } else if room.bytes < REPLY_BUFFER_BYTES_MAX && room.peak > room.bytes {
        room.bytes = room.peak.next_power_of_two();
        Resized::More
    } else {
        Resized::Not
    }
}
