//! The log on doubles: torn tails, flipped bits, failing writes and syncs, segments, readers.

use super::*;
use crate::store::history::History;
use crate::store::memory::{End, Fault, Luck, MemoryDisk};

const ENOSPC: i32 = 28;
const EIO: i32 = 5;

fn replid(n: u8) -> ReplId {
    ReplId::from_random([n; 20])
}

fn begin(disk: &MemoryDisk, segment_bytes: u64) -> Log {
    let origin = Origin { replid: replid(1), offset: Offset(1000), db: 0, genesis: true };
    let first = Log::begin(disk, 1, origin).unwrap();
    resume(disk, vec![first], segment_bytes)
}

fn resume(disk: &MemoryDisk, segments: Vec<Arc<Segment>>, segment_bytes: u64) -> Log {
    Log::resume(Arc::new(disk.clone()), segments, 0, replid(1), segment_bytes, Box::new(|| {}), false).unwrap()
}

/// Appends, doing the sync thread's work where the log waits for it.
fn append(log: &mut Log, bytes: &[u8]) {
    while let Err(error) = log.append(bytes, 2) {
        assert!(matches!(error, LogError::Busy), "{error}");
        log.work();
    }
}

/// What a new process finds: the bytes from the log's start, the end, and what was cut.
fn reopen(disk: &MemoryDisk) -> Result<(Vec<u8>, Tail), LogError> {
    let found = look(disk)?;
    let segments = found.generations.into_values().next().expect("a generation");
    let start = segments[0].header.start;
    let mut tail = Tail::new(segments, start, 0)?;
    let mut all = Vec::new();
    while let Some(entry) = tail.next_entry()? {
        if let Entry::Stream { bytes, .. } = entry {
            all.extend_from_slice(bytes);
        }
    }
    Ok((all, tail))
}

#[test]
fn a_torn_tail_is_cut_at_every_byte() {
    let disk = MemoryDisk::default();
    let mut log = begin(&disk, 1 << 20);
    append(&mut log, b"first");
    append(&mut log, b"second");
    let whole = disk.last_file();
    append(&mut log, b"the last record");
    let (name, bytes) = disk.last_file();
    for length in whole.1.len()..bytes.len() {
        let torn = MemoryDisk::with_files(&[(name.clone(), bytes[..length].to_vec())]);
        let (all, tail) = reopen(&torn).unwrap();
        assert_eq!(all, b"firstsecond", "cut at {length}");
        assert_eq!(tail.end(), Some(Offset(1011)));
        let cut = tail.cut().map(|cut| (cut.position, cut.offset, cut.bytes));
        let expected = (whole.1.len() as u64, Offset(1011), (length - whole.1.len()) as u64);
        assert_eq!(cut, (length > whole.1.len()).then_some(expected));
        let segments = tail.finish(&torn).unwrap();
        assert_eq!(torn.last_file().1, whole.1, "the file ends at its last good record");
        let mut log = resume(&torn, segments, 1 << 20);
        append(&mut log, b"third");
        assert_eq!(reopen(&torn).unwrap().0, b"firstsecondthird");
    }
}

#[test]
fn a_flipped_bit_is_a_fault_below_the_synced_mark_and_a_torn_tail_above_it() {
    let disk = MemoryDisk::default();
    let mut log = begin(&disk, 1 << 20);
    append(&mut log, b"aaaa");
    log.sync_request();
    log.work();
    let synced = disk.last_file().1.len();
    append(&mut log, b"bbbb");
    append(&mut log, b"cccc");
    let (name, bytes) = disk.last_file();
    for at in record::SEGMENT_HEADER as usize..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 4;
        let outcome = reopen(&MemoryDisk::with_files(&[(name.clone(), flipped)]));
        match outcome {
            Err(LogError::Corrupt { file, position, offset, .. }) => {
                assert!(at < synced, "byte {at} lies above what was synced");
                assert_eq!((file.ends_with(&name), position, offset), (true, record::SEGMENT_HEADER, Offset(1000)));
            }
            Ok((all, tail)) => {
                assert!(at >= synced, "byte {at} was synced");
                assert!(all == b"aaaa" || all == b"aaaabbbb");
                assert!(tail.cut().is_some());
            }
            Err(other) => panic!("byte {at}: {other}"),
        }
    }
}

#[test]
fn a_flipped_bit_in_a_segment_header_is_a_fault() {
    let disk = MemoryDisk::default();
    let mut log = begin(&disk, 1 << 20);
    append(&mut log, b"aaaa");
    let (name, bytes) = disk.last_file();
    for at in 0..record::SEGMENT_HEADER as usize {
        let mut flipped = bytes.clone();
        flipped[at] ^= 4;
        let outcome = reopen(&MemoryDisk::with_files(&[(name.clone(), flipped)]));
        assert!(matches!(outcome, Err(LogError::Corrupt { position: 0, .. })), "byte {at}");
    }
}

