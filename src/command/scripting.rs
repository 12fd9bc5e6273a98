//! Scripts and functions of a node: what is cached and loaded, and what others may do to the one that runs.

use super::args::{Args, OwnedArgs};
use super::client::Slot;
use super::running::Running;
use super::spec::{Group, Spec};
use super::{Refusal, Server};
use crate::rdb::{self, Checksum};
use crate::resp::{Proto, Request};
use crate::script::{self, Denied, Flags, Host, Libraries, Library, Place, Verdict, Vm};
use ahash::RandomState;
use hashbrown::HashMap;
use std::cell::Cell;
use std::rc::Rc;

/// How long a library may take to be loaded, microseconds.
const LOAD_US_MAX: u64 = 500_000;

/// Scripts that came by EVAL are forgotten from so many on, the least recently used first, so that texts with values in
/// them do not fill the memory. As in Valkey 8 and Redis 7.4; 7.2 keeps them all. What SCRIPT LOAD was given stays.
const EVAL_SCRIPTS_MAX: usize = 500;

/// What the runtime does for others while a script runs that takes too long.
pub trait Bystanders {
    /// Hears all clients but the one whose script it is.
    fn hear(&self, server: &mut Server, running: Slot);

    /// Sends bytes to a client at once; what cannot be sent for long is given up, and with it the connection.
    fn tell(&self, server: &mut Server, slot: Slot, bytes: &[u8]);

    /// Waits a moment for a client's bytes: how many have come; `None` when it has left.
    fn wait_for(&self, server: &mut Server, slot: Slot, heard: &mut Vec<u8>) -> Option<usize>;
}

/// All of a node's scripting.
#[derive(Default)]
pub struct Scripting {
    /// The machine of scripts, and the one of functions; made when they are first needed.
    pub(super) eval: Option<Rc<Vm>>,
    pub(super) functions: Option<Rc<Vm>>,
    by_sha: HashMap<Box<[u8]>, Rc<Script>, RandomState>,
    /// The same by their text, which is found faster than it is hashed.
    by_text: HashMap<Rc<[u8]>, Rc<Script>, RandomState>,
    /// Those of them that came by EVAL alone.
    passing: Vec<Rc<Script>>,
    /// Those that were forgotten.
    pub evicted: u64,
    /// Counts uses.
    uses: Cell<u64>,
    pub libraries: Libraries,
    /// The script that runs now.
    pub running: Option<Running>,
    /// `redis.set_repl(redis.REPL_NONE)`: what is changed goes to no log and no replica.
    pub unfed: bool,
    /// Set by the runtime.
    pub bystanders: Option<Rc<dyn Bystanders>>,
}

/// A script that was compiled.
pub struct Script {
    /// 40 hexadecimal digits.
    pub sha: Rc<str>,
    pub text: Rc<[u8]>,
    pub(super) place: Place,
    /// `None` without a `#!` line: then the script may do what each of its commands may.
    pub(super) flags: Option<Flags>,
    /// The number of its last use.
    used: Cell<u64>,
}

impl Scripting {
    /// Whether a script runs.
    #[inline]
    pub fn runs(&self) -> bool {
        self.running.is_some()
    }

    /// Something unasked is written for a client.
    #[inline]
    pub(super) fn tells(&mut self, slot: Slot) {
        if let Some(running) = &mut self.running {
            running.told.insert(slot);
        }
    }

    /// The refusal of other commands while a script takes too long.
    #[inline]
    pub fn busy(&self) -> Option<Refusal> {
        let running = self.running.as_ref()?;
        running.busy.is_some().then(|| Refusal::Text(running.busy_text().into()))
    }

    /// The same, for a command that only concerns scripts of one kind.
    pub fn busy_with_eval(&self) -> Option<Refusal> {
        let running = self.running.as_ref().filter(|running| running.is_eval)?;
        Some(Refusal::Text(running.busy_text().into()))
    }

    /// How many scripts are cached, and the bytes of their texts.
    pub fn cached(&self) -> (usize, usize) {
        let bytes = self.by_sha.values().map(|script| script.text.len() + size_of::<Script>() + 2 * 40);
        (self.by_sha.len(), bytes.sum())
    }

