//! Random and spoilt bytes against everything that reads bytes of others: no panic, no memory out of proportion, and the
//! same outcome however the bytes are cut. The rounds are seeded; a failure names its seed.

use regent::rdb::{Checksum, Decoder, Encoder, Origin, restore};
use regent::resp::{Args, Parser, RequestLimits, Step, command, decode};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// Counts what a thread asks for at once at most: a length that somebody names must never become memory.
struct Watched;

thread_local! {
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

fn watch(size: usize) {
    let _ = LARGEST.try_with(|largest| largest.set(largest.get().max(size)));
}

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        watch(layout.size());
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        watch(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        watch(size);
        unsafe { System.realloc(at, layout, size) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Watched = Watched;

/// xorshift64*.
struct Luck(u64);

impl Luck {
    fn new(seed: u64) -> Self {
        Luck(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
    fn below(&mut self, end: usize) -> usize {
        (self.next() >> 33) as usize % end.max(1)
    }

    /// Bytes made of pieces of the language, spoilt here and there.
    fn text(&mut self, pieces: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        for _ in 0..self.below(30) {
            out.extend_from_slice(pieces[self.below(pieces.len())]);
        }
        self.spoil(&mut out);
        out
    }

    fn spoil(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..self.below(4) {
            if bytes.is_empty() {
                return;
            }
            let at = self.below(bytes.len());
            match self.below(5) {
                0 => bytes[at] = self.next() as u8,
                1 => bytes[at] ^= 1 << self.below(8),
                2 => bytes.insert(at, *b"0159-\r\n$*".get(self.below(9)).unwrap_or(&0)),
                3 => drop(bytes.remove(at)),
                _ => bytes.truncate(at),
            }
        }
    }

    fn cut<'a>(&mut self, bytes: &'a [u8]) -> Vec<&'a [u8]> {
        let (mut rest, mut pieces) = (bytes, Vec::new());
        while !rest.is_empty() {
            let (piece, tail) = rest.split_at(1 + self.below(rest.len().min(40)));
            pieces.push(piece);
            rest = tail;
        }
        pieces
    }
}

/// Runs rounds; each may allocate at most `bytes_max` in one piece.
fn rounds(count: u64, bytes_max: usize, round: impl Fn(&mut Luck)) {
    let first: u64 = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    for seed in first..first + count {
        LARGEST.set(0);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| round(&mut Luck::new(seed))));
        assert!(outcome.is_ok(), "replay with SEED={seed}");
        let largest = LARGEST.get();
        assert!(largest <= bytes_max, "{largest} bytes at once; replay with SEED={seed}");
    }
}

#[rustfmt::skip]
const PIECES: [&[u8]; 44] = [
    b"*1\r\n", b"*2\r\n", b"*3\r\n", b"*0\r\n", b"*-1\r\n", b"*2147483647\r\n", b"*99999999999999999999\r\n", b"$4\r\nPING\r\n",
    b"$3\r\nGET\r\n", b"$0\r\n\r\n", b"$-1\r\n", b"$536870912\r\n", b"$9223372036854775807\r\n", b"$10\r\n", b"$", b"*", b"\r\n", b"\n",
    b"PING\r\n", b"SET \"a\\x00\" 'b'\r\n", b"\"", b"'", b"+OK\r\n", b"-ERR no\r\n", b":12\r\n", b":-9223372036854775808\r\n", b"_\r\n",
    b"#t\r\n", b",1.5\r\n", b",nan\r\n", b"(123\r\n", b"%1\r\n", b"%2\r\n", b"~2\r\n", b">3\r\n", b"|1\r\n", b"|0\r\n", b"!3\r\nERR\r\n",
    b"=7\r\ntxt:abc\r\n", b"=3\r\nabc\r\n", b"%2147483647\r\n", b"$?\r\n", b";4\r\nabcd\r\n", b"HELLO 3\r\n",
];

const LIMITS: RequestLimits = RequestLimits { bulk_bytes_max: 512 << 20, authenticated: true };

type Parsed = (Vec<Vec<Vec<u8>>>, Option<String>);

/// All requests of a stream that arrives in these pieces, and its error.
fn requests(pieces: &[&[u8]]) -> Parsed {
    let (mut parser, mut args, mut buf, mut commands) = (Parser::default(), Args::default(), Vec::new(), Vec::new());
    for piece in pieces {
        buf.extend_from_slice(piece);
        let mut at = 0;
        loop {
            match parser.next(&buf[at..], &LIMITS, &mut args) {
                Ok(Step::Incomplete) => break,
                Ok(Step::Empty { consumed }) => at += consumed,
                Ok(Step::Command { consumed }) => {
                    assert!((1..=buf.len() - at).contains(&consumed));
                    let request = args.request(&buf[at..]);
                    commands.push(request.iter().map(<[u8]>::to_vec).collect::<Vec<_>>());
                    assert_eq!(commands.last().map(Vec::len), Some(request.len()), "every range lies in the buffer");
                    at += consumed;
                }
                Err(error) => return (commands, Some(error.to_string())),
            }
        }
        buf.drain(..at);
    }
    (commands, None)
}

#[test]
fn requests_of_any_kind() {
    rounds(30_000, 8192, |luck| {
        let mut stream = luck.text(&PIECES);
        if luck.below(3) == 0 {
            command(&["SET", "key", "value"], &mut stream);
            luck.spoil(&mut stream);
        }
        let whole = requests(&[&stream]);
        let pieces = luck.cut(&stream);
        assert_eq!(requests(&pieces), whole, "{}", stream.escape_ascii());
    });
}

#[test]
fn frames_of_any_kind() {
    rounds(60_000, 64 * 1024, |luck| {
        let stream = luck.text(&PIECES);
        if let Ok(Some((frame, len))) = decode(&stream) {
            assert!((1..=stream.len()).contains(&len));
            // As text: one that holds a NaN is not equal to itself.
            let alone = format!("{:?}", decode(&stream[..len]));
            assert_eq!(alone, format!("{:?}", Ok::<_, ()>(Some((frame, len)))), "what follows does not matter");
        }
    });
}

#[test]
fn deep_frames_do_not_end_the_process() {
    for head in ["*1\r\n", "%1\r\n", "~1\r\n", ">1\r\n", "|1\r\n", "|0\r\n", "*2\r\n"] {
        let _ = decode(head.repeat(200_000).as_bytes());
    }
}

#[test]
fn files_of_any_kind() {
    let mut file = Vec::new();
    let mut encoder = Encoder::new().compress(true);
    encoder.header(&Origin { redis_version: "7.2.5", ..Origin::default() }, &mut file);
    encoder.select(0, 3, 1, &mut file);
    encoder.string(b"k", None, b"12345", &mut file);
    encoder.string(b"key", Some(regent::base::Millis(17)), b"some text", &mut file);
    encoder.string(b"long", None, &b"abcd".repeat(100), &mut file);
    encoder.end(&mut file);
    rounds(30_000, 64 * 1024, |luck| {
        let mut bytes = file.clone();
        luck.spoil(&mut bytes);
        for _ in 0..luck.below(3) {
            let at = 9 + luck.below(bytes.len().saturating_sub(9));
            let noise: Vec<u8> = (0..luck.below(12)).map(|_| luck.next() as u8 | 0x80).collect();
            bytes.splice(at.min(bytes.len())..at.min(bytes.len()), noise);
        }
        let outcome = |pieces: &[&[u8]]| {
            let (mut decoder, mut events) = (Decoder::new(), Vec::new());
            for piece in pieces {
                decoder.push(piece);
                loop {
                    match decoder.next() {
                        Ok(Some(event)) => events.push(event),
                        Ok(None) => break,
                        Err(error) => return (events, Err(error)),
                    }
                }
            }
            (events, decoder.finish())
        };
        let whole = outcome(&[&bytes]);
        let pieces = luck.cut(&bytes);
        assert_eq!(outcome(&pieces), whole, "{}", bytes.escape_ascii());
        let _ = restore(&bytes, Checksum::Check);
        let _ = restore(&bytes, Checksum::Skip);
    });
}
