//! The only place that reads the clocks.

use crate::base::Millis;
use std::sync::LazyLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

static START: LazyLock<Instant> = LazyLock::new(now);

#[expect(clippy::disallowed_methods, reason = "this is where time comes from")]
fn now() -> Instant {
    Instant::now()
}

/// A step of the wall clock, for tests: `REGENT_CLOCK_STEP=<ms after the start>:<ms>`.
static STEP: LazyLock<Option<(Millis, Millis)>> = LazyLock::new(|| {
    let text = std::env::var("REGENT_CLOCK_STEP").ok()?;
    let (at, by) = text.split_once(':')?;
    Some((Millis(at.parse().ok()?), Millis(by.parse().ok()?)))
});

/// Milliseconds since 1970: the time of day, which people and clock daemons may step. Deadlines of keys are times of day;
/// everything that measures how long something takes goes by [`mono`].
#[expect(clippy::disallowed_methods, reason = "this is where time comes from")]
pub fn wall() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = Millis(since.as_millis() as i64);
    match *STEP {
        Some((at, by)) if mono() >= at => now + by,
        _ => now,
    }
}

/// Milliseconds since the start of the process; never goes back.
pub fn mono() -> Millis {
    Millis(START.elapsed().as_millis() as i64)
}

/// The same clock in microseconds.
pub fn micros() -> u64 {
    START.elapsed().as_micros() as u64
}
