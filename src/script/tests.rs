//! Scripts without a server: the host answers a few commands by itself.

use super::*;
use crate::resp::{Proto, Request, Writer};

/// Answers PING, ECHO and NULL; `stop_after` interrupts stop the script.
#[derive(Default)]
struct Fake {
    interrupts: usize,
    stop_after: Option<usize>,
    asked: Vec<String>,
}

impl Host for Fake {
    fn call(&mut self, words: Request<'_>, proto: Proto, reply: &mut Vec<u8>) -> Result<(), Denied> {
        let words: Vec<&[u8]> = words.iter().collect();
        self.asked.push(words.iter().map(|word| word.escape_ascii().to_string()).collect::<Vec<_>>().join(" "));
        let mut writer = Writer::new(reply, proto);
        match words[0] {
            b"PING" => writer.simple("PONG"),
            b"ECHO" => writer.bulk(words[1]),
            b"RAW" => writer.raw(words[1]),
            b"FAIL" => writer.error("WRONGTYPE no"),
            _ => return Err(Denied::Unknown),
        }
        Ok(())
    }

    fn interrupt(&mut self) -> Verdict {
        self.interrupts += 1;
        match self.stop_after {
            Some(after) if self.interrupts > after => Verdict::Stop("stopped"),
            _ => Verdict::GoOn,
        }
    }

    fn may(&mut self, _: Request<'_>) -> Option<bool> {
        Some(true)
    }

    fn replicate(&mut self, _: bool) {}
}

fn run_on(vm: &Vm, host: &mut Fake, script: &str, proto: Proto) -> String {
    let mut out = Vec::new();
    let place = match vm.compile(script.as_bytes()) {
        Ok(place) => place,
        Err(error) => return format!("compile: {error}"),
    };
    let none = || std::iter::empty::<&[u8]>();
    let keys = none().chain([]).collect::<Vec<_>>();
    vm.eval(host, ("sha", place), keys.iter().copied(), keys.iter().copied(), &mut Writer::new(&mut out, proto));
    String::from_utf8_lossy(&out).trim_end().replace("\r\n", "|")
}

fn eval(script: &str) -> String {
    run_on(&Vm::new().expect("a machine"), &mut Fake::default(), script, Proto::Resp2)
}

#[test]
fn values_become_replies() {
    let cases = [
        ("return 1", ":1"),
        ("return 3.99", ":3"),
        ("return 'a'", "$1|a"),
        ("return true", ":1"),
        ("return false", "$-1"),
        ("return nil", "$-1"),
        ("return {1,2,nil,4}", "*2|:1|:2"),
        ("return {1,{2,'x'}}", "*2|:1|*2|:2|$1|x"),
        ("return {ok='fine'}", "+fine"),
        ("return {err='MY fault'}", "-MY fault"),
        ("return redis.error_reply('fault')", "-ERR fault"),
        ("return redis.status_reply('TUT')", "+TUT"),
        ("return {double=3.5}", "$3|3.5"),
        ("return {map={a=1}}", "*2|$1|a|:1"),
        ("return {big_number='12'}", "$2|12"),
        ("return {verbatim_string={format='txt',string='x'}}", "$1|x"),
        ("return function() end", "$-1"),
        ("return redis.call('PING')", "+PONG"),
        ("return redis.call('ECHO', 12)", "$2|12"),
        ("return redis.call('ECHO', 1.5)", "$3|1.5"),
        ("return redis.sha1hex('')", "$40|da39a3ee5e6b4b0d3255bfef95601890afd80709"),
    ];
    for (script, reply) in cases {
        assert_eq!(eval(script), reply, "{script}");
    }
}

#[test]
fn replies_become_values() {
    let vm = Vm::new().unwrap();
    let of = |raw: &str, then: &str| {
        let script = format!("redis.setresp(3); local r = redis.call('RAW', '{raw}'); return {then}");
        run_on(&vm, &mut Fake::default(), &script, Proto::Resp3)
    };
    assert_eq!(of(":5\\r\\n", "r"), ":5");
    assert_eq!(of("_\\r\\n", "r"), "_");
    assert_eq!(of("#t\\r\\n", "r"), "#t");
    assert_eq!(of(",1.5\\r\\n", "r.double * 2"), ":3");
    assert_eq!(of("%1\\r\\n+k\\r\\n:1\\r\\n", "r"), "%1|+k|:1");
    assert_eq!(of("%1\\r\\n$1\\r\\nk\\r\\n:1\\r\\n", "r"), "%1|$1|k|:1");
    assert_eq!(of("~1\\r\\n:4\\r\\n", "r"), "~1|:4");
    assert_eq!(of("=5\\r\\ntxt:x\\r\\n", "r"), "=5|txt:x");
    assert_eq!(of("(123\\r\\n", "r"), "(123");
    assert_eq!(of("*2\\r\\n$1\\r\\na\\r\\n$-1\\r\\n", "{r[1], tostring(r[2])}"), "*2|$1|a|$5|false");
}

