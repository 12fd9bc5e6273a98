//! Full copies: links that wait for one, the order for it, who joins it, and how it ends.

use super::event::{CopyId, DropReason, Effect, Format, LinkId};
use super::{Copy, Flow, Link, Phase, Source, Stage};
use crate::base::{Millis, Offset};
use crate::replication::note::Note;
use crate::replication::planted::{Bug, planted};
use crate::replication::stream::{Stream, Upstream};

impl Source {
    /// A waiting link: joins the copy that is being made if it can, or a new copy is ordered when it is time.
    pub(super) fn join_or_order(&mut self, now: Millis, link: LinkId, stream: &Stream, out: &mut Vec<Effect>) {
        let Some(Copy { id, format: Format::Sized, functions_only, stage: Stage::Making { at } }) = self.copy else {
            if self.copy.as_ref().is_some_and(|copy| copy.format == Format::Marked) {
                out.push(Effect::Log(Note::notice(
                    "Current BGSAVE has socket target. Waiting for next BGSAVE for SYNC",
                )));
            } else if self.copy.is_none() && self.config.diskless && self.config.diskless_delay_s > 0 {
                out.push(Effect::Log(Note::notice("Delay next BGSAVE for diskless SYNC")));
            }
            return self.order_copy(now, out);
        };
        let fits = self.links[&link].peer.functions_only == functions_only && stream.held().contains(&at);
        if fits {
            out.push(Effect::Log(Note::notice("Waiting for end of BGSAVE for SYNC")));
            self.attach(now, link, id, Format::Sized, at, stream, out);
        } else {
            out.push(Effect::Log(Note::notice(
                "Can't attach the replica to the current BGSAVE. Waiting for next BGSAVE for SYNC",
            )));
        }
    }

    /// Orders a copy for the links that wait, once there is none under way and the delay for others to join is over.
    pub(super) fn order_copy(&mut self, now: Millis, out: &mut Vec<Effect>) {
        if self.copy.is_some() {
            return;
        }
        let mut first = None;
        let (mut waiting, mut eof, mut idle_s) = (0, true, 0);
        for link in self.links.values() {
            let Phase::Waiting { since } = link.phase else { continue };
            if *first.get_or_insert(link.peer.functions_only) != link.peer.functions_only {
                continue;
            }
            waiting += 1;
            eof &= link.peer.eof;
            idle_s = idle_s.max(now.since(since).seconds());
        }
        let Some(functions_only) = first else { return };
        let config = &self.config;
        let full = config.diskless_replicas_max > 0 && waiting >= config.diskless_replicas_max;
        if config.diskless && !full && idle_s < config.diskless_delay_s {
            return;
        }
        let format = if (config.diskless || functions_only) && eof { Format::Marked } else { Format::Sized };
        self.copies += 1;
        let id = CopyId(self.copies);
        self.copy = Some(Copy { id, format, functions_only, stage: Stage::Ordered });
        let target = if format == Format::Marked { "replicas sockets" } else { "disk" };
        out.push(Effect::Log(Note::notice(format!("Starting BGSAVE for SYNC with target: {target}"))));
        out.push(Effect::StartCopy { copy: id, format, functions_only });
    }

    pub(super) fn copy_began(&mut self, now: Millis, id: CopyId, stream: &mut Stream, out: &mut Vec<Effect>) {
        let Some(copy) = self.copy.as_mut().filter(|copy| copy.id == id && copy.stage == Stage::Ordered) else {
            return;
        };
        let at = stream.end();
        assert!(at == stream.released(), "a copy shows effects that the log does not have");
        copy.stage = Stage::Making { at };
        let (format, functions_only) = (copy.format, copy.functions_only);
        // What follows the copy says its database first.
        if stream.upstream() == Upstream::Own {
            stream.set_selected(None);
        }
        let fits = |link: &Link| {
            matches!(link.phase, Phase::Waiting { .. })
                && link.peer.functions_only == functions_only
                && (link.peer.eof || format == Format::Sized)
        };
        let links: Vec<_> = self.links.iter().filter(|(_, link)| fits(link)).map(|(&id, _)| id).collect();
        for link in links {
            self.attach(now, link, id, format, at, stream, out);
        }
        self.settle(now, out);
    }

