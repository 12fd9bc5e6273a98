//! What is declared beside each command: the row that COMMAND, the gate, key extraction and the docs are loops over.
//!
//! The words are those of <https://redis.io/docs/latest/commands/command/> (flags, key specifications) and
//! <https://redis.io/docs/latest/operate/oss_and_stack/management/security/acl/> (categories).

use super::{Args, Cx, Outcome};
use crate::base::number::parse_i64;

/// A handler: reads its arguments, changes the keyspace, writes its reply, feeds its effects. It reaches no socket,
/// no task and no clock but `cx.now`.
pub type Run = fn(&mut Cx<'_>, &mut Args<'_>) -> Outcome;

/// One command, or one subcommand of a container (`CLIENT LIST` is a row in the `subs` of `client`).
pub struct Spec {
    /// In lower case, as COMMAND prints it.
    pub name: &'static str,
    /// For a subcommand: its container's name.
    pub parent: Option<&'static str>,
    /// Number of words, the command's own name (and container) included; negative: at least that many.
    pub arity: i16,
    pub flags: Flags,
    pub keys: &'static [KeySpec],
    pub group: Group,
    /// Categories beyond those that the flags imply.
    pub categories: Categories,
    pub since: &'static str,
    pub summary: &'static str,
    pub subs: &'static [Spec],
    pub run: Run,
}

impl Spec {
    /// `client|list` for a subcommand, the plain name else: how errors, ACL and COMMAND name it.
    pub fn full_name(&self) -> String {
        match self.parent {
            Some(parent) => format!("{parent}|{}", self.name),
            None => self.name.to_string(),
        }
    }

    /// Whether a request of `words` words (names included) is of the declared arity.
    pub fn fits(&self, words: usize) -> bool {
        let arity = usize::from(self.arity.unsigned_abs());
        if self.arity < 0 { words >= arity } else { words == arity }
    }

    pub const fn keys(mut self, keys: &'static [KeySpec]) -> Spec {
        self.keys = keys;
        self
    }

    pub const fn acl(mut self, categories: Categories) -> Spec {
        self.categories = categories;
        self
    }

    pub const fn doc(mut self, since: &'static str, summary: &'static str) -> Spec {
        self.since = since;
        self.summary = summary;
        self
    }

    pub const fn sub_of(mut self, parent: &'static str) -> Spec {
        self.parent = Some(parent);
        self
    }

    pub const fn with(mut self, subs: &'static [Spec]) -> Spec {
        self.subs = subs;
        self
    }

    /// All categories: the declared ones, those that the flags imply, and the group's, unless it is a container.
    pub fn all_categories(&self) -> Categories {
        let group = if self.subs.is_empty() { self.group.category() } else { Categories(0) };
        let mut all = Categories(self.categories.0 | group.0);
        let flags = self.flags;
        let mut imply = |when: bool, category: Categories| {
            if when {
                all = Categories(all.0 | category.0);
            }
        };
        imply(flags.has(WRITE), Categories::WRITE);
        imply(flags.has(READONLY) && self.group != Group::Scripting, Categories::READ);
        imply(flags.has(ADMIN), Categories(Categories::ADMIN.0 | Categories::DANGEROUS.0));
        imply(flags.has(PUBSUB), Categories::PUBSUB);
        imply(flags.has(FAST), Categories::FAST);
        imply(flags.has(BLOCKING), Categories::BLOCKING);
        imply(!flags.has(FAST), Categories::SLOW);
        all
    }
}

/// A row: name, arity, flags, group, handler; the rest is added by [`Spec::keys`], [`Spec::doc`] and so on.
pub const fn spec(name: &'static str, arity: i16, flags: Flags, group: Group, run: Run) -> Spec {
    Spec {
        name,
        parent: None,
        arity,
        flags,
        keys: &[],
        group,
        categories: Categories(0),
        since: "1.0.0",
        summary: "",
        subs: &[],
        run,
    }
}

/// The behaviour flags of a command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(pub u32);

impl Flags {
    pub const ALL: Flags = Flags(u32::MAX);

