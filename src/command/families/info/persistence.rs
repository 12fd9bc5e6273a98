//! INFO persistence: the store in Redis' words, then in its own.

use super::Row::{self, Field, Maybe};
use super::{bit, zero};
use crate::base::Millis;
use crate::command::{LoadingFrom, Rewrite, Server};

pub const ROWS: &[Row] = &[
    Field("loading", |server| bit(server.loading.is_some())),
    Field("async_loading", zero),
    Field("current_cow_peak", zero),
    Field("current_cow_size", |server| server.keyspace.checkpoint_aside_bytes().to_string()),
    Field("current_cow_size_age", zero),
    Field("current_fork_perc", |_| "0.00".into()),
    Field("current_save_keys_processed", zero),
    Field("current_save_keys_total", zero),
    Field("rdb_changes_since_last_save", |server| server.dirty.to_string()),
    Field("rdb_bgsave_in_progress", |server| bit(server.persistence.save_since.is_some())),
    Field("rdb_last_save_time", |server| server.persistence.last_save.seconds().to_string()),
    Field("rdb_last_bgsave_status", |server| status(server.persistence.last_save_ok)),
    Field("rdb_last_bgsave_time_sec", |server| seconds(server.persistence.last_save_ms)),
    Field("rdb_current_bgsave_time_sec", |server| since_s(server, server.persistence.save_since)),
    Field("rdb_saves", |server| server.persistence.saves.to_string()),
    Field("rdb_last_cow_size", zero),
    Field("rdb_last_load_keys_expired", |server| server.persistence.keys_expired.to_string()),
    Field("rdb_last_load_keys_loaded", |server| server.persistence.keys_loaded.to_string()),
    Field("aof_enabled", |server| bit(server.config.settings.appendonly)),
    Field("aof_rewrite_in_progress", |server| bit(server.persistence.rewrite == Rewrite::Runs)),
    Field("aof_rewrite_scheduled", |server| bit(server.persistence.rewrite == Rewrite::Waits)),
    Field("aof_last_rewrite_time_sec", |server| seconds(server.persistence.last_checkpoint_ms)),
    Field("aof_current_rewrite_time_sec", |server| {
        let runs = server.persistence.rewrite == Rewrite::Runs;
        since_s(server, server.persistence.checkpoint_since.filter(|_| runs))
    }),
    Field("aof_last_bgrewrite_status", |server| status(server.persistence.last_checkpoint_ok)),
    Field("aof_rewrites", |server| server.persistence.checkpoints.to_string()),
    Field("aof_rewrites_consecutive_failures", |server| bit(!server.persistence.last_checkpoint_ok)),
    Field("aof_last_write_status", |server| status(server.persistence.log_ok && server.fault.is_none())),
    Field("aof_last_cow_size", zero),
    Field("module_fork_in_progress", zero),
    Field("module_fork_last_cow_size", zero),
    Maybe("aof_current_size", |server| with_log(server, |server| server.persistence.log_bytes)),
    Maybe("aof_base_size", |server| with_log(server, |server| server.persistence.last_checkpoint_bytes)),
    Maybe("aof_pending_rewrite", |server| with_log(server, |_| 0)),
    Maybe("aof_buffer_length", |server| {
        with_log(server, |server| server.stream.end().bytes_since(server.persistence.log_end))
    }),
    Maybe("aof_pending_bio_fsync", |server| {
        with_log(server, |server| u64::from(server.persistence.log_synced < server.persistence.log_end))
    }),
    // An append never waits for an fsync.
    Maybe("aof_delayed_fsync", |server| with_log(server, |_| 0)),
    Maybe("loading_start_time", |server| Some(server.loading.as_ref()?.since.seconds().to_string())),
    Maybe("loading_total_bytes", |server| Some(server.loading.as_ref()?.bytes_total.to_string())),
    Maybe("loading_rdb_used_mem", |server| Some(server.loading.as_ref()?.bytes_total.to_string())),
    Maybe("loading_loaded_bytes", |server| Some(server.loading.as_ref()?.bytes_done.to_string())),
    Maybe("loading_loaded_perc", |server| {
        let loading = server.loading.as_ref()?;
        Some(format!("{:.2}", 100.0 * loading.bytes_done as f64 / loading.bytes_total.max(1) as f64))
    }),
    Maybe("loading_eta_seconds", |server| {
        let loading = server.loading.as_ref()?;
        let left = loading.bytes_total.saturating_sub(loading.bytes_done);
        let elapsed = server.wall.since(loading.since).seconds().max(0) as u64;
        Some(if elapsed == 0 { 1 } else { elapsed.saturating_mul(left) / (loading.bytes_done + 1) }.to_string())
    }),
    Maybe("loading_from", |server| {
        let from = server.loading.as_ref()?.from;
        Some(if from == LoadingFrom::Store { "store" } else { "replicas" }.into())
    }),
    Maybe("checkpoint_replid", |server| Some(server.persistence.checkpoint?.0.to_string())),
    Maybe("checkpoint_offset", |server| Some(server.persistence.checkpoint?.1.to_string())),
    Field("checkpoint_in_progress", |server| bit(is_saving(server))),
    Field("checkpoint_dirty_pages", |server| server.keyspace.dirty_pages().to_string()),
    Field("checkpoint_last_status", |server| status(server.persistence.last_checkpoint_ok)),
    Field("checkpoint_last_time", |server| server.persistence.last_checkpoint.seconds().to_string()),
    Field("checkpoint_last_cost_ms", |server| server.persistence.last_checkpoint_ms.to_string()),
    Field("checkpoint_last_cost_bytes", |server| server.persistence.last_checkpoint_bytes.to_string()),
    Maybe("log_start_offset", |server| with_log(server, |server| server.persistence.log_start.0)),
    Maybe("log_end_offset", |server| with_log(server, |server| server.persistence.log_end.0)),
    Maybe("log_synced_offset", |server| with_log(server, |server| server.persistence.log_synced.0)),
    Maybe("log_bytes", |server| with_log(server, |server| server.persistence.log_bytes)),
    Maybe("log_segments", |server| with_log(server, |server| server.persistence.log_segments)),
    Maybe("log_last_fsync_age_ms", |server| {
        let at = server.persistence.last_fsync.filter(|_| server.config.settings.appendonly)?;
        Some(server.mono.since(at).to_string())
    }),
    Maybe("log_last_fsync_usec", |server| {
        server.persistence.last_fsync.filter(|_| server.config.settings.appendonly)?;
        Some(server.persistence.last_fsync_us.to_string())
    }),
    Field("disk_fault", |server| server.fault.clone().unwrap_or_default()),
];

fn is_saving(server: &Server) -> bool {
    server.persistence.checkpoint_since.is_some()
}

fn since_s(server: &Server, since: Option<Millis>) -> String {
    since.map_or(-1, |since| server.mono.since(since).seconds()).to_string()
}

fn seconds(ms: i64) -> String {
    if ms < 0 { "-1".into() } else { (ms / 1000).to_string() }
}

fn status(ok: bool) -> String {
    if ok { "ok" } else { "err" }.into()
}

fn with_log(server: &Server, value: fn(&Server) -> u64) -> Option<String> {
    server.config.settings.appendonly.then(|| value(server).to_string())
}
