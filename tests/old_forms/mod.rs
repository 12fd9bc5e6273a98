//! Values in every form that a version of Redis has written them in, built from the description of the format:
//! <https://rdb.fnordig.de/file_format.html> and the layouts of ziplist, zipmap, intset and listpack.
#![allow(dead_code, reason = "each test uses its share")]

/// A value: the number of its type in the format, and its bytes.
pub struct Form {
    pub name: &'static str,
    pub kind: u8,
    pub body: Vec<u8>,
    /// The oldest version of the format that has it; above 10 Redis 7.0 does not read it.
    pub since: u32,
    /// What the value is, as commands that make the same one.
    pub same: Vec<Vec<String>>,
}

/// A length.
pub fn length(number: usize) -> Vec<u8> {
    match number {
        0..0x40 => vec![number as u8],
        0x40..0x4000 => (number as u16 | 0x4000).to_be_bytes().to_vec(),
        _ => [&[0x80][..], &(number as u32).to_be_bytes()].concat(),
    }
}

/// A string as it is.
pub fn string(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    [&length(bytes.as_ref().len()), bytes.as_ref()].concat()
}

/// A string compressed as one run of plain bytes and copies of `a`.
fn compressed(times: usize) -> Vec<u8> {
    // One plain byte, then a copy of up to 264 bytes from one byte back.
    let packed = [&[0, b'a', 7 << 5, (times - 1 - 9) as u8, 0][..]].concat();
    [&[0xc3][..], &length(packed.len()), &length(times), &packed].concat()
}

fn integer(text: &str) -> Option<i64> {
    text.parse::<i64>().ok().filter(|number| number.to_string() == text)
}

/// A ziplist; whole numbers stand in their shortest form.
pub fn ziplist(elements: &[&str]) -> Vec<u8> {
    let (mut body, mut before, mut last) = (Vec::new(), 0, 10);
    for element in elements {
        let mut entry = match before {
            0..254 => vec![before as u8],
            _ => [&[0xfe][..], &(before as u32).to_le_bytes()].concat(),
        };
        match integer(element) {
            Some(number @ 0..=12) => entry.push(0xf1 + number as u8),
            Some(number) if i8::try_from(number).is_ok() => entry.extend([0xfe, number as u8]),
            Some(number) if i16::try_from(number).is_ok() => {
                entry.extend([&[0xc0], &number.to_le_bytes()[..2]].concat())
            }
            Some(number) if (-(1 << 23)..1 << 23).contains(&number) => {
                entry.extend([&[0xf0], &number.to_le_bytes()[..3]].concat());
            }
            Some(number) if i32::try_from(number).is_ok() => {
                entry.extend([&[0xd0], &number.to_le_bytes()[..4]].concat())
            }
            Some(number) => entry.extend([&[0xe0], &number.to_le_bytes()[..]].concat()),
            None => {
                match element.len() {
                    len @ 0..0x40 => entry.push(len as u8),
                    len @ 0x40..0x4000 => entry.extend((len as u16 | 0x4000).to_be_bytes()),
                    len => entry.extend([&[0x80][..], &(len as u32).to_be_bytes()].concat()),
                }
                entry.extend(element.as_bytes());
            }
        }
        (before, last) = (entry.len(), 10 + body.len());
        body.extend(entry);
    }
    let bytes = (11 + body.len()) as u32;
    let head =
        [&bytes.to_le_bytes()[..], &(last as u32).to_le_bytes(), &(elements.len() as u16).to_le_bytes()].concat();
    [&head, &body[..], &[0xff]].concat()
}

/// A listpack; whole numbers stand in their shortest form.
pub fn listpack(elements: &[&str]) -> Vec<u8> {
    let mut body = Vec::new();
    for element in elements {
        let entry = match integer(element) {
            Some(number @ 0..128) => vec![number as u8],
            Some(number @ -4096..4096) => {
                let bits = (number & 0x1fff) as u16;
                vec![0xc0 | (bits >> 8) as u8, bits as u8]
            }
            Some(number) if i16::try_from(number).is_ok() => [&[0xf1], &number.to_le_bytes()[..2]].concat(),
            Some(number) if (-(1 << 23)..1 << 23).contains(&number) => [&[0xf2], &number.to_le_bytes()[..3]].concat(),
            Some(number) if i32::try_from(number).is_ok() => [&[0xf3], &number.to_le_bytes()[..4]].concat(),
            Some(number) => [&[0xf4], &number.to_le_bytes()[..]].concat(),
            None => {
                let head = match element.len() {
                    len @ 0..64 => vec![0x80 | len as u8],
                    len @ 64..4096 => vec![0xe0 | (len >> 8) as u8, len as u8],
                    len => [&[0xf0][..], &(len as u32).to_le_bytes()].concat(),
                };
                [&head, element.as_bytes()].concat()
            }
        };
        let len = entry.len();
        body.extend(entry);
        match len {
            0..128 => body.push(len as u8),
            _ => body.extend([(len >> 7) as u8, (len & 0x7f) as u8 | 0x80]),
        }
    }
    let head = [&((7 + body.len()) as u32).to_le_bytes()[..], &(elements.len() as u16).to_le_bytes()].concat();
    [&head, &body[..], &[0xff]].concat()
}

