//! Lines for the log, as effects: what is grepped for by tools keeps Redis' words.

/// How loud a line is (Redis' `notice` and `warning`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Notice,
    Warning,
}

/// One line for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    pub level: Level,
    pub text: String,
}

impl Note {
    pub fn notice(text: impl Into<String>) -> Note {
        Note { level: Level::Notice, text: text.into() }
    }

    pub fn warning(text: impl Into<String>) -> Note {
        Note { level: Level::Warning, text: text.into() }
    }
}

/// A peer's bytes as text for a log line.
pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
