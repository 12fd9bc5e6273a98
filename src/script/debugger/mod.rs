//! The debugger of scripts, as `redis-cli --ldb` speaks to it: what one session knows, and its commands.
//!
//! ```text
//! EVAL of a client in debug mode
//!   └─ a machine of its own, interrupted at every line ── `session` ── this: stop here?
//!        stopped: lines for the client ── Host::tell
//!                 its next command     ── Host::hear ── `command` ── [`Debugger::obey`] ── an [`Order`] for `session`
//! ```
//! All but `session` is without Lua, and nothing here knows a socket.
//!
//! Invariants:
//! 1. What is kept for a client has a bound, and so has what it may send (`tests::lines_have_a_bound`).
//! 2. A value is shown no longer than its limit, however deep, wide or shared it is (`show`).
//! 3. Scripts outside a session run in machines without Lua's `debug` library, which is needed to see locals.
//!
//! Reading order: this, `command` (bytes to words), `show` (values and replies as text), `session`.

mod command;
mod session;
mod show;
#[cfg(test)]
mod tests;

pub use session::{debugging, last_words};
pub use show::{reply, value};

use super::table::Table;
use crate::base::limits::{DEBUGGER_LINES_BYTES_MAX, DEBUGGER_REQUEST_BYTES_MAX, DEBUGGER_VALUE_BYTES_MAX};
use command::{Parsed, parse};

/// Breakpoints that a session may have.
const BREAKPOINTS_MAX: usize = 64;

/// Bytes that a value is shown with at first, and the fewest that `maxlen` takes.
const SHOWN_BYTES: usize = 256;
const SHOWN_BYTES_MIN: usize = 60;

/// Lines that `list` shows before and behind the one asked for.
const CONTEXT: i64 = 5;

/// Words of a command that a script calls which are shown, its name included.
const CALL_WORDS_MAX: usize = 10;

/// One session.
pub struct Debugger {
    source: Vec<Vec<u8>>,
    /// The line that is about to run, from 1 on.
    line: usize,
    /// `redis.breakpoint()` was called since the last stop.
    pub asked: bool,
    breakpoints: Vec<usize>,
    /// Bytes that a value is shown with.
    shown_bytes_max: usize,
    hinted: bool,
    /// What the client is told next.
    lines: Vec<Vec<u8>>,
    lines_bytes: usize,
    /// Lines that were too many.
    dropped: usize,
    /// What the client has sent of a command that is not whole.
    received: Vec<u8>,
    /// The client has left: the script runs on without it.
    pub gone: bool,
}

/// What a command of the client wants of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Nothing: it is answered.
    Answered,
    /// Go on, to the next line...
    Step,
    /// ... or to the next breakpoint.
    Continue,
    Abort,
    Trace,
    /// Show this variable; all locals without a name.
    Print(Option<Vec<u8>>),
    /// Run this text.
    Eval(Vec<u8>),
    /// Execute a command, by this table.
    Call(Table, Vec<Vec<u8>>),
}

