//! What a turn appends to the log, what ails the log, and how that is mended.

use super::{Disk, to_record};
use crate::base::{Millis, Offset};
use crate::command::Server;
use crate::command::feed::Piece;
use crate::config::AppendFsync;
use crate::replication::Durable;
use crate::runtime::clock;
use crate::store::{self, LogError};

/// The same for a log generation that could not be begun.
const RENEW_RETRY: Millis = Millis(1_000);

/// What became of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// All that was pending is in the log.
    All,
    /// The disk is at fault: nothing that saw these effects may be told to anyone.
    Fault,
}

/// What ails the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ailment {
    None,
    /// The disk gives no more room. What is executed still fits what is reserved: writes are refused, and nothing has to
    /// be held back.
    Short,
    /// An append failed: effects are in memory that the log lacks.
    Append,
    /// An fsync failed. What is appended from now on stands in a new generation, which counts once a checkpoint names it:
    /// until then a crash loses it. Nobody may see what lies behind `from`: where each turn is synced, what was not, else
    /// what was not in the old file.
    Sync {
        from: Offset,
    },
}

impl Disk {
    /// Puts all that the turn has fed into the log. Where a checkpoint was asked for it begins here: nothing waits for
    /// the log at this moment, as it may at any other while clients write.
    pub fn append(&mut self, server: &mut Server) -> Appended {
        let appended = self.append_pending(server);
        if appended == Appended::All && self.may_begin(server) {
            self.begin(server);
            self.bell.notify_one();
        }
        appended
    }

    /// The same in the middle of a unit, which stays out of it: no checkpoint begins.
    pub fn append_pending(&mut self, server: &mut Server) -> Appended {
        let Some(log) = self.store.log_mut() else {
            server.feed.logged_all();
            self.release(server);
            self.heal(server);
            return Appended::All;
        };
        let (mut bytes_done, mut changes_done, mut result) = (0, 0, Ok(()));
        if server.feed.has_pending() {
            let (epoch, data_generation) = (self.epoch, self.data_generation);
            for piece in server.feed.pieces(server.stream.db()) {
                result = match piece {
                    Piece::Bytes(bytes, db) => log.append(bytes, db).map(|()| bytes_done += bytes.len()),
                    Piece::History(history, reason) => {
                        let history = to_record(history, epoch, data_generation);
                        let change = store::HistoryChange { history, reason: reason.to_string() };
                        log.append_history(&change).map(|()| changes_done += 1)
                    }
                };
                if result.is_err() {
                    break;
                }
            }
            if changes_done > 0 {
                // Under which id the next bytes stand is not left to the next second: who lost it to a power cut could not
                // ask the replicas for them.
                log.sync_request();
            }
            server.feed.logged(bytes_done, changes_done);
            self.release(server);
        }
        match result {
            Ok(()) => self.examine(server),
            Err(error) => {
                self.fail(server, &error);
                Appended::Fault
            }
        }
    }

    /// Everything that was fed is in the log: whether it counts, and whether more will fit.
    fn examine(&mut self, server: &mut Server) -> Appended {
        let log = self.store.log().filter(|log| log.is_faulty());
        if let Some(error) = log.and_then(store::Log::fault) {
            self.fail(server, &error);
        }
        let Some(log) = self.store.log() else { return Appended::All };
        match (self.ailment, log.short()) {
            (Ailment::None, None) => {}
            (Ailment::Sync { from }, _) => {
                if !self.store.log_is_trusted() {
                    return if log.end() > from { Appended::Fault } else { Appended::All };
                }
                self.heal(server);
            }
            (Ailment::Short | Ailment::Append, None) => self.heal(server),
            (Ailment::Short, Some(_)) => log.ask_room(),
            (Ailment::None, Some(error)) => self.ail(server, Ailment::Short, &error),
            (Ailment::Append, Some(_)) => self.ailment = Ailment::Short, // it was told
        }
        Appended::All
    }

