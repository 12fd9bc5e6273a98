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

/// sled writes what is larger than a quarter of its segment to a file of its own and never syncs it: a leaf of many large
/// rows is such a thing, so parts are small.
#[test]
fn sled_makes_no_files_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = fresh(dir.path(), Options::default());
    for round in 0..3 {
        store.checkpoint().begin();
        for page in 0..60 {
            store.checkpoint().put_page(1, page * 7 % 60, big_page(page + round)).unwrap();
        }
        store.commit(state(Offset(0))).unwrap();
        store.wait().result.unwrap();
    }
    drop(store);
    let blobs = std::fs::read_dir(dir.path().join(STORE_DIR).join("blobs")).map_or(0, Iterator::count);
    assert_eq!(blobs, 0);
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

// ---- on doubles ----

use super::checkpoint::memory::MemoryPages;
use super::checkpoint::pages::Pages;
use super::log::look;
use super::memory::{End, Fault, Luck, MemoryDisk};
use super::recover::{Parts, open_parts};
use std::sync::Arc;

/// A node on doubles: the state is the stream's bytes themselves, and the checkpoint's one page holds them up to C.
struct Machine {
    disk: MemoryDisk,
    pages: MemoryPages,
}

fn parts(machine: &Machine, store_existed: bool) -> Parts {
    let pages = machine.pages.clone();
    Parts {
        lock: None,
        medium: Arc::new(machine.disk.clone()),
        opener: Box::new(move || Ok(Arc::new(pages.reopened()) as Arc<dyn Pages>)),
        store_existed,
        threaded: false,
    }
}

fn options(log: bool) -> Options {
    Options { log, segment_bytes: 400, ..Options::default() }
}

/// Opens the machine's store; the state that it recovers.
fn boot(machine: &Machine, log: bool) -> Result<(Store, Vec<u8>, ReplId), StoreError> {
    match open_parts(parts(machine, true), options(log))? {
        Opened::Fresh(fresh) => Ok((fresh.start(origin(0))?, Vec::new(), replid(1))),
        Opened::Recovered(mut recovery) => {
            let mut bytes: Vec<u8> = recovery.pages().map(|page| page.unwrap().2).next().unwrap_or_default();
            let mut replid = recovery.history().replid;
            assert_eq!(recovery.origin().offset.0, bytes.len() as u64, "the page shows the state at C");
            while let Some(entry) = recovery.next_entry()? {
                match entry {
                    Entry::Stream { offset, bytes: more, .. } => {
                        assert_eq!(offset.0, bytes.len() as u64, "nothing is skipped, nothing comes twice");
                        bytes.extend_from_slice(more);
                    }
                    Entry::History { change, .. } => replid = change.history.replid,
                }
            }
            let end = recovery.end().unwrap();
            Ok((recovery.finish(end)?, bytes, replid))
        }
    }
}

/// Takes a checkpoint of `state`, doing the log thread's work.
fn take_checkpoint(store: &mut Store, bytes: &[u8], id: ReplId) -> Result<(), StoreError> {
    if let Some(log) = store.log() {
        log.sync_request();
        log.work();
        if let Some(fault) = log.fault() {
            return Err(fault.into());
        }
    }
    store.checkpoint().begin();
    store.checkpoint().put_page(1, 1, bytes.to_vec()).unwrap();
    store.commit(State { history: History::new(id), ..state(Offset(bytes.len() as u64)) })?;
    store.wait().result.map(drop)
}

/// What a run promised, and to whom.
#[derive(Default)]
struct Promise {
    /// All bytes ever offered, in order: recovered is a prefix.
    offered: Vec<u8>,
    /// Appended: survives a kill.
    appended: usize,
    /// Synced: survives a power cut.
    synced: usize,
}

