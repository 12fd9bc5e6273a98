//! What a checkpoint consists of: the manifest, the keys of its parts, and the small record that makes it current.

use super::pages::{Op, Pages, Table};
use crate::base::Offset;
use crate::base::limits::SLED_VALUE_BYTES_MAX;
use crate::store::codec::{self, CodecError};
use crate::store::error::StoreError;
use crate::store::history::History;
use crc_fast::crc32_iscsi;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The bytes of one part. A leaf of sled holds up to sixteen rows and is written as one item: it must stay below a quarter
/// of sled's segment (128 KiB), or it becomes a file of its own, which sled never syncs. (Measured with parts of 64 KiB:
/// 400 MB of pages left 1,700 such files; with these none.)
pub const PART_BYTES: usize = 7 * 1024;

/// The rows that one leaf may hold before sled splits it, one more than it splits at.
const LEAF_ROWS: usize = 17;
const LEAF_BYTES_MAX: usize = 128 * 1024;
const _: () = assert!(LEAF_ROWS * (PART_BYTES + 64) < LEAF_BYTES_MAX && PART_BYTES < SLED_VALUE_BYTES_MAX);

/// The row that names the current version.
pub const CURRENT: &[u8] = b"current";
/// Stands while pages of an unfinished checkpoint, or of one no longer current, may be there.
pub const UNSWEPT: &[u8] = b"unswept";

/// The state that the caller gives with a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The log generation that goes on from here (with the log off: the highest used so far).
    pub generation: u64,
    /// Whether there is a log: if not, the checkpoint alone is the state.
    pub log: bool,
    /// The offset C that the pages show.
    pub offset: Offset,
    /// The stream's selected database at C.
    pub db: u32,
    /// The history at C.
    pub history: History,
    /// What the keyspace needs to read its pages: opaque here.
    #[serde(with = "serde_bytes")]
    pub keyspace: Vec<u8>,
    /// Functions and whatever else is state: opaque here.
    pub extra: BTreeMap<String, Vec<u8>>,
}

/// Which parts make up a page or blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// The checkpoint version that wrote it.
    pub version: u64,
    /// How many parts; one, of no bytes, for no bytes.
    pub parts: u32,
    /// Bytes.
    pub length: u64,
    /// crc32c of the bytes.
    pub crc: u32,
}

/// The address of a page or a blob: (space, number).
pub type PieceId = (u32, u64);

/// Everything a checkpoint names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// The pages.
    pub pages: BTreeMap<PieceId, Piece>,
    /// The blobs.
    pub blobs: BTreeMap<PieceId, Piece>,
}

impl Contents {
    /// Bytes of all pages and blobs.
    pub fn bytes(&self) -> u64 {
        self.pages.values().chain(self.blobs.values()).map(|piece| piece.length).sum()
    }
}

/// The record that makes a manifest current.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Current {
    pub version: u64,
    pub chunks: u32,
    pub length: u64,
    pub crc: u32,
}

/// The current checkpoint as it was loaded.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub current: Current,
    pub manifest: Manifest,
    pub contents: Contents,
}

/// The key of a part: sorts by version, space, number, part, so that a checkpoint's rows stand together and sled's leaves
/// are filled one after the other instead of being rewritten here and there.
pub fn part_key(id: PieceId, version: u64, part: u32) -> Vec<u8> {
    let mut key = Vec::with_capacity(24);
    key.extend_from_slice(&version.to_be_bytes());
    key.extend_from_slice(&id.0.to_be_bytes());
    key.extend_from_slice(&id.1.to_be_bytes());
    key.extend_from_slice(&part.to_be_bytes());
    key
}

/// Reads a part's key back.
pub fn part_of_key(key: &[u8]) -> Option<(PieceId, u64, u32)> {
    let key: &[u8; 24] = key.try_into().ok()?;
    let id = (u32::from_be_bytes(key[8..12].try_into().ok()?), u64::from_be_bytes(key[12..20].try_into().ok()?));
    Some((id, u64::from_be_bytes(key[..8].try_into().ok()?), u32::from_be_bytes(key[20..].try_into().ok()?)))
}

/// The key of a manifest's chunk.
pub fn chunk_key(version: u64, chunk: u32) -> Vec<u8> {
    let mut key = version.to_be_bytes().to_vec();
    key.extend_from_slice(&chunk.to_be_bytes());
    key
}

