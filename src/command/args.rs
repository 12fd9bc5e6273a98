//! The words of one request, read from left to right by a handler.

use super::Refusal;
use crate::base::{Millis, number};
use crate::resp::Request;

/// A request and how far it has been read. Copying is cheap; nothing is owned.
#[derive(Clone, Copy)]
pub struct Args<'a> {
    words: Request<'a>,
    next: usize,
}

impl<'a> Args<'a> {
    /// Of a request whose first word is the command's name.
    pub fn new(words: Request<'a>) -> Self {
        Args { words, next: 1 }
    }

    /// All words, the command's name included.
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// Never true for a request that reached a handler.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// The request that begins at this word.
    pub fn from(&self, index: usize) -> Args<'a> {
        Args::new(self.words.skip(index))
    }

    /// Word `index`, the command's name being 0. Panics beyond the end: handlers ask within their checked arity.
    pub fn at(&self, index: usize) -> &'a [u8] {
        self.words.get(index).expect("within the arity that the gate has checked")
    }

    /// All words in order.
    pub fn all(&self) -> impl ExactSizeIterator<Item = &'a [u8]> + use<'a> {
        self.words.iter()
    }

    /// How many words have not been read.
    pub fn left(&self) -> usize {
        self.words.len() - self.next
    }

    /// Leaves out the next words (the name of a subcommand).
    pub fn skip(&mut self, words: usize) {
        self.next = (self.next + words).min(self.words.len());
    }

    /// The next word, if any.
    pub fn maybe(&mut self) -> Option<&'a [u8]> {
        let word = (self.next < self.words.len()).then(|| self.at(self.next))?;
        self.next += 1;
        Some(word)
    }

    /// The next word; a syntax error where there is none.
    pub fn bytes(&mut self) -> Result<&'a [u8], Refusal> {
        self.maybe().ok_or(Refusal::Syntax)
    }

    /// Takes the next word if it is `option`, whatever its case.
    pub fn take(&mut self, option: &str) -> bool {
        let hit = self.left() > 0 && self.at(self.next).eq_ignore_ascii_case(option.as_bytes());
        self.next += usize::from(hit);
        hit
    }

    /// The next word as an integer.
    pub fn int(&mut self) -> Result<i64, Refusal> {
        number::parse_i64(self.bytes()?).ok_or(Refusal::NotInteger)
    }

    /// The next word as an integer that is not negative.
    pub fn positive(&mut self) -> Result<u64, Refusal> {
        number::parse_i64(self.bytes()?).and_then(|number| u64::try_from(number).ok()).ok_or(Refusal::NotPositive)
    }

    /// The next word as a time to wait, in seconds with a fraction; zero for ever.
    pub fn timeout(&mut self) -> Result<Millis, Refusal> {
        Self::timeout_of(self.bytes()?)
    }

    /// The same of any word.
    pub fn timeout_of(word: &[u8]) -> Result<Millis, Refusal> {
        let seconds = number::parse_f64(word);
        let ms = seconds.ok_or_else(|| Refusal::err("timeout is not a float or out of range"))? * 1000.0;
        match ms.ceil() {
            ms if ms >= i64::MAX as f64 => Err(Refusal::err("timeout is out of range")),
            ms if ms < 0.0 => Err(Refusal::err("timeout is negative")),
            ms => Ok(Millis(ms as i64)),
        }
    }

    /// The next word as a time to wait, in milliseconds; zero for ever. `now` is the wall clock.
    pub fn timeout_ms(&mut self, now: Millis) -> Result<Millis, Refusal> {
        match number::parse_i64(self.bytes()?) {
            None => Err(Refusal::err("timeout is not an integer or out of range")),
            Some(ms) if ms < 0 => Err(Refusal::err("timeout is negative")),
            Some(ms) if ms > i64::MAX - now.0 => Err(Refusal::err("timeout is out of range")),
            Some(ms) => Ok(Millis(ms)),
        }
    }

    /// The next word as a floating-point number.
    pub fn float(&mut self) -> Result<f64, Refusal> {
        number::parse_f64(self.bytes()?).ok_or(Refusal::NotFloat)
    }

    /// A syntax error if words are left.
    pub fn finish(&self) -> Result<(), Refusal> {
        if self.left() == 0 { Ok(()) } else { Err(Refusal::Syntax) }
    }
}

/// A request kept for later (queued in MULTI, postponed by CLIENT PAUSE): owns its words.
#[derive(Clone, Debug)]
pub struct OwnedArgs {
    buffer: Vec<u8>,
    words: Vec<(usize, usize)>,
}

impl OwnedArgs {
    /// Copies the words.
    pub fn copy(args: &Args<'_>) -> Self {
        Self::of(args.all())
    }

    /// Of any words.
    pub fn of<'w>(all: impl Iterator<Item = &'w [u8]>) -> Self {
        let (mut buffer, mut words) = (Vec::new(), Vec::new());
        for word in all {
            words.push((buffer.len(), word.len()));
            buffer.extend_from_slice(word);
        }
        OwnedArgs { buffer, words }
    }

    /// To read them again from the first argument on.
    pub fn args(&self) -> Args<'_> {
        Args::new(Request::new(&self.buffer, &self.words))
    }

    /// Bytes held, for the client's memory in CLIENT LIST.
    pub fn bytes(&self) -> usize {
        self.buffer.capacity() + self.words.capacity() * size_of::<(usize, usize)>()
    }
}
