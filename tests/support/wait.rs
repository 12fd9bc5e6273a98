//! Waiting for a condition of another process, which can only be asked for.

use std::time::{Duration, Instant};

/// A deadline for what takes well under a second on an idle machine.
pub const SOON: Duration = Duration::from_secs(30);

/// Longer than any test.
pub const ALL_ALONG: Duration = Duration::from_secs(3600);

/// A clock to measure spans with.
#[expect(clippy::disallowed_methods, reason = "what a test tells of another process' speed is measured in real time")]
pub fn clock() -> Instant {
    Instant::now()
}

/// Waits until the condition holds; panics with `what` when the deadline is over.
#[track_caller]
pub fn wait_until(what: &str, deadline: Duration, mut holds: impl FnMut() -> bool) {
    wait_for(what, deadline, || holds().then_some(()));
}

/// Waits until there is a value; panics with `what` when the deadline is over.
#[track_caller]
#[expect(clippy::disallowed_methods, reason = "another process can only be polled, and the deadline is real time")]
pub fn wait_for<T>(what: &str, deadline: Duration, mut value: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(value) = value() {
            return value;
        }
        assert!(began.elapsed() < deadline, "still not after {deadline:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
