//! Identities of 40 hexadecimal digits: of a replication history and of a process.

use serde::{Deserialize, Serialize};
use std::fmt;

const DIGITS: &[u8; 16] = b"0123456789abcdef";

macro_rules! hex_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name([u8; 20]);

        impl $name {
            /// All zeros: "none", printed as forty `0`.
            pub const NONE: $name = $name([0; 20]);

            /// The identity made of these random bytes (the caller has the luck, not this type).
            pub const fn from_random(bytes: [u8; 20]) -> Self {
                $name(bytes)
            }

            /// The twenty bytes, as they stand in records on disk.
            pub const fn bytes(&self) -> [u8; 20] {
                self.0
            }

            /// Reads forty hexadecimal digits; `None` for anything else.
            pub fn parse(text: &[u8]) -> Option<Self> {
                if text.len() != 40 {
                    return None;
                }
                let mut bytes = [0; 20];
                for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
                    let high = (pair[0] as char).to_digit(16)?;
                    let low = (pair[1] as char).to_digit(16)?;
                    *byte = (high * 16 + low) as u8;
                }
                Some($name(bytes))
            }

            /// The forty digits.
            pub fn hex(&self) -> [u8; 40] {
                let mut text = [0; 40];
                for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
                    pair[0] = DIGITS[usize::from(byte >> 4)];
                    pair[1] = DIGITS[usize::from(byte & 15)];
                }
                text
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let hex = self.hex();
                f.pad(std::str::from_utf8(&hex).expect("digits are ASCII"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

hex_id! {
    /// The identity of one replication history (`replid` in the Redis documentation): two nodes with the same id and
    /// offset hold the same keyspace.
    ReplId
}

hex_id! {
    /// The identity of one run of a process (`run_id` in INFO), or of a sentinel (`SENTINEL MYID`).
    RunId
}

hex_id! {
    /// The identity of one Raft group of sentinels, drawn at its founding. Orders, peer messages and hellos carry it, so
    /// that two groups founded by mistake can tell each other apart.
    GroupId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forty_digits_there_and_back() {
        let id = ReplId::from_random(std::array::from_fn(|i| (i * 13) as u8));
        assert_eq!(ReplId::parse(&id.hex()), Some(id));
        assert_eq!(id.to_string().len(), 40);
        assert_eq!(ReplId::NONE.to_string(), "0".repeat(40));
        assert_eq!(ReplId::parse(b"?"), None);
        assert_eq!(ReplId::parse(&[b'g'; 40]), None);
    }
}
