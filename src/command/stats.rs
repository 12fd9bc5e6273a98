//! Counters of INFO: `stats`, `commandstats`, `errorstats`. CONFIG RESETSTAT sets most of them to zero.

use super::latency::Histogram;
use super::spec::Spec;
use crate::base::limits::ERROR_CODES_MAX;
use crate::replication::source::SyncCounts;
use ahash::RandomState;
use hashbrown::HashMap;
use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};

/// The codes of our own refusals: always counted, whatever scripts have made up.
const CODES: &[&str] = &[
    "ERR",
    "BUSY",
    "BUSYGROUP",
    "BUSYKEY",
    "EXECABORT",
    "IOERR",
    "LOADING",
    "MASTERDOWN",
    "MISCONF",
    "NOAUTH",
    "NOGROUP",
    "NOPERM",
    "NOPROTO",
    "NOREPLICAS",
    "NOSCRIPT",
    "NOTBUSY",
    "OOM",
    "READONLY",
    "UNBLOCKED",
    "UNKILLABLE",
    "WRONGPASS",
    "WRONGTYPE",
];

/// Where all further codes are counted.
const OVERFLOW: &str = "ERRORSTATS_OVERFLOW";

/// Since the start, or since CONFIG RESETSTAT.
#[derive(Default, Debug)]
pub struct Stats {
    pub connections: u64,
    pub connections_rejected: u64,
    pub commands: u64,
    pub net_in: u64,
    pub net_out: u64,
    pub net_repl_in: u64,
    pub net_repl_out: u64,
    /// The source's own counts when RESETSTAT was called last: INFO shows what was added since.
    pub sync_before: SyncCounts,
    /// Full copies that this node took from a master.
    pub sync_copies_received: u64,
    /// AUTH and HELLO AUTH with a wrong password (`acl_access_denied_auth`).
    pub auth_denied: u64,
    /// Requests that a user's rules forbid (`acl_access_denied_*`).
    pub commands_denied: u64,
    pub keys_denied: u64,
    pub channels_denied: u64,
    pub expired_keys: u64,
    pub expired_time_cap_reached: u64,
    pub evicted_keys: u64,
    pub hits: u64,
    pub misses: u64,
    pub unexpected_errors: u64,
    pub errors: u64,
    /// Ends of turns (`eventloop_cycles`).
    pub turns: u64,
    pub reads: u64,
    pub writes: u64,
    pub output_buffer_disconnections: u64,
    pub query_buffer_disconnections: u64,
    /// Clients closed for `maxmemory-clients`.
    pub evicted_clients: u64,
    pub reply_buffer_shrinks: u64,
    pub reply_buffer_expands: u64,
    /// Calls, time, refusals; one cheap look-up per command, sorted when printed.
    pub by_command: HashMap<SpecKey, CommandStat, RandomState>,
    pub by_error: BTreeMap<String, u64>,
    /// Time spent in handlers, in appends to the log, in what happens by itself, microseconds.
    pub busy_us: u64,
    pub append_us: u64,
    pub cron_us: u64,
    /// Of one turn: the longest time in handlers and append, the most commands.
    pub turn_us_max: u64,
    pub turn_commands_max: u64,
    /// Where both stood when the last turn ended.
    turn_before: (u64, u64),
    pub ops: Sampler,
    pub turns_rate: Sampler,
    /// CPU time of the loop's thread, in microseconds.
    pub busy_rate: Sampler,
    pub input: Sampler,
    pub output: Sampler,
    pub repl_input: Sampler,
    pub repl_output: Sampler,
}

/// A command as a key: two are the same if they are the same row of the table.
#[derive(Clone, Copy)]
pub struct SpecKey(pub &'static Spec);

impl std::fmt::Debug for SpecKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.name)
    }
}

impl PartialEq for SpecKey {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}

impl Eq for SpecKey {}

impl Hash for SpecKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::ptr::from_ref(self.0).hash(state);
    }
}

/// What `cmdstat_get:calls=..` prints.
#[derive(Clone, Default, Debug)]
pub struct CommandStat {
    pub calls: u64,
    pub microseconds: u64,
    /// Refused before the handler ran (arity, authentication, role).
    pub rejected: u64,
    /// Refused by the handler.
    pub failed: u64,
    /// Since `latency-tracking` counts.
    pub latency: Option<Histogram>,
}

impl Stats {
    /// CONFIG RESETSTAT. The rates go on: they are differences of counters that start again at zero.
    pub fn reset(&mut self) {
        let Stats { ops, turns_rate, input, output, repl_input, repl_output, .. } = std::mem::take(self);
        let rates = [ops, turns_rate, input, output, repl_input, repl_output].map(|rate| Sampler { last: 0, ..rate });
        [self.ops, self.turns_rate, self.input, self.output, self.repl_input, self.repl_output] = rates;
    }

    /// A turn has ended, whose append took so long.
    #[inline]
    pub fn end_turn(&mut self, append_us: u64) {
        self.turns += 1;
        self.append_us += append_us;
        let now = (self.busy_us + self.append_us, self.commands);
        self.turn_us_max = self.turn_us_max.max(now.0.saturating_sub(self.turn_before.0));
        self.turn_commands_max = self.turn_commands_max.max(now.1.saturating_sub(self.turn_before.1));
        self.turn_before = now;
    }

    /// Counts an error reply by its code.
    pub fn error(&mut self, code: String) {
        self.errors += 1;
        let counted = self.by_error.contains_key(&code) || self.by_error.len() < ERROR_CODES_MAX;
        let code = if counted || CODES.contains(&code.as_str()) { code } else { OVERFLOW.to_owned() };
        *self.by_error.entry(code).or_default() += 1;
    }
}

/// A rate over the last 16 samples, one each 100 ms (`instantaneous_*` of INFO).
#[derive(Debug, Default)]
pub struct Sampler {
    last: u64,
    samples: [u64; 16],
    next: usize,
}

impl Sampler {
    /// Takes the counter's value `elapsed_ms` after the last one.
    pub fn sample(&mut self, value: u64, elapsed_ms: u64) {
        self.samples[self.next] = value.saturating_sub(self.last) * 1000 / elapsed_ms.max(1);
        self.next = (self.next + 1) % self.samples.len();
        self.last = value;
    }

    /// Per second.
    pub fn rate(&self) -> u64 {
        self.samples.iter().sum::<u64>() / self.samples.len() as u64
    }
}
