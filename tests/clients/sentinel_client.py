"""Follows a failover with redis-py's Sentinel support: writes all along, and goes on when the master is killed.

Arguments: the name of the master, the seconds that writes may be refused, the ports of the sentinels.
Prints "writing" when its first writes were acknowledged; ends when writes go on behind another master.
The last line tells what came of it; the exit status is 0 only if all went well.
"""

import sys
import time

from redis.exceptions import ConnectionError, ReadOnlyError, ResponseError, TimeoutError
from redis.sentinel import MasterNotFoundError, Sentinel

NAME, PATIENCE, PORTS = sys.argv[1], float(sys.argv[2]), sys.argv[3:]
WRITES = 200  # before the first word, and again behind the new master
KEY = "followed:python"


def main():
    sentinel = Sentinel([("127.0.0.1", int(port)) for port in PORTS], socket_timeout=1)
    master = sentinel.master_for(NAME, socket_timeout=1)
    began = sentinel.discover_master(NAME)
    replicas = sentinel.discover_slaves(NAME)
    if not replicas:
        return "no replicas discovered"
    last, written, since, gap, troubles = 0, 0, 0, 0.0, 0
    told = False
    current = began
    heard = time.monotonic()
    deadline = heard + 4 * PATIENCE
    while since < WRITES:
        if time.monotonic() > deadline:
            return f"no failover was seen: {written} writes to {began}, {troubles} refused"
        try:
            value = master.incr(KEY)
            now = time.monotonic()
            if told:
                gap = max(gap, now - heard)
            heard = now
            written += 1
            if current != began:
                if since == 0:
                    last = 0  # the tail that the old master had alone may be gone
                since += 1
            if value <= last:
                return f"the counter went back from {last} to {value}"
            last = value
            if written == WRITES:
                told = True
                print("writing", flush=True)
        except (ConnectionError, TimeoutError, ReadOnlyError, ResponseError):  # gone, loading, NOREPLICAS
            troubles += 1
            if time.monotonic() - heard > PATIENCE:
                return f"no write was accepted for {PATIENCE} s"
            time.sleep(0.02)
        if told and current == began:
            try:
                current = sentinel.discover_master(NAME)
            except MasterNotFoundError:
                pass
    value = int(master.get(KEY))
    if value != last:
        return f"the master reads {value}, {last} was written last"
    if master.connection_pool.master_address == began:
        return "the connection still goes to the old master"
    print(f"ok: {written} writes, {troubles} refused, none accepted for {gap:.2f} s, {began} -> {current}")
    return None


trouble = main()
if trouble:
    print(trouble)
    sys.exit(1)
