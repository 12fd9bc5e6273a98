//! The bytes of a segment: its header, and the header of each record. All numbers are little-endian.
//!
//! ```text
//! segment  magic 8 | format 4 | 0 4 | generation 8 | number 8 | synced offset 8 | replid 20 | crc32c 4
//! record   magic 3, kind 1 | crc32c 4 | length 4 | stream db after it 4 | start offset 8 | synced offset 8 | bytes
//! ```
//! The header is durable before the segment is needed; where in the stream it begins is told by its first record, which
//! is written when it is. A record's checksum begins with the checksum of its segment's header, so that a record of
//! another segment, or a copy of a log that a user stored as a value, is never taken for one of this segment.

use crate::base::{Offset, ReplId};
use crc_fast::{CrcAlgorithm, Digest, crc32_iscsi};

/// Bytes of a segment's header.
pub const SEGMENT_HEADER: u64 = 64;
/// Bytes of a record's header.
pub const RECORD_HEADER: usize = 32;
/// The version of the format.
pub const FORMAT: u32 = 2;
/// Bytes of a segment's header and of the record that tells its start: a file that is no longer holds nothing.
pub const FIRST_RECORD: u64 = SEGMENT_HEADER + (RECORD_HEADER + START_BODY) as u64;

const SEGMENT_MAGIC: &[u8; 8] = b"REGENTLG";
/// What every record begins with.
pub const RECORD_MAGIC: &[u8; 3] = b"\xc5RG";
const START_BODY: usize = 24;
const GENESIS: u32 = 1;

/// What a segment's file says of itself, from its making on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The log generation that it belongs to.
    pub generation: u64,
    /// Its place among the generation's segments.
    pub number: u64,
    /// The highest offset known to be synced when it was made: the end of the last segment but one, at least.
    pub synced: Offset,
    /// The replication id that was current when it was made; it keeps the checksums of nodes apart.
    pub replid: ReplId,
}

/// Where in the stream a segment begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// The stream offset of its first byte.
    pub offset: Offset,
    /// The highest offset known to be synced when it was begun.
    pub synced: Offset,
    /// The replication id that was current then.
    pub replid: ReplId,
    /// The stream's selected database then.
    pub db: u32,
    /// Whether the keyspace was empty, so that no checkpoint is needed below it.
    pub genesis: bool,
}

impl Start {
    /// The record's bytes, in a segment with this seed.
    pub fn encode(&self, seed: u32) -> Vec<u8> {
        let mut body = [0; START_BODY];
        body[..4].copy_from_slice(&(if self.genesis { GENESIS } else { 0 }).to_le_bytes());
        body[4..].copy_from_slice(&self.replid.bytes());
        let length = START_BODY as u32;
        let header = RecordHeader { kind: Kind::Start, length, db: self.db, offset: self.offset, synced: self.synced };
        [header.encode(seed, &body).as_slice(), body.as_slice()].concat()
    }

    /// Reads the record; `None` if it is not a whole one of this segment.
    pub fn decode(seed: u32, bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..RECORD_HEADER + START_BODY)?;
        let body = &bytes[RECORD_HEADER..];
        let header = RecordHeader::decode(bytes).ok()?;
        let whole = header.kind == Kind::Start && header.length as usize == START_BODY;
        (whole && RecordHeader::verify(seed, bytes, body)).then(|| Start {
            offset: header.offset,
            synced: header.synced,
            replid: ReplId::from_random(body[4..].try_into().expect("twenty bytes")),
            db: header.db,
            genesis: u32_at(body, 0) & GENESIS != 0,
        })
    }
}

/// Why a header was not read.
#[derive(Debug, PartialEq, Eq)]
pub enum HeaderFault {
    /// Not a whole header.
    Torn,
    /// Of another version.
    Version(u32),
}

