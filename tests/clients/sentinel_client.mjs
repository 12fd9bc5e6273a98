// Follows a failover with ioredis' Sentinel support: writes all along, and goes on when the master is killed.
//
// Arguments: the name of the master, the seconds that writes may be refused, the ports of the sentinels.
// Prints "writing" when its first writes were acknowledged; ends when writes go on behind another master.
// The last line tells what came of it; the exit status is 0 only if all went well.

import { createRequire } from "node:module";

// The modules stand where REGENT_TEST_MODULES says, outside of the source.
const require = createRequire(`${process.env.REGENT_TEST_MODULES}/`);
const { Redis } = require("ioredis");

const [name, patienceText, ...ports] = process.argv.slice(2);
const patience = Number(patienceText) * 1000; // ms
const WRITES = 200; // before the first word, and again behind the new master
const KEY = "followed:node";

const finish = (status, text) => {
  console.log(text);
  process.exit(status);
};
const pause = (ms) => new Promise((done) => setTimeout(done, ms));
const sentinels = ports.map((port) => ({ host: "127.0.0.1", port: Number(port) }));
const master = new Redis({
  sentinels,
  name,
  maxRetriesPerRequest: 0,
  sentinelRetryStrategy: () => 50,
  retryStrategy: () => 50,
  commandTimeout: 1000,
});
master.on("error", () => {}); // told by the commands

const address = () => `${master.stream?.remoteAddress}:${master.stream?.remotePort}`;
let [last, written, since, gap, troubles] = [0, 0, 0, 0, 0];
let began = "";
let current = "";
let told = false;
let heard = performance.now();
const deadline = heard + 4 * patience;
while (since < WRITES) {
  if (performance.now() > deadline) {
    finish(1, `no failover was seen: ${written} writes to ${began}, ${troubles} refused`);
  }
  try {
    const value = await master.incr(KEY);
    const now = performance.now();
    current = address();
    if (began === "") began = current;
    if (told) gap = Math.max(gap, now - heard);
    heard = now;
    written += 1;
    if (current !== began) {
      if (since === 0) last = 0; // the tail that the old master had alone may be gone
      since += 1;
    }
    if (value <= last) finish(1, `the counter went back from ${last} to ${value}`);
    last = value;
    if (written === WRITES) {
      told = true;
      console.log("writing");
    }
  } catch {
    troubles += 1; // gone, loading, NOREPLICAS
    if (performance.now() - heard > patience) finish(1, `no write was accepted for ${patience / 1000} s`);
    await pause(20);
  }
}
const value = Number(await master.get(KEY));
if (value !== last) finish(1, `the master reads ${value}, ${last} was written last`);
finish(0, `ok: ${written} writes, ${troubles} refused, none accepted for ${(gap / 1000).toFixed(2)} s, ${began} -> ${current}`);
