//! A group of members in one process, with faults.

use super::cluster::*;
use super::wire::{self, Welcome};
use super::*;
use crate::store::group::MemoryMedium;
use std::collections::BTreeMap;
use std::time::Duration;

fn word(n: u64) -> Vec<u8> {
    format!("command {n}").into_bytes()
}

#[tokio::test]
async fn commands_outlive_leaders() {
    for keep in [memory as fn() -> Keep, disk] {
        let mut cluster = Cluster::founded(3, config(), keep).await;
        for n in 0..9 {
            // From the leader and from followers alike.
            let (_, outcome) = cluster.members[n as usize % 3].group.propose(word(n)).await.unwrap();
            assert_eq!(outcome, (n + 1).to_le_bytes());
        }
        let old = cluster.leader().await;
        cluster.stop(old).await;
        let new = cluster.leader().await;
        assert_ne!(old, new);
        let other = 3 - old - new;
        assert_eq!(cluster.members[other].group.propose(word(9)).await.unwrap().1, 10u64.to_le_bytes());
        cluster.restart(old).await;
        cluster.agree().await;
        assert_eq!(cluster.members[old].commands().len(), 10);
        // All of them at once, and again.
        for place in 0..3 {
            cluster.stop(place).await;
        }
        for place in 0..3 {
            cluster.restart(place).await;
        }
        cluster.agree().await;
        assert_eq!(cluster.members[0].commands().len(), 10);
        assert_eq!(cluster.members[0].group.propose(word(10)).await.unwrap().1, 11u64.to_le_bytes());
    }
}

#[tokio::test]
async fn reads_are_never_stale() {
    let cluster = Cluster::founded(3, config(), memory).await;
    for n in 0..60 {
        cluster.members[n % 3].group.propose(word(n as u64)).await.unwrap();
        // Whoever is asked, right after the proposer got its answer.
        let reads = cluster.members.iter().map(|member| async {
            member.group.linearizable().await.unwrap();
            member.commands().len()
        });
        for seen in futures::future::join_all(reads).await {
            assert!(seen > n, "a read after the outcome of command {n} saw {seen} commands");
        }
    }
    // A deposed leader that does not know it yet answers nothing, and the others go on.
    let old = cluster.leader().await;
    let addr = cluster.members[old].node.addr.clone();
    cluster.net.cut(&addr);
    let others: Vec<_> = (0..3).filter(|place| *place != old).collect();
    let new = cluster.leader().await;
    assert_ne!(new, old);
    cluster.members[others[0]].group.propose(word(60)).await.unwrap();
    let stale = cluster.members[old].group.linearizable().await;
    assert!(matches!(stale, Err(NoQuorum(_))), "a member that is cut off said {stale:?}");
    cluster.members[others[1]].group.linearizable().await.unwrap();
    assert_eq!(cluster.members[others[1]].commands().len(), 61);
    cluster.net.heal();
    // It may take the first word of the new leader to come back, not more.
    until(&cluster.members[old].group, |view| view.leader.is_some() && !view.is_leader()).await;
    cluster.members[old].group.linearizable().await.unwrap();
    assert_eq!(cluster.members[old].commands().len(), 61);
}

#[tokio::test]
async fn readers_share_rounds() {
    let cluster = Cluster::founded(3, config(), memory).await;
    let follower = (cluster.leader().await + 1) % 3;
    let group = &cluster.members[follower].group;
    group.propose(word(0)).await.unwrap();
    let before = cluster.net.read_rounds();
    let reads = (0..500).map(|_| group.linearizable());
    for read in futures::future::join_all(reads).await {
        read.unwrap();
    }
    let rounds = cluster.net.read_rounds() - before;
    assert!((1..=20).contains(&rounds), "500 readers at once took {rounds} rounds");
}

#[tokio::test]
async fn a_lost_answer_is_unknown() {
    let config = GroupConfig { propose_timeout: Duration::from_millis(900), ..config() };
    let cluster = Cluster::founded(3, config, memory).await;
    let leader = cluster.leader().await;
    let follower = (leader + 1) % 3;
    let leader_addr = cluster.members[leader].node.addr.clone();
    // A leader fresh from its election may refuse for a moment; that answer lost is Unknown too.
    cluster.members[follower].group.propose(word(9)).await.unwrap();
    cluster.net.mute(&leader_addr);
    assert_eq!(cluster.members[follower].group.propose(word(0)).await, Err(ProposeError::Unknown));
    cluster.net.heal();
    cluster.agree().await;
    assert_eq!(cluster.members[follower].commands(), [word(9), word(0)], "it took effect, once");
    // Nobody to ask: certainly not proposed.
    for member in &cluster.members {
        cluster.net.cut(&member.node.addr);
    }
    assert_eq!(cluster.members[follower].group.propose(word(1)).await, Err(ProposeError::NoLeader));
    // A leader that was just cut off has logged it, or refuses it; after its lease it refuses for certain.
    let old = &cluster.members[leader].group;
    let first = old.propose(word(2)).await;
    assert!(matches!(first, Err(ProposeError::Unknown | ProposeError::NoLeader)), "{first:?}");
    assert_eq!(old.propose(word(3)).await, Err(ProposeError::NoLeader));
    cluster.net.heal();
    cluster.leader().await;
    cluster.members[follower].group.propose(word(4)).await.unwrap();
    cluster.agree().await;
    let journal = cluster.members[0].commands();
    assert!(!journal.contains(&word(1)) && !journal.contains(&word(3)));
    let long = vec![0; COMMAND_BYTES_MAX + 1];
    assert_eq!(cluster.members[0].group.propose(long).await, Err(ProposeError::TooLong(COMMAND_BYTES_MAX + 1)));
    cluster.members[0].group.propose(vec![0; COMMAND_BYTES_MAX]).await.unwrap();
}

