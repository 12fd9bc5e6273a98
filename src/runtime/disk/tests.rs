//! A disk whose fsync fails: what a client could have been told is there after a crash at any moment.

use super::*;
use crate::base::RunId;
use crate::command::Parts;
use crate::config::{AppendFsync, Config, Role};
use crate::keyspace::Keyspace;
use crate::replication::Stream;
use crate::store::Doubles;
use std::path::Path;

const ID: ReplId = ReplId::from_random([7; 20]);

fn node(doubles: &Doubles, fsync: AppendFsync) -> (Server, Disk) {
    let mut config = Config::new(Role::Node, Path::new("/"));
    config.settings.appendfsync = fsync;
    let mut server = Server::new(Parts {
        config,
        keyspace: Keyspace::new(16, [1; 4]),
        stream: Stream::new(History::blank(ID), Offset(0), 1 << 20),
        run_id: RunId::from_random([8; 20]),
        fresh: ReplId::from_random([9; 20]),
        wall: Millis(1_000_000),
        mono: Millis(0),
        ticks: || 0,
    });
    let origin = store::Origin { replid: ID, offset: Offset(0), db: 0, genesis: true };
    let disk = Disk::new(doubles.fresh(origin), Epoch::default(), 0, Arc::default());
    disk.release(&mut server);
    (server, disk)
}

fn write(server: &mut Server, value: &str) {
    server.feed_own(0, &[b"SET", b"key", value.as_bytes()]);
    server.feed.close_unit(&mut server.stream);
}

/// The next fsync fails.
fn fail_fsync(disk: &mut Disk, doubles: &Doubles) {
    doubles.fail_fsync();
    let log = disk.store.log().expect("it is on");
    log.sync_request();
    assert!(log.sync_wait().is_err());
}

/// Serves the storage thread until the turn may end.
fn mend(server: &mut Server, disk: &mut Disk) {
    while disk.append(server) != Appended::All {
        disk.advance(server);
        std::thread::yield_now();
    }
}

const MISCONF: &str = "MISCONF Errors writing to the AOF file: Input/output error";

#[test]
fn what_is_told_behind_a_failed_fsync_survives_a_crash() {
    let doubles = Doubles::default();
    let (mut server, mut disk) = node(&doubles, AppendFsync::Everysec);
    write(&mut server, "before");
    assert_eq!(disk.append(&mut server), Appended::All);
    let told = server.stream.end();
    fail_fsync(&mut disk, &doubles);
    write(&mut server, "behind");
    assert_eq!(disk.append(&mut server), Appended::Fault, "the new generation does not count yet");
    assert_eq!(server.fault.as_deref(), Some(MISCONF));
    assert_eq!(server.stream.released(), told, "replicas are not shown it either");
    assert_eq!(doubles.end_after_a_kill(), told);
    assert!(!disk.keeps_its_word());
    mend(&mut server, &mut disk);
    assert_eq!(server.fault, None);
    assert_eq!(server.stream.released(), server.stream.end());
    assert_eq!(doubles.end_after_a_kill(), server.stream.end());
    write(&mut server, "and on");
    assert_eq!(disk.append(&mut server), Appended::All);
    assert_eq!(doubles.end_after_a_kill(), server.stream.end());
}

#[test]
fn a_second_failure_on_the_way_loses_no_byte_of_the_stream() {
    let doubles = Doubles::default();
    let (mut server, mut disk) = node(&doubles, AppendFsync::Everysec);
    for (round, appended) in [("one", Appended::All), ("two", Appended::Fault), ("three", Appended::Fault)] {
        write(&mut server, round);
        assert_eq!(disk.append(&mut server), appended);
        // Where the log began anew with that, the bytes go in with the next try.
        disk.append(&mut server);
        fail_fsync(&mut disk, &doubles);
    }
    write(&mut server, "four");
    assert_eq!(disk.append(&mut server), Appended::Fault);
    mend(&mut server, &mut disk);
    let log = disk.store.log().expect("it is on");
    assert_eq!(log.end(), server.stream.end(), "log and stream have the same offsets");
    assert_eq!(doubles.end_after_a_kill(), server.stream.end());
}

/// With `appendfsync always` the turn whose own fsync failed is held as well: a power cut would undo it.
#[test]
fn a_turn_whose_fsync_failed_waits_for_the_checkpoint() {
    let doubles = Doubles::default();
    let (mut server, mut disk) = node(&doubles, AppendFsync::Always);
    write(&mut server, "before");
    assert_eq!(disk.append(&mut server), Appended::All);
    disk.store.log().expect("it is on").sync_wait().expect("synced");
    write(&mut server, "not synced");
    assert_eq!(disk.append(&mut server), Appended::All);
    fail_fsync(&mut disk, &doubles);
    assert_eq!(disk.append(&mut server), Appended::Fault);
    assert_eq!(server.fault.as_deref(), Some(MISCONF));
    mend(&mut server, &mut disk);
    assert_eq!(doubles.end_after_a_power_cut(), server.stream.end());
}
