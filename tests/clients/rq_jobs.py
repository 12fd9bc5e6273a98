"""RQ on a node: jobs, results, failures with retries, dependencies, scheduled jobs, a worker that is run until the queue is empty.

Argument: the port of the node. The last line tells what was done; the exit status is 0 only if all went well.
"""

import sys
import time
from datetime import timedelta

import redis
from rq import Queue, Retry, SimpleWorker
from rq.job import JobStatus

PORT = int(sys.argv[1])
PATIENCE = 20  # s


def double(number):
    return number * 2


def add_results(*jobs):
    return sum(jobs)


def fails_once(counter):
    if redis.Redis(port=PORT).incr(counter) == 1:
        raise ValueError("not yet")
    return "at last"


def always_fails():
    raise RuntimeError("never")


def work(queue, scheduler=False):
    SimpleWorker([queue], connection=queue.connection).work(burst=True, with_scheduler=scheduler, logging_level="CRITICAL")


def main():
    node = redis.Redis(port=PORT)
    node.flushall()
    queue = Queue("jobs", connection=node)
    jobs = [queue.enqueue(double, number) for number in range(50)]
    assert len(queue) == 50
    front = queue.enqueue(double, 1000, at_front=True)
    assert queue.job_ids[0] == front.id
    work(queue)
    assert [job.return_value() for job in jobs] == [number * 2 for number in range(50)] and front.return_value() == 2000

    behind = queue.enqueue(add_results, 1, 2, depends_on=[queue.enqueue(double, 1), queue.enqueue(double, 2)])
    assert behind.get_status() == JobStatus.DEFERRED
    retried = queue.enqueue(fails_once, "tries", retry=Retry(max=2))
    failed = queue.enqueue(always_fails)
    work(queue)
    assert behind.return_value() == 3 and retried.return_value() == "at last"
    assert failed.get_status() == JobStatus.FAILED and "RuntimeError: never" in failed.latest_result().exc_string
    assert failed.id in queue.failed_job_registry.get_job_ids()

    queue.enqueue_in(timedelta(milliseconds=1), double, 21)
    later = queue.scheduled_job_registry
    assert len(later.get_job_ids()) == 1
    scheduled = queue.fetch_job(later.get_job_ids()[0])
    deadline = time.monotonic() + PATIENCE
    while not scheduled.is_finished:
        assert time.monotonic() < deadline, "the scheduled job was not run"
        work(queue, scheduler=True)
        scheduled.refresh()
    assert scheduled.return_value() == 42
    print(f"ok: {len(queue.finished_job_registry)} jobs finished, {len(queue.failed_job_registry)} failed")


if __name__ == "__main__":
    import rq_jobs  # workers find jobs by a module's name, which `__main__` has not

    rq_jobs.main()