fn intset(width: usize, numbers: &[i64]) -> Vec<u8> {
    let mut out = [(width as u32).to_le_bytes(), (numbers.len() as u32).to_le_bytes()].concat();
    numbers.iter().for_each(|number| out.extend(&number.to_le_bytes()[..width]));
    out
}

fn zipmap(pairs: &[(&str, &str)]) -> Vec<u8> {
    let mut out = vec![pairs.len() as u8];
    let sized = |out: &mut Vec<u8>, len: usize| match len {
        0..254 => out.push(len as u8),
        _ => out.extend([&[0xfe][..], &(len as u32).to_le_bytes()].concat()),
    };
    for (field, value) in pairs {
        sized(&mut out, field.len());
        out.extend(field.as_bytes());
        sized(&mut out, value.len());
        out.push(2); // bytes that are free behind the value
        out.extend(value.as_bytes());
        out.extend(b"??");
    }
    out.push(0xff);
    out
}

/// A stream of two entries, `1-1 f v` and `2-1 f w`, with a group in which one entry is pending; `version` 1 to 3.
fn stream(version: u32) -> Vec<u8> {
    let id = |ms: u64, seq: u64| [ms.to_be_bytes(), seq.to_be_bytes()].concat();
    let numbers = |numbers: &[usize]| numbers.iter().flat_map(|&number| length(number)).collect::<Vec<u8>>();
    let node = listpack(&["2", "0", "1", "f", "0", "2", "0", "0", "v", "4", "2", "1", "0", "w", "4"]);
    let mut out = [length(1), string(id(1, 1)), string(node), numbers(&[2, 2, 1])].concat();
    if version >= 2 {
        out.extend(numbers(&[1, 1, 0, 0, 2])); // first id, largest deleted id, entries added
    }
    out.extend([length(1), string("g"), numbers(&[1, 1])].concat());
    if version >= 2 {
        out.extend(length(1)); // entries read
    }
    out.extend([length(1), id(1, 1), 5000_u64.to_le_bytes().to_vec(), length(1)].concat());
    out.extend([length(1), string("c"), 5000_u64.to_le_bytes().to_vec()].concat());
    if version >= 3 {
        out.extend(5000_u64.to_le_bytes());
    }
    out.extend([length(1), id(1, 1)].concat());
    out
}

