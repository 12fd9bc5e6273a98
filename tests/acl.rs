//! Users and names of commands where files, restarts and replication have a part in them.

mod support;

use regent::resp::Frame;
use std::fs;
use support::Server;

fn error(frame: &Frame) -> &str {
    match frame {
        Frame::Error(text) => text,
        other => panic!("an error was expected, not {other:?}"),
    }
}

/// A node with this file of users, not started yet.
fn with_file(text: &str) -> Server {
    let node = Server::prepare_node(&["aclfile users.acl"]);
    fs::write(node.path.join("users.acl"), text).expect("written");
    node
}

#[test]
fn a_file_of_users_is_read_written_and_read_again() {
    let mut node = with_file("user alice on >secret ~app:* +@all\n\nuser bob on nopass (+get ~x)\n");
    node.start();
    assert_eq!(node.ask("ACL USERS").items().map(<[Frame]>::len), Some(3), "the default user is there in any case");
    let mut alice = node.client();
    assert!(alice.ask("AUTH alice secret").is_ok() && alice.ask("SET app:1 x").is_ok());
    assert_eq!(error(&alice.ask("GET y")), "NOPERM No permissions to access a key");

    node.ok("ACL SETUSER carol on >pass +ping");
    node.ok("ACL SAVE");
    let text = fs::read_to_string(node.path.join("users.acl")).expect("the file");
    assert_eq!(text.lines().count(), 4, "{text}");
    assert!(!text.contains("secret"), "passwords are kept as digests: {text}");
    assert_eq!(node.ask("ACL DELUSER carol"), Frame::Int(1));
    node.ok("ACL LOAD");
    assert!(node.client().ask("AUTH carol pass").is_ok());
    assert!(alice.ask("SET app:2 x").is_ok(), "who has not changed stays connected");

    fs::write(node.path.join("users.acl"), format!("{text}user dave on +nope\nuser alice off\n")).expect("written");
    let told = node.ask("ACL LOAD");
    let told = error(&told);
    assert!(told.contains("users.acl:5: Error in applying operation '+nope'"), "{told}");
    assert!(told.contains("users.acl:6: Duplicate user 'alice' found"), "{told}");
    assert!(alice.ask("SET app:3 x").is_ok(), "nothing has changed");

    fs::write(node.path.join("users.acl"), "user alice on >secret ~app:* +get\n").expect("written");
    node.ok("ACL LOAD");
    assert_eq!(error(&alice.ask("SET app:4 x")), "NOPERM User alice has no permissions to run the 'set' command");
    node.crash();
    assert!(error(&node.client().ask("AUTH bob x")).starts_with("WRONGPASS"), "the file is what counts");
    assert!(node.client().ask("AUTH alice secret").is_ok());
}

#[test]
fn a_broken_file_of_users_is_refused_with_its_line() {
    let (status, said) = with_file("user alice on\nuser bob on +nope\n").refused();
    assert!(!status.success());
    assert!(said.contains("users.acl:2: Error in applying operation '+nope'"), "{said}");
    assert!(said.contains("expected: user <name>"), "{said}");

    let (_, said) = Server::prepare_node(&["aclfile nowhere.acl"]).refused();
    assert!(said.contains("opening file 'nowhere.acl': No such file or directory"), "{said}");

    let (_, said) = Server::prepare_node(&["user alice on", "user alice off"]).refused();
    assert!(said.contains("Duplicate user found") && said.contains(">>> 'user "), "{said}");

    let mut both = with_file("user alice on\n");
    both.set("user", "bob on");
    assert!(both.refused().1.contains("one of both"), "{}", both.log());
}

/// A replica comes in as a user who may do what replication takes, and nothing else.
#[test]
fn a_replica_comes_in_as_a_user() {
    let master =
        Server::node(&["user replica on >secret +psync +replconf +ping", "user default on nopass ~* &* +@all"]);
    master.ok("SET k v");
    let replica = Server::node(&["masteruser replica", "masterauth wrong", "repl-ping-replica-period 1"]);
    replica.follow(&master);
    replica.wait_for_log("Unable to AUTH to MASTER");
    replica.ok("CONFIG SET masterauth secret");
    replica.wait_in_step(&master);
    assert_eq!(replica.ask("GET k"), Frame::Bulk(b"v".to_vec()));

    // The stream is obeyed whatever the rules of the replica's own users are.
    replica.ok("ACL SETUSER default -set +@all -set");
    master.ok("SET k w");
    replica.wait_in_step(&master);
    assert_eq!(replica.ask("GET k"), Frame::Bulk(b"w".to_vec()));
    let log = replica.log();
    assert!(!log.contains("secret") && !log.contains("wrong"), "{log}");
}

/// The log holds commands by their own names, so a node comes back whatever it calls them.
#[test]
fn names_of_commands_may_change_between_starts() {
    let mut node = Server::node(&["rename-command SET setter", "appendonly yes"]);
    node.ok("SETTER k v");
    node.ok("SETTER k w XX");
    assert!(error(&node.ask("SET k x")).starts_with("ERR unknown command 'SET'"));
    node.unset("rename-command");
    node.crash();
    assert_eq!(node.ask("GET k"), Frame::Bulk(b"w".to_vec()));
    node.ok("SET k x");
    node.set("rename-command", "SET other");
    node.crash();
    assert_eq!(node.ask("GET k"), Frame::Bulk(b"x".to_vec()));
    node.ok("OTHER k y");

    let (_, said) = Server::prepare_node(&["rename-command NOPE x"]).refused();
    assert!(said.contains("No such command in rename-command") && said.contains("rename-command"), "{said}");
    let (_, said) = Server::prepare_node(&["rename-command GET set"]).refused();
    assert!(said.contains("Target command name already exists"), "{said}");
}
