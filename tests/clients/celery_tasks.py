"""Celery with a node, or with what its sentinels name, as broker and as result store: tasks, retries, groups, chords, delays.

Arguments: `direct` and the port of the node; or `sentinel`, the master's name and the sentinels' ports. Through sentinels it
prints "writing" when the first tasks are done, and goes on until tasks are done again behind another master.
The last line tells what was done; the exit status is 0 only if all went well.
"""

import sys
import time

import redis
from celery import Celery, chord, group
from celery.contrib.testing.worker import start_worker
from redis.sentinel import MasterNotFoundError, Sentinel

MODE, PLACE, PORTS = sys.argv[1], sys.argv[2], sys.argv[3:]
PATIENCE = 90  # s

app = Celery("tasks")
if MODE == "direct":
    url = f"redis://127.0.0.1:{PLACE}/0"
    app.conf.update(broker_url=url, result_backend=url)
else:
    url = ";".join(f"sentinel://127.0.0.1:{port}" for port in PORTS)
    options = {"master_name": PLACE, "socket_timeout": 1, "retry_on_timeout": True}
    app.conf.update(
        broker_url=url,
        result_backend=url,
        broker_transport_options=options | {"visibility_timeout": 5},
        result_backend_transport_options=options,
        redis_retry_on_timeout=True,
    )
app.conf.update(
    broker_connection_retry_on_startup=True,
    task_acks_late=True,
    worker_hijack_root_logger=False,
    worker_cancel_long_running_tasks_on_connection_loss=True,
)


@app.task
def add(one, other):
    return one + other


@app.task
def total(numbers):
    return sum(numbers)


@app.task(bind=True, max_retries=3)
def third_time(self):
    if self.request.retries < 2:
        raise self.retry(countdown=0.01)
    return self.request.retries


def direct():
    redis.Redis(port=int(PLACE)).flushall()
    with start_worker(app, pool="threads", concurrency=4, perform_ping_check=False, shutdown_timeout=30):
        results = [add.delay(number, 1) for number in range(50)]
        assert [result.get(timeout=PATIENCE) for result in results] == list(range(1, 51))
        assert third_time.delay().get(timeout=PATIENCE) == 2
        assert sorted(group(add.s(n, n) for n in range(10))().get(timeout=PATIENCE)) == list(range(0, 20, 2))
        assert chord((add.s(n, n) for n in range(10)), total.s())().get(timeout=PATIENCE) == 90
        assert (add.s(1, 2) | add.s(10)).delay().get(timeout=PATIENCE) == 13
        before = time.monotonic()
        assert add.apply_async((1, 1), countdown=0.3).get(timeout=PATIENCE) == 2 and time.monotonic() - before > 0.29
    return "ok: tasks, retries, groups, chords, chains, delays"


def through_sentinels():
    sentinel = Sentinel([("127.0.0.1", int(port)) for port in PORTS], socket_timeout=1)
    began = sentinel.discover_master(PLACE)
    deadline = time.monotonic() + PATIENCE
    done, troubles, since, told = 0, 0, 0, False
    with start_worker(app, pool="threads", concurrency=2, perform_ping_check=False, shutdown_timeout=30):
        while since < 20:
            if time.monotonic() > deadline:
                return f"{done} tasks done, {since} behind the new master, {troubles} troubles"
            try:
                assert add.delay(done, 1).get(timeout=5) == done + 1
                done += 1
                since += sentinel.discover_master(PLACE) != began
            except (redis.exceptions.RedisError, MasterNotFoundError, OSError):
                troubles += 1
            except Exception as error:  # kombu wraps what the broker said; a result that was lost is a timeout
                if type(error).__name__ not in ("OperationalError", "TimeoutError"):
                    raise
                troubles += 1
            if done == 20 and not told:
                told = True
                print("writing", flush=True)
    return f"ok: {done} tasks done, {since} of them behind the new master, {troubles} troubles"


said = direct() if MODE == "direct" else through_sentinels()
print(said, flush=True)
sys.exit(0 if said.startswith("ok") else 1)
