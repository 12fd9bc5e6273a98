//! The push parser of a whole file.

use super::collection::Left;
use super::cursor::{Cursor, Read, Stop};
use super::{Checksum, Event, Item, RdbError, Used, VERSION_MAX, Value, code, crc64, string};
use crate::base::Millis;

/// Reads a file piece by piece: [`Decoder::push`] bytes, then take events with [`Decoder::next`] until it has none.
///
/// It holds the bytes of the event that is not whole, and what was pushed beyond it.
///
/// ```
/// use regent::rdb::{Decoder, Encoder, Event, Origin};
/// let mut file = Vec::new();
/// let mut encoder = Encoder::new();
/// encoder.header(&Origin::default(), &mut file);
/// encoder.end(&mut file);
/// let (mut decoder, mut last) = (Decoder::default(), None);
/// for piece in file.chunks(3) {
///     decoder.push(piece);
///     while let Some(event) = decoder.next()? {
///         last = Some(event);
///     }
/// }
/// decoder.finish()?;
/// assert_eq!(last, Some(Event::End));
/// # Ok::<(), regent::rdb::RdbError>(())
/// ```
#[derive(Debug)]
pub struct Decoder {
    buffer: Vec<u8>,
    /// The bytes of the buffer that are done with.
    done: usize,
    /// The place of `buffer[done]` in the file.
    offset: u64,
    /// Not before this many bytes behind `done` are there can the event be whole.
    wanted: usize,
    crc: crc_fast::Digest,
    checksum: Checksum,
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    Header,
    /// Between two operations; deadline and use belong to the item that comes next.
    Body {
        version: u32,
        expire: Option<Millis>,
        used: Option<Used>,
    },
    /// Within a collection.
    Elements {
        version: u32,
        left: Left,
    },
    /// Behind the end mark, before the checksum.
    Checksum,
    Ended,
    Failed(RdbError),
}

/// What one step read.
enum Read1 {
    Event(Event),
    /// Something that changes how the next step reads, or nothing.
    Nothing,
}

/// Consumed bytes are moved out of the buffer when they are this many and at least half of it.
const MOVE_BYTES_MIN: usize = 64 * 1024;

impl Default for Decoder {
    fn default() -> Self {
        Decoder {
            buffer: Vec::new(),
            done: 0,
            offset: 0,
            wanted: 0,
            crc: crc64(),
            checksum: Checksum::Check,
            state: State::Header,
        }
    }
}

impl Decoder {
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the checksum at the end is looked at; it is unless this says otherwise.
    pub fn checksum(mut self, checksum: Checksum) -> Self {
        self.checksum = checksum;
        self
    }

    /// Takes the next bytes of the file.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.done >= MOVE_BYTES_MIN && self.done >= self.buffer.len() / 2 || self.done == self.buffer.len() {
            self.buffer.drain(..self.done);
            self.done = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next event, or `None`: more bytes are needed, or the end was reached.
    ///
    /// # Errors
    /// See [`RdbError`]; the same one from then on.
    #[expect(clippy::should_implement_trait, reason = "None is not the end, and it can fail")]
    pub fn next(&mut self) -> Result<Option<Event>, RdbError> {
        loop {
            match &self.state {
                State::Ended => return Ok(None),
                State::Failed(error) => return Err(error.clone()),
                _ => {}
            }
            let rest = &self.buffer[self.done..];
            if rest.len() < self.wanted {
                return Ok(None);
            }
            let mut from = Cursor::new(rest, self.offset);
            let mut state = self.state.clone();
            match step(&mut state, &mut from, (self.checksum == Checksum::Check).then_some(&self.crc)) {
                Ok(read) => {
                    let taken = from.at();
                    self.crc.update(&rest[..taken]);
                    self.done += taken;
                    self.offset += taken as u64;
                    self.wanted = 0;
                    self.state = state;
                    if let Read1::Event(event) = read {
                        return Ok(Some(event));
                    }
                }
                Err(Stop::More(wanted)) => {
                    self.wanted = wanted;
                    return Ok(None);
                }
                Err(Stop::Bad(error)) => {
                    self.state = State::Failed(error.clone());
                    return Err(error);
                }
            }
        }
    }

    /// How many bytes of the file have become events.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// To be asked when no more bytes will come.
    ///
    /// # Errors
    /// `Truncated` if the end mark was not reached, or the error that [`Decoder::next`] had.
    pub fn finish(&self) -> Result<(), RdbError> {
        match &self.state {
            State::Ended => Ok(()),
            State::Failed(error) => Err(error.clone()),
            _ => Err(RdbError::Truncated { offset: self.offset + (self.buffer.len() - self.done) as u64 }),
        }
    }

    /// The bytes pushed that lie behind the last event; after `End`, what follows the file in its stream.
    pub fn into_rest(mut self) -> Vec<u8> {
        self.buffer.drain(..self.done);
        self.buffer
    }
}