    #[expect(clippy::too_many_arguments, reason = "the link, its copy and the step's context")]
    pub(super) fn attach(
        &mut self,
        now: Millis,
        link: LinkId,
        copy: CopyId,
        format: Format,
        at: Offset,
        stream: &Stream,
        out: &mut Vec<Effect>,
    ) {
        let Some(entry) = self.links.get_mut(&link) else { return };
        entry.phase = Phase::Copying { copy, format, at, moved: now };
        let id = stream.history().id();
        let reply = match entry.peer.diverged.filter(|_| entry.peer.history) {
            _ if entry.peer.by_sync => Vec::new(),
            Some(after) => format!("+FULLRESYNC {id} {at} {after}\r\n").into_bytes(),
            None => format!("+FULLRESYNC {id} {at}\r\n").into_bytes(),
        };
        out.push(Effect::AttachCopy { copy, link, reply });
    }

    pub(super) fn copy_made(&mut self, now: Millis, id: CopyId, out: &mut Vec<Effect>) {
        if self.copy.as_ref().is_some_and(|copy| copy.id == id) {
            self.copy = None;
            for link in self.links.values_mut() {
                if let Phase::Copying { copy, moved, .. } = &mut link.phase
                    && *copy == id
                {
                    *moved = now;
                }
            }
            self.order_copy(now, out);
        }
    }

    pub(super) fn copy_failed(&mut self, id: CopyId, out: &mut Vec<Effect>) {
        let ordered = match self.copy.take() {
            Some(copy) if copy.id == id => copy.stage == Stage::Ordered,
            other => {
                self.copy = other;
                false
            }
        };
        out.push(Effect::Log(Note::warning("BGSAVE for replication failed")));
        let failed = |link: &Link| match link.phase {
            Phase::Waiting { .. } => ordered,
            Phase::Copying { copy, .. } => copy == id,
            _ => false,
        };
        let links: Vec<_> = self.links.iter().filter(|(_, link)| failed(link)).map(|(&id, _)| id).collect();
        for link in links {
            if ordered {
                let bytes = b"-ERR BGSAVE failed, replication can't continue\r\n".to_vec();
                out.push(Effect::Reply { link, bytes });
            }
            self.drop_link(link, DropReason::CopyFailed, out);
        }
    }

    pub(super) fn copied(&mut self, now: Millis, link: LinkId, stream: &Stream, out: &mut Vec<Effect>) {
        let Some(entry) = self.links.get_mut(&link) else { return };
        let Phase::Copying { format, at, .. } = entry.phase else { return };
        let name = entry.peer.name();
        if entry.peer.rdb_only {
            out.push(Effect::Log(Note::notice(format!(
                "RDB transfer completed, rdb only replica ({name}) should be disconnected asap"
            ))));
            return self.drop_link(link, DropReason::CopyOnly, out);
        }
        let marked = format == Format::Marked && !entry.peer.by_sync && !planted(Bug::NoFirstAck);
        let flow = if marked { Flow::FirstAck } else { Flow::Idle };
        entry.phase =
            Phase::Streaming { sent: at, flow, acked: Offset::default(), synced: Offset::default(), heard: now };
        if marked {
            out.push(Effect::Log(Note::notice(format!(
                "Streamed RDB transfer with replica {name} succeeded (socket). Waiting for REPLCONF ACK from slave to \
                 enable streaming"
            ))));
        }
        out.push(Effect::Log(Note::notice(format!("Synchronization with replica {name} succeeded"))));
        self.pump_one(link, stream, out);
        self.count_good(now);
    }
}
