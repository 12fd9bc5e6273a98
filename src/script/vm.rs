//! One machine of Lua: its globals, how a script or a function is compiled and run in it.
//!
//! There are two, one for scripts and one for functions, made when they are first needed. Each is driven from one place at a
//! time; what a running script asks for goes to the [`Host`] that it was lent.

use super::debugger::Debugger;
use super::from_reply::error_table;
use super::host::{self, Host, Verdict};
use super::library::{Loaded, Registered};
use super::random::Random;
use super::to_reply::to_reply;
use super::words::Words;
use super::{api, bits, cjson, cmsgpack, packed, random};
use crate::base::limits::{SCRIPT_HOOK_INSTRUCTIONS, SCRIPT_PATTERN_BYTES_MAX, SCRIPT_SWEPT_BYTES_MAX};
use crate::resp::{Proto, Writer};
use mlua::chunk::ChunkMode;
use mlua::debug::{Debug, HookTriggers};
use mlua::{Error, Function, Lua, LuaOptions, LuaString, Result, StdLib, Table, Value, VmState};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// The name of what is compiled: errors quote it.
pub const SCRIPT_NAME: &str = "@user_script";
const FUNCTION_NAME: &str = "@user_function";
pub const PRELUDE_NAME: &str = "@prelude";

/// What of Lua's own a machine begins with; the prelude chooses of it.
pub fn libraries() -> StdLib {
    StdLib::TABLE | StdLib::STRING | StdLib::MATH | StdLib::OS
}

/// Where a compiled script or function is kept in its machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(usize);

/// See the module.
pub struct Vm {
    pub lua: Lua,
    /// What scripts see as `_G`.
    outer: Table,
    /// The prelude's: they run what stands at a place, or the text of a library; and tell what it may see.
    evaluate: Function,
    invoke: Function,
    load: Function,
    loading: Function,
    /// Compiled scripts, or the callbacks of functions, by their places.
    kept: Table,
    next: Cell<usize>,
    pub state: Rc<State>,
    /// The reply of a script, before it joins the client's.
    reply: RefCell<Vec<u8>>,
}

/// What the functions that Lua calls share.
#[derive(Default)]
pub struct State {
    /// Chosen by `redis.setresp`, for the calls of the script that runs.
    pub proto: Cell<Proto>,
    pub words: RefCell<Words>,
    pub reply: RefCell<Vec<u8>>,
    pub random: Rc<Random>,
    /// The script is to end, with this error.
    pub stopped: Cell<Option<&'static str>>,
    /// The functions that a library has registered so far, while it is loaded.
    pub library: RefCell<Option<Vec<Registered>>>,
    /// In a machine of a session of the debugger.
    pub debugger: RefCell<Option<Debugger>>,
    /// It stops at the next line; what is called before it is told.
    pub steps: Cell<bool>,
    /// It has stopped, and does what its client wants.
    pub converses: Cell<bool>,
}

/// How a script ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// An error that nobody has counted yet.
    pub counted: Option<String>,
    /// The reply is an error.
    pub failed: bool,
}

impl Vm {
    /// A machine with Redis' globals.
    pub fn new() -> Result<Vm> {
        Vm::on(Lua::new_with(libraries(), LuaOptions::default())?)
    }

    /// The same, made of a Lua that is new.
    pub fn on(lua: Lua) -> Result<Vm> {
        let state = Rc::new(State::default());
        let outer = lua.create_table()?;
        let api = lua.create_table()?;
        api::install(&lua, &api, &state)?;
        let [draw, seed] = random::functions(&lua, &state.random)?;
        api.raw_set("random", draw)?;
        api.raw_set("randomseed", seed)?;
        api.raw_set("bit", bits::library(&lua)?)?;
        api.raw_set("struct", packed::library(&lua)?)?;
        api.raw_set("cmsgpack", cmsgpack::library(&lua)?)?;
        api.raw_set("cjson", cjson::library(&lua)?)?;
        api.raw_set("pattern_bytes_max", SCRIPT_PATTERN_BYTES_MAX)?;
        api.raw_set("handler", lua.create_function(handle)?)?;
        let kept = lua.create_table()?;
        api.raw_set("kept", &kept)?;
        let env = outer.clone();
        api.raw_set(
            "compile",
            lua.create_function(move |lua, (text, name): (LuaString, Option<LuaString>)| {
                let name = name.unwrap_or_else(|| text.clone());
                let name = name.to_string_lossy().replace('\0', "");
                Ok(match compile(lua, &text.as_bytes(), &name, &env) {
                    Ok(function) => (Some(function), None),
                    Err(why) => (None, Some(why)),
                })
            })?,
        )?;
        let prelude = lua.load(include_str!("prelude.lua")).set_name(PRELUDE_NAME).set_environment(outer.clone());
        let (evaluate, invoke, load, loading) = prelude.into_function()?.call((lua.globals(), api, outer.clone()))?;
        lua.set_globals(outer.clone())?;
        let vm = Vm {
            lua,
            outer,
            evaluate,
            invoke,
            load,
            loading,
            kept,
            next: Cell::new(1),
            state,
            reply: RefCell::default(),
        };
        vm.watch()?;
        Ok(vm)
    }