impl Debugger {
    /// A session on a script of this text.
    pub fn new(text: &[u8]) -> Debugger {
        let end = text.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |last| last + 1);
        Debugger {
            source: text[..end].split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect(),
            line: 0,
            asked: false,
            breakpoints: Vec::new(),
            shown_bytes_max: SHOWN_BYTES,
            hinted: false,
            lines: Vec::new(),
            lines_bytes: 0,
            dropped: 0,
            received: Vec::new(),
            gone: false,
        }
    }

    // ------------------------------------------------------------------ lines for the client

    /// One more line.
    pub fn log(&mut self, line: impl Into<Vec<u8>>) {
        let line = line.into();
        if self.gone {
            return;
        }
        if self.lines_bytes + line.len() > DEBUGGER_LINES_BYTES_MAX {
            self.dropped += 1;
            return;
        }
        self.lines_bytes += line.len() + size_of::<Vec<u8>>();
        self.lines.push(line);
    }

    /// A line that ends with a value, shown as far as the limit goes.
    pub fn log_value(&mut self, prefix: &str, show: impl FnOnce(&mut Vec<u8>, usize)) {
        let limit = self.shown_bytes_max;
        let mut line = prefix.as_bytes().to_vec();
        show(&mut line, limit);
        let trimmed = line.len() > limit;
        if trimmed {
            line.truncate(limit);
            line.extend_from_slice(b" ...");
        }
        self.log(line);
        if trimmed && !self.hinted {
            self.hinted = true;
            self.log("<hint> The above reply was trimmed. Use 'maxlen 0' to disable trimming.");
        }
    }

    /// A command that the script calls.
    pub fn log_call<'w>(&mut self, words: impl ExactSizeIterator<Item = &'w [u8]>) {
        let count = words.len();
        let mut line = b"<redis>".to_vec();
        for word in words.take(CALL_WORDS_MAX) {
            line.push(b' ');
            line.extend_from_slice(&word[..word.len().min(DEBUGGER_VALUE_BYTES_MAX)]);
        }
        if count > CALL_WORDS_MAX {
            line.extend_from_slice(format!(" ... ({} more)", count - CALL_WORDS_MAX - 1).as_bytes());
        }
        self.log(line);
    }

    /// `redis.debug(...)`: a line with values.
    pub fn log_debug(&mut self, show: impl FnOnce(&mut Vec<u8>)) {
        let mut line = format!("<debug> line {}: ", self.line).into_bytes();
        show(&mut line);
        self.log(line);
    }

    /// All lines, as the client is sent them.
    pub fn take_lines(&mut self) -> Vec<u8> {
        if self.dropped > 0 {
            self.lines.push(format!("<hint> {} more lines were too much.", self.dropped).into_bytes());
        }
        let mut out = format!("*{}\r\n", self.lines.len()).into_bytes();
        for line in self.lines.drain(..) {
            out.push(b'+');
            out.extend(line.into_iter().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { byte }));
            out.extend_from_slice(b"\r\n");
        }
        (self.lines_bytes, self.dropped) = (0, 0);
        out
    }

    // ------------------------------------------------------------------ where it stands

    /// The script is about to run this line: why it stops there, if it does. `steps`: it was told to.
    pub fn reaches(&mut self, line: usize, steps: bool) -> Option<&'static str> {
        self.line = line;
        match () {
            () if self.gone => None,
            () if self.asked => Some("redis.breakpoint() called"),
            () if self.breakpoints.contains(&line) => Some("break point"),
            () if steps => Some("step over"),
            () => None,
        }
    }

    /// It has stopped.
    pub fn stopped(&mut self, reason: &str) {
        self.asked = false;
        self.say(format!("* Stopped at {}, stop reason = {reason}", self.line));
        self.log_source(self.line);
    }

    /// The session is over: what clients wait for.
    pub fn end(&mut self) {
        self.say("<endsession>");
    }

    /// A line that is told however many there are before it: there are few of the kind.
    fn say(&mut self, line: impl Into<Vec<u8>>) {
        if !self.gone {
            self.lines.push(line.into());
        }
    }

    /// The client has left: nothing stops the script any more.
    pub fn leave(&mut self) {
        self.gone = true;
        self.breakpoints.clear();
        self.lines.clear();
    }

    /// One line of the script, with its number and marks.
    pub fn log_source(&mut self, line: usize) {
        let mark = match (self.line == line, self.breakpoints.contains(&line)) {
            (true, true) => "->#",
            (true, false) => "-> ",
            (false, true) => "  #",
            (false, false) => "   ",
        };
        let text = line.checked_sub(1).and_then(|index| self.source.get(index));
        let text = text.map_or(&b"<out of range source code line>"[..], Vec::as_slice);
        let line = [format!("{mark}{line:<3} ").as_bytes(), text].concat();
        self.log(line);
    }

    fn list(&mut self, around: i64, context: i64) {
        let near = |line: i64| around == 0 || (around - line).abs() <= context;
        (1..=self.source.len()).filter(|line| near(*line as i64)).for_each(|line| self.log_source(line));
    }

    // ------------------------------------------------------------------ commands

    /// More bytes of the client.
    ///
    /// # Errors
    /// They are too many.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<(), &'static str> {
        self.received.extend_from_slice(bytes);
        match self.received.len() > DEBUGGER_REQUEST_BYTES_MAX {
            true => Err("max client buffer reached"),
            false => Ok(()),
        }
    }

    /// The client's next command, if it is there. What came behind it is dropped: a client waits for each answer.
    ///
    /// # Errors
    /// It is none.
    pub fn next_command(&mut self) -> Result<Option<Vec<Vec<u8>>>, &'static str> {
        match parse(&self.received) {
            Parsed::Partial => Ok(None),
            Parsed::Broken => Err("protocol error"),
            Parsed::Words(words) => {
                self.received.clear();
                Ok(Some(words))
            }
        }
    }

    /// Answers a command, as far as that takes no machine.
    pub fn obey(&mut self, words: &[Vec<u8>]) -> Order {
        let number = |at: usize| words.get(at).map(|word| leading_number(word));
        match words[0].to_ascii_lowercase().as_slice() {
            b"h" | b"help" => HELP.iter().for_each(|line| self.log(*line)),
            b"s" | b"step" | b"n" | b"next" => return Order::Step,
            b"c" | b"continue" => return Order::Continue,
            b"a" | b"abort" => return Order::Abort,
            b"t" | b"trace" => return Order::Trace,
            b"p" | b"print" => return Order::Print(words.get(1).filter(|_| words.len() == 2).cloned()),
            b"e" | b"eval" => return Order::Eval(words[1..].join(&b' ')),
            b"r" | b"redis" if words.len() > 1 => return Order::Call(Table::Redis, words[1..].to_vec()),
            b"server" if words.len() > 1 => return Order::Call(Table::Server, words[1..].to_vec()),
            b"m" | b"maxlen" => self.limit(number(1).filter(|_| words.len() == 2)),
            b"b" | b"break" => self.set_breakpoints(&words[1..]),
            b"l" | b"list" => {
                let around = number(1).filter(|line| *line > 0).unwrap_or(self.line as i64);
                self.list(around, number(2).unwrap_or(CONTEXT));
            }
            b"w" | b"whole" => self.list(0, 0),
            _ => self.log("<error> Unknown Redis Lua debugger command or wrong number of arguments."),
        }
        Order::Answered
    }

    fn limit(&mut self, bytes: Option<i64>) {
        if let Some(bytes) = bytes {
            self.hinted = true; // who asks knows
            self.shown_bytes_max = match usize::try_from(bytes) {
                Ok(0) => DEBUGGER_VALUE_BYTES_MAX,
                Ok(bytes) => bytes.clamp(SHOWN_BYTES_MIN, DEBUGGER_VALUE_BYTES_MAX),
                Err(_) => SHOWN_BYTES_MIN,
            };
        }
        self.log(match self.shown_bytes_max {
            DEBUGGER_VALUE_BYTES_MAX => "<value> replies are unlimited.".to_string(),
            bytes => format!("<value> replies are truncated at {bytes} bytes."),
        });
    }

    /// `break`: shows all; or sets one (`5`), removes one (`-5`) or all (`0`), for each word.
    fn set_breakpoints(&mut self, words: &[Vec<u8>]) {
        if words.is_empty() {
            if self.breakpoints.is_empty() {
                self.log("No breakpoints set. Use 'b <line>' to add one.");
                return;
            }
            self.log(format!("{} breakpoints set:", self.breakpoints.len()));
            self.breakpoints.clone().into_iter().for_each(|line| self.log_source(line));
        }
        for word in words {
            let Some(line) = crate::base::number::parse_i64(word) else {
                self.log([b"Invalid argument:'", word.as_slice(), b"'"].concat());
                continue;
            };
            let at = usize::try_from(line.unsigned_abs()).unwrap_or(usize::MAX);
            let set = self.breakpoints.iter().position(|known| *known == at);
            match (line, set) {
                (0, _) => {
                    self.breakpoints.clear();
                    self.log("All breakpoints removed.");
                }
                (..0, Some(index)) => {
                    self.breakpoints.remove(index);
                    self.log("Breakpoint removed.");
                }
                (..0, None) => self.log("No breakpoint in the specified line."),
                (1.., _) if self.breakpoints.len() == BREAKPOINTS_MAX => self.log("Too many breakpoints set."),
                (1.., None) if at <= self.source.len() => {
                    self.breakpoints.push(at);
                    self.list(line, 1);
                }
                (1.., _) => self.log("Wrong line number."),
            }
        }
    }
}

