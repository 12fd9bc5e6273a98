//! Servers as processes: ours and Redis', each in a directory of its own.

use super::{Client, Info, SOON, free_port, wait_for, wait_until};
use regent::resp::Frame;
use std::cell::RefCell;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::rc::Rc;
use std::time::Duration;

/// A directory that is removed with the last server in it.
pub type Dir = Rc<tempfile::TempDir>;

/// The log lines that a failed test shows.
const SHOWN_LINES: usize = 80;

/// What a server is, and how it is started again.
pub struct Server {
    program: String,
    role: Option<&'static str>,
    args: Vec<String>,
    env: Vec<(String, String)>,
    pub port: u16,
    /// Its `dir`; the log stands beside it.
    pub path: PathBuf,
    log: PathBuf,
    child: Option<Child>,
    control: RefCell<Option<Client>>,
    password: Option<String>,
    _holder: Dir,
}

impl Server {
    /// `regent node` with these directives (`--name value ...` without the dashes: "appendonly no").
    #[track_caller]
    pub fn node(directives: &[&str]) -> Server {
        let mut server = Server::prepare_node(directives);
        server.start();
        server
    }

    /// The same, not started yet.
    pub fn prepare_node(directives: &[&str]) -> Server {
        Server::prepare(env!("CARGO_BIN_EXE_regent").into(), Some("node"), &with_debug(directives), None)
    }

    /// A node whose data stand in `path`.
    pub fn prepare_node_at(path: &Path, directives: &[&str]) -> Server {
        Server::prepare(env!("CARGO_BIN_EXE_regent").into(), Some("node"), &with_debug(directives), Some(path))
    }

    /// `redis-server` with these directives.
    #[track_caller]
    pub fn redis(directives: &[&str]) -> Server {
        let mut all = with_debug(directives);
        all.extend(["save \"\"".to_string(), "repl-diskless-sync-delay 0".to_string()]);
        let mut server = Server::prepare("redis-server".into(), None, &all, None);
        server.start();
        server
    }

    /// `regent sentinel`, or Redis', over a configuration file with these lines.
    #[track_caller]
    pub fn sentinel(ours: bool, lines: &[String]) -> Server {
        let program = if ours { env!("CARGO_BIN_EXE_regent") } else { "redis-sentinel" };
        let mut server = Server::prepare(program.into(), ours.then_some("sentinel"), &[], None);
        let file = server.path.join("sentinel.conf");
        let text = format!("port {}\ndir {}\n{}\n", server.port, server.path.display(), lines.join("\n"));
        std::fs::write(&file, text).expect("written");
        server.args = vec![file.display().to_string()];
        server.start();
        server
    }

    fn prepare(program: String, role: Option<&'static str>, directives: &[String], path: Option<&Path>) -> Server {
        let holder: Dir = Rc::new(tempfile::Builder::new().prefix("regent-test-").tempdir().expect("a directory"));
        let path = path.map_or_else(|| holder.path().join("data"), Path::to_path_buf);
        std::fs::create_dir_all(&path).expect("a directory");
        let port = free_port();
        let own = [format!("port {port}"), "bind 127.0.0.1".into(), format!("dir {}", path.display())];
        let mut args = Vec::new();
        for directive in own.iter().chain(directives) {
            let mut words = directive.splitn(2, ' ');
            args.push(format!("--{}", words.next().unwrap_or_default()));
            let value = words.next().unwrap_or_default();
            if value == "\"\"" { args.push(String::new()) } else { args.extend(value.split(' ').map(str::to_string)) }
        }
        let log = holder.path().join("log");
        let control = RefCell::new(None);
        Server {
            program,
            role,
            args,
            env: Vec::new(),
            port,
            path,
            log,
            child: None,
            control,
            password: None,
            _holder: holder,
        }
    }

    /// The file of its log that was written last: not the one that is made ahead, and holds nothing.
    pub fn last_segment(&self) -> PathBuf {
        let files = std::fs::read_dir(self.path.join("regent-log")).expect("the log's directory");
        let holds = |path: &PathBuf| std::fs::metadata(path).expect("a file").len() > 64 + 56;
        files.map(|file| file.expect("a file").path()).filter(holds).max().expect("a segment")
    }

    /// The control connection authenticates with it.
    pub fn with_password(mut self, password: &str) -> Server {
        self.password = Some(password.into());
        self
    }

    /// Sets a variable of its environment for the next start.
    pub fn env(&mut self, name: &str, value: &str) {
        self.env.push((name.into(), value.into()));
    }

    /// Adds a directive for the next start, in front of which it wins.
    pub fn set(&mut self, name: &str, value: &str) {
        self.args.push(format!("--{name}"));
        self.args.extend(value.split(' ').map(str::to_string));
    }

    /// The directive is not given any more at the next start.
    pub fn unset(&mut self, name: &str) {
        let word = format!("--{name}");
        while let Some(at) = self.args.iter().position(|arg| *arg == word) {
            let end = self.args[at + 1..].iter().position(|arg| arg.starts_with("--"));
            self.args.drain(at..end.map_or(self.args.len(), |end| at + 1 + end));
        }
    }

    /// Starts it and waits until it answers.
    #[track_caller]
    pub fn start(&mut self) {
        self.spawn();
        self.wait_ready();
    }

    /// Starts it.
    pub fn spawn(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        let log = File::options().create(true).append(true).open(&self.log).expect("a log file");
        let mut command = Command::new(&self.program);
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command.args(self.role).args(&self.args).stdin(Stdio::null());
        command.stdout(log.try_clone().expect("a descriptor")).stderr(log).current_dir(&self.path);
        // SAFETY: prctl is a plain system call, allowed between fork and exec.
        unsafe {
            command.pre_exec(|| {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                Ok(())
            });
        }
        self.child =
            Some(command.spawn().unwrap_or_else(|error| panic!("{} must be installed: {error}", self.program)));
    }

