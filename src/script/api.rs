//! The functions of `redis.*` and `server.*`, as far as they are not written in Lua (`prelude.lua`).

use super::debugger::{self, Debugger};
use super::from_reply::{error_table, from_reply};
use super::host;
use super::library::{Flags, Registered};
use super::table::Table as Named;
use super::vm::{Form, State, raise_table, raised};
use crate::base::REDIS_VERSION;
use crate::base::limits::DEBUGGER_VALUE_BYTES_MAX;
use crate::resp::Proto;
use mlua::{Lua, MultiValue, Result, Table, Value};
use sha1::{Digest, Sha1};
use std::rc::Rc;

/// `REDIS_VERSION_NUM`: a byte for each part.
fn version_number() -> u32 {
    REDIS_VERSION.split('.').fold(0, |number, part| (number << 8) + part.parse::<u32>().unwrap_or(0))
}

/// Puts the functions into `api`, where the prelude takes them from.
pub fn install(lua: &Lua, api: &Table, state: &Rc<State>) -> Result<()> {
    api.raw_set("raised", lua.create_function(raised)?)?;
    let registers = lua.create_table()?;
    for name in Named::ALL {
        let own = state.clone();
        let register = move |lua: &Lua, values: MultiValue| register(lua, name, &own, &values);
        registers.raw_set(name.name(), lua.create_function(register)?)?;
        api.raw_set(name.name(), functions(lua, name, state)?)?;
    }
    api.raw_set("register_function", registers)
}

/// What scripts find in the table of this name.
fn functions(lua: &Lua, name: Named, state: &Rc<State>) -> Result<Table> {
    let table = lua.create_table()?;
    table.raw_set("REDIS_VERSION", REDIS_VERSION)?;
    table.raw_set("REDIS_VERSION_NUM", version_number())?;
    for (level, name) in ["LOG_DEBUG", "LOG_VERBOSE", "LOG_NOTICE", "LOG_WARNING"].into_iter().enumerate() {
        table.raw_set(name, level)?;
    }
    let targets =
        [("REPL_NONE", REPL_NONE), ("REPL_AOF", 1), ("REPL_SLAVE", 2), ("REPL_REPLICA", 2), ("REPL_ALL", REPL_ALL)];
    for (name, target) in targets {
        table.raw_set(name, target)?;
    }
    for (function, raises) in [("call", true), ("pcall", false)] {
        let own = state.clone();
        let call = move |lua: &Lua, values: MultiValue| call(lua, name, &own, values, raises);
        table.raw_set(function, lua.create_function(call)?)?;
    }
    table.raw_set("sha1hex", lua.create_function(sha1hex)?)?;
    table.raw_set("error_reply", lua.create_function(error_reply)?)?;
    table.raw_set("status_reply", lua.create_function(status_reply)?)?;
    table.raw_set("log", lua.create_function(move |lua, values: MultiValue| log(lua, name, &values))?)?;
    table.raw_set("set_repl", lua.create_function(move |lua, values: MultiValue| set_repl(lua, name, &values))?)?;
    let own = state.clone();
    let choose = move |lua: &Lua, values: MultiValue| setresp(lua, name, &own, &values);
    table.raw_set("setresp", lua.create_function(choose)?)?;
    let own = state.clone();
    let may = move |_: &Lua, values: MultiValue| acl_check_cmd(name, &own, &values);
    table.raw_set("acl_check_cmd", lua.create_function(may)?)?;
    let own = state.clone();
    table.raw_set("breakpoint", lua.create_function(move |_, ()| Ok(breakpoint(&own)))?)?;
    let own = state.clone();
    let show = move |_: &Lua, values: MultiValue| {
        debug(&own, &values);
        Ok(())
    };
    table.raw_set("debug", lua.create_function(show)?)?;
    Ok(table)
}

const REPL_NONE: i64 = 0;
const REPL_ALL: i64 = 3;