#[tokio::test]
async fn who_is_far_behind_gets_a_snapshot() {
    let config = GroupConfig { snapshot_after: 40, keep_behind: 5, ..config() };
    let mut cluster = Cluster::founded(3, config, disk).await;
    let behind = (cluster.leader().await + 1) % 3;
    cluster.stop(behind).await;
    let leader = cluster.leader().await;
    for n in 0..200 {
        // Large enough for a snapshot of several parts.
        let mut command = word(n);
        command.resize(1000, b'.');
        cluster.members[leader].group.propose(command).await.unwrap();
    }
    assert_eq!(cluster.net.snapshots(), 0);
    cluster.restart(behind).await;
    cluster.agree().await;
    assert!(cluster.net.snapshots() > 0, "the log it needs was purged");
    assert_eq!(cluster.members[behind].commands().len(), 200);
    // The member holds no more of the log than the rest, and its snapshot survives a restart.
    cluster.stop(behind).await;
    cluster.restart(behind).await;
    cluster.agree().await;
    assert!(cluster.members[behind].group.log_len() < 100);
}

#[tokio::test]
async fn members_come_move_and_go() {
    let mut cluster = Cluster::founded(3, config(), memory).await;
    let leader = cluster.leader().await;
    for n in 0..5 {
        cluster.members[leader].group.propose(word(n)).await.unwrap();
    }
    let new = cluster.join(memory()).await;
    let (id, node) = (cluster.members[new].id, cluster.members[new].node.clone());
    let asked = (leader + 1) % 3;

    // Asked of a follower, which hands it on. Not reachable for Raft before it has adopted the group.
    cluster.members[asked].group.add_learner(id, node.clone()).await.unwrap();
    let all: Vec<RaftId> = vec![1, 2, 3, id];
    let early = cluster.members[asked].group.set_voters(all.clone()).await;
    assert_eq!(early, Err(MemberError::Refused("member 4 has not caught up yet".into())));
    cluster.members[new].group.adopt(group_id(1)).await.unwrap();
    // The entry that names it stands behind the five.
    let view = until(&cluster.members[new].group, |view| !view.learners.is_empty()).await;
    assert!(view.last_applied >= Some(5));
    assert_eq!(view.learners, BTreeMap::from([(id, node.clone())]));
    // The leader hears of it with the next answer.
    within(async {
        while let Err(MemberError::Refused(why)) = cluster.members[asked].group.set_voters(all.clone()).await {
            assert_eq!(why, "member 4 has not caught up yet");
            tokio::task::yield_now().await;
        }
    })
    .await;
    let view = until(&cluster.members[new].group, |view| view.voters.len() == 4).await;
    assert!(view.learners.is_empty());
    let again = cluster.members[asked].group.set_voters(all).await;
    assert!(again.is_ok(), "what is so already is done: {again:?}");

    let moved = PeerNode { addr: "10.9.9.9:26379".into(), ..node };
    cluster.members[asked].group.update_address(id, moved.clone()).await.unwrap();
    until(&cluster.members[asked].group, |view| view.voters.get(&id) == Some(&moved)).await;
    let nobody = cluster.members[asked].group.update_address(77, moved).await;
    assert_eq!(nobody, Err(MemberError::Refused("member 4d is not in the group".into())));

    cluster.members[asked].group.remove(id).await.unwrap();
    cluster.members[asked].group.remove(id).await.unwrap();
    let view = until(&cluster.members[asked].group, |view| view.voters.len() == 3).await;
    assert!(view.learners.is_empty());
    // The leader itself may be taken out; another leads.
    let out = cluster.members[leader].id;
    cluster.members[leader].group.remove(out).await.unwrap();
    let view = until(&cluster.members[asked].group, |view| view.leader.is_some_and(|id| id != out)).await;
    assert!(!view.voters.contains_key(&out));
    cluster.members[asked].group.propose(word(5)).await.unwrap();
}

