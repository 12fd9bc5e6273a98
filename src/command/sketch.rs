//! The sketch of a HyperLogLog: how many different elements a string of at most 12 KiB has seen, within 0.81%.
//!
//! An element's hash picks one of 16384 registers; the register keeps the longest run of zeros that the rest of a hash
//! began with. The bytes are Redis' own, so that DUMP, digests and mixed replication agree:
//!
//! ```text
//! HYLL | encoding (0 dense, 1 sparse) | 3 x 0 | cardinality, 8 bytes, little-endian; its top bit: not known | registers
//! dense    six bits a register, the lowest first
//! sparse   00nnnnnn            n+1 registers of zero
//!          01nnnnnn nnnnnnnn   n+1 registers of zero
//!          1vvvvvnn            n+1 registers of v+1
//! ```
//!
//! Bytes come from clients: every walk may end in [`Corrupt`]. The estimate is Otmar Ertl's (arXiv:1702.01284).

const MAGIC: &[u8; 4] = b"HYLL";
const HEADER: usize = 16;
const DENSE: u8 = 0;
const SPARSE: u8 = 1;
const INDEX_BITS: u32 = 14;
pub const REGISTERS: usize = 1 << INDEX_BITS;
/// Bits of the hash in which zeros are counted.
const RUN_BITS: u32 = 64 - INDEX_BITS;
const DENSE_BYTES: usize = HEADER + REGISTERS * 6 / 8;
/// The largest register that the sparse form can hold.
const SPARSE_VALUE_MAX: u8 = 32;
const RUN_MAX: usize = 4;
const ZEROS_MAX: usize = 64;
const SEED: u64 = 0xadc8_3b19;

/// The bytes have a sketch's header, but not its registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupt;

/// All registers, a byte each.
pub struct Registers(Box<[u8; REGISTERS]>);

/// Whether bytes look like a sketch; what is behind the header of a sparse one is looked at when it is used.
pub fn is_sketch(bytes: &[u8]) -> bool {
    bytes.len() >= HEADER
        && bytes.starts_with(MAGIC)
        && match bytes[4] {
            DENSE => bytes.len() == DENSE_BYTES,
            encoding => encoding == SPARSE,
        }
}

/// Whether a sketch is in its dense form.
pub fn is_dense(bytes: &[u8]) -> bool {
    bytes[4] == DENSE
}

/// A sketch that has seen nothing.
pub fn empty() -> Vec<u8> {
    let mut bytes = vec![0; HEADER];
    bytes[..4].copy_from_slice(MAGIC);
    bytes[4] = SPARSE;
    Op::Zeros(REGISTERS).push(&mut bytes);
    bytes
}

/// The register that an element belongs to, and the value that it calls for.
pub fn place(element: &[u8]) -> (usize, u8) {
    let hash = murmur(element);
    let run = (hash >> INDEX_BITS | 1 << RUN_BITS).trailing_zeros() + 1;
    (hash as usize % REGISTERS, run as u8)
}

/// `MurmurHash64A`, the words read in little-endian order.
fn murmur(bytes: &[u8]) -> u64 {
    const M: u64 = 0xc6a4_a793_5bd1_e995;
    const R: u32 = 47;
    let mut hash = SEED ^ (bytes.len() as u64).wrapping_mul(M);
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        let mut word = u64::from_le_bytes(*word).wrapping_mul(M);
        word ^= word >> R;
        hash = (hash ^ word.wrapping_mul(M)).wrapping_mul(M);
    }
    if !rest.is_empty() {
        let mut word = [0; 8];
        word[..rest.len()].copy_from_slice(rest);
        hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(M);
    }
    hash ^= hash >> R;
    hash = hash.wrapping_mul(M);
    hash ^ hash >> R
}

/// The cardinality that was counted last, while no register has changed since.
pub fn cached(bytes: &[u8]) -> Option<u64> {
    let word = u64::from_le_bytes(bytes[8..HEADER].try_into().expect("eight bytes"));
    (word >> 63 == 0).then_some(word)
}

/// Notes the cardinality.
pub fn cache(bytes: &mut [u8], cardinality: u64) {
    bytes[8..HEADER].copy_from_slice(&cardinality.to_le_bytes());
}

/// The cardinality is not known any more.
pub fn forget(bytes: &mut [u8]) {
    bytes[HEADER - 1] |= 0x80;
}