/// A failure that is a table, as those of commands are.
fn failure<T>(text: &str) -> Result<T> {
    Err(raise_table(text.as_bytes(), Form::Table))
}

/// `redis.call(command, ...)` and `redis.pcall`: executes a command. An error is raised by the one, given by the other.
fn call(lua: &Lua, name: Named, state: &State, values: MultiValue, raises: bool) -> Result<Value> {
    let failed = |text: &[u8], form: Form| {
        let error = raise_table(text, form);
        if raises { Err(error) } else { raised(lua, Value::Error(Box::new(error))) }
    };
    // Taken for as long as the command runs.
    let mut words = state.words.take();
    let steps = state.steps.get();
    let tell_error = |text: &str| debugged(state, |debugger| debugger.log(format!("<error> {text}")));
    if let Err(why) = words.gather(&values) {
        state.words.replace(words);
        let text = name.denial(why);
        if steps {
            tell_error(text.trim_start_matches("ERR "));
        }
        return failed(text.as_bytes(), Form::Table);
    }
    drop(values);
    if steps {
        debugged(state, |debugger| debugger.log_call(words.request().iter()));
    }
    let mut reply = state.reply.take();
    let called = host::ask(|host| host.call(words.request(), state.proto.get(), &mut reply));
    state.words.replace(words);
    let result = match called {
        None => failed(name.named("ERR @.call can only be called from a script").as_bytes(), Form::Table),
        Some(Err(why)) => {
            let text = name.denial(why);
            if steps {
                tell_error(text.trim_start_matches("ERR "));
            }
            failed(text.as_bytes(), Form::Counted)
        }
        Some(Ok(())) => match reply.strip_prefix(b"-") {
            Some(text) => {
                if steps {
                    tell_error(&String::from_utf8_lossy(reply.trim_ascii_end()));
                }
                failed(text.trim_ascii_end(), Form::Counted)
            }
            None => from_reply(lua, &reply),
        },
    };
    if steps && !reply.is_empty() {
        let (proto, reply) = (state.proto.get(), &reply);
        debugged(state, |debugger| {
            debugger.log_value("<reply> ", |line, limit| debugger::reply(line, reply, proto, limit));
        });
    }
    reply.clear();
    reply.shrink_to(4096);
    state.reply.replace(reply);
    result
}

/// `redis.acl_check_cmd(command, ...)`
fn acl_check_cmd(name: Named, state: &State, values: &MultiValue) -> Result<Value> {
    let mut words = state.words.borrow_mut();
    if let Err(why) = words.gather(values) {
        return failure(&name.denial(why));
    }
    match host::ask(|host| host.may(words.request())).flatten() {
        Some(may) => Ok(Value::Boolean(may)),
        None => failure(&name.named("ERR Invalid command passed to @.acl_check_cmd()")),
    }
}

/// Tells a session of the debugger.
#[cold]
fn debugged(state: &State, tell: impl FnOnce(&mut Debugger)) {
    if let Some(debugger) = state.debugger.borrow_mut().as_mut() {
        tell(debugger);
    }
}

/// `redis.breakpoint()`: whether there is a session that it stops.
fn breakpoint(state: &State) -> bool {
    let debugger = &mut *state.debugger.borrow_mut();
    debugger.as_mut().map(|debugger| debugger.asked = true).is_some()
}

/// `redis.debug(value, ...)`
fn debug(state: &State, values: &MultiValue) {
    debugged(state, |debugger| {
        debugger.log_debug(|line| {
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    line.extend_from_slice(b", ");
                }
                debugger::value(line, value, DEBUGGER_VALUE_BYTES_MAX);
            }
        });
    });
}

/// `redis.sha1hex(text)`
fn sha1hex(lua: &Lua, values: MultiValue) -> Result<Value> {
    if values.len() != 1 {
        return failure("ERR wrong number of arguments");
    }
    let text = lua.coerce_string(values[0].clone())?;
    let hex = super::sha1_hex(text.as_ref().map(|text| text.as_bytes()).as_deref().unwrap_or_default());
    Ok(Value::String(lua.create_string(hex)?))
}

