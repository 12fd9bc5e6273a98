//! A small file system of its own, to run out of space on.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A mounted tmpfs, unmounted when dropped.
pub struct SmallDisk {
    path: PathBuf,
    _holder: tempfile::TempDir,
}

impl SmallDisk {
    /// Mounts one; needs the right to mount, and says so where it is missing.
    #[track_caller]
    pub fn mount(bytes: u64) -> SmallDisk {
        let holder = tempfile::tempdir().expect("a directory");
        let path = holder.path().to_path_buf();
        let done = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"])
            .arg(&path)
            .output()
            .expect("the mount command");
        assert!(
            done.status.success(),
            "this test fills a small tmpfs and must be allowed to mount one (run it as root): {}",
            String::from_utf8_lossy(&done.stderr)
        );
        SmallDisk { path, _holder: holder }
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes all the space that is left with a file; remove the file to give it back.
    pub fn fill(&self) -> PathBuf {
        let path = self.path.join("ballast");
        let mut file = std::fs::File::create(&path).expect("a file");
        let (block, byte) = (vec![1; 1 << 16], [1; 64]);
        while std::io::Write::write_all(&mut file, &block).is_ok() {}
        while std::io::Write::write_all(&mut file, &byte).is_ok() {}
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}
