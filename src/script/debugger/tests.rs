//! Sessions without a server: the client is a list of commands.

use super::command::{Parsed, parse};
use super::*;
use crate::resp::{self, Proto, Request, Writer};
use crate::script::{Denied, Heard, Host, Verdict};
use mlua::{Lua, Value};
use std::collections::VecDeque;

/// Sends a command each time that it is heard, and leaves when there are no more.
#[derive(Default)]
struct Person {
    commands: VecDeque<Vec<u8>>,
    told: String,
    /// Interrupts until the script is killed.
    patience: Option<usize>,
}

impl Host for Person {
    fn call(&mut self, words: Request<'_>, proto: Proto, reply: &mut Vec<u8>) -> Result<(), Denied> {
        match words.iter().next() {
            Some(b"PING") => Writer::new(reply, proto).simple("PONG"),
            _ => return Err(Denied::Unknown),
        }
        Ok(())
    }

    fn interrupt(&mut self) -> Verdict {
        match &mut self.patience {
            Some(0) => Verdict::Stop("killed"),
            Some(left) => {
                *left -= 1;
                Verdict::GoOn
            }
            None => Verdict::Late,
        }
    }

    fn may(&mut self, _: Request<'_>) -> Option<bool> {
        Some(true)
    }

    fn replicate(&mut self, _: bool) {}

    fn tell(&mut self, bytes: &[u8]) {
        self.told += &String::from_utf8_lossy(bytes).replace("\r\n", "|");
    }

    fn hear(&mut self, heard: &mut Vec<u8>) -> Heard {
        match self.commands.pop_front() {
            Some(bytes) => {
                heard.extend_from_slice(&bytes);
                Heard::Bytes
            }
            None => Heard::Gone,
        }
    }
}

/// What the client was told, and the reply of the script.
fn session(script: &str, commands: &[&str], patience: Option<usize>) -> (String, String) {
    let commands = commands.iter().map(|line| {
        let mut bytes = Vec::new();
        resp::command(&line.split(' ').collect::<Vec<_>>(), &mut bytes);
        bytes
    });
    let mut person = Person { commands: commands.collect(), patience, ..Person::default() };
    let vm = debugging(script.as_bytes()).unwrap();
    let place = vm.compile(script.as_bytes()).unwrap();
    let mut out = Vec::new();
    let none = || [].into_iter();
    vm.eval(&mut person, ("sha", place), none(), none(), &mut Writer::new(&mut out, Proto::Resp2));
    person.tell(&last_words(&vm));
    (person.told, String::from_utf8_lossy(&out).trim_end().to_string())
}

#[test]
fn a_session() {
    let (told, reply) = session("local a = 1\nreturn a", &["s", "p a", "r PING", "e 1 + 1", "c"], None);
    assert_eq!(
        told,
        "*2|+* Stopped at 1, stop reason = step over|+-> 1   local a = 1|\
         *2|+* Stopped at 2, stop reason = step over|+-> 2   return a|\
         *1|+<value> 1|*2|+<redis> PING|+<reply> \"+PONG\"|*1|+<retval> 2|*1|+<endsession>|"
    );
    assert_eq!(reply, ":1");
}

#[test]
fn a_client_that_leaves_is_not_waited_for() {
    let (told, reply) = session("local a = 1\nredis.breakpoint()\na = 2\nreturn a", &["b 3"], None);
    assert!(told.ends_with("+  #3   a = 2|+   4   return a|*0|"), "{told}");
    assert_eq!(reply, ":2");
    let (_, reply) = session("while true do end", &[], None);
    assert!(reply.contains("timeout during Lua debugging with client closing connection"), "{reply}");
}

