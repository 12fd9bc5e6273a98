//! Client libraries and what is built on them, as programs of their own: redis-py's and ioredis' features, applications that
//! lean on Redis (RQ, Celery, BullMQ, Django's cache and sessions), and Sentinel clients that follow a failover under load.
//!
//! Their libraries, pinned in `tests/clients/`, stand in `.test-env/`, which `./test.sh` makes; a test makes what is missing.

mod support;

use regent::resp::Frame;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use support::{SOON, Server, Topology, wait_until};

/// For how long a client may be refused, in seconds: a machine that runs all tests at once is slow.
const PATIENCE_S: &str = "60";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs one step that makes an environment.
#[track_caller]
fn make(needs: &str, command: &mut Command) {
    let output = command.current_dir(root()).output();
    let output = output.unwrap_or_else(|error| panic!("this test needs {needs}: {command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "this test needs {needs}: {command:?} ended with {}:\n{said}", output.status);
}

/// What the programs import, by the names of their modules.
const PYTHON_MODULES: &str = "import redis, rq, celery, packaging, django";
const NODE_MODULES: [&str; 2] = ["ioredis", "bullmq"];

/// Environments are made by one test at a time.
static MAKING: Mutex<()> = Mutex::new(());

/// The Python that has the libraries.
fn python() -> PathBuf {
    let _making = MAKING.lock();
    let home = root().join(".test-env/python");
    let python = home.join("bin/python");
    let there = Command::new(&python).args(["-c", PYTHON_MODULES]).output();
    if !there.is_ok_and(|output| output.status.success()) {
        let needs = "python3 with venv, and the libraries that tests/clients/requirements.txt names";
        make(needs, Command::new("python3").args(["-m", "venv"]).arg(&home));
        make(needs, Command::new(&python).args("-m pip install -q -r tests/clients/requirements.txt".split(' ')));
    }
    python
}

/// The folder that has the modules for Node.js.
fn modules() -> PathBuf {
    let _making = MAKING.lock();
    let home = root().join(".test-env/node");
    let is_there = |name: &&str| home.join("node_modules").join(name).join("package.json").is_file();
    if !NODE_MODULES.iter().all(is_there) {
        let needs = "node with npm, and the modules that tests/clients/package.json names";
        std::fs::create_dir_all(&home).expect("a directory");
        std::fs::copy(root().join("tests/clients/package.json"), home.join("package.json")).expect("copied");
        let words = "install --no-audit --no-fund --no-package-lock --prefix";
        make(needs, Command::new("npm").args(words.split(' ')).arg(&home));
    }
    home
}

/// A program that is ended when it takes longer than any of them may, in seconds.
fn bounded(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", "240"]).arg(program);
    command
}

/// A client that is ended with its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the topology, lets the program write, kills the master under it, and waits for what it says.
#[track_caller]
fn follows_a_failover(mut program: Command, options: &[&str]) {
    let mut topology = Topology::new(3, 1000);
    topology.start();
    topology.wait_healthy();
    program.arg("myMaster").args(options).args(topology.sentinels.iter().map(|sentinel| sentinel.port.to_string()));
    program.stdout(Stdio::piped()).current_dir(root());
    let mut running = Running(program.spawn().unwrap_or_else(|error| panic!("{program:?}: {error}")));
    let mut lines = BufReader::new(running.0.stdout.take().expect("a pipe")).lines();
    let first = lines.next().and_then(Result::ok).unwrap_or_default();
    assert_eq!(first, "writing");
    topology.nodes[0].kill();
    let said: Vec<String> = lines.map_while(Result::ok).collect();
    let status = running.0.wait().expect("its status");
    assert!(status.success(), "{status}: {said:?}");
    assert!(said.last().is_some_and(|line| line.starts_with("ok: ")), "{said:?}");
    println!("{}", said.join("\n"));
}

/// A program of Python.
fn python_program(name: &str) -> Command {
    let mut program = bounded(python());
    program.arg(format!("tests/clients/{name}")).env("PYTHONDONTWRITEBYTECODE", "1");
    program
}

/// A program of Node.js.
fn node_program(name: &str) -> Command {
    let mut program = bounded("node");
    program.arg(format!("tests/clients/{name}")).env("REGENT_TEST_MODULES", modules());
    program
}

/// Takes all deadlines away, and waits until what had expired is gone: a digest does not change by itself then.
#[track_caller]
fn keep_everything(node: &Server) {
    for db in 0..16 {
        node.ok(&format!("SELECT {db}"));
        wait_until("no key is left unseen", SOON, || {
            let keys = node.ask("KEYS *");
            let keys = keys.items().expect("the keys");
            for key in keys {
                node.cmd(&[b"PERSIST", key.text().expect("a key")]);
            }
            node.ask("DBSIZE") == Frame::Int(keys.len() as i64)
        });
    }
}

/// Runs the program on a node of its own; it must end well, and the node must hold the same behind a `kill -9`.
#[track_caller]
fn works_on_a_node(mut program: Command) {
    let mut node = Server::node(&[]);
    let output = program.arg(node.port.to_string()).current_dir(root()).output();
    let output = output.unwrap_or_else(|error| panic!("{program:?}: {error}"));
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}:\n{said}\n{errors}", output.status);
    assert!(said.lines().last().is_some_and(|line| line.starts_with("ok: ")), "{said}");
    keep_everything(&node);
    let digest = node.digest();
    node.crash();
    assert_eq!(node.digest(), digest, "the digest behind a crash");
}

#[test]
fn redis_py_features() {
    works_on_a_node(python_program("features.py"));
}

#[test]
fn ioredis_features() {
    works_on_a_node(node_program("features.mjs"));
}

#[test]
fn rq_works_jobs() {
    works_on_a_node(python_program("rq_jobs.py"));
}

#[test]
fn bullmq_works_jobs() {
    works_on_a_node(node_program("bullmq_jobs.mjs"));
}

#[test]
fn django_caches() {
    works_on_a_node(python_program("django_cache.py"));
}

#[test]
fn celery_works_tasks() {
    let mut program = python_program("celery_tasks.py");
    program.arg("direct");
    works_on_a_node(program);
}

#[test]
fn redis_py_follows_a_failover() {
    follows_a_failover(python_program("sentinel_client.py"), &[PATIENCE_S]);
}

#[test]
fn ioredis_follows_a_failover() {
    follows_a_failover(node_program("sentinel_client.mjs"), &[PATIENCE_S]);
}

#[test]
fn celery_follows_a_failover() {
    let mut program = python_program("celery_tasks.py");
    program.arg("sentinel");
    follows_a_failover(program, &[]);
}
