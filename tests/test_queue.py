"""Worker processes on a real Redis that is fooled, full, killed or cut off."""

import json
import time

from celery import Celery
from place import Place
from rows import jobs
from servers import free_port

from benchmarks.proxy import Proxy
from db.message import QUEUE, message_of


def test_each_forged_message_is_dropped_with_one_line_and_does_no_harm(place: Place) -> None:
    run_id = place.record(["a"], job_size=1)
    strange = [message_of(1) for _ in range(3)]
    strange[0]["headers"]["task"] = ["a", "list"]
    strange[1]["headers"] = None
    strange[2]["properties"].pop("body_encoding")
    place.redis.client.rpush(QUEUE, b"\xff\x00", "{", "{}", "7", "[" * 100_000, *map(json.dumps, strange))
    harmful = message_of(jobs(place.engine, run_id)[0].id)
    harmful["headers"] |= {"timelimit": [0.01, 0.01], "eta": "2199-01-01T00:00:00", "expires": "never", "retries": "x"}
    place.redis.client.rpush(QUEUE, json.dumps(harmful), json.dumps(message_of(10**6)))
    with place.worker():
        place.until(place.done)
        place.until(lambda: not place.redis.client.exists(QUEUE, "unacked"), sending=False)
    said = place.log()
    assert said.count("dropped a message that is no JSON, or no message") == 3
    assert said.count("dropped a message that names no job") == 5
    assert said.count("job 1000000: done, taken or cancelled already") == 1
    assert "Traceback" not in said
    assert jobs(place.engine, run_id)[0].attempts == 1  # the message with the time limit was done, without it


def test_unreadable_messages_beside_the_queue_end_no_worker(place: Place) -> None:
    place.record(["a"], job_size=1)
    client = place.redis.client
    with place.worker() as worker:
        place.until(lambda: client.pubsub_numpat(), sending=False)
        no_queue = json.dumps([message_of(1), "", ["a list"]]).encode()  # whose name is that of no queue
        for strange in (b"\xff", b"7", b"[1]", no_queue):
            client.hset("unacked", strange, strange)
            client.zadd("unacked_index", {strange: 1})
            client.publish("/0.celery.pidbox", strange)  # the channel of Celery's remote control
        place.until(lambda: not client.exists("unacked"), sending=False)
        place.until(place.done)
        assert worker.poll() is None
    assert place.log().count("dropped an unacknowledged message that cannot be read") == 4
    assert "Error in timer" not in place.log()
    assert "Traceback" not in place.log()


def test_a_worker_obeys_no_command_that_comes_over_redis(place: Place) -> None:
    place.record(["a"], job_size=1)
    with place.worker() as worker, Celery("stranger", broker=place.redis.url, set_as_current=False) as stranger:
        place.until(lambda: place.redis.client.pubsub_numpat(), sending=False)
        stranger.control.broadcast("shutdown")
        stranger.control.broadcast("cancel_consumer", arguments={"queue": QUEUE})
        (answer,) = stranger.control.ping(timeout=5, limit=1)
        place.until(place.done)
        assert worker.poll() is None
    assert next(iter(answer.values())) == {"ok": "pong"}


def test_a_message_delivered_two_hundred_times_is_done_once_and_all_are_acknowledged(place: Place) -> None:
    run_id = place.record(["a"], job_size=1)
    (job,) = jobs(place.engine, run_id)
    place.redis.client.rpush(QUEUE, *[json.dumps(message_of(job.id)) for _ in range(200)])
    with place.worker():
        place.until(lambda: not place.redis.client.exists(QUEUE, "unacked"), sending=False)
    (job,) = jobs(place.engine, run_id)
    assert (job.attempts, place.begun()) == (1, 1)
    assert place.predicted() == {"a"}
    assert place.log().count("done, taken or cancelled already") == 199


def test_a_message_lost_between_redis_and_the_worker_is_sent_again(place: Place) -> None:
    place.record(["a", "b"], job_size=1)
    place.send()
    place.redis.client.lpop(QUEUE)  # as if a worker died before it recorded which message it took
    with place.worker():
        place.until(place.done)
    assert place.predicted() == {"a", "b"}


def test_a_redis_that_is_full_is_waited_for_and_the_worker_says_so(place: Place) -> None:
    place.record(["a", "b", "c", "d"], job_size=1)
    place.send()
    with place.worker() as worker:
        place.redis.client.config_set("maxmemory", "1")
        place.until(lambda: "command not allowed when used memory > 'maxmemory'" in place.log(), sending=False)
        place.redis.client.config_set("maxmemory", "0")
        place.until(place.done)
        assert worker.poll() is None  # the same worker
    assert "Traceback" not in place.log()


def test_a_redis_that_is_killed_and_comes_back_empty_is_found_again(place: Place) -> None:
    place.record(["a", "b", "c", "d"], job_size=1)
    place.send()
    with place.worker(JOB_TAKES="1") as worker:
        place.until(lambda: place.begun())
        place.redis.kill()
        time.sleep(1)
        place.redis.start()
        place.until(place.done)
        assert worker.poll() is None
    assert place.predicted() == {"a", "b", "c", "d"}


def test_a_worker_started_before_its_queue_waits_for_it_if_it_is_told_to(place: Place) -> None:
    place.record(["a"], job_size=1)
    place.redis.kill()
    with place.worker("--wait") as worker:
        place.until(
            lambda: "is Redis up, and is SMOOTHVOTE_BROKER_URL right?; waiting for it" in place.log(), sending=False
        )
        place.redis.start()
        place.until(place.done)
        assert worker.poll() is None
    place.redis.kill()
    with place.worker() as hasty:
        assert hasty.wait(20) > 0


def test_a_failed_acknowledgement_does_not_stop_the_worker_for_ever(place: Place) -> None:
    """Celery alone would go on counting the message as unacknowledged, and take no other."""
    place.record(["a", "b"], job_size=1)
    with place.worker(JOB_TAKES="0.5"):
        place.until(lambda: place.begun())
        place.redis.client.config_set("maxmemory", "1")
        place.until(lambda: "Couldn't ack" in place.log(), sending=False)
        place.redis.client.config_set("maxmemory", "0")
        place.until(place.done, 30)
    assert place.predicted() == {"a", "b"}


def test_a_connection_that_falls_silent_during_a_job_is_replaced(place: Place) -> None:
    port, target = free_port(), free_port()
    place.redis.kill()
    place.redis.listen(target)
    proxy = Proxy(port, target)
    place.record(["a", "b"], job_size=1)
    with place.worker(SMOOTHVOTE_BROKER_URL=f"redis://127.0.0.1:{port}/0", JOB_TAKES="1"):
        place.until(lambda: place.begun())
        proxy.abandon()
        place.until(place.done)
        proxy.end()


def test_no_password_of_a_url_is_in_a_workers_log(place: Place) -> None:
    place.redis.client.config_set("requirepass", "hunter2")
    socket_file = place.redis.url.removeprefix("redis+socket://").partition("?")[0]
    place.record(["a"], job_size=1)
    url = f"redis+socket://:hunter2@{socket_file}?virtual_host=0"
    with place.worker(SMOOTHVOTE_BROKER_URL=url):
        place.until(lambda: "working on" in place.log(), sending=False)
        time.sleep(1)
        place.redis.kill()
        place.until(lambda: "Cannot connect" in place.log(), sending=False)
    assert "hunter2" not in place.log()
