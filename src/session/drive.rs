//! Requests of a connection, executed in place in the shared read buffer.

use crate::base::limits::{QUERY_BUFFER_BYTES_MIN, QUERY_RESERVE_BYTES_MAX};
use crate::command::{Args, Closing, Server, Slot, UNCOUNTED_BYTES};
use crate::resp::{self, RequestLimits, Step, Writer};

/// Where the drive stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// All that came is executed, but for a partial request.
    Waiting,
    /// The client is blocked; what it has sent meanwhile is kept.
    Blocked,
    /// The connection is to be closed.
    Closing,
}

/// Executes what `bytes` brings, behind what was kept of the client's earlier bytes. Call it with no bytes when a block
/// has been lifted. `args` is shared by all clients of a thread.
pub fn input(server: &mut Server, slot: Slot, bytes: &[u8], args: &mut resp::Args) -> Progress {
    let progress = take_in(server, slot, bytes, args);
    if server.counts_clients() {
        server.recount(slot);
    }
    progress
}

fn take_in(server: &mut Server, slot: Slot, bytes: &[u8], args: &mut resp::Args) -> Progress {
    let now = server.mono;
    let Some(client) = server.clients.get_mut(slot) else { return Progress::Closing };
    if !bytes.is_empty() {
        client.bytes_in += bytes.len() as u64;
        client.active = now;
    }
    if client.partial.is_empty() {
        let (used, progress) = drive(server, slot, bytes, args);
        if used < bytes.len() && progress != Progress::Closing {
            keep(server, slot, &bytes[used..]);
        }
        return progress;
    }
    let mut kept = std::mem::take(&mut client.partial);
    let wanted = client.parser.wanted(kept.len());
    kept.reserve(bytes.len().max(wanted));
    kept.extend_from_slice(bytes);
    client.query.used(kept.len() + client.parser.wanted(kept.len()), now);
    if hoards(server, slot, kept.len()) {
        return Progress::Closing;
    }
    let (used, progress) = drive(server, slot, &kept, args);
    if progress == Progress::Closing {
        return progress;
    }
    if let Some(client) = server.clients.get_mut(slot) {
        kept.drain(..used);
        client.partial = kept; // its room serves the next request that comes in parts
        refuse_hoarding(server, slot);
    }
    progress
}

/// Parses and executes; how many bytes are done with.
fn drive(server: &mut Server, slot: Slot, bytes: &[u8], args: &mut resp::Args) -> (usize, Progress) {
    let mut done = 0;
    let bulk_bytes_max = server.config.settings.proto_max_bulk_len;
    loop {
        if server.counts_clients() {
            server.evict_clients(); // before keys are evicted for what clients take
        }
        let Some(client) = server.clients.get_mut(slot) else { return (done, Progress::Closing) };
        if client.closing.is_some() {
            return (done, Progress::Closing);
        }
        if client.blocked.is_some() {
            return (done, Progress::Blocked);
        }
        if done == bytes.len() {
            return (done, Progress::Waiting);
        }
        let limits = RequestLimits { bulk_bytes_max, authenticated: client.authenticated };
        match client.parser.next(&bytes[done..], &limits, args) {
            Ok(Step::Incomplete) => return (done, Progress::Waiting),
            Ok(Step::Empty { consumed }) => done += consumed,
            Ok(Step::Command { consumed }) => {
                server.request(slot, Args::new(args.request(&bytes[done..])));
                done += consumed;
                limit_replies(server, slot);
            }
            Err(error) => {
                Writer::new(&mut client.out, client.proto).error(&format!("ERR {error}"));
                tracing::debug!("Protocol error ({error}) from client: {}", client.addr);
                server.touch(slot);
                server.close(slot, Closing::AfterReplies);
                return (done, Progress::Closing);
            }
        }
    }
}

/// What a pipeline is answered is limited while it is executed: who asks for more than it may be sent is not executed to
/// the end.
fn limit_replies(server: &mut Server, slot: Slot) {
    if server.clients.get(slot).is_some_and(|client| client.waiting_bytes() > UNCOUNTED_BYTES) {
        server.limit_output(slot);
    }
}

fn keep(server: &mut Server, slot: Slot, rest: &[u8]) {
    let now = server.mono;
    let Some(client) = server.clients.get_mut(slot) else { return };
    let wanted = client.parser.wanted(rest.len());
    let room = rest.len() + wanted.min(QUERY_RESERVE_BYTES_MAX);
    client.partial.reserve_exact(room.max(QUERY_BUFFER_BYTES_MIN));
    client.partial.extend_from_slice(rest);
    client.query.used(rest.len() + wanted, now);
    refuse_hoarding(server, slot);
}

fn refuse_hoarding(server: &mut Server, slot: Slot) {
    let kept = server.clients.get(slot).map_or(0, |client| client.partial.len());
    hoards(server, slot, kept);
}

/// `client-query-buffer-limit`: a request that grows without end is not waited for. Whether the connection is to end.
fn hoards(server: &mut Server, slot: Slot, kept: usize) -> bool {
    let limit = server.config.settings.client_query_buffer_limit;
    let Some(client) = server.clients.get(slot).filter(|_| kept as u64 > limit) else { return false };
    tracing::warn!("Closing client that reached max query buffer length: addr={}", client.addr);
    server.stats.query_buffer_disconnections += 1;
    server.close(slot, Closing::Now);
    true
}
