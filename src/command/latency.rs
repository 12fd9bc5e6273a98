//! Latencies: a histogram for each command (`latency-tracking`), and the spikes of each kind of event
//! (`latency-monitor-threshold`).

use crate::base::Millis;
use crate::base::limits::LATENCY_SAMPLES_MAX;
use std::collections::{BTreeMap, VecDeque};

/// Counts of durations in buckets of two significant digits: up to 255 ns each has its own, above that every doubling
/// has 128. The buckets are those of an HdrHistogram of 1 ns to 1 s, which Redis uses: both tell the same values.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

const DURATION_NS_MAX: u64 = 1_000_000_000;

impl Histogram {
    /// Counts one duration.
    #[inline]
    pub fn record(&mut self, ns: u64) {
        let index = index(ns.clamp(1, DURATION_NS_MAX));
        if index >= self.counts.len() {
            self.counts.resize(index + 1, 0);
        }
        self.counts[index] += 1;
        self.total += 1;
    }

    /// How many were counted.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The duration, in nanoseconds, that `percentile` of all do not exceed.
    pub fn at_percentile(&self, percentile: f64) -> u64 {
        let wanted = ((percentile.min(100.0) / 100.0 * self.total as f64 + 0.5) as u64).max(1);
        let mut sum = 0;
        let found = self.counts.iter().position(|count| {
            sum += count;
            sum >= wanted
        });
        match found.unwrap_or(0) {
            index if percentile == 0.0 => range(index).0,
            index => range(index).1,
        }
    }

    /// At each doubling from about a microsecond on: how many took at most so many microseconds; only where there are
    /// more than at the step before.
    pub fn cumulative(&self) -> Vec<(u64, u64)> {
        let (mut steps, mut sum, mut next, mut level) = (Vec::new(), 0, 0, 1024);
        while sum < self.total {
            let last = index(level);
            let before = sum;
            sum += self.counts.iter().take(last + 1).skip(next).sum::<u64>();
            if sum > before {
                steps.push((range(last).1 / 1000, sum));
            }
            next = last + 1;
            level *= 2;
        }
        steps
    }
}

const DIGITS_BITS: u32 = 8;

/// The bucket of a value.
fn index(value: u64) -> usize {
    let shift = (u64::BITS - (value | ((1 << DIGITS_BITS) - 1)).leading_zeros()) - DIGITS_BITS;
    ((shift as usize) << (DIGITS_BITS - 1)) + (value >> shift) as usize
}

/// The least and the greatest value of a bucket.
fn range(index: usize) -> (u64, u64) {
    let half = 1 << (DIGITS_BITS - 1);
    let shift = (index / half).saturating_sub(1);
    let first = ((index - shift * half) as u64) << shift;
    (first, first + (1 << shift) - 1)
}

/// The spikes of one kind of event, oldest first: at most one each second, the worst.
#[derive(Debug, Default)]
pub struct Spikes {
    samples: VecDeque<(i64, u64)>,
    /// The worst since the event was seen first.
    pub worst_ms: u64,
}

impl Spikes {
    fn add(&mut self, second: i64, ms: u64) {
        self.worst_ms = self.worst_ms.max(ms);
        if let Some((last, worst)) = self.samples.back_mut()
            && *last == second
        {
            *worst = ms.max(*worst);
            return;
        }
        if self.samples.len() == LATENCY_SAMPLES_MAX {
            self.samples.pop_front();
        }
        self.samples.push_back((second, ms));
    }

    /// Second (wall clock) and milliseconds of each; there is at least one.
    pub fn samples(&self) -> impl ExactSizeIterator<Item = (i64, u64)> + DoubleEndedIterator {
        self.samples.iter().copied()
    }
}

/// All kinds of events that had a spike, by name.
#[derive(Debug, Default)]
pub struct Latency {
    events: BTreeMap<&'static str, Spikes>,
}

impl Latency {
    /// Notes an event that took this long.
    pub fn add(&mut self, event: &'static str, now: Millis, ms: u64) {
        self.events.entry(event).or_default().add(now.seconds(), ms);
    }

    /// In the order of their names.
    pub fn events(&self) -> impl ExactSizeIterator<Item = (&'static str, &Spikes)> {
        self.events.iter().map(|(name, spikes)| (*name, spikes))
    }

    /// The event of this name.
    pub fn event(&self, name: &[u8]) -> Option<(&'static str, &Spikes)> {
        self.events().find(|(event, _)| event.as_bytes() == name)
    }

    /// Forgets the events of this name, whatever its case, or all; how many.
    pub fn reset(&mut self, name: Option<&[u8]>) -> usize {
        let before = self.events.len();
        self.events.retain(|event, _| name.is_some_and(|name| !event.as_bytes().eq_ignore_ascii_case(name)));
        before - self.events.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_in_its_bucket() {
        for value in (0..5000).chain((10..30).flat_map(|bits| [(1 << bits) - 1, 1 << bits, (1 << bits) + 1])) {
            let (first, last) = range(index(value));
            assert!((first..=last).contains(&value), "{value} in {first}..={last}");
            assert!(last - first <= value / 128, "{value}: two digits");
        }
        assert_eq!(range(index(DURATION_NS_MAX)).1, 1_002_438_655);
    }

    #[test]
    fn percentiles_and_steps() {
        let mut histogram = Histogram::default();
        (1..=100).for_each(|us| histogram.record(us * 1000));
        let at = |percentile| histogram.at_percentile(percentile) as f64 / 1000.0;
        assert_eq!((at(50.0), at(99.0), at(100.0)), (50.175, 99.327, 100.351));
        assert_eq!(histogram.cumulative(), [(1, 1), (2, 2), (4, 4), (8, 8), (16, 16), (33, 33), (66, 66), (132, 100)]);
    }

    #[test]
    fn a_second_has_one_sample_and_the_oldest_go() {
        let mut spikes = Spikes::default();
        [(1, 5), (1, 9), (1, 7), (2, 3)].into_iter().for_each(|(second, ms)| spikes.add(second, ms));
        assert_eq!(spikes.samples().collect::<Vec<_>>(), [(1, 9), (2, 3)]);
        (3..500).for_each(|second| spikes.add(second, 1));
        assert_eq!((spikes.samples().len(), spikes.samples().next()), (LATENCY_SAMPLES_MAX, Some((340, 1))));
        assert_eq!(spikes.worst_ms, 9);
    }
}
