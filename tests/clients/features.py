"""What applications use of redis-py beyond plain commands: locks, pipelines, transactions, scripts, functions, streams,
Pub/Sub, tracking, blocking pops, scans, bit fields, geo, and errors as exceptions of their own.

Argument: the port of the node. The last line tells what was done; the exit status is 0 only if all went well.
"""

import sys
import threading
import time

import redis
from redis.exceptions import LockError, NoScriptError, ResponseError, WatchError

PORT = int(sys.argv[1])
PATIENCE = 20  # s


def client(**options):
    return redis.Redis(port=PORT, decode_responses=True, socket_timeout=PATIENCE, **options)


def until(what, condition):
    deadline = time.monotonic() + PATIENCE
    while not (value := condition()):
        assert time.monotonic() < deadline, what
        time.sleep(0.005)
    return value


def locks(node):
    lock = node.lock("lock", timeout=10)
    assert lock.acquire(blocking=False)
    assert not node.lock("lock", timeout=10).acquire(blocking=False)
    assert lock.extend(20) and 20 < node.ttl("lock") <= 30
    assert lock.reacquire() and node.ttl("lock") <= 10
    lock.release()
    try:
        lock.release()
        raise AssertionError("a lock was released twice")
    except LockError:
        pass

    entered = []

    def worker(number):
        own = client()
        for _ in range(10):
            with own.lock("shared", timeout=30, sleep=0.001):
                entered.append(number)
                seen = int(own.get("guarded") or 0)
                own.set("guarded", seen + 1)

    threads = [threading.Thread(target=worker, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert node.get("guarded") == "40" and len(entered) == 40


def pipelines(node):
    with node.pipeline(transaction=False) as pipe:
        for number in range(1000):
            pipe.rpush("numbers", number)
        pipe.lrange("numbers", -2, -1)
        replies = pipe.execute()
    assert replies[:-1] == list(range(1, 1001)) and replies[-1] == ["998", "999"]
    with node.pipeline() as pipe:
        pipe.set("text", "word").incr("text").get("text")
        replies = pipe.execute(raise_on_error=False)
    assert replies[0] is True and isinstance(replies[1], ResponseError) and replies[2] == "word"


def transactions(node):
    node.set("balance", 100)
    with node.pipeline() as pipe:
        pipe.watch("balance")
        before = int(pipe.get("balance"))
        client().set("balance", 50)
        pipe.multi()
        pipe.set("balance", before - 10)
        try:
            pipe.execute()
            raise AssertionError("a watched key had changed")
        except WatchError:
            pass

    def take(pipe):
        left = int(pipe.get("balance"))
        pipe.multi()
        pipe.set("balance", left - 10)

    node.transaction(take, "balance")
    assert node.get("balance") == "40"


def scripts(node):
    add = node.register_script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
    assert add(keys=["sum"], args=[5]) == 5
    node.script_flush()
    try:
        node.evalsha(add.sha, 1, "sum", 5)
        raise AssertionError("the script was flushed")
    except NoScriptError:
        pass
    assert add(keys=["sum"], args=[5]) == 10, "it is loaded again by itself"
    nested = node.eval("return {1, 'two', {3, false}, redis.status_reply('FINE')}", 0)
    assert nested == [1, "two", [3, None], "FINE"], nested
    node.function_load(
        "#!lua name=shelf\nredis.register_function('put', function(keys, args) return redis.call('SET', keys[1], args[1]) end)",
        replace=True,
    )
    assert node.fcall("put", 1, "shelved", "book") == "OK" and node.get("shelved") == "book"


def streams(node):
    ids = [node.xadd("events", {"n": number}, maxlen=1000) for number in range(100)]
    assert node.xlen("events") == 100 and [entry[0] for entry in node.xrange("events", count=2)] == ids[:2]
    node.xgroup_create("events", "readers", id="0")
    seen = []

    def reader(name):
        own = client()
        while batch := own.xreadgroup("readers", name, {"events": ">"}, count=7, block=200):
            entries = (batch.items() if isinstance(batch, dict) else batch)
            for _, found in entries:
                found = found[0] if found and isinstance(found[0], list) else found
                for entry, fields in found:
                    seen.append(int(fields["n"]))
                    own.xack("events", "readers", entry)

    threads = [threading.Thread(target=reader, args=(name,)) for name in ("first", "second")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == list(range(100)), "each entry went to one reader"
    assert node.xpending("events", "readers")["pending"] == 0
    node.xadd("events", {"n": 100})
    node.xreadgroup("readers", "first", {"events": ">"})
    claimed = node.xautoclaim("events", "readers", "second", min_idle_time=0)
    assert claimed[1][0][1] == {"n": "100"}, claimed
    assert node.xinfo_stream("events")["length"] == 101


def pubsub(node):
    heard = []
    listener = client().pubsub()
    listener.subscribe(**{"news": lambda message: heard.append(message["data"])})
    listener.psubscribe(**{"new*": lambda message: heard.append(message["pattern"])})
    thread = listener.run_in_thread(sleep_time=0.01)
    until("it is subscribed", lambda: node.pubsub_numsub("news") == [("news", 1)] and node.pubsub_numpat() == 1)
    assert node.publish("news", "item") == 2
    until("both are told", lambda: sorted(heard) == ["item", "new*"])
    thread.stop()
    thread.join()
    sharded = client().pubsub()
    sharded.ssubscribe("shard")
    until("it is subscribed", lambda: sharded.get_message(timeout=0.1))
    assert node.execute_command("SPUBLISH", "shard", "piece") == 1
    assert until("a message", lambda: sharded.get_message(timeout=0.1))["data"] == "piece"


def tracking(node):
    listener = client(protocol=2)
    pubsub = listener.pubsub()
    pubsub.subscribe("__redis__:invalidate")
    until("it is subscribed", lambda: pubsub.get_message(timeout=0.1))
    ours = [entry["id"] for entry in node.client_list() if int(entry["sub"]) == 1]
    reader = client(protocol=2, single_connection_client=True)
    reader.execute_command("CLIENT", "TRACKING", "ON", "REDIRECT", ours[0])
    node.set("cached", "old")
    assert reader.get("cached") == "old"
    node.set("cached", "new")
    told = until("the key is invalid", lambda: pubsub.get_message(timeout=0.1))
    assert told["data"] == ["cached"], told


def keyspace_events(node):
    node.config_set("notify-keyspace-events", "KEA")
    listener = client().pubsub()
    listener.psubscribe("__keyevent@0__:*")
    until("it is subscribed", lambda: listener.get_message(timeout=0.1))
    node.set("brief", "x", px=30)
    seen = []

    def expired():
        if message := listener.get_message(timeout=0.1):
            seen.append((message["channel"].partition(":")[2], message["data"]))
        return ("expired", "brief") in seen

    until("the key expires", expired)
    assert ("set", "brief") in seen and ("expire", "brief") in seen, seen


def blocking(node):
    got = []
    thread = threading.Thread(target=lambda: got.append(client().blpop(["jobs:high", "jobs:low"], timeout=PATIENCE)))
    thread.start()
    until("it waits", lambda: node.info("clients")["blocked_clients"] >= 1)
    node.rpush("jobs:low", "job")
    thread.join()
    assert [list(pair) for pair in got] == [["jobs:low", "job"]], got
    assert node.blpop("nothing", timeout=0.05) is None
    node.zadd("scores", {"a": 1, "b": 2})
    assert list(node.bzpopmin("scores", timeout=1)) == ["scores", "a", 1.0]


def values(node):
    for number in range(500):
        node.hset("map", f"field:{number}", number)
    assert len(dict(node.hscan_iter("map", count=50))) == 500
    node.mset({f"scan:{number}": number for number in range(300)})
    assert len(set(node.scan_iter("scan:*", count=20))) == 300
    fields = node.bitfield("bits", default_overflow="SAT")
    assert fields.set("u8", "#0", 250).incrby("u8", "#0", 10).get("u8", "#0").execute() == [0, 255, 255]
    node.geoadd("places", (13.361389, 38.115556, "Palermo", 15.087269, 37.502669, "Catania"))
    assert abs(node.geodist("places", "Palermo", "Catania", unit="km") - 166.2742) < 0.001
    assert node.geosearch("places", longitude=15, latitude=37, radius=100, unit="km") == ["Catania"]
    node.pfadd("visitors", *range(1000))
    assert 970 < node.pfcount("visitors") < 1030
    assert node.getex("scan:1", ex=100) == "1" and 0 < node.ttl("scan:1") <= 100
    assert node.lcs("shelved", "shelved") == "book"


def main():
    node = client()
    node.flushall()
    parts = [locks, pipelines, transactions, scripts, streams, pubsub, tracking, keyspace_events, blocking, values]
    for part in parts:
        part(node)
    print(f"ok: {', '.join(part.__name__ for part in parts)}")


main()