#[test]
fn errors_name_their_place() {
    let cases = [
        ("error('x')", "-ERR user_script:1: x script: sha, on @user_script:1."),
        (
            "\n\nlocal a = nil + 1",
            "-ERR user_script:3: attempt to perform arithmetic on a nil value script: sha, on @user_script:3.",
        ),
        ("return redis.call('NO')", "-ERR Unknown Redis command called from script script: sha, on @user_script:1."),
        ("return redis.call('FAIL')", "-WRONGTYPE no script: sha, on @user_script:1."),
        ("return redis.pcall('FAIL')", "-WRONGTYPE no"),
        ("local ok, e = pcall(redis.call, 'FAIL'); return e", "$12|WRONGTYPE no"),
        ("return redis.pcall('FAIL').err", "$12|WRONGTYPE no"),
        (
            "return x",
            "-ERR user_script:1: Script attempted to access nonexistent global variable 'x' script: sha, on @user_script:1.",
        ),
        (
            "return cjson.decode('{')",
            "-ERR user_script:1: Expected object key string but found T_END at character 2 script: sha, on @user_script:1.",
        ),
        ("return select(2, pcall(cjson.decode, 'x'))", "$54|Expected value but found invalid token at character 1"),
    ];
    for (script, reply) in cases {
        let (got, want) = (eval(script), reply.to_string());
        assert!(got == want || got.split('|').next_back() == want.split('|').next_back(), "{script}: {got}");
    }
}

#[test]
fn globals_are_read_only() {
    let readonly = "Attempt to modify a readonly table";
    for script in [
        "x = 1",
        "redis.call = nil",
        "string.upper = nil",
        "_G.x = 1",
        "_G._G = nil",
        "rawset(_G, 'x', 1)",
        "rawset(redis, 'call', 1)",
        "setmetatable(_G, {})",
        "setmetatable(string, {})",
        "getmetatable(_G).__index = nil",
        "getmetatable('').__index = nil",
        "table.insert(_G, 1)",
        "getfenv().x = 1",
        "getfenv(redis.call).x = 1",
        "getfenv(string.upper).x = 1",
        "loadstring('x = 1')()",
        "load(function() return nil end); coroutine.wrap(function() x = 1 end)()",
        "for k, v in pairs(_G) do if k == 'redis' then v.call = nil end end",
        "local k, v = next(_G); _G[k] = 1",
    ] {
        let reply = eval(script);
        assert!(reply.contains(readonly), "{script}: {reply}");
    }
    for name in ["print", "dofile", "loadfile", "require", "io", "package", "module", "debug"] {
        let reply = eval(&format!("return {name}"));
        assert!(reply.contains("nonexistent global variable"), "{name}: {reply}");
    }
    assert!(eval("return os.execute").starts_with("$-1"));
    let both =
        "for name in pairs(redis) do if type(server[name]) ~= type(redis[name]) then return name end end return 1";
    assert_eq!(eval(both), ":1", "Valkey's name for it");
    assert_eq!(eval("local n = 0; for k in pairs(redis) do n = n + 1 end; return n > 10"), ":1");
}

