//! A disk without space, on a small file system that the test mounts: writes and PING are refused before anything is
//! executed that the log could not take, reads go on, and writes go on by themselves when there is space again.

use crate::support::{Client, SOON, Server, SmallDisk, wait_until};
use regent::resp::Frame;
use std::time::Duration;

const MISCONF: &str = "MISCONF Errors writing to the AOF file: No space left on device";

/// Room for the log's reserve, a checkpoint, and some to be filled.
const DISK_BYTES: u64 = 96 << 20;

fn refused() -> Frame {
    Frame::Error(MISCONF.into())
}

/// INCRs the counter, which stands at `from`, and pads until the node refuses: how many were acknowledged.
fn write_until_refused(node: &Server, from: i64) -> i64 {
    let pad = vec![b'p'; 64 << 10];
    for n in 1..10_000 {
        match node.ask("INCR counter") {
            Frame::Int(now) => assert_eq!(now, from + n),
            reply => {
                assert_eq!(reply, refused());
                return n - 1;
            }
        }
        let reply = node.cmd(&[b"SET".as_slice(), format!("pad:{n}").as_bytes(), &pad]);
        if !reply.is_ok() {
            assert_eq!(reply, refused());
            return n;
        }
    }
    panic!("the disk never filled up");
}

/// Waits until every key that has expired is gone: one that is only unseen still counts for the digest (as in Redis), and
/// would be removed behind it at any time.
fn wait_until_expired_are_removed(node: &Server) {
    let shown = || node.ask("KEYS *").items().map(<[Frame]>::len).expect("the keys");
    wait_until("no key is left unseen", SOON, || node.ask("DBSIZE") == Frame::Int(shown() as i64));
}

fn wait_until_writes(node: &Server) {
    wait_until("writes are taken again", SOON, || node.ask("SET again 1").is_ok());
}

#[test]
fn a_full_disk_refuses_writes_and_keeps_every_word() {
    let disk = SmallDisk::mount(DISK_BYTES);
    let mut node = Server::prepare_node_at(disk.path(), &[]);
    node.start();
    node.ok("SET before kept");
    node.ok("SET short kept PX 60");
    let ballast = disk.fill();
    let counted = write_until_refused(&node, 0);
    assert!(counted > 20, "the reserve took {counted} writes");

    // Writes and PING are refused, in a transaction too; everything else goes on, and says what was acknowledged.
    assert_eq!(node.ask("PING"), refused());
    assert_eq!(node.ask("DEL before"), refused());
    node.ok("MULTI");
    assert_eq!(node.ask("SET in multi"), refused());
    let reply = node.ask("EXEC");
    assert_eq!(reply, Frame::Error("EXECABORT Transaction discarded because of previous errors.".into()));
    assert_eq!(node.ask("GET before").text(), Some(&b"kept"[..]));
    wait_until("the key has expired", SOON, || node.ask("GET short") == Frame::Null);
    assert_eq!(node.ask("GET counter").text(), Some(counted.to_string().as_bytes()));
    assert_eq!(node.ask("CONFIG GET maxclients").items().map(<[Frame]>::len), Some(2));
    assert_eq!(node.ask("PUBLISH channel message"), Frame::Int(0));
    let info = node.info("persistence");
    assert_eq!(info.get("aof_last_write_status"), "err");
    node.wait_for_log("Error writing to the AOF file: No space left on device");
    let log = node.log();
    assert_eq!(log.matches("Error writing to the AOF file").count(), 1, "it is told once");
    let place = log.lines().find(|line| line.contains("can't append to the log ")).expect("the file is named");
    assert!(place.contains(&format!("{}/regent-log/", disk.path().display())), "{place}");
    assert!(place.contains(" at offset "), "{place}");
    assert!(
        place.ends_with(": No space left on device (os error 28). Writes are refused until that is mended."),
        "{place}"
    );

    // A start on the full disk finds all of it, and refuses as well, once it has used up the room of the former process.
    let digest = node.digest();
    node.crash();
    assert_eq!(node.digest(), digest);
    assert_eq!(node.ask("GET counter").text(), Some(counted.to_string().as_bytes()));
    let counted = counted + write_until_refused(&node, counted);

    std::fs::remove_file(ballast).expect("the space is given back");
    wait_until_writes(&node);
    assert_eq!(node.ask("PING"), Frame::Simple("PONG".into()));
    node.wait_for_log("* AOF write error looks solved. The server can write again.");
    assert_eq!(node.info("persistence").get("aof_last_write_status"), "ok");
    assert_eq!(node.ask("INCR counter"), Frame::Int(counted + 1));
    wait_until_expired_are_removed(&node);
    let digest = node.digest();
    node.crash();
    assert_eq!(node.digest(), digest);
}

