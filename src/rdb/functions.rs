//! The payload of FUNCTION DUMP: the texts of libraries, the version, a checksum.

use super::code;
use super::cursor::Cursor;
use super::dump::{Checksum, open, seal};
use super::string;

/// The payload for these texts.
pub fn dump_functions<'t>(texts: impl Iterator<Item = &'t [u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    for text in texts {
        out.push(code::FUNCTION);
        string::write(&mut out, text, true);
    }
    seal(out)
}

/// The texts that a payload holds.
///
/// # Errors
/// What is wrong with it, in Redis' words.
pub fn restore_functions(payload: &[u8], checksum: Checksum) -> Result<Vec<Vec<u8>>, &'static str> {
    let body = open(payload, checksum).ok_or("DUMP payload version or checksum are wrong")?;
    let mut from = Cursor::new(body, 0);
    let mut texts = Vec::new();
    while from.at() < body.len() {
        match from.byte() {
            Ok(code::FUNCTION) => {}
            Ok(code::FUNCTION_PRE_RELEASE) => return Err("Pre-GA function format not supported"),
            Ok(_) => return Err("given type is not a function"),
            Err(_) => return Err("can not read data type"),
        }
        let text = from.string().map_err(|_| "failed loading the given functions payload")?;
        texts.push(text.into_owned());
    }
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let texts = [b"#!lua name=a\nx".to_vec(), vec![b'y'; 500]];
        let payload = dump_functions(texts.iter().map(Vec::as_slice));
        assert_eq!(restore_functions(&payload, Checksum::Check), Ok(texts.to_vec()));
        for cut in 0..payload.len() {
            assert!(restore_functions(&payload[..cut], Checksum::Check).is_err(), "cut at {cut}");
        }
        let value = crate::rdb::dump_string(b"no library");
        assert_eq!(restore_functions(&value, Checksum::Check), Err("given type is not a function"));
    }
}
