//! INFO commandstats, errorstats, cluster and keyspace: a line for each thing that was counted.

use super::Row::{self, Field, Lines};
use super::zero;
use crate::command::{CommandStat, Server};
use std::collections::BTreeMap;

pub const COMMANDS: &[Row] = &[Lines(|server, lines| {
    for (name, stat) in by_name(server) {
        let each = if stat.calls == 0 { 0.0 } else { stat.microseconds as f64 / stat.calls as f64 };
        lines.line(
            format_args!("cmdstat_{name}"),
            format_args!(
                "calls={},usec={},usec_per_call={each:.2},rejected_calls={},failed_calls={}",
                stat.calls, stat.microseconds, stat.rejected, stat.failed
            ),
        );
    }
})];

/// The counters of all commands that have some, by name.
fn by_name(server: &Server) -> BTreeMap<String, &CommandStat> {
    server.stats.by_command.iter().map(|(key, stat)| (key.0.full_name(), stat)).collect()
}

/// While `latency-tracking` is on: the percentiles of `latency-tracking-info-percentiles`, in microseconds.
pub const LATENCIES: &[Row] = &[Lines(|server, lines| {
    let settings = &server.config.settings;
    let counted = by_name(server).into_iter().filter_map(|(name, stat)| Some((name, stat.latency.as_ref()?)));
    for (name, latency) in counted.filter(|_| settings.latency_tracking) {
        let value = |p: &f64| format!("p{p}={:.3}", latency.at_percentile(*p) as f64 / 1000.0);
        let values: Vec<String> = settings.latency_tracking_info_percentiles.iter().map(value).collect();
        lines.line(format_args!("latency_percentiles_usec_{name}"), values.join(","));
    }
})];

pub const ERRORS: &[Row] = &[Lines(|server, lines| {
    for (code, count) in &server.stats.by_error {
        lines.line(format_args!("errorstat_{code}"), format_args!("count={count}"));
    }
})];

pub const CLUSTER: &[Row] = &[Field("cluster_enabled", zero)];

pub const KEYSPACE: &[Row] = &[Lines(|server, lines| {
    for (index, db) in server.keyspace.dbs().enumerate().filter(|(_, db)| !db.is_empty()) {
        let (keys, expires, ttl) = (db.len(), db.expires(), db.avg_ttl(server.wall));
        lines.line(format_args!("db{index}"), format_args!("keys={keys},expires={expires},avg_ttl={ttl}"));
    }
})];