#[test]
fn damage_in_a_closed_segment_is_a_fault() {
    let disk = MemoryDisk::default();
    let mut log = begin(&disk, 200);
    for n in 0..20 {
        append(&mut log, format!("record {n}").as_bytes());
        log.work();
    }
    let files = disk.files();
    assert!(files.len() > 2, "several segments");
    assert!(reopen(&disk).is_ok());
    let mut flipped = files.clone();
    *flipped[0].1.last_mut().unwrap() ^= 1;
    assert!(matches!(reopen(&MemoryDisk::with_files(&flipped)), Err(LogError::Corrupt { .. })));
    let mut short = files.clone();
    short[0].1.truncate(files[0].1.len() - 17 - RECORD_HEADER);
    assert!(matches!(reopen(&MemoryDisk::with_files(&short)), Err(LogError::Corrupt { .. })));
    let gap = [&files[..1], &files[2..]].concat();
    assert!(matches!(reopen(&MemoryDisk::with_files(&gap)), Err(LogError::Corrupt { .. })));
}

#[test]
fn a_full_disk_leaves_the_last_good_record_and_the_same_bytes_go_in_later() {
    for put in [0, 1, 31, 32, 35] {
        let disk = MemoryDisk::default();
        let mut log = begin(&disk, 1 << 20);
        append(&mut log, b"good");
        let good = disk.last_file().1;
        disk.fail_in(1, Fault::Error(ENOSPC, put));
        let error = log.append(b"more", 0).unwrap_err();
        assert!(error.may_retry());
        assert!(error.to_string().contains("at offset 1004: No space left on device"), "{error}");
        assert_eq!(disk.last_file().1, good);
        append(&mut log, b"more");
        assert_eq!(reopen(&disk).unwrap().0, b"goodmore");
    }
}

#[test]
fn a_busy_disk_keeps_the_segment_for_a_while() {
    let disk = MemoryDisk::default();
    let mut log = begin(&disk, 200);
    log.set_disk_busy(true);
    for _ in 0..8 {
        append(&mut log, &[b'x'; 100]);
        log.work();
    }
    assert_eq!(disk.files().len(), 1);
    log.set_disk_busy(false);
    for _ in 0..8 {
        append(&mut log, &[b'x'; 100]);
        log.work();
    }
    assert!(disk.files().len() > 1);
    log.set_disk_busy(true);
    let before = disk.files().len();
    for _ in 0..40 {
        append(&mut log, &[b'x'; 100]);
        log.work();
    }
    assert!(disk.files().len() > before, "there is an end to it");
}

#[test]
fn a_disk_that_fills_up_is_told_ahead() {
    let disk = MemoryDisk::default();
    let mut log = begin(&disk, 64 << 20);
    log.work();
    assert!(log.short().is_none());
    disk.full(true);
    let piece = vec![b'x'; 1 << 20];
    let mut appended = 0;
    while log.short().is_none() {
        append(&mut log, &piece);
        log.work();
        appended += 1;
        assert!(appended < 40, "nobody was told");
    }
    let error = log.short().unwrap();
    assert_eq!(error.reason(), "No space left on device");
    // All that a turn may have executed by then is appended.
    for _ in 0..4 {
        log.append(&piece, 0).unwrap();
    }
    // There is an end to it, and nothing is lost there.
    let error = loop {
        if let Err(error) = log.append(&piece, 0) {
            break error;
        }
    };
    assert!(error.may_retry());
    disk.full(false);
    log.ask_room();
    log.work();
    assert!(log.short().is_none());
    append(&mut log, b"and on");
    let (all, tail) = reopen(&disk).unwrap();
    assert_eq!((all.len() as u64, tail.cut().is_none()), (log.end().0 - 1000, true));
    assert!(all.ends_with(b"xxand on"));
}

#[test]
fn a_full_disk_keeps_the_old_segment_which_has_room() {
    let disk = MemoryDisk::default();
    let mut log = begin(&disk, 200);
    log.work();
    disk.full(true);
    for n in 0..40 {
        append(&mut log, format!("record {n}").as_bytes());
        log.work();
    }
    assert_eq!(disk.files().len(), 1);
    disk.full(false);
    for n in 0..40 {
        append(&mut log, format!("record {n}").as_bytes());
        log.work();
    }
    assert!(disk.files().len() > 1);
    assert!(log.short().is_none());
}

