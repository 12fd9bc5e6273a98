//! The two names of the table that scripts call by: `redis`, and `server` as Valkey has it.
//!
//! They hold the same functions. An error names the table that was used, and has the words of that kind of server where the
//! two differ: a script that was written and tested for one of them matches what it knows.

use std::borrow::Cow;

/// The table that a function was called by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    Redis,
    Server,
}

impl Table {
    pub const ALL: [Table; 2] = [Table::Redis, Table::Server];

    /// What scripts write.
    pub fn name(self) -> &'static str {
        match self {
            Table::Redis => "redis",
            Table::Server => "server",
        }
    }

    /// A text, in which `@.` stands for the table that the script has used.
    pub fn named(self, text: &str) -> String {
        text.replace("@.", &format!("{}.", self.name()))
    }

    /// The error line of a call that was denied.
    pub fn denial(self, why: Denied) -> Cow<'static, str> {
        let [redis, server] = match why {
            Denied::Other(text) => return text.into(),
            Denied::NoWords => [
                "ERR Please specify at least one argument for this redis lib call",
                "ERR Please specify at least one argument for this call",
            ],
            Denied::NoText => [
                "ERR Lua redis lib command arguments must be strings or integers",
                "ERR Command arguments must be strings or integers",
            ],
            Denied::Unknown => {
                ["ERR Unknown Redis command called from script", "ERR Unknown command called from script"]
            }
            Denied::Arity => [
                "ERR Wrong number of args calling Redis command from script",
                "ERR Wrong number of args calling command from script",
            ],
        };
        match self {
            Table::Redis => redis.into(),
            Table::Server => server.into(),
        }
    }
}

/// Why a command was not executed for a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denied {
    /// Nothing was given, not even a name.
    NoWords,
    /// Something was given that is neither text nor number.
    NoText,
    /// There is no such command.
    Unknown,
    /// It takes another number of words.
    Arity,
    /// A whole error line.
    Other(String),
}
