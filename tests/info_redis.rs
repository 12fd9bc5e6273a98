//! INFO against a redis-server: every field that 7.0 prints is in ours, in its order.

mod in_process;

use in_process::Node;
use regent::resp::{Frame, command};
use std::io::Write;
use std::process::{Command, Stdio};

/// What 7.0 prints and we do not.
const LEFT_OUT: &[&str] = &[];

/// The section titles and field names of an INFO, in order; lines that were counted have names of their own.
fn names(info: &str) -> Vec<String> {
    let lines = info.lines().map(|line| line.trim_end()).filter(|line| !line.is_empty());
    let names = lines.map(|line| line.split_once(':').map_or(line, |(name, _)| name).to_owned());
    names
        .filter(|name| !["cmdstat_", "errorstat_", "latency_percentiles_", "db"].iter().any(|p| name.starts_with(p)))
        .collect()
}

/// What a redis-server answers on its socket.
fn of_redis() -> String {
    let dir = tempfile::tempdir().expect("a directory");
    let socket = dir.path().join("socket");
    let mut server = Command::new("redis-server")
        .args(["--port", "0", "--save", "", "--appendonly", "yes", "--unixsocket"])
        .arg(&socket)
        .arg("--dir")
        .arg(dir.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("redis-server must be installed for this test (7.0 or later): {error}"));
    let ask = || {
        for _ in 0..2_000_000 {
            if let Ok(mut link) = std::os::unix::net::UnixStream::connect(&socket) {
                link.set_read_timeout(Some(std::time::Duration::from_secs(10))).ok()?;
                link.write_all(b"*2\r\n$4\r\nINFO\r\n$10\r\neverything\r\n*1\r\n$4\r\nQUIT\r\n").ok()?;
                let mut text = String::new();
                std::io::Read::read_to_string(&mut link, &mut text).ok()?;
                return Some(text);
            }
            std::thread::yield_now();
        }
        None
    };
    let text = ask();
    server.kill().ok();
    server.wait().ok();
    let text = text.expect("redis-server did not answer");
    let (_, body) = text.split_once("\r\n").expect("a bulk string");
    body.trim_end_matches("+OK\r\n").to_owned()
}

fn ours(section: &str) -> String {
    let mut node = Node::new("");
    let slot = node.connect();
    let mut request = Vec::new();
    command(&["INFO", section], &mut request);
    node.send(slot, &request);
    match node.heard(slot).remove(0) {
        Frame::Bulk(text) => String::from_utf8(text.to_vec()).expect("text"),
        other => panic!("INFO said {other:?}"),
    }
}

#[test]
fn every_field_of_redis_is_there_in_its_order() {
    let ours = names(&ours("everything"));
    let mut rest = ours.as_slice();
    for name in names(&of_redis()) {
        if LEFT_OUT.contains(&name.as_str()) {
            continue;
        }
        let at = rest.iter().position(|ours| *ours == name);
        let at = at.unwrap_or_else(|| match ours.contains(&name) {
            true => panic!("{name} does not stand in Redis' order"),
            false => panic!("{name} is missing"),
        });
        rest = &rest[at + 1..];
    }
}

#[test]
fn what_is_shown_unasked() {
    let titles =
        |info: &str| -> Vec<String> { info.lines().filter(|line| line.starts_with('#')).map(str::to_owned).collect() };
    let default = titles(&ours("default"));
    assert_eq!(
        default,
        [
            "# Server",
            "# Clients",
            "# Memory",
            "# Persistence",
            "# Stats",
            "# Replication",
            "# CPU",
            "# Modules",
            "# Errorstats",
            "# Cluster",
            "# Keyspace"
        ]
    );
    assert_eq!(titles(&ours("all")).len(), 13);
    assert_eq!(titles(&ours("Replication")), ["# Replication"]);
}