#[test]
fn a_stop_on_a_full_disk_loses_nothing() {
    let disk = SmallDisk::mount(DISK_BYTES);
    let mut node = Server::prepare_node_at(disk.path(), &["save 3600 1"]);
    node.start();
    let ballast = disk.fill();
    let counted = write_until_refused(&node, 0);
    assert_eq!(node.ask("SHUTDOWN SAVE"), Frame::Error("ERR Errors trying to SHUTDOWN. Check logs.".into()));
    assert!(node.log().contains("Error trying to save the DB, can't exit: "));
    // The log has everything, but where there are save points a stop leaves a dump or does not happen, as in Redis.
    node.signal(libc::SIGTERM);
    node.wait_for_log("Errors trying to shut down the server.");
    node.client().send(&["SHUTDOWN", "NOSAVE"]).expect("sent");
    assert!(node.wait_end().success());
    std::fs::remove_file(ballast).expect("the space is given back");
    node.start();
    assert_eq!(node.ask("GET counter").text(), Some(counted.to_string().as_bytes()));
}

/// A value that does not fit what the log has reserved: the append fails with its effect in memory.
fn too_much(client: &mut Client) {
    client.send(&[b"SET".as_slice(), b"big", &vec![b'b'; 24 << 20]]).expect("sent");
}

#[test]
fn what_the_log_could_not_take_is_told_to_nobody_until_it_can() {
    let disk = SmallDisk::mount(DISK_BYTES);
    let mut node = Server::prepare_node_at(disk.path(), &[]);
    node.start();
    node.ok("SET before kept");
    let (mut writer, mut reader) = (node.client(), node.client());
    let ballast = disk.fill();
    too_much(&mut writer);
    node.wait_for_log("Error writing to the AOF file: No space left on device");
    // It would see what a crash undoes.
    reader.send(&["EXISTS", "big"]).expect("sent");
    reader.patience(Duration::from_millis(400));
    assert!(reader.receive().is_err(), "an effect that the log lacks was shown");
    reader.patience(SOON);
    writer.patience(SOON);
    std::fs::remove_file(ballast).expect("the space is given back");
    assert!(writer.receive().expect("a reply").is_ok());
    assert_eq!(reader.receive().expect("a reply"), Frame::Int(1));
    wait_until_writes(&node);
    let digest = node.digest();
    node.crash();
    assert_eq!(node.digest(), digest);
}