    /// Whether all of `other` are among these.
    pub const fn has(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both; `const`, so that tables can say `WRITE.or(FAST)`.
    pub const fn or(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    /// These, less the others.
    pub const fn without(self, other: Flags) -> Flags {
        Flags(self.0 & !other.0)
    }

    /// The names, in the order in which COMMAND INFO prints them.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        FLAG_NAMES.iter().filter(move |(flag, _)| self.has(*flag)).map(|(_, name)| *name)
    }
}

pub const NONE: Flags = Flags(0);
pub const WRITE: Flags = Flags(1);
pub const READONLY: Flags = Flags(1 << 1);
pub const DENYOOM: Flags = Flags(1 << 2);
pub const ADMIN: Flags = Flags(1 << 3);
pub const PUBSUB: Flags = Flags(1 << 4);
pub const NOSCRIPT: Flags = Flags(1 << 5);
pub const BLOCKING: Flags = Flags(1 << 6);
pub const LOADING: Flags = Flags(1 << 7);
pub const STALE: Flags = Flags(1 << 8);
pub const SKIP_MONITOR: Flags = Flags(1 << 9);
pub const SKIP_SLOWLOG: Flags = Flags(1 << 10);
pub const FAST: Flags = Flags(1 << 11);
pub const NO_AUTH: Flags = Flags(1 << 12);
pub const MAY_REPLICATE: Flags = Flags(1 << 13);
pub const NO_ASYNC_LOADING: Flags = Flags(1 << 14);
pub const NO_MULTI: Flags = Flags(1 << 15);
pub const MOVABLE_KEYS: Flags = Flags(1 << 16);
pub const ALLOW_BUSY: Flags = Flags(1 << 17);
pub const NO_MANDATORY_KEYS: Flags = Flags(1 << 18);
/// It may touch a slot that is on its way to another node of a cluster.
pub const ASKING: Flags = Flags(1 << 19);

/// Those that COMMAND shows; as in Redis, `may_replicate` is not among them.
const FLAG_NAMES: &[(Flags, &str)] = &[
    (WRITE, "write"),
    (READONLY, "readonly"),
    (DENYOOM, "denyoom"),
    (ADMIN, "admin"),
    (PUBSUB, "pubsub"),
    (NOSCRIPT, "noscript"),
    (BLOCKING, "blocking"),
    (LOADING, "loading"),
    (STALE, "stale"),
    (SKIP_MONITOR, "skip_monitor"),
    (SKIP_SLOWLOG, "skip_slowlog"),
    (ASKING, "asking"),
    (FAST, "fast"),
    (NO_AUTH, "no_auth"),
    (NO_ASYNC_LOADING, "no_async_loading"),
    (NO_MANDATORY_KEYS, "no_mandatory_keys"),
    (NO_MULTI, "no_multi"),
    (MOVABLE_KEYS, "movablekeys"),
    (ALLOW_BUSY, "allow_busy"),
];

/// The documentation group of a command; it names an ACL category as well where Redis has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    Generic,
    String,
    List,
    Set,
    SortedSet,
    Hash,
    PubSub,
    Transactions,
    Connection,
    Server,
    Scripting,
    Hyperloglog,
    Geo,
    Stream,
    Bitmap,
    Cluster,
}

impl Group {
    /// As COMMAND DOCS prints it.
    pub fn name(self) -> &'static str {
        match self {
            Group::Generic => "generic",
            Group::String => "string",
            Group::List => "list",
            Group::Set => "set",
            Group::SortedSet => "sorted-set",
            Group::Hash => "hash",
            Group::PubSub => "pubsub",
            Group::Transactions => "transactions",
            Group::Connection => "connection",
            Group::Server => "server",
            Group::Scripting => "scripting",
            Group::Hyperloglog => "hyperloglog",
            Group::Geo => "geo",
            Group::Stream => "stream",
            Group::Bitmap => "bitmap",
            Group::Cluster => "cluster",
        }
    }

    fn category(self) -> Categories {
        match self {
            // Of the commands about channels, the flag says which are in the category.
            Group::Generic | Group::Server | Group::Cluster | Group::PubSub => Categories(0),
            Group::String => Categories::STRING,
            Group::List => Categories::LIST,
            Group::Set => Categories::SET,
            Group::SortedSet => Categories::SORTEDSET,
            Group::Hash => Categories::HASH,
            Group::Transactions => Categories::TRANSACTION,
            Group::Connection => Categories::CONNECTION,
            Group::Scripting => Categories::SCRIPTING,
            Group::Hyperloglog => Categories::HYPERLOGLOG,
            Group::Geo => Categories::GEO,
            Group::Stream => Categories::STREAM,
            Group::Bitmap => Categories::BITMAP,
        }
    }
}

