//! How Lua reaches the command that runs it.
//!
//! Functions that Lua calls outlive every command, so they cannot hold the borrowed state of one. A scoped thread-local
//! lends it to them for as long as the script runs; a function that is called where no script runs (while a library is
//! loaded) finds nobody.

use super::table::Denied;
use crate::resp::{Proto, Request};
use scoped_tls_hkt::scoped_thread_local;

/// What a script asks of the server that runs it.
pub trait Host {
    /// Executes a command and appends its reply, an error reply of its handler included, to `reply`.
    ///
    /// # Errors
    /// Why a script may not call it.
    fn call(&mut self, words: Request<'_>, proto: Proto, reply: &mut Vec<u8>) -> Result<(), Denied>;

    /// Called now and then while a script runs, for as long as it runs.
    fn interrupt(&mut self) -> Verdict;

    /// Whether the user who runs the script may execute this; `None` where there is no such command.
    fn may(&mut self, words: Request<'_>) -> Option<bool>;

    /// Whether what the script changes from here on goes to the log and the replicas.
    fn replicate(&mut self, on: bool);

    /// Sends these bytes to the client of a session of the debugger.
    fn tell(&mut self, _bytes: &[u8]) {}

    /// Waits for that client.
    fn hear(&mut self, _heard: &mut Vec<u8>) -> Heard {
        Heard::Gone
    }
}

/// What has come of the wait for the debugger's client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Something came.
    Bytes,
    /// It has closed its connection.
    Gone,
    /// The script is to end, as with [`Verdict::Stop`].
    Stop(&'static str),
}

/// What becomes of a script that was interrupted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    GoOn,
    /// It goes on, but where it is debugged it has run for so long that its client is asked.
    Late,
    /// It ends with this error, whatever it does to catch it.
    Stop(&'static str),
}

scoped_thread_local!(static mut HOST: for<'a> &'a mut (dyn Host + 'a));

/// Runs `script` with this host.
pub fn lend<R>(host: &mut dyn Host, script: impl FnOnce() -> R) -> R {
    HOST.set(host, script)
}

/// Gives the host to `ask`; `None` where no script runs.
pub fn ask<R>(ask: impl FnOnce(&mut dyn Host) -> R) -> Option<R> {
    HOST.is_set().then(|| HOST.with(ask))
}