#[test]
fn libraries_for_data() {
    let cases = [
        ("return cjson.encode({1,2,{a='x/y'}})", r#"[1,2,{"a":"x\/y"}]"#),
        ("return cjson.encode({})", "{}"),
        ("return cjson.encode(cjson.decode('[1.5,null,true,\"\\\\u00e9\"]'))", "[1.5,null,true,\"é\"]"),
        ("return cjson.encode({[3]=1})", "[null,null,1]"),
        ("return tostring(cjson.decode('[null]')[1] == cjson.null)", "true"),
        ("return cmsgpack.unpack(cmsgpack.pack({1,2,3}))[3]", ":3"),
        ("return cmsgpack.pack(1, -1, 200, 'a', true, nil, 1.5)", ""),
        ("local a, b = cmsgpack.unpack(cmsgpack.pack('x', {k=2})); return a .. b.k", "x2"),
        ("return struct.size('>I2bi8')", ":11"),
        ("return {struct.unpack('>I2c0s', struct.pack('>I2c0s', 3, 'abc', 'z'))}", "*3|$3|abc|$1|z|:8"),
        ("return bit.tohex(bit.bor(1, 0xf0))", "000000f1"),
        ("return bit.arshift(-256, 8)", ":-1"),
        ("math.randomseed(7); local a = math.random(100); math.randomseed(7); return a == math.random(100)", ":1"),
    ];
    for (script, reply) in cases {
        let got = eval(script);
        assert!(got == reply || got.ends_with(&format!("|{reply}")) || reply.is_empty(), "{script}: {got}");
    }
}

/// With the stack that the node's thread has.
#[test]
fn hostile_scripts() {
    let thread = std::thread::Builder::new().stack_size(8 << 20).spawn(hostile).expect("a thread");
    thread.join().expect("no panic");
}

fn hostile() {
    let deep = eval("local a = {}; for i = 1, 100000 do a = {a} end; return a");
    assert!(deep.contains("reached lua stack limit"), "{}", &deep[deep.len() - 60..]);
    let turning = eval("local a = {}; a[1] = a; return a");
    assert!(turning.contains("reached lua stack limit"));
    let cases = [
        ("local a = {}; a[1] = a; return cjson.encode(a)", "Cannot serialise, excessive depth (1001)"),
        ("return cjson.decode(string.rep('[', 100000))", "Found too many nested data structures (1001)"),
        ("return #cmsgpack.pack((function() local a = {}; a[1] = a; return a end)())", ":1"),
        ("return cmsgpack.unpack(string.rep('\\145', 100000))", "Bad data format"),
        ("return cmsgpack.unpack('\\221\\255\\255\\255\\255')", "Missing bytes in input."),
        ("return struct.unpack('c2147483647', 'a')", "data string too short"),
        ("return struct.pack('I99999999999999999999', 1)", "integral size overflow"),
        ("return string.find(string.rep('a', 300000), string.rep('a?', 300000))", "pattern too complex"),
        ("return string.rep('x', 100, 'y'):rep(2)", "x"),
        ("local function f() return f() + 1 end; return f()", "stack overflow"),
        ("local t = {}; for i = 1, 7000 do t[i] = 'x' end; return redis.call('ECHO', unpack(t))", "x"),
        ("local t = {}; for i = 1, 7900 do t[i] = 'x' end; return pcall(redis.call, 'ECHO', unpack(t))", ""),
        ("return unpack({}, 1, 1e7)", "too many results to unpack"),
        ("return loadstring(string.dump(function() return 1 end))()", "attempt to call"),
        ("return loadstring('\\27Lua')", "$-1"),
        ("return ('x'):rep(-1)", "$0"),
    ];
    for (script, part) in cases {
        let reply = eval(script);
        assert!(reply.contains(part), "{script}: {reply}");
    }
}

#[test]
fn a_stopped_script_cannot_go_on() {
    let vm = Vm::new().unwrap();
    for script in [
        "while true do end",
        "while true do pcall(function() while true do end end) end",
        "local c = coroutine.wrap(function() while true do end end); while true do pcall(c) end",
        "xpcall(function() while true do end end, function() while true do end end)",
    ] {
        let mut host = Fake { stop_after: Some(3), ..Fake::default() };
        let reply = run_on(&vm, &mut host, script, Proto::Resp2);
        assert!(reply.starts_with("-ERR stopped"), "{script}: {reply}");
        assert_eq!(run_on(&vm, &mut Fake::default(), "return 1", Proto::Resp2), ":1");
    }
}

#[test]
fn functions_are_registered_and_called() {
    let vm = Vm::new().unwrap();
    let mut host = Fake::default();
    let loaded = vm
        .load(
            &mut host,
            b"local n = 0; redis.register_function('f', function(k, a) n = n + 1; return {k[1], a[1], n} end)",
        )
        .unwrap();
    assert_eq!(loaded.len(), 1);
    let mut out = Vec::new();
    for _ in 0..2 {
        out.clear();
        let (keys, args): ([&[u8]; 1], [&[u8]; 1]) = ([b"key"], [b"arg"]);
        let mut writer = Writer::new(&mut out, Proto::Resp2);
        vm.call(&mut host, ("f", loaded[0].place), keys.into_iter(), args.into_iter(), &mut writer);
    }
    assert_eq!(String::from_utf8(out).unwrap().replace("\r\n", "|"), "*3|$3|key|$3|arg|:2|");
    let refused = |text: &str| vm.load(&mut Fake::default(), text.as_bytes()).map(|loaded| loaded.len());
    let nonexistent = refused("return math.abs(1)").unwrap_err();
    assert!(nonexistent.contains("nonexistent global variable 'math'"), "{nonexistent}");
    assert!(refused("redis.call('PING')").unwrap_err().contains("nonexistent global variable 'call'"));
    assert!(refused("redis.register_function('f-1', function() end)").unwrap_err().contains("Library names"));
    assert!(refused("x = ").unwrap_err().starts_with("Error compiling function: user_function:1:"));
    let outside = run_on(&vm, &mut host, "return redis.register_function", Proto::Resp2);
    assert_eq!(outside, "$-1");
}
