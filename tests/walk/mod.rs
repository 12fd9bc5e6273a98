//! Random commands over all types, whose replies are the same on every server up to order.

mod more;

use regent::resp::Frame;

/// The luck of a walk: the same seed takes the same way.
pub struct Dice {
    state: u64,
    /// The time in the newest id of a stream.
    stream_ms: usize,
}

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5bd1_e995, stream_ms: 1 }
    }

    pub fn roll(&mut self, sides: usize) -> usize {
        self.state = self.state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (self.state >> 33) as usize % sides
    }

    pub fn pick<'t>(&mut self, from: &[&'t str]) -> &'t str {
        from[self.roll(from.len())]
    }

    /// An element: short ones meet again, numbers are among them, and now and then a long one.
    fn element(&mut self) -> String {
        match self.roll(40) {
            0 => "l".repeat(60 + self.roll(20)),
            1 => format!("{}{}", "long".repeat(self.roll(900)), self.roll(10)),
            2 => String::new(),
            3..20 => (self.roll(300) as i64 - 40).to_string(),
            _ => format!("element:{}", self.roll(400)),
        }
    }

    /// A score that every version prints alike.
    fn score(&mut self) -> String {
        match self.roll(30) {
            0 => "inf".to_string(),
            1 => "-inf".to_string(),
            2..8 => format!("{}.5", self.roll(20)),
            _ => (self.roll(40) as i64 - 10).to_string(),
        }
    }

    fn place(&mut self) -> String {
        (self.roll(60) as i64 - 20).to_string()
    }

    /// The time of an id that is mostly newer than all before.
    fn stream_id(&mut self) -> String {
        self.stream_ms += self.roll(3);
        self.stream_ms.to_string()
    }

    /// An id that may be there.
    fn old_stream_id(&mut self) -> String {
        let back = self.roll(300);
        format!("{}-{}", self.stream_ms.saturating_sub(back), 1 + self.roll(3))
    }
}

/// Some of these, at least one.
fn many(dice: &mut Dice, mut one: impl FnMut(&mut Dice) -> Vec<String>) -> Vec<String> {
    let count = if dice.roll(15) == 0 { 1 + dice.roll(200) } else { 1 + dice.roll(4) };
    (0..count).flat_map(|_| one(dice)).collect()
}

/// A command whose reply is the same everywhere, up to order.
pub fn random_command(dice: &mut Dice) -> Vec<String> {
    match dice.roll(100) {
        0..8 => more::bits(dice),
        8..12 => more::places(dice),
        12..32 => more::streams(dice),
        32..36 => more::scripts(dice),
        _ => of_collections(dice),
    }
}