impl SegmentHeader {
    /// The header's bytes.
    pub fn encode(&self) -> [u8; SEGMENT_HEADER as usize] {
        let mut out = [0; SEGMENT_HEADER as usize];
        out[..8].copy_from_slice(SEGMENT_MAGIC);
        out[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        out[16..24].copy_from_slice(&self.generation.to_le_bytes());
        out[24..32].copy_from_slice(&self.number.to_le_bytes());
        out[32..40].copy_from_slice(&self.synced.0.to_le_bytes());
        out[40..60].copy_from_slice(&self.replid.bytes());
        let crc = crc32_iscsi(&out[..60]);
        out[60..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Reads a header.
    pub fn decode(bytes: &[u8]) -> Result<Self, HeaderFault> {
        let bytes = bytes.get(..SEGMENT_HEADER as usize).ok_or(HeaderFault::Torn)?;
        if &bytes[..8] != SEGMENT_MAGIC || crc32_iscsi(&bytes[..60]) != u32_at(bytes, 60) {
            return Err(HeaderFault::Torn);
        }
        match u32_at(bytes, 8) {
            FORMAT => {}
            other => return Err(HeaderFault::Version(other)),
        }
        Ok(SegmentHeader {
            generation: u64_at(bytes, 16),
            number: u64_at(bytes, 24),
            synced: Offset(u64_at(bytes, 32)),
            replid: ReplId::from_random(bytes[40..60].try_into().expect("twenty bytes")),
        })
    }

    /// What the checksums of this segment's records begin with.
    pub fn seed(&self) -> u32 {
        u32_at(&self.encode(), 60)
    }

    /// The file's name: sorts by generation, then by number.
    pub fn file_name(&self) -> String {
        format!("{:06}-{:010}.log", self.generation, self.number)
    }
}

/// What a record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Whole replication units: the bytes that replicas are fed.
    Stream,
    /// A change of history: it has no length in the stream.
    History,
    /// Where the segment begins: the first record of each, of no length in the stream.
    Start,
}

/// A record's header, without its checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHeader {
    /// What the bytes are.
    pub kind: Kind,
    /// Bytes behind the header.
    pub length: u32,
    /// The stream's selected database after the record.
    pub db: u32,
    /// The stream offset at its start.
    pub offset: Offset,
    /// The highest offset known to be synced when it was written.
    pub synced: Offset,
}

impl RecordHeader {
    /// The header's bytes for this body.
    pub fn encode(&self, seed: u32, body: &[u8]) -> [u8; RECORD_HEADER] {
        let mut out = [0; RECORD_HEADER];
        out[..3].copy_from_slice(RECORD_MAGIC);
        out[3] = match self.kind {
            Kind::Stream => 1,
            Kind::History => 2,
            Kind::Start => 3,
        };
        out[8..12].copy_from_slice(&self.length.to_le_bytes());
        out[12..16].copy_from_slice(&self.db.to_le_bytes());
        out[16..24].copy_from_slice(&self.offset.0.to_le_bytes());
        out[24..32].copy_from_slice(&self.synced.0.to_le_bytes());
        let crc = checksum(seed, &out, body);
        out[4..8].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Reads a header; its checksum is still to be checked with [`verify`](Self::verify).
    pub fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        if bytes.len() < RECORD_HEADER {
            return Err("the record's header is cut off");
        }
        if &bytes[..3] != RECORD_MAGIC {
            return Err("no record begins here");
        }
        let kind = match bytes[3] {
            1 => Kind::Stream,
            2 => Kind::History,
            3 => Kind::Start,
            _ => return Err("a record of unknown kind"),
        };
        let header = RecordHeader {
            kind,
            length: u32_at(bytes, 8),
            db: u32_at(bytes, 12),
            offset: Offset(u64_at(bytes, 16)),
            synced: Offset(u64_at(bytes, 24)),
        };
        if header.length == 0 {
            return Err("an empty record");
        }
        Ok(header)
    }

    /// Whether the checksum in `header` fits it and the body.
    pub fn verify(seed: u32, header: &[u8], body: &[u8]) -> bool {
        checksum(seed, header, body) == u32_at(header, 4)
    }

    /// The stream offset behind the record.
    pub fn end(&self) -> Offset {
        match self.kind {
            Kind::Stream => self.offset + u64::from(self.length),
            Kind::History | Kind::Start => self.offset,
        }
    }
}

fn checksum(seed: u32, header: &[u8], body: &[u8]) -> u32 {
    let mut front = [0; RECORD_HEADER];
    front[..4].copy_from_slice(&header[..4]);
    front[4..8].copy_from_slice(&seed.to_le_bytes());
    front[8..].copy_from_slice(&header[8..RECORD_HEADER]);
    let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
    digest.update(&front);
    digest.update(body);
    digest.finalize() as u32
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_header_there_and_back() {
        let header =
            SegmentHeader { generation: 3, number: 17, synced: Offset(1 << 40), replid: ReplId::from_random([7; 20]) };
        let bytes = header.encode();
        assert_eq!(SegmentHeader::decode(&bytes), Ok(header));
        for at in 0..bytes.len() {
            let mut bad = bytes;
            bad[at] ^= 1;
            assert_eq!(SegmentHeader::decode(&bad), Err(HeaderFault::Torn), "byte {at}");
        }
        assert_eq!(header.file_name(), "000003-0000000017.log");
    }

    #[test]
    fn a_start_there_and_back() {
        let replid = ReplId::from_random([9; 20]);
        let start = Start { offset: Offset(1 << 40), synced: Offset(77), replid, db: 9, genesis: true };
        let bytes = start.encode(5);
        assert_eq!(SEGMENT_HEADER + bytes.len() as u64, FIRST_RECORD);
        assert_eq!(Start::decode(5, &bytes), Some(start));
        assert_eq!(Start::decode(6, &bytes), None, "of another segment");
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            assert_eq!(Start::decode(5, &bad), None, "byte {at}");
            assert_eq!(Start::decode(5, &bytes[..at]), None, "{at} bytes");
        }
    }

    #[test]
    fn a_record_of_another_segment_is_not_taken() {
        let header = RecordHeader { kind: Kind::Stream, length: 3, db: 0, offset: Offset(5), synced: Offset(4) };
        let bytes = header.encode(17, b"abc");
        assert_eq!(RecordHeader::decode(&bytes), Ok(header));
        assert!(RecordHeader::verify(17, &bytes, b"abc"));
        assert!(!RecordHeader::verify(18, &bytes, b"abc"));
        assert!(!RecordHeader::verify(17, &bytes, b"abd"));
    }
}
