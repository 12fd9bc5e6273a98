//! TLS: clients, replication links and sentinels, with `redis-cli --tls` and a real Redis on either side.

use super::support::{SOON, Server, WORKS, free_port, wait_until};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use regent::resp::Frame;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Command, Output};

/// Certificates in a directory: an authority, and what it has signed.
pub struct Trust {
    dir: tempfile::TempDir,
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl Trust {
    pub fn new() -> Trust {
        let dir = tempfile::tempdir().expect("a directory");
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        // Authorities of one name would be taken for each other.
        params.distinguished_name.push(rcgen::DnType::CommonName, format!("authority {}", dir.path().display()));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let authority = CertifiedIssuer::self_signed(params, key).expect("an authority");
        std::fs::write(dir.path().join("ca.crt"), authority.pem()).expect("written");
        let trust = Trust { dir, authority };
        trust.sign("node", 2100);
        trust
    }

    /// One certificate is all that there is: it signs itself, serves, and is the authority.
    fn alone() -> Trust {
        let trust = Trust::new();
        std::fs::write(trust.path("node.crt"), trust.authority.pem()).expect("written");
        std::fs::write(trust.path("node.key"), trust.authority.key().serialize_pem()).expect("written");
        trust
    }

    /// A certificate and its key, good until that year. Its name is nobody's: nodes are known by address.
    fn sign(&self, name: &str, until: i32) {
        let mut params = CertificateParams::new(vec!["some.where".into()]).expect("parameters");
        (params.not_before, params.not_after) = (date_time_ymd(2019, 1, 1), date_time_ymd(until, 1, 1));
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.authority).expect("signed");
        std::fs::write(self.path(&format!("{name}.crt")), certificate.pem()).expect("written");
        std::fs::write(self.path(&format!("{name}.key")), key.serialize_pem()).expect("written");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn shown(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn lines(&self, port: u16) -> Vec<String> {
        vec![
            format!("tls-port {port}"),
            format!("tls-cert-file {}", self.shown("node.crt")),
            format!("tls-key-file {}", self.shown("node.key")),
            format!("tls-ca-cert-file {}", self.shown("ca.crt")),
        ]
    }

    /// A node with this certificate, and its TLS port.
    pub fn node(&self, more: &[&str]) -> (Server, u16) {
        let port = free_port();
        let lines = self.lines(port);
        (Server::node(&lines.iter().map(String::as_str).chain(more.iter().copied()).collect::<Vec<_>>()), port)
    }

    fn redis(&self, more: &[&str]) -> (Server, u16) {
        let port = free_port();
        let lines = self.lines(port);
        (Server::redis(&lines.iter().map(String::as_str).chain(more.iter().copied()).collect::<Vec<_>>()), port)
    }

    fn cli(&self, port: u16, certificate: Option<&str>, words: &[&str]) -> Output {
        self.command(port, certificate, words).output().expect("redis-cli must be installed")
    }

    /// `redis-cli --tls` with a certificate of this name, or without one.
    pub fn command(&self, port: u16, certificate: Option<&str>, words: &[&str]) -> Command {
        let mut cli = Command::new("redis-cli");
        cli.args(["-p", &port.to_string(), "--tls", "--cacert"]).arg(self.path("ca.crt"));
        if let Some(name) = certificate {
            cli.arg("--cert").arg(self.path(&format!("{name}.crt")));
            cli.arg("--key").arg(self.path(&format!("{name}.key")));
        }
        cli.args(words);
        cli
    }

    fn ask(&self, port: u16, words: &[&str]) -> String {
        said(&self.cli(port, Some("node"), words))
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn refused(server: &Server, line: &[&str], text: &str) {
    let reply = server.cmd(line);
    assert!(reply.error().is_some_and(|said| said.contains(text)), "{line:?}: {reply:?}");
}

#[test]
fn clients_come_by_tls() {
    let trust = Trust::new();
    let (node, port) = trust.node(&[]);
    node.wait_for_log("Ready to accept connections tls");
    assert_eq!(trust.ask(port, &["SET", "k", "v"]), "OK");
    let value = "x".repeat(5_000_000);
    node.cmd(&["SET", "large", &value]);
    assert_eq!(trust.ask(port, &["GET", "large"]), value, "more than the socket takes at once");
    assert_eq!(trust.ask(port, &["--tls-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256", "PING"]), "PONG");
    let file = trust.path("value");
    std::fs::write(&file, &value).expect("written");
    let stored = Command::new("redis-cli")
        .args(["-p", &port.to_string(), "--tls", "--cacert", &trust.shown("ca.crt"), "--cert"])
        .args([&trust.shown("node.crt"), "--key", &trust.shown("node.key"), "-x", "SET", "stored"])
        .stdin(std::fs::File::open(&file).expect("a file"))
        .output()
        .expect("redis-cli");
    assert_eq!(said(&stored), "OK");
    assert_eq!(node.ask("STRLEN stored"), Frame::Int(value.len() as i64));
    assert!(node.info("server").get("listener2").contains(&format!("name=tls,bind=127.0.0.1,port={port}")));
    // Many requests in one go, whose replies are many records.
    let many: String = (0..20_000).map(|n| format!("SET key:{n} {n}\r\n")).collect();
    std::fs::write(&file, many).expect("written");
    let piped = Command::new("redis-cli")
        .args(["-p", &port.to_string(), "--tls", "--cacert", &trust.shown("ca.crt"), "--cert"])
        .args([&trust.shown("node.crt"), "--key", &trust.shown("node.key"), "--pipe"])
        .stdin(std::fs::File::open(&file).expect("a file"))
        .output()
        .expect("redis-cli");
    assert!(said(&piped).contains("errors: 0, replies: 20000"), "{piped:?}");
}

#[test]
fn who_may_not_come_is_told_in_the_log() {
    let (trust, other) = (Trust::new(), Trust::new());
    let (node, port) = trust.node(&[]);
    // Plain words to the TLS port: closed, and told.
    let mut plain = std::net::TcpStream::connect(("127.0.0.1", port)).expect("a connection");
    plain.write_all(b"PING\r\n").expect("written");
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"+PONG"));
    node.wait_for_log("Error accepting a client connection: received corrupt message");
    // No certificate, one of another authority, one that is too old.
    assert_ne!(said(&trust.cli(port, None, &["PING"])), "PONG");
    node.wait_for_log("peer sent no certificates");
    std::fs::copy(other.path("node.crt"), trust.path("other.crt")).expect("copied");
    std::fs::copy(other.path("node.key"), trust.path("other.key")).expect("copied");
    assert_ne!(said(&trust.cli(port, Some("other"), &["PING"])), "PONG");
    trust.sign("old", 2020);
    assert_ne!(said(&trust.cli(port, Some("old"), &["PING"])), "PONG");
    node.wait_for_log("xpired");
    node.ok("CONFIG SET tls-auth-clients optional");
    assert_eq!(said(&trust.cli(port, None, &["PING"])), "PONG");
    assert_ne!(said(&trust.cli(port, Some("other"), &["PING"])), "PONG");
    node.ok("CONFIG SET tls-auth-clients no");
    assert_eq!(said(&trust.cli(port, None, &["PING"])), "PONG");
    assert!(!node.log().contains("panicked"));
}

#[test]
fn certificates_are_changed_at_run_time() {
    let trust = Trust::new();
    let (node, port) = trust.node(&[]);
    trust.sign("next", 2100);
    node.ok(&format!("CONFIG SET tls-cert-file {} tls-key-file {}", trust.shown("next.crt"), trust.shown("next.key")));
    assert_eq!(trust.ask(port, &["PING"]), "PONG");
    // What cannot be is refused, and what was stays.
    let text = "Unable to update TLS configuration. Check server logs.";
    refused(&node, &["CONFIG", "SET", "tls-cert-file", &trust.shown("nothing.crt")], text);
    node.wait_for_log("nothing.crt");
    refused(&node, &["CONFIG", "SET", "tls-key-file", &trust.shown("node.key")], text);
    std::fs::write(trust.path("broken.crt"), "-----BEGIN CERTIFICATE-----\nrubbish\n").expect("written");
    refused(&node, &["CONFIG", "SET", "tls-cert-file", &trust.shown("broken.crt")], text);
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    std::fs::write(trust.path("secret.key"), encrypted).expect("written");
    refused(&node, &["CONFIG", "SET", "tls-key-file", &trust.shown("secret.key")], text);
    node.wait_for_log("tls-key-file-pass is not supported");
    refused(&node, &["CONFIG", "SET", "tls-ciphers", "RC4-SHA"], text);
    node.wait_for_log("tls-ciphers: 'RC4-SHA' is not supported");
    refused(&node, &["CONFIG", "SET", "tls-protocols", "SSLv3"], text);
    assert_eq!(
        node.ask("CONFIG GET tls-cert-file").items().and_then(|items| items[1].text().map(<[u8]>::to_vec)),
        Some(trust.shown("next.crt").into_bytes())
    );
    assert_eq!(trust.ask(port, &["PING"]), "PONG");
    // Versions, ciphers, sessions, and another port.
    node.ok("CONFIG SET tls-protocols TLSv1.2 tls-ciphers ECDHE-ECDSA-AES128-GCM-SHA256 tls-session-caching no");
    assert_eq!(trust.ask(port, &["PING"]), "PONG");
    let elsewhere = free_port();
    node.ok(&format!("CONFIG SET tls-port {elsewhere}"));
    assert_eq!(trust.ask(elsewhere, &["PING"]), "PONG");
    assert_ne!(trust.ask(port, &["PING"]), "PONG");
    refused(&node, &["CONFIG", "SET", "tls-port", &node.port.to_string()], "Unable to listen on this port");
    assert_eq!(trust.ask(elsewhere, &["PING"]), "PONG");
    node.ok("CONFIG SET tls-port 0");
    assert_ne!(trust.ask(elsewhere, &["PING"]), "PONG");
    assert_eq!(node.ask("PING"), Frame::Simple("PONG".into()));
}

#[test]
fn what_is_wrong_at_the_start_is_told() {
    let trust = Trust::new();
    let lines = trust.lines(free_port());
    let without = |name: &str| {
        let kept: Vec<&str> = lines.iter().map(String::as_str).filter(|line| !line.starts_with(name)).collect();
        Server::prepare_node(&kept).refused().1
    };
    let text = without("tls-cert-file");
    assert!(text.contains("No tls-cert-file configured!") && text.contains("Failed to configure TLS"), "{text}");
    assert!(without("tls-ca-cert-file").contains("Either tls-ca-cert-file or tls-ca-cert-dir must be specified"));
}

/// Writes on the master, and compares.
fn replicates(master: &Server, replica: &Server, trust: &Trust, port: u16) {
    master.cmd(&["SET", "large", &"y".repeat(3_000_000)]);
    replica.ok(&format!("REPLICAOF 127.0.0.1 {port}"));
    replica.wait_in_step(master);
    for n in 0..2_000 {
        master.ok(&format!("SET key:{n} value:{n}"));
    }
    assert_eq!(master.ask("WAIT 1 5000"), Frame::Int(1));
    assert_eq!(master.digest(), replica.digest());
    assert_eq!(trust.ask(port, &["GET", "key:7"]), "value:7");
}

#[test]
fn replication_links_use_tls() {
    let trust = Trust::new();
    let more = ["tls-replication yes"];
    let (first, port) = trust.node(&more);
    let (second, _) = trust.node(&more);
    replicates(&first, &second, &trust, port);
    // The replica says its TLS port, and the master hands over to it there.
    first.ok("FAILOVER");
    wait_until("the roles are swapped", SOON, || second.info("replication").get("role") == "master");
    first.wait_in_step(&second);
    assert_eq!(second.info("stats").int("sync_full"), 0);
}

#[test]
fn a_real_redis_replicates_over_tls_both_ways() {
    let trust = Trust::new();
    let more = ["tls-replication yes"];
    let ((node, node_port), (redis, redis_port)) = (trust.node(&more), trust.redis(&more));
    replicates(&node, &redis, &trust, node_port);
    redis.ok("REPLICAOF NO ONE");
    node.ok("FLUSHALL");
    replicates(&redis, &node, &trust, redis_port);
}

#[test]
fn a_certificate_that_is_its_own_authority_is_trusted_by_who_has_it() {
    let (trust, other) = (Trust::alone(), Trust::alone());
    let more = ["tls-replication yes"];
    let ((first, port), (second, _), (stranger, _)) = (trust.node(&more), trust.node(&more), other.node(&more));
    replicates(&first, &second, &trust, port);
    stranger.ok(&format!("REPLICAOF 127.0.0.1 {port}"));
    stranger.wait_for_log("Error condition on socket for SYNC: invalid peer certificate");
    let (redis, redis_port) = trust.redis(&more);
    replicates(&redis, &second, &trust, redis_port);
    second.ok("REPLICAOF NO ONE");
    redis.ok("FLUSHALL");
    replicates(&first, &redis, &trust, port);
}

#[test]
fn a_master_that_cannot_be_trusted_is_not_followed() {
    let (trust, other) = (Trust::new(), Trust::new());
    let (master, port) = other.node(&[]);
    let (replica, _) = trust.node(&["tls-replication yes"]);
    replica.ok(&format!("REPLICAOF 127.0.0.1 {port}"));
    replica.wait_for_log("Error condition on socket for SYNC: invalid peer certificate: UnknownIssuer");
    // One that speaks no TLS at all.
    replica.ok(&format!("REPLICAOF 127.0.0.1 {}", master.port));
    replica.wait_for_log("Error condition on socket for SYNC: received corrupt message");
    assert_eq!(replica.info("replication").get("master_link_status"), "down");
}

#[test]
fn sentinels_watch_agree_and_fail_over_over_tls() {
    let trust = Trust::new();
    let more = ["tls-replication yes"];
    let ((mut master, master_port), (replica, replica_port)) = (trust.node(&more), trust.node(&more));
    replica.ok(&format!("REPLICAOF 127.0.0.1 {master_port}"));
    replica.wait_in_step(&master);
    let sentinels: Vec<(Server, u16)> = (0..3)
        .map(|_| {
            let port = free_port();
            let mut lines = trust.lines(port);
            lines.extend([
                "bind 127.0.0.1".into(),
                "tls-replication yes".into(),
                format!("sentinel monitor m 127.0.0.1 {master_port} 2"),
                "sentinel down-after-milliseconds m 1000".into(),
            ]);
            (Server::sentinel(true, &lines), port)
        })
        .collect();
    for (_, port) in &sentinels {
        wait_until("the group can act", WORKS, || trust.ask(*port, &["SENTINEL", "CKQUORUM", "m"]).starts_with("OK 3"));
        wait_until("the replica is known", WORKS, || {
            trust.ask(*port, &["SENTINEL", "REPLICAS", "m"]).contains(&replica_port.to_string())
        });
    }
    master.kill();
    for (_, port) in &sentinels {
        wait_until("the replica is the master", WORKS, || {
            trust.ask(*port, &["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "m"]).contains(&replica_port.to_string())
        });
    }
    assert!(trust.ask(replica_port, &["ROLE"]).starts_with("master"));
}
