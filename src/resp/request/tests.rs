//! Requests as they arrive: whole, in pieces, wrong, hostile; and judged by redis_protocol's decoder.

use super::*;
use crate::resp::command;
use proptest::prelude::*;
use redis_protocol::resp2::decode::decode_range;
use redis_protocol::resp2::types::RangeFrame;

const OPEN: RequestLimits = RequestLimits { bulk_bytes_max: 512 << 20, authenticated: true };

/// What a stream of requests comes to: the commands, and how it ended.
#[derive(Debug, PartialEq, Default)]
struct Outcome {
    commands: Vec<Vec<Vec<u8>>>,
    empty: usize,
    left: usize,
    error: Option<ProtocolError>,
}

/// Reads `bytes` as they arrive in pieces that end at `cuts`, as the runtime does.
fn run(bytes: &[u8], cuts: &[usize], limits: &RequestLimits) -> Outcome {
    let (mut parser, mut args, mut outcome) = (Parser::default(), Args::default(), Outcome::default());
    let mut start = 0;
    for &cut in cuts.iter().chain([&bytes.len()]) {
        // A buffer of its own for each round: places must not depend on where the bytes are.
        let buf = bytes[start..cut].to_vec();
        let mut at = 0;
        loop {
            // Another connection may have used the arguments meanwhile.
            args.ranges.resize(3, (7, 7));
            match parser.next(&buf[at..], limits, &mut args) {
                Ok(Step::Incomplete) => {
                    let wanted = parser.wanted(buf.len() - at);
                    assert!(wanted == 0 || !parser.is_idle());
                    break;
                }
                Ok(Step::Empty { consumed }) => {
                    outcome.empty += 1;
                    at += consumed;
                }
                Ok(Step::Command { consumed }) => {
                    let request = args.request(&buf[at..]);
                    assert_eq!(request.len(), args.len());
                    outcome.commands.push(request.iter().map(<[u8]>::to_vec).collect());
                    at += consumed;
                    assert!(parser.is_idle() && parser.held_bytes() == 0);
                }
                Err(error) => {
                    outcome.error = Some(error);
                    return outcome;
                }
            }
        }
        start += at;
    }
    outcome.left = bytes.len() - start;
    outcome
}

fn whole(bytes: &[u8]) -> Outcome {
    run(bytes, &[], &OPEN)
}

fn commands(expected: &[&[&[u8]]]) -> Vec<Vec<Vec<u8>>> {
    expected.iter().map(|args| args.iter().map(|arg| arg.to_vec()).collect()).collect()
}

#[test]
fn a_pipeline_of_both_forms() {
    let stream = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\nPING\r\n*0\r\n*-1\r\n*-5\r\n\r\n\n  \r\nset \"a b\" 'c'\n*1\r\n$4\r\nQUIT\r\n*1\r\n$4\r\nQU";
    let outcome = whole(stream);
    assert_eq!(outcome.commands, commands(&[&[b"SET", b"k", b""], &[b"PING"], &[b"set", b"a b", b"c"], &[b"QUIT"]]));
    assert_eq!((outcome.empty, outcome.left, outcome.error), (6, 10, None));
}

#[test]
fn what_redis_tolerates() {
    // The two bytes behind an argument, and the one behind a CR, are not looked at.
    assert_eq!(whole(b"*1\rX$4\rYPINGZZ").commands, commands(&[&[b"PING"]]));
    // Lengths of more digits than the quick way reads.
    let long = "x".repeat(1_234_567);
    let stream = format!("*1\r\n$1234567\r\n{long}\r\n");
    assert_eq!(whole(stream.as_bytes()).commands, commands(&[&[long.as_bytes()]]));
}