    /// Waits until it answers PING with anything.
    #[track_caller]
    pub fn wait_ready(&mut self) {
        let port = self.port;
        wait_until("the server answers", SOON, || {
            if let Some(status) = self.child.as_mut().and_then(|child| child.try_wait().expect("its status")) {
                panic!("{} ended with {status}", self.program);
            }
            let Ok(mut client) = Client::connect(port) else { return false };
            let pong = client.try_cmd(&["PING"]);
            pong.is_ok() && !matches!(pong, Ok(Frame::Error(text)) if text.starts_with("LOADING"))
        });
        self.control.replace(None);
    }

    /// Starts it, expecting that it refuses to run: its status and what it said.
    #[track_caller]
    pub fn refused(&mut self) -> (ExitStatus, String) {
        let before = self.log().len();
        self.spawn();
        let status = self.wait_end();
        (status, self.log()[before..].to_string())
    }

    /// Waits until the process has ended by itself.
    #[track_caller]
    pub fn wait_end(&mut self) -> ExitStatus {
        let child = self.child.as_mut().expect("it was started");
        let status = wait_for("the process ends", SOON, || child.try_wait().expect("its status"));
        self.child = None;
        self.control.replace(None);
        status
    }

    /// Whether the process runs.
    pub fn runs(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().expect("its status").is_none())
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        self.control.replace(None);
    }

    /// `kill -9`, and started again.
    #[track_caller]
    pub fn crash(&mut self) {
        self.kill();
        self.start();
    }

    /// Sends a signal.
    pub fn signal(&self, signal: i32) {
        let pid = self.child.as_ref().expect("it runs").id();
        // SAFETY: a plain system call on a child that has not been waited for.
        unsafe { libc::kill(pid as i32, signal) };
    }

    /// All that it has logged so far, over all its starts.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Waits until the log holds the text.
    #[track_caller]
    pub fn wait_for_log(&self, text: &str) {
        wait_until(&format!("the log says {text:?}"), SOON, || self.log().contains(text));
    }

    /// A new connection.
    #[track_caller]
    pub fn client(&self) -> Client {
        let mut client = Client::connect(self.port).unwrap_or_else(|error| panic!("port {}: {error}", self.port));
        if let Some(password) = &self.password {
            assert!(client.cmd(&["AUTH", password]).is_ok());
        }
        client
    }

    /// A request over the control connection.
    #[track_caller]
    pub fn cmd<T: AsRef<[u8]>>(&self, args: &[T]) -> Frame {
        let mut control = self.control.borrow_mut();
        control.get_or_insert_with(|| self.client()).cmd(args)
    }

    /// The same, its words separated by spaces.
    #[track_caller]
    pub fn ask(&self, line: &str) -> Frame {
        self.cmd(&line.split(' ').collect::<Vec<_>>())
    }

    /// A request that must be answered by OK.
    #[track_caller]
    pub fn ok(&self, line: &str) {
        let reply = self.ask(line);
        assert!(reply.is_ok(), "{line}: {reply:?}");
    }

    /// SAVE, behind a checkpoint that may be under way.
    #[track_caller]
    pub fn save(&self) {
        wait_until("SAVE is taken", SOON, || match self.ask("SAVE") {
            Frame::Error(text) if text.contains("in progress") => false,
            reply => {
                assert!(reply.is_ok(), "SAVE: {reply:?}");
                true
            }
        });
    }

    /// A section of INFO.
    #[track_caller]
    pub fn info(&self, section: &str) -> Info {
        let reply = self.cmd(&["INFO", section]);
        let text = reply.text().unwrap_or_else(|| panic!("INFO {section}: {reply:?}"));
        Info::parse(&String::from_utf8_lossy(text))
    }

    /// DEBUG DIGEST.
    #[track_caller]
    pub fn digest(&self) -> String {
        let reply = self.ask("DEBUG DIGEST");
        String::from_utf8_lossy(reply.text().unwrap_or_else(|| panic!("DEBUG DIGEST: {reply:?}"))).into_owned()
    }

    /// Its place in the replication history: id and offset.
    #[track_caller]
    pub fn place(&self) -> (String, i64) {
        let info = self.info("replication");
        (info.get("master_replid").to_string(), info.int("master_repl_offset"))
    }

    /// Makes it follow another one.
    #[track_caller]
    pub fn follow(&self, master: &Server) {
        self.ok(&format!("REPLICAOF 127.0.0.1 {}", master.port));
    }

    /// Waits until its link to the master is up and it has all that the master has.
    #[track_caller]
    pub fn wait_in_step(&self, master: &Server) {
        wait_until("the replica is in step", SOON * 2, || {
            let own = self.info("replication");
            own.find("master_link_status") == Some("up") && {
                let theirs = master.info("replication");
                own.get("master_replid") == theirs.get("master_replid")
                    && own.int("slave_repl_offset") == theirs.int("master_repl_offset")
            }
        });
    }
}

fn with_debug(directives: &[&str]) -> Vec<String> {
    let mut all: Vec<String> = directives.iter().map(ToString::to_string).collect();
    all.push("enable-debug-command yes".into());
    all
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let shown = lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n");
            eprintln!("---- {} on port {}:\n{shown}\n----", self.program, self.port);
        }
        if self.child.is_some() {
            self.signal(libc::SIGCONT);
        }
        self.kill();
    }
}