    /// Bytes that Lua has in use. Where they are few its garbage is collected first, which takes some ten microseconds
    /// then; else it counts too, up to as much again.
    pub fn used_memory(&self) -> usize {
        if self.lua.used_memory() <= SCRIPT_SWEPT_BYTES_MAX {
            let _ = self.lua.gc_collect();
        }
        self.lua.used_memory()
    }

    /// Compiles a script; the text behind its first line's `#!`, if it has one.
    ///
    /// # Errors
    /// Lua's own words.
    pub fn compile(&self, text: &[u8]) -> std::result::Result<Place, String> {
        let function = compile(&self.lua, text, SCRIPT_NAME, &self.outer)?;
        self.keep(function).map_err(text_of)
    }

    /// Runs a script that was compiled here, and writes its reply.
    pub fn eval<'w>(
        &self,
        host: &mut dyn Host,
        (name, place): (&str, Place),
        keys: impl ExactSizeIterator<Item = &'w [u8]>,
        args: impl ExactSizeIterator<Item = &'w [u8]>,
        write: &mut Writer<'_>,
    ) -> Ended {
        let run = || self.evaluate.call((place.0, self.sequence(keys)?, self.sequence(args)?));
        self.run(host, name, run, write)
    }

    /// Calls a function that a library has registered, and writes its reply.
    pub fn call<'w>(
        &self,
        host: &mut dyn Host,
        (name, place): (&str, Place),
        keys: impl ExactSizeIterator<Item = &'w [u8]>,
        args: impl ExactSizeIterator<Item = &'w [u8]>,
        write: &mut Writer<'_>,
    ) -> Ended {
        let run = || self.invoke.call((place.0, self.sequence(keys)?, self.sequence(args)?));
        self.run(host, name, run, write)
    }

    /// Runs the text of a library; what it registers.
    ///
    /// # Errors
    /// What is wrong with it, as FUNCTION LOAD tells it.
    pub fn load(&self, host: &mut dyn Host, text: &[u8]) -> std::result::Result<Vec<Rc<Loaded>>, String> {
        let compiled = compile(&self.lua, text, FUNCTION_NAME, &self.outer);
        let function = compiled.map_err(|why| format!("Error compiling function: {why}"))?;
        *self.state.library.borrow_mut() = Some(Vec::new());
        let ran: Result<(bool, Value)> = self.loading.call::<()>(true).and_then(|()| {
            let ran = host::lend(host, || self.load.call(function));
            self.loading.call::<()>(false).and(ran)
        });
        let registered = self.state.library.take().unwrap_or_default();
        self.calm();
        let failed = |why: String| format!("Error registering functions: {why}");
        match ran {
            Ok((true, _)) => {}
            Ok((false, error)) => return Err(failed(error_text(&error))),
            Err(error) => return Err(failed(text_of(error))),
        }
        let kept = registered.into_iter().map(|Registered { name, description, flags, callback }| {
            Ok(Rc::new(Loaded { name: name.into(), description, flags, place: self.keep(callback)? }))
        });
        kept.collect::<Result<_>>().map_err(|error| failed(text_of(error)))
    }

    /// Forgets a script or a function.
    pub fn forget(&self, place: Place) {
        let _ = self.kept.raw_set(place.0, Value::Nil);
    }

    fn keep(&self, function: Function) -> Result<Place> {
        let place = self.next.get();
        self.kept.raw_set(place, function)?;
        self.next.set(place + 1);
        Ok(Place(place))
    }

    fn sequence<'w>(&self, words: impl ExactSizeIterator<Item = &'w [u8]>) -> Result<Table> {
        self.lua.create_sequence_from(words.map(LuaString::wrap))
    }

    fn run(
        &self,
        host: &mut dyn Host,
        name: &str,
        run: impl FnOnce() -> Result<(bool, Value)>,
        write: &mut Writer<'_>,
    ) -> Ended {
        self.state.proto.set(Proto::Resp2);
        let ran = host::lend(host, run);
        self.calm();
        let before = write.len();
        let written = match ran {
            Ok((true, value)) => to_reply(&value, self.state.proto.get(), write).map(|counted| {
                let failed = write.out.get(before) == Some(&b'-');
                Ended { counted, failed }
            }),
            Ok((false, error)) => Ok(self.tell(name, &error, write)),
            Err(error) => Err(error),
        };
        written.unwrap_or_else(|error| {
            write.truncate(before);
            let text = format!("ERR Error running script {name}, {}", text_of(error));
            write.error(&text);
            Ended { counted: Some(text), failed: true }
        })
    }

    /// Writes the error that ended a script, with the place where it arose.
    fn tell(&self, name: &str, error: &Value, write: &mut Writer<'_>) -> Ended {
        let mut text = error_text(error);
        let mut was_counted = false;
        if let Value::Table(table) = error {
            let field = |name: &str| table.get::<Value>(name).ok().and_then(|value| text_in(&value));
            if let (Some(source), Some(line)) = (field("source"), field("line")) {
                text = format!("{text} script: {name}, on {source}:{line}.");
            }
            was_counted = matches!(table.get("ignore_error_stats_update"), Ok(true));
        }
        write.error(&text);
        Ended { counted: (!was_counted).then_some(text), failed: true }
    }

    /// Has the machine interrupted now and then.
    fn watch(&self) -> Result<()> {
        let triggers = HookTriggers::new().every_nth_instruction(SCRIPT_HOOK_INSTRUCTIONS);
        let state = self.state.clone();
        self.lua.set_global_hook(triggers, move |lua, _| interrupt(lua, &state).map(|_| VmState::Continue))
    }

    /// What was stopped has ended.
    fn calm(&self) {
        if self.state.stopped.take().is_some() {
            let _ = self.watch();
        }
    }

    /// The buffer for a reply, emptied; to be given back by [`Vm::give_back`].
    pub fn take_buffer(&self) -> Vec<u8> {
        self.reply.take()
    }

    /// See [`Vm::take_buffer`].
    pub fn give_back(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        buffer.shrink_to(4096);
        self.reply.replace(buffer);
    }
}