#[test]
fn a_cut_that_fails_is_done_before_the_next_record() {
    let disk = MemoryDisk::default();
    let mut log = begin(&disk, 1 << 20);
    append(&mut log, b"good");
    disk.fail_in(1, Fault::Error(ENOSPC, 20));
    disk.fail_in(2, Fault::Error(EIO, 0));
    disk.fail_in(3, Fault::Error(EIO, 0));
    assert!(log.append(b"more", 0).unwrap_err().may_retry());
    assert!(log.append(b"more", 0).unwrap_err().may_retry());
    append(&mut log, b"more");
    assert_eq!(reopen(&disk).unwrap().0, b"goodmore");
}

#[test]
fn after_a_failed_sync_nothing_is_appended_again() {
    let disk = MemoryDisk::default();
    let mut log = begin(&disk, 1 << 20);
    append(&mut log, b"good");
    disk.fail_in(1, Fault::Error(EIO, 0));
    log.sync_request();
    log.work();
    for _ in 0..2 {
        let error = log.append(b"more", 0).unwrap_err();
        assert!(!error.may_retry());
        assert!(matches!(&error, LogError::Sync { offset: Offset(1000), .. }), "{error}");
        log.sync_request();
        log.work();
    }
    assert_eq!(log.synced(), Offset(1000));
    assert!(log.sync_handle().wait(Offset(1004)).is_err());
}

#[test]
fn segments_are_made_trimmed_and_read_across() {
    let disk = MemoryDisk::default();
    let mut log = begin(&disk, 300);
    let mut all = Vec::new();
    let mut reader = log.reader();
    for n in 0..60 {
        let unit = format!("<{n}>").repeat(n % 7 + 1);
        append(&mut log, unit.as_bytes());
        all.extend_from_slice(unit.as_bytes());
        log.work();
        let from = all.len().saturating_sub(n * 3);
        let got = reader.read(Offset(1000 + from as u64), 50).unwrap();
        assert_eq!(got, all[from..(from + 50).min(all.len())], "after {n}");
    }
    assert!(log.info().segments > 3);
    for from in 0..=all.len() {
        assert_eq!(log.reader().read(Offset(1000 + from as u64), usize::MAX).unwrap(), all[from..]);
    }
    assert_eq!(reopen(&disk).unwrap().0, all);

    let segments = log.shared.state.lock().segments.clone();
    let mut slow = log.reader();
    slow.read(Offset(1000), 5).unwrap();
    log.trim(Offset(segments[2].header.start.0 + 1));
    log.work();
    assert_eq!(log.start(), segments[2].header.start);
    assert!(matches!(log.reader().read(Offset(1000), 5), Err(LogError::OutOfRange { .. })));
    assert_eq!(disk.files().len(), segments.len() - 2);
    let (rest, _) = reopen(&disk).unwrap();
    assert_eq!(rest, all[log.start().0 as usize - 1000..]);
    log.trim(log.end());
    assert_eq!(log.info().segments, 1, "the last segment stays");
}

#[test]
fn a_segment_that_cannot_be_made_leaves_the_old_one_growing() {
    for step in 2..=4 {
        let disk = MemoryDisk::default();
        let mut log = begin(&disk, 200);
        for _ in 0..4 {
            append(&mut log, b"0123456789");
        }
        log.work();
        assert!(matches!(log.append(b"x", 0), Err(LogError::Busy)));
        // The next steps are: sync the old one, create, header, sync, sync the directory.
        disk.fail_in(step, Fault::Error(ENOSPC, 10));
        log.work();
        append(&mut log, b"x");
        assert_eq!(log.info().segments, 1);
        assert!(log.info().trouble.is_some());
        assert_eq!(disk.files().len(), 1);
        for _ in 0..10 {
            append(&mut log, b"0123456789");
            log.work();
        }
        assert!(log.info().segments > 1, "it is tried again");
        assert_eq!(
            reopen(&disk).unwrap().0,
            [b"0123456789".repeat(4), b"x".to_vec(), b"0123456789".repeat(10)].concat()
        );
    }
}

#[test]
fn a_segment_cut_off_while_it_was_made_is_no_segment() {
    let disk = MemoryDisk::default();
    let mut log = begin(&disk, 1 << 20);
    append(&mut log, b"data");
    for length in 0..=record::SEGMENT_HEADER as usize {
        let mut files = disk.files();
        files.push(("00000000000000001004-000001.log".into(), vec![0; length]));
        let torn = MemoryDisk::with_files(&files);
        assert_eq!(look(&torn).unwrap().unborn.len(), 1);
        assert_eq!(reopen(&torn).unwrap().0, b"data");
    }
}

