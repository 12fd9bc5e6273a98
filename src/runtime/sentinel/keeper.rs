//! What takes its time, one thing after the other: the founding with its promises on disk, sentinel.conf, the group's
//! view.

use super::World;
use crate::base;
use crate::consensus::{PeerNode, Status};
use crate::failover::founding::{Charter, Effect};
use crate::failover::{self, GroupId};
use crate::monitor::{Event, PeerAnswer, PeerMessage};
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Between two looks at the members' addresses.
const LOOK: Duration = Duration::from_millis(500);
/// How long a letter about founding may take.
const LETTER_TTL: Duration = Duration::from_millis(1000);
/// How long the question to be taken in may take: an entry is agreed in it.
const JOIN_TTL: Duration = Duration::from_secs(6);
/// Founding's effects that may wait.
pub const FOUNDING_MAX: usize = 256;

/// The group's id as Raft and the wire know it: the sixteen bytes, and four zeros.
pub fn wire_id(group: GroupId) -> base::GroupId {
    let mut bytes = [0; 20];
    bytes[..16].copy_from_slice(&group.0.to_be_bytes());
    base::GroupId::from_random(bytes)
}

/// The same for people: as `INFO` shows it.
pub fn shown_id(group: base::GroupId) -> String {
    group.to_string().chars().take(32).collect()
}

/// Carries out what the founding protocol wants, in its order. After a disk that refused nothing is told any more: what
/// this sentinel holds of its promises then is not what a restart would find.
pub async fn found(world: Rc<World>, mut wishes: mpsc::Receiver<Vec<Effect>>) {
    while let Some(effects) = wishes.recv().await {
        for effect in effects {
            if !carry_out(&world, effect).await {
                return;
            }
        }
    }
}

/// `false`: the disk refused, and nothing that follows may be told.
async fn carry_out(world: &Rc<World>, effect: Effect) -> bool {
    match effect {
        Effect::Save(saved) => {
            let saved = match failover::encode(&saved) {
                Ok(bytes) => world.group.identity().set_promise(Some(bytes)).await.map_err(|why| why.to_string()),
                Err(why) => Err(why.to_string()),
            };
            if let Err(why) = saved {
                tracing::error!("a promise to the group could not be kept on disk: {why}");
                return false;
            }
        }
        Effect::Send { to, letter } => {
            let world = world.clone();
            tokio::task::spawn_local(async move {
                let Ok(bytes) = failover::encode(&PeerMessage::Letter(letter)) else { return };
                let node = PeerNode { addr: to.to_string(), ..PeerNode::default() };
                if let Err(why) = world.group.ask(&node, None, bytes, LETTER_TTL).await {
                    tracing::debug!("a letter to the sentinel at {to} was not delivered: {why}");
                }
            });
        }
        Effect::Found(charter) => start_group(world, &charter).await,
        Effect::Join { via, .. } => {
            let world = world.clone();
            tokio::task::spawn_local(async move {
                let question = world.monitor.borrow().ask_to_join();
                let node = PeerNode { addr: via.to_string(), ..PeerNode::default() };
                match world.group.ask(&node, None, question, JOIN_TTL).await {
                    Err(why) => tracing::debug!("the sentinel at {via} was asked for its group: {why}"),
                    Ok(answer) => {
                        if let Ok(PeerAnswer::Joined { group }) = failover::decode(&answer) {
                            adopt(&world, group).await;
                            world.event(Event::Joined { group });
                        }
                    }
                }
            });
        }
        Effect::Foreign { group, peer } => {
            tracing::warn!("the sentinel at {} belongs to another group, {group}: it is left alone", peer.addr);
        }
    }
    true
}

/// Founds the group as its charter says; every founding member does the same.
pub async fn start_group(world: &Rc<World>, charter: &Charter) {
    world.agreement.set_group(charter.group);
    let node = |addr: String, run_id| PeerNode { addr, run_id };
    let members = charter.members.iter().map(|(id, peer)| (*id, node(peer.addr.to_string(), peer.runid))).collect();
    match world.group.found(wire_id(charter.group), members).await {
        Ok(()) => tracing::info!("founded group {} with {} members", charter.group, charter.members.len()),
        Err(why) => tracing::info!("group {} was there already: {why}", charter.group),
    }
}

/// Takes the group for this sentinel's own.
pub async fn adopt(world: &Rc<World>, group: GroupId) {
    world.agreement.set_group(group);
    match world.group.adopt(wire_id(group)).await {
        Ok(()) => tracing::info!("joined group {group}"),
        Err(why) => tracing::warn!("group {group} cannot be joined: {why}"),
    }
}

/// Rewrites sentinel.conf when asked; wishes that come meanwhile are fulfilled together.
pub async fn rewrite(world: Rc<World>) {
    loop {
        let wanted = world.rewrites.get();
        if world.rewritten.borrow().0 >= wanted {
            world.rewrite_bell.notified().await;
            continue;
        }
        let config = world.monitor.borrow().config.clone();
        let written = tokio::task::spawn_blocking(move || config.rewrite(&[]).map_err(|why| why.detail())).await;
        let outcome = written.unwrap_or_else(|why| Err(why.to_string()));
        let before = world.rewritten.borrow().1.clone();
        let _ = world.rewritten.send_replace((wanted, outcome.clone()));
        if outcome != before {
            world.event(Event::Rewritten { outcome });
        }
    }
}

/// Tells the loop who leads and who votes.
pub async fn follow_view(world: Rc<World>) {
    let mut view = world.group.watch();
    let mut before = None;
    loop {
        let now = view.borrow_and_update().clone();
        if let Status::Stopped(why) = &now.status {
            tracing::error!("{why}");
        }
        let voters = now.voters.keys().copied().collect();
        let learners = now.learners.keys().copied().collect();
        let seen = (now.leader, now.voters.len(), now.learners.len(), now.term);
        if before != Some(seen) || now.voters.len() + now.learners.len() > 0 {
            before = Some(seen);
            world.event(Event::View { leader: now.leader, voters, learners });
        }
        if view.changed().await.is_err() {
            return;
        }
    }
}

/// A leader's: Raft dials members where the registry has them.
pub async fn mend_addresses(world: Rc<World>) {
    loop {
        tokio::time::sleep(LOOK).await;
        if !world.group.is_leader() {
            continue;
        }
        let view = world.group.view();
        for (member, addr, run_id) in world.agreement.members() {
            let known = view.voters.get(&member).or_else(|| view.learners.get(&member));
            if known.is_some_and(|node| node.addr != addr) {
                match world.group.update_address(member, PeerNode { addr: addr.clone(), run_id }).await {
                    Ok(_) => tracing::info!("member {member:x} of the group is reached at {addr} now"),
                    Err(why) => tracing::debug!("the address of member {member:x} did not change: {why}"),
                }
            }
        }
    }
}

/// Waits until everything that was agreed before this start is applied.
pub async fn catch_up(world: Rc<World>) {
    loop {
        if world.monitor.borrow().group().is_some() && world.group.linearizable().await.is_ok() {
            world.drain();
            world.event(Event::CaughtUp);
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
