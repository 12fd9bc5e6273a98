//! A sentinel's own troubles: a file that it can't rewrite, a group that is not its own, a clock that is stepped.

use crate::dir::Mount;
use crate::support::{SOON, Server, wait_for, wait_until};
use regent::resp::Frame;
use std::time::Duration;

/// Founding takes its time: others might be there.
const FOUNDED: Duration = Duration::from_secs(60);

/// A sentinel that watches this master alone.
fn watching(master: &Server) -> Server {
    let lines = [
        "# the operator's own words".to_string(),
        format!("sentinel monitor myMaster 127.0.0.1 {} 1", master.port),
        "sentinel down-after-milliseconds myMaster 1000".to_string(),
        "sentinel failover-timeout myMaster 10000".to_string(),
    ];
    Server::sentinel(true, &lines)
}

fn group(sentinel: &Server) -> String {
    sentinel.info("sentinel").find("regent_group").unwrap_or_default().to_string()
}

fn wait_founded(sentinel: &Server) {
    wait_until("it has founded its group", FOUNDED, || {
        let info = sentinel.info("sentinel");
        info.get("regent_group_role") == "leader" && group(sentinel).len() == 32
    });
}

/// It names this master, as soon as it names any (it may have lost its leadership for a moment on a busy machine).
#[track_caller]
fn names(sentinel: &Server, master: &Server) {
    let reply = wait_for("it names a master", SOON, || {
        let reply = sentinel.ask("SENTINEL GET-MASTER-ADDR-BY-NAME myMaster");
        (!matches!(&reply, Frame::Error(text) if text.starts_with("NOQUORUM"))).then_some(reply)
    });
    let port = reply.items().and_then(|items| items.get(1)?.text().map(<[u8]>::to_vec));
    assert_eq!(port, Some(master.port.to_string().into_bytes()), "{reply:?}");
}

#[test]
fn a_sentinel_conf_that_is_a_mount_point_is_written_in_place() {
    let master = Server::node(&[]);
    let sentinel = watching(&master);
    let file = sentinel.path.join("sentinel.conf");
    let shown = file.display().to_string();
    let _busy = Mount::over(&file, &["--bind", &shown]);
    sentinel.ok("SENTINEL SET myMaster parallel-syncs 3");
    sentinel.ok("SENTINEL FLUSHCONFIG");
    let text = std::fs::read_to_string(&file).expect("the file");
    assert!(text.starts_with("port ") && text.contains("# the operator's own words"), "{text}");
    assert!(text.contains("sentinel parallel-syncs myMaster 3"), "{text}");
    assert!(!sentinel.log().contains("not able to save"));
    let left = std::fs::read_dir(&sentinel.path).expect("its dir").filter_map(Result::ok);
    assert!(
        !left.into_iter().any(|entry| entry.file_name().to_string_lossy().contains(".tmp")),
        "nothing is left over"
    );
}

#[test]
fn a_sentinel_conf_that_cannot_be_written_is_told_and_the_sentinel_goes_on() {
    let master = Server::node(&[]);
    let sentinel = watching(&master);
    let file = sentinel.path.join("sentinel.conf");
    wait_until("it has written its file", SOON, || {
        std::fs::read_to_string(&file).is_ok_and(|text| text.contains("sentinel myid "))
    });
    let shown = file.display().to_string();
    let sealed = Mount::over(&file, &["--bind", "-o", "ro", &shown]);
    let before = std::fs::read_to_string(&file).expect("the file");
    // It counts at once, whatever the file says, as with Redis.
    let unsaved = Frame::Error("ERR Failed to save config file. Check server logs.".into());
    assert_eq!(sentinel.ask("SENTINEL SET myMaster parallel-syncs 3"), unsaved);
    assert_eq!(sentinel.ask("SENTINEL FLUSHCONFIG"), unsaved);
    let line = "# WARNING: Sentinel was not able to save the new configuration on disk!!!: could not ";
    sentinel.wait_for_log(line);
    let log = sentinel.log();
    let told = log.lines().find(|told| told.contains(line)).expect("just seen");
    assert!(told.ends_with(&format!("write to {shown}: Read-only file system")), "{told}");
    assert_eq!(std::fs::read_to_string(&file).expect("the file"), before);
    wait_founded(&sentinel);
    names(&sentinel, &master);
    drop(sealed);
    sentinel.ok("SENTINEL FLUSHCONFIG");
    let text = std::fs::read_to_string(&file).expect("the file");
    assert!(text.contains("sentinel parallel-syncs myMaster 3"), "{text}");
}

