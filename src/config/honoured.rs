//! The directives that mean something here, each with its field in [`Settings`]. One row:
//! `"name" | "alias" = "default", kind, flags => field: type;` under its one-line doc, by family.
//!
//! Defaults are those of Redis 7.2, but for `appendonly`, which is `yes`: a node's history outlives a crash only through
//! its log.

use super::kind::{Form, INT, LONG, ULONG, choice, int, memory, octal, of, text, yes_no};
use super::table::{BOTH, Directive, FIXED, Field, Flags, GUARDED, HIDDEN, NOT_LOADING, OPEN, SECRET, honoured};
use super::types::*;

const MIB: i128 = 1 << 20;

honoured! {
    // -- network
    /// TCP port to listen on; 0 listens on none.
    "port" = "6379", int(0, 65535), OPEN | BOTH => port: u16;
    /// Addresses to listen on; `*` is every IPv4 one, `::*` every IPv6 one, and a leading `-` forgives a missing one.
    "bind" = "* -::*", of(Form::Words { max: 16 }), OPEN | BOTH => bind: Vec<String>;
    /// Address from which outgoing links (to a master, to peers) are made; empty leaves it to the system.
    "bind-source-addr" = "", text(), OPEN | BOTH => bind_source_addr: String;
    /// Refuse clients from elsewhere while there is no password and no `bind`.
    "protected-mode" = "yes", yes_no(), OPEN | BOTH => protected_mode: bool;
    /// Path of a Unix socket to listen on; empty is none. What is left of a socket there is removed at start.
    "unixsocket" = "", text(), FIXED => unixsocket: String;
    /// Mode of that socket's file, octal; 0 leaves it to the umask.
    "unixsocketperm" = "0", octal(0, 0o777), FIXED => unixsocketperm: i64;
    /// Group of that socket's file; empty leaves it.
    "unixsocketgroup" = "", text(), FIXED => unixsocketgroup: String;
    /// Length of the queue of connections that wait to be accepted.
    "tcp-backlog" = "511", int(0, INT), FIXED | BOTH => tcp_backlog: i64;
    /// Seconds between TCP keepalive probes; 0 sends none.
    "tcp-keepalive" = "300", int(0, INT), OPEN | BOTH => tcp_keepalive: i64;
    /// Seconds after which an idle client is closed; 0 never closes it.
    "timeout" = "0", int(0, INT), OPEN | BOTH => timeout: i64;
    /// Most clients connected at a time.
    "maxclients" = "10000", int(1, u32::MAX as i128), OPEN | BOTH => maxclients: i64;
    /// Connections accepted in one turn of the loop.
    "max-new-connections-per-cycle" = "10", int(1, 1000), OPEN => max_new_connections_per_cycle: i64;
    /// The same of TLS connections.
    "max-new-tls-connections-per-cycle" = "1", int(1, 1000), OPEN => max_new_tls_connections_per_cycle: i64;

    // -- TLS
    /// Port for TLS connections; 0 is none.
    "tls-port" = "0", int(0, 65535), OPEN | BOTH => tls_port: u16;
    /// Certificate of the server, with the chain behind it, PEM.
    "tls-cert-file" = "", text(), OPEN | BOTH => tls_cert_file: String;
    /// Key of that certificate, PEM, not encrypted.
    "tls-key-file" = "", text(), OPEN | BOTH => tls_key_file: String;
    /// Certificate for outgoing connections; empty is that of the server.
    "tls-client-cert-file" = "", text(), OPEN | BOTH => tls_client_cert_file: String;
    /// Key of that certificate.
    "tls-client-key-file" = "", text(), OPEN | BOTH => tls_client_key_file: String;
    /// Parameters of a key exchange that there is not here: said, and not used.
    "tls-dh-params-file" = "", text(), OPEN | BOTH => tls_dh_params_file: String;
    /// Authorities that are trusted, PEM.
    "tls-ca-cert-file" = "", text(), OPEN | BOTH => tls_ca_cert_file: String;
    /// Directory of files with such authorities.
    "tls-ca-cert-dir" = "", text(), OPEN | BOTH => tls_ca_cert_dir: String;
    /// Whether clients must, may or need not have a certificate.
    "tls-auth-clients" = "yes", choice(TlsAuthClients::NAMES), OPEN | BOTH => tls_auth_clients: TlsAuthClients;
    /// Whether links that are made (to a master, to nodes, to sentinels) use TLS.
    "tls-replication" = "no", yes_no(), OPEN | BOTH => tls_replication: bool;
    /// Versions that are allowed, of `TLSv1.2 TLSv1.3`; empty is both.
    "tls-protocols" = "", text(), OPEN | BOTH => tls_protocols: String;
    /// Ciphers of TLS 1.2, by OpenSSL's names; empty is all that there are.
    "tls-ciphers" = "", text(), OPEN | BOTH => tls_ciphers: String;
    /// Ciphers of TLS 1.3.
    "tls-ciphersuites" = "", text(), OPEN | BOTH => tls_ciphersuites: String;
    /// Whether the server chooses the cipher.
    "tls-prefer-server-ciphers" = "no", yes_no(), OPEN | BOTH => tls_prefer_server_ciphers: bool;
    /// Whether sessions are resumed.
    "tls-session-caching" = "yes", yes_no(), OPEN | BOTH => tls_session_caching: bool;
    /// Sessions that are remembered.
    "tls-session-cache-size" = "20480", int(0, INT), OPEN | BOTH => tls_session_cache_size: i64;
    /// Seconds for which they are.
    "tls-session-cache-timeout" = "300", int(0, INT), OPEN | BOTH => tls_session_cache_timeout: i64;

    // -- process
    /// Run in the background.
    "daemonize" = "no", yes_no(), FIXED | BOTH => daemonize: bool;
    /// Who supervises the process and is told that it is ready.
    "supervised" = "no", choice(Supervised::NAMES), FIXED | BOTH => supervised: Supervised;
    /// File that holds the process id while it runs.
    "pidfile" = "", text(), FIXED | BOTH => pidfile: String;
    /// Least weight of the lines that are logged.
    "loglevel" = "notice", choice(LogLevel::NAMES), OPEN | BOTH => loglevel: LogLevel;
    /// File to log to; empty is the standard output.
    "logfile" = "", text(), FIXED | BOTH => logfile: String;
    /// Whether the process shows `proc-title-template` as its name.
    "set-proc-title" = "yes", yes_no(), FIXED | BOTH => set_proc_title: bool;
    /// The process name: {title} {listen-addr} {server-mode} {port} {tls-port} {unixsocket} {config-file}.
    "proc-title-template" = "{title} {listen-addr} {server-mode}", text().with(proc_title), OPEN | BOTH => proc_title_template: String;
    /// Number of databases.
    "databases" = "16", int(1, INT), FIXED => databases: i64;
    /// Working directory: the store and every relative path are in it.
    "dir" = ".", text().with(dir), GUARDED | NOT_LOADING | BOTH => dir: String;
    /// Beats of background work per second.
    "hz" = "10", int(0, INT).with(hz), OPEN | BOTH => hz: i64;
    /// Whether there are more beats with many clients: twice as many for each doubling above 200 for a beat.
    "dynamic-hz" = "yes", yes_no(), OPEN => dynamic_hz: bool;
    /// Seconds that a shutdown waits for replicas that lag.
    "shutdown-timeout" = "10", int(0, INT), OPEN => shutdown_timeout: i64;
    /// Options of the shutdown that SIGINT stands for.
    "shutdown-on-sigint" = "default", of(Form::Shutdown), OPEN => shutdown_on_sigint: ShutdownFlags;
    /// Options of the shutdown that SIGTERM stands for.
    "shutdown-on-sigterm" = "default", of(Form::Shutdown), OPEN => shutdown_on_sigterm: ShutdownFlags;
    /// Keep keys and words of requests out of what the server's log says of refused payloads and of a stream's refused commands.
    "hide-user-data-from-log" = "yes", yes_no(), OPEN => hide_user_data_from_log: bool;

    // -- access
    /// Password of the default user; empty asks for none.
    "requirepass" = "", text(), OPEN | SECRET | BOTH => requirepass: String;
    /// Who may use DEBUG.
    "enable-debug-command" = "no", choice(Protected::NAMES), FIXED | BOTH => enable_debug_command: Protected;
    /// Who may set `dir`, `dbfilename` and their like at run time.
    "enable-protected-configs" = "no", choice(Protected::NAMES), FIXED => enable_protected_configs: Protected;
    /// Who may use MODULE LOAD and UNLOAD; there is nothing to load.
    "enable-module-command" = "no", choice(Protected::NAMES), FIXED => enable_module_command: Protected;
    /// Channels that a new user may use.
    "acl-pubsub-default" = "resetchannels", choice(AclPubsubDefault::NAMES), OPEN | BOTH => acl_pubsub_default: AclPubsubDefault;
    /// Entries that ACL LOG keeps.
    "acllog-max-len" = "128", int(0, LONG), OPEN | BOTH => acllog_max_len: i64;
    /// File of users, in the place of `user` lines.
    "aclfile" = "", text(), FIXED => aclfile: String;

    // -- the store
    /// Keep the replication history in a durable log; `yes` here, where Redis has `no`. Without it a crash loses what
    /// the last checkpoint does not hold.
    "appendonly" = "yes", yes_no(), OPEN | NOT_LOADING => appendonly: bool;
    /// When the log is forced to the disk.
    "appendfsync" = "everysec", choice(AppendFsync::NAMES), OPEN => appendfsync: AppendFsync;
    /// Write `dbfilename`, and with it a checkpoint, when so many changes are so many seconds old.
    "save" = "3600 1 300 100 60 10000", of(Form::Save), OPEN => save: Vec<SavePoint>;
    /// Refuse writes when the last dump failed, while there are save points.
    "stop-writes-on-bgsave-error" = "yes", yes_no(), OPEN => stop_writes_on_bgsave_error: bool;
    /// Name of the RDB file that SAVE, BGSAVE and save points write, and that an empty store is filled from.
    "dbfilename" = "dump.rdb", text().with(dbfilename), OPEN | GUARDED => dbfilename: String;
    /// Whether that file carries a checksum.
    "rdbchecksum" = "yes", yes_no(), FIXED => rdbchecksum: bool;
    /// Whether its strings are compressed.
    "rdbcompression" = "yes", yes_no(), OPEN => rdbcompression: bool;
    /// Microseconds to wait at each key of that file and of full copies (negative: keys per microsecond); for tests. Nothing
    /// forks here, so a new value also reaches a file that is being written.
    "rdb-key-save-delay" = "0", int(i32::MIN as i128, INT), OPEN | HIDDEN => rdb_key_save_delay: i64;
    /// Microseconds to wait at each key of an RDB file or a full copy that is loaded (negative: keys per microsecond); for tests.
    "key-load-delay" = "0", int(i32::MIN as i128, INT), OPEN | HIDDEN => key_load_delay: i64;
    /// Most bytes of a full copy that are loaded between two looks at the clients; never more than 64 KiB here.
    "loading-process-events-interval-bytes" = "2097152", int(1024, INT), OPEN | HIDDEN => loading_process_events_interval_bytes: i64;
    /// Start when the log ends in a torn record (it is cut off and said); `no` refuses to start.
    "aof-load-truncated" = "yes", yes_no(), OPEN => aof_load_truncated: bool;
    /// Own: a checkpoint is due when the log behind the last one is this share of the keyspace, in percent.
    "checkpoint-growth-percentage" = "100", int(1, INT), OPEN => checkpoint_growth_percentage: i64;
    /// Own: no checkpoint is taken for growth before the log behind the last one has this size.
    "checkpoint-min-size" = "64mb", memory(1024, LONG), OPEN => checkpoint_min_size: u64;
    /// Own: bytes of log kept for replicas that come back, beyond what recovery needs.
    "log-retain-size" = "256mb", memory(0, LONG), OPEN => log_retain_size: u64;
    /// Own: seconds for which replies are held back while the log can't be written; then those clients are closed.
    "log-hold-timeout" = "60", int(1, INT), OPEN => log_hold_timeout: i64;

    // -- replication
    /// The master to follow, as `<host> <port>`; `no one` is none.
    "replicaof" | "slaveof" = "", of(Form::Master), FIXED => replicaof: Option<Address>;
    /// Password to give to the master.
    "masterauth" | "primaryauth" = "", text(), OPEN | SECRET => masterauth: String;
    /// User to give to the master; empty is the default user.
    "masteruser" | "primaryuser" = "", text(), OPEN | SECRET => masteruser: String;
    /// Whether a replica answers from what it has while its master is out of reach.
    "replica-serve-stale-data" | "slave-serve-stale-data" = "yes", yes_no(), OPEN => replica_serve_stale_data: bool;
    /// Whether a replica refuses writes.
    "replica-read-only" | "slave-read-only" = "yes", yes_no(), OPEN => replica_read_only: bool;
    /// Whether a replica leaves eviction to its master.
    "replica-ignore-maxmemory" | "slave-ignore-maxmemory" = "yes", yes_no(), OPEN => replica_ignore_maxmemory: bool;
    /// Rank among the candidates for promotion, the lowest first; 0 is never promoted.
    "replica-priority" | "slave-priority" = "100", int(0, INT), OPEN => replica_priority: i64;
    /// Whether sentinels show this replica to clients.
    "replica-announced" = "yes", yes_no(), OPEN => replica_announced: bool;
    /// Address that a replica says it has; empty is the one of its connection.
    "replica-announce-ip" | "slave-announce-ip" = "", text(), OPEN => replica_announce_ip: String;
    /// Port that a replica says it has; 0 is `port`.
    "replica-announce-port" | "slave-announce-port" = "0", int(0, 65535), OPEN => replica_announce_port: u16;
    /// Seconds between the PINGs in the replication stream.
    "repl-ping-replica-period" | "repl-ping-slave-period" = "10", int(1, INT), OPEN => repl_ping_replica_period: i64;
    /// Seconds of silence after which a replication link is broken.
    "repl-timeout" = "60", int(1, INT), OPEN => repl_timeout: i64;
    /// Whether the stream may wait to fill packets (more delay, fewer packets).
    "repl-disable-tcp-nodelay" = "no", yes_no(), OPEN => repl_disable_tcp_nodelay: bool;
    /// Bytes of the stream kept in memory for replicas that come back.
    "repl-backlog-size" = "1mb", memory(1, LONG), OPEN => repl_backlog_size: u64;
    /// Seconds without a replica after which that memory is given back; 0 never.
    "repl-backlog-ttl" = "3600", int(0, LONG), OPEN => repl_backlog_ttl: i64;
    /// Refuse writes with fewer replicas in step than this; 0 never refuses.
    "min-replicas-to-write" | "min-slaves-to-write" = "0", int(0, INT), OPEN => min_replicas_to_write: i64;
    /// Seconds since its last word up to which a replica counts as in step.
    "min-replicas-max-lag" | "min-slaves-max-lag" = "10", int(0, INT), OPEN => min_replicas_max_lag: i64;
    /// What to do about a command of the stream that cannot be applied.
    "propagation-error-behavior" = "ignore", choice(PropagationError::NAMES), OPEN => propagation_error_behavior: PropagationError;

    // -- memory
    /// Bytes of memory above which keys are evicted or writes refused; 0 is no limit.
    "maxmemory" = "0", memory(0, ULONG), OPEN => maxmemory: u64;
    /// Which keys are evicted.
    "maxmemory-policy" = "noeviction", choice(MaxmemoryPolicy::NAMES), OPEN => maxmemory_policy: MaxmemoryPolicy;
    /// Keys looked at to find the one to evict.
    "maxmemory-samples" = "5", int(1, 64), OPEN => maxmemory_samples: i64;
    /// How hard eviction works before it lets a request through, 0 to 100.
    "maxmemory-eviction-tenacity" = "10", int(0, 100), OPEN => maxmemory_eviction_tenacity: i64;
    /// Bytes of memory that all clients together may take; negative is a percentage of `maxmemory`; 0 is no limit.
    "maxmemory-clients" = "0", of(Form::MemoryOrPercent { min: -100, max: LONG }), OPEN => maxmemory_clients: i64;
    /// How fast the access counter of LFU eviction saturates.
    "lfu-log-factor" = "10", int(0, INT), OPEN => lfu_log_factor: i64;
    /// Minutes after which that counter is halved.
    "lfu-decay-time" = "1", int(0, INT), OPEN => lfu_decay_time: i64;
    /// How much work goes into finding expired keys, 1 to 10.
    "active-expire-effort" = "1", int(1, 10), OPEN => active_expire_effort: i64;
    /// Whether evicted values are freed in the background.
    "lazyfree-lazy-eviction" = "no", yes_no(), OPEN => lazyfree_lazy_eviction: bool;
    /// Whether expired values are freed in the background.
    "lazyfree-lazy-expire" = "no", yes_no(), OPEN => lazyfree_lazy_expire: bool;
    /// Whether values that a command replaces are freed in the background.
    "lazyfree-lazy-server-del" = "no", yes_no(), OPEN => lazyfree_lazy_server_del: bool;
    /// Whether DEL works like UNLINK.
    "lazyfree-lazy-user-del" = "no", yes_no(), OPEN => lazyfree_lazy_user_del: bool;
    /// Whether FLUSHDB and FLUSHALL are ASYNC unless they say otherwise.
    "lazyfree-lazy-user-flush" = "no", yes_no(), OPEN => lazyfree_lazy_user_flush: bool;

    // -- limits of requests and clients
    /// Largest argument of a request, in bytes.
    "proto-max-bulk-len" = "512mb", memory(MIB, LONG), OPEN | BOTH => proto_max_bulk_len: u64;
    /// Largest unread request of a client, in bytes.
    "client-query-buffer-limit" = "1gb", memory(MIB, LONG), OPEN | BOTH => client_query_buffer_limit: u64;
    /// What clients may leave unread, by class.
    "client-output-buffer-limit" = "normal 0 0 0 replica 256mb 64mb 60 pubsub 32mb 8mb 60", of(Form::Output), OPEN | BOTH => client_output_buffer_limit: OutputLimits;
    /// Keys that the table of client side caching holds; 0 is no limit.
    "tracking-table-max-keys" = "1000000", int(0, LONG), OPEN => tracking_table_max_keys: i64;
    /// Milliseconds after which a script makes the server answer BUSY; 0 never.
    "busy-reply-threshold" | "lua-time-limit" = "5000", int(0, LONG), OPEN => busy_reply_threshold: i64;

    // -- observation
    /// Microseconds above which a command enters the slow log; negative logs none.
    "slowlog-log-slower-than" | "commandlog-execution-slower-than" = "10000", int(-1, LONG), OPEN => slowlog_log_slower_than: i64;
    /// Entries that the slow log keeps.
    "slowlog-max-len" | "commandlog-slow-execution-max-len" = "128", int(0, LONG), OPEN => slowlog_max_len: i64;
    /// Milliseconds above which LATENCY remembers an event; 0 remembers none.
    "latency-monitor-threshold" = "0", int(0, LONG), OPEN => latency_monitor_threshold: i64;
    /// Whether the latency of each command is counted.
    "latency-tracking" = "yes", yes_no(), OPEN => latency_tracking: bool;
    /// Percentiles that INFO latencystats shows.
    "latency-tracking-info-percentiles" = "50 99 99.9", of(Form::Percentiles), OPEN => latency_tracking_info_percentiles: Vec<f64>;
    /// Which changes of keys are published.
    "notify-keyspace-events" = "", of(Form::Events), OPEN => notify_keyspace_events: KeyspaceEvents;

    // -- when a collection changes from its small form to its large one
    /// Fields up to which a hash stays small.
    "hash-max-listpack-entries" | "hash-max-ziplist-entries" = "512", int(0, LONG), OPEN => hash_max_listpack_entries: i64;
    /// Bytes of a field or value up to which a hash stays small.
    "hash-max-listpack-value" | "hash-max-ziplist-value" = "64", memory(0, LONG), OPEN => hash_max_listpack_value: u64;
    /// Entries (or, negative, a size class) of one part of a list.
    "list-max-listpack-size" | "list-max-ziplist-size" = "-2", int(i32::MIN as i128, INT), OPEN => list_max_listpack_size: i64;
    /// Members up to which a set of integers stays an array.
    "set-max-intset-entries" = "512", int(0, LONG), OPEN => set_max_intset_entries: i64;
    /// Members up to which a set stays small.
    "set-max-listpack-entries" = "128", int(0, LONG), OPEN => set_max_listpack_entries: i64;
    /// Bytes of a member up to which a set stays small.
    "set-max-listpack-value" = "64", int(0, LONG), OPEN => set_max_listpack_value: i64;
    /// Members up to which a sorted set stays small.
    "zset-max-listpack-entries" | "zset-max-ziplist-entries" = "128", int(0, LONG), OPEN => zset_max_listpack_entries: i64;
    /// Bytes of a member up to which a sorted set stays small.
    "zset-max-listpack-value" | "zset-max-ziplist-value" = "64", memory(0, LONG), OPEN => zset_max_listpack_value: u64;
    /// Bytes up to which a HyperLogLog stays sparse.
    "hll-sparse-max-bytes" = "3000", memory(0, LONG), OPEN => hll_sparse_max_bytes: u64;
    /// Bytes of one node of a stream.
    "stream-node-max-bytes" = "4096", memory(0, LONG), OPEN => stream_node_max_bytes: u64;
    /// Entries of one node of a stream.
    "stream-node-max-entries" = "100", int(0, LONG), OPEN => stream_node_max_entries: i64;
}

/// Out of 1 to 500 is brought into it, as Redis does.
fn hz(value: &mut Value) -> Result<(), &'static str> {
    if let Value::Int(beats) = value {
        *beats = (*beats).clamp(1, 500);
    }
    Ok(())
}

fn dir(value: &mut Value) -> Result<(), &'static str> {
    if *value == Value::Text(String::new()) { Err("dir can't be empty") } else { Ok(()) }
}

fn dbfilename(value: &mut Value) -> Result<(), &'static str> {
    match value {
        Value::Text(name) if name.is_empty() => Err("dbfilename can't be empty"),
        Value::Text(name) if name.contains('/') => Err("dbfilename can't be a path, just a filename"),
        _ => Ok(()),
    }
}

fn proc_title(value: &mut Value) -> Result<(), &'static str> {
    match value {
        Value::Text(template) if super::title::is_valid(template) => Ok(()),
        _ => Err("template format is invalid or contains unknown variables"),
    }
}