    /// Bytes that the two machines have in use: scripts, functions.
    pub fn machines(&self) -> (usize, usize) {
        let of = |vm: &Option<Rc<Vm>>| vm.as_ref().map_or(0, |vm| vm.used_memory());
        (of(&self.eval), of(&self.functions))
    }

    pub fn has_script(&self, sha: &[u8]) -> bool {
        self.by_sha.contains_key(&*sha.to_ascii_lowercase())
    }

    /// SCRIPT FLUSH: the machine goes with its scripts.
    pub fn flush_scripts(&mut self) {
        self.by_sha.clear();
        self.by_text.clear();
        self.passing.clear();
        self.eval = None;
    }

    /// FUNCTION FLUSH.
    pub fn flush_functions(&mut self) {
        self.libraries = Libraries::default();
        self.functions = None;
    }

    /// FUNCTION DELETE; whether there was one of this name.
    pub fn remove_library(&mut self, name: &str) -> bool {
        let Some(library) = self.libraries.remove(name) else { return false };
        if let Some(vm) = &self.functions {
            library.functions.iter().for_each(|function| vm.forget(function.place));
        }
        true
    }

    fn machine(of: &mut Option<Rc<Vm>>) -> Result<Rc<Vm>, Refusal> {
        if let Some(vm) = of {
            return Ok(vm.clone());
        }
        let vm = Vm::new().map_err(|error| Refusal::err(format!("Lua can't be started: {error}")))?;
        Ok(of.insert(Rc::new(vm)).clone())
    }

    /// The script of this text, compiled and cached if it is new; `given` by SCRIPT LOAD.
    pub fn define(&mut self, text: &[u8], given: bool) -> Result<Rc<Script>, Refusal> {
        if let Some(script) = self.by_text.get(text) {
            self.note_use(script);
            let script = script.clone();
            if given {
                self.passing.retain(|other| !Rc::ptr_eq(other, &script));
            }
            return Ok(script);
        }
        let (flags, code) = script::script_head(text).map_err(Refusal::err)?;
        let compiled = Self::machine(&mut self.eval)?.compile(code);
        let place = compiled.map_err(|why| Refusal::err(format!("Error compiling script (new function): {why}")))?;
        let sha = script::sha1_hex(text);
        let text: Rc<[u8]> = text.into();
        let name = std::str::from_utf8(&sha).expect("hexadecimal digits").into();
        let script = Rc::new(Script { sha: name, text: text.clone(), place, flags, used: Cell::default() });
        self.note_use(&script);
        if !given {
            if self.passing.len() >= EVAL_SCRIPTS_MAX {
                self.forget_oldest();
            }
            self.passing.push(script.clone());
        }
        self.by_sha.insert(Box::new(sha), script.clone());
        self.by_text.insert(text, script.clone());
        Ok(script)
    }

    /// Looks at all that passes: that takes no longer than the new one took to be compiled.
    fn forget_oldest(&mut self) {
        let used = |&at: &usize| self.passing[at].used.get();
        let Some(at) = (0..self.passing.len()).min_by_key(used) else { return };
        let oldest = self.passing.swap_remove(at);
        self.by_sha.remove(oldest.sha.as_bytes());
        self.by_text.remove(&oldest.text);
        if let Some(vm) = &self.eval {
            vm.forget(oldest.place);
        }
        self.evicted += 1;
    }

    /// The cached script of this digest.
    pub fn script(&self, sha: &[u8]) -> Option<Rc<Script>> {
        let script = self.by_sha.get(sha).or_else(|| self.by_sha.get(&*sha.to_ascii_lowercase()))?;
        self.note_use(script);
        Some(script.clone())
    }

    fn note_use(&self, script: &Script) {
        self.uses.set(self.uses.get() + 1);
        script.used.set(self.uses.get());
    }