#[test]
fn every_error_text() {
    let closed = RequestLimits { bulk_bytes_max: 1 << 20, authenticated: false };
    let limited = RequestLimits { bulk_bytes_max: 1 << 20, authenticated: true };
    let digits = b"1".repeat(INLINE_BYTES_MAX);
    let cases: [(&[u8], RequestLimits, &str); 26] = [
        (&b"a".repeat(INLINE_BYTES_MAX + 1), OPEN, "too big inline request"),
        (b"SET \"k\r\n", OPEN, "unbalanced quotes in request"),
        (b"SET 'k'x\r\n", OPEN, "unbalanced quotes in request"),
        (&[b"*", &digits[..]].concat(), OPEN, "too big mbulk count string"),
        (b"*abc\r\n", OPEN, "invalid multibulk length"),
        (b"*\r\n", OPEN, "invalid multibulk length"),
        (b"*+1\r\n", OPEN, "invalid multibulk length"),
        (b"*01\r\n$1\r\n", OPEN, "invalid multibulk length"),
        (b"*00\r\n$1\r\n", OPEN, "invalid multibulk length"),
        (b"*1 \r\n", OPEN, "invalid multibulk length"),
        (b"*2147483648\r\n", OPEN, "invalid multibulk length"),
        (b"*99999999999999999999\r\n", OPEN, "invalid multibulk length"),
        (b"*11\r\n", closed, "unauthenticated multibulk length"),
        (&[b"*1\r\n$", &digits[..]].concat(), OPEN, "too big bulk count string"),
        (b"*1\r\nPING\r\n", OPEN, "expected '$', got 'P'"),
        (b"*1\r\n:1\r\n\r\n", OPEN, "expected '$', got ':'"),
        (b"*1\r\n*1\r\n$1\r\na\r\n", OPEN, "expected '$', got '*'"),
        (b"*1\r\n$-1\r\n", OPEN, "invalid bulk length"),
        (b"*1\r\n$x\r\n", OPEN, "invalid bulk length"),
        (b"*1\r\n$\r\n", OPEN, "invalid bulk length"),
        (b"*1\r\n$01\r\nab\r\n", OPEN, "invalid bulk length"),
        (b"*1\r\n$1048577\r\n", limited, "invalid bulk length"),
        (b"*1\r\n$1048577\r\n", closed, "invalid bulk length"),
        (b"*1\r\n$9223372036854775807\r\n", OPEN, "invalid bulk length"),
        (b"*1\r\n$16385\r\n", closed, "unauthenticated bulk length"),
        (b"*2\r\n$4\r\nPING\r\n$16385\r\n", closed, "unauthenticated bulk length"),
    ];
    for (bytes, limits, text) in cases {
        let head = bytes[..bytes.len().min(40)].escape_ascii();
        let error = run(bytes, &[], &limits).error.map(|error| error.to_string());
        assert_eq!(error, Some(format!("Protocol error: {text}")), "{head}");
        let cuts: Vec<usize> = (0..bytes.len().min(200)).collect();
        let error = run(bytes, &cuts, &limits).error.map(|error| error.to_string());
        assert_eq!(error, Some(format!("Protocol error: {text}")), "{head}, byte by byte");
    }
    // The limits themselves are still served.
    let stream = [b"*10\r\n", &b"$1\r\na\r\n".repeat(9)[..], b"$16384\r\n", &[b'x'; 16384], b"\r\n"].concat();
    assert_eq!(run(&stream, &[], &closed).commands.len(), 1);
    assert_eq!(whole(b"*2147483647\r\n$1\r\na\r\n").error, None);
}

#[test]
fn split_at_every_byte() {
    let mut stream = b"PING\r\n\r\nset \"a b\" c\n*0\r\n\nPING\r\n".to_vec();
    command(&["SET", "key:000000012345", "value"], &mut stream);
    command(&["MSET", "a", "", "b", "\r\n", "c", &"v".repeat(300)], &mut stream);
    stream.extend_from_slice(b"*1\r\n$x\r\n");
    let expected = whole(&stream);
    assert_eq!((expected.commands.len(), expected.empty), (5, 3));
    assert_eq!(expected.error, Some(ProtocolError::BulkLength));
    for first in 0..stream.len() {
        assert_eq!(run(&stream, &[first], &OPEN), expected, "cut at {first}");
        assert_eq!(run(&stream, &[first, (first + 3).min(stream.len())], &OPEN), expected, "cuts at {first}");
    }
    let all: Vec<usize> = (0..stream.len()).collect();
    assert_eq!(run(&stream, &all, &OPEN), expected);
}

