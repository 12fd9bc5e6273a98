"""Django's cache and its sessions on a node.

Argument: the port of the node. The last line tells what was done; the exit status is 0 only if all went well.
"""

import sys
import time

import django
from django.conf import settings

settings.configure(
    CACHES={
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": f"redis://127.0.0.1:{sys.argv[1]}/3",
            "KEY_PREFIX": "site",
        }
    },
    SESSION_ENGINE="django.contrib.sessions.backends.cache",
    SECRET_KEY="test",
)
django.setup()

from django.contrib.sessions.backends.cache import SessionStore  # noqa: E402
from django.core.cache import cache  # noqa: E402

PATIENCE = 20  # s


def main():
    cache.clear()
    assert cache.get("page") is None and cache.get("page", "none") == "none"
    page = {"title": "A page", "tags": ["one", "two"], "body": b"\x00\xff" * 5000}
    cache.set("page", page, timeout=100)
    assert cache.get("page") == page
    assert cache.add("page", "other") is False and cache.add("new", 1) is True
    assert cache.incr("new", 5) == 6 and cache.decr("new") == 5
    try:
        cache.incr("missing")
        raise AssertionError("a missing counter was raised")
    except ValueError:
        pass
    cache.set_many({f"item:{number}": number for number in range(200)}, timeout=100)
    assert cache.get_many(f"item:{number}" for number in range(200)) == {f"item:{n}": n for n in range(200)}
    cache.delete_many(["item:0", "item:1"])
    assert cache.get("item:0") is None and "item:2" in cache and cache.delete("item:3") and not cache.delete("item:3")
    assert cache.touch("page", 200) and not cache.touch("missing", 200)
    assert cache.get_or_set("made", lambda: "once", 100) == "once" and cache.get_or_set("made", "twice", 100) == "once"
    cache.set("versioned", "two", version=2)
    assert cache.get("versioned") is None and cache.get("versioned", version=2) == "two"
    cache.set("forever", "kept", timeout=None)
    cache.set("brief", "x", timeout=1)
    deadline = time.monotonic() + PATIENCE
    while cache.get("brief") is not None:
        assert time.monotonic() < deadline, "a key outlived its deadline"
        time.sleep(0.01)
    assert cache.get("forever") == "kept"

    session = SessionStore()
    session["user"] = 7
    session.create()
    key = session.session_key
    assert SessionStore(key)["user"] == 7
    session.cycle_key()
    assert SessionStore(session.session_key)["user"] == 7 and not SessionStore().exists(key)
    session.flush()
    print("ok: cache and sessions")


main()
