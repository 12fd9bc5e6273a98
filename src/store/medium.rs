//! The files under the log, behind a small trait, so that a double can fail any of them at any step.
//!
//! What is assumed of a medium, and nothing more: `append` puts bytes behind all earlier ones or fails having put any
//! prefix of them; bytes are in the operating system's hands when `append` returns (they outlive the process) and on
//! the disk when a later `sync_data` returns (they outlive the power); a file's name outlives the power after
//! `sync_dir`. After a failed `sync_data` nothing is known of the bytes since the last good one, and a later one that
//! succeeds says nothing of them, unless they were written again.

use std::fs;
use std::io::{self, IoSlice, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One file that only grows, but for cuts at its end.
pub trait SegmentFile: Send + Sync {
    /// Appends `head` and `body` with one system call (more only if the system takes a part).
    fn append(&self, head: &[u8], body: &[u8]) -> io::Result<()>;
    /// Reads at a place; returns the bytes read, fewer only at the end of the file.
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize>;
    /// The file's length in bytes.
    fn length(&self) -> io::Result<u64>;
    /// Cuts the file.
    fn truncate(&self, length: u64) -> io::Result<()>;
    /// Takes space on the disk for the bytes from `from` up to `upto`, beyond the file's end, without changing its length:
    /// appends up to there can't fail for want of it. Where the system has no such thing, nothing is done.
    fn reserve(&self, from: u64, upto: u64) -> io::Result<()>;
    /// Gives the space beyond the file's end back.
    fn unreserve(&self, length: u64) -> io::Result<()>;
    /// Brings the bytes, and the length they need, to the disk.
    fn sync_data(&self) -> io::Result<()>;
}

/// A directory of such files.
pub trait Medium: Send + Sync {
    /// Makes a file that must not exist yet.
    fn create(&self, name: &str) -> io::Result<Arc<dyn SegmentFile>>;
    /// Opens a file that must exist.
    fn open(&self, name: &str) -> io::Result<Arc<dyn SegmentFile>>;
    /// Writes bytes that the file has already once more in their place, so that the next sync writes them.
    fn rewrite(&self, name: &str, position: u64, bytes: &[u8]) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// The names of all files.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Brings creations and removals to the disk.
    fn sync_dir(&self) -> io::Result<()>;
    /// The path that a message to a person names.
    fn path(&self, name: &str) -> PathBuf;
}

/// The real one: a directory of the file system.
pub struct Directory {
    path: PathBuf,
    handle: fs::File,
}

impl Directory {
    /// Opens the directory, making it if it is missing.
    pub fn open(path: &Path) -> io::Result<Self> {
        if !path.is_dir() {
            fs::create_dir_all(path)?;
            if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                fs::File::open(parent)?.sync_all()?;
            }
        }
        Ok(Directory { path: path.to_path_buf(), handle: fs::File::open(path)? })
    }
}

impl Medium for Directory {
    fn create(&self, name: &str) -> io::Result<Arc<dyn SegmentFile>> {
        let file = fs::OpenOptions::new().read(true).append(true).create_new(true).open(self.path.join(name))?;
        Ok(Arc::new(RealFile(file)))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn SegmentFile>> {
        let file = fs::OpenOptions::new().read(true).append(true).open(self.path.join(name))?;
        Ok(Arc::new(RealFile(file)))
    }

    fn rewrite(&self, name: &str, position: u64, bytes: &[u8]) -> io::Result<()> {
        // A descriptor of its own: on one that appends, Linux ignores the place.
        fs::OpenOptions::new().write(true).open(self.path.join(name))?.write_all_at(bytes, position)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.handle.sync_all()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

struct RealFile(fs::File);

impl SegmentFile for RealFile {
    fn append(&self, head: &[u8], body: &[u8]) -> io::Result<()> {
        let total = head.len() + body.len();
        let mut done = 0;
        while done < total {
            let parts =
                [IoSlice::new(&head[done.min(head.len())..]), IoSlice::new(&body[done.saturating_sub(head.len())..])];
            match (&self.0).write_vectored(&parts) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => done += written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < buffer.len() {
            match self.0.read_at(&mut buffer[done..], position + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }

    fn reserve(&self, from: u64, upto: u64) -> io::Result<()> {
        let (Ok(from), Ok(length)) = (from.try_into(), upto.saturating_sub(from).try_into()) else {
            return Err(io::ErrorKind::FileTooLarge.into());
        };
        loop {
            // SAFETY: a plain system call on a descriptor that lives as long as `self`.
            let done = unsafe { libc::fallocate(self.0.as_raw_fd(), libc::FALLOC_FL_KEEP_SIZE, from, length) };
            if done == 0 {
                return Ok(());
            }
            let error = io::Error::last_os_error();
            match error.raw_os_error() {
                Some(libc::EINTR) => {}
                Some(libc::EOPNOTSUPP | libc::ENOSYS | libc::EINVAL) => return Ok(()),
                _ => return Err(error),
            }
        }
    }

    fn unreserve(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}