#[test]
fn nothing_runs_for_ever() {
    for eval in ["e while true do end", "e while true do pcall(function() while true do end end) end"] {
        let (_, reply) = session("local a = 1\nreturn a", &[eval, "c"], Some(3));
        assert!(reply.starts_with("-ERR killed"), "{eval}: {reply}");
    }
    let (told, reply) = session("local a = 1\nreturn a", &["e while true do end", "c"], None);
    assert!(told.contains("|*1|+<error> timeout reached, infinite loop?|"), "{told}");
    assert_eq!(reply, ":1", "what the client runs is no part of the script");
    let (told, reply) = session("while true do end", &["c", "a"], None);
    assert!(told.contains("timeout reached, infinite loop?"), "{told}");
    assert!(reply.starts_with("-ERR script aborted for user request"), "{reply}");
    let caught = "local a = 1\nwhile true do pcall(function() local b = 2 end) end";
    let (_, reply) = session(caught, &["s", "s", "a"], None);
    assert!(reply.starts_with("-ERR script aborted for user request"), "{reply}");
}

#[test]
fn the_debug_library_is_out_of_reach() {
    let reach = "local seen, found = {}, 'none'
        local function walk(value, depth)
          if depth > 6 or seen[value] then return end
          if type(value) == 'function' then walk(getfenv(value), depth + 1) end
          if type(value) ~= 'table' then return end
          seen[value] = true
          if rawget(value, 'getlocal') or rawget(value, 'sethook') then found = 'reached' end
          for key, inner in pairs(value) do walk(inner, depth + 1) end
        end
        walk(_G, 0)
        walk(getfenv(0), 0)
        return found";
    let (_, reply) = session(reach, &[], None);
    assert_eq!(reply, "$4\r\nnone");
    let (told, _) = session("return 1", &["e debug.getlocal(1, 1)", "c"], None);
    assert!(told.contains("nonexistent global variable 'debug'"), "{told}");
}

#[test]
fn values_have_a_bound() {
    let lua = Lua::new();
    let shown = |code: &str, limit: usize| {
        let mut out = Vec::new();
        value(&mut out, &lua.load(code).eval::<Value>().unwrap(), limit);
        String::from_utf8(out).unwrap()
    };
    assert_eq!(shown("return {1, 2, {a = 'x'}}", 100), "{1; 2; {[\"a\"]=\"x\"}}");
    assert_eq!(shown("return 'a\\n\\0\"\\\\'", 100), r#""a\n\x00\"\\""#);
    assert_eq!(shown("return 0.1", 100), "0.1");
    let itself = shown("local t = {}; t[1] = t; return t", 1000);
    assert!(itself.contains("<max recursion level reached! Nested table?>"), "{itself}");
    let shared = "local t = {}; for i = 1, 9 do local u = {}; for j = 1, 20 do u[j] = t end; t = u end; return t";
    assert!(shown(shared, 10_000).len() < 11_000);
    assert!(shown("return ('x'):rep(1e6)", 256).len() < 300);
}

#[test]
fn lines_have_a_bound() {
    let mut debugger = Debugger::new(b"return 1");
    let line = "x".repeat(1024);
    for _ in 0..10_000 {
        debugger.log(line.as_str());
    }
    debugger.stopped("step over");
    debugger.end();
    let lines = debugger.take_lines();
    assert!(lines.len() < DEBUGGER_LINES_BYTES_MAX + 1024);
    for told in ["more lines were too much", "* Stopped at 0, stop reason = step over", "<endsession>"] {
        assert!(String::from_utf8_lossy(&lines).contains(told), "{told}");
    }
    assert_eq!(debugger.take_lines(), b"*0\r\n");
    assert_eq!(debugger.receive(&vec![b'*'; DEBUGGER_REQUEST_BYTES_MAX + 1]), Err("max client buffer reached"));
}

#[test]
fn commands_come_in_any_pieces() {
    let bytes = b"*2\r\n$5\r\nprint\r\n$1\r\na\r\n";
    for end in 0..bytes.len() {
        assert_eq!(parse(&bytes[..end]), Parsed::Partial, "{end}");
    }
    assert_eq!(parse(bytes), Parsed::Words(vec![b"print".to_vec(), b"a".to_vec()]));
    for broken in ["x", "*0\r\n", "*1025\r\n", "*1\r\n:1\r\n", "*1\r\n$0\r\n", "*1\r\n$1025\r\n", "*1\r\n$1\r\nabc"] {
        assert_eq!(parse(broken.as_bytes()), Parsed::Broken, "{broken}");
    }
}