/// Asks the host whether the script may go on; whether it has run for long. One that may not is interrupted at every
/// instruction from then on; what notes the error's place behind it is let through.
pub fn interrupt(lua: &Lua, state: &Rc<State>) -> Result<bool> {
    if let Some(why) = state.stopped.get() {
        return if script_frame(lua, 0).is_some() { Err(Error::RuntimeError(why.to_string())) } else { Ok(false) };
    }
    match host::ask(|host| host.interrupt()) {
        None | Some(Verdict::GoOn) => Ok(false),
        Some(Verdict::Late) => Ok(true),
        Some(Verdict::Stop(why)) => Err(stop(lua, state, why)),
    }
}

/// Ends what runs, so that it cannot catch the error and live; the error that is to be raised.
pub fn stop(lua: &Lua, state: &Rc<State>, why: &'static str) -> Error {
    state.stopped.set(Some(why));
    let own = state.clone();
    let triggers = HookTriggers::new().every_nth_instruction(1);
    let hook = move |lua: &Lua, _: &Debug| interrupt(lua, &own).map(|_| VmState::Continue);
    match lua.set_global_hook(triggers, hook) {
        Ok(()) => Error::RuntimeError(why.to_string()),
        Err(error) => error,
    }
}

/// Compiles text, and nothing but text: bytes that claim to be compiled code are not looked at.
pub fn compile(lua: &Lua, text: &[u8], name: &str, env: &Table) -> std::result::Result<Function, String> {
    if text.first() == Some(&0x1b) {
        return Err(format!("{}: bad code in precompiled chunk", name.trim_start_matches(['@', '='])));
    }
    let chunk = lua.load(text).set_name(name).set_mode(ChunkMode::Text).set_environment(env.clone());
    chunk.into_function().map_err(text_of)
}

/// Turns what was raised into a table, and notes the script's line in it.
fn handle(lua: &Lua, error: Value) -> Result<Value> {
    let table = match raised(lua, error)? {
        Value::Table(table) => table,
        other => error_table(lua, format!("ERR {}", plain_text(&other)).as_bytes())?,
    };
    if let Some((source, line)) = script_frame(lua, 1) {
        table.raw_set("source", source)?;
        table.raw_set("line", line.map_or(-1, |line| line as i64))?;
    }
    Ok(Value::Table(table))
}

