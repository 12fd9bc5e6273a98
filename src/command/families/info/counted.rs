//! INFO commandstats, errorstats, cluster and keyspace: a line for each thing that was counted.

use super::Row::{self, Field, Lines};
use super::zero;

pub const COMMANDS: &[Row] = &[Lines(|server, lines| {
    let mut rows: Vec<_> = server.stats.by_command.iter().map(|(key, stat)| (key.0.full_name(), *stat)).collect();
    rows.sort_by(|a, b| a.0.cmp(&b.0));
    for (name, stat) in rows {
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