/// How `bytes` are stored under this version.
pub fn piece(bytes: &[u8], version: u64) -> Piece {
    Piece {
        version,
        parts: bytes.len().div_ceil(PART_BYTES).max(1) as u32,
        length: bytes.len() as u64,
        crc: crc32_iscsi(bytes),
    }
}

/// The rows that hold a manifest, and the record that makes it current.
pub fn manifest_rows(version: u64, manifest: &Manifest, contents: &Contents) -> (Vec<Op>, Current) {
    let bytes = codec::encode(&(manifest, contents));
    let chunks = bytes.chunks(PART_BYTES).enumerate();
    let rows = chunks.map(|(chunk, part)| Op::Put(chunk_key(version, chunk as u32), part.to_vec())).collect();
    let piece = piece(&bytes, version);
    (rows, Current { version, chunks: piece.parts, length: piece.length, crc: piece.crc })
}

/// The row that makes a manifest current.
pub fn current_row(current: &Current) -> Op {
    let mut bytes = codec::encode(current);
    let crc = crc32_iscsi(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    Op::Put(CURRENT.to_vec(), bytes)
}

/// The current checkpoint; `None` where there never was one.
pub fn load(pages: &dyn Pages) -> Result<Option<Loaded>, StoreError> {
    let damaged = |what: &str, why: String| StoreError::Damaged { dir: pages.dir().into(), what: what.into(), why };
    let decoding = |what: &'static str, error: CodecError| match error {
        CodecError::Version(found) => StoreError::Version { dir: pages.dir().into(), what, found: found.into() },
        CodecError::Broken(_) => damaged(what, error.to_string()),
    };
    let witness = pages.witness()?;
    let Some(record) = pages.get(Table::Meta, CURRENT)? else {
        return match witness {
            0 => Ok(None),
            seen => Err(damaged("current record", format!("it is missing, and version {seen} was written"))),
        };
    };
    let Some((bytes, crc)) = record.split_last_chunk::<4>() else {
        return Err(damaged("current record", "cut off".into()));
    };
    if crc32_iscsi(bytes) != u32::from_le_bytes(*crc) {
        return Err(damaged("current record", "checksum mismatch".into()));
    }
    let current: Current = codec::decode(bytes).map_err(|error| decoding("current record", error))?;
    if current.version < witness {
        let why = format!("it is of version {}, and version {witness} was written", current.version);
        return Err(damaged("current record", why));
    }
    let mut bytes = Vec::new();
    for chunk in 0..current.chunks {
        match pages.get(Table::Manifest, &chunk_key(current.version, chunk))? {
            Some(part) => bytes.extend_from_slice(&part),
            None => {
                return Err(damaged("manifest", format!("chunk {chunk} of version {} is missing", current.version)));
            }
        }
    }
    if bytes.len() as u64 != current.length || crc32_iscsi(&bytes) != current.crc {
        return Err(damaged("manifest", "checksum mismatch".into()));
    }
    let (manifest, contents) = codec::decode(&bytes).map_err(|error| decoding("manifest", error))?;
    Ok(Some(Loaded { current, manifest, contents }))
}

/// The bytes of a page or blob out of its parts, checked.
pub fn check(pages: &dyn Pages, what: impl Fn() -> String, piece: &Piece, bytes: &[u8]) -> Result<(), StoreError> {
    let why = if bytes.len() as u64 != piece.length {
        format!("{} bytes of {}", bytes.len(), piece.length)
    } else if crc32_iscsi(bytes) != piece.crc {
        "checksum mismatch".into()
    } else {
        return Ok(());
    };
    Err(StoreError::Damaged { dir: pages.dir().into(), what: what(), why })
}

/// One blob.
pub fn read_blob(pages: &dyn Pages, id: PieceId, piece: &Piece) -> Result<Vec<u8>, StoreError> {
    read_piece(pages, Table::Blobs, "blob", id, piece)
}

/// One page.
pub fn read_page(pages: &dyn Pages, id: PieceId, piece: &Piece) -> Result<Vec<u8>, StoreError> {
    read_piece(pages, Table::Pages, "page", id, piece)
}

fn read_piece(pages: &dyn Pages, table: Table, name: &str, id: PieceId, piece: &Piece) -> Result<Vec<u8>, StoreError> {
    let mut bytes = Vec::with_capacity((piece.parts as usize).saturating_mul(PART_BYTES));
    for part in 0..piece.parts {
        bytes.extend_from_slice(&pages.get(table, &part_key(id, piece.version, part))?.unwrap_or_default());
    }
    check(pages, || format!("{name} {} of space {}", id.1, id.0), piece, &bytes)?;
    Ok(bytes)
}
