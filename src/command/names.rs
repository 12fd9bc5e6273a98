//! The names by which clients call commands: the table's own, but for what `rename-command` says.
//!
//! Rules of users, errors and COMMAND use a command's own name in any case, and so does the stream: what a renamed
//! command feeds is read by nodes that know nothing of it, and by this one after a change of its configuration. (Redis
//! feeds some commands as they were typed, and its documentation warns of it.) So the stream is read by own names first.

use super::args::Args;
use super::spec::Spec;
use super::{Refusal, table};
use crate::config::{ConfigError, Statement};
use ahash::RandomState;
use hashbrown::HashMap;

/// See the module.
#[derive(Default)]
pub struct Names {
    /// All names in lower case, if any is not the table's.
    renamed: Option<HashMap<Vec<u8>, &'static Spec, RandomState>>,
}

impl Names {
    /// By the `rename-command` lines.
    ///
    /// # Errors
    /// The line that is wrong.
    pub fn of(renames: &[Statement]) -> Result<Names, ConfigError> {
        const EXPECTED: &str = "rename-command <command> <new name, or \"\" to take it away>";
        if renames.is_empty() {
            return Ok(Names::default());
        }
        let mut names: HashMap<Vec<u8>, &'static Spec, RandomState> =
            table::all().map(|spec| (spec.name.as_bytes().to_vec(), spec)).collect();
        for rename in renames {
            let [from, to] = [0, 1].map(|word| rename.words[word].to_ascii_lowercase().into_bytes());
            let spec =
                names.remove(&from).ok_or_else(|| rename.wrong("No such command in rename-command", EXPECTED))?;
            if !to.is_empty() && names.insert(to, spec).is_some() {
                return Err(rename.wrong("Target command name already exists", EXPECTED));
            }
        }
        Ok(Names { renamed: Some(names) })
    }

    /// Whether every command is called by its own name.
    pub fn are_own(&self) -> bool {
        self.renamed.is_none()
    }

    /// The command that is called so, in any case.
    pub fn command(&self, name: &[u8]) -> Option<&'static Spec> {
        match &self.renamed {
            None => table::by_name(name),
            Some(names) => names.get(&name.to_ascii_lowercase()).copied(),
        }
    }

    /// A command, or a subcommand as `container|sub`.
    pub fn full(&self, name: &[u8]) -> Option<&'static Spec> {
        let Some(bar) = name.iter().position(|byte| *byte == b'|') else { return self.command(name) };
        table::sub(self.command(&name[..bar])?, &name[bar + 1..])
    }

    /// All commands that can be called.
    pub fn all(&self) -> Vec<&'static Spec> {
        match &self.renamed {
            None => table::all().collect(),
            Some(names) => names.values().copied().collect(),
        }
    }

    /// The row for a request, a container's subcommand included, and leaves `args` in front of the first argument.
    /// `guess` is what this client asked last: the same name again needs no look-up.
    #[inline]
    pub fn find(&self, guess: Option<&'static Spec>, args: &mut Args<'_>) -> Result<&'static Spec, Refusal> {
        match self.renamed {
            None => table::find(guess, args),
            Some(_) => table::found(self.command(args.at(0)), args),
        }
    }

    /// The same for a command of the stream.
    pub(super) fn find_in_stream(
        &self,
        guess: Option<&'static Spec>,
        args: &mut Args<'_>,
    ) -> Result<&'static Spec, Refusal> {
        match table::by_name(args.at(0)) {
            None if !self.are_own() => self.find(None, args),
            _ => table::find(guess, args),
        }
    }
}
