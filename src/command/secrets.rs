//! Which words of a request are secrets: passwords, their users, and rules of users. MONITOR, the slow log and our own
//! log show [`shown`] instead of what was sent.

use super::args::Args;
use super::spec::Spec;
use crate::config::Config;

/// What is shown in the place of a secret.
const REDACTED: &[u8] = b"(redacted)";

/// The words of a request, the command's name included, as they may be shown.
pub fn shown<'a>(spec: &Spec, args: &Args<'a>) -> Vec<&'a [u8]> {
    let mut words: Vec<&'a [u8]> = args.all().collect();
    let mut hide = |from: usize, count: usize| {
        words.iter_mut().skip(from).take(count).for_each(|word| *word = REDACTED);
    };
    let is = |index: usize, option: &str| args.at(index).eq_ignore_ascii_case(option.as_bytes());
    match (spec.parent, spec.name) {
        (None, "auth") => hide(1, usize::MAX),
        (Some("acl"), "setuser" | "getuser" | "deluser") => hide(2, usize::MAX),
        (Some("config"), "set") => {
            for name in (2..args.len()).step_by(2).filter(|&name| Config::is_secret(args.at(name))) {
                hide(name + 1, 1);
            }
        }
        // Their options may stand anywhere behind the words that every request has.
        (None, "hello") => (2..args.len()).filter(|&at| is(at, "AUTH")).for_each(|at| hide(at + 1, 2)),
        (None, "migrate") => {
            let keys = (6..args.len()).find(|&at| is(at, "KEYS") && !is(at - 1, "AUTH")).unwrap_or(args.len());
            (6..keys).filter(|&at| is(at, "AUTH")).for_each(|at| hide(at + 1, 1));
            (6..keys).filter(|&at| is(at, "AUTH2")).for_each(|at| hide(at + 1, 2));
        }
        _ => {}
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::OwnedArgs;
    use crate::command::spec::{Group, NONE, spec};

    fn shown_as(spec: &Spec, line: &str) -> String {
        let owned = OwnedArgs::of(line.split(' ').map(str::as_bytes));
        let words = shown(spec, &owned.args()).into_iter().map(String::from_utf8_lossy).collect::<Vec<_>>();
        words.join(" ").replace("(redacted)", "*")
    }

    #[test]
    fn secrets_are_hidden_and_nothing_else() {
        let row = |name| spec(name, 1, NONE, Group::Server, |_, _| Ok(()));
        let cases = [
            (row("auth"), "auth p", "auth *"),
            (row("auth"), "AUTH u p x", "AUTH * * *"),
            (row("hello"), "hello 3 setname x auth u p", "hello 3 setname x auth * *"),
            (row("hello"), "hello 3 AUTH u", "hello 3 AUTH *"),
            (row("setuser").sub_of("acl"), "acl setuser u >p on", "acl setuser * * *"),
            (
                row("set").sub_of("config"),
                "config set masterauth p port 1 requirepass",
                "config set masterauth * port 1 requirepass",
            ),
            (row("set").sub_of("config"), "config set RequirePass p", "config set RequirePass *"),
            (row("migrate"), "migrate h 1 k 0 5 copy auth p", "migrate h 1 k 0 5 copy auth *"),
            (row("migrate"), "migrate h 1 a 0 5 auth2 u p keys auth b", "migrate h 1 a 0 5 auth2 * * keys auth b"),
            (row("migrate"), "migrate h 1 a 0 5 auth keys keys a", "migrate h 1 a 0 5 auth * keys a"),
            (row("set"), "set auth p", "set auth p"),
        ];
        for (spec, line, wanted) in cases {
            assert_eq!(shown_as(&spec, line), wanted);
        }
    }
}