/// Strings, hashes, lists, sets, sorted sets, and keys of any type.
fn of_collections(dice: &mut Dice) -> Vec<String> {
    let names = ["h1", "h2", "l1", "l2", "s1", "s2", "z1", "z2", "x1", "x2", "b1", "p1", "g1", "t"];
    // Mostly on a key of its type.
    let of = |dice: &mut Dice, letter: &str| match dice.roll(25) {
        0 => dice.pick(&names).to_string(),
        _ => format!("{letter}{}", 1 + dice.roll(2)),
    };
    let (h, l, s, z) = (of(dice, "h"), of(dice, "l"), of(dice, "s"), of(dice, "z"));
    let (l2, s2, z2, any) = (of(dice, "l"), of(dice, "s"), of(dice, "z"), dice.pick(&names).to_string());
    let mut words: Vec<String> = Vec::new();
    let mut say = |parts: &[&str]| words.extend(parts.iter().map(ToString::to_string));
    let (element, place, other_place, score) = (dice.element(), dice.place(), dice.place(), dice.score());
    let end = dice.pick(&["LEFT", "RIGHT"]);
    let other_end = dice.pick(&["LEFT", "RIGHT"]);
    match dice.roll(72) {
        0..6 => {
            say(&["HSET", &h]);
            words.extend(many(dice, |dice| vec![dice.element(), dice.element()]));
        }
        6 => say(&["HSETNX", &h, &element, &score]),
        7 => say(&["HGET", &h, &element]),
        8 => say(&["HGETALL", &h]),
        9 => say(&[dice.pick(&["HKEYS", "HVALS", "HLEN"]), &h]),
        10 | 11 => {
            say(&["HDEL", &h]);
            words.extend(many(dice, |dice| vec![dice.element()]));
        }
        12 => say(&["HINCRBY", &h, &element, &place]),
        13 => say(&["HINCRBYFLOAT", &h, &element, "1.5"]),
        14 => say(&["HSTRLEN", &h, &element]),
        15 => say(&["HMGET", &h, &element, "element:7"]),
        16..22 => {
            say(&[dice.pick(&["LPUSH", "RPUSH", "RPUSH", "LPUSHX"]), &l]);
            words.extend(many(dice, |dice| vec![dice.element()]));
        }
        22 => say(&[dice.pick(&["LPOP", "RPOP"]), &l]),
        23 => say(&[dice.pick(&["LPOP", "RPOP"]), &l, &dice.roll(20).to_string()]),
        24 => say(&["LINSERT", &l, dice.pick(&["BEFORE", "AFTER"]), &element, "new"]),
        25 => say(&["LSET", &l, &place, &element]),
        26 => say(&["LREM", &l, dice.pick(&["0", "1", "-2"]), &element]),
        27 => say(&["LTRIM", &l, dice.pick(&["0", "3", "1"]), dice.pick(&["-1", "-4", "150"])]),
        28 => say(&["LRANGE", &l, &place, &other_place]),
        29 => say(&["LRANGE", &l, "0", "-1"]),
        30 => say(&["LINDEX", &l, &place]),
        31 => say(&["LPOS", &l, &element, "RANK", dice.pick(&["1", "-1", "2"]), "COUNT", "0"]),
        32 => say(&["LMOVE", &l, &l2, end, other_end]),
        33 => say(&["LMPOP", "2", &l, &l2, end, "COUNT", "3"]),
        34 => say(&["LLEN", &l]),
        35..40 => {
            say(&["SADD", &s]);
            words.extend(many(dice, |dice| vec![dice.element()]));
        }
        40 | 41 => {
            say(&["SREM", &s]);
            words.extend(many(dice, |dice| vec![dice.element()]));
        }
        42 => say(&["SMEMBERS", &s]),
        43 => say(&["SISMEMBER", &s, &element]),
        44 => say(&["SMOVE", &s, &s2, &element]),
        45 => say(&[dice.pick(&["SINTER", "SUNION", "SDIFF"]), &s, &s2]),
        46 => say(&[dice.pick(&["SINTERSTORE", "SUNIONSTORE", "SDIFFSTORE"]), &any, &s, &s2]),
        47 => say(&["SINTERCARD", "2", &s, &s2]),
        48 => say(&["SCARD", &s]),
        49..55 => {
            say(&["ZADD", &z]);
            if dice.roll(4) == 0 {
                say(&[dice.pick(&["NX", "XX", "GT", "LT", "CH"])]);
            }
            words.extend(many(dice, |dice| vec![dice.score(), dice.element()]));
        }
        55 | 56 => {
            say(&["ZREM", &z]);
            words.extend(many(dice, |dice| vec![dice.element()]));
        }
        57 => say(&["ZINCRBY", &z, dice.pick(&["1", "-2.5", "100"]), &element]),
        58 => say(&[dice.pick(&["ZRANGE", "ZREVRANGE"]), &z, &place, &other_place, "WITHSCORES"]),
        59 => say(&["ZRANGE", &z, &score, "+inf", "BYSCORE", "LIMIT", dice.pick(&["0", "2"]), "5"]),
        60 => say(&["ZREVRANGEBYSCORE", &z, "+inf", &format!("({score}")]),
        61 => say(&[dice.pick(&["ZRANK", "ZREVRANK", "ZSCORE"]), &z, &element]),
        62 => say(&["ZCOUNT", &z, &score, "(20"]),
        63 => say(&[dice.pick(&["ZPOPMIN", "ZPOPMAX"]), &z, &dice.roll(6).to_string()]),
        64 => say(&["ZREMRANGEBYRANK", &z, &place, &other_place]),
        65 => say(&["ZREMRANGEBYSCORE", &z, &score, "8"]),
        66 => say(&[dice.pick(&["ZUNIONSTORE", "ZINTERSTORE", "ZDIFFSTORE"]), &any, "2", &z, &z2]),
        67 => say(&["ZRANGESTORE", &z, &z2, "0", &place]),
        68 => say(&[dice.pick(&["DEL", "UNLINK", "EXISTS", "TYPE"]), &any]),
        69 => say(&["RENAME", dice.pick(&names), &any]),
        70 => say(&["COPY", dice.pick(&names), &any, "REPLACE"]),
        _ => say(&[dice.pick(&["APPEND", "SET", "GETSET"]), "t", &element]),
    }
    words
}

/// A reply without the order that says nothing, and without what versions make differently.
pub fn in_order(words: &[String], mut frame: Frame) -> Frame {
    // A consumer that found nothing to read is made by 7.2, and not by 7.0.
    if words[0] == "XGROUP" && words[1] == "CREATECONSUMER" && matches!(frame, Frame::Int(_)) {
        return Frame::Null;
    }
    if let Frame::Array(items) = &mut frame {
        match words[0].as_str() {
            "HGETALL" => {
                let mut pairs: Vec<Vec<Frame>> = items.chunks(2).map(<[Frame]>::to_vec).collect();
                pairs.sort_by_key(|pair| pair[0].text().map(<[u8]>::to_vec));
                *items = pairs.concat();
            }
            "HKEYS" | "HVALS" | "SMEMBERS" | "SINTER" | "SUNION" | "SDIFF" => {
                items.sort_by_key(|item| item.text().map(<[u8]>::to_vec));
            }
            "XINFO" => {
                for group in items.iter_mut() {
                    let Frame::Array(fields) = group else { continue };
                    let place = fields.iter().position(|field| field.text() == Some(b"consumers"));
                    if let Some(place) = place {
                        fields.drain(place..place + 2);
                    }
                }
            }
            _ => {}
        }
    }
    frame
}
