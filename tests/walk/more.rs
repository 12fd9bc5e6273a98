//! Commands on bitmaps, HyperLogLogs, places and streams, and scripts over several types.

use super::{Dice, many};

fn words(parts: &[&str]) -> Vec<String> {
    parts.iter().map(ToString::to_string).collect()
}

/// Bitmaps and HyperLogLogs: strings seen otherwise. The values stay small.
pub fn bits(dice: &mut Dice) -> Vec<String> {
    let (b, b2) = (dice.pick(&["b1", "b2"]), dice.pick(&["b1", "b2", "t"]));
    let (p, p2) = (dice.pick(&["p1", "p2"]), dice.pick(&["p1", "p2"]));
    let (at, number) = (&dice.roll(4000).to_string(), &dice.place());
    let bit = dice.pick(&["0", "1"]);
    match dice.roll(16) {
        0..3 => words(&["SETBIT", b, at, bit]),
        3 => words(&["GETBIT", b, at]),
        4 => words(&["BITCOUNT", b]),
        5 => words(&["BITCOUNT", b, number, &dice.place(), dice.pick(&["BYTE", "BIT"])]),
        6 => words(&["BITPOS", b, bit, number, &dice.place(), dice.pick(&["BYTE", "BIT"])]),
        7 => words(&["BITPOS", b, bit]),
        8 => words(&["BITOP", dice.pick(&["AND", "OR", "XOR"]), dice.pick(&["b1", "b2", "b3"]), b, b2]),
        9 => words(&["BITOP", "NOT", "b3", b]),
        10 => {
            let overflow = dice.pick(&["WRAP", "SAT", "FAIL"]);
            let kind = dice.pick(&["u8", "i5", "u63", "i64"]);
            words(&[
                "BITFIELD", b, "OVERFLOW", overflow, "INCRBY", kind, at, number, "GET", "u4", "#3", "SET", "i8", "2",
                "77",
            ])
        }
        11 => words(&["BITFIELD_RO", b, "GET", "u8", at, "GET", "i16", "#2"]),
        12 | 13 => {
            let mut request = words(&["PFADD", p]);
            request.extend(many(dice, |dice| vec![dice.element()]));
            request
        }
        14 => words(&["PFCOUNT", p, p2]),
        _ => words(&["PFMERGE", dice.pick(&["p1", "p2", "p3"]), p, p2]),
    }
}

/// Places on the earth; their replies are told to so many digits on every server.
pub fn places(dice: &mut Dice) -> Vec<String> {
    let g = dice.pick(&["g1", "g2"]);
    let place = |dice: &mut Dice| {
        let [along, up] =
            [(360, 180), (170, 85)].map(|(span, half)| dice.roll(span * 100) as f64 / 100.0 - f64::from(half));
        vec![format!("{along:.2}"), format!("{up:.2}")]
    };
    let members = ["rome", "paris", "oslo", "lima", "cairo", "tokyo", "quito"];
    let (one, other) = (dice.pick(&members), dice.pick(&members));
    match dice.roll(8) {
        0..3 => {
            let mut request = words(&["GEOADD", g]);
            request.extend(many(dice, |dice| [place(dice), vec![dice.pick(&members).to_string()]].concat()));
            request
        }
        3 => words(&["GEODIST", g, one, other, dice.pick(&["m", "km", "mi", "ft"])]),
        4 => words(&["GEOHASH", g, one, other]),
        5 => words(&["GEOPOS", g, one, other]),
        6 => {
            let radius = &(1 + dice.roll(9000)).to_string();
            let order = dice.pick(&["ASC", "DESC"]);
            words(&["GEOSEARCH", g, "FROMLONLAT", "10", "40", "BYRADIUS", radius, "km", order, "WITHDIST", "WITHHASH"])
        }
        _ => {
            let [width, height] = [(); 2].map(|()| (1 + dice.roll(9000)).to_string());
            let from = ["GEOSEARCHSTORE", dice.pick(&["g1", "g2", "g3"]), g, "FROMLONLAT", "0", "0"];
            words(&[&from[..], &["BYBOX", &width, &height, "km", "ASC", "COUNT", "4"]].concat())
        }
    }
}