/// ACL categories of a command, as a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Categories(pub u32);

macro_rules! categories {
    ($($constant:ident $name:literal $bit:literal),+ $(,)?) => {
        impl Categories {
            $(pub const $constant: Categories = Categories(1 << $bit);)+
            const NAMES: &'static [(Categories, &'static str)] = &[$((Categories::$constant, $name)),+];
        }
    };
}

categories! {
    KEYSPACE "keyspace" 0, READ "read" 1, WRITE "write" 2, SET "set" 3, SORTEDSET "sortedset" 4, LIST "list" 5,
    HASH "hash" 6, STRING "string" 7, BITMAP "bitmap" 8, HYPERLOGLOG "hyperloglog" 9, GEO "geo" 10, STREAM "stream" 11,
    PUBSUB "pubsub" 12, ADMIN "admin" 13, FAST "fast" 14, SLOW "slow" 15, BLOCKING "blocking" 16,
    DANGEROUS "dangerous" 17, CONNECTION "connection" 18, TRANSACTION "transaction" 19, SCRIPTING "scripting" 20,
}

impl Categories {
    /// Every category.
    pub const ALL: Categories = Categories(u32::MAX);

    /// Whether one of `other` is among these.
    pub const fn has(self, other: Categories) -> bool {
        self.0 & other.0 != 0
    }

    /// The category of this name (without `@`), in any case.
    pub fn named(name: &[u8]) -> Option<Categories> {
        let is = |known: &&(Categories, &str)| known.1.as_bytes().eq_ignore_ascii_case(name);
        Self::NAMES.iter().find(is).map(|(category, _)| *category)
    }

    pub const fn or(self, other: Categories) -> Categories {
        Categories(self.0 | other.0)
    }

    /// The names without `@`, in Redis' order.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.iter().filter(move |(category, _)| self.0 & category.0 != 0).map(|(_, name)| *name)
    }
}

/// Where the keys of a command stand among its words, and what is done with them (a key specification of Redis 7).
#[derive(Clone, Copy, Debug)]
pub struct KeySpec {
    /// Flag names as COMMAND INFO prints them: `RO`, `RW`, `OW`, `RM`, `access`, `update`, `insert`, `delete`.
    pub flags: &'static [&'static str],
    pub place: Place,
}

/// What is done with a key, as far as permissions tell it apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access(u8);

impl Access {
    pub const READ: Access = Access(1);
    pub const WRITE: Access = Access(2);
    pub const ALL: Access = Access(3);

    /// What flags of a key specification take. A key whose value is neither read nor changed (EXISTS) takes nothing but
    /// to be among the allowed ones.
    pub fn of(flags: &[&str]) -> Access {
        let bits = flags.iter().map(|flag| match *flag {
            "access" => 1,
            "insert" | "delete" | "update" => 2,
            _ => 0,
        });
        Access(bits.fold(0, |all, bit| all | bit))
    }

    /// Whether `other` is a part of this.
    pub const fn has(self, other: Access) -> bool {
        self.0 & other.0 == other.0
    }

    pub const fn or(self, other: Access) -> Access {
        Access(self.0 | other.0)
    }
}

/// Where keys are found.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    Range {
        /// Index of the first key; the command's name is 0.
        first: usize,
        /// Index of the last key relative to the first; negative: counted from the end (-1 is the last word).
        last: isize,
        /// From one key to the next.
        step: usize,
    },
    /// Behind the word at this index, which says how many they are.
    Counted(usize),
    /// One key behind this option; the option counts where it stands last, as its handler reads it. It stands at the
    /// index or later; 0 where Redis says of it that nobody knows where it stands.
    Behind { option: &'static str, from: usize },
    /// A part of the words behind this one, which stands at the index or later: the first half of them is 2.
    Word { word: &'static str, from: usize, part: usize },
    /// All words behind this one, which is looked for from so many before the end backwards. It says where keys may stand:
    /// where they do, the command itself knows (`keys_in`).
    LastWord { word: &'static str, before_end: usize },
    /// Names made of values: nobody knows them before.
    Made,
}

/// One key at `first`.
pub const fn key(first: usize, flags: &'static [&'static str]) -> KeySpec {
    KeySpec { flags, place: Place::Range { first, last: 0, step: 1 } }
}

/// Keys from `first` to the end, `step` apart.
pub const fn keys_from(first: usize, step: usize, flags: &'static [&'static str]) -> KeySpec {
    KeySpec { flags, place: Place::Range { first, last: -1, step } }
}