#[test]
fn a_sentinel_of_another_group_is_told_and_left_alone() {
    let master = Server::node(&[]);
    let mut one = watching(&master);
    wait_founded(&one);
    one.kill();
    let other = watching(&master);
    wait_founded(&other);
    one.start();
    wait_founded(&one);
    let (own, theirs) = (group(&one), group(&other));
    assert_ne!(own, theirs, "two groups");
    for (sentinel, foreign, own) in [(&one, &theirs, &own), (&other, &own, &theirs)] {
        sentinel.wait_for_log(&format!(
            " belongs to another group, {foreign}, and watches masters of this one, {own}: no orders are given for them from \
             here while it does."
        ));
    }
    assert_eq!((group(&one), group(&other)), (own, theirs));
    for sentinel in [&one, &other] {
        assert_eq!(sentinel.info("sentinel").int("regent_voters"), 1);
        names(sentinel, &master);
    }
    let told = one.log().matches("belongs to another group").count();
    assert!(told < 20, "it was told {told} times");
}

/// The wall clock jumps by an hour, forward or back: what is measured in time, links and outages, does not notice. The
/// deadlines of keys are times of day, as in Redis: they follow the clock.
#[test]
fn a_step_of_the_wall_clock_ends_no_link_and_starts_no_failover() {
    for step_ms in [3_600_000_i64, -3_600_000] {
        let step = format!("15000:{step_ms}");
        let stepped = |server: &mut Server| server.env("REGENT_CLOCK_STEP", &step);
        let mut master = Server::prepare_node(&["min-replicas-to-write 1", "min-replicas-max-lag 3", "timeout 30"]);
        stepped(&mut master);
        master.start();
        let mut replica = Server::prepare_node(&[&format!("replicaof 127.0.0.1 {}", master.port), "repl-timeout 10"]);
        stepped(&mut replica);
        replica.start();
        replica.wait_in_step(&master);
        let mut sentinel = watching(&master);
        wait_founded(&sentinel);
        sentinel.kill();
        sentinel.env("REGENT_CLOCK_STEP", &format!("3000:{step_ms}"));
        sentinel.start();
        let mut open = master.client();
        master.ok("SET day kept EX 86400");
        let now = || match master.ask("TIME").items() {
            Some([seconds, _]) => {
                String::from_utf8_lossy(seconds.text().expect("text")).parse::<i64>().expect("a time")
            }
            other => panic!("TIME: {other:?}"),
        };
        let began = now();
        wait_until("the clock is stepped", SOON, || (now() - began).abs() > 3000);
        let uptime = sentinel.info("server").int("uptime_in_seconds").max(3);
        wait_until("down-after has passed", SOON, || sentinel.info("server").int("uptime_in_seconds") > uptime + 3);
        master.ok("SET behind the-step");
        assert_eq!(master.ask("WAIT 1 5000"), Frame::Int(1));
        assert_eq!(open.ask("GET day").text(), Some(&b"kept"[..]));
        names(&sentinel, &master);
        let said = sentinel.log();
        assert!(!said.contains("+sdown") && !said.contains("+odown") && !said.contains("+switch-master"), "{said}");
        assert_eq!(replica.log().matches("Connecting to MASTER").count(), 1, "the link was lost");
        replica.wait_in_step(&master);
        assert_eq!(replica.digest(), master.digest());
    }
}
