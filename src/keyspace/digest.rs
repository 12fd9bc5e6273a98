//! DEBUG DIGEST and DEBUG DIGEST-VALUE: a fingerprint of a data set that is equal on Redis for equal data.
//!
//! The recipe is Redis' (`computeDatasetDigest`): entries are xored together, so that their order does not matter;
//! within an entry, type, key and value are mixed in order.

use super::Keyspace;
use super::db::{Db, EntryRef};
use super::string::Digits;
use super::value::Value;
use crate::base::StreamId;
use sha1::{Digest as _, Sha1};

/// 160 bits, shown as forty hexadecimal digits.
pub type Digest = [u8; 20];

fn xor(digest: &mut Digest, bytes: &[u8]) {
    let hash: Digest = Sha1::digest(bytes).into();
    digest.iter_mut().zip(hash).for_each(|(byte, other)| *byte ^= other);
}

fn mix(digest: &mut Digest, bytes: &[u8]) {
    xor(digest, bytes);
    *digest = Sha1::digest(*digest).into();
}

fn mix_value(digest: &mut Digest, entry: EntryRef<'_>) {
    let value = entry.value();
    mix(digest, &(value.kind() as u32).to_be_bytes());
    match value {
        Value::Str(string) => mix(digest, string.bytes(&mut Digits::default())),
        Value::List(list) => list.iter_from(0).for_each(|element| mix(digest, element)),
        Value::Set(set) => set.iter().for_each(|member| xor(digest, member)),
        Value::Zset(set) => {
            for (member, score) in set.iter_from(0) {
                let mut pair = [0; 20];
                mix(&mut pair, member);
                mix(&mut pair, seventeen_digits(score).as_bytes());
                xor(digest, &pair);
            }
        }
        Value::Stream(stream) => {
            for entry in stream.range(StreamId::MIN..=StreamId::MAX) {
                mix(digest, format!("{}.{}", entry.id.ms, entry.id.seq).as_bytes());
                for (field, value) in entry.pairs() {
                    mix(digest, field.bytes(&mut Digits::default()));
                    mix(digest, value.bytes(&mut Digits::default()));
                }
            }
        }
        Value::Hash(hash) => {
            for (field, value) in hash.iter() {
                let mut pair = [0; 20];
                mix(&mut pair, field);
                mix(&mut pair, value);
                xor(digest, &pair);
            }
        }
    }
    if entry.deadline().is_some() {
        xor(digest, b"!!expire!!");
    }
}

/// C's `%.17g`.
fn seventeen_digits(number: f64) -> String {
    if number.is_infinite() {
        return if number > 0.0 { "inf".into() } else { "-inf".into() };
    }
    let text = format!("{number:.16e}");
    let (digits, exponent) = text.split_once('e').expect("Rust's scientific notation");
    let exponent: i32 = exponent.parse().expect("an exponent");
    let trimmed = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_string(),
        false => text.to_string(),
    };
    match exponent {
        -4..17 => trimmed(&format!("{number:.*}", (16 - exponent) as usize)),
        _ => format!("{}e{}{:02}", trimmed(digits), if exponent < 0 { '-' } else { '+' }, exponent.abs()),
    }
}

impl EntryRef<'_> {
    /// What DEBUG DIGEST-VALUE answers for this key; for a missing one it is all zeros.
    pub fn digest(self) -> Digest {
        let mut digest = [0; 20];
        mix_value(&mut digest, self);
        digest
    }
}

impl Db {
    fn xor_entries(&self, digest: &mut Digest) {
        for entry in self.iter() {
            let mut one = [0; 20];
            mix(&mut one, entry.key());
            mix_value(&mut one, entry);
            xor(digest, &one);
        }
    }
}

impl Keyspace {
    /// What DEBUG DIGEST answers; all zeros for an empty keyspace. Takes time with the size of the data.
    pub fn digest(&self) -> Digest {
        let mut digest = [0; 20];
        for (index, db) in self.dbs.iter().enumerate().filter(|(_, db)| !db.is_empty()) {
            mix(&mut digest, &(index as u32).to_be_bytes());
            db.xor_entries(&mut digest);
        }
        digest
    }
}
