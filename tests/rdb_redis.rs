//! A real Redis as the judge of the RDB codec: it reads what we write, we read what it writes, and both hold the same.

use regent::base::{Millis, Offset, ReplId};
use regent::rdb::{Checksum, Decoder, Encoder, Event, Item, Origin, Value, dump, dump_string, restore};
use regent::resp::{Frame, command, decode};
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A redis-server in a directory of its own, killed when dropped.
struct Redis {
    process: Child,
    link: TcpStream,
    received: Vec<u8>,
}

impl Redis {
    /// Starts it on a free port; whatever `dump.rdb` is in `dir` gets loaded.
    fn start(dir: &Path) -> Redis {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
        let mut process = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--enable-debug-command", "yes"])
            .args(["--dbfilename", "dump.rdb", "--logfile", "redis.log", "--dir"])
            .arg(dir)
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("redis-server must be installed for this test (7.0 or later): {error}"));
        // A connection is refused until it listens; `accept` is what we wait for, so each attempt is its own pause.
        for _ in 0..200_000 {
            if let Ok(link) = TcpStream::connect_timeout(&([127, 0, 0, 1], port).into(), Duration::from_secs(5)) {
                link.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
                let mut redis = Redis { process, link, received: Vec::new() };
                while redis.ask(&["PING"]) != Frame::Simple("PONG".to_owned()) {}
                return redis;
            }
            if let Some(status) = process.try_wait().expect("its status") {
                let log = std::fs::read_to_string(dir.join("redis.log")).unwrap_or_default();
                panic!("redis-server ended with {status}:\n{log}");
            }
            std::thread::yield_now();
        }
        panic!("redis-server did not listen on port {port}");
    }

    fn ask<T: AsRef<[u8]>>(&mut self, args: &[T]) -> Frame {
        let mut request = Vec::new();
        command(args, &mut request);
        self.link.write_all(&request).expect("sent");
        loop {
            if let Some((frame, len)) = decode(&self.received).expect("a valid reply") {
                self.received.drain(..len);
                return frame;
            }
            let mut piece = [0; 65536];
            match self.link.read(&mut piece) {
                Ok(0) => panic!("redis-server hung up"),
                Ok(len) => self.received.extend_from_slice(&piece[..len]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("no reply: {error}"),
            }
        }
    }

    fn ok<T: AsRef<[u8]>>(&mut self, args: &[T]) {
        let reply = self.ask(args);
        assert!(reply.is_ok(), "{reply:?}");
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Database and key: deadline and value.
type Data = BTreeMap<(u32, Vec<u8>), (Option<Millis>, Value)>;

/// Strings that take every form of the format, some with a deadline in the year 2100.
fn data() -> Data {
    let mut data = Data::new();
    let far = Millis(4_102_444_800_123);
    let mut noise = 1u64;
    let random: Vec<u8> = (0..5000)
        .map(|_| {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (noise >> 56) as u8
        })
        .collect();
    let values: [&[u8]; 20] = [
        b"",
        b"0",
        b"-1",
        b"127",
        b"-128",
        b"128",
        b"32767",
        b"-32769",
        b"2147483647",
        b"-2147483648",
        b"2147483648",
        b"007",
        b"-0",
        b"some text",
        b"\r\n\0\xff",
        &[b'x'; 63],
        &[b'y'; 64],
        &b"the same again ".repeat(2000),
        &random,
        &[0; 20_000],
    ];
    for database in [0, 1, 15] {
        for (i, value) in values.iter().enumerate() {
            let expire = (i % 3 == 0).then_some(far + Millis(i as i64));
            data.insert((database, format!("key:{i}").into_bytes()), (expire, Value::String(value.to_vec())));
        }
        for (name, value) in collections() {
            data.insert((database, name.into_bytes()), (None, value));
        }
        data.insert((database, b"12345".to_vec()), (None, Value::String(b"a number as a key".to_vec())));
        data.insert((database, b"a".repeat(100)), (Some(far), Value::String(b"a long key".to_vec())));
        data.insert((database, Vec::new()), (None, Value::String(b"an empty key".to_vec())));
    }
    data
}

/// Collections that Redis holds in each of its encodings.
fn collections() -> Vec<(String, Value)> {
    let text = |i: usize| format!("element {i}").into_bytes();
    let odd: Vec<Vec<u8>> =
        [&b""[..], b"-1", b"127", b"128", b"-4096", b"4095", b"-5000", b"70000", b"-9000000", b"2147483648"]
            .iter()
            .map(|element| element.to_vec())
            .chain([vec![b'x'; 63], vec![b'y'; 64], vec![b'z'; 5000]])
            .collect();
    let hash = |elements: &[Vec<u8>]| {
        Value::Hash(elements.iter().map(|it| (it.clone(), [b"of ", &it[..]].concat())).collect())
    };
    let many: Vec<Vec<u8>> = (0..3000).map(text).collect();
    vec![
        ("hash:small".into(), hash(&many[..10])),
        ("hash:odd".into(), hash(&odd)),
        ("hash:large".into(), hash(&many)),
        (
            "set:integers".into(),
            Value::Set((0..100).map(|i| (i * 1_000_003i64 - 50).to_string().into_bytes()).collect()),
        ),
        ("set:small".into(), Value::Set(many[..10].to_vec())),
        ("set:odd".into(), Value::Set(odd.clone())),
        ("set:large".into(), Value::Set(many.clone())),
        ("list:small".into(), Value::List(many[..10].to_vec())),
        ("list:odd".into(), Value::List(odd.clone())),
        ("list:large".into(), Value::List([&many[..], &odd, &[vec![b'p'; 20_000]]].concat())),
        ("zset:small".into(), scored(&many[..10])),
        ("zset:odd".into(), scored(&odd)),
        ("zset:large".into(), scored(&many)),
    ]
}

/// Members with scores of all forms.
fn scored(members: &[Vec<u8>]) -> Value {
    let scores = [0.0, 1.0, -1.0, 1.5, -0.1, 1e300, 3e-5, f64::INFINITY, f64::NEG_INFINITY, 1234567.25, 1.0 / 3.0];
    Value::Zset(members.iter().cloned().zip(scores.into_iter().cycle()).collect())
}

/// The same whatever the order of a set or hash.
fn in_order(value: Value) -> Value {
    match value {
        Value::Set(mut members) => {
            members.sort();
            Value::Set(members)
        }
        Value::Hash(mut fields) => {
            fields.sort();
            Value::Hash(fields)
        }
        Value::Zset(mut members) => {
            members.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Zset(members)
        }
        other => other,
    }
}

fn sorted(data: Data) -> Data {
    data.into_iter().map(|(key, (expire, value))| (key, (expire, in_order(value)))).collect()
}

fn encoded(data: &Data, compress: bool) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = Encoder::new().compress(compress);
    let stream = Some((ReplId::from_random([0xab; 20]), Offset(1234), 0));
    let origin = Origin {
        redis_version: "7.2.5",
        created: Millis(1_700_000_000_000),
        used_memory: 1 << 20,
        stream,
        aof_base: false,
    };
    encoder.header(&origin, &mut out);
    let mut current = None;
    for ((database, key), (expire, value)) in data {
        if current != Some(*database) {
            current = Some(*database);
            let here = || data.iter().filter(|((other, _), _)| other == database);
            let expires = here().filter(|(_, (expire, _))| expire.is_some()).count();
            encoder.select(*database, here().count() as u64, expires as u64, &mut out);
        }
        encoder.item(key, *expire, value, &mut out);
    }
    encoder.end(&mut out);
    out
}

fn decoded(file: &[u8]) -> (Data, BTreeMap<String, String>) {
    let (mut data, mut facts, mut decoder, mut database) = (Data::new(), BTreeMap::new(), Decoder::new(), 0);
    let mut last = (0, Vec::new());
    for piece in file.chunks(1000) {
        decoder.push(piece);
        while let Some(event) = decoder.next().expect("a valid file") {
            match event {
                Event::SelectDb(number) => database = number,
                Event::Item(Item { key, expire, value, .. }) => {
                    last = (database, key);
                    data.insert(last.clone(), (expire, value));
                }
                Event::More(more) => {
                    let (_, value) = data.get_mut(&last).expect("its first part");
                    match (value, more) {
                        (Value::Set(all), Value::Set(more)) => all.extend(more),
                        (Value::Hash(all), Value::Hash(more)) => all.extend(more),
                        (Value::List(all), Value::List(more)) => all.extend(more),
                        (Value::Zset(all), Value::Zset(more)) => all.extend(more),
                        (Value::Stream(all), Value::Stream(more)) => all.extend(more),
                        _ => panic!("a part of another type"),
                    }
                }
                Event::Aux { key, value } => {
                    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
                    facts.insert(text(key), text(value));
                }
                _ => {}
            }
        }
    }
    decoder.finish().expect("a whole file");
    (data, facts)
}

fn fill(redis: &mut Redis, data: &Data) {
    for ((database, key), (expire, value)) in data {
        redis.ok(&["SELECT", &database.to_string()]);
        put(redis, key, value);
        if let Some(Millis(at)) = expire {
            assert_eq!(redis.ask(&[&b"PEXPIREAT"[..], key, at.to_string().as_bytes()]), Frame::Int(1));
        }
    }
}

/// Makes a value in Redis.
fn put(redis: &mut Redis, key: &[u8], value: &Value) {
    let mut scores: Vec<Vec<u8>> = Vec::new();
    let words: Vec<&[u8]> = match value {
        Value::String(bytes) => return redis.ok(&[&b"SET"[..], key, bytes]),
        Value::Stream(_) => unreachable!("streams have a test of their own"),
        Value::Set(members) => [&b"SADD"[..], key].into_iter().chain(members.iter().map(Vec::as_slice)).collect(),
        Value::Hash(fields) => {
            let words = fields.iter().flat_map(|(field, value)| [&field[..], value]);
            [&b"HSET"[..], key].into_iter().chain(words).collect()
        }
        Value::List(elements) => [&b"RPUSH"[..], key].into_iter().chain(elements.iter().map(Vec::as_slice)).collect(),
        Value::Zset(members) => {
            let text = |score: &f64| format!("{score:?}").into_bytes();
            scores.extend(members.iter().map(|(_, score)| text(score)));
            let words = members.iter().zip(&scores).flat_map(|((member, _), score)| [&score[..], member]);
            [&b"ZADD"[..], key].into_iter().chain(words).collect()
        }
    };
    let len = value.shape().map_or(0, |(_, len)| len);
    assert_eq!(redis.ask(&words), Frame::Int(len as i64), "{}", key.escape_ascii());
}

#[test]
fn redis_loads_our_files_and_holds_the_same() {
    let filled = tempfile::tempdir().expect("a directory");
    let mut judge = Redis::start(filled.path());
    fill(&mut judge, &data());
    let expected = judge.ask(&["DEBUG", "DIGEST"]);
    assert!(
        matches!(&expected, Frame::Simple(digest) if digest.len() == 40 && digest != &"0".repeat(40)),
        "{expected:?}"
    );
    for compress in [false, true] {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("dump.rdb"), encoded(&data(), compress)).expect("written");
        let mut redis = Redis::start(dir.path());
        assert_eq!(redis.ask(&["DEBUG", "DIGEST"]), expected, "compress: {compress}");
        // The digest leaves deadlines out.
        for ((database, key), (expire, _)) in data() {
            redis.ok(&["SELECT", &database.to_string()]);
            let at = expire.map_or(-1, |Millis(at)| at);
            assert_eq!(redis.ask(&[&b"PEXPIRETIME"[..], &key]), Frame::Int(at), "{}", key.escape_ascii());
        }
    }
}