/// Client-side caches and subscribers to events hear of an effect what clients hear of it: nothing before the log has it.
#[test]
fn no_cache_is_told_of_what_the_log_could_not_take() {
    let disk = SmallDisk::mount(DISK_BYTES);
    let mut node = Server::prepare_node_at(disk.path(), &["notify-keyspace-events KA"]);
    node.start();
    node.ok("SET big small");
    let ready = |requests: &[&str]| {
        let mut client = node.client();
        for request in requests {
            client.cmd(&request.split(' ').collect::<Vec<_>>());
        }
        client
    };
    let direct = ready(&["HELLO 3", "CLIENT TRACKING ON", "GET big"]);
    let broadcast = ready(&["HELLO 3", "CLIENT TRACKING ON BCAST"]);
    let mut target = node.client();
    let id = target.cmd(&["CLIENT", "ID"]).int().expect("an id");
    target.cmd(&["SUBSCRIBE", "__redis__:invalidate"]);
    let _caching = ready(&[&format!("CLIENT TRACKING ON REDIRECT {id}"), "GET big"]);
    let events = ready(&["SUBSCRIBE __keyspace@0__:big"]);
    let mut hearers = [direct, broadcast, target, events];
    let ballast = disk.fill();
    let mut writer = node.client();
    too_much(&mut writer);
    node.wait_for_log("Error writing to the AOF file: No space left on device");
    for (number, hearer) in hearers.iter_mut().enumerate() {
        hearer.patience(Duration::from_millis(150));
        assert!(hearer.receive().is_err(), "hearer {number} was told of an effect that the log lacks");
        hearer.patience(SOON);
    }
    std::fs::remove_file(ballast).expect("the space is given back");
    writer.patience(SOON);
    assert!(writer.receive().expect("a reply").is_ok());
    for hearer in &mut hearers {
        let told = hearer.receive().expect("told now");
        let kind = told.items().and_then(|items| items.first()?.text()).unwrap_or_default();
        assert!([&b"invalidate"[..], b"message"].contains(&kind), "{told:?}");
    }
}

#[test]
fn who_waits_too_long_for_the_log_is_closed_without_a_reply() {
    let disk = SmallDisk::mount(DISK_BYTES);
    let mut node = Server::prepare_node_at(disk.path(), &["log-hold-timeout 1"]);
    node.start();
    assert_eq!(node.ask("INCR counter"), Frame::Int(1));
    let (mut writer, mut reader) = (node.client(), node.client());
    let _ballast = disk.fill();
    too_much(&mut writer);
    node.wait_for_log("Error writing to the AOF file: No space left on device");
    reader.send(&["STRLEN", "big"]).expect("sent");
    assert_eq!(writer.receive_to_end().expect("closed"), b"");
    assert_eq!(reader.receive_to_end().expect("closed"), b"");
    assert!(node.log().contains("clients are closed without a reply: the log could not be written for 1000 ms"));
    // It can be stopped: nobody was told of the value, so it may go.
    node.signal(libc::SIGTERM);
    assert!(node.wait_end().success());
    assert!(
        node.log().contains("Effects that nobody was told of are given up: they could not be appended to the log.")
    );
    node.start();
    assert_eq!(node.ask("EXISTS big"), Frame::Int(0));
    assert_eq!(node.ask("GET counter").text(), Some(&b"1"[..]));
}

#[test]
fn a_replica_whose_disk_is_full_waits_and_catches_up() {
    let disk = SmallDisk::mount(2 * DISK_BYTES);
    let master = Server::node(&[]);
    let mut replica = Server::prepare_node_at(disk.path(), &[]);
    replica.start();
    replica.follow(&master);
    replica.wait_in_step(&master);
    let ballast = disk.fill();
    let pad = vec![b'p'; 64 << 10];
    for n in 0..1_200 {
        assert!(master.cmd(&[b"SET".as_slice(), format!("pad:{n}").as_bytes(), &pad]).is_ok());
    }
    wait_until("the replica says so", SOON, || replica.ask("PING") == refused());
    assert_eq!(replica.ask("SET own 1"), refused());
    let behind = replica.info("replication").int("slave_repl_offset");
    assert!(behind < master.place().1, "it has no room for all of it");
    std::fs::remove_file(ballast).expect("the space is given back");
    replica.wait_in_step(&master);
    assert_eq!(replica.digest(), master.digest());
    assert_eq!(replica.ask("PING"), Frame::Simple("PONG".into()));
    let full = replica.info("replication");
    assert_eq!(full.get("master_link_status"), "up");
    assert_eq!(master.info("stats").int("sync_full"), 1, "it went on where it stood");
}