/// One instruction of the sparse form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// So many registers of zero, in the short form where that does.
    Zeros(usize),
    /// The long form.
    ManyZeros(usize),
    /// A value, and how many registers have it.
    Run(u8, usize),
}

impl Op {
    /// The one at `at`; a long form without its second byte ends in a zero, as Redis' strings do.
    fn read(bytes: &[u8], at: usize) -> Op {
        match bytes[at] {
            first @ 0x80.. => Op::Run((first >> 2 & 0x1f) + 1, usize::from(first & 3) + 1),
            first @ 0x40.. => {
                let second = bytes.get(at + 1).copied().unwrap_or(0);
                Op::ManyZeros((usize::from(first & 0x3f) << 8 | usize::from(second)) + 1)
            }
            first => Op::Zeros(usize::from(first) + 1),
        }
    }

    /// Registers that it stands for.
    fn span(self) -> usize {
        match self {
            Op::Zeros(len) | Op::ManyZeros(len) | Op::Run(_, len) => len,
        }
    }

    /// Bytes of it.
    fn len(self) -> usize {
        if matches!(self, Op::ManyZeros(_)) { 2 } else { 1 }
    }

    fn push(self, to: &mut Vec<u8>) {
        match self {
            Op::Run(value, len) => to.push(0x80 | (value - 1) << 2 | (len - 1) as u8),
            Op::Zeros(len) if len <= ZEROS_MAX => to.push((len - 1) as u8),
            Op::Zeros(len) | Op::ManyZeros(len) => {
                to.extend_from_slice(&[0x40 | ((len - 1) >> 8) as u8, (len - 1) as u8]);
            }
        }
    }
}

/// The instructions of a sparse sketch.
pub fn ops(bytes: &[u8]) -> impl Iterator<Item = Op> {
    let mut at = HEADER;
    std::iter::from_fn(move || {
        let op = (at < bytes.len()).then(|| Op::read(bytes, at))?;
        at += op.len();
        Some(op)
    })
}

fn dense_register(bytes: &[u8], index: usize) -> u8 {
    let (at, shift) = (HEADER + index * 6 / 8, index * 6 % 8);
    let high = bytes.get(at + 1).copied().unwrap_or(0);
    (u16::from_le_bytes([bytes[at], high]) >> shift) as u8 & 63
}

fn set_dense_register(bytes: &mut [u8], index: usize, value: u8) {
    let (at, shift) = (HEADER + index * 6 / 8, index * 6 % 8);
    let bits = u16::from(value) << shift;
    let mask = 63_u16 << shift;
    bytes[at] = bytes[at] & !(mask as u8) | bits as u8;
    if shift > 2 {
        bytes[at + 1] = bytes[at + 1] & !((mask >> 8) as u8) | (bits >> 8) as u8;
    }
}

/// Raises a register of a dense sketch; whether it was lower.
pub fn raise_dense(bytes: &mut [u8], (index, value): (usize, u8)) -> bool {
    let lower = dense_register(bytes, index) < value;
    if lower {
        set_dense_register(bytes, index, value);
    }
    lower
}

/// The register of a sketch.
///
/// # Errors
/// It is corrupt, and the register is not there.
pub fn register(bytes: &[u8], index: usize) -> Result<u8, Corrupt> {
    if is_dense(bytes) {
        return Ok(dense_register(bytes, index));
    }
    let mut behind = 0;
    for op in ops(bytes) {
        behind += op.span();
        if index < behind {
            return Ok(if let Op::Run(value, _) = op { value } else { 0 });
        }
    }
    Err(Corrupt)
}

