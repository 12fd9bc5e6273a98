//! Up to when collections count as compact, and what they count as once a store is read.
//!
//! Redis' files have the data, and whoever reads one derives the encoding from it and from the limits of that moment:
//! what was compact stays so by its count alone, what was not is built anew and may be compact again. A node that reads
//! its own pages does the same. Only the mark changes: how a collection lies in memory follows its size, and what it
//! holds, digests included, does not depend on either, nor does what a command of the log makes of it (N1).

use super::lists::ListLimits;
use super::map::Limits;
use super::packed;
use super::sets::{self, SetLimits};
use super::value::{INTEGERS, Kind, Value};
use std::borrow::Cow;

/// Up to when collections of each type count as compact.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    pub list: ListLimits,
    pub set: SetLimits,
    pub zset: Limits,
    pub hash: Limits,
}

impl Sizes {
    /// What a collection counts as that was read; `None` for what has no encodings to choose from. Its elements are only
    /// looked at where it was not compact and is short enough to become so, and those of a list where its bytes count.
    pub(super) fn when_read(&self, value: Value<'_>) -> Option<u8> {
        match value {
            Value::List(list) => Some(list.when_read(self.list)),
            Value::Set(set) => Some(set.when_read(self.set)),
            Value::Zset(set) => Some(set.when_read(self.zset)),
            Value::Hash(hash) => Some(hash.when_read(self.hash)),
            Value::Str(_) | Value::Stream(_) => None,
        }
    }

    /// A small collection of a page, with what it counts as now.
    pub(super) fn small_when_read<'a>(&self, kind: Kind, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        match self.when_read(Value::of_small(kind, bytes)) {
            Some(encoding) if encoding != packed::encoding(bytes) => {
                let mut renamed = if encoding == INTEGERS { sets::in_order(bytes) } else { bytes.to_vec() };
                renamed[0] = encoding;
                Cow::Owned(renamed)
            }
            _ => Cow::Borrowed(bytes),
        }
    }
}
