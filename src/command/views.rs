//! What INFO tells of the process, the store and the machine: plain figures that the runtime puts here, since nothing in
//! `command/` can look at them.

use crate::base::{Millis, Offset, ReplId};
use crate::config::Config;

/// The process, as INFO server shows it.
#[derive(Clone, Debug, Default)]
pub struct ProcessView {
    /// The port that is listened on; 0 for none.
    pub tcp_port: u16,
    /// Absolute path of the binary.
    pub executable: String,
    /// Absolute path of the configuration file; empty for none.
    pub config_file: String,
    /// Name, release and machine of the system, as `uname` says.
    pub os: String,
    /// `no`, `upstart`, `systemd` or `unknown`.
    pub supervised: &'static str,
}

impl ProcessView {
    /// What can be known from the configuration alone.
    pub fn of(config: &Config) -> Self {
        ProcessView {
            tcp_port: config.settings.port,
            executable: String::new(),
            config_file: config.file().map(|path| path.display().to_string()).unwrap_or_default(),
            os: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            supervised: "no",
        }
    }
}

/// A checkpoint that BGREWRITEAOF, the log's growth or turning the log on has asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rewrite {
    #[default]
    None,
    /// Behind a dump that is being made.
    Waits,
    Runs,
}

/// The store: the checkpoint in sled and the log behind it.
#[derive(Clone, Debug)]
pub struct PersistenceView {
    /// The point that the current checkpoint holds; `None` before the first one.
    pub checkpoint: Option<(ReplId, Offset)>,
    /// The bytes that the log can serve.
    pub log_start: Offset,
    pub log_end: Offset,
    /// The part of them that is known to be on the disk.
    pub log_synced: Offset,
    /// Size of the log's files, and how many they are.
    pub log_bytes: u64,
    pub log_segments: u64,
    /// What of a checkpoint Redis' tools know as a rewrite of the log.
    pub rewrite: Rewrite,
    /// A checkpoint is being written, since when (monotonic).
    pub checkpoint_since: Option<Millis>,
    /// Wall clock of the last checkpoint that became current; of the start where none has.
    pub last_checkpoint: Millis,
    pub last_checkpoint_ok: bool,
    /// How long the last one took, and how many bytes it wrote; -1 ms where there was none.
    pub last_checkpoint_ms: i64,
    pub last_checkpoint_bytes: u64,
    /// Checkpoints since the start.
    pub checkpoints: u64,
    /// `dump.rdb` is being made, since when (monotonic).
    pub save_since: Option<Millis>,
    /// Wall clock of the last one that was made; of the start where none was.
    pub last_save: Millis,
    pub last_save_ok: bool,
    /// How long it took; -1 where there was none.
    pub last_save_ms: i64,
    /// Dumps since the start.
    pub saves: u64,
    /// When the last fsync of the log ended (monotonic), and how long it took.
    pub last_fsync: Option<Millis>,
    pub last_fsync_us: u64,
    /// The log takes what it is given.
    pub log_ok: bool,
    /// Keys that the start found in the store, or in the dump that an empty store was filled from; and those of the dump
    /// whose time was over.
    pub keys_loaded: u64,
    pub keys_expired: u64,
}

impl Default for PersistenceView {
    fn default() -> Self {
        PersistenceView {
            checkpoint: None,
            log_start: Offset(0),
            log_end: Offset(0),
            log_synced: Offset(0),
            log_bytes: 0,
            log_segments: 0,
            rewrite: Rewrite::None,
            checkpoint_since: None,
            last_checkpoint: Millis(0),
            last_checkpoint_ok: true,
            last_checkpoint_ms: -1,
            last_checkpoint_bytes: 0,
            checkpoints: 0,
            save_since: None,
            last_save: Millis(0),
            last_save_ok: true,
            last_save_ms: -1,
            saves: 0,
            last_fsync: None,
            last_fsync_us: 0,
            log_ok: true,
            keys_loaded: 0,
            keys_expired: 0,
        }
    }
}

/// Memory, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemoryView {
    /// Allocated now, at most so far, and when the node had started with nothing in it.
    pub used: u64,
    pub peak: u64,
    pub startup: u64,
    /// Resident set of the process.
    pub rss: u64,
    /// What the allocator gave out, holds in pages that are in use, and has mapped.
    pub allocated: u64,
    pub active: u64,
    pub resident: u64,
    /// Of the machine.
    pub system: u64,
    /// The name and version of the allocator.
    pub allocator: &'static str,
    /// What a checkpoint under way holds; it is not among what is used.
    pub store: u64,
    /// The allocator's own report, and giving back what it does not need; both where there is a process.
    pub report: Option<fn() -> String>,
    pub purge: Option<fn() -> bool>,
}

/// CPU time, in microseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuView {
    pub sys_us: u64,
    pub user_us: u64,
    pub sys_children_us: u64,
    pub user_children_us: u64,
    pub sys_main_us: u64,
    pub user_main_us: u64,
}
