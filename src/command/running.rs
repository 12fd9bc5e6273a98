//! A script that runs: what it may call, and who is heard meanwhile.
//!
//! A script is executed inside one command, on the thread that owns everything, so its effects are one unit of the
//! stream. What it calls goes through the same handlers with the same [`Cx`]; only the gate is another one
//! ([`gate::check_inner`]), with the words that scripts know. Nothing of the script itself is fed.

use super::args::{Args, OwnedArgs};
use super::client::{Debugs, Slot};
use super::scripting::Script;
use super::spec::{MAY_REPLICATE, Spec, WRITE};
use super::{Cx, Origin, Refusal, gate, table};
use crate::resp::{Proto, Request, Writer};
use crate::script::{Denied, Ended, Flags, Heard, Host, Loaded, Place, Verdict, Vm};
use ahash::RandomState;
use hashbrown::HashSet;
use std::rc::Rc;

/// The errors of what was ended. Redis 7.2 says SCRIPT KILL of functions too; Valkey names the command that did it.
const KILLED: &str = "Script killed by user with SCRIPT KILL...";
const FUNCTION_KILLED: &str = "Script killed by user with FUNCTION KILL...";

const NO_COPY: &str = "ERR A session of SCRIPT DEBUG YES can't write: there is no copy of the data for it. Use SCRIPT DEBUG \
                       SYNC, which writes to the data.";

/// How long a script runs in a session of the debugger until its client is asked, where no `busy-reply-threshold` is set.
const DEBUGGED_MS_MAX: u64 = 5000;

/// A script, or a function, that runs.
pub struct Running {
    pub name: Rc<str>,
    pub(super) slot: Slot,
    pub(super) is_eval: bool,
    /// It is the master's or the log's.
    pub(super) obeyed: bool,
    pub(super) began_us: u64,
    read_only: bool,
    allow_oom: bool,
    /// It has called a command that writes.
    pub(super) wrote: bool,
    pub(super) killed: bool,
    debugs: Option<Debugs>,
    /// The clients that it has said something to, by what it has published or changed.
    pub(super) told: HashSet<Slot, RandomState>,
    /// It has run for longer than `busy-reply-threshold`: the request, for FUNCTION STATS.
    pub(super) busy: Option<OwnedArgs>,
}

impl Running {
    /// What a client is told that asks for something else meanwhile.
    pub(super) fn busy_text(&self) -> &'static str {
        match self.is_eval {
            true => "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
            false => "BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.",
        }
    }

    /// The error that it ends with when it was killed.
    fn killed_by(&self) -> &'static str {
        if self.is_eval { KILLED } else { FUNCTION_KILLED }
    }
}

/// What EVAL, FCALL and their kin have in common.
pub enum Called {
    Script(Rc<Script>),
    Function(Rc<Loaded>),
    /// A script, in the machine of a session of the debugger, where its place is another one.
    Debugged(Rc<Script>, Rc<Vm>, Place),
}

impl Called {
    fn name(&self) -> &Rc<str> {
        match self {
            Called::Script(script) | Called::Debugged(script, ..) => &script.sha,
            Called::Function(function) => &function.name,
        }
    }

    /// `None`: it has not said.
    pub fn flags(&self) -> Option<Flags> {
        match self {
            Called::Script(script) | Called::Debugged(script, ..) => script.flags,
            Called::Function(function) => Some(function.flags),
        }
    }
}

impl Cx<'_> {
    /// Runs a script or a function on the rest of `args`: the number of keys, keys, arguments. `ro`: by a command that
    /// writes nothing.
    pub fn run_script(&mut self, called: &Called, keys: usize, args: &Args<'_>, ro: bool) -> Result<(), Refusal> {
        let flags = called.flags();
        gate::check_script(self, flags, ro)?;
        let is_eval = !matches!(called, Called::Function(_));
        let debugs = self.client().debugs.filter(|_| matches!(called, Called::Debugged(..)));
        let running = Running {
            name: called.name().clone(),
            slot: self.slot,
            is_eval,
            obeyed: self.obeys(),
            began_us: (self.server.ticks)(),
            read_only: ro || flags.is_some_and(|flags| flags.has(Flags::NO_WRITES)),
            allow_oom: flags.is_some_and(|flags| flags.has(Flags::ALLOW_OOM)),
            wrote: false,
            killed: false,
            debugs,
            told: HashSet::default(),
            // Nobody is kept waiting by a person who thinks.
            busy: debugs.map(|_| OwnedArgs::copy(args)),
        };
        let scripting = &mut self.server.scripting;
        let machine = match called {
            Called::Script(_) => scripting.eval.as_ref(),
            Called::Function(_) => scripting.functions.as_ref(),
            Called::Debugged(_, vm, _) => Some(vm),
        };
        let vm = machine.cloned().expect("what it was compiled in");
        scripting.running = Some(running);
        let (spec, db, proto) = (self.spec, self.db, self.proto);
        let mut buffer = vm.take_buffer();
        let mut writer = Writer::new(&mut buffer, proto);
        let name = called.name().clone();
        let mut inner = Inner { args: *args, last: None, cx: self };
        let (keys, rest) = (args.all().skip(3).take(keys), args.all().skip(3 + keys));
        let ended = match called {
            Called::Script(script) => vm.eval(&mut inner, (&name, script.place), keys, rest, &mut writer),
            Called::Debugged(_, _, place) => vm.eval(&mut inner, (&name, *place), keys, rest, &mut writer),
            Called::Function(function) => vm.call(&mut inner, (&name, function.place), keys, rest, &mut writer),
        };
        (self.spec, self.db) = (spec, db);
        let scripting = &mut self.server.scripting;
        scripting.running = None;
        scripting.unfed = false;
        let result = match ended {
            Ended { counted: Some(text), failed: true } => Err(Refusal::Text(text.into())),
            Ended { counted, failed } => {
                self.server.stats.of(spec).failed += u64::from(failed); // the error itself was counted where it arose
                if let Some(text) = counted {
                    self.server.stats.error(text.split(' ').next().unwrap_or("ERR").to_string());
                }
                self.out.extend_from_slice(&buffer);
                Ok(())
            }
        };
        vm.give_back(buffer);
        result
    }
}

