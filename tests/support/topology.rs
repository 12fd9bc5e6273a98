//! Copies of the shipped directories on free ports, their processes started by their own `start.sh`.

use super::{Client, Info, free_port, wait_until};
use regent::resp::Frame;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A deadline for what takes seconds on an idle machine: founding, failover.
pub const WORKS: Duration = Duration::from_secs(120);

/// The log lines of each member that a failed test shows.
const SHOWN_LINES: usize = 60;

/// A line that only a user writes: no rewrite may touch a space of it.
const USERS_OWN: &str = "#   kept  as it is:\t\"not a directive\n";

/// One node or sentinel.
pub struct Member {
    pub name: String,
    pub port: u16,
    /// The text of its configuration file before its first start.
    pub shipped: String,
    pub dir: PathBuf,
    file: &'static str,
    child: Option<Child>,
}

/// Nodes and three sentinels.
pub struct Topology {
    pub nodes: Vec<Member>,
    pub sentinels: Vec<Member>,
    _root: tempfile::TempDir,
}

/// Named in the environment, it leaves the directories where they are, to look into after a failure.
const KEEP: &str = "REGENT_TEST_KEEP";

/// A file as the repository ships it, whatever a run by hand has made of it; the file itself where there is no git.
fn shipped(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let committed = Command::new("git").arg("-C").arg(root).args(["show", &format!("HEAD:{path}")]).output();
    match committed {
        Ok(output) if output.status.success() => String::from_utf8(output.stdout).expect("a text"),
        _ => fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}")),
    }
}

impl Topology {
    /// Copies so many nodes and three sentinels; nothing runs yet.
    pub fn new(nodes: usize, down_after_ms: u32) -> Topology {
        Topology::with(nodes, down_after_ms, "")
    }

