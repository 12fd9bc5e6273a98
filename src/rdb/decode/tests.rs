//! Files as they arrive: whole, in pieces, cut, changed, hostile.

use super::*;
use crate::base::{Offset, ReplId};
use crate::rdb::{Encoder, Origin};

fn origin() -> Origin<'static> {
    Origin {
        redis_version: "7.2.5",
        created: Millis(1_700_000_000_123),
        used_memory: 1_000_000,
        stream: Some((ReplId::from_random([7; 20]), Offset(12345), 0)),
        aof_base: false,
    }
}

fn items() -> Vec<Item> {
    let item = |key: &str, expire: Option<i64>, value: &[u8]| Item {
        key: key.into(),
        expire: expire.map(Millis),
        used: None,
        value: Value::String(value.to_vec()),
    };
    vec![
        item("a", None, b"1"),
        item("", Some(1_700_000_000_999), b""),
        item("12345", Some(-5), b"-70000"),
        item("long", None, &b"abcabcabd".repeat(100)),
        item("plain", None, "x".repeat(300).as_bytes()),
    ]
}

fn file(compress: bool) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = Encoder::new().compress(compress);
    encoder.header(&origin(), &mut out);
    encoder.function(b"#!lua name=x\n", &mut out);
    encoder.select(3, 5, 2, &mut out);
    for item in items() {
        encoder.item(&item.key, item.expire, &item.value, &mut out);
    }
    encoder.end(&mut out);
    out
}

fn read(pieces: &[&[u8]]) -> Result<Vec<Event>, RdbError> {
    let (mut decoder, mut events) = (Decoder::new(), Vec::new());
    for piece in pieces {
        decoder.push(piece);
        while let Some(event) = decoder.next()? {
            events.push(event);
        }
    }
    decoder.finish()?;
    Ok(events)
}

#[test]
fn a_whole_file() {
    for compress in [false, true] {
        let events = read(&[&file(compress)]).expect("valid");
        let aux = |key: &str| {
            events.iter().find_map(|event| match event {
                Event::Aux { key: k, value } if k == key.as_bytes() => Some(String::from_utf8_lossy(value).into()),
                _ => None,
            })
        };
        for (key, value) in [
            ("redis-ver", "7.2.5"),
            ("redis-bits", "64"),
            ("ctime", "1700000000"),
            ("used-mem", "1000000"),
            ("repl-stream-db", "0"),
            ("repl-id", "0707070707070707070707070707070707070707"),
            ("repl-offset", "12345"),
            ("aof-base", "0"),
        ] {
            assert_eq!(aux(key), Some(value.to_owned()), "{key}");
        }
        assert_eq!(events[0], Event::Header { version: 10 });
        assert_eq!(events[9], Event::Function(b"#!lua name=x\n".to_vec()));
        assert_eq!(events[10..12], [Event::SelectDb(3), Event::Sizes { keys: 5, expires: 2 }]);
        assert_eq!(events[12..17], items().into_iter().map(Event::Item).collect::<Vec<_>>());
        assert_eq!(events[17..], [Event::End]);
    }
    assert!(file(true).len() < file(false).len() - 1000);
}

#[test]
fn cut_at_every_byte() {
    let file = file(true);
    let expected = read(&[&file]);
    for cut in 0..=file.len() {
        let (head, tail) = file.split_at(cut);
        assert_eq!(read(&[head, tail]), expected, "cut at {cut}");
    }
    let pieces: Vec<&[u8]> = file.chunks(1).collect();
    assert_eq!(read(&pieces), expected);
}

#[test]
fn what_follows_the_file_is_kept() {
    let mut decoder = Decoder::new();
    decoder.push(&[&file(false)[..], b"*1\r\n"].concat());
    while decoder.next().expect("valid").is_some() {}
    assert_eq!(decoder.finish(), Ok(()));
    assert_eq!(decoder.offset(), file(false).len() as u64);
    assert_eq!(decoder.into_rest(), b"*1\r\n");
}

