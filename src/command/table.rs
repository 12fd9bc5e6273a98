//! The table of all commands: what COMMAND, the look-up and the tests loop over.

use super::args::Args;
use super::spec::Spec;
use super::stats::SpecKey;
use super::{Refusal, families};
use ahash::RandomState;
use hashbrown::HashMap;
use std::sync::LazyLock;

/// The longest command name that is looked up; longer ones are unknown.
const NAME_BYTES_MAX: usize = 32;

static BY_NAME: LazyLock<HashMap<&'static [u8], &'static Spec, RandomState>> =
    LazyLock::new(|| all().map(|spec| (spec.name.as_bytes(), spec)).collect());

/// All commands, family by family; subcommands stand in the `subs` of their container.
pub fn all() -> impl Iterator<Item = &'static Spec> {
    families::FAMILIES.iter().copied().flatten()
}

/// All commands, each with its subcommands behind it.
pub fn with_subs() -> impl Iterator<Item = &'static Spec> {
    all().flat_map(|spec| std::iter::once(spec).chain(spec.subs))
}

static NUMBERS: LazyLock<HashMap<SpecKey, usize, RandomState>> =
    LazyLock::new(|| with_subs().enumerate().map(|(number, spec)| (SpecKey(spec), number)).collect());

/// A command's or subcommand's place in [`with_subs`].
pub fn number(spec: &'static Spec) -> usize {
    NUMBERS[&SpecKey(spec)]
}

/// A command, or a subcommand as `container|sub`.
pub fn by_full_name(name: &[u8]) -> Option<&'static Spec> {
    let Some(bar) = name.iter().position(|byte| *byte == b'|') else { return by_name(name) };
    sub(by_name(&name[..bar])?, &name[bar + 1..])
}

/// The subcommand of a container.
pub fn sub(container: &'static Spec, name: &[u8]) -> Option<&'static Spec> {
    container.subs.iter().find(|spec| spec.name.as_bytes().eq_ignore_ascii_case(name))
}

/// The command of this name, whatever its case.
pub fn by_name(name: &[u8]) -> Option<&'static Spec> {
    let mut lower = [0; NAME_BYTES_MAX];
    let lower = lower.get_mut(..name.len())?;
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    BY_NAME.get(&*lower).copied()
}

/// As [`Names::find`](super::Names::find), by the commands' own names.
#[inline]
pub(super) fn find(guess: Option<&'static Spec>, args: &mut Args<'_>) -> Result<&'static Spec, Refusal> {
    let name = args.at(0);
    let guessed = guess.filter(|spec| spec.parent.is_none() && spec.name.as_bytes().eq_ignore_ascii_case(name));
    found(guessed.or_else(|| by_name(name)), args)
}

/// From a command to the row for a request.
#[inline]
pub(super) fn found(spec: Option<&'static Spec>, args: &mut Args<'_>) -> Result<&'static Spec, Refusal> {
    let Some(spec) = spec else { return Err(unknown(args)) };
    if spec.subs.is_empty() || args.len() < 2 {
        return Ok(spec);
    }
    let word = args.at(1);
    args.skip(1);
    sub(spec, word).ok_or_else(|| {
        let word = String::from_utf8_lossy(&word[..word.len().min(128)]).into_owned();
        let container = String::from_utf8_lossy(args.at(0)).to_uppercase();
        Refusal::err(format!("unknown subcommand '{word}'. Try {container} HELP."))
    })
}

fn unknown(args: &Args<'_>) -> Refusal {
    let shown = |word: &[u8]| String::from_utf8_lossy(&word[..word.len().min(128)]).into_owned();
    let mut beginning = String::new();
    for word in args.all().skip(1) {
        if beginning.len() >= 128 {
            break;
        }
        beginning += &format!("'{}' ", shown(&word[..word.len().min(128 - beginning.len())]));
    }
    Refusal::err(format!("unknown command '{}', with args beginning with: {beginning}", shown(args.at(0))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::spec::{READONLY, WRITE};

    #[test]
    fn names_are_lower_case_unique_and_short() {
        let mut names: Vec<_> = with_subs().map(Spec::full_name).collect();
        assert!(names.iter().all(|name| *name == name.to_lowercase()));
        assert!(all().all(|spec| spec.name.len() <= NAME_BYTES_MAX));
        names.sort();
        let total = names.len();
        names.dedup();
        assert_eq!(names.len(), total, "a name stands twice");
    }

    #[test]
    fn every_row_has_a_bit_in_the_selectors() {
        assert!(with_subs().all(|spec| number(spec) < crate::command::acl::COMMANDS_MAX));
        assert_eq!(by_full_name(b"CONFIG|set").map(Spec::full_name).as_deref(), Some("config|set"));
    }

    #[test]
    fn rows_are_whole() {
        for spec in with_subs() {
            let name = spec.full_name();
            assert!(spec.summary.ends_with('.'), "{name}: a summary is a sentence");
            assert!(!(spec.flags.has(WRITE) && spec.flags.has(READONLY)), "{name}: reads or writes");
            assert!(spec.arity != 0, "{name}: arity");
            for sub in spec.subs {
                assert_eq!(sub.parent, Some(spec.name), "{name}: {} names its container", sub.name);
            }
        }
    }

    #[test]
    fn look_ups_ignore_case_and_refuse_the_unknown() {
        assert_eq!(by_name(b"GeT").map(|spec| spec.name), Some("get"));
        assert!(by_name(&[b'a'; 100]).is_none());
        let words = [(0, 3), (3, 1), (4, 1)];
        let mut args = Args::new(crate::resp::Request::new(b"fooab", &words));
        let refusal = find(None, &mut args).err().expect("no such command");
        assert_eq!(refusal.text(), "ERR unknown command 'foo', with args beginning with: 'a' 'b' ");
    }
}
