//! The directives that mean nothing here: accepted, shown, set and rewritten like any other, and named in one line at
//! start when a file sets them. One row: `"name" | "alias" = "default", kind, flags;` under its one-line doc.
//!
//! They are here so that the configuration files of today work unchanged.

use super::kind::{Form, INT, LONG, ULONG, choice, int, memory, of, text, yes_no};
use super::table::{Directive, FIXED, Flags, HIDDEN, NOT_LOADING, OPEN, SECRET, kept};
use super::types::Value;

const FACILITIES: &[&str] = &["user", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"];

kept! {
    // -- network and process
    /// Mark of packets, for the system's filter.
    "socket-mark-id" = "0", int(0, u32::MAX as i128), FIXED;
    /// Multipath TCP.
    "mptcp" = "no", yes_no(), OPEN;
    /// Multipath TCP on replication links.
    "repl-mptcp" = "no", yes_no(), OPEN;
    /// Threads that read and write sockets; one thread owns them here.
    "io-threads" = "1", int(1, 128), FIXED;
    /// Whether those threads parse, too.
    "io-threads-do-reads" = "no", yes_no(), OPEN;
    /// Whether those threads are always all in use.
    "io-threads-always-active" = "no", yes_no(), OPEN | HIDDEN;
    /// Ready sockets for each of those threads.
    "events-per-io-thread" = "2", int(0, INT), OPEN;
    /// Commands whose keys are fetched ahead.
    "prefetch-batch-max-size" = "16", int(0, 128), OPEN;
    /// Size from which a reply's value is not copied.
    "min-io-threads-avoid-copy-reply" = "7", int(0, INT), OPEN | HIDDEN;
    /// Size from which a reply's value is not copied.
    "min-string-size-avoid-copy-reply" = "16384", int(0, INT), OPEN | HIDDEN;
    /// Size from which a reply's value is not copied with threads.
    "min-string-size-avoid-copy-reply-threaded" = "65536", int(0, INT), OPEN | HIDDEN;
    /// Log to the system's log.
    "syslog-enabled" = "no", yes_no(), FIXED;
    /// Name in the system's log.
    "syslog-ident" = "redis", text(), FIXED;
    /// Facility of the system's log.
    "syslog-facility" = "local0", choice(FACILITIES), FIXED;
    /// Form of log lines.
    "log-format" = "legacy", choice(&["legacy", "logfmt"]), OPEN;
    /// Form of the time in log lines.
    "log-timestamp-format" = "legacy", choice(&["legacy", "iso8601", "milliseconds"]), OPEN;
    /// Show the logo also in a log file.
    "always-show-logo" = "no", yes_no(), FIXED;
    /// Order of words for SORT ALPHA.
    "locale-collate" = "", text(), OPEN;
    /// Whether a crash writes a report to the log.
    "crash-log-enabled" = "yes", yes_no(), OPEN;
    /// Whether a crash checks the memory.
    "crash-memcheck-enabled" = "yes", yes_no(), OPEN;
    /// Leave by exit instead of abort.
    "use-exit-on-panic" = "no", yes_no(), OPEN | HIDDEN;
    /// Assertions that cost time.
    "enable-debug-assert" = "no", yes_no(), FIXED | HIDDEN;
    /// A text for the report of a crash.
    "debug-context" = "", text(), OPEN | HIDDEN;
    /// Warnings of the system's check that are not fatal.
    "ignore-warnings" = "", text(), OPEN;
    /// Ask the kernel not to use huge pages.
    "disable-thp" = "yes", yes_no(), FIXED;
    /// Whether the kernel's score for ending processes is adjusted.
    "oom-score-adj" = "no", choice(&["no", "yes", "relative", "absolute"]), OPEN;
    /// That score for masters, replicas and children.
    "oom-score-adj-values" = "0 200 800", of(Form::Numbers { count: 3, min: -2000, max: 2000 }), OPEN;
    /// Processors of the main thread.
    "server-cpulist" | "server_cpulist" = "", text(), FIXED;
    /// Processors of background threads.
    "bio-cpulist" | "bio_cpulist" = "", text(), FIXED;
    /// Processors of the child that rewrites the append-only file.
    "aof-rewrite-cpulist" | "aof_rewrite_cpulist" = "", text(), FIXED;
    /// Processors of the child that saves.
    "bgsave-cpulist" | "bgsave_cpulist" = "", text(), FIXED;
    /// Milliseconds of a stuck loop after which its stack is logged; for tests.
    "watchdog-period" = "0", int(0, INT), OPEN | HIDDEN;
    /// Rehash tables in idle time; tables here grow in small steps by themselves.
    "activerehashing" = "yes", yes_no(), OPEN;
    /// Let jemalloc give memory back from a thread of its own.
    "jemalloc-bg-thread" = "yes", yes_no(), OPEN;
    /// The seed of hash tables.
    "hash-seed" = "", text(), FIXED | HIDDEN;
    /// Name of the zone that the server is in.
    "availability-zone" = "", text(), OPEN;
    /// Say Redis' name and version to clients.
    "extended-redis-compatibility" = "no", yes_no(), OPEN;
    /// File that requests and replies are written to; for tests.
    "req-res-logfile" = "", text(), FIXED | HIDDEN;
    /// Protocol of new connections; for tests.
    "client-default-resp" = "2", int(2, 3), FIXED | HIDDEN;
    /// Allow functions of Lua's library that are unsafe.
    "lua-enable-insecure-api" | "lua-enable-deprecated-api" = "no", yes_no(), OPEN | HIDDEN;
    /// Take in the stream of another server.
    "import-mode" = "no", yes_no(), OPEN;

    // -- the append-only file and RDB of Redis, whose part the log and the checkpoint have here
    /// Name of the append-only file.
    "appendfilename" = "appendonly.aof", text().with(appendfilename), FIXED;
    /// Directory of the append-only files.
    "appenddirname" = "appendonlydir", text().with(appenddirname), FIXED;
    /// Hold fsync back while a child writes; no child writes here.
    "no-appendfsync-on-rewrite" = "no", yes_no(), OPEN;
    /// Growth that starts a rewrite; see `checkpoint-growth-percentage`.
    "auto-aof-rewrite-percentage" = "100", int(0, INT), OPEN;
    /// Size below which none starts; see `checkpoint-min-size`.
    "auto-aof-rewrite-min-size" = "64mb", memory(0, LONG), OPEN;
    /// Begin a rewritten file with an RDB copy.
    "aof-use-rdb-preamble" = "yes", yes_no(), OPEN;
    /// Write times into the append-only file.
    "aof-timestamp-enabled" = "no", yes_no(), OPEN;
    /// Fsync a rewritten file in steps.
    "aof-rewrite-incremental-fsync" = "yes", yes_no(), OPEN;
    /// Leave old append-only files where they are.
    "aof-disable-auto-gc" = "no", yes_no(), OPEN | HIDDEN;
    /// Fsync an RDB file in steps.
    "rdb-save-incremental-fsync" = "yes", yes_no(), OPEN;
    /// Remove RDB files that only served a full copy; none is left here.
    "rdb-del-sync-files" = "no", yes_no(), OPEN;
    /// Whether RDB files of a later version are read.
    "rdb-version-check" = "strict", choice(&["strict", "relaxed"]), OPEN;
    /// Feed a replica its full copy and the stream on two connections.
    "dual-channel-replication-enabled" = "no", yes_no(), OPEN;

    /// Send full copies straight to the socket; they are made from a checkpoint, by another thread, into a nameless file.
    "repl-diskless-sync" = "yes", yes_no(), OPEN;
    /// Seconds to wait for more replicas before a full copy starts; it costs the loop nothing, and starts at once.
    "repl-diskless-sync-delay" = "5", int(0, INT), OPEN;
    /// So many waiting replicas start a full copy before that time is over.
    "repl-diskless-sync-max-replicas" = "0", int(0, INT), OPEN;
    /// Read a full copy from the socket into the keyspace; it is always read from there, into a second keyspace beside the
    /// one that serves.
    "repl-diskless-load" = "disabled", choice(&["disabled", "on-empty-db", "swapdb", "flush-before-load"]), OPEN | NOT_LOADING;
    /// Drop a replica's old data in the background; another thread always does.
    "replica-lazy-flush" | "slave-lazy-flush" = "no", yes_no(), OPEN;
    /// Let a replica apply a stream that its disk does not take. Nothing is applied that the log could lack: it waits for
    /// the disk, and the master for it.
    "replica-ignore-disk-write-errors" = "no", yes_no(), OPEN;
    /// Check payloads of RESTORE and full copies in depth; each is taken apart into its elements, and refused where one is
    /// wrong.
    "sanitize-dump-payload" = "no", choice(&["no", "yes", "clients"]), OPEN;
    /// Parts at each end of a list that are not compressed; none is.
    "list-compress-depth" = "0", int(0, INT), OPEN;

    // -- active defragmentation of Redis' patched allocator
    /// Move values to give memory back.
    "activedefrag" = "no", yes_no(), OPEN;
    /// Least share of the processor, in percent.
    "active-defrag-cycle-min" = "1", int(1, 99), OPEN;
    /// Largest share of the processor, in percent.
    "active-defrag-cycle-max" = "25", int(1, 99), OPEN;
    /// Microseconds of one step.
    "active-defrag-cycle-us" = "500", int(0, 100_000), OPEN;
    /// Waste at which it begins, in percent.
    "active-defrag-threshold-lower" = "10", int(0, 1000), OPEN;
    /// Waste at which it works hardest, in percent.
    "active-defrag-threshold-upper" = "100", int(0, 1000), OPEN;
    /// Waste in bytes below which it does nothing.
    "active-defrag-ignore-bytes" = "100mb", memory(1, LONG), OPEN;
    /// Members of a collection that one step looks at.
    "active-defrag-max-scan-fields" = "1000", int(1, LONG), OPEN;

    // -- more logs of commands
    /// Bytes of a request above which it is logged.
    "commandlog-request-larger-than" = "1048576", int(-1, LONG), OPEN;
    /// Entries of that log.
    "commandlog-large-request-max-len" = "128", int(0, LONG), OPEN;
    /// Bytes of a reply above which it is logged.
    "commandlog-reply-larger-than" = "1048576", int(-1, LONG), OPEN;
    /// Entries of that log.
    "commandlog-large-reply-max-len" = "128", int(0, LONG), OPEN;

    // -- TLS
    /// Password of the server's key: an encrypted key is refused.
    "tls-key-file-pass" = "", text(), OPEN | SECRET;
    /// Password of the key for outgoing connections, likewise.
    "tls-client-key-file-pass" = "", text(), OPEN | SECRET;
    /// Whether the cluster's bus uses TLS.
    "tls-cluster" = "no", yes_no(), OPEN;

    // -- Redis Cluster, which this is not
    /// Be a node of a Redis Cluster.
    "cluster-enabled" = "no", yes_no().with(no_cluster), FIXED;
    /// File of the cluster's state.
    "cluster-config-file" = "nodes.conf", text().with(cluster_file), FIXED;
    /// Milliseconds after which a node is down.
    "cluster-node-timeout" = "15000", int(0, LONG), OPEN;
    /// Milliseconds between the cluster's pings.
    "cluster-ping-interval" = "1000", int(0, LONG), OPEN | HIDDEN;
    /// Port of the cluster's bus.
    "cluster-port" = "0", int(0, 65535), FIXED;
    /// Address that the cluster is told.
    "cluster-announce-ip" = "", text(), OPEN;
    /// Port that the cluster is told.
    "cluster-announce-port" = "0", int(0, 65535), OPEN;
    /// TLS port that the cluster is told.
    "cluster-announce-tls-port" = "0", int(0, 65535), OPEN;
    /// Port of the bus that the cluster is told.
    "cluster-announce-bus-port" = "0", int(0, 65535), OPEN;
    /// IPv4 address that clients are told.
    "cluster-announce-client-ipv4" = "", text(), OPEN;
    /// IPv6 address that clients are told.
    "cluster-announce-client-ipv6" = "", text(), OPEN;
    /// Host name that the cluster is told.
    "cluster-announce-hostname" = "", text().with(hostname), OPEN;
    /// Name of the node for people.
    "cluster-announce-human-nodename" = "", text(), OPEN;
    /// What clients are redirected to.
    "cluster-preferred-endpoint-type" = "ip", choice(&["ip", "hostname", "unknown-endpoint"]), OPEN;
    /// Age of data up to which a replica may take over.
    "cluster-replica-validity-factor" | "cluster-slave-validity-factor" = "10", int(0, INT), OPEN;
    /// Never promote this replica.
    "cluster-replica-no-failover" | "cluster-slave-no-failover" = "no", yes_no(), OPEN;
    /// Replicas that a master keeps.
    "cluster-migration-barrier" = "1", int(0, INT), OPEN;
    /// Whether replicas move to masters without one.
    "cluster-allow-replica-migration" = "yes", yes_no(), OPEN;
    /// Stop when slots are without a master.
    "cluster-require-full-coverage" = "yes", yes_no(), OPEN;
    /// Answer reads while the cluster is down.
    "cluster-allow-reads-when-down" = "no", yes_no(), OPEN;
    /// Serve sharded channels while the cluster is down.
    "cluster-allow-pubsubshard-when-down" = "yes", yes_no(), OPEN;
    /// Bytes that may wait for another node.
    "cluster-link-sendbuf-limit" = "0", memory(0, ULONG), OPEN;
    /// Seconds for which a forgotten node stays forgotten.
    "cluster-blacklist-ttl" = "60", int(0, LONG), OPEN;
    /// Count what each slot does.
    "cluster-slot-stats-enabled" = "no", yes_no(), OPEN;
    /// Milliseconds that a failover by hand may take.
    "cluster-manual-failover-timeout" = "5000", int(1, INT), OPEN;
}

fn base_name(value: &Value, empty: &'static str, path: &'static str) -> Result<(), &'static str> {
    match value {
        Value::Text(name) if name.is_empty() => Err(empty),
        Value::Text(name) if name.contains('/') => Err(path),
        _ => Ok(()),
    }
}

fn appendfilename(value: &mut Value) -> Result<(), &'static str> {
    base_name(value, "appendfilename can't be empty", "appendfilename can't be a path, just a filename")
}

fn appenddirname(value: &mut Value) -> Result<(), &'static str> {
    base_name(value, "appenddirname can't be empty", "appenddirname can't be a path, just a dirname")
}

fn cluster_file(value: &mut Value) -> Result<(), &'static str> {
    if *value == Value::Text(String::new()) { Err("cluster-config-file can't be empty") } else { Ok(()) }
}

/// A node that believes it is in a cluster must not start alone.
fn no_cluster(value: &mut Value) -> Result<(), &'static str> {
    if *value == Value::Bool(true) { Err("cluster mode is not supported here") } else { Ok(()) }
}

fn hostname(value: &mut Value) -> Result<(), &'static str> {
    let Value::Text(name) = value else { return Ok(()) };
    if name.len() >= 256 {
        return Err("Hostnames must be less than 256 characters");
    }
    let good = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    if name.chars().all(good) {
        Ok(())
    } else {
        Err("Hostnames may only contain alphanumeric characters, hyphens or dots")
    }
}
