//! LATENCY GRAPH and LATENCY DOCTOR: spikes told to people.

use crate::base::Millis;
use crate::command::latency::{Latency, Spikes};
use crate::config::{AppendFsync, Settings};
use std::fmt::Write;

/// Columns and rows of a graph.
const COLUMNS: usize = 80;
const ROWS: usize = 4;

/// The spikes as columns, from the lowest (one step) to the highest (all rows), with how long ago each was below it. The
/// newest ones, where there are more than columns.
pub fn graph(event: &str, spikes: &Spikes, now: Millis) -> String {
    /// Steps within a character, from the lowest.
    const STEPS: [char; 3] = ['_', 'o', '#'];
    let samples: Vec<(i64, u64)> = spikes.samples().skip(spikes.samples().len().saturating_sub(COLUMNS)).collect();
    let high = samples.iter().map(|sample| sample.1).max().unwrap_or(0);
    let low = samples.iter().map(|sample| sample.1).min().unwrap_or(0);
    let worst = spikes.worst_ms;
    let mut text = format!("{event} - high {high} ms, low {low} ms (all time high {worst} ms)\n");
    text += &"-".repeat(COLUMNS);
    text.push('\n');
    let top = (ROWS * STEPS.len() - 1) as u64;
    let heights: Vec<usize> = samples.iter().map(|(_, ms)| ((ms - low) * top / (high - low).max(1)) as usize).collect();
    let cell = |height: usize, row: usize| match height.checked_sub(row * STEPS.len()) {
        None => ' ',
        Some(steps) => STEPS[steps.min(STEPS.len() - 1)],
    };
    for row in (0..ROWS).rev() {
        text.extend(heights.iter().map(|height| cell(*height, row)));
        text.push('\n');
    }
    let labels: Vec<String> = samples.iter().map(|(second, _)| age(now.seconds() - second)).collect();
    let depth = labels.iter().map(String::len).max().unwrap_or(0);
    text.push('\n');
    for letter in 0..depth {
        text.extend(labels.iter().map(|label| label.chars().nth(letter).unwrap_or(' ')));
        text.push('\n');
    }
    text
}

/// How long ago: `5s`, `12m`, `3h`, `2d`.
fn age(seconds: i64) -> String {
    match seconds.max(0) {
        seconds @ 0..60 => format!("{seconds}s"),
        seconds @ 60..3600 => format!("{}m", seconds / 60),
        seconds @ 3600..86_400 => format!("{}h", seconds / 3600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

/// What can be done about a kind of event.
struct Advice {
    events: &'static [&'static str],
    /// Whether it makes sense as the node is set.
    fits: fn(&Settings) -> bool,
    text: &'static str,
}

const ADVICE: &[Advice] = &[
    Advice {
        events: &["command"],
        fits: |settings| settings.slowlog_log_slower_than < 0,
        text: "Slow commands are not written down: switch the slow log on with CONFIG SET slowlog-log-slower-than.",
    },
    Advice {
        events: &["command"],
        fits: |settings| settings.slowlog_log_slower_than / 1000 > settings.latency_monitor_threshold,
        text: "The slow log's threshold is above the one of the latency monitor, so it misses some of these commands: \
               lower slowlog-log-slower-than.",
    },
    Advice {
        events: &["command"],
        fits: |settings| settings.slowlog_log_slower_than >= 0,
        text: "SLOWLOG GET names the commands that take so long. Ask for less at once: SCAN for KEYS, ranges and parts \
               of large collections for the whole.",
    },
    Advice {
        events: &["fast-command"],
        fits: |_| true,
        text: "Commands that do next to nothing took long, so the process itself had to wait for the processor: look \
               for load of other processes, for a noisy neighbour on the same machine, for memory that is swapped out \
               (redis-cli --intrinsic-latency shows what the machine costs by itself).",
    },
    Advice {
        events: &["aof-write-alone", "aof-fsync-always"],
        fits: |_| true,
        text: "The log's disk is slow to take what it is given: use a local disk, let nothing else write to it, and \
               prefer an SSD.",
    },
    Advice {
        events: &["aof-fsync-always"],
        fits: |settings| settings.appendfsync == AppendFsync::Always,
        text: "appendfsync is 'always', so every write waits for the disk: 'everysec' loses at most a second of writes \
               to a power cut, and none to a crash of the process.",
    },
    Advice {
        events: &["expire-cycle"],
        fits: |settings| !settings.lazyfree_lazy_expire,
        text: "Large values expire: lazyfree-lazy-expire frees them on another thread.",
    },
    Advice {
        events: &["eviction-cycle", "eviction-del"],
        fits: |_| true,
        text: "Much is evicted at a time, or large values are: lower maxmemory in steps, keep values small, or let \
               lazyfree-lazy-eviction free them on another thread.",
    },
];

/// A look at all spikes, and what may help.
pub fn doctor(latency: &Latency, settings: &Settings, now: Millis) -> String {
    let events = latency.events();
    if events.len() == 0 {
        return match settings.latency_monitor_threshold {
            0 => "The latency monitor is off, so there is nothing to look at. CONFIG SET latency-monitor-threshold \
                  <milliseconds> switches it on.\n"
                .into(),
            ms => format!("Nothing has taken {ms} milliseconds or longer. All is well.\n"),
        };
    }
    let mut text = String::from("There were latency spikes:\n\n");
    for (number, (name, spikes)) in events.enumerate() {
        let samples: Vec<u64> = spikes.samples().map(|(_, ms)| ms).collect();
        let count = samples.len() as u64;
        let average = samples.iter().sum::<u64>() / count.max(1);
        let deviation = samples.iter().map(|ms| ms.abs_diff(average)).sum::<u64>() / count.max(1);
        let oldest = spikes.samples().next().map_or(0, |(second, _)| now.seconds() - second).max(1);
        let _ = writeln!(
            text,
            "{}. {name}: {count} latency spikes (average {average}ms, mean deviation {deviation}ms, period {:.2} sec). \
             Worst all time event {}ms.",
            number + 1,
            oldest as f64 / count.max(1) as f64,
            spikes.worst_ms
        ); // into a String: cannot fail
    }
    let happened = |advice: &&Advice| advice.events.iter().any(|event| latency.event(event.as_bytes()).is_some());
    let fitting: Vec<&Advice> = ADVICE.iter().filter(happened).filter(|advice| (advice.fits)(settings)).collect();
    if !fitting.is_empty() {
        text += "\nWhat may help:\n\n";
        fitting.iter().for_each(|advice| text += &format!("- {}\n", advice.text));
    }
    text
}
