//! Links that stall: what the master could not send for a while is not lost to the replica.

use crate::support::{SOON, Server, wait_until};

/// The backlog in memory moves on while the replica's socket takes nothing; what it misses stands in the log. (A piece of
/// the backlog that was being sent when it was overwritten was once forgotten, and the link stood still for good.)
#[test]
fn a_replica_that_stops_reading_for_a_while_goes_on_in_part() {
    let master = Server::node(&["repl-timeout 600"]);
    let replica = Server::node(&["repl-timeout 600"]);
    replica.follow(&master);
    replica.wait_in_step(&master);
    let pad = vec![b'p'; 64 << 10];
    for (round, count) in [(0, 300), (1, 20), (2, 300)] {
        replica.signal(libc::SIGSTOP);
        for n in 0..count {
            let key = format!("pad:{round}:{n}");
            assert!(master.cmd(&[b"SET".as_slice(), key.as_bytes(), &pad]).is_ok());
        }
        replica.signal(libc::SIGCONT);
        replica.wait_in_step(&master);
    }
    assert_eq!(replica.digest(), master.digest());
    assert_eq!(master.info("stats").int("sync_full"), 1);
    assert_eq!(replica.log().matches("Connecting to MASTER").count(), 1, "the link was never lost");
    wait_until("all is acknowledged", SOON, || {
        let info = master.info("replication");
        info.get("slave0").contains(&format!("offset={},", info.int("master_repl_offset")))
    });
}