#[test]
fn every_cut_and_every_flip_is_noticed() {
    let file = file(true);
    for cut in 0..file.len() {
        assert_eq!(read(&[&file[..cut]]), Err(RdbError::Truncated { offset: cut as u64 }));
    }
    for place in 0..file.len() {
        for bit in 0..8 {
            let mut flipped = file.clone();
            flipped[place] ^= 1 << bit;
            assert!(read(&[&flipped]).is_err(), "bit {bit} of byte {place}");
        }
    }
}

/// A file of version 10 without a checksum.
fn unsummed(body: &[u8]) -> Result<Vec<Event>, RdbError> {
    read(&[b"REDIS0010", body, b"\xff", &[0; 8]])
}

#[test]
fn every_operation() {
    let used = |expire: Option<i64>, used| {
        Event::Item(Item { key: b"k".to_vec(), expire: expire.map(Millis), used, value: Value::String(b"v".to_vec()) })
    };
    let item = |expire| used(expire, None);
    let list =
        |elements| Event::Item(Item { key: b"k".to_vec(), expire: None, used: None, value: Value::List(elements) });
    let idle = Some(Used::Idle { seconds: 5 });
    let cases: [(&[u8], &[Event]); 12] = [
        (b"", &[]),
        (b"\xfd\x10\x00\x00\x00\x00\x01k\x01v", &[item(Some(16_000))]),
        (b"\xfc\x10\x00\x00\x00\x00\x00\x00\x00\x00\x01k\x01v\x00\x01k\x01v", &[item(Some(16)), item(None)]),
        (b"\xfc\x10\x00\x00\x00\x00\x00\x00\x00\xf8\x05\x00\x01k\x01v", &[used(Some(16), idle)]),
        (b"\xf9\xff\x00\x01k\x01v\x00\x01k\x01v", &[used(None, Some(Used::Frequency(255))), item(None)]),
        (
            b"\xf8\x05\x01\x01k\x01\x01a\x00\x01k\x01v",
            &[
                Event::Item(Item {
                    key: b"k".to_vec(),
                    expire: None,
                    used: idle,
                    value: Value::List(vec![b"a".to_vec()]),
                }),
                item(None),
            ],
        ),
        (b"\xfe\x41\x00", &[Event::SelectDb(256)]),
        (b"\xfb\x02\x80\x00\x01\x00\x00", &[Event::Sizes { keys: 2, expires: 65536 }]),
        (b"\xf4\x01\x02\x03", &[]),
        // Empty collections: whoever takes them leaves them out.
        (b"\x01\x01k\x00", &[list(vec![])]),
        (b"\x12\x01k\x00", &[list(vec![])]),
        (
            b"\x12\x01k\x02\x02\x07\x07\0\0\0\0\0\xff\x01\x01a",
            &[list(vec![]), Event::More(Value::List(vec![b"a".to_vec()]))],
        ),
    ];
    for (body, expected) in cases {
        let events = unsummed(body).expect("valid");
        assert_eq!(events[1..events.len() - 1], *expected, "{}", body.escape_ascii());
    }
}

