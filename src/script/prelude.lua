-- The globals of scripts: what Redis has, and nothing that could be kept from one script to the next.
--
-- Lua 5.1 has no read-only tables, so a protected one is an empty table that shows what stands in another, and the few
-- functions that would go around its metatable know about it. Run once for a machine, with `G`, which becomes the
-- globals, as its environment: a function of this file that a script gets hold of leads nowhere else.
local base, api, G = ...

local error, type, select, next, pairs = base.error, base.type, base.select, base.next, base.pairs
local setmetatable, getmetatable, rawset, rawget = base.setmetatable, base.getmetatable, base.rawset, base.rawget
local tostring, xpcall, protected_call = base.tostring, base.xpcall, base.pcall
local concat = base.table.concat

local READONLY = 'Attempt to modify a readonly table'

-- Protected table -> what it shows.
local shown = setmetatable({}, { __mode = 'k' })

local function refuse()
  error(READONLY, 2)
end

local sealed = setmetatable({}, { __newindex = refuse, __metatable = false })
shown[sealed] = {}

local function protect(inner)
  local outer = setmetatable({}, { __index = inner, __newindex = refuse, __metatable = sealed })
  shown[outer] = inner
  return outer
end

local strict = {
  __index = function(_, name)
    error("Script attempted to access nonexistent global variable '" .. tostring(name) .. "'", 2)
  end,
}

-- Functions that know about protected tables.

local function guarded(f)
  return function(t, ...)
    if shown[t] then
      error(READONLY, 0)
    end
    return f(t, ...)
  end
end

local function next_shown(t, key)
  return next(shown[t] or t, key)
end

local function pairs_shown(t)
  if shown[t] then
    return next_shown, t, nil
  end
  return pairs(t)
end

-- An error of a Rust function is no value of Lua's: it is made one where it is caught.
local raised = api.raised

-- `pcall` gives the text of an error that a command raised, as it did before errors were tables.
local function caught(ok, ...)
  if ok then
    return true, ...
  end
  local failure = raised((...))
  if type(failure) == 'table' then
    local text = failure.err
    if type(text) == 'string' or type(text) == 'number' then
      return false, text
    end
  end
  return false, failure
end

-- The handler runs behind the error, not in it: there no hook would run, and nothing could stop it.
local function handled(handler, ok, ...)
  if ok then
    return true, ...
  end
  local _, result = protected_call(handler, raised((...)))
  return false, result
end

local function resumed(ok, ...)
  if ok then
    return true, ...
  end
  return false, raised((...))
end

local function load_text(text, name)
  local f, failure = api.compile(text, name)
  if f then
    return f
  end
  return nil, failure
end

local function load_parts(reader, name)
  if type(reader) ~= 'function' then
    error("bad argument #1 to 'load' (function expected, got " .. type(reader) .. ')', 2)
  end
  local parts = {}
  while true do
    local part = reader()
    if part == nil or part == '' then
      break
    end
    if type(part) ~= 'string' then
      error('reader function must return a string', 2)
    end
    parts[#parts + 1] = part
  end
  return load_text(concat(parts), name or '=(load)')
end

-- A matcher of Lua 5.1 calls itself for each item of a pattern, without a limit.
local pattern_bytes_max = api.pattern_bytes_max
local function bounded(f)
  return function(text, pattern, ...)
    if type(pattern) == 'string' and #pattern > pattern_bytes_max then
      error('pattern too complex', 2)
    end
    return f(text, pattern, ...)
  end
end

local function copy(of, names)
  local made = {}
  for _, name in base.ipairs(names) do
    made[name] = of[name]
  end
  return made
end

local globals = copy(base, {
  '_VERSION', 'assert', 'collectgarbage', 'error', 'gcinfo', 'getfenv', 'getmetatable', 'ipairs', 'newproxy',
  'rawequal', 'select', 'setfenv', 'tonumber', 'tostring', 'type', 'unpack',
})
globals.next = next_shown
globals.pairs = pairs_shown
globals.rawset = guarded(rawset)
globals.setmetatable = guarded(setmetatable)
globals.loadstring = load_text
globals.load = load_parts
globals._G = G
function globals.rawget(t, key)
  return rawget(shown[t] or t, key)
end
function globals.pcall(...)
  return caught(protected_call(...))
end
function globals.xpcall(f, handler)
  return handled(handler, protected_call(f))
end

local strings = base.string
for _, name in base.ipairs({ 'find', 'match', 'gmatch', 'gfind', 'gsub' }) do
  strings[name] = bounded(strings[name])
end
getmetatable('').__metatable = sealed
globals.string = protect(strings)

base.table.insert = guarded(base.table.insert)
globals.table = protect(base.table)

local math = base.math
math.random, math.randomseed = api.random, api.randomseed
globals.math = protect(math)

local coroutine = base.coroutine
local resume = coroutine.resume
function coroutine.resume(...)
  return resumed(resume(...))
end
globals.coroutine = protect(coroutine)
globals.os = protect({ clock = base.os.clock })
globals.bit = protect(api.bit)
globals.struct = protect(api.struct)
globals.cmsgpack = protect(api.cmsgpack)
globals.cjson = protect(api.cjson)

-- redis.*, and server.* as Valkey names it. While a library is loaded it sees these alone, and less in them.
local while_loading = setmetatable({}, strict)
for _, name in base.ipairs({ 'redis', 'server' }) do
  local functions = api[name]
  function functions.replicate_commands()
    return true
  end
  globals[name] = protect(functions)
  local registering = copy(functions, {
    'log', 'LOG_DEBUG', 'LOG_VERBOSE', 'LOG_NOTICE', 'LOG_WARNING', 'REDIS_VERSION', 'REDIS_VERSION_NUM',
  })
  registering.register_function = api.register_function[name]
  while_loading[name] = protect(setmetatable(registering, strict))
end

setmetatable(globals, strict)
local of_G = { __index = globals, __newindex = refuse, __metatable = sealed }
shown[G] = globals
setmetatable(G, of_G)

local function loading(on)
  of_G.__index = on and while_loading or globals
end

-- What is compiled is run from here, so that a run is one call into Lua. A script reaches these frames by their levels
-- (getfenv, setfenv): they use no globals.
local kept, handler = api.kept, api.handler

local function evaluate(place, keys, args)
  globals.KEYS, globals.ARGV = keys, args
  return xpcall(kept[place], handler)
end

local function invoke(place, keys, args)
  local f = kept[place]
  return xpcall(function()
    return f(keys, args)
  end, handler)
end

local function load(f)
  return xpcall(f, handler)
end

return evaluate, invoke, load, loading
