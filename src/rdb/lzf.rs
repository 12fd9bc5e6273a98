//! Compressed strings (LZF), which Redis writes by default for strings of more than 20 bytes.
//!
//! Unpacking is the `lzf` crate's, behind a check of the length it would allocate. Its packing panics on some inputs, so
//! that half is ours: a greedy match over a table of three-byte prefixes.

/// The most that one byte of packed input can unpack to: three bytes copy 264.
const GROWTH_MAX: usize = 88;

/// The bytes that `packed` stands for; `None` unless they are exactly `len`.
pub(super) fn unpack(packed: &[u8], len: usize) -> Option<Vec<u8>> {
    if len == 0 || len > packed.len().saturating_mul(GROWTH_MAX) {
        return None;
    }
    lzf::decompress(packed, len).ok().filter(|bytes| bytes.len() == len)
}

/// The longest run of plain bytes, and the longest and farthest copy that the format can say.
const RUN_MAX: usize = 32;
const COPY_MAX: usize = 264;
const BACK_MAX: usize = 8192;
const TABLE_BITS: u32 = 13;

/// `bytes` packed, or `None` if that would not save anything.
pub(super) fn pack(bytes: &[u8]) -> Option<Vec<u8>> {
    let limit = bytes.len().checked_sub(4)?;
    let mut table = vec![u32::MAX; 1 << TABLE_BITS];
    let mut out = Vec::with_capacity(limit.min(4096));
    let (mut at, mut plain) = (0, 0);
    while at + 3 <= bytes.len() {
        let prefix = u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], 0]);
        let slot = (prefix.wrapping_mul(0x9E37_79B1) >> (32 - TABLE_BITS)) as usize;
        let earlier = std::mem::replace(&mut table[slot], at as u32) as usize;
        let near = earlier < at && at - earlier <= BACK_MAX;
        if !near || bytes[earlier..earlier + 3] != bytes[at..at + 3] {
            at += 1;
            continue;
        }
        let same = bytes[earlier..].iter().zip(&bytes[at..]).take(COPY_MAX).take_while(|(a, b)| a == b).count();
        push_plain(&mut out, &bytes[plain..at]);
        let back = at - earlier - 1;
        let len = same - 2;
        if len < 7 {
            out.push((len << 5 | back >> 8) as u8);
        } else {
            out.extend([(7 << 5 | back >> 8) as u8, (len - 7) as u8]);
        }
        out.push(back as u8);
        at += same;
        plain = at;
        if out.len() >= limit {
            return None;
        }
    }
    push_plain(&mut out, &bytes[plain..]);
    (out.len() < limit).then_some(out)
}

fn push_plain(out: &mut Vec<u8>, plain: &[u8]) {
    for run in plain.chunks(RUN_MAX) {
        out.push(run.len() as u8 - 1);
        out.extend_from_slice(run);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn packing_saves_or_refuses() {
        let text = b"the quick brown fox jumps over the lazy dog, the quick brown fox jumps again".repeat(50);
        let packed = pack(&text).expect("it repeats itself");
        assert!(packed.len() < text.len() / 10, "{}", packed.len());
        assert_eq!(unpack(&packed, text.len()), Some(text));
        assert_eq!(pack(b"abcdefghijklmnopqrstuvwxyz"), None);
        for len in [0, 1, 4, 5] {
            assert_eq!(pack(&vec![b'a'; len]), None, "{len}");
        }
    }

    #[test]
    fn the_farthest_copy() {
        for distance in BACK_MAX - 2..BACK_MAX + 3 {
            let text = [b"abcdefgh", &vec![0; distance - 8][..], b"abcdefgh"].concat();
            let packed = pack(&text).expect("packs");
            assert_eq!(unpack(&packed, text.len()), Some(text), "{distance}");
        }
    }

    #[test]
    fn a_length_out_of_proportion_is_refused_before_it_is_allocated() {
        assert_eq!(unpack(&[0, b'a'], usize::MAX), None);
        assert_eq!(unpack(&[0, b'a'], 1 << 40), None);
        assert_eq!(unpack(&[], 0), None);
        let zeros = vec![0; 1 << 20];
        let packed = pack(&zeros).expect("packs");
        assert_eq!(unpack(&packed, zeros.len()), Some(zeros));
    }

    proptest! {
        #[test]
        fn there_and_back(bytes in prop::collection::vec(0u8..4, 0..20_000)) {
            if let Some(packed) = pack(&bytes) {
                prop_assert_eq!(unpack(&packed, bytes.len()), Some(bytes));
            }
        }

        #[test]
        fn packed_bytes_of_any_kind_do_no_harm(packed in prop::collection::vec(any::<u8>(), 0..200), len in 0usize..20_000) {
            let bytes = unpack(&packed, len);
            prop_assert!(bytes.is_none_or(|bytes| bytes.len() == len));
        }
    }
}
