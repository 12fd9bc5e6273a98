//! `kill -9` of a process that writes to the group's store, again and again: what was acknowledged is there, whole and in
//! order, and a vote never goes back.
//!
//! The writer is this test's own binary, started anew with one of its tests (`the_writer`) that does nothing in a plain run.

use regent::store::group::{Change, GroupStore};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;

const DIR: &str = "REGENT_GROUP_STORE_DIR";
const LIVES: usize = 12;
const VOTE: &[u8] = b"v";

fn key(n: u64) -> Vec<u8> {
    [&b"l"[..], &n.to_be_bytes()].concat()
}

/// Entries of 40 bytes to 48 KiB, each told apart from all others.
fn entry(n: u64) -> Vec<u8> {
    let bytes = if n.is_multiple_of(7) { 48 * 1024 } else { 40 + (n * 37 % 3000) as usize };
    (0..bytes).map(|at| (n as usize * 31 + at * 7) as u8).collect()
}

/// Writes entries and votes until it is killed; says each number once the disk has it.
#[test]
fn the_writer() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let (store, records) = GroupStore::open(Path::new(&dir), "group").expect("the store opens");
    let mut next = records.range(key(0)..key(u64::MAX)).next_back().map_or(0, |(key, _)| number(key) + 1);
    let (tell, told) = mpsc::sync_channel(64);
    loop {
        // As Raft does: entries one behind the other without waiting, and a vote among them.
        for n in next..next + 4 {
            let tell = tell.clone();
            let ack = Box::new(move |how: std::io::Result<()>| tell.send((n, how)).expect("the test runs"));
            let vote = Change::Put { key: VOTE.to_vec(), value: n.to_be_bytes().to_vec() };
            store.submit(vec![Change::Put { key: key(n), value: entry(n) }, vote], Some(ack));
        }
        for _ in 0..4 {
            let (n, how) = told.recv().expect("an answer");
            how.expect("it is written");
            println!("acked {n}");
        }
        next += 4;
        if next > 200 && next.is_multiple_of(64) {
            let purge = (next - 200..next - 100).map(|n| Change::Delete { key: key(n) }).collect();
            store.submit(purge, None);
        }
    }
}

fn number(key: &[u8]) -> u64 {
    u64::from_be_bytes(*key.last_chunk().expect("eight bytes"))
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut acked = None;
    for life in 0..LIVES {
        let mut writer = Command::new(std::env::current_exe().expect("this binary"))
            .args(["--exact", "the_writer", "--nocapture", "--test-threads=1"])
            .env(DIR, dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let mut lines = BufReader::new(writer.stdout.take().expect("a pipe")).lines();
        // A different moment in each life: in the middle of a round, most of the time.
        for line in lines.by_ref().map_while(Result::ok).filter(|line| line.contains("acked ")).take(5 + life * 11) {
            acked = acked.max(line.rsplit(' ').next().and_then(|word| word.parse::<u64>().ok()));
        }
        writer.kill().expect("killed");
        writer.wait().expect("gone");
        // What it said before it died counts too.
        for line in lines.map_while(Result::ok) {
            acked = acked.max(line.strip_prefix("acked ").and_then(|word| word.parse().ok()));
        }
        let (store, records) = GroupStore::open(dir.path(), "group").expect("the store opens");
        let last = acked.expect("something was acknowledged");
        let found: Vec<u64> = records.range(key(0)..key(u64::MAX)).map(|(key, _)| number(key)).collect();
        let newest = *found.last().expect("entries");
        assert!(newest >= last, "life {life}: {last} was acknowledged, {newest} is the newest");
        for n in last.saturating_sub(60)..=newest {
            assert!(
                records.get(&key(n)) == Some(&entry(n)),
                "life {life}: entry {n} of {last} acknowledged, {newest} there"
            );
        }
        let vote = u64::from_be_bytes(*records[VOTE].first_chunk().expect("eight bytes"));
        assert_eq!(vote, newest, "life {life}: the vote is of the round of the newest entry");
        store.close();
    }
    let blobs = std::fs::read_dir(dir.path().join("group/blobs")).map_or(0, |entries| entries.count());
    assert_eq!(blobs, 0, "files that sled does not sync");
}