#[test]
fn changes_of_history_come_back_in_their_place() {
    let disk = MemoryDisk::default();
    let mut log = begin(&disk, 1 << 20);
    append(&mut log, b"old");
    let mut history = History::new(replid(2));
    (history.replid2, history.second_offset) = (replid(1), Some(Offset(1004)));
    let change = HistoryChange { history, reason: "promoted".into() };
    log.append_history(&change).unwrap();
    append(&mut log, b"new");
    for (from, expected) in [(1000, "old|H|new|"), (1003, "H|new|"), (1004, "ew|"), (1006, "")] {
        let segments = look(&disk).unwrap().generations.into_values().next().unwrap();
        let mut tail = Tail::new(segments, Offset(from), 7).unwrap();
        let mut told = String::new();
        while let Some(entry) = tail.next_entry().unwrap() {
            match entry {
                Entry::Stream { bytes, .. } => told += std::str::from_utf8(bytes).unwrap(),
                Entry::History { offset, change: found } => {
                    assert_eq!((offset, &found), (Offset(1003), &change));
                    told += "H";
                }
            }
            told += "|";
        }
        assert_eq!(told, expected);
        assert_eq!(tail.db(), if from == 1006 { 7 } else { 2 });
    }
    let segments = look(&disk).unwrap().generations.into_values().next().unwrap();
    assert!(matches!(Tail::new(segments.clone(), Offset(999), 0), Err(LogError::OutOfRange { .. })));
    let mut beyond = Tail::new(segments, Offset(1007), 0).unwrap();
    let error = loop {
        match beyond.next_entry() {
            Ok(entry) => assert!(entry.is_some(), "a log that ends below the checkpoint"),
            Err(error) => break error,
        }
    };
    assert!(error.to_string().contains("below the checkpoint's offset 1007"), "{error}");
}

#[test]
fn a_log_stored_as_a_value_is_not_taken_for_the_log() {
    let disk = MemoryDisk::default();
    let mut log = begin(&disk, 1 << 20);
    append(&mut log, b"one");
    log.sync_request();
    log.work();
    append(&mut log, b"two");
    let copy = disk.last_file().1;
    let mut other = MemoryDisk::default();
    let origin = Origin { replid: replid(9), offset: Offset(1000), db: 0, genesis: true };
    let mut log = resume(&other, vec![Log::begin(&other, 1, origin).unwrap()], 1 << 20);
    append(&mut log, &copy);
    other = other.after(End::Kill, &mut Luck::new(1));
    let (name, mut bytes) = other.last_file();
    bytes[record::SEGMENT_HEADER as usize] ^= 1;
    let (all, tail) = reopen(&MemoryDisk::with_files(&[(name, bytes)])).unwrap();
    assert_eq!((all.len(), tail.cut().is_some()), (0, true), "records inside the value tell nothing of this log");
}

/// Readers beside an appender, with the real thread: each read is the stream's bytes at its offset.
#[test]
fn reads_beside_appends_and_trims() {
    let dir = tempfile::tempdir().unwrap();
    let medium: Arc<dyn Medium> = Arc::new(crate::store::medium::Directory::open(dir.path()).unwrap());
    let (told, wakes) = crossbeam_channel::bounded(1);
    let origin = Origin { replid: replid(1), offset: Offset(0), db: 0, genesis: true };
    let first = Log::begin(&*medium, 1, origin).unwrap();
    let waker: Waker = Box::new(move || {
        let _ = told.try_send(());
    });
    let mut log = Log::resume(medium, vec![first], 0, replid(1), 20_000, waker, true).unwrap();
    let byte_at = |offset: u64| (offset.wrapping_mul(0x9e37_79b9) >> 13) as u8;
    let mut reader = log.reader();
    let total = 400_000;
    let reading = std::thread::spawn(move || {
        let mut at = 0;
        while at < total {
            match reader.read(Offset(at), 3000) {
                Ok(bytes) => {
                    assert!(bytes.iter().zip(at..).all(|(byte, offset)| *byte == byte_at(offset)), "at {at}");
                    at += bytes.len() as u64;
                }
                Err(LogError::OutOfRange { start, .. }) => at = start.0,
                Err(error) => panic!("{error}"),
            }
        }
    });
    let mut luck = Luck::new(3);
    while log.end() < Offset(total) {
        let from = log.end().0;
        let unit: Vec<u8> = (from..total.min(from + 1 + luck.below(2000) as u64)).map(byte_at).collect();
        match log.append(&unit, 0) {
            Ok(()) => {}
            Err(LogError::Busy) => wakes.recv().unwrap(),
            Err(error) => panic!("{error}"),
        }
        if luck.one_in(50) {
            log.trim(Offset(log.end().0.saturating_sub(60_000)));
        }
    }
    reading.join().unwrap();
    log.sync_wait().unwrap();
    assert_eq!(log.synced(), Offset(total));
    assert!(log.info().segments < 8 && log.info().syncs > 0);
}
