//! The spans that SENTINEL DEBUG shows and sets, in its order and by its names.
//!
//! Five are shown and cannot be set: what they time is not done by a timer here (TILT, elections), or its span is part of
//! the agreed rules of a failover.

use super::commands::Ask;
use super::instance::{INFO_PERIOD_MS, PING_PERIOD_MS};
use super::monitor::{Monitor, TELL_PERIOD_MS};
use crate::base::{Millis, number};
use crate::config::MasterConfig;
use crate::failover::founding::HELLO_PERIOD_MS;
use crate::failover::observation::{STALL_MS, TILT_PERIOD_MS};
use crate::resp::Writer;

/// How often, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Periods {
    pub info: Millis,
    pub ping: Millis,
    /// Opinions between sentinels.
    pub ask: Millis,
    /// Hellos.
    pub publish: Millis,
    /// Of masters that MONITOR adds.
    pub down_after: Millis,
    pub failover_timeout: Millis,
    pub script_max: Millis,
    pub script_retry: Millis,
}

impl Default for Periods {
    fn default() -> Self {
        Periods {
            info: INFO_PERIOD_MS,
            ping: PING_PERIOD_MS,
            ask: TELL_PERIOD_MS,
            publish: HELLO_PERIOD_MS,
            down_after: MasterConfig::DOWN_AFTER,
            failover_timeout: MasterConfig::FAILOVER_TIMEOUT,
            script_max: Millis(60_000),
            script_retry: Millis(30_000),
        }
    }
}

enum Span<'a> {
    Set(&'a mut Millis),
    /// Shown with this value.
    Fixed(Millis),
}

impl Periods {
    fn all(&mut self) -> [(&'static str, Span<'_>); 13] {
        [
            ("INFO-PERIOD", Span::Set(&mut self.info)),
            ("PING-PERIOD", Span::Set(&mut self.ping)),
            ("ASK-PERIOD", Span::Set(&mut self.ask)),
            ("PUBLISH-PERIOD", Span::Set(&mut self.publish)),
            ("DEFAULT-DOWN-AFTER", Span::Set(&mut self.down_after)),
            ("DEFAULT-FAILOVER-TIMEOUT", Span::Set(&mut self.failover_timeout)),
            ("TILT-TRIGGER", Span::Fixed(STALL_MS)),
            ("TILT-PERIOD", Span::Fixed(TILT_PERIOD_MS)),
            ("SLAVE-RECONF-TIMEOUT", Span::Fixed(Millis(10_000))),
            ("MIN-LINK-RECONNECT-PERIOD", Span::Fixed(Millis(15_000))),
            ("ELECTION-TIMEOUT", Span::Fixed(Millis(10_000))),
            ("SCRIPT-MAX-RUNTIME", Span::Set(&mut self.script_max)),
            ("SCRIPT-RETRY-DELAY", Span::Set(&mut self.script_retry)),
        ]
    }
}

impl Monitor {
    /// SENTINEL DEBUG \[name ms ...\]: the pairs take effect one after the other, as in Redis.
    pub(super) fn debug_command(&mut self, ask: &Ask<'_>, w: &mut Writer<'_>) {
        let mut words = ask.words[2..].iter();
        if words.len() == 0 {
            let all = self.periods.all();
            w.map(all.len());
            for (name, span) in all {
                w.bulk(name.as_bytes());
                match span {
                    Span::Set(span) => w.bulk_int(span.0),
                    Span::Fixed(span) => w.bulk_int(span.0),
                }
            }
            return;
        }
        while let Some(name) = words.next() {
            let shown = String::from_utf8_lossy(name);
            let known = self.periods.all().into_iter().find(|(known, _)| known.as_bytes().eq_ignore_ascii_case(name));
            let (Some((known, span)), Some(value)) = (known, words.next()) else {
                return w.error(&format!("ERR Unknown option or number of arguments for SENTINEL DEBUG '{shown}'"));
            };
            // Opinions count for five seconds; they are to be renewed well within that.
            let max = if known == "ASK-PERIOD" { TELL_PERIOD_MS.0 } else { i64::from(i32::MAX) };
            match (span, number::parse_i64(value).filter(|ms| *ms > 0 && *ms <= max)) {
                (Span::Fixed(_), _) => {
                    return w.error(&format!("ERR SENTINEL DEBUG '{shown}' cannot be set on this sentinel"));
                }
                (Span::Set(_), None) => {
                    let value = String::from_utf8_lossy(value);
                    return w.error(&format!("ERR Invalid argument '{value}' for SENTINEL DEBUG '{shown}'"));
                }
                (Span::Set(span), Some(ms)) => *span = Millis(ms),
            }
        }
        self.periods_changed();
        w.ok();
    }
}