    /// SCRIPT KILL, FUNCTION KILL: the script that runs is to end.
    pub fn kill(&mut self, eval: bool) -> Result<(), Refusal> {
        let text = |text: &'static str| Refusal::Text(text.into());
        let Some(running) = &mut self.running else {
            return Err(text("NOTBUSY No scripts in execution right now."));
        };
        if running.obeyed {
            return Err(text(
                "UNKILLABLE The busy script was sent by a master instance in the context of replication and cannot be \
                 killed.",
            ));
        }
        if running.wrote {
            return Err(text(
                "UNKILLABLE Sorry the script already executed write commands against the dataset. You can either wait \
                 the script termination or kill the server in a hard way using the SHUTDOWN NOSAVE command.",
            ));
        }
        if running.is_eval != eval {
            return Err(text(running.busy_text()));
        }
        running.killed = true;
        Ok(())
    }

    /// What runs, for FUNCTION STATS: its name, its request, since when.
    pub fn shown(&self) -> Option<(&str, Option<Args<'_>>, u64)> {
        let running = self.running.as_ref()?;
        Some((&running.name, running.busy.as_ref().map(OwnedArgs::args), running.began_us))
    }
}

impl Server {
    /// Whether nothing may stand in a client's buffer that comes from the unit of the script that runs.
    pub fn is_untold(&self, slot: Slot) -> bool {
        let told = self.scripting.running.as_ref().is_some_and(|running| running.told.contains(&slot));
        // What EXEC has done before the script is of the same unit.
        !told && (!self.in_exec || self.clients[slot].out.is_empty())
    }

    /// The flags that a script has declared, if this request runs one: the gate goes by them. A script that is broken is
    /// refused later.
    pub(super) fn declared_flags(&self, spec: &Spec, args: &Args<'_>) -> Option<Flags> {
        if spec.group != Group::Scripting || args.len() < 2 {
            return None;
        }
        let name = args.at(1);
        match spec.name {
            "eval" | "eval_ro" => match self.scripting.by_text.get(name) {
                Some(script) => script.flags,
                None => script::script_head(name).ok()?.0,
            },
            "evalsha" | "evalsha_ro" => self.scripting.script(name)?.flags,
            "fcall" | "fcall_ro" => Some(self.scripting.libraries.function(name)?.flags),
            _ => None,
        }
    }

    /// Loads a library from its text; its name.
    pub fn load_library(&mut self, text: &[u8], replace: bool, limited: bool) -> Result<String, String> {
        let mut libraries = std::mem::take(&mut self.scripting.libraries);
        let loaded = self.load_into(&mut libraries, text, replace, limited);
        self.scripting.libraries = libraries;
        loaded
    }

    fn load_into(
        &mut self,
        libraries: &mut Libraries,
        text: &[u8],
        replace: bool,
        limited: bool,
    ) -> Result<String, String> {
        let (name, code) = script::library_head(text)?;
        if libraries.get(&name).is_some() && !replace {
            return Err(format!("Library '{name}' already exists"));
        }
        let vm = Scripting::machine(&mut self.scripting.functions).map_err(|refusal| refusal.text().into_owned())?;
        let ticks = self.ticks;
        let mut loading = Loading { ticks, until_us: limited.then(|| ticks() + LOAD_US_MAX) };
        let functions = vm.load(&mut loading, code)?;
        if functions.is_empty() {
            return Err("No functions registered".to_string());
        }
        let places: Vec<Place> = functions.iter().map(|function| function.place).collect();
        let library = Library { code: text.to_vec(), functions };
        match libraries.put(name.clone(), library) {
            Ok(old) => {
                for function in old.into_iter().flat_map(|old| old.functions) {
                    vm.forget(function.place);
                }
                Ok(name)
            }
            Err(why) => {
                places.into_iter().for_each(|place| vm.forget(place));
                Err(why)
            }
        }
    }

