//! INFO server.

use super::Row::{self, Field, Lines, Maybe};
use super::zero;
use crate::base::REDIS_VERSION;
use crate::command::PauseBy;

pub const ROWS: &[Row] = &[
    Field("redis_version", |_| REDIS_VERSION.into()),
    Field("redis_git_sha1", |_| "00000000".into()),
    Field("redis_git_dirty", zero),
    Field("redis_build_id", |_| format!("regent-{}", env!("CARGO_PKG_VERSION"))),
    Field("redis_mode", |_| "standalone".into()),
    Field("os", |server| server.process.os.clone()),
    Field("arch_bits", |_| usize::BITS.to_string()),
    Field("monotonic_clock", |_| "POSIX clock_gettime".into()),
    Field("multiplexing_api", |_| "epoll".into()),
    Field("atomicvar_api", |_| "c11-builtin".into()),
    Field("gcc_version", |_| "0.0.0".into()),
    Field("process_id", |_| std::process::id().to_string()),
    Field("process_supervised", |server| server.process.supervised.into()),
    Field("run_id", |server| server.run_id.to_string()),
    Field("tcp_port", |server| match server.process.tcp_port {
        0 => server.config.settings.tls_port.to_string(),
        port => port.to_string(),
    }),
    Field("server_time_usec", |server| (server.wall.0 * 1000).to_string()),
    Field("uptime_in_seconds", |server| server.mono.seconds().to_string()),
    Field("uptime_in_days", |server| (server.mono.seconds() / 86400).to_string()),
    Field("hz", |server| server.hz().to_string()),
    Field("configured_hz", |server| server.config.settings.hz.to_string()),
    Field("lru_clock", |server| (server.wall.seconds() & 0xff_ffff).to_string()),
    Field("executable", |server| server.process.executable.clone()),
    Field("config_file", |server| server.process.config_file.clone()),
    Field("io_threads_active", zero),
    Maybe("shutdown_in_milliseconds", |server| {
        let pause = server.pause_by(PauseBy::Shutdown)?;
        Some(pause.until.since(server.mono).to_string())
    }),
    Lines(|server, lines| {
        if server.process.tcp_port != 0 {
            let bound: String = server.config.settings.bind.iter().map(|addr| format!(",bind={addr}")).collect();
            lines.line("listener0", format_args!("name=tcp{bound},port={}", server.process.tcp_port));
        }
        let path = &server.config.settings.unixsocket;
        if !path.is_empty() {
            lines.line("listener1", format_args!("name=unix,bind={path}"));
        }
        let port = server.config.settings.tls_port;
        if port != 0 {
            let bound: String = server.config.settings.bind.iter().map(|addr| format!(",bind={addr}")).collect();
            lines.line("listener2", format_args!("name=tls{bound},port={port}"));
        }
    }),
    Field("server_name", |_| "regent".into()),
    Field("regent_version", |_| env!("CARGO_PKG_VERSION").into()),
];