#[test]
fn we_read_the_files_of_redis() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut redis = Redis::start(dir.path());
    fill(&mut redis, &data());
    for (policy, compression) in [("noeviction", "yes"), ("allkeys-lfu", "no"), ("allkeys-lru", "yes")] {
        redis.ok(&["CONFIG", "SET", "maxmemory-policy", policy, "rdbcompression", compression]);
        redis.ok(&["SAVE"]);
        let (found, facts) = decoded(&std::fs::read(dir.path().join("dump.rdb")).expect("the file"));
        assert_eq!(sorted(found), sorted(data()), "{policy} {compression}");
        assert!(
            facts["redis-ver"].starts_with(|c: char| c.is_ascii_digit()) && facts["redis-bits"] == "64",
            "{facts:?}"
        );
    }
    // A library of functions is read over its source.
    redis.ok(&["FLUSHALL"]);
    let source = "#!lua name=lib\nredis.register_function('f', function() return 1 end)";
    assert_eq!(redis.ask(&["FUNCTION", "LOAD", source]), Frame::Bulk(b"lib".to_vec()));
    redis.ok(&["SAVE"]);
    let (mut decoder, mut function) = (Decoder::new(), false);
    decoder.push(&std::fs::read(dir.path().join("dump.rdb")).expect("the file"));
    while let Some(event) = decoder.next().expect("a valid file") {
        function |= event == Event::Function(source.into());
    }
    assert!(function);
}

