//! What this sentinel says to the others and hears from them, beside Raft: opinions, letters of the founding, and the
//! question to be taken in.

use super::event::{Effect, Heard, Level};
use super::monitor::{Clock, Monitor};
use super::peers::{PeerAnswer, PeerMessage, PeerSeen, Unanswered};
use crate::base::{Millis, RunId};
use crate::failover::founding::{self, Peer};
use crate::failover::observation::{self, PingReply};
use crate::failover::{self, Addr, BootId, Entry, Me};

/// For how long the word of a sentinel of another group stops orders; it is asked every second.
const FOREIGN_MS: Millis = Millis(10_000);

impl Monitor {
    pub(super) fn tell_all(&mut self, out: &mut Vec<Effect>) {
        let runids: Vec<RunId> = self.peers.keys().copied().collect();
        for runid in runids {
            self.tell(runid, out);
        }
    }

    fn tell(&mut self, runid: RunId, out: &mut Vec<Effect>) {
        let Some(peer) = self.peers.get_mut(&runid) else { return };
        if peer.asking {
            peer.again = true;
            return;
        }
        (peer.asking, peer.again) = (true, false);
        peer.observation.step(self.clock.mono, observation::Event::PingSent);
        let addr = peer.addr.clone();
        let (from, boot, opinions) = self.own_opinions();
        let message = PeerMessage::Opinions { from, boot, opinions };
        match failover::encode(&message) {
            Ok(bytes) => out.push(Effect::Tell { runid, addr, bytes }),
            Err(why) => self.log(Level::Warning, format!("opinions cannot be written: {why}"), out),
        }
    }

    fn own_opinions(&mut self) -> (Peer, BootId, Vec<failover::Opinion>) {
        let wall_minus_mono = self.clock.wall - self.clock.mono;
        let opinions = self.seen.opinions(&self.registry, wall_minus_mono);
        let Me { member, runid, addr, boot } = self.seen.me.clone();
        (Peer { member, runid, addr }, boot, opinions)
    }

    pub(super) fn told(
        &mut self,
        runid: RunId,
        asked: Millis,
        answer: Result<Vec<u8>, Unanswered>,
        out: &mut Vec<Effect>,
    ) {
        let now = self.clock.mono;
        let Some(peer) = self.peers.get_mut(&runid) else { return };
        peer.asking = false;
        let again = peer.again;
        let answer = match answer {
            Ok(bytes) => {
                (peer.trouble, peer.foreign_at) = (None, None);
                failover::decode::<PeerAnswer>(&bytes).ok()
            }
            Err(why) => {
                self.unanswered(runid, why, out);
                None
            }
        };
        let Some(peer) = self.peers.get_mut(&runid) else { return };
        if answer.is_some() {
            peer.observation.step(now, observation::Event::LinkUp);
            let change = peer.observation.step(now, observation::Event::Replied(PingReply::Pong));
            self.peer_changed(runid, change, out);
        } else {
            peer.observation.step(now, observation::Event::LinkBroken);
        }
        if let Some(PeerAnswer::Opinions { from, boot: _, opinions }) = answer {
            self.opined(&from, opinions, asked);
        }
        if again {
            self.tell(runid, out);
        }
    }

    /// Told to people once, until it answers or the reason is another.
    fn unanswered(&mut self, runid: RunId, why: Unanswered, out: &mut Vec<Effect>) {
        let now = self.clock.mono;
        let own = self.founding.group();
        let Some(peer) = self.peers.get_mut(&runid) else { return };
        let text = match &why {
            Unanswered::Silent => return,
            Unanswered::WrongPass => format!(
                "the sentinel at {} does not accept this one's password: sentinel-pass here (or requirepass) must be its \
                 requirepass",
                peer.addr
            ),
            Unanswered::Foreign { group } => {
                peer.foreign_at = Some(now);
                let own = own.map(|own| own.to_string()).unwrap_or_default();
                format!(
                    "the sentinel at {} belongs to another group, {group}, and watches masters of this one, {own}: no orders \
                     are given for them from here while it does. Stop the sentinels of one of the groups, move their \
                     directories regent-group away, and start them again: they join the other",
                    peer.addr
                )
            }
        };
        if peer.trouble.as_ref() != Some(&why) {
            peer.trouble = Some(why);
            self.log(Level::Warning, text, out);
        }
    }

