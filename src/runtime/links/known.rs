//! Who may hold more of the stream than this node's disk, should the power fail: the file `regent-replicas` in `dir`.
//!
//! It names the boot of the machine and the replicas that are fed. It is written when these change, and taken away at a
//! clean stop. At a start under the same boot nothing can be missing (what a killed process wrote is in the system's
//! cache), and nobody is asked. Under another one the replicas are ([`Tail`](crate::replication::Tail)), and the old boot
//! stays in the file until the node has taken an id of its own or follows a master: until then the question is open.
//!
//! A replica that went stays in the file until all that it can have been fed is on this disk too.

use crate::base::Offset;
use crate::command::Server;
use crate::replication::Durable;
use crate::runtime::process::boot_id;
use crate::runtime::world::World;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::rc::Rc;

const FILE: &str = "regent-replicas";
const TITLE: &str = "# Regent: the replicas that may hold more than this disk after a power cut. Without this file, and under the same \
                     boot, nobody is asked.";

struct Replica {
    host: String,
    port: u16,
    /// It went when our stream ended here.
    gone: Option<Offset>,
}

/// See the module.
#[derive(Default)]
pub struct Known {
    path: PathBuf,
    boot: String,
    /// The boot that an open question is about.
    before: Option<String>,
    replicas: Vec<Replica>,
    written: String,
    writing: bool,
}

impl Known {
    /// What the file says.
    pub fn read(dir: &Path) -> Known {
        let path = dir.join(FILE);
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        let mut known = Known { path, boot: boot_id(), ..Known::default() };
        for line in written.lines() {
            match line.split(' ').collect::<Vec<_>>()[..] {
                ["boot", boot] if boot != known.boot => known.before = Some(boot.to_owned()),
                ["replica", host, port] => {
                    let Ok(port) = port.parse() else { continue };
                    known.replicas.push(Replica { host: host.to_owned(), port, gone: Some(Offset(u64::MAX)) });
                }
                _ => {}
            }
        }
        known.written = written;
        known
    }

    /// Whether the machine went down under this node since the file was written.
    pub fn lost_power(&self) -> bool {
        self.before.is_some()
    }

    /// (host, port) of everyone who may hold more.
    pub fn addresses(&self) -> Vec<(String, u16)> {
        self.replicas.iter().map(|replica| (replica.host.clone(), replica.port)).collect()
    }

    /// Takes in who is fed now; what the file is to say, where it says something else.
    fn note(&mut self, server: &Server) -> Option<String> {
        let Durable::From { synced, .. } = server.stream.durable() else { return None };
        let open = server.stream.must_own();
        let fed = || server.source.replicas(server.mono).filter(|replica| replica.native && replica.state == "online");
        for replica in fed() {
            let Some(port) = u16::try_from(replica.port).ok().filter(|&port| port > 0) else { continue };
            match self.replicas.iter_mut().find(|known| known.host == replica.ip && known.port == port) {
                Some(known) => known.gone = None,
                None if replica.ip.contains(|c: char| c.is_whitespace() || c.is_control()) => {}
                None => self.replicas.push(Replica { host: replica.ip.to_owned(), port, gone: None }),
            }
        }
        self.replicas.retain_mut(|known| {
            if fed().any(|replica| replica.ip == known.host && replica.port == i64::from(known.port)) {
                return true;
            }
            // Those of the file are asked for as long as the question is open; after that they are as the others.
            let gone = known.gone.filter(|&at| open || at != Offset(u64::MAX)).unwrap_or(server.stream.end());
            known.gone = Some(gone);
            open || synced < gone
        });
        if !open {
            self.before = None;
        }
        let text = self.text();
        (text != self.written && (!self.written.is_empty() || !self.replicas.is_empty())).then_some(text)
    }

    fn text(&self) -> String {
        let mut text = format!("{TITLE}\nboot {}\n", self.before.as_ref().unwrap_or(&self.boot));
        for replica in &self.replicas {
            text.push_str(&format!("replica {} {}\n", replica.host, replica.port));
        }
        text
    }

    /// After a clean stop nothing is missing, unless it was missing before.
    pub fn forget(&self) {
        if !self.lost_power() && !self.written.is_empty() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Brings the file up to date, on a thread of its own; called at every beat.
pub fn note(world: &Rc<World>) {
    let (path, text) = {
        let mut links = world.links.borrow_mut();
        if links.known.writing {
            return;
        }
        let Some(text) = links.known.note(&world.server.borrow()) else { return };
        links.known.writing = true;
        links.known.written = text.clone();
        (links.known.path.clone(), text)
    };
    let world = world.clone();
    tokio::task::spawn_local(async move {
        let shown = path.display().to_string();
        let done = tokio::task::spawn_blocking(move || write(&path, &text)).await;
        if let Ok(Err(error)) = done {
            tracing::warn!(
                "Can't write {shown}: {error}. After a power cut, replicas could not be asked for a lost tail."
            );
        }
        world.links.borrow_mut().known.writing = false;
    });
}

/// The whole file or the old one, on the disk when this returns.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let fresh = path.with_extension("new");
    let mut file = std::fs::File::create(&fresh)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&fresh, path)?;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_boot_is_noticed_and_kept_while_the_question_is_open() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join(FILE);
        assert!(!Known::read(dir.path()).lost_power(), "no file, no question");
        write(&path, &format!("{TITLE}\nboot {}\nreplica 10.0.0.1 7001\n", boot_id())).expect("written");
        assert!(!Known::read(dir.path()).lost_power(), "a killed process loses nothing");
        let old = format!("{TITLE}\nboot another\nreplica 10.0.0.1 7001\nreplica ::1 7002\nreplica x y\n");
        write(&path, &old).expect("written");
        let known = Known::read(dir.path());
        assert!(known.lost_power());
        assert_eq!(known.addresses(), [("10.0.0.1".to_string(), 7001), ("::1".to_string(), 7002)]);
        assert!(known.text().contains("boot another\n"));
        known.forget();
        assert!(path.exists(), "the question is open");
    }
}