/// The number at the start of a word, 0 where there is none.
fn leading_number(word: &[u8]) -> i64 {
    let digits = word.iter().skip(1).take_while(|byte| byte.is_ascii_digit()).count();
    match word.first() {
        Some(first) if first.is_ascii_digit() || *first == b'-' => {
            crate::base::number::parse_i64(&word[..=digits]).unwrap_or(0)
        }
        _ => 0,
    }
}

const HELP: &[&str] = &[
    "Redis Lua debugger help:",
    "[h]elp               What you read.",
    "[s]tep               Run this line, and stop at the next one.",
    "[n]ext               The same.",
    "[c]ontinue           Run until a breakpoint.",
    "[l]ist               Show the lines around this one.",
    "[l]ist [line]        Show the lines around another one; 0 is this one.",
    "[l]ist [line] [ctx]  So many of them, before and behind it.",
    "[w]hole              Show all lines.",
    "[p]rint              Show all local variables.",
    "[p]rint <var>        Show one variable, or one of KEYS and ARGV.",
    "[b]reak              Show all breakpoints.",
    "[b]reak <line>       Set a breakpoint.",
    "[b]reak -<line>      Remove a breakpoint.",
    "[b]reak 0            Remove all breakpoints.",
    "[t]race              Show the functions that are being called.",
    "[e]val <code>        Run some Lua, which does not see local variables.",
    "[r]edis <cmd>        Execute a command.",
    "[m]axlen [len]       Show values and replies with so many bytes; 0 is no limit.",
    "[a]bort              End the script. What it has changed in a session by SYNC stays.",
    "",
    "What a script can call:",
    "redis.debug()        Shows its arguments in the debugger.",
    "redis.breakpoint()   Stops in front of the next line.",
];
