"""A real worker process, seen from outside: its heartbeat in the record, its port, its log."""

import json
import os
import signal
import urllib.error

from place import Place
from servers import free_port
from test_monitor import ask

from db.session import reading
from db.workers import WorkerSeen, read_workers


def seen(place: Place) -> list[WorkerSeen]:
    with reading(place.engine) as session:
        return read_workers(session, [])


def test_a_worker_is_seen_while_it_works_and_leaves_when_it_ends_in_order(place: Place) -> None:
    run_id = place.record(list("ab"), job_size=1)
    port = free_port()
    with place.worker(
        JOB_TAKES="2", SMOOTHVOTE_METRICS_PORT=str(port), SMOOTHVOTE_LOG_FORMAT="json", SMOOTHVOTE_WORKER_NAME="box"
    ) as worker:
        place.until(lambda: answers(port, "/readyz") == 200, sending=False)
        assert answers(port, "/healthz") == 200
        (there,) = seen(place)
        assert (there.state, there.heartbeat.device) == ("idle", "cpu")
        assert there.heartbeat.name.startswith("box:")
        place.until(lambda: seen(place)[0].in_hand)
        assert seen(place)[0].in_hand[0].run_id == run_id
        place.until(place.done)
        place.until(lambda: 'smoothvote_worker_jobs_total{end="stored"} 2.0' in ask(port, "/metrics")[1])
        said = ask(port, "/metrics")[1]
        assert "smoothvote_worker_images_total 2.0" in said
        assert f'name="{there.heartbeat.name}"' in said
        worker.terminate()
        assert worker.wait(30) == 0
    assert seen(place) == []
    lines = [json.loads(line) for line in place.log().splitlines() if line.startswith("{")]
    (stored, *_) = (line for line in lines if "1 images, 0 without" in line["message"])
    assert (stored["run"], stored["level"]) == (run_id, "info")
    assert stored["message"].startswith(f"job {stored['job']} of run {run_id}")
    assert stored["worker"] == there.heartbeat.name


def test_a_process_that_was_killed_leaves_the_list_with_its_replacement_in_it(place: Place) -> None:
    with place.worker():
        place.until(lambda: seen(place))
        (first,) = seen(place)
        first_pid = first.heartbeat.pid
        os.kill(first_pid, signal.SIGKILL)
        place.until(lambda: [worker.heartbeat.pid for worker in seen(place)] not in ([], [first_pid]))
        assert len(seen(place)) == 1


def answers(port: int, path: str) -> int:
    """The status of an answer; 0 where nothing listens."""
    try:
        return ask(port, path)[0]
    except urllib.error.URLError:
        return 0