#[test]
fn every_refusal_names_its_place() {
    let corrupt = |what, offset| RdbError::Corrupt { what, offset };
    let key = b"ke".to_vec();
    let cases: [(&[u8], RdbError); 11] = [
        (b"\x16\x02ke\x00", RdbError::UnsupportedType { name: "hash", key: key.clone(), offset: 9 }),
        (b"\x00\x01k\x01v\x19\x02ke\x00", RdbError::UnsupportedType { name: "hash", key, offset: 14 }),
        (b"\x08\x01k", RdbError::UnknownType { kind: 8, offset: 9 }),
        (b"\xf0", RdbError::UnknownType { kind: 240, offset: 9 }),
        (
            // The number of "ReJSON-RL", version 3.
            b"\xf7\x81\x45\xe2\x52\x38\xdf\x91\x2c\x03",
            RdbError::Module { name: "ReJSON-RL".to_owned(), offset: 10 },
        ),
        (b"\xf6", corrupt("functions in the form of a 7.0 release candidate", 10)),
        (b"\xfe\x82", corrupt("an unknown form of length", 11)),
        (b"\xfe\xc0\x01", corrupt("an encoded string where a length belongs", 11)),
        (b"\xfe\x81\0\0\0\x01\0\0\0\0", corrupt("a number of a database that is too large", 19)),
        (b"\x00\x01k\xc4", corrupt("an unknown encoding of a string", 13)),
        (b"\x00\x01k\xc3\x02\x05\x00a", corrupt("a compressed string that does not unpack", 17)),
    ];
    for (body, error) in cases {
        assert_eq!(unsummed(body), Err(error.clone()), "{}", body.escape_ascii());
    }
    assert_eq!(read(&[b"*3\r\n$3\r\nSET"]), Err(RdbError::NotRdb));
    assert_eq!(read(&[b"REDIS00x0"]), Err(RdbError::NotRdb));
    assert_eq!(read(&[b"REDIS0013"]), Err(RdbError::Version { version: 13 }));
    assert_eq!(read(&[b"REDIS0000"]), Err(RdbError::Version { version: 0 }));
    assert_eq!(
        read(&[b"REDIS0010\xff\x01\0\0\0\0\0\0\0"])
            .map_err(|error| matches!(error, RdbError::Checksum { found: 1, offset: 10, .. })),
        Err(true)
    );
    let text = unsummed(b"\x16\x02ke\x00").expect_err("a newer hash").to_string();
    assert_eq!(text, "RDB: key 'ke' at offset 9 holds a hash, which is not served here");
}

#[test]
fn the_error_stays() {
    let mut decoder = Decoder::new();
    decoder.push(b"REDIS0010\x08");
    assert_eq!(decoder.next(), Ok(Some(Event::Header { version: 10 })));
    let error = decoder.next().expect_err("no such type");
    decoder.push(&[0; 100]);
    assert_eq!(decoder.next(), Err(error.clone()));
    assert_eq!(decoder.finish(), Err(error));
}

#[test]
fn old_versions_have_no_checksum() {
    let events = read(&[b"REDIS0003\xfe\0\0\x01k\x01v\xff"]).expect("valid");
    assert_eq!(events.last(), Some(&Event::End));
    assert_eq!(events.len(), 4);
}

#[test]
fn hostile_lengths_take_no_memory() {
    for length in [
        &b"\x81\x7f\xff\xff\xff\xff\xff\xff\xff"[..],
        b"\x80\xff\xff\xff\xff",
        b"\xc3\x80\xff\xff\xff\xff\x81\x7f\xff\xff\xff\xff\xff\xff\xff",
    ] {
        let mut decoder = Decoder::new();
        decoder.push(b"REDIS0010\0\x01k");
        decoder.push(length);
        decoder.push(&[1; 1000]);
        assert_eq!(decoder.next(), Ok(Some(Event::Header { version: 10 })));
        assert_eq!(decoder.next(), Ok(None));
        assert!(decoder.buffer.capacity() < 8192);
    }
    assert!(matches!(unsummed(b"\0\x01k\x81\xff\xff\xff\xff\xff\xff\xff\xff"), Err(RdbError::Corrupt { .. })));
}

#[test]
fn consumed_bytes_do_not_pile_up() {
    let (mut decoder, mut encoder) = (Decoder::new(), Encoder::new());
    let mut piece = Vec::new();
    encoder.header(&origin(), &mut piece);
    let (mut items, mut most) = (0, 0);
    for i in 0..100_000 {
        encoder.item(format!("key:{i}").as_bytes(), None, &Value::String(vec![b'v'; 50]), &mut piece);
        if piece.len() > 10_000 {
            decoder.push(&piece);
            piece.clear();
            while let Some(event) = decoder.next().expect("valid") {
                items += usize::from(matches!(event, Event::Item(_)));
            }
            most = most.max(decoder.buffer.capacity());
        }
    }
    assert!(items > 99_000 && most < 300_000, "{items} items, {most} bytes");
}

#[test]
fn the_checksum_is_that_of_redis() {
    let mut crc = crc64();
    crc.update(b"123456789");
    assert_eq!(crc.finalize(), 0xe9c6_d914_c4b8_d9ca);
}