/// Streams of Redis: of many nodes, with gaps, with groups and what is pending in them, and empty ones.
fn fill_streams(redis: &mut Redis) {
    for i in 0..3000 {
        let (id, value) = (format!("{}-{}", 5 + i / 7, i), format!("value {i}"));
        redis.ask(&["XADD", "large", &id, "field", &value, "number", &i.to_string()]);
        if i % 9 == 0 {
            redis.ask(&["XDEL", "large", &id]);
        }
    }
    for (key, group) in [("large", "g"), ("large", "another group"), ("small", "g"), ("empty", "g")] {
        redis.ok(&["XGROUP", "CREATE", key, group, "0", "MKSTREAM"]);
    }
    redis.ask(&["XADD", "small", "1-1", "a", "b"]);
    for consumer in ["one", "two", "three"] {
        redis.ask(&["XREADGROUP", "GROUP", "g", consumer, "COUNT", "300", "STREAMS", "large", "small", ">", ">"]);
        redis.ask(&["XREADGROUP", "GROUP", "g", consumer, "COUNT", "30", "STREAMS", "large", "0"]);
    }
    redis.ask(&["XGROUP", "CREATECONSUMER", "large", "another group", "nobody"]);
    redis.ask(&["XACK", "large", "g", "6-8", "40-250"]);
    redis.ask(&["XADD", "gone", "7-7", "a", "b"]);
    redis.ask(&["XDEL", "gone", "7-7"]);
}

