//! What a start finds in `dir` after an accident: it takes what is whole, or names the file and the place and leaves
//! everything as it is, so that putting it right brings everything back.

use crate::support::{SOON, Server, wait_until};
use regent::resp::Frame;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A node with some keys, ended by `kill -9`; its digest.
fn ended(directives: &[&str], saved: bool) -> (Server, String) {
    let mut node = Server::node(directives);
    for n in 0..400 {
        node.ok(&format!("SET key:{n} {}", "v".repeat(n)));
    }
    if saved {
        node.save();
        node.ok("SET behind the-checkpoint");
    }
    let digest = node.digest();
    node.kill();
    (node, digest)
}

/// It does not start, and says this in its last line.
#[track_caller]
fn refuses(node: &mut Server, text: &str) {
    let (status, said) = node.refused();
    assert_eq!(status.code(), Some(1));
    let last = said.lines().last().unwrap_or_default();
    assert!(last.ends_with(text), "{said}");
}

#[test]
fn a_torn_tail_is_cut_and_told() {
    let (mut node, digest) = ended(&[], false);
    let path = node.last_segment();
    let length = std::fs::metadata(&path).expect("a file").len();
    let mut file = std::fs::File::options().append(true).open(&path).expect("the segment");
    std::io::Write::write_all(&mut file, b"\xc5RG half a rec").expect("written");
    node.start();
    let line = format!("torn tail of the log {}: 14 bytes cut off at byte {length} (offset ", path.display());
    let log = node.log();
    let told = log.lines().find(|told| told.contains(&line)).unwrap_or_else(|| panic!("not told: {log}"));
    assert!(told.ends_with("): the record's header is cut off"), "{told}");
    assert_eq!(node.digest(), digest);
    assert_eq!(std::fs::metadata(&path).expect("a file").len(), length);
    node.ok("SET on and");
    let digest = node.digest();
    node.crash();
    assert_eq!(node.digest(), digest);
}

#[test]
fn a_flipped_bit_in_the_log_is_named_and_nothing_behind_it_is_given_up() {
    let mut node = Server::node(&["appendfsync always"]);
    for n in 0..400 {
        node.ok(&format!("SET key:{n} value"));
    }
    let digest = node.digest();
    node.kill();
    let path = node.last_segment();
    let good = std::fs::read(&path).expect("the segment");
    let mut bad = good.clone();
    let middle = bad.len() / 2;
    bad[middle] ^= 1;
    std::fs::write(&path, &bad).expect("written");
    let (status, said) = node.refused();
    assert_eq!(status.code(), Some(1));
    let last = said.lines().last().unwrap_or_default();
    assert!(last.contains(&format!("the log {} is damaged at byte ", path.display())), "{last}");
    assert!(last.contains(", which was synced"), "{last}");
    assert_eq!(std::fs::read(&path).expect("the segment"), bad, "it was left alone");
    std::fs::write(&path, &good).expect("written");
    node.start();
    assert_eq!(node.digest(), digest);
}

#[test]
fn a_half_that_is_missing_is_no_empty_start() {
    let (mut node, digest) = ended(&[], true);
    // A second checkpoint of a restarted node, so that the log does not begin at the beginning.
    let (log, store) = (node.path.join("regent-log"), node.path.join("regent-store"));
    let aside = node.path.join("aside");
    std::fs::rename(&log, &aside).expect("moved");
    refuses(
        &mut node,
        "; put the log back, or start once with the checkpoint alone, giving up all that was written after it",
    );
    let named = format!("the log of generation 1 is missing in {}/ beside a checkpoint at offset ", log.display());
    assert!(node.log().contains(&named), "{}", node.log());
    std::fs::remove_dir_all(&log).expect("an empty directory");
    std::fs::rename(&aside, &log).expect("moved back");
    node.start();
    assert_eq!(node.digest(), digest);

    // The log alone is the whole from an empty keyspace on.
    node.kill();
    std::fs::rename(&store, &aside).expect("moved");
    node.start();
    assert_eq!(node.digest(), digest);
    node.kill();
    std::fs::remove_dir_all(&store).expect("a directory");
    std::fs::rename(&aside, &store).expect("moved back");
    // Not so a log that begins later.
    node.start();
    node.ok("CONFIG SET appendonly no");
    node.ok("CONFIG SET appendonly yes");
    node.save();
    node.ok("SET behind again");
    let digest = node.digest();
    node.kill();
    std::fs::rename(&store, &aside).expect("moved");
    refuses(&mut node, "; put the checkpoint's directory back, or move the log away to start empty");
    let named =
        format!("the checkpoint (regent-store) is missing beside the log {}/, whose generation ", log.display());
    assert!(node.log().contains(&named), "{}", node.log());
    let _ = std::fs::remove_dir_all(&store);
    std::fs::rename(&aside, &store).expect("moved back");
    node.start();
    assert_eq!(node.digest(), digest);
}