#[tokio::test]
async fn leadership_is_handed_over() {
    let cluster = Cluster::founded(3, config(), memory).await;
    let old = cluster.leader().await;
    let heir = (old + 1) % 3;
    cluster.members[old].group.propose(word(0)).await.unwrap();
    cluster.members[old].group.transfer_leader(cluster.members[heir].id).await.unwrap();
    until(&cluster.members[heir].group, View::is_leader).await;
    cluster.members[old].group.propose(word(1)).await.unwrap();
    cluster.agree().await;
}

#[tokio::test]
async fn strangers_are_refused() {
    let mut cluster = Cluster::founded(3, config(), memory).await;
    let leader = cluster.leader().await;
    let group = cluster.members[leader].group.clone();
    let me = cluster.members[leader].id;
    let request = |group, to| PeerRequest { group, from: 9, to, ask: Ask::Propose(word(0)) };
    let ours = Some(group_id(1));
    for theirs in [None, Some(group_id(2))] {
        match group.serve(request(theirs, Some(me))).await {
            PeerResponse::Refused(why) => assert_eq!(why, Refusal::ForeignGroup { ours, theirs }),
            other => panic!("served a stranger: {other:?}"),
        }
    }
    match group.serve(request(ours, Some(99))).await {
        PeerResponse::Refused(why) => assert_eq!(why, Refusal::WrongMember { ours: me, wanted: 99 }),
        other => panic!("served for another: {other:?}"),
    }
    assert!(cluster.members[leader].commands().is_empty());

    // Founding and joining are open to who has no group, not to another group.
    let new = cluster.join(memory()).await;
    let (node, ttl) = (cluster.members[leader].node.clone(), Duration::from_secs(1));
    let stranger = cluster.members[new].group.clone();
    let answer = stranger.ask(&node, None, b"hello".to_vec(), ttl).await.unwrap();
    assert_eq!(String::from_utf8(answer).unwrap(), "5 bytes from 4 of none");
    stranger.adopt(group_id(2)).await.unwrap();
    let refused = Refusal::ForeignGroup { ours, theirs: Some(group_id(2)) };
    assert_eq!(stranger.ask(&node, None, vec![], ttl).await, Err(TransportError::Refused(refused)));
    // A member of a group does not change sides.
    let sides = cluster.members[leader].group.adopt(group_id(2)).await;
    assert!(matches!(sides, Err(FoundError::AlreadyIn(id)) if id == group_id(1)), "{sides:?}");
}

#[tokio::test]
async fn a_founding_that_failed_gives_way_to_another() {
    let cluster = Cluster::strangers(3, config(), memory).await;
    let voters: BTreeMap<_, _> = cluster.members.iter().map(|member| (member.id, member.node.clone())).collect();
    // The first founder gets a vote in and no entry, and is gone.
    cluster.members[1].group.adopt(group_id(5)).await.unwrap();
    cluster.members[1].group.identity().set_promise(Some(b"ballot 5".to_vec())).await.unwrap();
    let vote = openraft::Vote::new(1, 1);
    let rpc = openraft::raft::VoteRequest::new(vote, None);
    let request = PeerRequest { group: Some(group_id(5)), from: 1, to: Some(2), ask: Ask::Vote(rpc) };
    match cluster.members[1].group.serve(request).await {
        PeerResponse::Vote(answer) => assert!(answer.vote_granted),
        other => panic!("{other:?}"),
    }
    cluster.net.cut(&cluster.members[0].node.addr);
    cluster.members[2].group.adopt(group_id(6)).await.unwrap();
    cluster.members[1].group.found(group_id(6), voters.clone()).await.unwrap();
    cluster.leader().await;
    cluster.members[2].group.propose(word(0)).await.unwrap();
    assert_eq!(cluster.members[1].group.identity().promise(), Some(b"ballot 5".to_vec()));
    let again = cluster.members[1].group.found(group_id(6), voters.clone()).await;
    assert!(matches!(again, Err(FoundError::AlreadyIn(_))), "{again:?}");
    let alone = cluster.members[0].group.found(group_id(7), BTreeMap::new()).await;
    assert!(matches!(alone, Err(FoundError::BadMembers(_))), "{alone:?}");
}

