//! Both sides of a lost tail: which asker may hold what we lost, and what we give to a master that lost its own
//! ([`crate::replication::tail`]).

use super::{Ask, Effect, Flow, LinkId, Phase, Source};
use crate::base::{Millis, Offset, ReplId};
use crate::replication::note::{Note, text};
use crate::replication::stream::Stream;
use crate::replication::tail::PATIENCE_MS;

impl Source {
    /// This master was stopped in a way that may have cost it its tail: until it takes an id of its own, a replica that
    /// is ahead of it is asked for what it holds.
    pub fn may_lack_tail(&mut self) {
        self.short = true;
    }

    /// Should this asker be asked for a tail first? Its port. For as long as a search may last; then it has diverged.
    pub(super) fn may_hold_the_tail(
        &mut self,
        now: Millis,
        link: LinkId,
        ask: Ask<'_>,
        stream: &Stream,
    ) -> Option<u16> {
        let Ask::Psync { replid, next } = ask else { return None };
        let peer = &self.links.get(&link)?.peer;
        let port = u16::try_from(peer.port).ok().filter(|&port| port > 0)?;
        let ours = ReplId::parse(replid) == Some(stream.history().id());
        let ahead = next.checked_sub(1).is_some_and(|at| at > stream.end().0 as i64);
        if !(self.short && stream.must_own() && peer.history && ours && ahead) {
            return None;
        }
        let since = match self.behind {
            Some((asked, since)) if asked == next => since,
            _ => now,
        };
        self.behind = Some((next, since));
        (now.since(since) <= PATIENCE_MS).then_some(port)
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one event, with the step's context")]
    pub(super) fn tail_asked(
        &mut self,
        link: LinkId,
        ip: &str,
        replid: &[u8],
        from: Offset,
        upto: Option<Offset>,
        stream: &Stream,
        out: &mut Vec<Effect>,
    ) {
        if !matches!(self.entry(link, ip).phase, Phase::Handshaking) {
            return;
        }
        let history = stream.history();
        let reach = ReplId::parse(replid).and_then(|id| match id == history.id() {
            true => Some(stream.released()),
            false => history.left(id).map(|end| end.min(stream.released())),
        });
        let shown = text(replid);
        let answer = match (reach, upto) {
            (None, _) => Err(format!("ERR nothing of history '{shown}' is here")),
            (Some(reach), _) if from < reach && !stream.held().contains(&from) => {
                Err(format!("ERR the stream behind offset {from} is no longer here"))
            }
            (Some(reach), Some(upto)) if upto > reach || upto < from => {
                Err(format!("ERR the stream of history '{shown}' is not here up to offset {upto}"))
            }
            (Some(_), Some(upto)) => Ok((upto, Some(Phase::Giving { sent: from, upto, flow: Flow::Idle }))),
            (Some(reach), None) => Ok((reach, None)),
        };
        match answer {
            Err(why) => out.push(Effect::Reply { link, bytes: format!("-{why}\r\n").into_bytes() }),
            Ok((upto, phase)) => {
                let bytes = format!("+TAIL {} {upto}\r\n", history.id()).into_bytes();
                out.push(Effect::Reply { link, bytes });
                if let Some(phase) = phase {
                    let entry = self.entry(link, ip);
                    entry.phase = phase;
                    let name = entry.peer.name();
                    out.push(Effect::Log(Note::notice(format!(
                        "Giving {} bytes of history {shown}, from offset {from} to {upto}, back to {name}, which lost them.",
                        upto.bytes_since(from)
                    ))));
                    self.pump_one(link, stream, out);
                }
            }
        }
    }
}
