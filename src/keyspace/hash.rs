//! The keyed hash of keys, and the token that carries it through a command so that no key is hashed twice.
//!
//! The function is our own (the folded 128-bit multiplication of wyhash), because pages on disk are cut along hash
//! prefixes: it must give the same number for the same seed in every build and on every processor, which crates that
//! pick their algorithm by CPU features do not promise. The seed is random per data set, so that clients cannot aim keys
//! at one sub-table. Should the function ever change, old pages still load (see `load.rs`): slower, and written anew.

/// The 256-bit secret of one data set's hash; a part of its manifest.
pub type Seed = [u64; 4];

/// Odd constants of wyhash; they keep an all-zero seed from degenerating.
const SALT: Seed = [0xa076_1d64_78bd_642f, 0xe703_7ed1_a0b4_28db, 0x8ebc_6af0_9c88_c6e3, 0x5899_65cc_7537_4cc3];

/// A key with its hash. Made by [`Keyspace::key`](super::Keyspace::key), valid for every database of that keyspace.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    /// The key itself.
    pub bytes: &'a [u8],
    pub(super) hash: u64,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Hasher(Seed);

impl Hasher {
    pub(super) fn new(seed: Seed) -> Self {
        Hasher(std::array::from_fn(|i| seed[i] ^ SALT[i]))
    }

    #[inline]
    pub(super) fn key<'a>(&self, bytes: &'a [u8]) -> Key<'a> {
        Key { bytes, hash: self.hash(bytes) }
    }

    #[inline]
    pub(super) fn hash(&self, bytes: &[u8]) -> u64 {
        let [s0, s1, s2, s3] = self.0;
        let len = bytes.len();
        let mut state = fold(s0 ^ len as u64, s3);
        let (a, b) = match len {
            0 => (0, 0),
            1..=3 => {
                let (first, middle, last) = (bytes[0], bytes[len / 2], bytes[len - 1]);
                (u64::from(first) << 16 | u64::from(middle) << 8 | u64::from(last), 0)
            }
            4..=7 => (u64::from(read_u32(bytes, 0)), u64::from(read_u32(bytes, len - 4))),
            8..=16 => (read_u64(bytes, 0), read_u64(bytes, len - 8)),
            _ => {
                let mut at = 0;
                while at + 16 < len {
                    state = fold(read_u64(bytes, at) ^ s1, read_u64(bytes, at + 8) ^ state);
                    at += 16;
                }
                (read_u64(bytes, len - 16), read_u64(bytes, len - 8))
            }
        };
        let mixed = fold(a ^ s1, b ^ state);
        fold(mixed ^ s2, state ^ s3)
    }
}

/// The hash as hashbrown wants it. It tags entries by its top seven bits and finds buckets by its low ones, and all
/// entries of a sub-table share the top bits of the key's hash: turned by seven, all of its bits are told apart.
#[inline]
pub(super) fn spread(hash: u64) -> u64 {
    hash.rotate_right(7)
}

#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

#[inline]
fn read_u64(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

#[inline]
fn read_u32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_function_never_changes() {
        // Golden: pages on disk depend on these numbers.
        let hasher = Hasher::new([1, 2, 3, 4]);
        let text: Vec<u8> = (0..100).collect();
        let hashes: Vec<u64> = [0, 1, 3, 4, 7, 8, 16, 17, 33, 100].iter().map(|&n| hasher.hash(&text[..n])).collect();
        assert_eq!(hashes, GOLDEN);
    }

    const GOLDEN: [u64; 10] = [
        16925938879004043294,
        9924692257257602902,
        10843534986306935688,
        3241614731273284920,
        1877172773943060659,
        12135706284940856643,
        1101377476271255466,
        13104579076962535966,
        16972497353447041052,
        3657737587618460686,
    ];

    #[test]
    fn prefixes_spread_evenly() {
        let hasher = Hasher::new([0; 4]);
        let mut counts = [0u32; 256];
        for i in 0..256_000u32 {
            counts[(hasher.hash(format!("key:{i:012}").as_bytes()) >> 56) as usize] += 1;
        }
        // Mean 1000, standard deviation 32.
        assert!(counts.iter().all(|&n| (800..1200).contains(&n)), "{counts:?}");
    }
}
