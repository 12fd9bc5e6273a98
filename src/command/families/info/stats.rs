//! INFO stats.

use super::Row::{self, Field};
use super::zero;
use crate::command::Sampler;

pub const ROWS: &[Row] = &[
    Field("total_connections_received", |server| server.stats.connections.to_string()),
    Field("total_commands_processed", |server| server.stats.commands.to_string()),
    Field("instantaneous_ops_per_sec", |server| server.stats.ops.rate().to_string()),
    Field("total_net_input_bytes", |server| (server.stats.net_in + server.stats.net_repl_in).to_string()),
    Field("total_net_output_bytes", |server| (server.stats.net_out + server.stats.net_repl_out).to_string()),
    Field("total_net_repl_input_bytes", |server| server.stats.net_repl_in.to_string()),
    Field("total_net_repl_output_bytes", |server| server.stats.net_repl_out.to_string()),
    Field("instantaneous_input_kbps", |server| kbps(&server.stats.input)),
    Field("instantaneous_output_kbps", |server| kbps(&server.stats.output)),
    Field("instantaneous_input_repl_kbps", |server| kbps(&server.stats.repl_input)),
    Field("instantaneous_output_repl_kbps", |server| kbps(&server.stats.repl_output)),
    Field("rejected_connections", |server| server.stats.connections_rejected.to_string()),
    Field("sync_full", |server| (server.source.counts().full - server.stats.sync_before.full).to_string()),
    Field("sync_partial_ok", |server| {
        (server.source.counts().partial_ok - server.stats.sync_before.partial_ok).to_string()
    }),
    Field("sync_partial_err", |server| {
        (server.source.counts().partial_err - server.stats.sync_before.partial_err).to_string()
    }),
    Field("expired_keys", |server| server.stats.expired_keys.to_string()),
    Field("expired_stale_perc", |_| "0.00".into()),
    Field("expired_time_cap_reached_count", |server| server.stats.expired_time_cap_reached.to_string()),
    Field("expire_cycle_cpu_milliseconds", zero),
    Field("evicted_keys", |server| server.stats.evicted_keys.to_string()),
    Field("evicted_clients", |server| server.stats.evicted_clients.to_string()),
    Field("total_eviction_exceeded_time", |server| {
        (server.eviction.exceeded_us((server.ticks)()).1 / 1000).to_string()
    }),
    Field("current_eviction_exceeded_time", |server| {
        (server.eviction.exceeded_us((server.ticks)()).0 / 1000).to_string()
    }),
    Field("keyspace_hits", |server| server.stats.hits.to_string()),
    Field("keyspace_misses", |server| server.stats.misses.to_string()),
    Field("pubsub_channels", |server| server.pubsub.channels.len().to_string()),
    Field("pubsub_patterns", |server| server.pubsub.patterns.len().to_string()),
    Field("pubsubshard_channels", |server| server.pubsub.shards.len().to_string()),
    Field("latest_fork_usec", zero),
    Field("total_forks", zero),
    Field("migrate_cached_sockets", |server| server.kept_migrations.to_string()),
    Field("slave_expires_tracked_keys", |server| server.local_deadlines.len().to_string()),
    Field("active_defrag_hits", zero),
    Field("active_defrag_misses", zero),
    Field("active_defrag_key_hits", zero),
    Field("active_defrag_key_misses", zero),
    Field("total_active_defrag_time", zero),
    Field("current_active_defrag_time", zero),
    Field("tracking_total_keys", |server| server.trackers.keys().to_string()),
    Field("tracking_total_items", |server| server.trackers.items().to_string()),
    Field("tracking_total_prefixes", |server| server.trackers.prefixes().to_string()),
    Field("unexpected_error_replies", |server| server.stats.unexpected_errors.to_string()),
    Field("total_error_replies", |server| server.stats.errors.to_string()),
    Field("dump_payload_sanitizations", zero),
    Field("total_reads_processed", |server| server.stats.reads.to_string()),
    Field("total_writes_processed", |server| server.stats.writes.to_string()),
    Field("io_threaded_reads_processed", zero),
    Field("io_threaded_writes_processed", zero),
    Field("client_query_buffer_limit_disconnections", |server| server.stats.query_buffer_disconnections.to_string()),
    Field("client_output_buffer_limit_disconnections", |server| server.stats.output_buffer_disconnections.to_string()),
    Field("reply_buffer_shrinks", |server| server.stats.reply_buffer_shrinks.to_string()),
    Field("reply_buffer_expands", |server| server.stats.reply_buffer_expands.to_string()),
    Field("eventloop_cycles", |server| server.stats.turns.to_string()),
    Field("eventloop_duration_sum", |server| (server.cpu.user_main_us + server.cpu.sys_main_us).to_string()),
    Field("eventloop_duration_cmd_sum", |server| server.stats.busy_us.to_string()),
    Field("instantaneous_eventloop_cycles_per_sec", |server| server.stats.turns_rate.rate().to_string()),
    Field("instantaneous_eventloop_duration_usec", |server| {
        (server.stats.busy_rate.rate() / server.stats.turns_rate.rate().max(1)).to_string()
    }),
    Field("acl_access_denied_auth", |server| server.stats.auth_denied.to_string()),
    Field("acl_access_denied_cmd", |server| server.stats.commands_denied.to_string()),
    Field("acl_access_denied_key", |server| server.stats.keys_denied.to_string()),
    Field("acl_access_denied_channel", |server| server.stats.channels_denied.to_string()),
    Field("sync_copies_received", |server| server.stats.sync_copies_received.to_string()),
    Field("evicted_scripts", |server| server.scripting.evicted.to_string()),
];

fn kbps(bytes: &Sampler) -> String {
    format!("{:.2}", bytes.rate() as f64 / 1024.0)
}

pub(super) const DEBUG: &[Row] = &[
    Field("eventloop_duration_aof_sum", |server| server.stats.append_us.to_string()),
    Field("eventloop_duration_cron_sum", |server| server.stats.cron_us.to_string()),
    Field("eventloop_duration_max", |server| server.stats.turn_us_max.to_string()),
    Field("eventloop_cmd_per_cycle_max", |server| server.stats.turn_commands_max.to_string()),
];
