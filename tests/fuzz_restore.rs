//! RESTORE of spoilt payloads of every form: refused as bad data, or a value that every command can work with; no panic,
//! and no memory out of proportion. `REGENT_FUZZ_RESTORE=100000` makes it long, `SEED=n` replays a round.

#[path = "old_forms/mod.rs"]
mod forms;
mod in_process;

use forms::{forms, payload};
use in_process::Node;
use regent::base::Dice;
use regent::rdb::Checksum;
use regent::resp::{Frame, command};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// Counts what a thread asks for at once at most.
struct Watched;

thread_local! {
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = LARGEST.try_with(|largest| largest.set(largest.get().max(layout.size())));
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Watched = Watched;

/// What a round may ask for at once: far above what values of a few KiB need, far below what a wild length asks for.
const BYTES_AT_ONCE_MAX: usize = 1 << 20;

fn spoil(bytes: &mut Vec<u8>, dice: &mut Dice) {
    for _ in 0..=dice.below(3) {
        if bytes.is_empty() {
            return;
        }
        let at = dice.below(bytes.len() as u64) as usize;
        match dice.below(8) {
            0 => bytes[at] = dice.roll() as u8,
            1 => bytes[at] = [0, 1, 0x7f, 0x80, 0x81, 0xc3, 0xfe, 0xff][dice.below(8) as usize],
            2 => bytes[at] ^= 1 << dice.below(8),
            3 => bytes[at] = bytes[at].wrapping_add(1),
            4 => bytes.insert(at, dice.roll() as u8),
            5 => drop(bytes.remove(at)),
            6 => bytes.truncate(at),
            _ => {
                let other = dice.below(bytes.len() as u64) as usize;
                let piece = bytes[at.min(other)..at.max(other)].to_vec();
                bytes.splice(at..at, piece.into_iter().take(40));
            }
        }
    }
}

/// What is done with a value of any type: reading it through, changing it, writing it down again.
const USES: [&str; 31] = [
    "TYPE k",
    "OBJECT ENCODING k",
    "DEBUG DIGEST-VALUE k",
    "SORT k BY nosort ALPHA",
    "LRANGE k 0 -1",
    "LPOS k a",
    "RPOPLPUSH k k",
    "LINSERT k BEFORE a b",
    "LREM k 0 a",
    "LPUSH k 1",
    "SMEMBERS k",
    "SADD k m 7",
    "SPOP k",
    "ZRANGE k 0 -1 WITHSCORES",
    "ZADD k 1 m",
    "ZPOPMIN k",
    "HGETALL k",
    "HSET k f v",
    "HDEL k f",
    "HRANDFIELD k 3 WITHVALUES",
    "XRANGE k - +",
    "XREVRANGE k + - COUNT 3",
    "XINFO STREAM k FULL",
    "XPENDING k g",
    "XREADGROUP GROUP g c STREAMS k >",
    "XAUTOCLAIM k g c 0 0",
    "XADD k * f v",
    "XTRIM k MAXLEN 1",
    "APPEND k x",
    "BITCOUNT k",
    "PFCOUNT k",
];

fn ask<T: AsRef<[u8]>>(node: &mut Node, slot: usize, words: &[T]) -> Frame {
    let mut request = Vec::new();
    command(words, &mut request);
    node.send(slot, &request);
    node.heard(slot).pop().expect("a reply")
}

#[test]
fn spoilt_payloads_are_refused_or_whole() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let (rounds, first) = (number("REGENT_FUZZ_RESTORE").unwrap_or(4000), number("SEED").unwrap_or(1));
    let forms = forms();
    let (mut taken, mut refused) = (0, 0);
    for seed in first..first + rounds {
        let round = || {
            let mut dice = Dice(seed);
            let form = &forms[dice.below(forms.len() as u64) as usize];
            let (mut body, mut kind) = (form.body.clone(), form.kind);
            spoil(&mut body, &mut dice);
            if dice.below(50) == 0 {
                kind = dice.below(30) as u8;
            }
            let mut payload = payload(kind, &body, form.since.max(6));
            let mut node = Node::new("");
            let slot = node.connect();
            if dice.below(2) == 0 {
                let end = payload.len() - 8;
                payload[end..].fill(0);
                node.server.switches.checksum = Checksum::Skip;
            }
            match ask(&mut node, slot, &[&b"RESTORE"[..], b"k", b"0", &payload]) {
                Frame::Error(text) if text == "ERR Bad data format" => {
                    assert_eq!(ask(&mut node, slot, &["DBSIZE"]), Frame::Int(0));
                    return false;
                }
                Frame::Simple(text) if text == "OK" => {}
                other => panic!("{}: {other:?}", form.name),
            }
            // It is what its own dump says.
            let digest = ask(&mut node, slot, &["DEBUG", "DIGEST-VALUE", "k"]);
            let Frame::Bulk(again) = ask(&mut node, slot, &["DUMP", "k"]) else { panic!("no payload") };
            node.server.switches.checksum = Checksum::Check;
            let reply = ask(&mut node, slot, &[&b"RESTORE"[..], b"twin", b"0", &again]);
            assert_eq!(reply, Frame::Simple("OK".into()), "{}: what is dumped is taken", form.name);
            assert_eq!(ask(&mut node, slot, &["DEBUG", "DIGEST-VALUE", "twin"]), digest, "{}", form.name);
            for words in USES {
                ask(&mut node, slot, &words.split(' ').collect::<Vec<_>>());
            }
            true
        };
        LARGEST.set(0);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(round));
        let largest = LARGEST.get();
        assert!(largest <= BYTES_AT_ONCE_MAX, "{largest} bytes at once; replay with SEED={seed} REGENT_FUZZ_RESTORE=1");
        match outcome {
            Ok(true) => taken += 1,
            Ok(false) => refused += 1,
            Err(_) => panic!("replay with SEED={seed} REGENT_FUZZ_RESTORE=1"),
        }
    }
    println!("{taken} payloads taken, {refused} refused");
}
