//! What can go wrong on the disk, as values: each fault names the file and the place, since a person has to act on it,
//! and each says whether the same bytes may be tried again.

use crate::base::Offset;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A fault of the durable log.
#[derive(Clone, Debug)]
pub enum LogError {
    /// The append failed (disk full, EIO); the file ends at its last good record again, and the same bytes may be
    /// appended later.
    Write {
        /// The segment.
        file: PathBuf,
        /// The end of the log: where the bytes would have stood.
        offset: Offset,
        /// What the system said.
        cause: Arc<io::Error>,
    },
    /// fsync failed: what the file holds on disk is unknown, and this generation is never trusted again. The way out
    /// is a new generation and a checkpoint that names it.
    Sync {
        /// The segment.
        file: PathBuf,
        /// The last offset known to be on disk.
        offset: Offset,
        /// What the system said.
        cause: Arc<io::Error>,
    },
    /// A segment file could not be made, listed or removed.
    Files {
        /// The file or directory.
        file: PathBuf,
        /// What the system said.
        cause: Arc<io::Error>,
    },
    /// A segment could not be read.
    Read {
        /// The segment.
        file: PathBuf,
        /// What the system said.
        cause: Arc<io::Error>,
    },
    /// Bad data where good data is known to have been synced. Never skipped.
    Corrupt {
        /// The segment.
        file: PathBuf,
        /// The byte in the file where the bad record begins.
        position: u64,
        /// The stream offset there.
        offset: Offset,
        /// What is wrong.
        why: String,
    },
    /// The offset asked for is not in the log: trimmed, or not written yet.
    OutOfRange {
        /// Asked for.
        asked: Offset,
        /// Where the log starts.
        start: Offset,
        /// Where it ends.
        end: Offset,
    },
    /// The generation that was waited for has been followed by another.
    Superseded {
        /// The generation waited for.
        generation: u64,
    },
    /// More bytes in one record than its length field can say (4 GiB).
    TooLong {
        /// The bytes offered.
        bytes: u64,
    },
}

impl LogError {
    /// Whether the same bytes may be appended again later.
    pub fn may_retry(&self) -> bool {
        matches!(self, LogError::Write { .. })
    }

    /// What is wrong, in the system's words where it said something: the text of Redis' own errors about its file.
    pub fn reason(&self) -> String {
        match self {
            LogError::Write { cause, .. }
            | LogError::Sync { cause, .. }
            | LogError::Files { cause, .. }
            | LogError::Read { cause, .. } => plain(cause),
            other => other.to_string(),
        }
    }

    pub(super) fn files(file: impl Into<PathBuf>, cause: io::Error) -> Self {
        LogError::Files { file: file.into(), cause: Arc::new(cause) }
    }

    pub(super) fn read(file: impl Into<PathBuf>, cause: io::Error) -> Self {
        LogError::Read { file: file.into(), cause: Arc::new(cause) }
    }
}

/// Without Rust's ` (os error 28)`.
fn plain(cause: &io::Error) -> String {
    let text = cause.to_string();
    match text.rfind(" (os error ") {
        Some(end) => text[..end].to_string(),
        None => text,
    }
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LogError::Write { file, offset, cause } => {
                write!(f, "can't append to the log {} at offset {offset}: {cause}", file.display())
            }
            LogError::Sync { file, offset, cause } => write!(
                f,
                "fsync of the log {} failed, only what is below offset {offset} is known to be on disk: {cause}",
                file.display()
            ),
            LogError::Files { file, cause } => write!(f, "log file {}: {cause}", file.display()),
            LogError::Read { file, cause } => write!(f, "can't read the log {}: {cause}", file.display()),
            LogError::Corrupt { file, position, offset, why } => {
                write!(f, "the log {} is damaged at byte {position} (offset {offset}): {why}", file.display())
            }
            LogError::OutOfRange { asked, start, end } => {
                write!(f, "offset {asked} is not in the log, which holds {start} to {end}")
            }
            LogError::Superseded { generation } => write!(f, "log generation {generation} has been superseded"),
            LogError::TooLong { bytes } => write!(f, "{bytes} bytes are too many for one log record"),
        }
    }
}

impl std::error::Error for LogError {}

/// A fault of the store as a whole.
#[derive(Clone, Debug)]
pub enum StoreError {
    /// Another process works in this directory.
    Locked {
        /// The data directory.
        dir: PathBuf,
        /// The other's process id, where the lock file tells.
        pid: Option<u32>,
    },
    /// A file or directory could not be made, opened or locked.
    Io {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        cause: Arc<io::Error>,
    },
    /// The durable log.
    Log(LogError),
    /// The checkpoint's database failed.
    Pages {
        /// Its directory.
        dir: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// What it said.
        cause: String,
    },
    /// A page, a blob or a manifest is not what the manifest says it is.
    Damaged {
        /// The checkpoint's directory.
        dir: PathBuf,
        /// Which thing, such as `page 7 of space 2`.
        what: String,
        /// What is wrong.
        why: String,
    },
    /// A record of a version that this program does not know.
    Version {
        /// The directory.
        dir: PathBuf,
        /// Which record.
        what: &'static str,
        /// Its version.
        found: u32,
    },
    /// One of the two halves is missing.
    Half {
        /// What is missing, and beside what.
        why: String,
        /// What may be done about it.
        hint: &'static str,
    },
    /// The checkpoint was given up: aborted by its owner, or by a fault that was reported before.
    Aborted,
    /// The storage thread has ended.
    Stopped,
}

impl StoreError {
    pub(super) fn io(path: &Path, cause: io::Error) -> Self {
        StoreError::Io { path: path.to_path_buf(), cause: Arc::new(cause) }
    }
}

impl From<LogError> for StoreError {
    fn from(error: LogError) -> Self {
        StoreError::Log(error)
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Locked { dir, pid: Some(pid) } => {
                write!(f, "the data directory {} is in use by another process (pid {pid})", dir.display())
            }
            StoreError::Locked { dir, pid: None } => {
                write!(f, "the data directory {} is in use by another process", dir.display())
            }
            StoreError::Io { path, cause } => write!(f, "{}: {cause}", path.display()),
            StoreError::Log(error) => error.fmt(f),
            StoreError::Pages { dir, doing, cause } => {
                write!(f, "checkpoint {}: {doing} failed: {cause}", dir.display())
            }
            StoreError::Damaged { dir, what, why } => {
                write!(f, "the checkpoint {} is damaged: {what}: {why}", dir.display())
            }
            StoreError::Version { dir, what, found } => {
                write!(f, "{}: the {what} has format version {found}, which this program does not know", dir.display())
            }
            StoreError::Half { why, hint } => write!(f, "{why}; {hint}"),
            StoreError::Aborted => write!(f, "the checkpoint was given up"),
            StoreError::Stopped => write!(f, "the storage thread has ended"),
        }
    }
}

impl std::error::Error for StoreError {}
