//! What is wrong with a configuration, in Redis' layout with the file's name, the expectation and the nearest known
//! name added: a person reads it at start and must know what to change where.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// The version whose configuration errors these are.
const VERSION: &str = "Redis 7.2.4";

/// Why a process cannot start with its configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// A file cannot be read. `why` is the system's word.
    Open { path: PathBuf, why: String },
    /// A line is wrong.
    Line(Box<LineError>),
    /// The whole is wrong: no single line is to blame.
    Whole { reason: String },
    /// A sentinel has no file to keep its state in.
    SentinelWithoutFile,
    /// A sentinel may not write to its file. `why` is the system's word.
    SentinelReadOnly { path: PathBuf, why: String },
}

/// What is wrong with one line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LineError {
    /// The file's name, or what else the line stands in.
    pub source: String,
    /// The number of the line, from 1; options of the command line are counted as if they were appended to the file.
    pub number: usize,
    /// The line without blanks at its ends.
    pub line: String,
    /// Redis' word for what is wrong.
    pub reason: String,
    /// What may stand there, for a person.
    pub expected: Option<String>,
    /// The known name that was probably meant.
    pub nearest: Option<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::Open { path, why } => {
                write!(f, "Fatal error, can't open config file '{}': {why}", path.display())
            }
            ConfigError::SentinelWithoutFile => {
                write!(f, "Sentinel needs config file on disk to save state. Exiting...")
            }
            ConfigError::SentinelReadOnly { path, why } => {
                write!(f, "Sentinel config file {} is not writable: {why}. Exiting...", path.display())
            }
            ConfigError::Whole { reason } => {
                write!(f, "\n*** FATAL CONFIG FILE ERROR ({VERSION}) ***\n{reason}")
            }
            ConfigError::Line(error) => {
                writeln!(f, "\n*** FATAL CONFIG FILE ERROR ({VERSION}) ***")?;
                writeln!(f, "Reading the configuration file, at line {}", error.number)?;
                writeln!(f, ">>> '{}'", error.line)?;
                writeln!(f, "{}", error.reason)?;
                write!(f, "in {}", error.source)?;
                if let Some(expected) = &error.expected {
                    write!(f, "; expected: {expected}")?;
                }
                if let Some(nearest) = &error.nearest {
                    write!(f, "; did you mean '{nearest}'?")?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for ConfigError {}

/// The system's word for an error, as `strerror` has it: without Rust's "(os error 2)".
pub fn system_word(error: &io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}