/// Keys behind the word at `first`, which says how many they are.
pub const fn keys_counted(first: usize, flags: &'static [&'static str]) -> KeySpec {
    KeySpec { flags, place: Place::Counted(first) }
}

/// The key behind an option.
pub const fn key_behind(option: &'static str, from: usize, flags: &'static [&'static str]) -> KeySpec {
    KeySpec { flags, place: Place::Behind { option, from } }
}

/// Keys behind a word that stands at `from` or later: the first `1/part` of what follows it.
pub const fn key_word(word: &'static str, from: usize, part: usize, flags: &'static [&'static str]) -> KeySpec {
    KeySpec { flags, place: Place::Word { word, from, part } }
}

/// Keys behind a word that is looked for from the end.
pub const fn key_last_word(word: &'static str, before_end: usize, flags: &'static [&'static str]) -> KeySpec {
    KeySpec { flags, place: Place::LastWord { word, before_end } }
}

/// Keys whose names are made of values.
pub const fn keys_made(flags: &'static [&'static str]) -> KeySpec {
    KeySpec { flags, place: Place::Made }
}

impl KeySpec {
    /// Whether these are keys at all: shard channels stand in the place of keys for clients of a cluster alone.
    pub fn is_key(&self) -> bool {
        !self.flags.contains(&"not_key")
    }

    /// Whether the request says how many keys there are, and that cannot be: an error that the handler names. Then no word
    /// counts as a key, as in Redis.
    pub fn is_broken<'w>(&self, words: usize, word: &dyn Fn(usize) -> &'w [u8]) -> bool {
        matches!(self.place, Place::Counted(_)) && self.counted(words, word).is_none()
    }

    fn counted<'w>(&self, words: usize, word: &dyn Fn(usize) -> &'w [u8]) -> Option<usize> {
        let Place::Counted(at) = self.place else { return None };
        let count = usize::try_from(parse_i64((at < words).then(|| word(at))?)?).ok()?;
        (1..=words - at - 1).contains(&count).then_some(count)
    }

    /// The indices of the keys in a request of `words` words; `word` gives one of them.
    pub fn indices<'w>(&self, words: usize, word: &dyn Fn(usize) -> &'w [u8]) -> impl Iterator<Item = usize> + use<> {
        match self.place {
            Place::Range { first, last, step } => {
                let last = match last {
                    last if last < 0 => words.checked_sub(last.unsigned_abs()),
                    last => Some(first + last.unsigned_abs()),
                };
                let end = last.map_or(0, |last| (last + 1).min(words));
                (first..end.max(first)).step_by(step)
            }
            Place::Counted(at) => {
                let first = at + 1;
                (first..first + self.counted(words, word).unwrap_or(0)).step_by(1)
            }
            Place::Behind { option, from } => {
                let stands = |&at: &usize| word(at).eq_ignore_ascii_case(option.as_bytes());
                let at = (from.max(1)..words.saturating_sub(1)).rev().find(stands).map(|at| at + 1);
                at.map_or(0..0, |at| at..at + 1).step_by(1)
            }
            Place::Word { word: name, from, part } => {
                let stands = |&at: &usize| word(at).eq_ignore_ascii_case(name.as_bytes());
                let first = (from..words).find(stands).map_or(words, |at| at + 1);
                (first..first + (words - first.min(words)) / part).step_by(1)
            }
            Place::LastWord { word: name, before_end } => {
                let stands = |&at: &usize| word(at).eq_ignore_ascii_case(name.as_bytes());
                let at = (2..(words + 1).saturating_sub(before_end)).rev().find(stands);
                at.map_or(0..0, |at| at + 1..words).step_by(1)
            }
            Place::Made => (0..0).step_by(1),
        }
    }
}
