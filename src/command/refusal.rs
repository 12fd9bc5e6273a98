//! The error replies of Redis 7.2, by name: a refusal changes nothing, and the connection lives.

use std::borrow::Cow;

/// Why a request was refused. [`Refusal::text`] is the reply, without the leading `-`.
#[derive(Clone, Debug, PartialEq)]
pub enum Refusal {
    Syntax,
    WrongType,
    NotInteger,
    NotFloat,
    Overflow,
    NoSuchKey,
    OutOfRange,
    /// A number that must not be negative.
    NotPositive,
    NoAuth,
    ReadOnly,
    NoReplicas,
    MasterDown,
    Loading,
    OutOfMemory,
    /// `stop-writes-on-bgsave-error`.
    SaveFailed,
    BadDb,
    TooLong,
    /// The arity does not fit; the full name of the command.
    Arity(String),
    /// `invalid expire time in 'set' command`.
    ExpireTime(&'static str),
    /// Any other text, error code included (`ERR ...`, `NOPROTO ...`).
    Text(Cow<'static, str>),
}

impl Refusal {
    /// A text without a code of its own: `ERR` is put in front.
    pub fn err(text: impl std::fmt::Display) -> Refusal {
        Refusal::Text(format!("ERR {text}").into())
    }

    /// The error line, from its code on.
    pub fn text(&self) -> Cow<'static, str> {
        match self {
            Refusal::Syntax => "ERR syntax error".into(),
            Refusal::WrongType => "WRONGTYPE Operation against a key holding the wrong kind of value".into(),
            Refusal::NotInteger => "ERR value is not an integer or out of range".into(),
            Refusal::NotFloat => "ERR value is not a valid float".into(),
            Refusal::Overflow => "ERR increment or decrement would overflow".into(),
            Refusal::NoSuchKey => "ERR no such key".into(),
            Refusal::OutOfRange => "ERR index out of range".into(),
            Refusal::NotPositive => "ERR value is out of range, must be positive".into(),
            Refusal::NoAuth => "NOAUTH Authentication required.".into(),
            Refusal::ReadOnly => "READONLY You can't write against a read only replica.".into(),
            Refusal::NoReplicas => "NOREPLICAS Not enough good replicas to write.".into(),
            Refusal::MasterDown => {
                "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.".into()
            }
            Refusal::Loading => "LOADING Redis is loading the dataset in memory".into(),
            Refusal::OutOfMemory => "OOM command not allowed when used memory > 'maxmemory'.".into(),
            Refusal::SaveFailed => "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to \
                                    persist to disk. Commands that may modify the data set are disabled, because this \
                                    instance is configured to report errors during writes if RDB snapshotting fails \
                                    (stop-writes-on-bgsave-error option). Please check the Redis logs for details \
                                    about the RDB error."
                .into(),
            Refusal::BadDb => "ERR DB index is out of range".into(),
            Refusal::TooLong => "ERR string exceeds maximum allowed size (proto-max-bulk-len)".into(),
            Refusal::Arity(name) => format!("ERR wrong number of arguments for '{name}' command").into(),
            Refusal::ExpireTime(name) => format!("ERR invalid expire time in '{name}' command").into(),
            Refusal::Text(text) => text.clone(),
        }
    }

    /// The code in front of the text (`ERR`, `WRONGTYPE`), as `INFO errorstats` counts them.
    pub fn code(&self) -> String {
        self.text().split(' ').next().unwrap_or("ERR").to_string()
    }
}
