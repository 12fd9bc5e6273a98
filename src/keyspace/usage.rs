//! What the 24 access bits of an entry say: when it was used last, or how often.
//!
//! ```text
//! LRU   seconds of the wall clock, modulo 2^24, never 0 (0 is an entry that was not used since it was loaded)
//! LFU   minutes of the wall clock, modulo 2^16, at which the counter was written | the counter, 8 bits
//! ```
//! The counter is logarithmic: the more it shows, the less likely a use adds to it; it falls by one for each decay time
//! that passes. Which of the two the bits are is the caller's to know (`maxmemory-policy`); after a change of policy they
//! are wrong for a while, as in Redis. Time and luck are arguments.

use crate::base::Millis;

/// Which access bits pages tell, so that a file made of them can.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Noted {
    #[default]
    Nothing,
    /// When entries were used last.
    Times,
    /// How often.
    Counts,
}

/// The access bits of an entry, as a page tells them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// See [`access_clock`].
    Time(u32),
    /// See [`frequency_bits`].
    Count(u32),
}

impl Access {
    pub(super) fn of(noted: Noted, bits: u32) -> Option<Access> {
        match noted {
            Noted::Nothing => None,
            Noted::Times => Some(Access::Time(bits)),
            Noted::Counts => Some(Access::Count(bits)),
        }
    }

    /// Which of the two it is.
    pub fn noted(self) -> Noted {
        match self {
            Access::Time(_) => Noted::Times,
            Access::Count(_) => Noted::Counts,
        }
    }

    pub(super) fn bits(self) -> u32 {
        match self {
            Access::Time(bits) | Access::Count(bits) => bits,
        }
    }
}

/// Seconds since this access clock.
pub fn seconds_since(clock: u32, now: Millis) -> u32 {
    access_clock(now).wrapping_sub(clock) & BITS
}

/// The bits that an entry has.
const BITS: u32 = 0xff_ffff;

/// The access clock at this time: seconds, 24 bits, never zero (that is an entry that was not used since it was loaded).
#[inline]
pub fn access_clock(now: Millis) -> u32 {
    ((now.0 / 1000) as u32 & BITS).max(1)
}

/// The counter of a new entry: above zero, so that it has time to be used before it is taken for useless.
pub const FREQUENCY_OF_NEW: u8 = 5;

/// How fast counters rise and fall (`lfu-log-factor`, `lfu-decay-time`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frequencies {
    /// The higher, the more uses a counter stands for.
    pub log_factor: u32,
    /// Minutes after which a counter falls by one; 0: never.
    pub decay_minutes: u32,
}

fn minutes(now: Millis) -> u32 {
    (now.0 / 60_000) as u32 & 0xffff
}

/// The bits of a counter that is written now.
pub fn frequency_bits(counter: u8, now: Millis) -> u32 {
    minutes(now) << 8 | u32::from(counter)
}

impl Frequencies {
    /// What the counter has come to by now.
    pub fn of(self, bits: u32, now: Millis) -> u8 {
        if bits == 0 {
            return FREQUENCY_OF_NEW; // not used since it was loaded
        }
        let (written, counter) = (bits >> 8, bits as u8);
        let periods = (minutes(now).wrapping_sub(written) & 0xffff).checked_div(self.decay_minutes).unwrap_or(0);
        counter.saturating_sub(u8::try_from(periods).unwrap_or(u8::MAX))
    }

    /// The bits behind a use. `luck` is 64 random bits.
    pub fn used(self, bits: u32, now: Millis, luck: u64) -> u32 {
        let counter = self.of(bits, now);
        let above = u64::from(counter.saturating_sub(FREQUENCY_OF_NEW));
        let rare = above * u64::from(self.log_factor) + 1;
        let rises = counter < u8::MAX && luck.is_multiple_of(rare);
        frequency_bits(counter + u8::from(rises), now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: Frequencies = Frequencies { log_factor: 10, decay_minutes: 1 };
    const MINUTE: i64 = 60_000;

    #[test]
    fn a_counter_falls_with_the_minutes_and_stops_at_zero() {
        let now = Millis(1_000_000 * MINUTE);
        let bits = frequency_bits(100, now);
        let later = |minutes: i64| Millis(now.0 + minutes * MINUTE);
        assert_eq!([0, 1, 99, 100, 3000].map(|minutes| USUAL.of(bits, later(minutes))), [100, 99, 1, 0, 0]);
        let slow = Frequencies { decay_minutes: 10, ..USUAL };
        assert_eq!([9, 10, 25].map(|minutes| slow.of(bits, later(minutes))), [100, 99, 98]);
        let never = Frequencies { decay_minutes: 0, ..USUAL };
        assert_eq!(never.of(bits, later(5000)), 100);
        let around = Millis(0xffff * MINUTE);
        assert_eq!(USUAL.of(frequency_bits(9, around), Millis(around.0 + 2 * MINUTE)), 7, "the minutes wrap");
    }

    #[test]
    fn a_counter_is_logarithmic() {
        let now = Millis(7 * MINUTE);
        let mut dice = crate::base::Dice(1);
        let after = |uses: usize, dice: &mut crate::base::Dice| {
            let start = frequency_bits(FREQUENCY_OF_NEW, now);
            USUAL.of((0..uses).fold(start, |bits, _| USUAL.used(bits, now, dice.roll())), now)
        };
        let [hundred, thousand, million] = [100, 1000, 1_000_000].map(|uses| after(uses, &mut dice));
        assert!((7..=14).contains(&hundred), "{hundred}");
        assert!((14..=24).contains(&thousand), "{thousand}");
        assert_eq!(million, 255);
        assert_eq!(USUAL.of(0, now), FREQUENCY_OF_NEW, "what was loaded starts as new");
    }
}