fn one_text(values: &MultiValue) -> Option<Vec<u8>> {
    match (values.len(), values.front()) {
        (1, Some(Value::String(text))) => Some(text.as_bytes().to_vec()),
        _ => None,
    }
}

const WRONG_ARGUMENTS: &str = "ERR wrong number or type of arguments";

/// `redis.error_reply(text)`: a leading `-` goes, and a text of one word gets a code in front.
fn error_reply(lua: &Lua, values: MultiValue) -> Result<Value> {
    let Some(text) = one_text(&values) else {
        return Ok(Value::Table(error_table(lua, WRONG_ARGUMENTS.as_bytes())?));
    };
    let text = text.strip_prefix(b"-").unwrap_or(&text);
    let text = match text.contains(&b' ') {
        true => text.to_vec(),
        false => [b"ERR ", text].concat(),
    };
    Ok(Value::Table(error_table(lua, text.trim_ascii_end())?))
}

/// `redis.status_reply(text)`
fn status_reply(lua: &Lua, values: MultiValue) -> Result<Value> {
    let table = match one_text(&values) {
        None => error_table(lua, WRONG_ARGUMENTS.as_bytes())?,
        Some(text) => {
            let table = lua.create_table_with_capacity(0, 1)?;
            table.raw_set("ok", lua.create_string(text)?)?;
            table
        }
    };
    Ok(Value::Table(table))
}

/// `redis.log(level, text, ...)`
fn log(lua: &Lua, name: Named, values: &MultiValue) -> Result<Value> {
    if values.len() < 2 {
        return failure(&name.named("ERR @.log() requires two arguments or more."));
    }
    let Some(level) = lua.coerce_number(values[0].clone())? else {
        return failure("ERR First argument must be a number (log level).");
    };
    if !(0.0..4.0).contains(&level) {
        return failure(match name {
            Named::Redis => "ERR Invalid debug level.",
            Named::Server => "ERR Invalid log level.",
        });
    }
    let mut text = String::new();
    for value in values.iter().skip(1) {
        if let Some(part) = lua.coerce_string(value.clone())? {
            if !text.is_empty() {
                text.push(' ');
            }
            text += &part.to_string_lossy();
        }
    }
    match level as u8 {
        0 => tracing::debug!("{text}"),
        1 => tracing::debug!(target: "verbose", "{text}"),
        2 => tracing::info!("{text}"),
        _ => tracing::warn!("{text}"),
    }
    Ok(Value::Nil)
}

/// `redis.setresp(2 | 3)`
fn setresp(lua: &Lua, name: Named, state: &State, values: &MultiValue) -> Result<Value> {
    if values.len() != 1 {
        return failure(&name.named("ERR @.setresp() requires one argument."));
    }
    match lua.coerce_number(values[0].clone())?.unwrap_or(0.0) as i64 {
        2 => state.proto.set(Proto::Resp2),
        3 => state.proto.set(Proto::Resp3),
        _ => return failure("ERR RESP version must be 2 or 3."),
    }
    Ok(Value::Nil)
}

/// `redis.set_repl(target)`: log and replicas are fed one stream here, so a change goes to both or to neither.
fn set_repl(lua: &Lua, name: Named, values: &MultiValue) -> Result<Value> {
    if values.len() != 1 {
        return failure(&name.named("ERR @.set_repl() requires one argument."));
    }
    let target = lua.coerce_number(values[0].clone())?.unwrap_or(0.0) as i64;
    if !(REPL_NONE..=REPL_ALL).contains(&target) {
        return failure("ERR Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.");
    }
    host::ask(|host| host.replicate(target != REPL_NONE));
    Ok(Value::Nil)
}

