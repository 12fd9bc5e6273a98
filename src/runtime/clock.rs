//! The only place that reads the clocks.

use crate::base::Millis;
use std::sync::LazyLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

static START: LazyLock<Instant> = LazyLock::new(now);

#[expect(clippy::disallowed_methods, reason = "this is where time comes from")]
fn now() -> Instant {
    Instant::now()
}

/// Milliseconds since 1970.
#[expect(clippy::disallowed_methods, reason = "this is where time comes from")]
pub fn wall() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis(since.as_millis() as i64)
}

/// Milliseconds since the start of the process; never goes back.
pub fn mono() -> Millis {
    Millis(START.elapsed().as_millis() as i64)
}

/// The same clock in microseconds.
pub fn micros() -> u64 {
    START.elapsed().as_micros() as u64
}
