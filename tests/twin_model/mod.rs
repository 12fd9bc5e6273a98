//! What the commands on strings and keys mean, in the plainest form: one map, and nothing that is due is in it.

use regent::resp::Frame;
use std::collections::BTreeMap;

/// A key: database and name. Values: bytes, and the deadline in Unix milliseconds.
pub type Key = (u32, String);
pub type Held = (Vec<u8>, Option<i64>);

/// The keyspace as clients see it.
#[derive(Default)]
pub struct Model {
    pub map: BTreeMap<Key, Held>,
    /// How often a key has changed, for WATCH.
    changes: BTreeMap<Key, u64>,
}

/// A client's state.
#[derive(Default)]
pub struct Session {
    pub db: u32,
    queue: Option<Vec<Vec<String>>>,
    watched: Vec<(Key, u64)>,
}

fn ok() -> Frame {
    Frame::Simple("OK".to_string())
}

fn int(number: impl TryInto<i64>) -> Frame {
    Frame::Int(number.try_into().ok().expect("a small number"))
}

fn bulk(held: Option<&Held>) -> Frame {
    held.map_or(Frame::Null, |(value, _)| Frame::Bulk(value.clone()))
}

fn error(text: &str) -> Frame {
    Frame::Error(format!("ERR {text}"))
}

fn number(text: &str) -> i64 {
    text.parse().expect("the walk makes numbers")
}

impl Model {
    /// What a client is answered at `now`.
    pub fn answer(&mut self, session: &mut Session, words: &[String], now: i64) -> Frame {
        self.expire(now);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match (words[0], session.queue.take()) {
            ("MULTI", None) => {
                session.queue = Some(Vec::new());
                ok()
            }
            ("DISCARD", Some(_)) => {
                session.watched.clear();
                ok()
            }
            ("EXEC", Some(queue)) => {
                let watched = std::mem::take(&mut session.watched);
                if watched.iter().any(|(key, seen)| self.seen(key) != *seen) {
                    return Frame::Null;
                }
                let run = |words: Vec<String>| {
                    let words: Vec<&str> = words.iter().map(String::as_str).collect();
                    self.run(session, &words, now)
                };
                Frame::Array(queue.into_iter().map(run).collect())
            }
            (_, Some(mut queue)) => {
                queue.push(words.iter().map(ToString::to_string).collect());
                session.queue = Some(queue);
                Frame::Simple("QUEUED".to_string())
            }
            (_, None) => self.run(session, &words, now),
        }
    }

    /// Nothing that is due stays.
    pub fn expire(&mut self, now: i64) {
        let due = |held: &Held| held.1.is_some_and(|deadline| now > deadline);
        let gone: Vec<Key> = self.map.iter().filter(|(_, held)| due(held)).map(|(key, _)| key.clone()).collect();
        for key in gone {
            self.take(&key);
        }
    }

    fn seen(&self, key: &Key) -> u64 {
        self.changes.get(key).copied().unwrap_or(0)
    }

    fn put(&mut self, key: &Key, value: Vec<u8>, deadline: Option<i64>) {
        *self.changes.entry(key.clone()).or_default() += 1;
        self.map.insert(key.clone(), (value, deadline));
    }

    fn take(&mut self, key: &Key) -> Option<Held> {
        let held = self.map.remove(key)?;
        *self.changes.entry(key.clone()).or_default() += 1;
        Some(held)
    }

    /// Sets a deadline; one that has passed removes the key.
    fn until(&mut self, key: &Key, deadline: i64, now: i64) {
        let (value, _) = self.take(key).expect("looked up");
        if deadline > now {
            self.put(key, value, Some(deadline));
        }
    }

