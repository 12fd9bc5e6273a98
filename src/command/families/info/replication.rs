//! INFO replication: what sentinels and operators read to see who follows whom, and how far.

use super::Row::{self, Field, Lines, Maybe};
use super::bit;
use crate::command::Server;
use crate::replication::sink::{LinkState, SinkInfo, SyncInfo};

pub const ROWS: &[Row] = &[
    Field("role", |server| if server.is_replica() { "slave" } else { "master" }.into()),
    Maybe("master_host", |server| Some(sink(server)?.host.into())),
    Maybe("master_port", |server| Some(sink(server)?.port.to_string())),
    Maybe("master_link_status", |server| {
        Some(if sink(server)?.state == LinkState::Connected { "up" } else { "down" }.into())
    }),
    Maybe("master_last_io_seconds_ago", |server| Some(sink(server)?.last_io_s.to_string())),
    Maybe("master_sync_in_progress", |server| Some(bit(sink(server)?.state == LinkState::Sync))),
    Maybe("slave_read_repl_offset", |server| Some(sink(server)?.read.to_string())),
    Maybe("slave_repl_offset", |server| Some(sink(server)?.applied.to_string())),
    Maybe("master_sync_total_bytes", |server| Some(sync(server)?.total_bytes.to_string())),
    Maybe("master_sync_read_bytes", |server| Some(sync(server)?.read_bytes.to_string())),
    Maybe("master_sync_left_bytes", |server| {
        let sync = sync(server)?;
        Some((sync.total_bytes as i64 - sync.read_bytes as i64).to_string())
    }),
    Maybe("master_sync_perc", |server| {
        let sync = sync(server)?;
        let share = if sync.total_bytes == 0 { 0.0 } else { sync.read_bytes as f64 / sync.total_bytes as f64 };
        Some(format!("{:.2}", 100.0 * share))
    }),
    Maybe("master_sync_last_io_seconds_ago", |server| Some(sync(server)?.last_io_s.to_string())),
    Maybe("master_link_down_since_seconds", |server| Some(sink(server)?.down_s?.to_string())),
    Maybe("slave_priority", |server| of_replica(server, server.config.settings.replica_priority.to_string())),
    Maybe("slave_read_only", |server| of_replica(server, bit(server.config.settings.replica_read_only))),
    Maybe("replica_announced", |server| of_replica(server, bit(server.config.settings.replica_announced))),
    Field("connected_slaves", |server| server.source.attached().to_string()),
    Maybe("min_slaves_good_slaves", |server| {
        let settings = &server.config.settings;
        let active = settings.min_replicas_to_write != 0 && settings.min_replicas_max_lag != 0;
        active.then(|| server.source.good_replicas().to_string())
    }),
    Lines(|server, lines| {
        for (index, replica) in server.source.replicas(server.mono).enumerate() {
            lines.line(
                format_args!("slave{index}"),
                format_args!(
                    "ip={},port={},state={},offset={},lag={}",
                    replica.ip, replica.port, replica.state, replica.offset, replica.lag_s
                ),
            );
        }
    }),
    Field("master_failover_state", |server| server.failover_state().into()),
    Field("master_replid", |server| server.stream.history().id().to_string()),
    Field("master_replid2", |server| server.stream.history().second_id().to_string()),
    Field("master_repl_offset", |server| server.stream.end().to_string()),
    Field("second_repl_offset", |server| server.stream.history().second_repl_offset().to_string()),
    Field("repl_backlog_active", |_| "1".into()),
    Field("repl_backlog_size", |server| server.stream.backlog().size().to_string()),
    Field("repl_backlog_first_byte_offset", |server| (server.stream.backlog().start().0 + 1).to_string()),
    Field("repl_backlog_histlen", |server| server.stream.backlog().held_bytes().to_string()),
    // What a partial resync can be served from, the log included, and what cannot be shown to anyone yet.
    Field("repl_servable_first_byte_offset", |server| (server.stream.held().start().0 + 1).to_string()),
    Field("repl_released_offset", |server| server.stream.released().to_string()),
    Field("repl_former_ids", |server| server.stream.history().former().len().to_string()),
    Lines(|server, lines| {
        for (index, former) in server.stream.history().former().iter().rev().enumerate() {
            lines.line(format_args!("repl_former{index}"), format_args!("id={},end={}", former.id, former.end));
        }
    }),
    Maybe("last_full_resync", |server| Some(server.source.last_full()?.to_owned())),
];

fn sink(server: &Server) -> Option<SinkInfo<'_>> {
    server.sink.info(server.mono, &server.stream)
}

fn sync(server: &Server) -> Option<SyncInfo> {
    sink(server)?.sync
}

fn of_replica(server: &Server, value: String) -> Option<String> {
    server.is_replica().then_some(value)
}