/// The server, as the script of one command sees it.
struct Inner<'x, 'a, 'w> {
    cx: &'x mut Cx<'a>,
    /// The request that runs the script.
    args: Args<'w>,
    /// The command that was called last: the first guess of the next look-up.
    last: Option<&'static Spec>,
}

impl Inner<'_, '_, '_> {
    fn running(&mut self) -> &mut Running {
        self.cx.server.scripting.running.as_mut().expect("its script runs")
    }

    fn hear_others(&mut self) {
        let slot = self.running().slot;
        if let Some(bystanders) = self.cx.server.scripting.bystanders.clone() {
            bystanders.hear(self.cx.server, slot);
        }
    }

    fn check(&mut self, spec: &'static Spec, args: &Args<'_>) -> Result<(), Denied> {
        if !spec.fits(args.len()) {
            self.cx.server.stats.error("ERR".to_string());
            return Err(Denied::Arity);
        }
        let running = self.running();
        if running.debugs == Some(Debugs::WritesNothing) && (spec.flags.has(WRITE) || spec.flags.has(MAY_REPLICATE)) {
            return Err(Denied::Other(NO_COPY.to_string()));
        }
        let script = gate::Script { read_only: running.read_only, wrote: running.wrote, allow_oom: running.allow_oom };
        gate::check_inner(self.cx, spec, args, script).map_err(|refusal| {
            self.cx.server.stats.error(refusal.code());
            Denied::Other(refusal.text().into_owned())
        })
    }
}

impl Host for Inner<'_, '_, '_> {
    fn call(&mut self, words: Request<'_>, proto: Proto, reply: &mut Vec<u8>) -> Result<(), Denied> {
        let mut args = Args::new(words);
        let Ok(spec) = table::find(self.last, &mut args) else {
            self.cx.server.stats.error("ERR".to_string());
            return Err(Denied::Unknown);
        };
        self.last = Some(spec);
        if let Err(denied) = self.check(spec, &args) {
            self.cx.server.stats.of(spec).rejected += 1;
            return Err(denied);
        }
        self.running().wrote |= spec.flags.has(WRITE);
        let cx = &mut *self.cx;
        let outer = std::mem::replace(&mut cx.proto, proto);
        std::mem::swap(&mut cx.out, reply);
        cx.run(spec, &mut args);
        std::mem::swap(&mut cx.out, reply);
        cx.proto = outer;
        Ok(())
    }

    fn interrupt(&mut self) -> Verdict {
        if self.cx.origin == Origin::Log {
            return Verdict::GoOn;
        }
        let threshold_ms = self.cx.server.config.settings.busy_reply_threshold;
        let elapsed_ms = ((self.cx.server.ticks)() - self.running().began_us) / 1000;
        if self.running().busy.is_none() {
            if threshold_ms <= 0 || elapsed_ms < threshold_ms as u64 {
                return Verdict::GoOn;
            }
            let request = OwnedArgs::copy(&self.args);
            let running = self.running();
            running.busy = Some(request);
            tracing::warn!(
                "Slow script detected: still in execution after {elapsed_ms} milliseconds. You can try killing the \
                 script using the {} command. Script name is: {}.",
                if running.is_eval { "SCRIPT KILL" } else { "FUNCTION KILL" },
                running.name
            );
        }
        self.hear_others();
        let late_ms = if threshold_ms > 0 { threshold_ms as u64 } else { DEBUGGED_MS_MAX };
        match self.running() {
            running if running.killed => Verdict::Stop(running.killed_by()),
            running if running.debugs.is_some() && elapsed_ms >= late_ms => Verdict::Late,
            _ => Verdict::GoOn,
        }
    }

    fn may(&mut self, words: Request<'_>) -> Option<bool> {
        let mut args = Args::new(words);
        let spec = table::find(None, &mut args).ok()?;
        Some(gate::may(self.cx, spec, &args))
    }

    fn replicate(&mut self, on: bool) {
        self.cx.server.scripting.unfed = !on;
    }

    fn tell(&mut self, bytes: &[u8]) {
        self.cx.tell_at_once(bytes);
    }

    fn hear(&mut self, heard: &mut Vec<u8>) -> Heard {
        let slot = self.running().slot;
        let Some(bystanders) = self.cx.server.scripting.bystanders.clone() else { return Heard::Gone };
        loop {
            // First the others: one who sends without end, or does not read, is not to keep them from being heard.
            self.hear_others();
            if self.running().killed {
                return Heard::Stop(self.running().killed_by());
            }
            if self.cx.server.clients[slot].closing.is_some() {
                return Heard::Gone;
            }
            match bystanders.wait_for(self.cx.server, slot, heard) {
                None => return Heard::Gone,
                Some(0) => {}
                Some(_) => break,
            }
        }
        // Only the script's own time counts.
        self.running().began_us = (self.cx.server.ticks)();
        Heard::Bytes
    }
}
