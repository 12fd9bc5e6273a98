//! The one way by which a command is executed: gate, handler, reply or refusal, effects, counters.

use super::args::{Args, OwnedArgs};
use super::client::{Replies, Slot};
use super::gate;
use super::spec::{Group, Spec};
use super::stats::SpecKey;
use super::{Cx, Origin, Refusal, Server};
use crate::resp::Writer;

impl Server {
    /// Executes or queues one request of a client and leaves the reply in its buffer. `args` starts with the name.
    pub fn request(&mut self, slot: Slot, mut args: Args<'_>) {
        let Some(client) = self.clients.get_mut(slot) else { return };
        let spec = self.names.find(client.last, &mut args);
        let (db, proto) = (client.db, client.proto);
        let out = std::mem::take(&mut client.out);
        let mut cx = Cx::new(self, slot, db, proto, out, Origin::Client);
        cx.perform(spec, &mut args);
        cx.finish();
        if !self.scripting.runs() {
            self.serve_awaited();
        }
    }

    /// Applies one command of the stream (a master's, or the log's) as `slot`, which has no connection. Nothing is
    /// fed on from here: the caller relays the bytes. The error text, should the command be refused: a bug, or a
    /// master that knows more than this node.
    pub fn apply(&mut self, slot: Slot, mut args: Args<'_>, origin: Origin) -> Result<(), String> {
        let client = self.clients.get_mut(slot).expect("the stream's own client");
        let (db, proto) = (client.db, client.proto);
        let spec = self.names.find_in_stream(client.last, &mut args).map_err(|refusal| refusal.text().into_owned())?;
        let out = std::mem::take(&mut client.out);
        let mut cx = Cx::new(self, slot, db, proto, out, origin);
        let result = cx.apply(spec, &mut args);
        cx.finish();
        result
    }
}

impl Cx<'_> {
    fn perform(&mut self, spec: Result<&'static Spec, Refusal>, args: &mut Args<'_>) {
        let found = spec.as_ref().ok().copied();
        let outcome = spec.and_then(|spec| {
            self.spec = spec;
            self.client().last = Some(spec);
            gate::check(self, spec, args).inspect_err(|_| self.server.stats.of(spec).rejected += 1)?;
            Ok(spec)
        });
        if self.server.trackers.active {
            self.begin_tracked();
        }
        let before = self.out.len();
        match outcome {
            Err(refusal) => {
                let refusal = self.break_transaction(found, refusal);
                self.refuse(before, refusal);
            }
            Ok(spec) if gate::pauses(self, spec, args) => {
                let (request, number) = (OwnedArgs::copy(args), self.server.next_paused());
                self.block(super::Blocked::Paused { request, number });
            }
            Ok(spec) if gate::queues(self, spec) => {
                let (queued, flags) = (OwnedArgs::copy(args), gate::effective(self.server, spec, args));
                self.client().multi.as_mut().expect("queues() saw it").push(spec, queued, flags);
                self.reply().simple("QUEUED");
            }
            Ok(spec) => self.run(spec, args),
        }
        self.mute(before);
        if self.server.trackers.active {
            self.end_tracked();
        }
    }

    fn apply(&mut self, spec: &'static Spec, args: &mut Args<'_>) -> Result<(), String> {
        self.client().last = Some(spec);
        if !spec.fits(args.len()) {
            return Err(Refusal::Arity(spec.full_name()).text().into_owned());
        }
        if gate::queues(self, spec) {
            let queued = OwnedArgs::copy(args);
            self.client().multi.as_mut().expect("queues() saw it").push(spec, queued, spec.flags);
            return Ok(());
        }
        self.spec = spec;
        (spec.run)(self, args).map_err(|refusal| refusal.text().into_owned())
    }

    /// Runs a handler, times it, and turns its refusal into an error reply. EXEC runs the queue through here too.
    pub(super) fn run(&mut self, spec: &'static Spec, args: &mut Args<'_>) {
        let before = self.out.len();
        self.spec = spec;
        let began = self.server.last_tick;
        if spec.group == Group::Scripting && !self.server.monitors.is_empty() {
            self.tell_monitors(spec, args);
        }
        self.server.depth += 1;
        let outcome = (spec.run)(self, args);
        self.server.depth -= 1;
        self.observe(spec, args, began, outcome.is_err());
        if self.server.trackers.active {
            self.remember(spec, args);
        }
        if let Err(refusal) = outcome {
            self.refuse(before, refusal);
        }
    }

    /// Replaces what was written since `before` by an error.
    fn refuse(&mut self, before: usize, refusal: Refusal) {
        self.out.truncate(before);
        self.server.stats.error(refusal.code());
        Writer::new(&mut self.out, self.proto).error(&refusal.text());
    }

    /// A refusal while queuing makes EXEC abort; where EXEC itself is refused, the transaction ends with it.
    fn break_transaction(&mut self, spec: Option<&'static Spec>, refusal: Refusal) -> Refusal {
        if spec.is_none_or(|spec| spec.name != "exec") {
            if let Some(multi) = &mut self.client().multi {
                multi.broken = true;
            }
            return refusal;
        }
        self.client().multi = None;
        let slot = self.slot;
        self.server.unwatch(slot);
        let text = refusal.text();
        let why = text.strip_prefix("ERR ").unwrap_or(&text);
        Refusal::Text(format!("EXECABORT Transaction discarded because of: {why}").into())
    }

    /// CLIENT REPLY OFF and SKIP.
    fn mute(&mut self, before: usize) {
        let client = self.client();
        let muted = match client.replies {
            Replies::On => return,
            Replies::Off => true,
            Replies::SkipNext => {
                client.replies = Replies::Skip;
                true
            }
            Replies::Skip => {
                client.replies = Replies::On;
                true
            }
        };
        if muted {
            self.out.truncate(before);
        }
    }
}

impl super::stats::Stats {
    /// The row of a command.
    pub fn of(&mut self, spec: &'static Spec) -> &mut super::stats::CommandStat {
        self.by_command.entry(SpecKey(spec)).or_default()
    }
}