    fn run(&mut self, session: &mut Session, words: &[&str], now: i64) -> Frame {
        self.expire(now);
        let db = session.db;
        let key = |name: &str| (db, name.to_string());
        let first = key(words.get(1).copied().unwrap_or_default());
        let held = self.map.get(&first).cloned();
        match words {
            ["SELECT", number] => {
                session.db = number.parse().expect("a database");
                ok()
            }
            ["WATCH", names @ ..] => {
                for name in names {
                    let key = key(name);
                    let seen = self.seen(&key);
                    session.watched.push((key, seen));
                }
                ok()
            }
            ["UNWATCH"] => {
                session.watched.clear();
                ok()
            }
            ["SET", _, value, options @ ..] => self.set(&first, value, options, now),
            ["GET", _] => bulk(held.as_ref()),
            ["SETNX", _, value] => {
                if held.is_none() {
                    self.put(&first, value.as_bytes().to_vec(), None);
                }
                int(held.is_none())
            }
            ["GETSET", _, value] => {
                self.put(&first, value.as_bytes().to_vec(), None);
                bulk(held.as_ref())
            }
            ["GETDEL", _] => {
                self.take(&first);
                bulk(held.as_ref())
            }
            ["GETEX", _, option, rest @ ..] => {
                if let Some((value, deadline)) = &held {
                    match (*option, rest) {
                        ("PX", [ms]) => self.until(&first, now + number(ms), now),
                        ("PXAT", [ms]) => self.until(&first, number(ms), now),
                        _ if deadline.is_some() => self.put(&first, value.clone(), None),
                        _ => {}
                    }
                }
                bulk(held.as_ref())
            }
            ["MSET", pairs @ ..] => {
                for pair in pairs.chunks(2) {
                    self.put(&key(pair[0]), pair[1].as_bytes().to_vec(), None);
                }
                ok()
            }
            ["MSETNX", pairs @ ..] => {
                let free = pairs.chunks(2).all(|pair| !self.map.contains_key(&key(pair[0])));
                for pair in pairs.chunks(2).filter(|_| free) {
                    self.put(&key(pair[0]), pair[1].as_bytes().to_vec(), None);
                }
                int(free)
            }
            ["MGET", names @ ..] => Frame::Array(names.iter().map(|name| bulk(self.map.get(&key(name)))).collect()),
            ["APPEND", _, more] => {
                let (mut value, deadline) = held.unwrap_or_default();
                value.extend_from_slice(more.as_bytes());
                let len = value.len();
                self.put(&first, value, deadline);
                int(len)
            }
            ["STRLEN", _] => int(held.map_or(0, |(value, _)| value.len())),
            ["SETRANGE", _, offset, more] => {
                let (mut value, deadline) = held.unwrap_or_default();
                if !more.is_empty() {
                    let offset = number(offset) as usize;
                    value.resize(value.len().max(offset + more.len()), 0);
                    value[offset..offset + more.len()].copy_from_slice(more.as_bytes());
                    self.put(&first, value.clone(), deadline);
                }
                int(value.len())
            }
            ["INCRBY", _, step] => {
                let (value, deadline) = held.unwrap_or((b"0".to_vec(), None));
                let text = String::from_utf8_lossy(&value).into_owned();
                match text.parse::<i64>().ok().filter(|number| number.to_string() == text) {
                    None => error("value is not an integer or out of range"),
                    Some(before) => match before.checked_add(number(step)) {
                        None => error("increment or decrement would overflow"),
                        Some(sum) => {
                            self.put(&first, sum.to_string().into_bytes(), deadline);
                            int(sum)
                        }
                    },
                }
            }
            ["DEL" | "UNLINK", names @ ..] => int(names.iter().filter_map(|name| self.take(&key(name))).count()),
            ["EXISTS", names @ ..] => int(names.iter().filter(|name| self.map.contains_key(&key(name))).count()),
            ["RENAME", _, to] if held.is_some() => {
                if words[1] != *to {
                    let (value, deadline) = self.take(&first).expect("held");
                    self.put(&key(to), value, deadline);
                }
                ok()
            }
            ["RENAMENX", _, to] if held.is_some() => {
                let free = !self.map.contains_key(&key(to));
                if free {
                    let (value, deadline) = self.take(&first).expect("held");
                    self.put(&key(to), value, deadline);
                }
                int(free)
            }
            ["RENAME" | "RENAMENX", ..] => error("no such key"),
            ["PEXPIRE", _, ms, options @ ..] => {
                let deadline = now + number(ms);
                let Some((_, before)) = held else { return int(0) };
                let stands = match options {
                    [] => true,
                    ["NX"] => before.is_none(),
                    ["XX"] => before.is_some(),
                    ["GT"] => before.is_some_and(|before| deadline > before),
                    _ => before.is_none_or(|before| deadline < before),
                };
                if stands {
                    self.until(&first, deadline, now);
                }
                int(stands)
            }
            ["PERSIST", _] => match held {
                Some((value, Some(_))) => {
                    self.put(&first, value, None);
                    int(1)
                }
                _ => int(0),
            },
            ["PTTL", _] => int(held.map_or(-2, |(_, deadline)| deadline.map_or(-1, |deadline| deadline - now))),
            ["MOVE", name, to] => {
                let to = (to.parse().expect("a database"), name.to_string());
                if to == first {
                    return error("source and destination objects are the same");
                }
                let free = held.is_some() && !self.map.contains_key(&to);
                if free {
                    let (value, deadline) = self.take(&first).expect("held");
                    self.put(&to, value, deadline);
                }
                int(free)
            }
            ["COPY", name, to, "REPLACE"] => match held {
                _ if name == to => error("source and destination objects are the same"),
                None => int(0),
                Some((value, deadline)) => {
                    self.put(&key(to), value, deadline);
                    int(1)
                }
            },
            ["FLUSHDB"] => {
                let keys: Vec<Key> = self.map.keys().filter(|(in_db, _)| *in_db == db).cloned().collect();
                for key in keys {
                    self.take(&key);
                }
                ok()
            }
            ["SWAPDB", a, b] => {
                self.swap(a.parse().expect("a database"), b.parse().expect("a database"));
                ok()
            }
            ["KEYS", "*"] => {
                let names = self.map.keys().filter(|(in_db, _)| *in_db == db);
                Frame::Array(names.map(|(_, name)| Frame::Bulk(name.clone().into_bytes())).collect())
            }
            other => panic!("the model does not know {other:?}"),
        }
    }