/// One life: random work until the machine is told to end or a step crashes.
fn live(store: &mut Store, id: &mut ReplId, promise: &mut Promise, disk: &MemoryDisk, luck: &mut Luck) {
    let mut pending: Option<Vec<u8>> = None;
    for _ in 0..luck.below(120) {
        match luck.below(14) {
            0 => disk.fail_in(1 + luck.below(4) as u64, Fault::Error([5, 28][luck.below(2)], luck.below(60))),
            1 if luck.one_in(6) => disk.fail_in(1 + luck.below(6) as u64, Fault::Crash(luck.below(60))),
            2 if pending.is_none() => {
                let done = take_checkpoint(store, &promise.offered[..promise.appended], *id).is_ok();
                if done {
                    promise.synced = promise.synced.max(promise.appended);
                }
                if done && luck.one_in(2) {
                    store.trim(Offset(promise.appended as u64));
                }
            }
            3 if pending.is_none() => {
                let next = replid(luck.below(200) as u8 + 2);
                let change = HistoryChange { history: History::new(next), reason: "test".into() };
                if store.log_mut().unwrap().append_history(&change).is_ok() {
                    *id = next;
                }
            }
            4 | 5 => store.log().unwrap().sync_request(),
            6 => store.log().unwrap().work(),
            _ => {
                let unit = pending.take().unwrap_or_else(|| {
                    let unit: Vec<u8> = (0..1 + luck.below(90)).map(|_| luck.below(256) as u8).collect();
                    promise.offered.extend_from_slice(&unit);
                    unit
                });
                match store.log_mut().unwrap().append(&unit, 0) {
                    Ok(()) => promise.appended = promise.offered.len(),
                    Err(error) if error.may_retry() => {
                        pending = Some(unit);
                        store.log().unwrap().work();
                    }
                    // A failed fsync: a new generation, and nothing is promised until its checkpoint is current.
                    Err(LogError::Sync { .. }) => {
                        pending = Some(unit);
                        let at = Origin { replid: *id, ..origin(promise.appended as u64) };
                        let renewed = store.new_generation(at).is_ok() && {
                            assert!(!store.log_is_trusted());
                            take_checkpoint(store, &promise.offered[..promise.appended], *id).is_ok()
                        };
                        if !renewed {
                            return;
                        }
                        assert!(store.log_is_trusted());
                        promise.synced = promise.synced.max(promise.appended);
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        }
        promise.synced = promise.synced.max(store.log().unwrap().synced().0 as usize);
        if disk.crashed() {
            return;
        }
    }
}

/// Lives and ends of a node with a disk that fails in every way. After a kill, what was appended is there (and at most
/// the one record that was being appended more); after a power cut, what was synced; and always a prefix of what was
/// offered. The id is one that was appended.
#[test]
fn what_was_promised_is_recovered() {
    for seed in 0..400 {
        let mut luck = Luck::new(seed);
        let mut machine = Machine { disk: MemoryDisk::default(), pages: MemoryPages::default() };
        let mut promise = Promise::default();
        let mut end = End::Kill;
        for life in 0..4 {
            let booted = boot(&machine, true);
            let (mut store, bytes, id) = booted.unwrap_or_else(|error| panic!("seed {seed} life {life}: {error}"));
            let promised = if end == End::Kill { promise.appended } else { promise.synced };
            assert!(bytes.len() >= promised, "seed {seed} life {life}: {} of {promised} after {end:?}", bytes.len());
            assert_eq!(bytes, promise.offered[..bytes.len()], "seed {seed} life {life}");
            let mut last_id = id;
            promise.offered.truncate(bytes.len());
            (promise.appended, promise.synced) = (bytes.len(), bytes.len());
            live(&mut store, &mut last_id, &mut promise, &machine.disk, &mut luck);
            end = if luck.one_in(2) { End::Kill } else { End::PowerCut };
            let disk = machine.disk.after(end, &mut luck);
            drop(store);
            machine = Machine { disk, pages: machine.pages.after(&mut luck) };
        }
    }
}

#[test]
fn a_new_generation_counts_when_its_checkpoint_is_current() {
    for step in 1..40 {
        for end in [End::Kill, End::PowerCut] {
            let mut luck = Luck::new(step);
            let machine = Machine { disk: MemoryDisk::default(), pages: MemoryPages::default() };
            let (mut store, ..) = boot(&machine, true).unwrap();
            store.log_mut().unwrap().append(b"old state", 0).unwrap();
            take_checkpoint(&mut store, b"old state", replid(1)).unwrap();
            store.log_mut().unwrap().append(b" and tail", 0).unwrap();
            store.log().unwrap().sync_request();
            store.log().unwrap().work();
            // A full copy: another history, at an offset of its own.
            if step % 2 == 0 {
                machine.disk.fail_in(step / 2, Fault::Crash(step as usize));
            } else {
                machine.pages.crash_in(step / 2 + 1);
            }
            let copied = (|| {
                store.new_generation(Origin { replid: replid(7), ..origin(3) })?;
                store.log_mut().unwrap().append(b"!", 0)?;
                take_checkpoint(&mut store, b"new", replid(7)).map(drop).or_else(|_| {
                    // C is 3, the log stands at 4.
                    take_checkpoint(&mut store, b"new", replid(7))
                })
            })();
            store.log().unwrap().work();
            let disk = machine.disk.after(end, &mut luck);
            let pages = machine.pages.after(&mut luck);
            drop(store);
            let (store, bytes, id) = boot(&Machine { disk: disk.clone(), pages }, true).unwrap();
            let text = String::from_utf8(bytes).unwrap();
            match (text.as_str(), id == replid(7)) {
                ("old state and tail", false) => assert!(copied.is_err(), "step {step}"),
                ("new" | "new!", true) => assert!(end == End::PowerCut || text == "new!"),
                other => panic!("step {step}: {other:?}"),
            }
            let generations = look(&disk).unwrap().generations.len();
            assert_eq!(generations, 1, "files of other generations are gone");
            drop(store);
        }
    }
}

#[test]
fn missing_halves() {
    let machine = Machine { disk: MemoryDisk::default(), pages: MemoryPages::default() };
    let (mut store, ..) = boot(&machine, true).unwrap();
    store.log_mut().unwrap().append(b"abc", 0).unwrap();
    drop(store);
    // The log from genesis on can stand alone, with the checkpoint's directory or without.
    let lone = Machine { disk: machine.disk.after(End::Kill, &mut Luck::new(1)), pages: MemoryPages::default() };
    assert!(matches!(open_parts(parts(&lone, false), options(true)), Ok(Opened::Recovered(_))));
    let (mut store, bytes, _) = boot(&lone, true).unwrap();
    assert_eq!(bytes, b"abc");

    store.new_generation(origin(3)).unwrap();
    take_checkpoint(&mut store, b"abc", replid(1)).unwrap();
    store.log().unwrap().work();
    drop(store);
    let text = |machine: &Machine, existed| match open_parts(parts(machine, existed), options(true)) {
        Ok(_) => panic!("a half was taken for the whole"),
        Err(error) => error.to_string(),
    };
    let orphan = Machine { disk: lone.disk.clone(), pages: MemoryPages::default() };
    for existed in [false, true] {
        assert_eq!(
            text(&orphan, existed),
            "the checkpoint (regent-store) is missing beside the log /memory/, whose generation 2 begins at offset 3; \
             put the checkpoint's directory back, or move the log away to start empty"
        );
    }
    let logless = Machine { disk: MemoryDisk::default(), pages: lone.pages.clone() };
    assert_eq!(
        text(&logless, true),
        "the log of generation 2 is missing in /memory/ beside a checkpoint at offset 3; put the log back, or start \
         once with the checkpoint alone, giving up all that was written after it"
    );
    let alone = Options { trust_checkpoint_alone: true, ..options(true) };
    let Ok(Opened::Recovered(recovery)) = open_parts(parts(&logless, true), alone) else { panic!("not on request") };
    let store = recovery.finish(Offset(3)).unwrap();
    assert_eq!(store.log().unwrap().generation(), 3);
    drop(store);
    assert_eq!(boot(&logless, true).unwrap().1, b"abc", "the new generation is named");
}

#[test]
fn the_log_off_and_on_again() {
    let machine = Machine { disk: MemoryDisk::default(), pages: MemoryPages::default() };
    let (store, bytes, _) = boot(&machine, false).unwrap();
    assert!(store.log().is_none() && bytes.is_empty() && machine.disk.files().is_empty());
    drop(store);
    let (mut store, ..) = boot(&machine, false).unwrap();
    take_checkpoint(&mut store, b"saved", replid(1)).unwrap();
    drop(store);
    // Turned on for the next start: what is appended counts at once.
    let (mut store, bytes, _) = boot(&machine, true).unwrap();
    assert_eq!(bytes, b"saved");
    assert!(store.log_is_trusted());
    store.log_mut().unwrap().append(b" more", 0).unwrap();
    drop(store);
    // Turned off for the next start: the log still counts, until a checkpoint says that there is none.
    let (store, bytes, _) = boot(&machine, false).unwrap();
    assert_eq!(bytes, b"saved more");
    drop(store);
    let (mut store, bytes, _) = boot(&machine, false).unwrap();
    assert_eq!(bytes, b"saved more");
    take_checkpoint(&mut store, b"saved more, off", replid(1)).unwrap();
    assert!(machine.disk.files().is_empty());
    // Turned on and off while running.
    store.new_generation(origin(15)).unwrap();
    assert!(!store.log_is_trusted());
    take_checkpoint(&mut store, b"saved more, off", replid(1)).unwrap();
    store.log_mut().unwrap().append(b", on", 0).unwrap();
    store.log_off();
    take_checkpoint(&mut store, b"saved more, off, on, off", replid(1)).unwrap();
    drop(store);
    assert!(machine.disk.files().is_empty());
    assert_eq!(boot(&machine, false).unwrap().1, b"saved more, off, on, off");
}
