//! The Rust types of settings that are more than a flag, a number or a text: enums, lists, flag sets.
//!
//! Every type that a field of [`Settings`](super::Settings) may have says here how it is carried in a [`Value`], the
//! one form in which text is read, shown and written by [`Kind`](super::kind::Kind).

/// One setting in the form between its text and its typed field.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `yes` or `no`.
    Bool(bool),
    /// A number of any of the numeric kinds: wide enough for the largest unsigned bound.
    Int(i128),
    /// A text; the empty one often means "none".
    Text(String),
    /// One word of a closed list, by its place in that list.
    Choice(usize),
    /// Several words of a closed list, one bit each.
    Flags(u32),
    /// A list of words.
    Words(Vec<String>),
    /// When to save: see [`SavePoint`].
    Save(Vec<SavePoint>),
    /// What clients may leave unread: see [`OutputLimits`].
    Output(OutputLimits),
    /// Percentages.
    Percentiles(Vec<f64>),
    /// A master's address, or none.
    Master(Option<Address>),
}

/// How a field of [`Settings`](super::Settings) is carried in a [`Value`].
///
/// `from_value` is given only what the directive's own kind has read; another variant is a mistake in the table, which
/// the table's tests find, so it panics.
pub trait FieldValue: Sized {
    /// The field as a value.
    fn to_value(&self) -> Value;
    /// The value as a field.
    fn from_value(value: Value) -> Self;
}

macro_rules! carried {
    ($type:ty, $variant:ident) => {
        impl FieldValue for $type {
            fn to_value(&self) -> Value {
                Value::$variant(self.clone())
            }
            fn from_value(value: Value) -> Self {
                match value {
                    Value::$variant(inner) => inner,
                    other => panic!("the table gives {other:?} to a field of {}", stringify!($type)),
                }
            }
        }
    };
    ($type:ty, $variant:ident, $to:expr, $from:expr) => {
        impl FieldValue for $type {
            fn to_value(&self) -> Value {
                #[allow(clippy::redundant_closure_call)]
                Value::$variant(($to)(self))
            }
            fn from_value(value: Value) -> Self {
                match value {
                    #[allow(clippy::redundant_closure_call)]
                    Value::$variant(inner) => ($from)(inner),
                    other => panic!("the table gives {other:?} to a field of {}", stringify!($type)),
                }
            }
        }
    };
}

carried!(bool, Bool);
carried!(String, Text);
carried!(Vec<String>, Words);
carried!(Vec<SavePoint>, Save);
carried!(OutputLimits, Output);
carried!(Vec<f64>, Percentiles);
carried!(Option<Address>, Master);
carried!(i64, Int, |n: &i64| i128::from(*n), |n: i128| i64::try_from(n).expect("the kind's range fits the field"));
carried!(u64, Int, |n: &u64| i128::from(*n), |n: i128| u64::try_from(n).expect("the kind's range fits the field"));
carried!(u16, Int, |n: &u16| i128::from(*n), |n: i128| u16::try_from(n).expect("the kind's range fits the field"));
carried!(KeyspaceEvents, Flags, |flags: &KeyspaceEvents| flags.0, KeyspaceEvents);
carried!(ShutdownFlags, Flags, |flags: &ShutdownFlags| flags.0, ShutdownFlags);

macro_rules! choices {
    ($($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? })+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$vdoc])* #[doc = concat!("`", $text, "`")] $variant),+ }

        impl $name {
            /// The words of the configuration file, in the order in which an error lists them.
            pub const NAMES: &'static [&'static str] = &[$($text),+];
            const ALL: &'static [$name] = &[$($name::$variant),+];

            /// The word of the configuration file.
            pub fn name(self) -> &'static str {
                Self::NAMES[self as usize]
            }
        }

        carried!($name, Choice, |choice: &$name| *choice as usize, |index: usize| $name::ALL[index]);
    )+};
}

choices! {
    /// `appendfsync`: when the log is forced to the disk.
    AppendFsync { Everysec = "everysec", Always = "always", No = "no" }
    /// `loglevel`, from the most to the least talkative.
    LogLevel { Debug = "debug", Verbose = "verbose", Notice = "notice", Warning = "warning", Nothing = "nothing" }
    /// `tls-auth-clients`: whether clients must have a certificate.
    TlsAuthClients { No = "no", Yes = "yes", Optional = "optional" }
    /// `supervised`: who watches the process.
    Supervised { Upstart = "upstart", Systemd = "systemd", Auto = "auto", No = "no" }
    /// `maxmemory-policy`: what is dropped when memory is full.
    MaxmemoryPolicy {
        VolatileLru = "volatile-lru", VolatileLfu = "volatile-lfu", VolatileRandom = "volatile-random",
        VolatileTtl = "volatile-ttl", AllkeysLru = "allkeys-lru", AllkeysLfu = "allkeys-lfu",
        AllkeysRandom = "allkeys-random", Noeviction = "noeviction",
    }
    /// `enable-debug-command` and its like: nobody, everybody, or connections from this machine.
    Protected { No = "no", Yes = "yes", Local = "local" }
    /// `propagation-error-behavior`: what to do about a command of the stream that cannot be applied.
    PropagationError { Ignore = "ignore", Panic = "panic", PanicOnReplicas = "panic-on-replicas" }
    /// `acl-pubsub-default`: the channels that a new user may use.
    AclPubsubDefault { Allchannels = "allchannels", Resetchannels = "resetchannels" }
}

