//! MIGRATE: keys that go over to another server.
//!
//! The handler takes the values as DUMP would and asks the runtime to send them; the client waits, and the others are
//! served meanwhile, other than in Redis. So a key is removed here only if it is still what was sent.

use crate::base::Millis;
use crate::command::spec::{Categories, Group, MOVABLE_KEYS, Spec, WRITE, key, key_last_word, spec};
use crate::command::{Args, Ask, Blocked, Class, Cx, Migration, Moved, Outcome, Refusal, transfer};
use crate::resp;

pub(in crate::command) const KEY_FLAGS: &[&str] = &["RW", "access", "delete"];

pub const ROWS: &[Spec] = &[spec("migrate", -6, WRITE.or(MOVABLE_KEYS), Group::Generic, migrate)
    .keys(&[key(3, KEY_FLAGS), key_last_word("KEYS", 2, &["RW", "access", "delete", "incomplete"])])
    .acl(Categories::KEYSPACE.or(Categories::DANGEROUS))
    .doc("2.6.0", "Atomically transfers a key from one Redis instance to another.")];

/// Which words are keys: the third one, or those behind KEYS, where that is an option and no password. None where both
/// are given, which is refused.
pub(in crate::command) fn key_range<'w>(words: usize, word: &dyn Fn(usize) -> &'w [u8]) -> std::ops::Range<usize> {
    let is_keys = |at: usize| word(at).eq_ignore_ascii_case(b"keys");
    if !(2..words - 1).any(is_keys) {
        return 3..4;
    }
    let mut at = 6;
    while at < words {
        match word(at).to_ascii_lowercase().as_slice() {
            b"keys" if word(3).is_empty() => return at + 1..words,
            b"keys" => return 0..0,
            b"auth" => at += 2,
            b"auth2" => at += 3,
            _ => at += 1,
        }
    }
    3..4
}

/// The time to wait for the other server where none is said, milliseconds.
const TIMEOUT_MS: i64 = 1000;

/// MIGRATE host port key | "" destination-db timeout \[COPY\] \[REPLACE\] \[AUTH password | AUTH2 user password\]
/// \[KEYS key ...\]
fn migrate(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let (host, port, single) = (args.bytes()?, args.bytes()?, args.bytes()?);
    let (db, timeout) = (args.bytes()?, args.bytes()?);
    let (mut copy, mut replace, mut keys) = (false, false, vec![single]);
    let mut login: Vec<&[u8]> = Vec::new();
    while args.left() > 0 {
        match () {
            () if args.take("copy") => copy = true,
            () if args.take("replace") => replace = true,
            () if args.take("auth") => login = vec![b"AUTH", args.bytes()?],
            () if args.take("auth2") => login = vec![b"AUTH", args.bytes()?, args.bytes()?],
            () if args.take("keys") => {
                if !single.is_empty() {
                    return Err(Refusal::err(
                        "When using MIGRATE KEYS option, the key argument must be set to the empty string",
                    ));
                }
                keys = std::iter::from_fn(|| args.maybe()).collect();
            }
            () => return Err(Refusal::Syntax),
        }
    }
    let number = |word: &[u8]| crate::base::number::parse_i64(word).ok_or(Refusal::NotInteger);
    let timeout = Some(number(timeout)?).filter(|&timeout| timeout > 0).unwrap_or(TIMEOUT_MS);
    let db = number(db)?.to_string();
    let mut request = Vec::new();
    if !login.is_empty() {
        resp::command(&login, &mut request);
    }
    resp::command(&[b"SELECT", db.as_bytes()], &mut request);
    let greeting_bytes = request.len();
    let mut moved = Vec::new();
    for word in keys {
        let now = cx.now;
        let key = cx.key(word);
        let Some((payload, deadline)) = cx.read(key, |entry, _| (transfer::dump(entry.value()), entry.deadline()))
        else {
            continue;
        };
        let ttl = deadline.map_or(0, |deadline| (deadline - now).0.max(1)).to_string();
        let mut words: Vec<&[u8]> = vec![b"RESTORE", word, ttl.as_bytes(), &payload];
        if replace {
            words.push(b"REPLACE");
        }
        resp::command(&words, &mut request);
        moved.push(Moved { key: word.to_vec(), deadline, payload });
    }
    if moved.is_empty() {
        cx.reply().simple("NOKEY");
        return Ok(());
    }
    if !cx.may_block() {
        return Err(Refusal::err("MIGRATE is not allowed inside a transaction or a script"));
    }
    let port = number(port)?;
    let migration = Migration {
        waiter: cx.server.waiter(cx.slot),
        db: cx.db,
        host: String::from_utf8_lossy(host).into_owned(),
        port: u16::try_from(port).map_err(|_| Refusal::err("Invalid TCP port specified"))?,
        timeout: Millis(timeout),
        request,
        greeting_bytes,
        greetings: 1 + usize::from(!login.is_empty()),
        copy,
        moved,
    };
    cx.block(Blocked::Checkpoint);
    cx.ask(Ask::Migrate(Box::new(migration)));
    Ok(())
}

impl crate::command::Server {
    /// These keys are with the other server now; those that are still what was sent go from here, as one DEL. What
    /// changed meanwhile stays.
    ///
    /// # Errors
    /// A key stayed.
    pub fn migrated(&mut self, migration: &Migration, taken: &[bool]) -> Result<(), String> {
        if migration.copy {
            return Ok(());
        }
        let mut gone: Vec<&[u8]> = vec![b"DEL"];
        let mut stayed = false;
        for (moved, _) in migration.moved.iter().zip(taken).filter(|(_, taken)| **taken) {
            let key = self.keyspace.key(&moved.key);
            let entry = self.keyspace.db(migration.db as usize).get(key);
            let same = |entry: crate::keyspace::EntryRef<'_>| {
                entry.deadline() == moved.deadline && transfer::dump(entry.value()) == moved.payload
            };
            if self.is_replica() || !entry.is_some_and(same) {
                stayed = true;
                continue;
            }
            self.keyspace.db_mut(migration.db as usize).remove(key);
            self.dirty += 1;
            self.break_watches(migration.db, &moved.key);
            self.notify(migration.db, Class::Generic, "del", &moved.key);
            gone.push(&moved.key);
        }
        if gone.len() > 1 {
            self.feed_own(migration.db, &gone);
            self.feed.close_unit(&mut self.stream);
        }
        match stayed {
            false => Ok(()),
            true => Err("ERR A key changed while it was transferred, and is in both places now".into()),
        }
    }
}
