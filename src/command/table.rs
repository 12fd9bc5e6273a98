//! The table of all commands: what COMMAND, the look-up and the tests loop over.

use super::args::Args;
use super::spec::Spec;
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

/// The command of this name, whatever its case.
pub fn by_name(name: &[u8]) -> Option<&'static Spec> {
    let mut lower = [0; NAME_BYTES_MAX];
    let lower = lower.get_mut(..name.len())?;
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    BY_NAME.get(&*lower).copied()
}

/// A command, or a subcommand as `container|sub`.
pub fn by_full_name(name: &[u8]) -> Option<&'static Spec> {
    let Some(bar) = name.iter().position(|byte| *byte == b'|') else { return by_name(name) };
    let sub = &name[bar + 1..];
    by_name(&name[..bar])?.subs.iter().find(|spec| spec.name.as_bytes().eq_ignore_ascii_case(sub))
}

/// The row for a request, a container's subcommand included, and leaves `args` in front of the first argument.
/// `guess` is what this client asked last: the same name again needs no look-up.
pub fn find(guess: Option<&'static Spec>, args: &mut Args<'_>) -> Result<&'static Spec, Refusal> {
    let name = args.at(0);
    let guessed = guess.filter(|spec| spec.parent.is_none() && spec.name.as_bytes().eq_ignore_ascii_case(name));
    let Some(spec) = guessed.or_else(|| by_name(name)) else { return Err(unknown(args)) };
    if spec.subs.is_empty() || args.len() < 2 {
        return Ok(spec);
    }
    let sub = args.at(1);
    args.skip(1);
    let found = spec.subs.iter().find(|row| row.name.as_bytes().eq_ignore_ascii_case(sub));
    found.ok_or_else(|| {
        let sub = String::from_utf8_lossy(&sub[..sub.len().min(128)]).into_owned();
        Refusal::err(format!("unknown subcommand '{sub}'. Try {} HELP.", spec.name.to_uppercase()))
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

    fn with_subs() -> impl Iterator<Item = &'static Spec> {
        all().flat_map(|spec| std::iter::once(spec).chain(spec.subs))
    }

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
