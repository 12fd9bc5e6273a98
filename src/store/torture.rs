//! The store as a whole, ended in every way: on the real disk, and on doubles that fail and lose power at any step.

use super::*;
use crate::base::{Offset, ReplId};
use std::collections::BTreeMap;
use std::path::Path;

fn replid(n: u8) -> ReplId {
    ReplId::from_random([n; 20])
}

fn origin(offset: u64) -> Origin {
    Origin { replid: replid(1), offset: Offset(offset), db: 0, genesis: false }
}

fn state(offset: Offset) -> State {
    State {
        offset,
        db: 3,
        history: History::new(replid(1)),
        keyspace: b"keyspace".to_vec(),
        extra: BTreeMap::from([("functions".to_string(), b"code".to_vec())]),
    }
}

fn fresh(dir: &Path, options: Options) -> Store {
    match open(dir, options).unwrap() {
        Opened::Fresh(fresh) => fresh.start(origin(0)).unwrap(),
        Opened::Recovered(_) => panic!("there was nothing"),
    }
}

fn recovered(dir: &Path, options: Options) -> Box<Recovery> {
    match open(dir, options).unwrap() {
        Opened::Fresh(_) => panic!("there was something"),
        Opened::Recovered(recovery) => recovery,
    }
}

/// The stream's bytes of the tail, and where it ends.
fn replay(recovery: &mut Recovery) -> (Vec<u8>, Offset) {
    let mut all = Vec::new();
    while let Some(entry) = recovery.next_entry().unwrap() {
        if let Entry::Stream { bytes, .. } = entry {
            all.extend_from_slice(bytes);
        }
    }
    (all, recovery.end().unwrap())
}

fn big_page(n: u64) -> Vec<u8> {
    (0..150_000 + n).map(|i| (i * 7 + n) as u8).collect()
}

#[test]
fn a_round_trip_on_the_real_disk() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = fresh(dir.path(), Options::default());
    store.log_mut().unwrap().append(b"one", 0).unwrap();
    store.checkpoint().begin();
    for page in 0..40 {
        store.checkpoint().put_page(1, page, big_page(page)).unwrap();
    }
    store.checkpoint().put_page(1, 99, Vec::new()).unwrap();
    store.checkpoint().put_blob(1, 5, &big_page(5).into()).unwrap();
    store.log_mut().unwrap().append(b"two", 3).unwrap();
    store.commit(state(Offset(3))).unwrap();
    store.wait().result.unwrap();
    assert!(store.log().unwrap().synced() >= Offset(3));
    drop(store);

    let mut recovery = recovered(dir.path(), Options::default());
    assert_eq!(recovery.manifest().unwrap().offset, Offset(3));
    let pages: Vec<_> = recovery.pages().map(Result::unwrap).collect();
    assert_eq!(pages.len(), 41);
    assert!(pages[..40].iter().all(|(space, page, bytes)| *space == 1 && *bytes == big_page(*page)));
    assert_eq!(pages[40], (1, 99, Vec::new()));
    assert_eq!(recovery.blob(1, 5).unwrap().unwrap(), big_page(5));
    assert_eq!(recovery.blob(1, 6).unwrap(), None);
    assert_eq!(replay(&mut recovery), (b"two".to_vec(), Offset(6)));
    let mut store = recovery.finish(Offset(6)).unwrap();
    store.log_mut().unwrap().append(b"three", 3).unwrap();
    assert_eq!(store.log().unwrap().reader().read(Offset(0), 100).unwrap(), b"onetwothree");
}

#[test]
fn a_second_process_is_told_who_has_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let _store = fresh(dir.path(), Options::default());
    let Err(error) = open(dir.path(), Options::default()) else { panic!("opened twice") };
    let expected = format!(
        "the data directory {} is in use by another process (pid {})",
        dir.path().display(),
        std::process::id()
    );
    assert_eq!(error.to_string(), expected);
}
