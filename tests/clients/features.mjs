// What applications use of ioredis beyond plain commands: pipelines, transactions, custom commands (scripts), streams with
// consumer groups, Pub/Sub, blocking pops, tracking with redirection, scan streams, key prefixes, binary values.
//
// Argument: the port of the node. The last line tells what was done; the exit status is 0 only if all went well.

import assert from "node:assert/strict";
import { createRequire } from "node:module";

const require = createRequire(`${process.env.REGENT_TEST_MODULES}/`);
const { Redis } = require("ioredis");

const port = Number(process.argv[2]);
const open = [];
const client = (options = {}) => {
  const redis = new Redis({ port, commandTimeout: 20000, ...options });
  open.push(redis);
  return redis;
};
const node = client();
const event = (emitter, name) =>
  new Promise((done, fail) => {
    emitter.once(name, (...args) => done(args));
    setTimeout(() => fail(new Error(`no ${name}`)), 20000).unref();
  });

const parts = {
  async pipelines() {
    const pipeline = node.pipeline();
    for (let number = 0; number < 1000; number += 1) pipeline.rpush("numbers", number);
    const replies = await pipeline.lrange("numbers", 0, 2).exec();
    assert.deepEqual(replies[1000], [null, ["0", "1", "2"]]);
    const failed = await node.pipeline().set("text", "word").incr("text").exec();
    assert.match(failed[1][0].message, /not an integer/);
    const auto = client({ enableAutoPipelining: true });
    assert.deepEqual(await Promise.all([auto.set("a", 1), auto.get("a"), auto.incr("a")]), ["OK", "1", 2]);
  },
  async transactions() {
    assert.deepEqual(await node.multi().set("x", 1).incr("x").get("x").exec(), [[null, "OK"], [null, 2], [null, "2"]]);
    const watching = client();
    await watching.watch("x");
    await node.set("x", 7);
    assert.equal(await watching.multi().incr("x").exec(), null);
    await assert.rejects(node.multi().set("x").exec(), /EXECABORT/);
  },
  async scripts() {
    node.defineCommand("take", {
      numberOfKeys: 1,
      lua: "local left = tonumber(redis.call('GET', KEYS[1]) or 0) - ARGV[1]; redis.call('SET', KEYS[1], left); return left",
    });
    await node.set("stock", 10);
    assert.equal(await node.take("stock", 3), 7);
    await node.script("FLUSH");
    assert.equal(await node.take("stock", 3), 4);
    const both = await node.pipeline().take("stock", 1).take("stock", 1).exec();
    assert.deepEqual(both, [[null, 3], [null, 2]]);
  },
  async streams() {
    for (let number = 0; number < 50; number += 1) await node.xadd("events", "*", "n", number);
    await node.xgroup("CREATE", "events", "readers", "0");
    const first = await node.xreadgroup("GROUP", "readers", "one", "COUNT", 30, "STREAMS", "events", ">");
    const second = await node.xreadgroup("GROUP", "readers", "two", "COUNT", 30, "STREAMS", "events", ">");
    assert.deepEqual([first[0][1].length, second[0][1].length], [30, 20]);
    assert.equal(await node.xack("events", "readers", ...first[0][1].map(([id]) => id)), 30);
    assert.equal((await node.xpending("events", "readers"))[0], 20);
    const waiting = client().xread("BLOCK", 20000, "STREAMS", "events", "$");
    const waits = async () => (await node.info("clients")).includes("blocked_clients:1");
    for (let tries = 0; !(await waits()); tries += 1) assert.ok(tries < 10000, "it never waited");
    await node.xadd("events", "*", "n", "late");
    assert.deepEqual((await waiting)[0][1][0][1], ["n", "late"]);
  },
  async pubsub() {
    const listener = client();
    await listener.subscribe("news");
    await listener.psubscribe("ne*");
    const heard = Promise.all([event(listener, "message"), event(listener, "pmessage")]);
    assert.equal(await node.publish("news", "item"), 2);
    assert.deepEqual(await heard, [["news", "item"], ["ne*", "news", "item"]]);
  },
  async tracking() {
    const listener = client({ protocol: 2 });
    const id = await listener.client("ID");
    await listener.subscribe("__redis__:invalidate");
    const reader = client({ protocol: 2 });
    await reader.client("TRACKING", "ON", "REDIRECT", id, "BCAST", "PREFIX", "user:");
    const told = event(listener, "message");
    await node.set("user:1", "changed");
    assert.equal(String((await told)[1]), "user:1");
  },
  async blocking() {
    const waiting = client().brpop("queue", 20);
    await node.lpush("queue", "job");
    assert.deepEqual(await waiting, ["queue", "job"]);
    assert.equal(await node.blmove("queue", "other", "LEFT", "RIGHT", 0.05), null);
  },
  async values() {
    await node.hset("map", Object.fromEntries(Array.from({ length: 300 }, (_, n) => [`f${n}`, n])));
    assert.equal(Object.keys(await node.hgetall("map")).length, 300);
    const found = new Set();
    await node.mset(...Array.from({ length: 200 }, (_, n) => [`scan:${n}`, n]).flat());
    for await (const keys of node.scanStream({ match: "scan:*", count: 20 })) keys.forEach((key) => found.add(key));
    assert.equal(found.size, 200);
    const bytes = Buffer.from([0, 255, 13, 10, 128]);
    await node.set("binary", bytes);
    assert.deepEqual(await node.getBuffer("binary"), bytes);
    const prefixed = client({ keyPrefix: "app:" });
    await prefixed.mset("one", 1, "two", 2);
    assert.deepEqual(await node.mget("app:one", "app:two"), ["1", "2"]);
    await node.zadd("scores", 1, "a", 2.5, "b");
    assert.deepEqual(await node.zrange("scores", 0, -1, "WITHSCORES"), ["a", "1", "b", "2.5"]);
  },
};

await node.flushall();
for (const part of Object.values(parts)) await part();
open.forEach((redis) => redis.disconnect());
console.log(`ok: ${Object.keys(parts).join(", ")}`);
