//! Client libraries follow a failover under write load: redis-py's and ioredis' Sentinel support, as programs of their own.
//!
//! Their libraries, pinned in `tests/clients/`, stand in `.test-env/`, which `./test.sh` makes; a test makes what is missing.

mod support;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use support::Topology;

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

/// The Python that has redis-py.
fn python() -> PathBuf {
    let home = root().join(".test-env/python");
    let python = home.join("bin/python");
    let there = Command::new(&python).args(["-c", "import redis"]).output();
    if !there.is_ok_and(|output| output.status.success()) {
        let needs = "python3 with venv, and redis-py as tests/clients/requirements.txt names it";
        make(needs, Command::new("python3").args(["-m", "venv"]).arg(&home));
        make(needs, Command::new(&python).args("-m pip install -q -r tests/clients/requirements.txt".split(' ')));
    }
    python
}

/// The folder that has ioredis.
fn modules() -> PathBuf {
    let home = root().join(".test-env/node");
    if !home.join("node_modules/ioredis/package.json").is_file() {
        let needs = "node with npm, and ioredis as tests/clients/package.json names it";
        std::fs::create_dir_all(&home).expect("a directory");
        std::fs::copy(root().join("tests/clients/package.json"), home.join("package.json")).expect("copied");
        let words = "install --no-audit --no-fund --no-package-lock --prefix";
        make(needs, Command::new("npm").args(words.split(' ')).arg(&home));
    }
    home
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
fn follows_a_failover(mut program: Command) {
    let mut topology = Topology::new(3, 1000);
    topology.start();
    topology.wait_healthy();
    program.args(["myMaster", PATIENCE_S]).args(topology.sentinels.iter().map(|sentinel| sentinel.port.to_string()));
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

#[test]
fn redis_py_follows_a_failover() {
    let mut program = Command::new(python());
    program.arg("tests/clients/sentinel_client.py");
    follows_a_failover(program);
}

#[test]
fn ioredis_follows_a_failover() {
    let mut program = Command::new("node");
    program.arg("tests/clients/sentinel_client.mjs").env("REGENT_TEST_MODULES", modules());
    follows_a_failover(program);
}