/// Raises a register; whether it was lower. A sparse sketch becomes a dense one where it would be longer than
/// `sparse_max` bytes or can't hold the value.
///
/// # Errors
/// The sketch is corrupt.
pub fn raise(bytes: &mut Vec<u8>, (index, value): (usize, u8), sparse_max: usize) -> Result<bool, Corrupt> {
    if is_dense(bytes) {
        return Ok(raise_dense(bytes, (index, value)));
    }
    if value > SPARSE_VALUE_MAX {
        make_dense(bytes)?;
        return Ok(raise_dense(bytes, (index, value)));
    }
    // The instruction with this register, the one before it, and the first register that it stands for.
    let (mut at, mut before, mut first) = (HEADER, HEADER, 0);
    let op = loop {
        if at >= bytes.len() {
            return Err(Corrupt);
        }
        let op = Op::read(bytes, at);
        if index < first + op.span() {
            break op;
        }
        (before, at, first) = (at, at + op.len(), first + op.span());
    };
    if at + op.len() > bytes.len() {
        return Err(Corrupt);
    }
    if matches!(op, Op::Run(held, _) if held >= value) {
        return Ok(false);
    }
    let mut new = Vec::with_capacity(5);
    let part = |len: usize| match op {
        Op::Run(held, _) => Op::Run(held, len),
        _ => Op::Zeros(len),
    };
    let (head, tail) = (index - first, first + op.span() - 1 - index);
    if head > 0 {
        part(head).push(&mut new);
    }
    Op::Run(value, 1).push(&mut new);
    if tail > 0 {
        part(tail).push(&mut new);
    }
    let len = bytes.len() - op.len() + new.len();
    if new.len() > op.len() && len > sparse_max {
        make_dense(bytes)?;
        return Ok(raise_dense(bytes, (index, value)));
    }
    bytes.splice(at..at + op.len(), new);
    merge(bytes, before);
    forget(bytes);
    Ok(true)
}

/// Joins equal neighbours from `at` on: of five instructions, as Redis does.
fn merge(bytes: &mut Vec<u8>, mut at: usize) {
    for _ in 0..5 {
        if at >= bytes.len() {
            break;
        }
        let op = Op::read(bytes, at);
        let next = (at + 1 < bytes.len()).then(|| Op::read(bytes, at + 1));
        match (op, next) {
            (Op::Run(value, len), Some(Op::Run(same, more))) if value == same && len + more <= RUN_MAX => {
                bytes.remove(at);
                bytes[at] = 0x80 | (value - 1) << 2 | (len + more - 1) as u8;
            }
            _ => at += op.len(),
        }
    }
}

/// Gives a sparse sketch its dense form; a dense one stays.
///
/// # Errors
/// It is corrupt, and as it was.
pub fn make_dense(bytes: &mut Vec<u8>) -> Result<(), Corrupt> {
    if is_dense(bytes) {
        return Ok(());
    }
    let mut dense = vec![0; DENSE_BYTES];
    dense[..HEADER].copy_from_slice(&bytes[..HEADER]);
    dense[4] = DENSE;
    each_run(bytes, |index, value| set_dense_register(&mut dense, index, value))?;
    *bytes = dense;
    Ok(())
}

/// Visits the registers of a sparse sketch that are not zero.
fn each_run(bytes: &[u8], mut visit: impl FnMut(usize, u8)) -> Result<(), Corrupt> {
    let mut index = 0;
    for op in ops(bytes) {
        let next = index + op.span();
        if let Op::Run(value, _) = op {
            if next > REGISTERS {
                break;
            }
            (index..next).for_each(|index| visit(index, value));
        }
        index = next;
    }
    if index == REGISTERS { Ok(()) } else { Err(Corrupt) }
}

/// Visits all registers of a dense sketch in order: four in each three bytes.
fn each_dense(bytes: &[u8], mut visit: impl FnMut(usize, u8)) {
    for (group, three) in bytes[HEADER..].as_chunks::<3>().0.iter().enumerate() {
        let word = u32::from_le_bytes([three[0], three[1], three[2], 0]);
        for place in 0..4 {
            visit(group * 4 + place, (word >> (6 * place)) as u8 & 63);
        }
    }
}

impl Registers {
    /// All zero.
    pub fn new() -> Registers {
        Registers(Box::new([0; REGISTERS]))
    }

    /// Raises each register to that of a sketch.
    ///
    /// # Errors
    /// The sketch is corrupt.
    pub fn merge(&mut self, bytes: &[u8]) -> Result<(), Corrupt> {
        let raise = |index: usize, value: u8| self.0[index] = self.0[index].max(value);
        match is_dense(bytes) {
            true => each_dense(bytes, raise),
            false => each_run(bytes, raise)?,
        }
        Ok(())
    }

    /// The registers in order.
    pub fn values(&self) -> &[u8; REGISTERS] {
        &self.0
    }

    /// The estimate of how many elements they have seen.
    pub fn count(&self) -> u64 {
        let mut histogram = [0; 64];
        self.0.iter().for_each(|&value| histogram[usize::from(value)] += 1);
        estimate(&histogram)
    }
}

