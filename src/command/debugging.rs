//! EVAL of a client that debugs its scripts.
//!
//! A session is one command, as any script: its effects are one unit, which is in the log before the client gets the reply.
//! What the debugger shows on the way is of a unit that is still open; a crash undoes it all.

use super::args::Args;
use super::client::Closing;
use super::running::Called;
use super::{Cx, Refusal};
use crate::script::{debugger, script_head};
use std::rc::Rc;

impl Cx<'_> {
    /// Whether the client waits for replies that it has not been sent: what a session sends would overtake them.
    pub fn has_pending_replies(&mut self) -> bool {
        self.server.in_exec || !self.out.is_empty() || self.client().has_output()
    }

    /// Runs a script in a session, which ends with the connection. `keys`: how many there are, or what is wrong with that.
    pub fn debug_script(&mut self, keys: Result<usize, Refusal>, args: &Args<'_>, ro: bool) -> Result<(), Refusal> {
        if self.has_pending_replies() {
            return Err(Refusal::err("A script can't be debugged inside a pipeline or MULTI"));
        }
        tracing::info!("Synchronous debugging eval session started");
        let text = args.at(1);
        let vm = debugger::debugging(text).map(Rc::new);
        let vm = vm.map_err(|error| Refusal::err(format!("Lua can't be started: {error}")))?;
        let result = keys.and_then(|keys| {
            let script = self.server.scripting.define(text, false)?;
            let (_, code) = script_head(text).map_err(Refusal::err)?;
            let place = vm.compile(code).map_err(Refusal::err)?;
            self.run_script(&Called::Debugged(script, vm.clone(), place), keys, args, ro)
        });
        self.tell_at_once(&debugger::last_words(&vm));
        tracing::info!("Synchronous debugging eval session ended");
        let slot = self.slot;
        self.client().debugs = None;
        self.server.close(slot, Closing::AfterReplies);
        result
    }

    /// Sends bytes to the client without waiting for the turn's end.
    pub(super) fn tell_at_once(&mut self, bytes: &[u8]) {
        if let Some(bystanders) = self.server.scripting.bystanders.clone() {
            bystanders.tell(self.server, self.slot, bytes);
        }
    }
}
