//! Writing a file.

use super::{Elements, Shape, Used, VERSION, Value, code, crc64, string};
use crate::base::{Millis, Offset, ReplId};

/// What a file says about where it comes from.
#[derive(Clone, Copy, Debug, Default)]
pub struct Origin<'a> {
    /// The version of Redis that the writer stands for (`redis-ver`).
    pub redis_version: &'a str,
    /// The wall clock, Unix milliseconds; written in seconds (`ctime`).
    pub created: Millis,
    /// Bytes in use (`used-mem`).
    pub used_memory: u64,
    /// The place in the replication stream that the items belong to: the history, the offset, and the database that the
    /// stream has selected there (`repl-id`, `repl-offset`, `repl-stream-db`).
    pub stream: Option<(ReplId, Offset, u32)>,
    /// Whether the file is the base of an append-only file (`aof-base`).
    pub aof_base: bool,
}

/// Writes a file of version [`VERSION`], in this order: `header`; functions; for each database `select` and its items;
/// `end`. Every call appends to `out`, which the caller may empty before the next call.
#[derive(Debug)]
pub struct Encoder {
    crc: crc_fast::Digest,
    compress: bool,
    checksum: bool,
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Encoder {
    /// An encoder that does not compress strings (`rdbcompression no`).
    pub fn new() -> Self {
        Encoder { crc: crc64(), compress: false, checksum: true }
    }

    /// Whether strings of more than 20 bytes are compressed where that saves something (`rdbcompression`).
    pub fn compress(mut self, compress: bool) -> Self {
        self.compress = compress;
        self
    }

    /// Whether the end carries a checksum (`rdbchecksum`); a zero in its place tells readers to look at none.
    pub fn checksum(mut self, checksum: bool) -> Self {
        self.checksum = checksum;
        self
    }

    /// The head of the file with the facts about its origin.
    pub fn header(&mut self, origin: &Origin<'_>, out: &mut Vec<u8>) {
        self.summed(out, |out| {
            out.extend_from_slice(format!("REDIS{VERSION:04}").as_bytes());
            let mut aux = |key: &str, value: &[u8]| {
                out.push(code::AUX);
                string::write(out, key.as_bytes(), false);
                string::write(out, value, false);
            };
            aux("redis-ver", origin.redis_version.as_bytes());
            aux("redis-bits", b"64");
            aux("ctime", origin.created.seconds().to_string().as_bytes());
            aux("used-mem", origin.used_memory.to_string().as_bytes());
            if let Some((id, offset, database)) = origin.stream {
                aux("repl-stream-db", database.to_string().as_bytes());
                aux("repl-id", &id.hex());
                aux("repl-offset", offset.to_string().as_bytes());
            }
            aux("aof-base", if origin.aof_base { b"1" } else { b"0" });
        });
    }

    /// The source of a library of functions.
    pub fn function(&mut self, source: &[u8], out: &mut Vec<u8>) {
        let compress = self.compress;
        self.summed(out, |out| {
            out.push(code::FUNCTION);
            string::write(out, source, compress);
        });
    }

    /// The start of a database: its number, how many keys it has and how many of them with a deadline.
    pub fn select(&mut self, database: u32, keys: u64, expires: u64, out: &mut Vec<u8>) {
        self.summed(out, |out| {
            out.push(code::SELECT_DB);
            string::write_length(out, u64::from(database));
            out.push(code::RESIZE_DB);
            string::write_length(out, keys);
            string::write_length(out, expires);
        });
    }

    /// How the key that comes next was used.
    pub fn used(&mut self, used: Used, out: &mut Vec<u8>) {
        self.summed(out, |out| match used {
            Used::Idle { seconds } => {
                out.push(code::IDLE);
                string::write_length(out, seconds);
            }
            Used::Frequency(counter) => out.extend([code::FREQ, counter]),
        });
    }

    /// A key of the database that holds a string. `expire` is on the wall clock, Unix milliseconds.
    pub fn string(&mut self, key: &[u8], expire: Option<Millis>, value: &[u8], out: &mut Vec<u8>) {
        let compress = self.compress;
        self.summed(out, |out| {
            head(out, code::STRING, key, expire, compress);
            string::write(out, value, compress);
        });
    }

    /// A key that holds a collection; so many elements (pairs, in a hash) are to follow by [`Encoder::elements`].
    pub fn open(&mut self, key: &[u8], expire: Option<Millis>, shape: Shape, elements: u64, out: &mut Vec<u8>) {
        let compress = self.compress;
        self.summed(out, |out| {
            head(out, shape.code(), key, expire, compress);
            string::write_length(out, elements);
        });
    }

    /// Elements of the collection that was opened last.
    pub fn elements(&mut self, out: &mut Vec<u8>, write: impl FnOnce(&mut Elements<'_>)) {
        let compress = self.compress;
        self.summed(out, |out| write(&mut Elements::new(out, compress)));
    }

    /// A key with a value as the decoder gives it.
    pub fn item(&mut self, key: &[u8], expire: Option<Millis>, value: &Value, out: &mut Vec<u8>) {
        match value.shape() {
            None => {
                if let Value::String(bytes) = value {
                    self.string(key, expire, bytes, out);
                }
            }
            Some((shape, len)) => {
                self.open(key, expire, shape, len as u64, out);
                self.elements(out, |elements| elements.all(value));
            }
        }
    }

    /// The end mark and the checksum of all that was written.
    pub fn end(mut self, out: &mut Vec<u8>) {
        self.summed(out, |out| out.push(code::END));
        let crc = if self.checksum { self.crc.finalize() } else { 0 };
        out.extend(crc.to_le_bytes());
    }

    fn summed(&mut self, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        let start = out.len();
        write(out);
        self.crc.update(&out[start..]);
    }
}

fn head(out: &mut Vec<u8>, kind: u8, key: &[u8], expire: Option<Millis>, compress: bool) {
    if let Some(Millis(at)) = expire {
        out.push(code::EXPIRE_MS);
        out.extend(at.to_le_bytes());
    }
    out.push(kind);
    string::write(out, key, compress);
}
