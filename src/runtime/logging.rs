//! Log lines in the format that people and tools know: `pid:role date * text`.
//!
//! `tracing` events become Redis' lines: levels `debug`, `verbose`, `notice`, `warning` are DEBUG, (DEBUG with the
//! target `verbose`), INFO and WARN or ERROR; the sign in front of the text is `.`, `-`, `*`, `#`. The role letter is
//! `M` for a master, `S` for a replica, `X` for a sentinel (`C` before the role is known).

use super::clock;
use parking_lot::Mutex;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::sync::atomic::{AtomicU8, Ordering};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

static ROLE: AtomicU8 = AtomicU8::new(b'C');
static VERBOSITY: AtomicU8 = AtomicU8::new(Verbosity::Notice as u8);
static TARGET: Mutex<Option<File>> = Mutex::new(None);

/// `loglevel`, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Verbosity {
    Debug,
    Verbose,
    Notice,
    Warning,
    Nothing,
}

/// The letter in front of each line from now on.
pub fn set_role(letter: u8) {
    ROLE.store(letter, Ordering::Relaxed);
}

/// What is logged from now on.
pub fn set_verbosity(verbosity: Verbosity) {
    VERBOSITY.store(verbosity as u8, Ordering::Relaxed);
}

/// Logs to a file (appended), or to stdout where the path is empty.
pub fn set_file(path: &str) -> std::io::Result<()> {
    let file = match path {
        "" => None,
        path => Some(OpenOptions::new().create(true).append(true).open(path)?),
    };
    *TARGET.lock() = file;
    Ok(())
}

/// Makes this the process' log. Later calls change nothing.
pub fn init() {
    let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry().with(Lines));
}

struct Lines;

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            let _ = write!(self.0, "{value:?}");
        } else {
            let _ = write!(self.0, " {}={value:?}", field.name());
        }
    }
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let meta = event.metadata();
        let ours = meta.target().starts_with("regent") || meta.target() == "verbose";
        let (verbosity, sign) = match *meta.level() {
            // What libraries tell of their inner life (a peer that is away, ten times a second) is no operator's business:
            // what comes of it is told by the code that asked them.
            Level::ERROR | Level::WARN if !ours => (Verbosity::Debug, '.'),
            _ if !ours => return,
            Level::ERROR | Level::WARN => (Verbosity::Warning, '#'),
            Level::INFO => (Verbosity::Notice, '*'),
            Level::DEBUG if meta.target() == "verbose" => (Verbosity::Verbose, '-'),
            Level::DEBUG | Level::TRACE => (Verbosity::Debug, '.'),
        };
        if (verbosity as u8) < VERBOSITY.load(Ordering::Relaxed) {
            return;
        }
        let mut text = Text(String::new());
        event.record(&mut text);
        let role = char::from(ROLE.load(Ordering::Relaxed));
        let line = format!("{}:{role} {} {sign} {}\n", std::process::id(), date(clock::wall().0), text.0);
        // A log that cannot be written must not stop the node.
        let _ = match &mut *TARGET.lock() {
            Some(file) => file.write_all(line.as_bytes()),
            None => std::io::stdout().lock().write_all(line.as_bytes()),
        };
    }
}

/// `22 Nov 2026 16:30:00.123`, local time.
fn date(wall_ms: i64) -> String {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let seconds: libc::time_t = wall_ms.div_euclid(1000);
    // SAFETY: tm is plain data for which all zeros are valid; localtime_r writes it and keeps no pointer.
    let tm = unsafe {
        let mut tm: libc::tm = std::mem::zeroed();
        libc::localtime_r(&seconds, &mut tm);
        tm
    };
    let month = MONTHS[usize::try_from(tm.tm_mon).unwrap_or(0) % 12];
    let (day, year, ms) = (tm.tm_mday, tm.tm_year + 1900, wall_ms.rem_euclid(1000));
    format!("{day:02} {month} {year} {:02}:{:02}:{:02}.{ms:03}", tm.tm_hour, tm.tm_min, tm.tm_sec)
}
