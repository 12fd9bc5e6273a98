//! Who looks at what is executed: the counters, the slow log, the latency monitor, and clients in MONITOR mode.
//!
//! [`Cx::observe`] runs behind every handler. What is switched off costs a comparison.

use super::args::Args;
use super::client::{Blocked, Slot};
use super::slowlog::{SlowEntry, cut};
use super::spec::{ADMIN, FAST, Group, SKIP_MONITOR, SKIP_SLOWLOG, Spec};
use super::{Cx, Server, secrets};
use crate::config::quote;
use std::io::Write;

impl Cx<'_> {
    /// A handler has run since the tick `began`. A client that waits now is looked at when its request has come to an
    /// end; only the time that it took itself counts.
    pub(super) fn observe(&mut self, spec: &'static Spec, args: &Args<'_>, began: u64, failed: bool) {
        let server = &mut *self.server;
        let now = (server.ticks)();
        let spent_us = now.saturating_sub(began) + std::mem::take(&mut server.owed_us);
        server.last_tick = now;
        if !server.monitors.is_empty() && !server.awaited.is_again() && !hidden(spec) {
            self.tell_monitors(spec, args);
        }
        let server = &mut *self.server;
        if server.depth == 0 {
            server.stats.busy_us += spent_us;
        }
        let client = &mut server.clients[self.slot];
        if matches!(client.blocked, Some(Blocked::Wait { .. } | Blocked::Keys { .. })) {
            client.spent_us += spent_us;
            return;
        }
        client.commands += 1;
        let total_us = spent_us + std::mem::take(&mut client.spent_us);
        server.count(spec, total_us, failed);
        server.note_latency(if spec.flags.has(FAST) { "fast-command" } else { "command" }, spent_us);
        if server.is_slow(total_us) && !spec.flags.has(SKIP_SLOWLOG) {
            let words = secrets::shown(spec, args);
            server.log_slow(self.slot, &words, total_us);
        }
    }

    /// Shows a request to the clients in MONITOR mode. Scripts are shown before what they call, by whoever runs them.
    #[cold]
    pub(super) fn tell_monitors(&mut self, spec: &'static Spec, args: &Args<'_>) {
        if self.server.loading.is_some() {
            return;
        }
        // EXEC is one level, and so is each script.
        let by_script = self.server.depth > usize::from(self.server.in_exec);
        let addr = self.server.clients[self.slot].addr.as_str();
        let now = self.server.wall.0;
        let mut line = Vec::with_capacity(128);
        let whence = match (by_script, addr.strip_suffix(":0").filter(|path| path.starts_with('/'))) {
            (true, _) => "lua".into(),
            (_, Some(path)) => format!("unix:{path}"),
            _ => addr.to_owned(),
        };
        let (seconds, us) = (now.div_euclid(1000), now.rem_euclid(1000) * 1000);
        let _ = write!(line, "+{seconds}.{us:06} [{} {whence}]", self.db); // into a Vec: cannot fail
        for word in secrets::shown(spec, args) {
            line.push(b' ');
            line.extend_from_slice(quote(word).as_bytes());
        }
        line.extend_from_slice(b"\r\n");
        for index in 0..self.server.monitors.len() {
            let monitor = self.server.monitors[index];
            if self.server.clients[monitor].closing.is_none() {
                self.server.push(monitor, |reply| reply.raw(&line));
            }
        }
    }
}

/// What administers the node is not shown, nor what shows itself.
fn hidden(spec: &Spec) -> bool {
    spec.flags.has(ADMIN) || spec.flags.has(SKIP_MONITOR) || spec.group == Group::Scripting
}

impl Server {
    /// A wait has ended without the request being executed again: its time is over, or it was lifted.
    pub(super) fn observe_end(&mut self, slot: Slot, blocked: &Blocked, error: Option<&str>) {
        if let Some(error) = error {
            self.stats.error(error.split(' ').next().unwrap_or("ERR").to_owned());
        }
        let client = &mut self.clients[slot];
        client.commands += 1;
        let (Some(spec), us) = (client.last, std::mem::take(&mut client.spent_us)) else { return };
        self.count(spec, us, error.is_some());
        if self.is_slow(us) {
            let words = match blocked {
                Blocked::Keys { request, .. } => secrets::shown(spec, &request.args()),
                _ => vec![spec.name.as_bytes()],
            };
            self.log_slow(slot, &words, us);
        }
    }

    fn count(&mut self, spec: &'static Spec, us: u64, failed: bool) {
        self.stats.commands += 1;
        let tracked = self.config.settings.latency_tracking;
        let stat = self.stats.of(spec);
        stat.calls += 1;
        stat.microseconds += us;
        stat.failed += u64::from(failed);
        if tracked {
            stat.latency.get_or_insert_default().record(us * 1000);
        }
    }

    /// Whether so long a request belongs into the slow log (a negative threshold is above everything).
    #[inline]
    fn is_slow(&self, us: u64) -> bool {
        us >= self.config.settings.slowlog_log_slower_than as u64
    }

    #[cold]
    fn log_slow(&mut self, slot: Slot, words: &[&[u8]], took_us: u64) {
        let client = &self.clients[slot];
        let (addr, name) = (client.addr.clone(), client.name.clone());
        let len_max = self.config.settings.slowlog_max_len.unsigned_abs() as usize;
        self.slowlog.add(SlowEntry { id: 0, time: self.wall, took_us, words: cut(words), addr, name }, len_max);
    }

    /// Notes how long something took, should it be a spike.
    #[inline]
    pub fn note_latency(&mut self, event: &'static str, us: u64) {
        let threshold_ms = self.config.settings.latency_monitor_threshold as u64;
        if threshold_ms > 0 && us / 1000 >= threshold_ms {
            self.latency.add(event, self.wall, us / 1000);
        }
    }

    /// Whether spikes are noted at all.
    #[inline]
    pub fn watches_latency(&self) -> bool {
        self.config.settings.latency_monitor_threshold > 0
    }

    /// Whether a client is in MONITOR mode.
    #[inline]
    pub fn is_monitor(&self, slot: Slot) -> bool {
        !self.monitors.is_empty() && self.monitors.contains(&slot)
    }

    /// A client wants to see all requests from now on.
    pub fn join_monitors(&mut self, slot: Slot) {
        self.monitors.push(slot);
    }

    /// A client leaves MONITOR mode.
    pub fn leave_monitors(&mut self, slot: Slot) {
        self.monitors.retain(|&other| other != slot);
    }
}
