//! The Unix socket: its file, who may use it, how its clients are shown.

use super::support::{SOON, Server, wait_until};
use regent::resp::Frame;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

/// What `redis-cli` says over a Unix socket.
fn cli(path: &Path, words: &[&str]) -> String {
    let out = Command::new("redis-cli").arg("-s").arg(path).args(words).output().expect("redis-cli must be installed");
    String::from_utf8_lossy(&out.stdout).trim().to_owned()
}

#[test]
fn clients_come_by_the_unix_socket() {
    let holder = tempfile::tempdir().expect("a directory");
    let path = holder.path().join("s");
    let shown = path.display().to_string();
    let mut node = Server::node(&[&format!("unixsocket {shown}"), "unixsocketperm 700"]);
    let file = std::fs::metadata(&path).expect("the socket's file");
    assert!(file.file_type().is_socket());
    assert_eq!(file.permissions().mode() & 0o777, 0o700);
    node.wait_for_log("Ready to accept connections unix");
    node.wait_for_log(&format!("The server is now ready to accept connections at {shown}"));
    assert_eq!(cli(&path, &["SET", "k", "v"]), "OK");
    let value = "x".repeat(3_000_000);
    node.cmd(&["SET", "large", &value]);
    assert_eq!(cli(&path, &["GET", "large"]), value, "more than the socket takes at once");
    let line = cli(&path, &["CLIENT", "INFO"]);
    for field in [format!(" addr={shown}:0 "), format!(" laddr={shown}:0 "), " flags=U ".into()] {
        assert!(line.contains(&field), "{field}: {line}");
    }
    assert_eq!(node.info("server").get("listener1"), format!("name=unix,bind={shown}"));
    let refusal = node.ask("CONFIG SET unixsocket /tmp/elsewhere");
    assert!(refusal.error().is_some_and(|text| text.contains("can't set immutable config")), "{refusal:?}");
    // What a killed process left is in nobody's way, and a clean end leaves nothing.
    node.crash();
    assert_eq!(cli(&path, &["GET", "k"]), "v");
    node.signal(libc::SIGTERM);
    assert!(node.wait_end().success());
    assert!(!path.exists());
}

#[test]
fn a_node_may_listen_on_the_unix_socket_alone() {
    let holder = tempfile::tempdir().expect("a directory");
    let path = holder.path().join("s");
    let mut node = Server::prepare_node(&["requirepass secret", &format!("unixsocket {}", path.display())]);
    node.set("port", "0");
    node.spawn();
    wait_until("the socket answers", SOON, || cli(&path, &["PING"]).contains("NOAUTH"));
    assert_eq!(cli(&path, &["-a", "secret", "--no-auth-warning", "PING"]), "PONG");
}

/// A path that holds something else, or that cannot be, is told and nothing is removed.
#[test]
fn a_path_that_cannot_be_used_is_told() {
    let holder = tempfile::tempdir().expect("a directory");
    let file = holder.path().join("precious");
    std::fs::write(&file, "data").expect("written");
    let mut node = Server::prepare_node(&[&format!("unixsocket {}", file.display())]);
    let (status, text) = node.refused();
    assert!(!status.success() && text.contains("Failed opening Unix socket: bind: Address already in use"), "{text}");
    assert_eq!(std::fs::read_to_string(&file).expect("still there"), "data");
    let mut nowhere = Server::prepare_node(&["port 0"]);
    nowhere.set("port", "0");
    let (status, text) = nowhere.refused();
    assert!(!status.success() && text.contains("Configured to not listen anywhere, exiting."), "{text}");
    let mut no_group = Server::prepare_node(&[
        &format!("unixsocket {}", holder.path().join("s").display()),
        "unixsocketgroup no-such-group-here",
    ]);
    assert!(no_group.refused().1.contains("no group is named 'no-such-group-here'"));
}

/// Protected mode is about other machines: this socket is of this one.
#[test]
fn the_unix_socket_is_near() {
    let holder = tempfile::tempdir().expect("a directory");
    let path = holder.path().join("s");
    let node = Server::node(&[&format!("unixsocket {}", path.display()), "protected-mode yes"]);
    assert_eq!(cli(&path, &["PING"]), "PONG");
    assert_eq!(node.ask("PING"), Frame::Simple("PONG".into()));
}