#[test]
fn streams_go_both_ways() {
    let (from, to) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let mut redis = Redis::start(from.path());
    fill_streams(&mut redis);
    redis.ok(&["SAVE"]);
    let (data, _) = decoded(&std::fs::read(from.path().join("dump.rdb")).expect("the file"));
    std::fs::write(to.path().join("dump.rdb"), encoded(&data, true)).expect("written");
    let mut other = Redis::start(to.path());
    let mut both = |words: &[&str]| (redis.ask(words), other.ask(words));
    let (one, two) = both(&["DEBUG", "DIGEST"]);
    assert_eq!(one, two);
    for key in ["large", "small", "empty", "gone"] {
        let (one, two) = both(&["XINFO", "STREAM", key, "FULL", "COUNT", "0"]);
        assert!(one.items().is_some_and(|items| items.len() == 18), "{one:?}");
        assert_eq!(one, two);
        let Frame::Bulk(payload) = both(&["DUMP", key]).0 else { panic!("no payload") };
        let Ok(Value::Stream(parts)) = restore(&payload, Checksum::Check) else { panic!("no stream") };
        assert_eq!(data[&(0, key.as_bytes().to_vec())].1, Value::Stream(parts));
    }
}

#[test]
fn payloads_of_dump_go_both_ways() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut redis = Redis::start(dir.path());
    for (_, (_, value)) in data() {
        redis.ask(&["DEL", "k"]);
        put(&mut redis, b"k", &value);
        let Frame::Bulk(payload) = redis.ask(&["DUMP", "k"]) else { panic!("no payload") };
        assert_eq!(restore(&payload, Checksum::Check).map(in_order), Ok(in_order(value.clone())));
        let ours = match (&value, value.shape()) {
            (Value::String(bytes), _) => dump_string(bytes),
            (_, Some((shape, len))) => dump(shape, len as u64, |to| to.all(&value)),
            (_, None) => unreachable!("only strings have no shape"),
        };
        redis.ok(&[&b"RESTORE"[..], b"k2", b"0", &ours, b"REPLACE"]);
        let digests = redis.ask(&["DEBUG", "DIGEST-VALUE", "k", "k2"]);
        let digests = digests.items().expect("two");
        assert_eq!(digests[0], digests[1], "{value:?}");
    }
}