#[tokio::test]
async fn a_failed_disk_ends_the_member_and_not_the_group() {
    let media: Vec<_> = (0..3).map(|_| MemoryMedium::default()).collect();
    let next = parking_lot::Mutex::new(media.iter().cloned());
    let mut cluster = Cluster::founded(3, config(), || Keep::Memory(next.lock().next().unwrap())).await;
    let leader = cluster.leader().await;
    cluster.members[leader].group.propose(word(0)).await.unwrap();
    media[leader].fail(Some("No space left on device"));
    let failed = cluster.members[leader].group.propose(word(1)).await;
    assert!(failed.is_err() || failed.is_ok(), "its own disk is one of three");
    let view = until(&cluster.members[leader].group, |view| matches!(view.status, Status::Stopped(_))).await;
    let Status::Stopped(why) = view.status else { unreachable!() };
    assert!(why.contains("No space left on device"), "{why}");
    assert_eq!(view.leader, None);
    let other = (leader + 1) % 3;
    until(&cluster.members[other].group, |view| view.leader.is_some_and(|id| id != cluster.members[leader].id)).await;
    cluster.members[other].group.propose(word(2)).await.unwrap();
    let dead = cluster.members[leader].group.propose(word(3)).await;
    assert!(matches!(dead, Err(ProposeError::Stopped(_) | ProposeError::NoLeader | ProposeError::Unknown)), "{dead:?}");
    // Room again: it comes back from its records.
    cluster.stop(leader).await;
    media[leader].fail(None);
    cluster.restart(leader).await;
    cluster.agree().await;
}

#[tokio::test]
async fn the_pass_opens_the_door() {
    let welcome = Welcome { raft_id: 5 };
    for (wanted, given, opens) in [
        (None, None, true),
        (None, Some("x"), true),
        (Some("secret"), Some("secret"), true),
        (Some("secret"), Some("secre"), false),
        (Some("secret"), None, false),
    ] {
        let (mut near, mut far) = tokio::io::duplex(256);
        let (asked, answered) = tokio::join!(
            wire::greet(&mut near, given.map(str::as_bytes)),
            wire::admit(&mut far, wanted.map(str::as_bytes), welcome)
        );
        assert_eq!(answered.is_ok(), opens);
        match asked {
            Ok(heard) => assert!(opens && heard == welcome),
            Err(why) => assert!(!opens && matches!(why, wire::WireError::Refused(Refusal::WrongPass)), "{why}"),
        }
    }
    // Nobody gets memory for a length that was only claimed.
    let (mut near, mut far) = tokio::io::duplex(256);
    let mut bytes = wire::GREETING.to_vec();
    bytes.extend_from_slice(&u32::MAX.to_le_bytes());
    tokio::io::AsyncWriteExt::write_all(&mut near, &bytes).await.unwrap();
    let refused = wire::admit(&mut far, None, welcome).await;
    assert!(matches!(refused, Err(wire::WireError::TooLong { .. })));
}

#[tokio::test]
async fn a_connection_serves_one_request_after_the_other() {
    let cluster = Cluster::founded(1, config(), memory).await;
    let group = cluster.members[cluster.leader().await].group.clone();
    let (mut near, mut far) = tokio::io::duplex(64);
    let dialler = async {
        let request = |ask, to| PeerRequest { group: Some(group_id(1)), from: 2, to: Some(to), ask };
        for n in 0..3 {
            match wire::call(&mut near, n, &request(Ask::Propose(word(n)), 1)).await.unwrap() {
                PeerResponse::Proposed { outcome, .. } => assert_eq!(outcome, (n + 1).to_le_bytes()),
                other => panic!("{other:?}"),
            }
        }
        match wire::call(&mut near, 3, &request(Ask::ReadIndex, 9)).await.unwrap() {
            PeerResponse::Refused(why) => assert!(why.ends_connection()),
            other => panic!("{other:?}"),
        }
        let gone = wire::call(&mut near, 4, &request(Ask::ReadIndex, 1)).await;
        assert!(matches!(gone, Err(wire::WireError::Io(_))), "the listener hung up");
    };
    let listener = async {
        let ended = wire::serve(&mut far, &group).await;
        drop(far);
        ended
    };
    let (_, ended) = within(async { tokio::join!(dialler, listener) }).await;
    assert!(matches!(ended, Err(wire::WireError::Refused(Refusal::WrongMember { .. }))), "{ended:?}");
}

#[test]
fn a_greeting_is_known_by_its_first_bytes() {
    assert_eq!(wire::is_greeting(b""), None);
    assert_eq!(wire::is_greeting(&wire::GREETING[..3]), None);
    assert_eq!(wire::is_greeting(&wire::GREETING), Some(true));
    for client in [&b"*1\r\n$4\r\nPING\r\n"[..], b"PING\r\n", b"\xffregent\x02", b"\r\n", b"\0", b"GET / HTTP/1.1"] {
        assert_eq!(wire::is_greeting(client), Some(false), "{client:?}");
    }
}

#[test]
fn timing_that_cannot_be_is_refused() {
    let config = GroupConfig { heartbeat: Duration::from_millis(400), ..GroupConfig::default() };
    assert!(config.for_openraft().unwrap_err().starts_with("the group's timing is not possible"));
    assert!(GroupConfig::default().for_openraft().is_ok());
}
