//! INFO memory.

use super::Row::{self, Field};
use super::{human, zero};
use crate::command::{Kind, Server};

pub const ROWS: &[Row] = &[
    Field("used_memory", |server| server.memory.used.to_string()),
    Field("used_memory_human", |server| human(server.memory.used)),
    Field("used_memory_rss", |server| server.memory.rss.to_string()),
    Field("used_memory_rss_human", |server| human(server.memory.rss)),
    Field("used_memory_peak", |server| peak(server).to_string()),
    Field("used_memory_peak_human", |server| human(peak(server))),
    Field("used_memory_peak_perc", |server| format!("{:.2}%", 100.0 * ratio(server.memory.used, peak(server)))),
    Field("used_memory_overhead", |server| overhead(server).to_string()),
    Field("used_memory_startup", |server| server.memory.startup.to_string()),
    Field("used_memory_dataset", |server| dataset(server).to_string()),
    Field("used_memory_dataset_perc", |server| {
        let net = server.memory.used.saturating_sub(server.memory.startup);
        format!("{:.2}%", 100.0 * ratio(dataset(server), net).min(1.0))
    }),
    Field("allocator_allocated", |server| server.memory.allocated.to_string()),
    Field("allocator_active", |server| server.memory.active.to_string()),
    Field("allocator_resident", |server| server.memory.resident.to_string()),
    Field("total_system_memory", |server| server.memory.system.to_string()),
    Field("total_system_memory_human", |server| human(server.memory.system)),
    Field("used_memory_lua", |server| server.scripting.machines().0.to_string()),
    Field("used_memory_vm_eval", |server| server.scripting.machines().0.to_string()),
    Field("used_memory_lua_human", |server| human(server.scripting.machines().0 as u64)),
    Field("used_memory_scripts_eval", |server| server.scripting.cached().1.to_string()),
    Field("number_of_cached_scripts", |server| server.scripting.cached().0.to_string()),
    Field("number_of_functions", |server| server.scripting.libraries.functions().to_string()),
    Field("number_of_libraries", |server| server.scripting.libraries.len().to_string()),
    Field("used_memory_vm_functions", |server| server.scripting.machines().1.to_string()),
    Field("used_memory_vm_total", |server| machines(server).to_string()),
    Field("used_memory_vm_total_human", |server| human(machines(server))),
    Field("used_memory_functions", |server| server.scripting.libraries.memory().to_string()),
    Field("used_memory_scripts", |server| scripts(server).to_string()),
    Field("used_memory_scripts_human", |server| human(scripts(server))),
    Field("maxmemory", |server| server.config.settings.maxmemory.to_string()),
    Field("maxmemory_human", |server| human(server.config.settings.maxmemory)),
    Field("maxmemory_policy", |server| server.config.settings.maxmemory_policy.name().into()),
    Field("allocator_frag_ratio", |server| two(ratio(server.memory.active, server.memory.allocated))),
    Field("allocator_frag_bytes", |server| server.memory.active.saturating_sub(server.memory.allocated).to_string()),
    Field("allocator_rss_ratio", |server| two(ratio(server.memory.resident, server.memory.active))),
    Field("allocator_rss_bytes", |server| difference(server.memory.resident, server.memory.active)),
    Field("rss_overhead_ratio", |server| two(ratio(server.memory.rss, server.memory.resident))),
    Field("rss_overhead_bytes", |server| difference(server.memory.rss, server.memory.resident)),
    Field("mem_fragmentation_ratio", |server| two(ratio(server.memory.rss, server.memory.used))),
    Field("mem_fragmentation_bytes", |server| difference(server.memory.rss, server.memory.used)),
    Field("mem_not_counted_for_evict", |server| server.not_counted_memory().to_string()),
    Field("mem_replication_backlog", |server| server.stream.backlog().memory_bytes().to_string()),
    Field("mem_total_replication_buffers", |server| server.stream.backlog().memory_bytes().to_string()),
    Field("mem_clients_slaves", |server| {
        let waiting = if server.source.attached() > 0 { server.stream.backlog().excess_bytes() as u64 } else { 0 };
        (server.memory_of_clients(Kind::Replica) + waiting).to_string()
    }),
    Field("mem_clients_normal", |server| server.memory_of_clients(Kind::Normal).to_string()),
    Field("mem_cluster_links", zero),
    Field("mem_aof_buffer", |server| server.feed.buffered_bytes().to_string()),
    Field("mem_allocator", |server| match server.memory.allocator {
        "" => "libc".into(),
        name => name.into(),
    }),
    Field("active_defrag_running", zero),
    Field("lazyfree_pending_objects", |server| server.garbage.pending().to_string()),
    Field("lazyfreed_objects", |server| server.garbage.freed().to_string()),
    Field("mem_store", |server| server.memory.store.to_string()),
];

pub fn peak(server: &Server) -> u64 {
    server.memory.peak.max(server.memory.used)
}

/// What is not the data: the process at its start, the backlog, the clients' buffers, the tables of keys.
pub fn overhead(server: &Server) -> u64 {
    let clients = server.memory_of_clients(Kind::Replica) + server.memory_of_clients(Kind::Normal);
    let keys: u64 = server.keyspace.dbs().map(|db| db.overhead_bytes()).sum();
    let buffers = (server.stream.backlog().memory_bytes() + server.feed.buffered_bytes()) as u64;
    server.memory.startup + buffers + clients + keys
}

pub fn dataset(server: &Server) -> u64 {
    server.memory.used.saturating_sub(overhead(server))
}

/// Both machines of Lua.
fn machines(server: &Server) -> u64 {
    let (eval, functions) = server.scripting.machines();
    (eval + functions) as u64
}

/// What is kept of scripts and functions beside the machines.
fn scripts(server: &Server) -> u64 {
    (server.scripting.cached().1 + server.scripting.libraries.memory()) as u64
}

pub fn ratio(of: u64, to: u64) -> f64 {
    if to == 0 { 0.0 } else { of as f64 / to as f64 }
}

fn two(value: f64) -> String {
    format!("{value:.2}")
}

fn difference(a: u64, b: u64) -> String {
    (a as i64 - b as i64).to_string()
}