#[test]
fn a_partial_request_is_not_read_again() {
    // The bytes that were looked at are spoilt before the rest arrives: whoever reads them again, sees it.
    let mut stream = Vec::new();
    command(&["MSET", "key", "value", "key2", &"v".repeat(1000)], &mut stream);
    for cut in 0..stream.len() {
        let (mut parser, mut args) = (Parser::default(), Args::default());
        assert_eq!(parser.next(&stream[..cut], &OPEN, &mut args), Ok(Step::Incomplete));
        let ranges: Vec<Range> = parser.found.clone();
        let read = match parser.at {
            At::Start => 0,
            At::FirstLine { .. } => 1, // its kind is asked for again
            At::Length { line, .. } => line,
            At::Argument { start, .. } => start,
        };
        let mut later = stream.clone();
        later[..read].fill(if read == 1 { b'*' } else { b'#' });
        assert_eq!(parser.next(&later, &OPEN, &mut args), Ok(Step::Command { consumed: stream.len() }), "{cut}");
        assert!(args.ranges.starts_with(&ranges));
    }
}

#[test]
fn a_huge_count_takes_no_memory() {
    let (mut parser, mut args) = (Parser::default(), Args::default());
    let stream = b"*2147483647\r\n$536870912\r\nabc";
    assert_eq!(parser.next(stream, &OPEN, &mut args), Ok(Step::Incomplete));
    assert!(args.ranges.capacity() < 16 && parser.held_bytes() < 256);
    assert_eq!(parser.wanted(stream.len()), 536_870_912 + 2 - 3);
    let limits = RequestLimits::MASTER;
    let mut parser = Parser::default();
    assert_eq!(parser.next(b"*1\r\n$9223372036854775807\r\nabc", &limits, &mut args), Ok(Step::Incomplete));
    assert_eq!(parser.next(b"*1\r\n$9223372036854775807\r\nabcd", &limits, &mut args), Ok(Step::Incomplete));
}

#[test]
fn memory_of_a_large_request_is_given_back() {
    let (mut parser, mut args) = (Parser::default(), Args::default());
    let large: Vec<&str> = vec!["a"; 100_000];
    let mut stream = Vec::new();
    command(&large, &mut stream);
    assert!(matches!(parser.next(&stream, &OPEN, &mut args), Ok(Step::Command { .. })));
    assert_eq!(args.len(), 100_000);
    assert_eq!(parser.next(b"PING\r\n", &OPEN, &mut args), Ok(Step::Command { consumed: 6 }));
    assert!(args.ranges.capacity() <= KEPT_MAX);
}

#[test]
fn arguments_are_found_by_place() {
    let (mut parser, mut args) = (Parser::default(), Args::default());
    let buf = b"*2\r\n$3\r\nGET\r\n$2\r\nkk\r\n";
    assert_eq!(parser.next(buf, &OPEN, &mut args), Ok(Step::Command { consumed: buf.len() }));
    let request = args.request(buf);
    assert_eq!((request.get(0), request.get(1), request.get(2)), (Some(&b"GET"[..]), Some(&b"kk"[..]), None));
    assert_eq!(request.skip(1).iter().len(), 1);
    assert!(request.skip(5).is_empty());
    assert_eq!(args.range(1).map(|range| &buf[range]), Some(&b"kk"[..]));
    assert_eq!(format!("{request:?}"), r#"["GET", "kk"]"#);
    parser.next(b"GET k\r\n", &OPEN, &mut args).expect("inline");
    assert_eq!(args.range(1), None);
}

proptest! {
    #[test]
    fn agrees_with_redis_protocol(
        requests in prop::collection::vec(prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..8), 1..6),
        cuts in prop::collection::vec(0usize..2000, 0..6),
    ) {
        let mut stream = Vec::new();
        for request in &requests {
            command(request, &mut stream);
        }
        let mut judged = Vec::new();
        let mut rest = &stream[..];
        while !rest.is_empty() {
            let (frame, len) = decode_range(rest).expect("valid").expect("whole");
            let RangeFrame::Array(items) = frame else { panic!("{frame:?} is no array") };
            judged.push(items.iter().map(|item| match item {
                RangeFrame::BulkString((start, end)) => rest[*start..*end].to_vec(),
                other => panic!("{other:?} is no bulk string"),
            }).collect::<Vec<_>>());
            rest = &rest[len..];
        }
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut % stream.len()).collect();
        cuts.sort_unstable();
        let outcome = run(&stream, &cuts, &OPEN);
        prop_assert_eq!(&outcome.commands, &judged);
        prop_assert_eq!(outcome.commands, requests);
        prop_assert_eq!((outcome.left, outcome.error), (0, None));
    }
}