/// All of them.
pub fn forms() -> Vec<Form> {
    let long = "x".repeat(300);
    let texts = [
        "a",
        "0",
        "12",
        "13",
        "-1",
        "127",
        "-128",
        "128",
        "32767",
        "-32768",
        "8388607",
        "-8388608",
        "2147483647",
        "9223372036854775807",
        &long,
        "z",
    ];
    let pairs = ["f", "1", "g", &long, "h", "-70000"];
    let scores = ["m", "1", "n", "2.5", "o", "-inf"];
    let small = |words: &[&str]| words.iter().map(|word| word.to_string()).collect::<Vec<_>>();
    let made = |command: &str, words: &[&str]| vec![small(&[&[command, "k"], words].concat())];
    let turned = ["1", "m", "2.5", "n", "-inf", "o"];
    let strings = |words: &[&str]| words.iter().flat_map(string).collect::<Vec<u8>>();
    let double = |text: &str| [&[text.len() as u8], text.as_bytes()].concat();
    let binary = |score: f64| score.to_le_bytes().to_vec();
    let streams = vec![
        small(&["XADD", "k", "1-1", "f", "v"]),
        small(&["XADD", "k", "2-1", "f", "w"]),
        small(&["XGROUP", "CREATE", "k", "g", "1-1", "ENTRIESREAD", "1"]),
        small(&[
            "XCLAIM",
            "k",
            "g",
            "c",
            "0",
            "1-1",
            "TIME",
            "5000",
            "RETRYCOUNT",
            "1",
            "FORCE",
            "JUSTID",
            "LASTID",
            "1-1",
        ]),
    ];
    let form = |name, kind, since, body, same| Form { name, kind, body, since, same };
    vec![
        form("string", 0, 1, string("text"), made("SET", &["text"])),
        form("string of 8 bits", 0, 1, vec![0xc0, 0x85], made("SET", &["-123"])),
        form("string of 16 bits", 0, 1, vec![0xc1, 0x39, 0x30], made("SET", &["12345"])),
        form("string of 32 bits", 0, 1, vec![0xc2, 0x15, 0xcd, 0x5b, 0x07], made("SET", &["123456789"])),
        form("string, compressed", 0, 1, compressed(200), made("SET", &[&"a".repeat(200)])),
        form("list", 1, 1, [length(16), strings(&texts)].concat(), made("RPUSH", &texts)),
        form("list, ziplist", 10, 1, string(ziplist(&texts)), made("RPUSH", &texts)),
        form(
            "list, quicklist",
            14,
            7,
            [length(3), string(ziplist(&texts[..9])), string(ziplist(&[])), string(ziplist(&texts[9..]))].concat(),
            made("RPUSH", &texts),
        ),
        form(
            "list, quicklist 2",
            18,
            10,
            [
                length(3),
                length(2),
                string(listpack(&texts[..14])),
                length(1),
                string(&long),
                length(2),
                string(listpack(&["z"])),
            ]
            .concat(),
            made("RPUSH", &texts),
        ),
        form("set", 2, 1, [length(16), strings(&texts)].concat(), made("SADD", &texts)),
        form("set, intset of 16 bits", 11, 1, string(intset(2, &[-5, 0, 300])), made("SADD", &["-5", "0", "300"])),
        form("set, intset of 32 bits", 11, 1, string(intset(4, &[-5, 70000])), made("SADD", &["-5", "70000"])),
        form(
            "set, intset of 64 bits",
            11,
            1,
            string(intset(8, &[i64::MIN, 1 << 40])),
            made("SADD", &[&i64::MIN.to_string(), &(1_i64 << 40).to_string()]),
        ),
        form("set, listpack", 20, 11, string(listpack(&texts)), made("SADD", &texts)),
        form(
            "sorted set, scores as text",
            3,
            1,
            [length(3), string("m"), double("1"), string("n"), double("2.5"), string("o"), vec![255]].concat(),
            made("ZADD", &turned),
        ),
        form(
            "sorted set, binary scores",
            5,
            8,
            [length(3), string("m"), binary(1.0), string("n"), binary(2.5), string("o"), binary(f64::NEG_INFINITY)]
                .concat(),
            made("ZADD", &turned),
        ),
        form(
            "sorted set, ziplist",
            12,
            1,
            string(ziplist(&["o", "-inf", "m", "1", "n", "2.5"])),
            made("ZADD", &turned),
        ),
        form(
            "sorted set, listpack",
            17,
            10,
            string(listpack(&["o", "-inf", "m", "1", "n", "2.5"])),
            made("ZADD", &turned),
        ),
        form("hash", 4, 1, [length(3), strings(&pairs)].concat(), made("HSET", &pairs)),
        form("hash, zipmap", 9, 1, string(zipmap(&[("f", "1"), ("g", &long), ("h", "-70000")])), made("HSET", &pairs)),
        form("hash, ziplist", 13, 1, string(ziplist(&pairs)), made("HSET", &pairs)),
        form("hash, listpack", 16, 10, string(listpack(&pairs)), made("HSET", &pairs)),
        form("hash, listpack of scores", 16, 10, string(listpack(&scores)), made("HSET", &scores)),
        form("stream, first form", 15, 9, stream(1), streams.clone()),
        form("stream, second form", 19, 10, stream(2), streams.clone()),
        form("stream, third form", 21, 11, stream(3), streams),
    ]
}

/// The payload of RESTORE for a form, under this version of the format.
pub fn payload(kind: u8, body: &[u8], version: u32) -> Vec<u8> {
    let mut out = [&[kind], body, &(version as u16).to_le_bytes()].concat();
    let mut crc = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc64Redis);
    crc.update(&out);
    out.extend(crc.finalize().to_le_bytes());
    out
}
