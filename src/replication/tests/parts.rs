//! Properties of the parts: the reader of copies, the backlog, and the verdicts of a history.

use crate::base::{Offset, ReplId};
use crate::replication::backlog::Backlog;
use crate::replication::history::{FORMER_MAX, History, Reason, Standing, Verdict};
use crate::replication::{Bulk, BulkError, Extent, MARK_BYTES, Progress};
use proptest::prelude::*;

fn id(byte: u8) -> ReplId {
    ReplId::from_random([byte; 20])
}

type Read = (Vec<u8>, Vec<u8>, Option<Extent>);

/// Feeds `bytes` in pieces of the given sizes; the payload, what was left over, and the extent.
fn read(bytes: &[u8], sizes: &[usize]) -> Result<Read, BulkError> {
    let (mut bulk, mut payload, mut extent) = (Bulk::default(), Vec::new(), None);
    let mut sizes = sizes.iter().copied().cycle();
    let (mut at, mut have) = (0, 0);
    loop {
        let (taken, progress) = bulk.feed(&bytes[at..have], &mut |piece| payload.extend_from_slice(piece))?;
        at += taken;
        match progress {
            Progress::Done => return Ok((payload, bytes[at..].to_vec(), extent)),
            Progress::Header(told) => extent = Some(told),
            Progress::More if at < have => {}
            Progress::More if have == bytes.len() => return Ok((payload, Vec::new(), extent)),
            Progress::More => have = bytes.len().min(have + sizes.next().unwrap_or(1)),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// However the reads fall, the payload ends where its mark begins. The payload is made of pieces of the mark, so
    /// that false starts are common.
    #[test]
    fn a_marked_copy_ends_at_its_mark(
        mark in proptest::collection::vec(b'a'..=b'b', MARK_BYTES),
        pieces in proptest::collection::vec((0..MARK_BYTES, 0..MARK_BYTES), 0..12),
        rest in proptest::collection::vec(any::<u8>(), 0..20),
        sizes in proptest::collection::vec(1usize..90, 1..6),
        newlines in 0usize..3,
    ) {
        let payload: Vec<u8> = pieces.iter().flat_map(|&(a, b)| mark[a.min(b)..a.max(b)].to_vec()).collect();
        let whole = [&payload[..], &mark].concat();
        // The first place where the mark stands is where any reader must stop.
        let end = memchr::memmem::find(&whole, &mark).expect("the mark is there");
        let mut bytes = vec![b'\n'; newlines];
        bytes.extend([b"$EOF:", &mark[..], b"\r\n", &whole, &rest].concat());
        let (got, left, extent) = read(&bytes, &sizes).expect("a copy");
        prop_assert_eq!(&got, &whole[..end]);
        prop_assert_eq!(left, [&whole[end + MARK_BYTES..], &rest].concat());
        prop_assert_eq!(extent, Some(Extent::Marked { mark: mark.try_into().expect("its length") }));
    }

    #[test]
    fn a_sized_copy_ends_after_its_bytes(
        payload in proptest::collection::vec(any::<u8>(), 0..200),
        rest in proptest::collection::vec(any::<u8>(), 0..20),
        sizes in proptest::collection::vec(1usize..90, 1..6),
    ) {
        let bytes = [format!("${}\r\n", payload.len()).as_bytes(), &payload, &rest].concat();
        let (got, left, _) = read(&bytes, &sizes).expect("a copy");
        prop_assert_eq!(got, payload);
        prop_assert_eq!(left, rest);
    }

    /// No header, however odd, is more than an error.
    #[test]
    fn any_bytes_are_a_copy_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let _ = read(&bytes, &[7, 900]);
    }

    /// The backlog holds the last bytes, all that was asked to be kept, and gives them back as they were.
    #[test]
    fn the_backlog_is_a_window_of_the_stream(
        appends in proptest::collection::vec((0usize..70, 0u64..9), 1..40),
        block in 1usize..40,
        first_size in 0u64..120,
    ) {
        let first = Offset(1000);
        let mut backlog = Backlog::with_blocks(first_size, block, first);
        let (mut all, mut size, mut keep) = (Vec::new(), first_size, None);
        for (n, (len, also)) in appends.into_iter().enumerate() {
            match also {
                0 => { size = len as u64; backlog.resize(size); }
                1 => { keep = Some(backlog.start() + len.min(backlog.held_bytes() as usize) as u64); backlog.keep_from(keep); }
                2 => { keep = None; backlog.keep_from(keep); }
                _ => {}
            }
            let bytes: Vec<u8> = (0..len).map(|i| (n * 31 + i) as u8).collect();
            backlog.append(&bytes);
            all.extend_from_slice(&bytes);
            prop_assert_eq!(backlog.end(), first + all.len() as u64);
            let asked = size.min(all.len() as u64);
            prop_assert!(keep.is_some() || backlog.held_bytes() < size + 2 * block as u64 + 1);
            prop_assert!(keep.is_none_or(|keep| backlog.start() <= keep));
            prop_assert!(backlog.memory_bytes() >= backlog.held_bytes() as usize);
            let from = Offset(backlog.end().0 - asked.min(backlog.held_bytes()));
            let got = backlog.slices(from, usize::MAX).expect("held").collect::<Vec<_>>().concat();
            prop_assert_eq!(&got[..], &all[(from.0 - first.0) as usize..]);
            let some = backlog.slices(backlog.start(), 5).expect("held").map(<[u8]>::len).sum::<usize>();
            prop_assert_eq!(some as u64, backlog.held_bytes().min(5));
            prop_assert!(backlog.slices(backlog.end() + 1, 1).is_none());
        }
    }
}

#[test]
fn headers_that_a_master_never_sends() {
    let errors = [
        ("-LOADING busy\r\n", "MASTER aborted replication with an error: LOADING busy"),
        (
            "+OK\r\n",
            "Bad protocol from MASTER, the first byte is not '$' (we received '+OK'), are you sure the host and port are \
             right?",
        ),
        (
            "$-1\r\n",
            "Bad protocol from MASTER, the first byte is not '$' (we received '$-1'), are you sure the host and port are \
             right?",
        ),
    ];
    for (bytes, said) in errors {
        assert_eq!(read(bytes.as_bytes(), &[100]).expect_err(bytes).to_string(), said);
    }
    assert!(read(&[b'x'; 2000], &[100]).is_err());
    assert!(read(format!("${}\r\n", u64::MAX).as_bytes(), &[100]).is_err());
}

#[test]
fn a_history_honours_its_ids_up_to_their_ends() {
    let mut history = History::blank(id(1));
    history.began();
    history.shift(id(2), Offset(100));
    history.shift(id(3), Offset(200));
    assert_eq!((history.second_id(), history.second_repl_offset()), (id(2), 201));
    let held = Offset(50)..=Offset(300);
    let ask = |asked: ReplId, next| history.continues(&asked.hex(), next, &held, "r");
    let from = |at| Verdict::Continue { from: Offset(at) };
    assert_eq!(ask(id(3), 301), from(300));
    assert_eq!(ask(id(3), 51), from(50));
    assert_eq!(ask(id(2), 201), from(200));
    assert_eq!(ask(id(1), 101), from(100));
    let why = |verdict| match verdict {
        Verdict::Full { reason } => reason,
        other @ Verdict::Continue { .. } => panic!("{other:?}"),
    };
    assert_eq!(why(ask(id(2), 202)), Reason::Ended { asked_next: 202, second_repl_offset: 201 });
    assert_eq!(why(ask(id(1), 102)), Reason::Ended { asked_next: 102, second_repl_offset: 101 });
    assert!(matches!(why(ask(id(3), 302)), Reason::Ahead { .. }));
    assert!(matches!(why(ask(id(3), 50)), Reason::Lacking { .. }));
    assert!(matches!(why(ask(id(9), 60)), Reason::Unknown { .. }));
    for next in [0, -1, i64::MIN, i64::MAX] {
        why(ask(id(3), next));
    }
    assert!(matches!(why(history.continues(b"?", -1, &held, "r")), Reason::Requested { .. }));
    assert!(matches!(why(history.continues(b"", 1, &held, "r")), Reason::Unknown { .. }));
}

#[test]
fn former_ids_are_bounded_and_the_oldest_is_forgotten() {
    let mut history = History::blank(id(0));
    history.began();
    for n in 1..=2 * FORMER_MAX as u8 {
        history.shift(id(n), Offset(u64::from(n)));
    }
    assert_eq!(history.former().len(), FORMER_MAX);
    assert_eq!(history.second_id(), id(2 * FORMER_MAX as u8 - 1));
}

#[test]
fn a_restarted_master_takes_its_id_once_and_late() {
    let mut history = History::blank(id(1));
    history.began();
    let mut history = history.resumed();
    assert_eq!(history.id(), id(1), "until its first byte it can still resume under another master");
    assert!(history.own(id(2), Offset(70)));
    assert!(!history.own(id(3), Offset(90)));
    assert_eq!((history.id(), history.second_id(), history.second_repl_offset()), (id(2), id(1), 71));
}

/// A deposed master that restarted (own id) and wrote on meets the new one where that was promoted.
#[test]
fn lineages_meet_where_they_parted() {
    let mut old = History::blank(id(1));
    old.began();
    let mut new = old.clone();
    new.shift(id(2), Offset(80));
    old.shift(id(7), Offset(100));
    let meet = new.meet(old.id(), Offset(120), old.former(), Offset(200)).expect("a common id");
    assert_eq!((meet.id, meet.end), (id(1), Offset(80)));
    assert!(old.rewind(meet.id, meet.end));
    assert_eq!((old.id(), old.former().len(), old.standing()), (id(1), 0, Standing::Resumed));
    assert!(!old.rewind(id(7), Offset(90)), "an id that is gone");
}