impl PropagationError {
    /// Whether the node ends itself; a start only looks at what it finds in its own log.
    pub fn ends_node(self, of_master: bool) -> bool {
        self == PropagationError::Panic || (self == PropagationError::PanicOnReplicas && of_master)
    }
}

impl Protected {
    /// Whether a client may: `local` asks whether it is connected from this machine.
    pub fn allows(self, client_is_local: bool) -> bool {
        self == Protected::Yes || (self == Protected::Local && client_is_local)
    }
}

/// `save <seconds> <changes>`: save when so many changes are so many seconds old.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SavePoint {
    /// At least one.
    pub seconds: i64,
    /// Zero or more.
    pub changes: i64,
}

/// The limits of one class of clients: closed at once above `hard_bytes`, or after `soft_seconds` above `soft_bytes`.
/// Zero is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputLimit {
    /// Bytes not yet read by the client that close it at once.
    pub hard_bytes: u64,
    /// Bytes that close it when they stay so for a while.
    pub soft_bytes: u64,
    /// That while.
    pub soft_seconds: i64,
}

/// `client-output-buffer-limit`, by class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputLimits {
    /// Ordinary clients.
    pub normal: OutputLimit,
    /// Replicas.
    pub replica: OutputLimit,
    /// Clients in subscribe mode.
    pub pubsub: OutputLimit,
}

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// A name or an IP address, as it was written.
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

/// `notify-keyspace-events`: which changes are published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyspaceEvents(pub u32);

impl KeyspaceEvents {
    /// `K`: publish to `__keyspace@<db>__:<key>`.
    pub const KEYSPACE: u32 = 1;
    /// `E`: publish to `__keyevent@<db>__:<event>`.
    pub const KEYEVENT: u32 = 1 << 1;
    /// `g`: DEL, EXPIRE, RENAME and other events of every type.
    pub const GENERIC: u32 = 1 << 2;
    /// `$`
    pub const STRING: u32 = 1 << 3;
    /// `l`
    pub const LIST: u32 = 1 << 4;
    /// `s`
    pub const SET: u32 = 1 << 5;
    /// `h`
    pub const HASH: u32 = 1 << 6;
    /// `z`
    pub const ZSET: u32 = 1 << 7;
    /// `x`: a key expired.
    pub const EXPIRED: u32 = 1 << 8;
    /// `e`: a key was evicted.
    pub const EVICTED: u32 = 1 << 9;
    /// `t`
    pub const STREAM: u32 = 1 << 10;
    /// `m`: a key was asked for and missing (not part of `A`).
    pub const KEY_MISS: u32 = 1 << 11;
    /// `d`: events of modules.
    pub const MODULE: u32 = 1 << 12;
    /// `n`: a key was created (not part of `A`).
    pub const NEW: u32 = 1 << 13;
    /// `A`: every class but [`KeyspaceEvents::KEY_MISS`] and [`KeyspaceEvents::NEW`].
    pub const ALL: u32 = Self::GENERIC
        | Self::STRING
        | Self::LIST
        | Self::SET
        | Self::HASH
        | Self::ZSET
        | Self::EXPIRED
        | Self::EVICTED
        | Self::STREAM
        | Self::MODULE;

    /// Whether events of `class` (one of the constants) are published at all.
    pub fn wants(self, class: u32) -> bool {
        self.0 & class != 0 && self.0 & (Self::KEYSPACE | Self::KEYEVENT) != 0
    }
}

/// `shutdown-on-sigint`, `shutdown-on-sigterm`: the options of the SHUTDOWN that a signal stands for; none is
/// `default`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShutdownFlags(pub u32);

impl ShutdownFlags {
    /// Save, also without save points.
    pub const SAVE: u32 = 1;
    /// Save not, also with save points.
    pub const NOSAVE: u32 = 1 << 1;
    /// Do not wait for replicas that lag.
    pub const NOW: u32 = 1 << 2;
    /// Exit also if the save fails.
    pub const FORCE: u32 = 1 << 3;
    /// The words of the configuration file and the bit of each, in the order in which an error lists them.
    pub const NAMES: &'static [(&'static str, u32)] =
        &[("default", 0), ("save", Self::SAVE), ("nosave", Self::NOSAVE), ("now", Self::NOW), ("force", Self::FORCE)];

    /// Whether this option is there.
    pub fn has(self, flag: u32) -> bool {
        self.0 & flag != 0
    }
}
