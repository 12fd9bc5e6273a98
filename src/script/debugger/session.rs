//! Where the debugger meets Lua: a machine that is interrupted at every line, and what its client has it do there.

use super::{Debugger, Order, show};
use crate::base::limits::SCRIPT_HOOK_INSTRUCTIONS;
use crate::script::host::{self, Heard};
use crate::script::table::Table as Named;
use crate::script::vm::{PRELUDE_NAME, SCRIPT_NAME, State, Vm, compile, interrupt, libraries, message, stop};
use mlua::debug::{Debug, DebugEvent, HookTriggers};
use mlua::{Error, Function, Lua, LuaOptions, LuaString, MultiValue, Result, StdLib, Table, Value, VmState};
use std::cell::Cell;
use std::rc::Rc;

/// The name of what `eval` compiles.
const EVAL_NAME: &str = "@ldb_eval";

/// What is said of code that runs for long.
const TOO_LONG: &str = "timeout reached, infinite loop?";

/// Under which the machine keeps `debug.getlocal`, where no script reaches.
const GETLOCAL: &str = "getlocal";

/// A machine for one session on a script of this text. It alone has Lua's `debug` library, and keeps it to itself.
pub fn debugging(text: &[u8]) -> Result<Vm> {
    // SAFETY: what makes the library unsafe is what its functions can do to Lua from within a script. The prelude gives
    // scripts none of them, and `getlocal`, the one that is kept, only reads.
    let lua = unsafe { Lua::unsafe_new_with(libraries() | StdLib::DEBUG, LuaOptions::default()) };
    let getlocal: Function = lua.globals().get::<Table>("debug")?.get("getlocal")?;
    lua.set_named_registry_value(GETLOCAL, getlocal)?;
    let vm = Vm::on(lua)?;
    vm.state.debugger.replace(Some(Debugger::new(text)));
    vm.state.steps.set(true);
    let triggers = HookTriggers::new().every_line().every_nth_instruction(SCRIPT_HOOK_INSTRUCTIONS);
    let session = Session { state: vm.state.clone(), overdue: Cell::new(false) };
    vm.lua.set_global_hook(triggers, move |lua, at| session.interrupted(lua, at).map(|()| VmState::Continue))?;
    Ok(vm)
}

/// What the client is told when the script has ended.
pub fn last_words(vm: &Vm) -> Vec<u8> {
    let mut debugger = vm.state.debugger.borrow_mut();
    let debugger = debugger.as_mut().expect("a session's own");
    debugger.end();
    debugger.take_lines()
}

struct Session {
    state: Rc<State>,
    /// What `eval` runs has been told to end, and may have caught that.
    overdue: Cell<bool>,
}

impl Session {
    fn with<T>(&self, what: impl FnOnce(&mut Debugger) -> T) -> T {
        what(self.state.debugger.borrow_mut().as_mut().expect("a session's own"))
    }

    /// A line is about to run, or many instructions have run.
    fn interrupted(&self, lua: &Lua, at: &Debug) -> Result<()> {
        let counted = at.event() == DebugEvent::Count;
        let late = counted && interrupt(lua, &self.state)?;
        let is_script = at.source().source.as_deref() == Some(SCRIPT_NAME);
        // What its client has it run does not stop: it ends when it takes too long, and the script stands where it stood.
        if self.state.converses.get() {
            return match late {
                false => Ok(()),
                true if self.overdue.replace(true) => Err(stop(lua, &self.state, TOO_LONG)),
                true => Err(Error::RuntimeError(TOO_LONG.to_string())),
            };
        }
        if !is_script || (counted && !late) {
            return Ok(());
        }
        if late && self.with(|debugger| debugger.gone) {
            return Err(stop(lua, &self.state, "timeout during Lua debugging with client closing connection"));
        }
        let line = at.current_line().unwrap_or(0);
        let steps = self.state.steps.get();
        let reason = self.with(|debugger| debugger.reaches(line, steps));
        let Some(reason) = reason.or(late.then_some(TOO_LONG)) else { return Ok(()) };
        self.state.steps.set(false);
        self.state.converses.set(true);
        self.with(|debugger| debugger.stopped(reason));
        let conversed = self.converse(lua);
        self.state.converses.set(false);
        conversed
    }

    /// Does what the client wants, until it wants the script to go on, or has left.
    fn converse(&self, lua: &Lua) -> Result<()> {
        loop {
            let lines = self.with(Debugger::take_lines);
            host::ask(|host| host.tell(&lines));
            let Some(words) = self.hear(lua)? else { return Ok(()) };
            match self.with(|debugger| debugger.obey(&words)) {
                Order::Answered => {}
                Order::Continue => return Ok(()),
                Order::Step => {
                    self.state.steps.set(true);
                    return Ok(());
                }
                Order::Abort => return Err(stop(lua, &self.state, "script aborted for user request")),
                Order::Trace => self.trace(lua),
                Order::Print(Some(name)) => self.print(lua, &name),
                Order::Print(None) => self.print_all(lua),
                Order::Eval(code) => self.eval(lua, &code),
                Order::Call(table, words) => self.call(lua, table, &words),
            }
            if let Some(why) = self.state.stopped.get() {
                return Err(stop(lua, &self.state, why)); // while it ran for the client
            }
        }
    }

