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

fn append(log: &mut Log, bytes: &[u8]) {
    log.append(bytes, 2).unwrap();
}

/// The files that hold anything but a header.
fn begun(disk: &MemoryDisk) -> usize {
    disk.files().iter().filter(|(_, bytes)| bytes.len() as u64 > record::SEGMENT_HEADER).count()
}

/// What a new process finds: the bytes from the log's start, the end, and what was cut.
fn reopen(disk: &MemoryDisk) -> Result<(Vec<u8>, Tail), LogError> {
    let found = look(disk)?;
    let files = found.generations.into_values().next().expect("a generation");
    let start = files.segments.first().map_or(Offset(1000), |first| first.start.offset);
    let mut tail = Tail::new(files, start, 0)?;
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
        let expected = if at < record::FIRST_RECORD as usize { record::SEGMENT_HEADER } else { record::FIRST_RECORD };
        match outcome {
            Err(LogError::Corrupt { file, position, offset, .. }) => {
                assert!(at < synced, "byte {at} lies above what was synced");
                assert_eq!((file.ends_with(&name), position, offset), (true, expected, Offset(1000)));
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
    short[0].1.truncate(files[0].1.len() - 8 - RECORD_HEADER);
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
fn a_disk_that_fills_up_is_told_ahead() {
    fill_up(Log::work);
}

#[test]
fn a_disk_that_fills_up_is_told_ahead_without_the_thread() {
    fill_up(|_| ());
}

/// `work` is done behind each append.
fn fill_up(work: impl Fn(&Log)) {
    let disk = MemoryDisk::default();
    let mut log = begin(&disk, 64 << 20);
    log.work();
    assert!(log.short().is_none());
    disk.full(true);
    let piece = vec![b'x'; 1 << 20];
    let mut appended = 0;
    while log.short().is_none() {
        append(&mut log, &piece);
        work(&log);
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
    assert_eq!(begun(&disk), 2, "the spare was there before");
    assert!(log.info().trouble.is_some());
    disk.full(false);
    for n in 0..40 {
        append(&mut log, format!("record {n}").as_bytes());
        log.work();
    }
    assert!(begun(&disk) > 2);
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
    log.work();
    append(&mut log, b"good");
    disk.fail_next_sync();
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
    log.trim(Offset(segments[2].start.offset.0 + 1));
    log.work();
    assert_eq!(log.start(), segments[2].start.offset);
    assert!(matches!(log.reader().read(Offset(1000), 5), Err(LogError::OutOfRange { .. })));
    assert_eq!(begun(&disk), segments.len() - 2);
    let (rest, _) = reopen(&disk).unwrap();
    assert_eq!(rest, all[log.start().0 as usize - 1000..]);
    log.trim(log.end());
    assert_eq!(log.info().segments, 1, "the last segment stays");
}

#[test]
fn a_segment_that_cannot_be_made_leaves_the_old_one_growing() {
    for step in 1..=4 {
        let disk = MemoryDisk::default();
        let mut log = begin(&disk, 200);
        // The next steps are: create, header, sync, sync the directory.
        disk.fail_in(step, Fault::Error(ENOSPC, 10));
        log.work();
        for _ in 0..5 {
            append(&mut log, b"0123456789");
        }
        assert_eq!(log.info().segments, 1);
        assert!(log.info().trouble.is_some());
        for _ in 0..10 {
            append(&mut log, b"0123456789");
            log.work();
        }
        assert!(log.info().segments > 1, "it is tried again");
        assert_eq!(reopen(&disk).unwrap().0, b"0123456789".repeat(15));
    }
}

#[test]
fn a_segment_that_cannot_be_begun_leaves_the_old_one_growing() {
    for (put, cut_fails) in [(0, false), (10, false), (56, false), (0, true), (10, true), (56, true)] {
        let disk = MemoryDisk::default();
        let mut log = begin(&disk, 200);
        log.work();
        while log.length < 200 {
            append(&mut log, b"0123456789");
        }
        let before = log.end();
        disk.fail_in(1, Fault::Error(EIO, put));
        if cut_fails {
            disk.fail_in(2, Fault::Error(EIO, 0));
            assert!(log.append(b"x", 0).unwrap_err().may_retry());
        }
        append(&mut log, b"x");
        assert_eq!((log.info().segments, log.end()), (1, before + 1));
        let (all, tail) = reopen(&disk).unwrap();
        assert!(all.ends_with(b"9x") && tail.cut().is_none());
        for _ in 0..10 {
            append(&mut log, b"0123456789");
            log.work();
        }
        assert!(log.info().segments > 1, "it is tried again");
        assert_eq!(reopen(&disk).unwrap().0.len() as u64, log.end().0 - 1000);
    }
}

#[test]
fn an_append_never_waits_for_the_disk() {
    let disk = MemoryDisk::default();
    let mut log = begin(&disk, 200);
    // The sync thread does nothing, or is behind: everything goes in.
    for n in 0..100 {
        append(&mut log, format!("record {n}").as_bytes());
        if n % 30 == 0 {
            log.work();
        }
    }
    assert_eq!(log.info().segments, 1 + 4, "one for each spare that was made");
    let (all, tail) = reopen(&disk).unwrap();
    assert_eq!((all.len() as u64, tail.cut().is_none()), (log.end().0 - 1000, true));
}

/// What a power cut can leave of the last two segments, of which the first was left and not yet synced.
#[test]
fn a_tail_torn_across_two_segments_is_cut_where_it_tears_first() {
    let disk = MemoryDisk::default();
    let mut log = begin(&disk, 300);
    log.work();
    let mut ends = vec![log.end()];
    while log.info().segments < 2 {
        append(&mut log, b"0123456789");
        ends.push(log.end());
    }
    append(&mut log, b"abcdefghij");
    let files = disk.files();
    let [(first, old), (second, new)] = &files[..] else { panic!("{} files", files.len()) };
    for (length, kept) in
        (record::FIRST_RECORD as usize..=old.len()).flat_map(|length| [(length, true), (length, false)])
    {
        // The second segment is there whole, or lacks its start.
        let mut rest = new.clone();
        if !kept {
            rest[record::SEGMENT_HEADER as usize + 40] ^= 1;
        }
        let left = [(first.clone(), old[..length].to_vec()), (second.clone(), rest)];
        let torn = MemoryDisk::with_files(&left);
        let (all, tail) = reopen(&torn).unwrap_or_else(|error| panic!("{length} {kept}: {error}"));
        let whole = length == old.len() && kept;
        let end = tail.end().unwrap();
        assert_eq!(tail.cut().is_none(), whole, "{length} {kept}");
        assert!(if whole { end == log.end() } else { ends.contains(&end) });
        assert_eq!(all.len() as u64, end.0 - 1000);
        let segments = tail.finish(&torn).unwrap();
        assert_eq!(torn.files().len(), if whole { 2 } else { 1 });
        // It goes on, with a second segment of the same number.
        let mut log = resume(&torn, segments, 300);
        for _ in 0..20 {
            append(&mut log, b"again");
            log.work();
        }
        let (all, tail) = reopen(&torn).unwrap();
        assert_eq!((all.len() as u64, tail.cut().is_none()), (log.end().0 - 1000, true));
    }
    // Once it was synced, the next spare or the next record says so.
    log.work();
    for tell in [false, true] {
        if tell {
            append(&mut log, b"next");
        }
        let mut files = disk.files();
        if tell {
            files.retain(|(name, _)| name == first || name == second); // without the spare
        }
        for (file, at) in
            [(0, old.len() - 1), (0, record::FIRST_RECORD as usize + 3), (1, record::SEGMENT_HEADER as usize)]
        {
            let mut flipped = files.clone();
            flipped[file].1[at] ^= 1;
            let outcome = reopen(&MemoryDisk::with_files(&flipped));
            assert!(matches!(outcome, Err(LogError::Corrupt { .. })), "{tell}: byte {at} of {file}");
        }
    }
}

#[test]
fn a_segment_cut_off_while_it_was_made_is_no_segment() {
    let disk = MemoryDisk::default();
    let mut log = begin(&disk, 1 << 20);
    append(&mut log, b"data");
    log.work();
    let (name, spare) = disk.last_file();
    for length in 0..=record::SEGMENT_HEADER as usize {
        let mut files = disk.files();
        files.last_mut().unwrap().1 = vec![0; length];
        let torn = MemoryDisk::with_files(&files);
        assert_eq!(look(&torn).unwrap().unborn, [name.as_str()]);
        assert_eq!(reopen(&torn).unwrap().0, b"data");
    }
    // Its start may be cut off as well.
    let start = Start { offset: Offset(1004), synced: Offset(1000), replid: replid(1), db: 0, genesis: false };
    let seed = record::SegmentHeader::decode(&spare).unwrap().seed();
    let begun = [spare, start.encode(seed)].concat();
    for length in record::SEGMENT_HEADER as usize..=begun.len() {
        let mut files = disk.files();
        files.last_mut().unwrap().1 = begun[..length].to_vec();
        let torn = MemoryDisk::with_files(&files);
        let (all, tail) = reopen(&torn).unwrap();
        assert_eq!((all.as_slice(), tail.cut().is_none()), (b"data".as_slice(), true), "{length}");
        tail.finish(&torn).unwrap();
        assert_eq!(torn.files().len(), if length == begun.len() { 2 } else { 1 });
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
        let files = look(&disk).unwrap().generations.into_values().next().unwrap();
        let mut tail = Tail::new(files, Offset(from), 7).unwrap();
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
    let files = look(&disk).unwrap().generations.into_values().next().unwrap();
    assert!(matches!(Tail::new(files.clone(), Offset(999), 0), Err(LogError::OutOfRange { .. })));
    let mut beyond = Tail::new(files, Offset(1007), 0).unwrap();
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
    let copy = disk.files()[0].1.clone();
    let mut other = MemoryDisk::default();
    let origin = Origin { replid: replid(9), offset: Offset(1000), db: 0, genesis: true };
    let mut log = resume(&other, vec![Log::begin(&other, 1, origin).unwrap()], 1 << 20);
    append(&mut log, &copy);
    other = other.after(End::Kill, &mut Luck::new(1));
    let (name, mut bytes) = other.last_file();
    bytes[record::FIRST_RECORD as usize] ^= 1;
    let (all, tail) = reopen(&MemoryDisk::with_files(&[(name, bytes)])).unwrap();
    assert_eq!((all.len(), tail.cut().is_some()), (0, true), "records inside the value tell nothing of this log");
}

/// Readers beside an appender, with the real thread: each read is the stream's bytes at its offset.
#[test]
fn reads_beside_appends_and_trims() {
    let dir = tempfile::tempdir().unwrap();
    let medium: Arc<dyn Medium> = Arc::new(crate::store::medium::Directory::open(dir.path()).unwrap());
    let origin = Origin { replid: replid(1), offset: Offset(0), db: 0, genesis: true };
    let first = Log::begin(&*medium, 1, origin).unwrap();
    let mut log = Log::resume(medium, vec![first], 0, replid(1), 20_000, Box::new(|| {}), true).unwrap();
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
        log.append(&unit, 0).unwrap();
        if luck.one_in(50) {
            log.trim(Offset(log.end().0.saturating_sub(60_000)));
        }
    }
    reading.join().unwrap();
    log.sync_wait().unwrap();
    assert_eq!(log.synced(), Offset(total));
    assert!(log.info().segments < 8 && log.info().syncs > 0);
}

/// Bytes written over, put in, taken out, cut off and moved, anywhere in any segment: never a panic, and what is read is what
/// was written at these offsets, or the damage is told. (A log that begins too late for its checkpoint is recovery's to
/// refuse.) `SEED=n` damages that way again.
#[test]
fn damage_of_any_kind_is_found() {
    let disk = MemoryDisk::default();
    let mut log = begin(&disk, 400);
    let mut luck = Luck::new(5);
    let mut written = Vec::new();
    while written.len() < 2000 {
        let unit: Vec<u8> = (0..1 + luck.below(90)).map(|_| luck.below(256) as u8).collect();
        append(&mut log, &unit);
        written.extend_from_slice(&unit);
        log.sync_request();
        log.work();
    }
    let files = disk.files();
    assert!(files.len() > 4, "several segments");
    let chosen: Option<u64> = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    for seed in chosen.map_or(0..20_000, |seed| seed..seed + 1) {
        let mut luck = Luck::new(seed);
        let mut damaged = files.clone();
        for _ in 0..1 + luck.below(3) {
            let file = luck.below(damaged.len());
            damage(&mut damaged[file].1, &mut luck);
        }
        let read = std::panic::catch_unwind(|| {
            reopen(&MemoryDisk::with_files(&damaged)).map(|(all, tail)| (all, tail.end().map(|end| end.0 - 1000)))
        });
        match read.unwrap_or_else(|_| panic!("SEED={seed} cargo test damage_of_any_kind")) {
            Ok((all, None)) => assert!(all.is_empty(), "SEED={seed}: bytes of no offset"),
            Ok((all, Some(end))) => {
                let start = (end as usize).checked_sub(all.len()).expect("not before the log's beginning");
                assert!(written[start..end as usize] == all[..], "SEED={seed}: other bytes than were written");
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
}

fn damage(bytes: &mut Vec<u8>, luck: &mut Luck) {
    let at = luck.below(bytes.len());
    if bytes.is_empty() {
        return bytes.push(luck.below(256) as u8);
    }
    let end = (at + 1 + luck.below(40)).min(bytes.len());
    match luck.below(7) {
        0 => bytes[at] ^= 1 << luck.below(8),
        1 => bytes[at..end].fill(if luck.one_in(2) { 0 } else { 0xff }),
        2 => bytes[at..end].iter_mut().for_each(|byte| *byte = luck.below(256) as u8),
        3 => bytes.truncate(at),
        4 => drop(bytes.drain(at..end)),
        5 => bytes.splice(at..at, (0..end - at).map(|n| n as u8)).for_each(drop),
        _ => {
            let moved: Vec<u8> = bytes[at..end].to_vec();
            let to = luck.below(bytes.len() - moved.len() + 1);
            bytes[to..to + moved.len()].copy_from_slice(&moved);
        }
    }
}