    /// The same, with these lines behind those of each node's own.
    pub fn with(nodes: usize, down_after_ms: u32, directives: &str) -> Topology {
        let mut root = tempfile::Builder::new().prefix("regent-seed-").tempdir().expect("a directory");
        if std::env::var_os(KEEP).is_some() {
            root.disable_cleanup(true);
            eprintln!("kept: {}", root.path().display());
        }
        let mut ports: Vec<(String, u16)> = Vec::new();
        ports.extend((7001..=7003).map(|port: u16| (port.to_string(), free_port())));
        ports.extend((5001..=5003).map(|port: u16| (port.to_string(), free_port())));
        let member = |kind: &str, number: usize, file: &'static str, port: u16| {
            let name = format!("{kind}{number}");
            let place = format!("{kind}s/{name}");
            let dir = root.path().join(&place);
            fs::create_dir_all(&dir).expect("a directory");
            let mut text = shipped(&format!("{place}/{file}"));
            for (from, to) in &ports {
                text = text.replace(from, &to.to_string());
            }
            text = text.replace("myMaster 5000\n", &format!("myMaster {down_after_ms}\n"));
            text.push_str(USERS_OWN);
            if kind == "node" {
                text.push_str(directives);
            }
            fs::write(dir.join(file), &text).expect("written");
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(&place).join("start.sh");
            fs::copy(&script, dir.join("start.sh")).expect("copied");
            fs::set_permissions(dir.join("start.sh"), fs::Permissions::from_mode(0o755)).expect("executable");
            Member { name, port, shipped: text, dir, file, child: None }
        };
        Topology {
            nodes: (1..=nodes).map(|number| member("node", number, "redis.conf", ports[number - 1].1)).collect(),
            sentinels: (1..=3).map(|number| member("sentinel", number, "sentinel.conf", ports[number + 2].1)).collect(),
            _root: root,
        }
    }

    /// Starts all.
    pub fn start(&mut self) {
        self.nodes.iter_mut().chain(&mut self.sentinels).for_each(Member::start);
    }

    /// Stops all with SIGTERM, and waits until they have ended.
    #[track_caller]
    pub fn stop(&mut self) {
        for member in self.sentinels.iter().chain(&self.nodes) {
            member.signal(libc::SIGTERM);
        }
        self.sentinels.iter_mut().chain(&mut self.nodes).for_each(Member::wait_end);
    }

    /// Waits until the first node feeds all others and the three sentinels are a group that names it.
    #[track_caller]
    pub fn wait_healthy(&self) {
        self.wait_good_replicas(self.nodes.len() as i64 - 1);
        self.wait_agreed(self.nodes[0].port);
    }

    /// Waits until the first node has so many good replicas.
    #[track_caller]
    pub fn wait_good_replicas(&self, count: i64) {
        wait_until(&format!("{count} good replicas"), WORKS, || {
            let info = self.nodes[0].try_info("replication");
            info.is_some_and(|info| info.find("min_slaves_good_slaves") == Some(count.to_string().as_str()))
        });
    }

    /// Waits until each sentinel names that master, sees all, and could fail over.
    #[track_caller]
    pub fn wait_agreed(&self, port: u16) {
        for sentinel in &self.sentinels {
            wait_until(&format!("{} agrees on {port}", sentinel.name), WORKS, || {
                let usable = sentinel.text(&["SENTINEL", "CKQUORUM", "myMaster"]);
                let member = sentinel.try_info("sentinel").is_some_and(|info| info.find("regent_group").is_some());
                member
                    && usable.starts_with("OK 3 usable Sentinels.")
                    && sentinel.master_fields().is_some_and(|fields| {
                        fields["port"] == port.to_string()
                            && fields["flags"] == "master"
                            && fields["num-slaves"] == (self.nodes.len() - 1).to_string()
                    })
            });
        }
    }

    /// The id of the group, which all three tell alike.
    #[track_caller]
    pub fn group(&self) -> String {
        let ids = self.sentinels.iter().map(|sentinel| sentinel.info("sentinel").get("regent_group").to_string());
        let ids: Vec<String> = ids.collect();
        assert!(ids.iter().all(|id| *id == ids[0] && id.len() == 32), "{ids:?}");
        ids[0].clone()
    }

    /// The epoch of the agreed master, which all three tell alike.
    #[track_caller]
    pub fn epoch(&self) -> String {
        let told =
            self.sentinels.iter().map(|sentinel| sentinel.master_fields().expect("it answers")["config-epoch"].clone());
        let told: Vec<String> = told.collect();
        assert!(told.iter().all(|epoch| *epoch == told[0]), "{told:?}");
        told[0].clone()
    }

    /// `./list_redis_ps.sh` names each with its role and its port.
    #[track_caller]
    pub fn lists_its_processes(&self) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("list_redis_ps.sh");
        let output = Command::new(&script).output().expect("it runs");
        let text = String::from_utf8_lossy(&output.stdout);
        for (members, role) in [(&self.nodes, "node"), (&self.sentinels, "sentinel")] {
            for member in members {
                let start = format!("{} regent {role} 127.0.0.1:{}", member.pid(), member.port);
                assert!(text.lines().any(|line| line.starts_with(&start)), "{start}: not in\n{text}");
            }
        }
    }
}

impl Member {
    /// Starts it through its `start.sh`, its output into its log.
    pub fn start(&mut self) {
        assert!(self.child.is_none(), "{} runs already", self.name);
        let log = fs::File::options().create(true).append(true).open(self.log_path()).expect("a log file");
        let mut command = Command::new(self.dir.join("start.sh"));
        command.env("REGENT", regent()).current_dir("/").stdin(Stdio::null());
        command.stdout(log.try_clone().expect("a descriptor")).stderr(log);
        // SAFETY: prctl is a plain system call, allowed between fork and exec.
        unsafe {
            command.pre_exec(|| {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                Ok(())
            });
        }
        self.child = Some(command.spawn().expect("start.sh runs"));
    }

    fn log_path(&self) -> PathBuf {
        self.dir.join("log")
    }

    /// Its process id: `start.sh` becomes the server.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Sends a signal.
    pub fn signal(&self, signal: i32) {
        // SAFETY: a plain system call on a child that has not been waited for.
        unsafe { libc::kill(self.pid() as i32, signal) };
    }

