//! What is watched: links, INFO, hellos, and when a node is down.

use super::*;
use crate::failover::facts::{MasterLink, Role};
use crate::monitor::instance::Reconf;

pub(super) fn master_info(replicas: &[u16]) -> String {
    let mut text = format!("# Server\r\nrun_id:{}\r\n# Replication\r\nrole:master\r\n", "a".repeat(40));
    for (n, port) in replicas.iter().enumerate() {
        text += &format!("slave{n}:ip=10.0.0.2,port={port},state=online,offset=5,lag=0\r\n");
    }
    text + "master_repl_offset:500\r\n"
}

pub(super) fn replica_info(master: u16, link: &str) -> String {
    format!(
        "run_id:{}\r\nrole:slave\r\nmaster_host:10.0.0.1\r\nmaster_port:{master}\r\nmaster_link_status:{link}\r\n\
         slave_repl_offset:480\r\nslave_priority:90\r\nreplica_announced:1\r\n",
        "b".repeat(40)
    )
}

fn addr(port: u16) -> Addr {
    Addr::new(if port == 7001 { "10.0.0.1" } else { "10.0.0.2" }, port)
}

#[test]
fn info_of_the_master_brings_its_replicas_and_theirs_is_shown() {
    let mut bench = Bench::new("");
    bench.up(7001);
    bench.answer(7001, &master_info(&[7002, 7003]));
    let log = bench.log();
    assert!(log.contains(&"+slave slave 10.0.0.2:7003 10.0.0.2 7003 @ m 10.0.0.1 7001".to_owned()), "{log:?}");
    bench.up(7002);
    bench.answer(7002, &replica_info(7001, "up"));
    let node = &bench.monitor.masters["m"].nodes[&addr(7002)];
    let facts = node.facts.as_ref().unwrap();
    assert_eq!(facts.role, Role::Replica { master: addr(7001), link: MasterLink::Up });
    assert_eq!((facts.priority, facts.offset.0), (90, 480));
    let shown = bench.say("sentinel replicas m");
    assert!(shown.contains("slave-priority 90 slave-repl-offset 480 replica-announced 1"), "{shown}");
    bench.answer(7002, "run_id:x\r\n");
    assert_eq!(bench.monitor.masters["m"].nodes.len(), 3, "INFO without a role changes nothing");
}

#[test]
fn a_silent_master_is_down_one_millisecond_after_its_time() {
    let mut bench = Bench::new("");
    bench.up(7001);
    bench.answer(7001, &master_info(&[]));
    // Its next PING, one period later, is not answered.
    bench.pass(1000 + 1000 + 5000);
    assert!(!bench.log().iter().any(|line| line.starts_with("+sdown")));
    bench.pass(7001);
    assert_eq!(bench.log().iter().filter(|line| *line == "+sdown master m 10.0.0.1 7001").count(), 1);
    // Half of its time without any reply, and the link was made anew.
    bench.up(7001);
    bench.answer(7001, &master_info(&[]));
    assert!(bench.log().contains(&"-sdown master m 10.0.0.1 7001".to_owned()));
}

#[test]
fn ping_info_and_hello_have_their_periods() {
    let mut bench = Bench::new("");
    bench.up(7001);
    bench.answer(7001, &master_info(&[]));
    let sent = |bench: &mut Bench, until: i64| {
        let mut counts = [0; 3];
        bench.out.clear();
        while bench.now < until {
            let now = bench.now + 100;
            bench.pass(now);
            for effect in bench.out.drain(..).collect::<Vec<_>>() {
                if let Effect::Send { bytes, .. } = effect {
                    let line = String::from_utf8_lossy(&bytes).into_owned();
                    for (n, name) in ["PING", "INFO", "PUBLISH"].iter().enumerate() {
                        counts[n] += usize::from(line.contains(name));
                    }
                }
            }
            bench.answer(7001, &master_info(&[]));
        }
        counts
    };
    assert_eq!(sent(&mut bench, 21_050), [20, 2, 10]);
    assert_eq!(bench.say("sentinel debug ping-period 200 info-period 1000 publish-period 500"), "OK");
    bench.answer(7001, &master_info(&[]));
    let [pings, infos, hellos] = sent(&mut bench, 31_050);
    assert!(pings >= 49 && infos >= 9 && hellos >= 19, "{pings} {infos} {hellos}");
}

#[test]
fn a_replica_that_goes_over_to_its_new_master_is_asked_often_until_it_has() {
    let mut bench = Bench::new("");
    bench.up(7001);
    bench.answer(7001, &master_info(&[7002]));
    bench.up(7002);
    bench.answer(7002, &replica_info(7001, "down"));
    let asked_in_a_second = |bench: &mut Bench, link: &str| {
        bench.out.clear();
        let mut count = 0;
        for _ in 0..20 {
            let now = bench.now + 50;
            bench.pass(now);
            let info = |effect: &Effect| matches!(effect, Effect::Send { bytes, .. } if bytes.windows(4).any(|word| word == b"INFO"));
            count += bench.out.drain(..).filter(info).count();
            bench.answer(7001, &master_info(&[7002]));
            bench.answer(7002, &replica_info(7001, link));
        }
        count
    };
    assert!(asked_in_a_second(&mut bench, "down") <= 2);
    let watched = bench.monitor.masters.get_mut("m").unwrap();
    let epoch = watched.epoch;
    watched.nodes.get_mut(&addr(7002)).unwrap().reconf = Some((epoch, Reconf::Sent));
    assert!(asked_in_a_second(&mut bench, "down") >= 9);
    bench.answer(7002, &replica_info(7001, "up"));
    asked_in_a_second(&mut bench, "up");
    assert_eq!(bench.monitor.masters["m"].nodes[&addr(7002)].reconf, Some((epoch, Reconf::Done)));
    assert_eq!(asked_in_a_second(&mut bench, "up"), 0);
}