/// `redis.register_function(name, callback)`, or with a table of named arguments.
fn register(lua: &Lua, name: Named, state: &State, values: &MultiValue) -> Result<Value> {
    let mut library = state.library.borrow_mut();
    let Some(library) = library.as_mut() else {
        return failure(&name.named("ERR @.register_function can only be called on FUNCTION LOAD command"));
    };
    match Registered::read(lua, values) {
        Err(why) => failure(&format!("ERR {}", name.named(why))),
        Ok(registered) if library.iter().any(|other| other.name == registered.name) => {
            failure("ERR Function already exists in the library")
        }
        Ok(registered) => {
            library.push(registered);
            Ok(Value::Nil)
        }
    }
}

impl Registered {
    /// The text of an error names the table as [`Named::named`] wants it.
    fn read(lua: &Lua, values: &MultiValue) -> std::result::Result<Registered, &'static str> {
        let text = |value: &Value| lua.coerce_string(value.clone()).ok().flatten().map(|text| text.as_bytes().to_vec());
        let named = match values.len() {
            1 => match &values[0] {
                Value::Table(named) => named,
                _ => {
                    return Err("calling @.register_function with a single argument is only applicable to Lua \
                                table (representing named arguments).");
                }
            },
            2 => {
                let name = text(&values[0]).ok_or("first argument to @.register_function must be a string")?;
                let Value::Function(callback) = &values[1] else {
                    return Err("second argument to @.register_function must be a function");
                };
                return Registered::new(name, None, Flags::default(), callback.clone());
            }
            _ => return Err("wrong number of arguments to @.register_function"),
        };
        let (mut name, mut description, mut flags, mut callback) = (None, None, Flags::default(), None);
        for pair in named.pairs::<Value, Value>() {
            let (key, value) = pair.map_err(|_| "unknown argument given to @.register_function")?;
            let key = text(&key).ok_or("named argument key given to @.register_function is not a string")?;
            match key.to_ascii_lowercase().as_slice() {
                b"function_name" => {
                    let given = text(&value);
                    name = Some(given.ok_or("function_name argument given to @.register_function must be a string")?);
                }
                b"description" => {
                    let given = text(&value);
                    let given = given.ok_or("description argument given to @.register_function must be a string")?;
                    description = Some(given);
                }
                b"callback" => match value {
                    Value::Function(function) => callback = Some(function),
                    _ => return Err("callback argument given to @.register_function must be a function"),
                },
                b"flags" => match value {
                    Value::Table(names) => {
                        flags = Self::flags(&names, &text).ok_or("unknown flag given")?;
                    }
                    _ => {
                        return Err(
                            "flags argument to @.register_function must be a table representing function flags",
                        );
                    }
                },
                _ => return Err("unknown argument given to @.register_function"),
            }
        }
        let name = name.ok_or("@.register_function must get a function name argument")?;
        let callback = callback.ok_or("@.register_function must get a callback argument")?;
        Registered::new(name, description, flags, callback)
    }

    fn flags(names: &Table, text: &dyn Fn(&Value) -> Option<Vec<u8>>) -> Option<Flags> {
        let mut flags = Flags::default();
        for index in 1.. {
            let name: Value = names.raw_get(index).ok()?;
            if name.is_nil() {
                break;
            }
            let name = text(&name)?.to_ascii_lowercase();
            flags = flags.with(std::str::from_utf8(&name).ok()?)?;
        }
        Some(flags)
    }

    fn new(
        name: Vec<u8>,
        description: Option<Vec<u8>>,
        flags: Flags,
        callback: mlua::Function,
    ) -> std::result::Result<Registered, &'static str> {
        let name = super::library::checked_name(name)?;
        Ok(Registered { name, description, flags, callback })
    }
}

/// The SHA1 of a text, as 40 hexadecimal digits.
pub fn sha1_hex(text: &[u8]) -> [u8; 40] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digest: [u8; 20] = Sha1::digest(text).into();
    std::array::from_fn(|i| DIGITS[usize::from(if i % 2 == 0 { digest[i / 2] >> 4 } else { digest[i / 2] & 15 })])
}
