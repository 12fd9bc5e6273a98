//! What is on its way to a replica: a piece of the stream or of a copy, sent as the socket takes it.

use super::{Links, copy, slot_of, step_source};
use crate::base::Offset;
use crate::command::Server;
use crate::replication::source::{Effect, Event, LinkId};
use crate::runtime::connection::{Connection, Sent};
use crate::runtime::world::World;
use crate::store::LogError;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use std::sync::Arc;

/// Bytes of a copy that are read from its file at a time.
const COPY_CHUNK: usize = 256 * 1024;

/// One link has at most one of these.
pub enum Out {
    /// From the backlog, in place.
    Stream { from: Offset, to: Offset },
    /// Stream bytes that were read from the log; the first `sent` of them are out.
    Log { from: Offset, bytes: Vec<u8>, sent: usize },
    /// The file of a full copy.
    Copy { file: Arc<File>, at: u64, length: u64, chunk: Vec<u8>, sent: usize },
}

/// Begins to send.
pub fn start(world: &Rc<World>, link: LinkId, out: Out) {
    let Some(slot) = slot_of(world, link) else { return };
    world.links.borrow_mut().out.insert(link, out);
    if let Some(connection) = world.connection(slot) {
        world.send(&connection);
    }
}

/// Reads stream bytes from the log, on a blocking thread, and begins to send them.
pub fn from_log(world: &Rc<World>, link: LinkId, from: Offset, to: Offset) {
    // The reader of the piece before stands where this one begins.
    let kept = world.links.borrow_mut().readers.remove(&link);
    let reader = kept.or_else(|| world.disk().store.log().map(crate::store::Log::reader));
    let world = world.clone();
    tokio::task::spawn_local(async move {
        let wanted = to.bytes_since(from) as usize;
        let read = match reader {
            Some(mut reader) => {
                tokio::task::spawn_blocking(move || reader.read(from, wanted).map(|bytes| (bytes, reader))).await
            }
            None => Ok(Err(LogError::OutOfRange { asked: from, start: to, end: to })),
        };
        let why = match read {
            Ok(Ok((bytes, reader))) if !bytes.is_empty() => {
                if slot_of(&world, link).is_some() {
                    world.links.borrow_mut().readers.insert(link, reader);
                }
                start(&world, link, Out::Log { from, bytes, sent: 0 });
                return super::perform(&world);
            }
            Ok(Ok(_)) => format!("it has no bytes at offset {from}"),
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        // It asks again, and is answered by what is there then.
        tracing::warn!("Can't read the log for a replica, closing its link: {why}");
        if let Some(connection) = slot_of(&world, link).and_then(|slot| world.connection(slot)) {
            connection.end();
        }
    });
}

impl Links {
    /// The link's socket may take more, and nothing else waits in front.
    pub fn send(&mut self, server: &mut Server, connection: &Connection, client_id: u64) {
        let link = LinkId(client_id);
        let Some(out) = self.out.remove(&link) else { return };
        match self.push(server, connection, link, out) {
            Ok(Some(rest)) => drop(self.out.insert(link, rest)),
            Ok(None) => {}
            Err(()) => connection.end(),
        }
    }

    /// What is left; `Err` where the peer is gone.
    fn push(
        &mut self,
        server: &mut Server,
        connection: &Connection,
        link: LinkId,
        mut out: Out,
    ) -> Result<Option<Out>, ()> {
        loop {
            let sent = match &mut out {
                Out::Stream { from, to } => {
                    let Some(slices) = server.stream.backlog().slices(*from, to.bytes_since(*from) as usize) else {
                        // The backlog has moved on while the socket took nothing: the rest stands in the log.
                        server.links.source.push(Effect::SendFromLog { link, from: *from, to: *to });
                        return Ok(None);
                    };
                    let mut how = Sent::All;
                    for slice in slices {
                        let slice = &slice[..slice.len().min(to.bytes_since(*from) as usize)];
                        let (bytes, sent) = connection.send(slice);
                        *from += bytes as u64;
                        server.stats.net_repl_out += bytes as u64;
                        how = sent;
                        if sent != Sent::All {
                            break;
                        }
                    }
                    if how == Sent::All {
                        let upto = *from;
                        step_source(server, Event::Sent { link, upto });
                        return self
                            .next(server, link)
                            .map_or(Ok(None), |next| self.push(server, connection, link, next));
                    }
                    how
                }
                Out::Log { from, bytes, sent } => {
                    let (count, how) = connection.send(&bytes[*sent..]);
                    *sent += count;
                    server.stats.net_repl_out += count as u64;
                    if how == Sent::All {
                        let upto = *from + bytes.len() as u64;
                        step_source(server, Event::Sent { link, upto });
                        return Ok(None);
                    }
                    how
                }
                Out::Copy { file, at, length, chunk, sent } => {
                    if *sent == chunk.len() {
                        let want = COPY_CHUNK.min((*length - *at) as usize);
                        if want == 0 {
                            step_source(server, Event::Copied { link });
                            copy::sent(self, link);
                            return Ok(None);
                        }
                        chunk.resize(want, 0);
                        if let Err(error) = file.read_exact_at(chunk, *at) {
                            tracing::warn!("Can't read the copy for a replica: {error}");
                            return Err(());
                        }
                        (*at, *sent) = (*at + want as u64, 0);
                    }
                    let (count, how) = connection.send(&chunk[*sent..]);
                    *sent += count;
                    server.stats.net_repl_out += count as u64;
                    if count > 0 {
                        step_source(server, Event::CopyMoved { link });
                    }
                    how
                }
            };
            match sent {
                Sent::All => {}
                Sent::Blocked => return Ok(Some(out)),
                Sent::Broken => return Err(()),
            }
        }
    }

    /// The next piece, should the core have asked for one already: it is sent without another round.
    fn next(&mut self, server: &mut Server, link: LinkId) -> Option<Out> {
        let effects = &mut server.links.source;
        let at = effects.iter().position(|effect| matches!(effect, Effect::Send { link: of, .. } if *of == link))?;
        match effects.remove(at) {
            Effect::Send { from, to, .. } => Some(Out::Stream { from, to }),
            _ => None,
        }
    }
}