    /// The client's next command; `None` when it has left.
    fn hear(&self, lua: &Lua) -> Result<Option<Vec<Vec<u8>>>> {
        let mut heard = Vec::new();
        loop {
            match self.with(Debugger::next_command) {
                Ok(Some(words)) => return Ok(Some(words)),
                Ok(None) => {}
                Err(why) => return Err(stop(lua, &self.state, why)),
            }
            heard.clear();
            match host::ask(|host| host.hear(&mut heard)) {
                Some(Heard::Bytes) => {}
                Some(Heard::Stop(why)) => return Err(stop(lua, &self.state, why)),
                Some(Heard::Gone) | None => {
                    self.with(Debugger::leave);
                    return Ok(None);
                }
            }
            if let Err(why) = self.with(|debugger| debugger.receive(&heard)) {
                return Err(stop(lua, &self.state, why));
            }
        }
    }

    fn log_value(&self, prefix: &str, value: &Value) {
        self.with(|debugger| debugger.log_value(prefix, |line, limit| show::value(line, value, limit)));
    }

    /// `trace`: the functions of the script that are being called.
    fn trace(&self, lua: &Lua) {
        for level in 0.. {
            let frame = lua.inspect_stack(level, |frame| {
                let is_script = frame.source().source.as_deref() == Some(SCRIPT_NAME);
                let name = frame.names().name.map_or("top level".to_string(), |name| name.into_owned());
                is_script.then(|| (name, frame.current_line().unwrap_or(0)))
            });
            let Some(frame) = frame else { break };
            if let Some((name, line)) = frame {
                let how = if level == 0 { "In" } else { "From" };
                self.with(|debugger| {
                    debugger.log(format!("{how} {name}:"));
                    debugger.log_source(line);
                });
            }
        }
    }

    /// `print name`: from the innermost function of the script outward.
    fn print(&self, lua: &Lua, name: &[u8]) {
        for level in 0.. {
            let own = lua.inspect_stack(level, |frame| frame.source().source.as_deref() == Some(PRELUDE_NAME));
            match own {
                None => break,
                Some(true) => continue,
                Some(false) => {}
            }
            if let Some((_, value)) = locals(lua, level).find(|(local, _)| local.as_bytes() == name) {
                return self.log_value("<value> ", &value);
            }
        }
        let global = match name {
            b"KEYS" | b"ARGV" => lua.globals().get::<Value>(LuaString::wrap(name)).ok(),
            _ => None,
        };
        match global {
            Some(value) => self.log_value("<value> ", &value),
            None => self.with(|debugger| debugger.log("No such variable.")),
        }
    }

    /// `print`: what is local where it stands.
    fn print_all(&self, lua: &Lua) {
        let mut some = false;
        for (name, value) in locals(lua, 0) {
            let name = name.to_string_lossy();
            if !name.contains("(*temporary)") {
                some = true;
                self.log_value(&format!("<value> {name} = "), &value);
            }
        }
        if !some {
            self.with(|debugger| debugger.log("No local variables in the current context."));
        }
    }

    /// `eval`: an expression, or else statements. They run in a coroutine, since nothing interrupts what runs in here.
    fn eval(&self, lua: &Lua, code: &[u8]) {
        let globals = lua.globals();
        let expression = [b"return ", code].concat();
        let compiled =
            compile(lua, &expression, EVAL_NAME, &globals).or_else(|_| compile(lua, code, EVAL_NAME, &globals));
        self.overdue.set(false);
        let ran = compiled.and_then(|function| {
            let ran = lua.create_thread(function).and_then(|thread| thread.resume::<MultiValue>(()));
            ran.map_err(|error| message(lua, error))
        });
        match ran {
            Ok(values) => self.log_value("<retval> ", values.front().unwrap_or(&Value::Nil)),
            Err(why) => self.with(|debugger| debugger.log(format!("<error> {why}"))),
        }
    }

    /// `redis`, `server`: what is called and answered is told on the way.
    fn call(&self, lua: &Lua, table: Named, words: &[Vec<u8>]) {
        let called = || -> Result<()> {
            let call: Function = lua.globals().get::<Table>(table.name())?.get("call")?;
            let words = words.iter().map(|word| Ok(Value::String(lua.create_string(word)?)));
            call.call(words.collect::<Result<MultiValue>>()?)
        };
        self.state.steps.set(true);
        let _ = called(); // an error is told where it arises
        self.state.steps.set(false);
    }
}

/// The local variables of a level of the stack.
fn locals(lua: &Lua, level: usize) -> impl Iterator<Item = (LuaString, Value)> {
    let getlocal = lua.named_registry_value::<Function>(GETLOCAL).ok();
    (1..).map_while(move |index| {
        // Seen from `getlocal`, which is a level of its own.
        let (name, value) = getlocal.as_ref()?.call::<(Option<LuaString>, Value)>((level + 1, index)).ok()?;
        Some((name?, value))
    })
}
