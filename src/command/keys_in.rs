//! The keys of a request, and what it does with each: what COMMAND GETKEYS shows and what rules about keys are held
//! against.

use super::families::migrate;
use super::spec::{Access, KeySpec, Spec};
use super::{Args, Names, table};

/// A key of a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Found {
    /// Which word it is.
    pub index: usize,
    /// As COMMAND GETKEYSANDFLAGS prints them.
    pub flags: &'static [&'static str],
}

impl Found {
    /// The permissions that it takes.
    pub fn access(&self) -> Access {
        Access::of(self.flags)
    }
}

/// All keys of a request of `words` words; `word` gives one of them.
pub fn keys_in<'w>(spec: &'static Spec, words: usize, word: &dyn Fn(usize) -> &'w [u8]) -> Vec<Found> {
    if spec.name == "migrate" {
        let keys = migrate::key_range(words, word);
        return keys.map(|index| Found { index, flags: migrate::KEY_FLAGS }).collect();
    }
    if spec.keys.iter().any(|keys| keys.is_broken(words, word)) {
        return Vec::new();
    }
    let of = |keys: &'static KeySpec| {
        let flags = if keys.flags.contains(&"variable_flags") { flags(spec, words, word) } else { None };
        let flags = flags.unwrap_or(keys.flags);
        keys.indices(words, word).map(move |index| Found { index, flags })
    };
    spec.keys.iter().filter(|keys| keys.is_key()).flat_map(of).collect()
}

/// The command that a request asks for, or the subcommand if it names one.
pub fn requested(names: &Names, request: &Args<'_>) -> Option<&'static Spec> {
    let spec = names.command(request.at(0))?;
    if spec.subs.is_empty() || request.len() == 1 { Some(spec) } else { table::sub(spec, request.at(1)) }
}

const READS: &[&str] = &["RO", "access"];
const CHANGES: &[&str] = &["RW", "access", "update"];
const OVERWRITES: &[&str] = &["OW", "update"];

/// What a request does with its key where that depends on its options.
fn flags<'w>(spec: &Spec, words: usize, word: &dyn Fn(usize) -> &'w [u8]) -> Option<&'static [&'static str]> {
    let is = |at: usize, option: &str| word(at).eq_ignore_ascii_case(option.as_bytes());
    match spec.name {
        "set" => Some(if (3..words).any(|at| is(at, "GET")) { CHANGES } else { OVERWRITES }),
        "bitfield" => {
            let mut at = 2;
            while at < words {
                at += match words - at - 1 {
                    left if left >= 2 && is(at, "GET") => 3,
                    left if left >= 1 && is(at, "OVERFLOW") => 2,
                    _ => return Some(CHANGES),
                };
            }
            Some(READS)
        }
        _ => None,
    }
}