/// The database's file cut off or damaged in many places: the node starts with all that it had, or says what is wrong
/// with the checkpoint. Never does it serve less.
#[test]
fn a_checkpoint_whose_file_is_cut_off_or_damaged_is_never_served_in_part() {
    for directive in ["appendonly yes", "appendonly no"] {
        let mut node = Server::node(&[directive]);
        for n in 0..3000 {
            node.ok(&format!("SET key:{n} {}", "v".repeat(n % 700)));
        }
        node.save();
        let digest = node.digest();
        node.kill();
        let file = node.path.join("regent-store/db");
        let good = std::fs::read(&file).expect("sled's file");
        let used = good.iter().rposition(|&byte| byte != 0).expect("it holds something") + 1;
        let (mut refused, mut whole) = (0, 0);
        for eighth in 0..8 {
            let at = used * eighth / 8;
            let mut flipped = good.clone();
            let place = at + good[at..used].iter().position(|&byte| byte != 0).unwrap_or(0);
            flipped[place] ^= 0x10;
            for bad in [good[..at].to_vec(), flipped] {
                std::fs::write(&file, &bad).expect("written");
                let before = node.log().len();
                node.spawn();
                let mut ended = false;
                wait_until("it starts or ends", SOON, || {
                    ended = !node.runs();
                    ended || node.log()[before..].contains("Ready to accept")
                });
                if ended {
                    assert_eq!(node.wait_end().code(), Some(1), "{}", node.log());
                    let log = node.log();
                    let last = log.lines().last().unwrap_or_default();
                    let named = last.contains(&format!("checkpoint {}/regent-store", node.path.display()));
                    assert!(named, "cut or damaged at {at}: {last}");
                    refused += 1;
                } else {
                    assert_eq!(node.digest(), digest, "cut or damaged at {at} of {used}: it serves something else");
                    whole += 1;
                }
                node.kill();
            }
        }
        assert!(refused > 0, "{directive}: {whole} starts were whole");
        std::fs::write(&file, &good).expect("written");
        node.start();
        assert_eq!(node.digest(), digest);
    }
}

#[test]
fn two_processes_on_one_dir_and_a_port_in_use() {
    let node = Server::node(&[]);
    node.ok("SET k v");
    let mut second = Server::prepare_node_at(&node.path, &[]);
    let pid = node.info("server").get("process_id").to_string();
    refuses(
        &mut second,
        &format!("# the data directory {} is in use by another process (pid {pid})", node.path.display()),
    );
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("its address").port();
    let mut third = Server::prepare_node(&[]);
    third.set("port", &port.to_string());
    refuses(&mut third, &format!("# Failed listening on port {port} (tcp), aborting."));
    let said = third.log();
    let why =
        format!("Warning: Could not create server TCP listening socket 127.0.0.1:{port}: bind: Address already in use");
    assert!(said.contains(&why), "{said}");
    assert_eq!(std::fs::read_dir(&third.path).expect("its dir").count(), 0, "nothing was made yet");
    assert_eq!(node.ask("GET k").text(), Some(&b"v"[..]));
}

/// Mounts something for as long as the value lives.
pub struct Mount(PathBuf);

impl Mount {
    /// `mount` with these arguments over `path`; needs the right to mount, and says so where it is missing.
    #[track_caller]
    pub fn over(path: &Path, args: &[&str]) -> Mount {
        let done = Command::new("mount").args(args).arg(path).output().expect("the mount command");
        assert!(
            done.status.success(),
            "this test mounts something and must be allowed to (run it as root): {}",
            String::from_utf8_lossy(&done.stderr)
        );
        Mount(path.to_path_buf())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_dir_that_cannot_be_used_is_named() {
    let holder = tempfile::tempdir().expect("a directory");
    let file = holder.path().join("file");
    std::fs::write(&file, "").expect("a file");
    let mut below = Server::prepare_node(&[]);
    below.set("dir", &file.join("below").display().to_string());
    let (status, said) = below.refused();
    assert_eq!(status.code(), Some(1));
    assert!(said.contains("FATAL CONFIG FILE ERROR"), "{said}");
    assert!(said.contains(&format!(">>> 'dir \"{}\"'\nNot a directory\n", file.join("below").display())), "{said}");

    let path = holder.path().join("sealed");
    std::fs::create_dir(&path).expect("a directory");
    let sealed = Mount::over(&path, &["-t", "tmpfs", "-o", "ro,size=1m", "tmpfs"]);
    let mut node = Server::prepare_node_at(&path, &[]);
    let (status, said) = node.refused();
    assert_eq!(status.code(), Some(1));
    let last = said.lines().last().unwrap_or_default();
    assert!(last.contains(&path.display().to_string()) && last.contains("Read-only file system"), "{said}");
    drop(sealed);
    node.start();
    assert_eq!(node.ask("DBSIZE"), Frame::Int(0));
}
