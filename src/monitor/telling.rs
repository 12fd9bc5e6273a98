//! What this sentinel says to the others and hears from them, beside Raft: opinions, letters of the founding, and the
//! question to be taken in.

use super::event::{Effect, Heard, Level};
use super::monitor::{Clock, Monitor};
use super::peers::{PeerAnswer, PeerMessage};
use crate::base::{Millis, RunId};
use crate::failover::founding::{self, Peer};
use crate::failover::observation::{self, PingReply};
use crate::failover::{self, BootId, Entry, Me};

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

    pub(super) fn told(&mut self, runid: RunId, asked: Millis, answer: Option<Vec<u8>>, out: &mut Vec<Effect>) {
        let now = self.clock.mono;
        let Some(peer) = self.peers.get_mut(&runid) else { return };
        peer.asking = false;
        let again = peer.again;
        let answer = answer.and_then(|bytes| failover::decode::<PeerAnswer>(&bytes).ok());
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
        self.clock = clock;
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