    /// Tells the stream what is in the log, and what is on the disk.
    pub fn release(&self, server: &mut Server) {
        if self.adopting.is_some() || self.adopted {
            return; // the log is of another history than the stream, for a moment
        }
        let durable = match self.store.log() {
            Some(log) => {
                // What a crash would lose is shown to nobody.
                let upto = match self.ailment {
                    Ailment::Sync { from } => from,
                    _ => log.end(),
                };
                server.stream.release(upto.max(server.stream.released()).min(server.stream.end()));
                // Nor does anything count as synced that a crash would lose: a log that was turned on, or goes on in a
                // new generation, counts once a checkpoint names it.
                let synced = match (self.store.log_is_trusted(), server.stream.durable()) {
                    (true, _) => log.synced(),
                    (false, Durable::From { synced, .. }) => synced,
                    (false, Durable::Off) => Offset(0),
                };
                Durable::From { start: log.start(), synced }
            }
            None => {
                server.stream.release(server.stream.end());
                Durable::Off
            }
        };
        server.stream.set_durable(durable);
    }

    /// An append failed, or an fsync before it.
    fn fail(&mut self, server: &mut Server, error: &LogError) {
        if let LogError::Write { .. } = error {
            return self.ail(server, Ailment::Append, error);
        }
        let always = server.config.settings.appendfsync == AppendFsync::Always;
        let from = match (self.ailment, self.store.log()) {
            (Ailment::Sync { from }, _) => from, // a second failure changes nothing about what counts
            (_, Some(log)) => {
                if always {
                    log.synced()
                } else {
                    log.end()
                }
            }
            (_, None) => server.stream.released(),
        };
        self.ail(server, Ailment::Sync { from }, error);
        let now = clock::mono();
        if self.renew_failed_at.is_none_or(|failed| now.since(failed) >= RENEW_RETRY) {
            self.renew(server);
        }
    }

    /// Writes are refused from now on; told once, with the file and the place.
    fn ail(&mut self, server: &mut Server, ailment: Ailment, error: &LogError) {
        let reason = error.reason().replace(['\r', '\n'], " ");
        let fault = format!("MISCONF Errors writing to the AOF file: {reason}");
        if self.ailment != ailment || server.fault.as_ref() != Some(&fault) {
            match ailment {
                Ailment::Sync { .. } => tracing::warn!("Fail to fsync the AOF file: {reason}"),
                _ => tracing::warn!("Error writing to the AOF file: {reason}"),
            }
            tracing::warn!("{error}. Writes are refused until that is mended.");
        }
        self.ailment = ailment;
        server.fault = Some(fault);
        server.persistence.log_ok = false;
    }

    fn heal(&mut self, server: &mut Server) {
        if std::mem::replace(&mut self.ailment, Ailment::None) != Ailment::None {
            tracing::info!("AOF write error looks solved. The server can write again.");
            server.fault = None;
            server.persistence.log_ok = true;
            self.release(server);
        }
    }

    /// Whether all that clients were told of is in a log that counts, so that the process may end.
    pub fn keeps_its_word(&self) -> bool {
        !matches!(self.ailment, Ailment::Sync { .. })
    }

    /// Looks after the log: a failed fsync ends its generation, old segments go.
    pub fn tend(&mut self, server: &mut Server) {
        if let Some(error) = self.store.log().and_then(store::Log::fault) {
            self.fail(server, &error);
        }
        if self.adopting.is_some() && !self.checkpointing() && self.may_retry() {
            self.want_checkpoint(None);
        }
        let untrusted = self.store.log().is_some() && !self.store.log_is_trusted();
        let unsynced = matches!(self.ailment, Ailment::Sync { .. });
        if (unsynced || untrusted) && !self.checkpointing() && self.may_retry() {
            self.want_rewrite();
        }
        let needed = server.source.lowest_needed().unwrap_or(server.stream.end());
        let retained = Offset(server.stream.end().0.saturating_sub(server.config.settings.log_retain_size));
        self.store.trim(needed.min(retained).max(Offset(0)));
        self.release(server);
    }

    /// A new log generation at the log's end, with a checkpoint of everything to come.
    pub(super) fn renew(&mut self, server: &mut Server) {
        self.give_up(server);
        let history = server.stream.history();
        let origin = match self.store.log() {
            Some(log) => store::Origin { replid: history.id(), offset: log.end(), db: log.db(), genesis: false },
            None => {
                let (offset, db) = (server.stream.end(), server.stream.db());
                store::Origin { replid: history.id(), offset, db, genesis: false }
            }
        };
        match self.store.new_generation(origin) {
            Ok(generation) => {
                self.renew_failed_at = None;
                tracing::warn!("The log goes on in generation {generation} at offset {}.", origin.offset);
                self.want_rewrite();
            }
            Err(error) => {
                tracing::warn!("Can't begin a new log: {error}");
                self.renew_failed_at = Some(clock::mono());
            }
        }
    }
}
