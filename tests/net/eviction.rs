//! Keys that are evicted under load: replicas drop the same ones, and a killed node comes back with what was left.

use super::support::{Client, Dice, Server};
use regent::resp::Frame;

/// So many bytes more than the node has in use now.
fn limit(server: &Server, more: i64) {
    let used = server.info("memory").int("used_memory") - server.info("memory").int("mem_not_counted_for_evict");
    server.ok(&format!("CONFIG SET maxmemory {}", used + more));
}

/// Writes of many kinds in pipelines; how many were refused for want of memory.
fn load(client: &mut Client, seed: u64, rounds: usize) -> usize {
    let (mut dice, mut refused) = (Dice(seed), 0);
    for _ in 0..rounds {
        let mut pipeline = Vec::new();
        for _ in 0..50 {
            let (key, text) = (dice.roll() % 4000, "x".repeat((dice.roll() % 600) as usize));
            let line = match dice.roll() % 6 {
                0 | 1 => format!("SET k{key} v{text}"),
                2 => format!("SETEX t{key} 1000 v{text}"),
                3 => format!("RPUSH l{} v{text}", key % 300),
                4 => format!("HSET h{} f{key} v{text}", key % 300),
                _ => format!("APPEND a{key} {key}"),
            };
            pipeline.extend_from_slice(line.as_bytes());
            pipeline.extend_from_slice(b"\r\n");
        }
        client.send_raw(&pipeline).expect("sent");
        for _ in 0..50 {
            let reply = client.receive().expect("a reply");
            refused += usize::from(reply.error().is_some_and(|text| text.starts_with("OOM ")));
        }
    }
    refused
}

#[test]
fn replicas_drop_what_their_master_evicts() {
    for policy in ["allkeys-lru", "allkeys-lfu", "allkeys-random", "volatile-ttl"] {
        let (mut master, replica) = (Server::node(&["appendonly yes"]), Server::node(&["appendonly yes"]));
        replica.follow(&master);
        replica.wait_in_step(&master);
        master.ok(&format!("CONFIG SET maxmemory-policy {policy}"));
        limit(&master, 1 << 20);
        load(&mut master.client(), 7, 100);
        master.ok("CONFIG SET maxmemory 0"); // or it would go on while it is looked at
        assert!(master.info("stats").int("evicted_keys") > 100, "{policy}");
        replica.wait_in_step(&master);
        assert_eq!(replica.info("stats").int("evicted_keys"), 0, "{policy}");
        assert_eq!(replica.digest(), master.digest(), "{policy}");
        // Nothing that was evicted comes back.
        let (digest, keys) = (master.digest(), master.ask("DBSIZE"));
        master.crash();
        assert_eq!((master.digest(), master.ask("DBSIZE")), (digest, keys), "{policy}");
    }
}

#[test]
fn a_full_node_is_full_after_a_crash() {
    let mut node = Server::node(&["appendonly yes"]);
    limit(&node, 1 << 20);
    assert!(load(&mut node.client(), 3, 100) > 0);
    let limit = node.ask("CONFIG GET maxmemory");
    let Frame::Array(words) = &limit else { panic!("{limit:?}") };
    let Frame::Bulk(bytes) = &words[1] else { panic!("{limit:?}") };
    node.set("maxmemory", &String::from_utf8_lossy(bytes));
    let (digest, keys) = (node.digest(), node.ask("DBSIZE"));
    node.crash();
    assert_eq!((node.digest(), node.ask("DBSIZE")), (digest, keys), "loading refuses and evicts nothing");
    let mut client = node.client();
    let mut refused = 0;
    for number in 0..20_000 {
        refused += usize::from(client.ask(&format!("SET more{number} {}", "x".repeat(300))).error().is_some());
        if refused > 0 {
            break;
        }
    }
    assert_eq!(refused, 1, "it is full again, soon");
    node.ok("FLUSHALL");
    assert!(client.ask("SET k v").is_ok());
}