/// Reads one operation. On `More` nothing has happened.
fn step(state: &mut State, from: &mut Cursor<'_>, crc: Option<&crc_fast::Digest>) -> Read<Read1> {
    match state {
        State::Header => {
            let version = header(from)?;
            *state = State::Body { version, expire: None, used: None };
            Ok(Read1::Event(Event::Header { version }))
        }
        State::Body { version, expire, used } => {
            let kind = from.byte()?;
            let event = match kind {
                code::EXPIRE_MS => {
                    *expire = Some(Millis(i64::from_le_bytes(from.array()?)));
                    return Ok(Read1::Nothing);
                }
                code::EXPIRE_S => {
                    *expire = Some(Millis(i64::from(i32::from_le_bytes(from.array()?)) * 1000));
                    return Ok(Read1::Nothing);
                }
                code::FREQ => {
                    *used = Some(Used::Frequency(from.byte()?));
                    return Ok(Read1::Nothing);
                }
                code::IDLE => {
                    *used = Some(Used::Idle { seconds: from.length()? });
                    return Ok(Read1::Nothing);
                }
                code::SLOT_INFO => {
                    for _ in 0..3 {
                        from.length()?;
                    }
                    return Ok(Read1::Nothing);
                }
                code::END => {
                    if *version < 5 {
                        *state = State::Ended;
                        return Ok(Read1::Event(Event::End));
                    }
                    *state = State::Checksum;
                    return Ok(Read1::Nothing);
                }
                code::AUX => {
                    let key = from.string()?.into_owned();
                    Event::Aux { key, value: from.string()?.into_owned() }
                }
                code::SELECT_DB => {
                    let number = from.length()?;
                    match u32::try_from(number) {
                        Ok(number) => Event::SelectDb(number),
                        Err(_) => return from.corrupt("a number of a database that is too large"),
                    }
                }
                code::RESIZE_DB => {
                    let keys = from.length()?;
                    Event::Sizes { keys, expires: from.length()? }
                }
                code::FUNCTION => Event::Function(from.string()?.into_owned()),
                code::FUNCTION_PRE_RELEASE => return from.corrupt("functions in the form of a 7.0 release candidate"),
                code::MODULE_AUX => {
                    let offset = from.offset();
                    let name = module_name(from.length()?);
                    return Err(Stop::Bad(RdbError::Module { name, offset }));
                }
                code::STRING => {
                    let key = from.string()?.into_owned();
                    let value = Value::String(string::read(from)?);
                    Event::Item(Item { key, expire: expire.take(), used: used.take(), value })
                }
                kind => {
                    let (key, value, left) = collection(kind, from)?;
                    let item = Item { key, expire: *expire, used: *used, value };
                    let version = *version;
                    *state = match left.is_empty() {
                        true => State::Body { version, expire: None, used: None },
                        false => State::Elements { version, left },
                    };
                    return Ok(Read1::Event(Event::Item(item)));
                }
            };
            Ok(Read1::Event(event))
        }
        State::Elements { version, left } => {
            let part = left.part(from)?;
            if left.is_empty() {
                *state = State::Body { version: *version, expire: None, used: None };
            }
            Ok(Read1::Event(Event::More(part)))
        }
        State::Checksum => {
            let offset = from.offset();
            let found = u64::from_le_bytes(from.array()?);
            if let Some(expected) = crc.map(|crc| crc.finalize()).filter(|&expected| found != 0 && found != expected) {
                return Err(Stop::Bad(RdbError::Checksum { expected, found, offset }));
            }
            *state = State::Ended;
            Ok(Read1::Event(Event::End))
        }
        State::Ended | State::Failed(_) => Ok(Read1::Nothing),
    }
}

fn header(from: &mut Cursor<'_>) -> Read<u32> {
    let bytes: [u8; 9] = from.array()?;
    let digits = bytes.strip_prefix(b"REDIS").filter(|digits| digits.iter().all(u8::is_ascii_digit));
    let Some(digits) = digits else { return Err(Stop::Bad(RdbError::NotRdb)) };
    let version = digits.iter().fold(0, |version, digit| version * 10 + u32::from(digit - b'0'));
    if !(1..=VERSION_MAX).contains(&version) {
        return Err(Stop::Bad(RdbError::Version { version }));
    }
    Ok(version)
}

/// A collection's key and first part, and what is left of it.
fn collection(kind: u8, from: &mut Cursor<'_>) -> Read<(Vec<u8>, Value, Left)> {
    let offset = from.offset() - 1;
    let Some(name) = code::type_name(kind) else { return Err(Stop::Bad(RdbError::UnknownType { kind, offset })) };
    let key = from.string()?.into_owned();
    let Some(mut left) = Left::open(kind, from)? else {
        return Err(Stop::Bad(RdbError::UnsupportedType { name, key, offset }));
    };
    let value = left.part(from)?;
    Ok((key, value, left))
}

/// The name that a module's number stands for: nine characters of 6 bits above a version of 10.
fn module_name(id: u64) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    (0..9).map(|i| char::from(ALPHABET[(id >> (58 - 6 * i) & 63) as usize])).collect()
}

#[cfg(test)]
mod tests;