    #[track_caller]
    fn wait_end(&mut self) {
        let child = self.child.as_mut().expect("it runs");
        let mut status = None;
        wait_until(&format!("{} ends", self.name), WORKS, || {
            status = child.try_wait().expect("its status");
            status.is_some()
        });
        assert!(status.is_some_and(|status| status.success()), "{} ended with {status:?}", self.name);
        self.child = None;
    }

    /// All that it has logged, over all its starts.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log_path()).unwrap_or_default()).into_owned()
    }

    /// Waits until the log holds the text.
    #[track_caller]
    pub fn wait_for_log(&self, text: &str) {
        wait_until(&format!("{} logs {text:?}", self.name), WORKS, || self.log().contains(text));
    }

    /// Its configuration file, as it is now.
    pub fn config(&self) -> String {
        fs::read_to_string(self.dir.join(self.file)).expect("a configuration file")
    }

    /// A request and its reply, where it answers.
    pub fn try_cmd(&self, words: &[&str]) -> Option<Frame> {
        Client::connect(self.port).ok()?.try_cmd(words).ok()
    }

    /// A request and its reply.
    #[track_caller]
    pub fn cmd(&self, words: &[&str]) -> Frame {
        self.try_cmd(words).unwrap_or_else(|| panic!("{} does not answer {words:?}", self.name))
    }

    /// The text of a reply, of an error too; nothing where there is none.
    pub fn text(&self, words: &[&str]) -> String {
        let reply = self.try_cmd(words);
        let text = reply.as_ref().and_then(|reply| reply.text().or(reply.error().map(str::as_bytes)));
        String::from_utf8_lossy(text.unwrap_or_default()).into_owned()
    }

    /// A section of INFO.
    #[track_caller]
    pub fn info(&self, section: &str) -> Info {
        self.try_info(section).unwrap_or_else(|| panic!("{} does not answer INFO", self.name))
    }

    /// The same, where it answers.
    pub fn try_info(&self, section: &str) -> Option<Info> {
        let reply = self.try_cmd(&["INFO", section])?;
        Some(Info::parse(&String::from_utf8_lossy(reply.text()?)))
    }

    /// The copies that it served since its start: in full, in part.
    #[track_caller]
    pub fn syncs(&self) -> (i64, i64) {
        let stats = self.info("stats");
        (stats.int("sync_full"), stats.int("sync_partial_ok"))
    }

    /// `SENTINEL MASTER myMaster`, where it answers.
    pub fn master_fields(&self) -> Option<BTreeMap<String, String>> {
        fields(&self.try_cmd(&["SENTINEL", "MASTER", "myMaster"])?)
    }

    /// `SENTINEL REPLICAS myMaster`, or SENTINELS.
    pub fn listed(&self, which: &str) -> Vec<BTreeMap<String, String>> {
        let reply = self.try_cmd(&["SENTINEL", which, "myMaster"]);
        let items = reply.as_ref().and_then(Frame::items).unwrap_or_default();
        items.iter().filter_map(fields).collect()
    }
}

/// The fields of one instance.
fn fields(reply: &Frame) -> Option<BTreeMap<String, String>> {
    let words: Vec<String> = match reply {
        Frame::Map(pairs) => pairs.iter().flat_map(|(key, value)| [key, value]).map(word).collect(),
        _ => reply.items()?.iter().map(word).collect(),
    };
    let pairs = words.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone()));
    Some(pairs.collect()).filter(|fields: &BTreeMap<_, _>| fields.contains_key("port"))
}

fn word(frame: &Frame) -> String {
    String::from_utf8_lossy(frame.text().unwrap_or_default()).into_owned()
}

fn regent() -> String {
    std::env::var("REGENT").unwrap_or_else(|_| env!("CARGO_BIN_EXE_regent").into())
}

impl Drop for Member {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let shown = lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n");
            eprintln!("---- {} on port {}:\n{shown}\n----", self.name, self.port);
        }
    }
}