#[test]
fn a_hello_makes_a_sentinel_known_and_follows_it_to_another_port() {
    let mut bench = Bench::new("");
    let runid = "c".repeat(40);
    let hello = |port: u16| format!("10.0.0.5,{port},{runid},0,m,10.0.0.1,7001,0");
    bench.log();
    assert_eq!(bench.say(&format!("publish __sentinel__:hello {}", hello(5002))), "1");
    let named = format!("sentinel {runid} 10.0.0.5 5002 @ m 10.0.0.1 7001");
    assert!(bench.log().contains(&format!("+sentinel {named}")));
    assert_eq!(bench.say(&format!("publish __sentinel__:hello {}", hello(5009))), "1");
    let log = bench.log();
    let switched = format!(
        "+sentinel-address-switch sentinel {runid} 10.0.0.5 5009 @ m 10.0.0.1 7001 ip 10.0.0.5 port 5009 for {runid}"
    );
    assert!(log.contains(&switched), "{log:?}");
    for wrong in ["x", "10.0.0.5,5002,c,0,m,10.0.0.1,7001,0", "10.0.0.5,0,c,0,m,1,2,3"] {
        assert_eq!(bench.say(&format!("publish __sentinel__:hello {wrong}")), "1", "dropped, as in Redis");
    }
    assert_eq!(bench.say("publish other x"), "-ERR Only HELLO messages are accepted by Sentinel instances.");
    assert!(bench.say("sentinel sentinels m").contains("port 5009"));
    let master = bench.ask(&["sentinel", "master", "m"]);
    assert_eq!(text(&master.items().unwrap()[33]), "1");
}

// A sentinel that was stopped for ten seconds woke to sockets full of news of before: what it read first was held against
// nodes and sentinels that were fine.
#[test]
fn a_pause_of_this_process_is_noticed_before_anything_is_read() {
    let mut bench = Bench::new(&format!("sentinel known-sentinel m 10.0.0.8 5002 {}\n", "2".repeat(40)));
    bench.up(7001);
    bench.answer(7001, &master_info(&[]));
    bench.pass(2500);
    bench.log();
    bench.now = 12_500;
    // Not the tick: a client is served first.
    assert_eq!(bench.say("ping"), "PONG");
    assert_eq!(bench.log()[0], "+tilt #tilt mode entered");
    bench.step(Event::Tick);
    bench.pass(12_500 + 4_900);
    let log = bench.log();
    assert!(!log.iter().any(|line| line.contains("+sdown")), "{log:?}");
    assert!(bench.say("info sentinel").contains("sentinel_tilt:1\r\n"));
    bench.pass(12_500 + 31_000);
    let log = bench.log();
    assert!(
        log.contains(&"-tilt #tilt mode exited".to_owned()) && log.iter().any(|line| line.starts_with("+sdown master"))
    );
}

#[test]
fn a_sentinel_that_refuses_is_told_of_once_and_a_foreign_one_stops_orders() {
    use crate::monitor::Unanswered;
    let other = "2".repeat(40);
    let mut bench = Bench::new(&format!("sentinel known-sentinel m 10.0.0.8 5002 {other}\n"));
    let runid = RunId::parse(other.as_bytes()).unwrap();
    bench.log();
    let say = |bench: &mut Bench, why: Unanswered| {
        let asked = Millis(bench.now);
        bench.step(Event::Told { runid, asked, answer: Err(why) });
        bench.log().into_iter().filter(|line| line.contains("10.0.0.8:5002")).count()
    };
    assert_eq!(say(&mut bench, Unanswered::WrongPass), 1);
    assert_eq!(say(&mut bench, Unanswered::WrongPass), 0, "once");
    assert!(!bench.monitor.is_contested("m"));
    assert_eq!(say(&mut bench, Unanswered::Foreign { group: "ab".into() }), 1);
    assert!(bench.monitor.is_contested("m"));
    assert_eq!(say(&mut bench, Unanswered::Silent), 0);
    bench.now += 10_001;
    bench.say("ping");
    assert!(!bench.monitor.is_contested("m"), "not for longer than it is there");
}

// The group could not be asked for a while, and SENTINEL FAILOVER answered -INPROG for ever after.
#[test]
fn a_failover_by_hand_that_came_to_nothing_ends() {
    let mut bench = Bench::grouped();
    for (port, info) in [(7001, master_info(&[7002])), (7002, replica_info(7001, "up"))] {
        bench.up(port);
        bench.answer(port, &info);
    }
    assert_eq!(bench.say("sentinel failover m"), "OK");
    assert_eq!(bench.say("sentinel failover m"), "-INPROG Failover already in progress");
    let proposed = |effect: &Effect| matches!(effect, Effect::Propose { entry: Entry::Picked { .. }, .. });
    let mut picked = 0;
    for _ in 0..6 {
        let now = bench.now + 900;
        bench.pass(now);
        bench.answer(7001, &master_info(&[7002]));
        bench.answer(7002, &replica_info(7001, "up"));
        picked += bench.out.iter().filter(|effect| proposed(effect)).count();
        if bench.now < 5000 {
            bench.log();
        }
    }
    assert_eq!(picked, 1, "one proposal in flight, which nobody answers");
    let log = bench.log();
    assert!(log.contains(&"-failover-abort-not-elected master m 10.0.0.1 7001".to_owned()), "{log:?}");
    assert_eq!(bench.say("sentinel failover m"), "OK", "and may be asked for again");
}
