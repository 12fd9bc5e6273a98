//! The strings of the format: short numbers as numbers, the rest as it is or compressed.

use super::cursor::{Cursor, Read};
use super::lzf;
use crate::base::number::parse_i64;

/// Strings up to this length are tried as numbers, and are never compressed up to the second.
const NUMBER_BYTES_MAX: usize = 11;
const PLAIN_BYTES_MAX: usize = 20;

/// Reads the value of a key of type string.
pub(super) fn read(from: &mut Cursor<'_>) -> Read<Vec<u8>> {
    Ok(from.string()?.into_owned())
}

/// Writes a string, be it a key, a value or an auxiliary field.
pub(super) fn write(out: &mut Vec<u8>, bytes: &[u8], compress: bool) {
    if bytes.len() <= NUMBER_BYTES_MAX
        && let Some(value) = parse_i64(bytes)
        && let Ok(value) = i32::try_from(value)
    {
        return write_number(out, value);
    }
    if compress
        && bytes.len() > PLAIN_BYTES_MAX
        && let Some(packed) = lzf::pack(bytes)
    {
        out.push(0xc0 | 3);
        write_length(out, packed.len() as u64);
        write_length(out, bytes.len() as u64);
        return out.extend_from_slice(&packed);
    }
    write_length(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn write_number(out: &mut Vec<u8>, value: i32) {
    if let Ok(value) = i8::try_from(value) {
        out.push(0xc0);
        out.extend(value.to_le_bytes());
    } else if let Ok(value) = i16::try_from(value) {
        out.push(0xc0 | 1);
        out.extend(value.to_le_bytes());
    } else {
        out.push(0xc0 | 2);
        out.extend(value.to_le_bytes());
    }
}

/// Writes a length in its shortest form.
pub(super) fn write_length(out: &mut Vec<u8>, length: u64) {
    match length {
        0..0x40 => out.push(length as u8),
        0x40..0x4000 => out.extend((length as u16 | 0x4000).to_be_bytes()),
        0x4000..=0xffff_ffff => {
            out.push(0x80);
            out.extend((length as u32).to_be_bytes());
        }
        _ => {
            out.push(0x81);
            out.extend(length.to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_there_and_back() {
        let texts: [&[u8]; 17] = [
            b"",
            b"0",
            b"-128",
            b"127",
            b"128",
            b"-129",
            b"-32769",
            b"2147483647",
            b"2147483648",
            b"-2147483648",
            b"007",
            b"-0",
            b"text",
            &[0xff; 63],
            &[b'x'; 64],
            &[b'y'; 16384],
            &[b'z'; 70_000],
        ];
        for compress in [false, true] {
            for text in texts {
                let mut out = Vec::new();
                write(&mut out, text, compress);
                let mut from = Cursor::new(&out, 0);
                assert_eq!(read(&mut from).expect("whole"), text);
                assert_eq!(from.at(), out.len());
                assert!(out.len() <= text.len() + 5);
            }
        }
        let mut out = Vec::new();
        write(&mut out, b"127", false);
        write(&mut out, b"32767", false);
        write(&mut out, b"2147483647", false);
        assert_eq!(out, [0xc0, 127, 0xc1, 0xff, 0x7f, 0xc2, 0xff, 0xff, 0xff, 0x7f]);
    }

    #[test]
    fn every_form_of_length() {
        for length in [0, 63, 64, 16383, 16384, 0xffff_ffff, 0x1_0000_0000, u64::MAX] {
            let mut out = Vec::new();
            write_length(&mut out, length);
            assert_eq!(Cursor::new(&out, 0).length().expect("whole"), length);
        }
    }
}
