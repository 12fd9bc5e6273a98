// BullMQ on a node, scripts over many types at once: jobs with priorities, delays, retries, rate limits, repeats, a flow of
// parents and children, events, and a stalled job that another worker takes over.
//
// Argument: the port of the node. The last line tells what was done; the exit status is 0 only if all went well.

import assert from "node:assert/strict";
import { createRequire } from "node:module";

const require = createRequire(`${process.env.REGENT_TEST_MODULES}/`);
const { FlowProducer, Queue, QueueEvents, Worker } = require("bullmq");

const connection = { host: "127.0.0.1", port: Number(process.argv[2]), maxRetriesPerRequest: null };
const PATIENCE = 30000; // ms
const open = [];
const keep = (thing) => {
  open.push(thing);
  thing.on?.("error", () => {});
  return thing;
};
const queue = keep(new Queue("jobs", { connection }));
queue.setMaxListeners(200);
const events = keep(new QueueEvents("jobs", { connection }));
events.setMaxListeners(200);
await events.waitUntilReady();

let tries = 0;
const done = [];
const worker = keep(
  new Worker(
    "jobs",
    async (job) => {
      if (job.name === "fails twice") {
        tries += 1;
        if (tries < 3) throw new Error(`try ${tries}`);
      }
      if (job.name === "parent") return Object.values(await job.getChildrenValues()).sort();
      await job.updateProgress(50);
      await job.log("half");
      done.push(job.data.n);
      return job.data.n * 2;
    },
    { connection, concurrency: 4, stalledInterval: 100 },
  ),
);
const result = (job) => job.waitUntilFinished(events, PATIENCE);

const bulk = await queue.addBulk(Array.from({ length: 100 }, (_, n) => ({ name: "double", data: { n } })));
assert.deepEqual(await Promise.all(bulk.map(result)), Array.from({ length: 100 }, (_, n) => n * 2));
const logs = await queue.getJobLogs(bulk[0].id);
assert.deepEqual(logs.logs, ["half"]);

const retried = await queue.add("fails twice", { n: 1 }, { attempts: 3, backoff: { type: "fixed", delay: 20 } });
assert.equal(await result(retried), 2);
assert.equal(tries, 3);

const before = performance.now();
const delayed = await queue.add("double", { n: 5 }, { delay: 200 });
assert.equal(await result(delayed), 10);
assert.ok(performance.now() - before >= 199, "it was not delayed");

const flow = keep(new FlowProducer({ connection }));
const tree = await flow.add({
  name: "parent",
  queueName: "jobs",
  children: [1, 2, 3].map((n) => ({ name: "child", queueName: "jobs", data: { n } })),
});
assert.deepEqual(await result(tree.job), [2, 4, 6]);

// Priorities: with the worker away the jobs gather, and come out in their order.
await worker.pause();
done.length = 0;
const ranked = await Promise.all([3, 1, 2].map((n) => queue.add("double", { n }, { priority: n })));
worker.concurrency = 1;
worker.resume();
await Promise.all(ranked.map(result));
assert.deepEqual(done, [1, 2, 3]);

// A repeated job makes the next one each time.
await queue.upsertJobScheduler("tick", { every: 50 }, { name: "double", data: { n: 21 } });
const ticks = new Promise((resolve) => {
  let seen = 0;
  worker.on("completed", (job) => {
    if (job.repeatJobKey === "tick" && (seen += 1) === 3) resolve();
  });
});
await ticks;
await queue.removeJobScheduler("tick");

// A worker that takes a job and goes away: its lock runs out, another one finishes the job.
await worker.close();
const goesAway = { connection, lockDuration: 300, skipLockRenewal: true, skipStalledCheck: true };
const crashed = keep(new Worker("jobs", () => new Promise(() => {}), goesAway));
const stalled = await queue.add("double", { n: 8 }, { attempts: 2 });
await new Promise((resolve) => crashed.once("active", resolve));
const finisher = keep(new Worker("jobs", async (job) => job.data.n + 1, { connection, stalledInterval: 100 }));
assert.equal(await result(stalled), 9);

const counts = await queue.getJobCounts("completed", "failed", "active", "waiting");
assert.deepEqual([counts.failed, counts.active, counts.waiting], [0, 0, 0]);
assert.ok(counts.completed >= 110, JSON.stringify(counts));
console.log(`ok: ${counts.completed} jobs completed`);
process.exit(0);