    /// Another sentinel said where it is. Files and the log may have an older address of it.
    pub(super) fn said(&mut self, runid: RunId, addr: Addr, out: &mut Vec<Effect>) {
        let Some(peer) = self.peers.get_mut(&runid).filter(|peer| peer.said.as_ref() != Some(&addr)) else { return };
        peer.said = Some(addr.clone());
        out.push(Effect::PeerAt { runid, addr });
    }

    /// Whether a sentinel of another group watches this master too.
    pub(super) fn is_contested(&self, name: &str) -> bool {
        let now = self.clock.mono;
        let fresh = |peer: &PeerSeen| peer.foreign_at.is_some_and(|at| now.since(at) <= FOREIGN_MS);
        self.peers.values().any(|peer| fresh(peer) && peer.masters.contains(name))
    }

    /// A member whose log does not move asks the others to note where it is: after a move to another address the leader
    /// talks to the old one, and no proposal of this sentinel's own may reach it.
    pub(super) fn knock(&mut self, out: &mut Vec<Effect>) {
        if self.caught_up || self.founding.group().is_none() {
            return;
        }
        let bytes = self.ask_to_join();
        for peer in self.peers.values() {
            out.push(Effect::Tell { runid: peer.runid, addr: peer.addr.clone(), bytes: bytes.clone() });
        }
    }

    fn opined(&mut self, from: &Peer, opinions: Vec<failover::Opinion>, renewed: Millis) {
        self.seen.heard.insert(from.member, self.clock.mono);
        if let Some(peer) = self.peers.get_mut(&from.runid) {
            peer.member = Some(from.member);
        }
        if opinions.iter().any(|opinion| opinion.down) || self.masters.values().any(|w| w.odown.is_some()) {
            self.look_now = true;
        }
        for opinion in opinions {
            self.seen.opined(opinion, renewed);
        }
    }

    /// Another sentinel says something beside Raft.
    pub fn heard(&mut self, clock: Clock, bytes: &[u8], out: &mut Vec<Effect>) -> Heard {
        self.wake(clock, out);
        let answer = match failover::decode::<PeerMessage>(bytes) {
            Err(why) => {
                self.log(Level::Warning, format!("a message of another sentinel is unreadable: {why}"), out);
                PeerAnswer::NotNow
            }
            Ok(PeerMessage::Letter(letter)) => {
                let effects = self.founding.step(clock.mono, founding::Event::Heard(letter));
                if !effects.is_empty() {
                    out.push(Effect::Founding(effects));
                }
                PeerAnswer::Taken
            }
            Ok(PeerMessage::Opinions { from, boot: _, opinions }) => {
                self.opined(&from, opinions, clock.mono);
                let (from, boot, opinions) = self.own_opinions();
                PeerAnswer::Opinions { from, boot, opinions }
            }
            Ok(PeerMessage::Join { from, boot }) => {
                if self.founding.group().is_none() {
                    PeerAnswer::NotNow
                } else {
                    let Peer { member, runid, addr } = from.clone();
                    self.said(runid, addr.clone(), out);
                    return Heard::Join(from, Entry::Join { member, runid, addr, boot, at: clock.wall });
                }
            }
        };
        self.settle(out);
        Heard::Now(failover::encode(&answer).unwrap_or_default())
    }

    /// The answer to one who asked to be taken in.
    pub fn joined(&self, agreed: bool) -> Vec<u8> {
        let answer = match self.founding.group() {
            Some(group) if agreed => PeerAnswer::Joined { group },
            _ => PeerAnswer::NotNow,
        };
        failover::encode(&answer).unwrap_or_default()
    }

    /// The question to a member, by which this sentinel asks to be taken in.
    pub fn ask_to_join(&self) -> Vec<u8> {
        let Me { member, runid, addr, boot } = self.seen.me.clone();
        failover::encode(&PeerMessage::Join { from: Peer { member, runid, addr }, boot }).unwrap_or_default()
    }
}