/// Streams with groups. Ids are given, so that they are the same everywhere.
pub fn streams(dice: &mut Dice) -> Vec<String> {
    let x = dice.pick(&["x1", "x2"]);
    let (group, consumer) = (dice.pick(&["g", "h"]), dice.pick(&["ann", "bob"]));
    let id = &dice.stream_id();
    let (old, older) = (&dice.old_stream_id(), &dice.old_stream_id());
    match dice.roll(28) {
        0..8 => {
            let mut request = words(&["XADD", x]);
            match dice.roll(12) {
                0 => request.extend(words(&["MAXLEN", &dice.roll(150).to_string()])),
                1 => request.extend(words(&["MINID", old])),
                2 => request.push("NOMKSTREAM".to_string()),
                _ => {}
            }
            request.push(if dice.roll(8) == 0 { format!("{id}-*") } else { format!("{id}-{}", 1 + dice.roll(3)) });
            request.extend(words(&["field", &dice.element()]));
            request.extend(many(dice, |dice| vec![dice.element(), dice.place()]));
            request
        }
        8 => words(&["XLEN", x]),
        9 => words(&["XRANGE", x, "-", "+", "COUNT", "20"]),
        10 => words(&["XREVRANGE", x, &format!("({old}"), older]),
        11 => words(&["XRANGE", x, old, "+"]),
        12 => words(&["XDEL", x, old, older, &dice.old_stream_id()]),
        13 => words(&["XTRIM", x, "MAXLEN", &(20 + dice.roll(200)).to_string()]),
        14 => words(&["XREAD", "COUNT", "3", "STREAMS", "x1", "x2", old, older]),
        15 => words(&["XGROUP", "CREATE", x, group, dice.pick(&["0", "$"]), "MKSTREAM"]),
        16 => words(&["XGROUP", "SETID", x, group, old]),
        17 => words(&["XGROUP", "CREATECONSUMER", x, group, consumer]),
        18 if dice.roll(3) == 0 => words(&["XGROUP", "DELCONSUMER", x, group, consumer]),
        18 if dice.roll(4) == 0 => words(&["XGROUP", "DESTROY", x, group]),
        18..22 => {
            let mut request =
                words(&["XREADGROUP", "GROUP", group, consumer, "COUNT", &(1 + dice.roll(9)).to_string()]);
            if dice.roll(8) == 0 {
                request.push("NOACK".to_string());
            }
            request.extend(words(&["STREAMS", x, if dice.roll(6) == 0 { "0" } else { ">" }]));
            request
        }
        22 | 23 => words(&["XACK", x, group, old, older]),
        24 => words(&["XPENDING", x, group]),
        25 => words(&["XCLAIM", x, group, consumer, "0", old, older, "JUSTID"]),
        26 => words(&["XAUTOCLAIM", x, group, consumer, "0", "0", "COUNT", "5"]),
        _ => words(&["XINFO", "GROUPS", x]),
    }
}

/// A script whose effects are several, and one that ends in the middle.
pub fn scripts(dice: &mut Dice) -> Vec<String> {
    let script = dice.pick(&[
        "redis.call('RPUSH', KEYS[1], ARGV[1]); redis.call('SADD', KEYS[2], ARGV[1]); return redis.call('LLEN', KEYS[1])",
        "local all = redis.call('LRANGE', KEYS[1], 0, 5); for _, one in ipairs(all) do redis.call('SADD', KEYS[2], one) end return all",
        "redis.call('SET', 't', ARGV[1]); return redis.call('LPUSH', 't', 'x')",
        "return {redis.pcall('SADD', KEYS[2], ARGV[1]), redis.call('SCARD', KEYS[2]), false, 3.9, {ok = 'FINE'}}",
    ]);
    words(&["EVAL", script, "2", dice.pick(&["l1", "l2"]), dice.pick(&["s1", "s2"]), &dice.element()])
}
