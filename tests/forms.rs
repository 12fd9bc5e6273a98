//! Every form of a value that versions of Redis have written is read: alone (RESTORE), and in a file with all that stands
//! between the keys. A real Redis judges what it reads itself.

#[path = "old_forms/mod.rs"]
mod forms;
mod in_process;
mod support;

use forms::{Form, forms, length, payload, string};
use in_process::Node;
use regent::resp::{Frame, command};
use support::Server;

const FUNCTION: &str = "#!lua name=lib\nredis.register_function('f', function() return 7 end)";

fn ask<T: AsRef<[u8]>>(node: &mut Node, slot: usize, words: &[T]) -> Frame {
    let mut request = Vec::new();
    command(words, &mut request);
    node.send(slot, &request);
    node.heard(slot).pop().expect("a reply")
}

fn restore(form: &Form, key: &str) -> Vec<Vec<u8>> {
    let payload = payload(form.kind, &form.body, form.since.max(6));
    vec![b"RESTORE".to_vec(), key.into(), b"0".to_vec(), payload, b"REPLACE".to_vec()]
}

#[test]
fn each_form_is_read_alone() {
    let mut node = Node::new("");
    let slot = node.connect();
    for form in forms() {
        assert_eq!(ask(&mut node, slot, &restore(&form, "k")), Frame::Simple("OK".into()), "{}", form.name);
        let digest = ask(&mut node, slot, &["DEBUG", "DIGEST-VALUE", "k"]);
        let Frame::Bulk(again) = ask(&mut node, slot, &["DUMP", "k"]) else { panic!("no payload") };
        ask(&mut node, slot, &["DEL", "k"]);
        for words in &form.same {
            assert!(!matches!(ask(&mut node, slot, words), Frame::Error(_)), "{}", words.join(" "));
        }
        assert_eq!(ask(&mut node, slot, &["DEBUG", "DIGEST-VALUE", "k"]), digest, "{}", form.name);
        ask(&mut node, slot, &[&b"RESTORE"[..], b"k", b"0", &again, b"REPLACE"]);
        assert_eq!(ask(&mut node, slot, &["DEBUG", "DIGEST-VALUE", "k"]), digest, "{}", form.name);
    }
}

#[test]
fn redis_reads_them_to_the_same() {
    let (redis, node) = (Server::redis(&[]), Server::node(&[]));
    for form in forms().iter().filter(|form| form.since <= 10) {
        for server in [&redis, &node] {
            let reply = server.cmd(&restore(form, "k"));
            assert!(reply.is_ok(), "{}: {reply:?}", form.name);
        }
        let digest = |server: &Server| server.ask("DEBUG DIGEST-VALUE k");
        assert_eq!(digest(&node), digest(&redis), "{}", form.name);
    }
}

/// A file of all forms up to a version, each under its name, with everything that may stand between them.
fn file(version: u32) -> Vec<u8> {
    let aux = |key: &str, value: &str| [&[250][..], &string(key), &string(value)].concat();
    let mut out = format!("REDIS{version:04}").into_bytes();
    out.extend([aux("redis-ver", "7.0.0"), aux("nobody-knows", "this")].concat());
    if version >= 10 {
        out.extend([&[245][..], &string(FUNCTION)].concat());
    }
    out.extend([254, 0, 251, 30, 1]); // database 0; sizes
    if version >= 11 {
        out.extend([244, 7, 1, 1]); // a slot and its sizes
    }
    for (index, form) in forms().iter().enumerate().filter(|(_, form)| form.since <= version) {
        match index % 4 {
            0 => out.extend([&[252][..], &4_102_444_800_000_u64.to_le_bytes()].concat()),
            1 => out.extend([&[253][..], &2_000_000_000_u32.to_le_bytes()].concat()),
            2 => out.extend([&[248][..], &length(700)].concat()),
            _ => out.extend([249, 17]),
        }
        out.extend([&[form.kind][..], &string(form.name), &form.body].concat());
    }
    for kind in [1, 2, 3, 4, 5, 14] {
        out.extend([&[kind][..], &string(format!("empty {kind}")), &[0]].concat());
    }
    out.push(255);
    if version >= 5 {
        let mut crc = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc64Redis);
        crc.update(&out);
        out.extend(crc.finalize().to_le_bytes());
    }
    out
}

#[test]
fn a_file_of_all_forms() {
    for version in [1, 9, 10, 12] {
        let file = file(version);
        let mut node = Server::prepare_node(&["maxmemory-policy allkeys-lfu"]);
        std::fs::write(node.path.join("dump.rdb"), &file).expect("written");
        node.start();
        let there = forms().iter().filter(|form| form.since <= version).count() as i64;
        assert_eq!(node.ask("DBSIZE"), Frame::Int(there), "version {version}");
        assert!(node.log().contains("empty keys skipped: 6"), "{}", node.log());
        assert_eq!(node.cmd(&["EXPIRETIME", "string of 8 bits"]), Frame::Int(2_000_000_000));
        assert_eq!(node.cmd(&["OBJECT", "FREQ", "string of 32 bits"]), Frame::Int(17));
        if version >= 10 {
            assert_eq!(node.ask("FCALL f 0"), Frame::Int(7));
        }
        if version <= 10 {
            let mut redis = Server::redis(&[]);
            redis.kill();
            std::fs::write(redis.path.join("dump.rdb"), &file).expect("written");
            redis.start();
            assert_eq!(node.digest(), redis.digest(), "version {version}");
        }
    }
}