    fn set(&mut self, key: &Key, value: &str, options: &[&str], now: i64) -> Frame {
        let held = self.map.get(key).cloned();
        let (mut stands, mut get, mut deadline, mut is_past) = (true, false, None, false);
        let mut rest = options;
        while let [option, tail @ ..] = rest {
            rest = tail;
            match *option {
                "NX" => stands = held.is_none(),
                "XX" => stands = held.is_some(),
                "GET" => get = true,
                "KEEPTTL" => deadline = held.as_ref().and_then(|(_, deadline)| *deadline),
                "PX" => deadline = Some(now + number(tail[0])),
                _ => deadline = Some(number(tail[0])),
            }
            if matches!(*option, "PX" | "PXAT") {
                rest = &tail[1..];
                is_past = deadline.is_some_and(|deadline| deadline <= now);
            }
        }
        if stands && is_past {
            self.take(key);
        } else if stands {
            self.put(key, value.as_bytes().to_vec(), deadline);
        }
        match (get, stands) {
            (true, _) => bulk(held.as_ref()),
            (false, true) => ok(),
            (false, false) => Frame::Null,
        }
    }

    fn swap(&mut self, a: u32, b: u32) {
        if a == b {
            return;
        }
        let map = std::mem::take(&mut self.map);
        for ((db, name), held) in map {
            for key in [(a, name.clone()), (b, name.clone())] {
                if db == a || db == b {
                    *self.changes.entry(key).or_default() += 1;
                }
            }
            let to = if db == a {
                b
            } else if db == b {
                a
            } else {
                db
            };
            self.map.insert((to, name), held);
        }
    }
}
