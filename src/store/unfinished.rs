//! What a killed process leaves of sled's own files, and sled 0.34 then trips over.
//!
//! - Its snapshot is written as `snap.*.generating` and renamed. A start takes such a file for the newest snapshot, finds it
//!   torn, and refuses the whole database ("Read corrupted data at file offset None"). It is no more than a copy of what the
//!   database holds, and the one before it is there until the rename.
//! - Its `conf` is written once, in two steps, before there is a database. A torn one is refused likewise.
//!
//! They are removed once sled has refused: by then it had the directory's lock, so that no database that this process
//! closed a moment ago is still writing them.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

/// Opens the database of `dir`; what was left unfinished there is no damage.
///
/// # Errors
/// sled's.
pub(super) fn open(config: &sled::Config, dir: &Path) -> sled::Result<sled::Db> {
    match config.open() {
        Err(sled::Error::Corruption { .. }) if removed(dir) => config.open(),
        opened => opened,
    }
}

/// Removes both kinds of files; whether there were any.
fn removed(dir: &Path) -> bool {
    let Ok(entries) = fs::read_dir(dir) else { return false };
    let empty = !dir.join("db").exists();
    let unfinished =
        |name: &str| (name.starts_with("snap.") && name.ends_with(".generating")) || (empty && name == "conf");
    let mut any = false;
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        any |= unfinished(name) && fs::remove_file(&path).is_ok();
    }
    any
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::checkpoint::pages::{Op, Pages, Sled, Table};

    #[test]
    fn a_torn_snapshot_is_no_damage() {
        let dir = tempfile::tempdir().unwrap();
        for round in 0..4_u8 {
            let database = Sled::open(dir.path(), 1 << 20).unwrap();
            let before = round.checked_sub(1).map(|before| vec![before]);
            assert_eq!(database.get(Table::Meta, b"round").unwrap(), before);
            database.apply(Table::Meta, vec![Op::Put(b"round".to_vec(), vec![round])]).unwrap();
            database.barrier().unwrap();
            drop(database);
            // Killed behind the file's making, and in its midst.
            let torn = vec![7; [0, 5, 13, 4000][usize::from(round)]];
            fs::write(dir.path().join("snap.FFFFFFFFFFFFFFF0.generating"), torn).unwrap();
        }
        assert!(Sled::open(dir.path(), 1 << 20).is_ok());
        fs::write(dir.path().join("snap.FFFFFFFFFFFFFFF0"), b"torn for another reason").unwrap();
        assert!(Sled::open(dir.path(), 1 << 20).is_err(), "what was finished is not thrown away");
    }

    #[test]
    fn killed_before_there_was_a_database() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("conf"), "segment_size: 524288\nuse_compression: false\nversion: ").unwrap();
        assert!(Sled::open(dir.path(), 1 << 20).is_ok());
        assert!(!removed(dir.path()), "the configuration of a database stays");
    }
}