/// The estimate of how many elements a sketch has seen.
///
/// # Errors
/// It is corrupt.
pub fn count(bytes: &[u8]) -> Result<u64, Corrupt> {
    let mut histogram = [0_u64; 64];
    match is_dense(bytes) {
        true => each_dense(bytes, |_, value| histogram[usize::from(value)] += 1),
        false => {
            for op in ops(bytes) {
                let value = if let Op::Run(value, _) = op { value } else { 0 };
                histogram[usize::from(value)] += op.span() as u64;
            }
            if histogram.iter().sum::<u64>() != REGISTERS as u64 {
                return Err(Corrupt);
            }
        }
    }
    Ok(estimate(&histogram))
}

/// By how many registers have which value.
fn estimate(histogram: &[u64; 64]) -> u64 {
    const HALF_BY_LN_2: f64 = 0.721_347_520_444_481_7;
    const M: f64 = REGISTERS as f64;
    let full = histogram[RUN_BITS as usize + 1] as f64;
    let mut z = M * tau((M - full) / M);
    for value in (1..=RUN_BITS as usize).rev() {
        z = (z + histogram[value] as f64) * 0.5;
    }
    z += M * sigma(histogram[0] as f64 / M);
    let estimate = (HALF_BY_LN_2 * M * M / z).round();
    // Of registers that no element can have made: what the conversion of C gives on the machines that Redis runs on.
    if estimate.is_finite() { estimate as u64 } else { 1 << 63 }
}

fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if before == z {
            return z;
        }
    }
}

fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if before == z {
            return z / 3.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_hold_the_same_registers() {
        let mut dice = crate::base::Dice(5);
        for sparse_max in [0, 100, 3000, 20_000] {
            let (mut bytes, mut registers) = (empty(), [0_u8; REGISTERS]);
            for round in 0..6000 {
                let index = dice.roll() as usize % if round % 3 == 0 { 40 } else { REGISTERS };
                let value = (dice.roll().trailing_zeros() + 1).min(51) as u8;
                let raised = raise(&mut bytes, (index, value), sparse_max).expect("sound");
                assert_eq!(raised, registers[index] < value);
                registers[index] = registers[index].max(value);
                assert_eq!(register(&bytes, index), Ok(registers[index]));
                assert!(is_dense(&bytes) || bytes.len() <= sparse_max.max(HEADER + 2));
            }
            let mut all = Registers::new();
            all.merge(&bytes).expect("sound");
            assert_eq!(all.values(), &registers);
            let counted = count(&bytes).expect("sound");
            assert_eq!(all.count(), counted);
            make_dense(&mut bytes).expect("sound");
            assert_eq!(count(&bytes), Ok(counted));
            assert!((0..REGISTERS).all(|index| dense_register(&bytes, index) == registers[index]));
        }
    }

    #[test]
    fn any_bytes_are_refused_or_read_but_never_harm() {
        let mut dice = crate::base::Dice(6);
        for _ in 0..3000 {
            let mut bytes = empty();
            for element in 0..dice.roll() % 50 {
                raise(&mut bytes, place(&element.to_le_bytes()), 3000).expect("sound");
            }
            for _ in 0..=dice.roll() % 3 {
                let at = HEADER + dice.roll() as usize % (bytes.len() - HEADER);
                match dice.roll() % 3 {
                    0 => bytes[at] = dice.roll() as u8,
                    1 => bytes.insert(at, dice.roll() as u8),
                    _ => drop(bytes.drain(at..)),
                }
                if bytes.len() == HEADER {
                    bytes.push(0x7f);
                }
            }
            let _ = (count(&bytes), Registers::new().merge(&bytes), register(&bytes, 16_000));
            for element in 0..30_u64 {
                let _ = raise(&mut bytes, place(&element.to_le_bytes()), 200);
            }
        }
    }

    #[test]
    fn the_estimate_is_near() {
        let mut bytes = empty();
        for number in 1..=20_000_u64 {
            raise(&mut bytes, place(&number.to_le_bytes()), 3000).expect("sound");
            if [10, 100, 1000, 10_000, 20_000].contains(&number) {
                let off = count(&bytes).expect("sound").abs_diff(number) as f64;
                assert!(off <= (number as f64 * 0.03).max(1.0), "{number} {off}");
            }
        }
    }
}
