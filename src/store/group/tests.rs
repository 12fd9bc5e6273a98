//! The storage thread over the memory double, and the directory's troubles on sled.

use super::*;

fn put(key: &[u8], value: &[u8]) -> Change {
    Change::Put { key: key.to_vec(), value: value.to_vec() }
}

fn over(medium: &MemoryMedium) -> (GroupStore, Records) {
    GroupStore::over(medium.clone(), "memory".into()).unwrap()
}

/// A medium that holds its first round until it is told to go on.
struct Gate(MemoryMedium, Option<crossbeam_channel::Receiver<()>>);

impl GroupMedium for Gate {
    fn load(&mut self) -> Result<Records, GroupStoreError> {
        self.0.load()
    }

    fn commit(&mut self, changes: &[Change]) -> io::Result<()> {
        if let Some(gate) = self.1.take() {
            gate.recv().unwrap();
        }
        self.0.commit(changes)
    }
}

#[test]
fn rounds_keep_the_order_of_submission() {
    let medium = MemoryMedium::default();
    let (open, gate) = crossbeam_channel::bounded(1);
    let (store, _) = GroupStore::over(Gate(medium.clone(), Some(gate)), "memory".into()).unwrap();
    let (tell, told) = crossbeam_channel::bounded(1000);
    for n in 0..500u32 {
        let (tell, medium) = (tell.clone(), medium.clone());
        let ack = move |how: io::Result<()>| {
            let there = medium.records().get(&b"last"[..]).cloned();
            tell.send((n, how.is_ok(), there)).unwrap();
        };
        store.submit(vec![put(b"last", &n.to_be_bytes()), put(&n.to_be_bytes(), b"")], Some(Box::new(ack)));
    }
    open.send(()).unwrap();
    for n in 0..500u32 {
        let (acked, ok, there) = told.recv_timeout(Duration::from_secs(10)).unwrap();
        assert_eq!((acked, ok), (n, true), "acks come in the order of submission");
        let there = u32::from_be_bytes(there.unwrap().try_into().unwrap());
        assert!(there >= n, "ack {n} came before its round was durable (at {there})");
    }
    let rounds = medium.rounds();
    assert!(rounds.len() <= 4, "what waited while a round was written went out together: {rounds:?}");
    assert_eq!(medium.records().len(), 501);
    assert_eq!(store.progress(), Progress { rounds: rounds.len() as u64, waiting: 0, fault: None });
}

#[test]
fn the_first_fault_latches() {
    let medium = MemoryMedium::default();
    let (store, _) = over(&medium);
    store.write(vec![put(b"a", b"1")]).unwrap();
    medium.fail(Some("No space left on device"));
    let first = store.write(vec![put(b"a", b"2")]).unwrap_err().to_string();
    assert_eq!(first, "the group store memory failed: No space left on device");
    medium.fail(None);
    assert_eq!(store.write(vec![put(b"a", b"3")]).unwrap_err().to_string(), first, "it is not trusted again");
    assert_eq!(store.progress().fault, Some(first));
    assert_eq!(medium.records()[&b"a"[..]], b"1");
    store.close();
    assert_eq!(store.write(vec![]).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    let (store, records) = over(&medium);
    assert_eq!(records[&b"a"[..]], b"1");
    store.write(vec![Change::Delete { key: b"a".to_vec() }]).unwrap();
    assert!(medium.records().is_empty());
}

#[test]
fn lazy_changes_are_written_by_the_next_round_or_soon() {
    let medium = MemoryMedium::default();
    let (store, _) = over(&medium);
    store.submit(vec![put(b"lazy", b"1")], None);
    store.write(vec![put(b"a", b"1")]).unwrap();
    assert_eq!(medium.records().len(), 2, "what was submitted before a durable round is in it");
    store.submit(vec![put(b"lazy", b"2")], None);
    store.close();
    assert_eq!(medium.records()[&b"lazy"[..]], b"2", "closing leaves nothing behind");
    let (store, _) = over(&medium);
    store.submit(vec![put(b"lazy", b"3")], None);
    // The ack of an empty submission comes with the round that takes the lazy one along.
    store.write(Vec::new()).unwrap();
    assert_eq!(medium.records()[&b"lazy"[..]], b"3");
}

#[test]
fn small_records_are_kept_by_name_and_told_apart() {
    let medium = MemoryMedium::default();
    let (store, _) = over(&medium);
    store.put_meta("promise", Some(b"ballot 1".to_vec()), vec![], None);
    store.put_meta("gone", Some(b"x".to_vec()), vec![], None);
    store.put_meta("gone", None, vec![], None);
    store.write(vec![put(b"l0", b"entry"), put(b"v", b"vote")]).unwrap();
    store.close();
    let (store, records) = over(&medium);
    assert_eq!(store.meta("promise").unwrap(), b"ballot 1");
    assert_eq!(store.meta("gone"), None);
    assert_eq!(records.keys().collect::<Vec<_>>(), [&b"l0"[..], b"v"]);
}

#[test]
fn a_directory_opens_again_with_what_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..3u8 {
        let (store, records) = GroupStore::open(dir.path(), "group").unwrap();
        assert_eq!(records.len(), usize::from(round) * 50);
        for n in 0..50u8 {
            store.write(vec![put(&[b'l', round, n], &[n; 1000])]).unwrap();
        }
        store.close();
    }
}