/// Where the script stands, from this level of the stack on: the name of what was compiled, and the line.
fn script_frame(lua: &Lua, from: usize) -> Option<(String, Option<usize>)> {
    (from..32).find_map(|level| {
        lua.inspect_stack(level, |frame| {
            let source = frame.source();
            let name = source.source.as_deref().unwrap_or_default();
            let ours = source.what == "C" || name == PRELUDE_NAME || source.what == "tail";
            (!ours).then(|| (name.to_string(), frame.current_line()))
        })?
    })
}

/// An error of a Rust function that Lua calls, on its way to the script: the value that a script gets to see is made
/// where it is caught, since no Rust function can raise one.
#[derive(Debug)]
pub struct Raised {
    pub text: Vec<u8>,
    pub form: Form,
}

/// What a script sees of a raised error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A text.
    Text,
    /// A table with the text under `err`, as errors of commands are.
    Table,
    /// The same; the command has counted it.
    Counted,
}

impl std::fmt::Display for Raised {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.text))
    }
}

impl std::error::Error for Raised {}

/// Raises a text, with the place of the script's line in front that called the function, as Lua's own functions do it.
pub fn raise(lua: &Lua, text: &str) -> Error {
    let place = lua.inspect_stack(1, |frame| {
        let source = frame.source();
        let name = source.short_src.as_deref().unwrap_or_default().to_string();
        frame.current_line().map(|line| format!("{name}:{line}: "))
    });
    let text = [place.flatten().unwrap_or_default().as_bytes(), text.as_bytes()].concat();
    Error::external(Raised { text, form: Form::Text })
}

/// Raises the error of a command.
pub fn raise_table(text: &[u8], form: Form) -> Error {
    Error::external(Raised { text: text.to_vec(), form })
}

/// The value that a script sees of an error that it has caught.
pub fn raised(lua: &Lua, error: Value) -> Result<Value> {
    let Value::Error(error) = error else { return Ok(error) };
    let mut root = &*error;
    while let Error::CallbackError { cause, .. } = root {
        root = cause;
    }
    if let Some(Raised { text, form }) = root.downcast_ref::<Raised>() {
        if *form == Form::Text {
            return Ok(Value::String(lua.create_string(text)?));
        }
        let table = error_table(lua, text)?;
        if *form == Form::Counted {
            table.raw_set("ignore_error_stats_update", true)?;
        }
        return Ok(Value::Table(table));
    }
    Ok(Value::String(lua.create_string(text_of(root.clone()))?))
}

/// The words of an error that was raised, as a person reads them.
pub fn message(lua: &Lua, error: Error) -> String {
    let text = match raised(lua, Value::Error(Box::new(error))) {
        Ok(table @ Value::Table(_)) => error_text(&table),
        Ok(other) => plain_text(&other),
        Err(error) => text_of(error),
    };
    text.split("\nstack traceback:").next().unwrap_or_default().to_string()
}

/// What a fallible function has come to.
pub fn answer<T>(lua: &Lua, result: std::result::Result<T, String>) -> Result<T> {
    result.map_err(|text| raise(lua, &text))
}

/// The text of an error that a script raised: of a table, what stands under `err`.
fn error_text(error: &Value) -> String {
    match error {
        Value::Table(table) => match table.get::<Value>("err").ok().and_then(|text| text_in(&text)) {
            Some(text) => text.trim_end_matches(['\r', '\n']).to_string(),
            None => "ERR unknown error".to_string(),
        },
        other => format!("ERR {}", plain_text(other)),
    }
}

/// The text of an error that is no table.
fn plain_text(error: &Value) -> String {
    match error {
        Value::Error(error) => text_of((**error).clone()),
        other => text_in(other).unwrap_or_else(|| match other {
            Value::Nil => "nil".to_string(),
            Value::Boolean(value) => value.to_string(),
            other => other.type_name().to_string(),
        }),
    }
}

fn text_in(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.to_string_lossy()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The words of an error of mlua's, without its own additions.
fn text_of(error: Error) -> String {
    match error {
        Error::CallbackError { cause, .. } => text_of((*cause).clone()),
        Error::RuntimeError(text) => text,
        Error::SyntaxError { message, .. } => message,
        Error::MemoryError(_) => "not enough memory".to_string(),
        Error::StackError => "stack overflow".to_string(),
        other => other.to_string(),
    }
}