    /// FUNCTION RESTORE: all of these libraries, or none.
    pub fn restore_libraries(&mut self, payload: &[u8], policy: Policy, limited: bool) -> Result<(), String> {
        let texts = rdb::restore_functions(payload, if limited { self.switches.checksum } else { Checksum::Skip })?;
        let mut libraries = match policy {
            Policy::Flush => Libraries::default(),
            Policy::Append | Policy::Replace => self.scripting.libraries.clone(),
        };
        let mut given = std::collections::BTreeSet::new();
        for text in &texts {
            let (name, _) = script::library_head(text)?;
            let twice = !given.insert(name.clone());
            if twice || (policy == Policy::Append && libraries.get(&name).is_some()) {
                return Err(format!("Library {name} already exists"));
            }
            libraries.remove(&name);
        }
        for text in &texts {
            self.load_into(&mut libraries, text, false, limited)?;
        }
        self.scripting.libraries = libraries;
        Ok(())
    }

    /// Takes the libraries of a full copy, or of a dump, in place of all others. One that can't be loaded is left out, and said.
    pub fn take_libraries(&mut self, texts: &[Vec<u8>]) {
        self.scripting.flush_functions();
        for text in texts {
            if let Err(why) = self.load_library(text, false, false) {
                tracing::warn!("A library of functions can't be loaded: {why}");
            }
        }
    }

    /// The payload of FUNCTION DUMP: also what a checkpoint keeps.
    pub fn dump_libraries(&self) -> Vec<u8> {
        rdb::dump_functions(self.library_texts())
    }

    /// The texts of all libraries, as a full copy holds them.
    pub fn library_texts(&self) -> impl Iterator<Item = &[u8]> {
        self.scripting.libraries.iter().map(|(_, library)| library.code.as_slice())
    }
}

/// FUNCTION RESTORE's policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    Flush,
    Append,
    Replace,
}

/// While a library is loaded, nothing can be called, and time is short.
struct Loading {
    ticks: fn() -> u64,
    until_us: Option<u64>,
}

impl Host for Loading {
    fn call(&mut self, _: Request<'_>, _: Proto, _: &mut Vec<u8>) -> Result<(), Denied> {
        Err(Denied::Other("ERR redis.call can only be called from a script".to_string()))
    }

    fn interrupt(&mut self) -> Verdict {
        match self.until_us {
            Some(until) if (self.ticks)() > until => Verdict::Stop("FUNCTION LOAD timeout"),
            _ => Verdict::GoOn,
        }
    }

    fn may(&mut self, _: Request<'_>) -> Option<bool> {
        None
    }

    fn replicate(&mut self, _: bool) {}
}

#[cfg(test)]
mod tests {
    use super::{EVAL_SCRIPTS_MAX, Scripting};

    #[test]
    fn scripts_of_eval_are_forgotten_and_given_ones_stay() {
        let mut scripting = Scripting::default();
        let sha = |scripting: &mut Scripting, text: &str, given| {
            let Ok(script) = scripting.define(text.as_bytes(), given) else { panic!("no script: {text}") };
            script.sha.as_bytes().to_vec()
        };
        let given = sha(&mut scripting, "return 'given'", true);
        let promoted = sha(&mut scripting, "return 'promoted'", false);
        sha(&mut scripting, "return 'promoted'", true);
        let all: Vec<_> = (0..EVAL_SCRIPTS_MAX).map(|n| sha(&mut scripting, &format!("return {n}"), false)).collect();
        assert_eq!((scripting.cached().0, scripting.evicted), (EVAL_SCRIPTS_MAX + 2, 0));
        assert!(scripting.script(&all[0]).is_some(), "by its digest, which is a use");
        sha(&mut scripting, "return 1", false); // by its text, which is one too
        sha(&mut scripting, "return 'new'", false);
        sha(&mut scripting, "return 'newer'", false);
        let gone: Vec<_> = (0..all.len()).filter(|&n| !scripting.has_script(&all[n])).collect();
        assert_eq!((gone, scripting.evicted), (vec![2, 3], 2));
        assert!(scripting.has_script(&given) && scripting.has_script(&promoted));
        assert_eq!(scripting.cached().0, EVAL_SCRIPTS_MAX + 2);
        scripting.flush_scripts();
        sha(&mut scripting, "return 1", false);
        assert_eq!(scripting.cached().0, 1);
    }
}