#[test]
fn a_directory_in_use_damaged_or_forbidden_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = GroupStore::open(dir.path(), "group").unwrap();
    let text = |opened: Result<(GroupStore, Records), GroupStoreError>| opened.err().unwrap().to_string();
    let path = dir.path().join("group");
    assert_eq!(
        text(GroupStore::open(dir.path(), "group")),
        format!("the group store {} is in use by another process", path.display())
    );
    store.write(vec![put(b"a", &[7; 60_000]), put(b"b", &[8; 60_000])]).unwrap();
    store.close();

    // A file where the directory should be.
    std::fs::write(dir.path().join("file"), b"").unwrap();
    let refused = text(GroupStore::open(dir.path(), "file"));
    assert!(refused.starts_with("the group store ") && refused.contains("cannot be opened: "), "{refused}");

    // A later layout.
    let later = sled::open(dir.path().join("later")).unwrap();
    later.open_tree("layout").unwrap().insert("format", "regent-group-9").unwrap();
    later.flush().unwrap();
    drop(later);
    let refused = text(GroupStore::open(dir.path(), "later"));
    assert!(refused.contains("is damaged: its format is"), "{refused}");

    // Bytes turned over in the middle of what was written: refused, not taken for a store that never was.
    let file = path.join("db");
    let mut bytes = std::fs::read(&file).unwrap();
    let at = bytes.windows(64).position(|run| run == [7; 64]).expect("the value is in the file");
    bytes[at] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let refused = text(GroupStore::open(dir.path(), "group"));
    assert!(refused.contains("is damaged: "), "{refused}");
    assert!(refused.contains("move it away"), "{refused}");
}

// sled wrote values of 40 KiB, sixteen to a leaf, as files under `blobs/` that it never syncs: after a power cut the vote
// and the log beside them would have been gone.
#[test]
fn large_records_leave_no_file_that_sled_does_not_sync() {
    let dir = tempfile::tempdir().unwrap();
    let value = |n: u8, bytes: usize| (0..bytes).map(|at| n ^ (at % 251) as u8).collect::<Vec<u8>>();
    {
        let (store, _) = GroupStore::open(dir.path(), "group").unwrap();
        for n in 0..40 {
            store.write(vec![put(&[b'l', n], &value(n, 60_000))]).unwrap();
        }
        store.write(vec![put(&[b'l', 1], &value(1, 7 * 1024 + 1)), put(&[b'l', 2], b"small")]).unwrap();
        store.write(vec![put(&[b'l', 3], &[]), Change::Delete { key: vec![b'l', 4] }]).unwrap();
        store.close();
    }
    let blobs = std::fs::read_dir(dir.path().join("group/blobs")).map_or(0, |entries| entries.count());
    assert_eq!(blobs, 0, "files beside sled's own");
    let (_store, records) = GroupStore::open(dir.path(), "group").unwrap();
    assert_eq!(records.len(), 39);
    for n in (0..40).filter(|n| *n != 4) {
        let wanted = match n {
            1 => value(1, 7 * 1024 + 1),
            2 => b"small".to_vec(),
            3 => vec![],
            n => value(n, 60_000),
        };
        assert!(records[&vec![b'l', n]] == wanted, "record {n}");
    }
}
