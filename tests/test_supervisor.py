"""The supervisor of a worker's processes: which devices they get, and what becomes of those that die."""

from pathlib import Path

import pytest
from place import Place
from rows import jobs

from db.errors import FAILED, WrongUse
from worker import parent
from worker.parent import devices_of


@pytest.mark.parametrize(
    ("wanted", "processes", "gpus", "expected"),
    [
        ("auto", None, 3, ["cuda:0", "cuda:1", "cuda:2"]),
        ("auto", 5, 2, ["cuda:0", "cuda:1", "cuda:0", "cuda:1", "cuda:0"]),
        ("auto", 1, 4, ["cuda:0"]),
        ("cuda", None, 2, ["cuda:0", "cuda:1"]),
        ("auto", None, 0, ["cpu"]),  # as CUDA_VISIBLE_DEVICES= asks for
        ("auto", 2, 0, ["cpu", "cpu"]),
        ("cpu", 2, 4, ["cpu", "cpu"]),
        ("cuda:1", None, 2, ["cuda:1"]),
        ("cuda:1", 2, 2, ["cuda:1", "cuda:1"]),
    ],
)
def test_there_is_a_process_for_each_gpu_or_as_many_as_asked_for(
    monkeypatch: pytest.MonkeyPatch, wanted: str, processes: int | None, gpus: int, expected: list[str]
) -> None:
    monkeypatch.setattr(Path, "exists", lambda path: path == Path("/dev/nvidiactl"))
    monkeypatch.setattr(parent, "_ask_torch", lambda question, device: f"{gpus}\n")
    assert devices_of(wanted, processes) == expected


def test_a_machine_without_gpu_works_on_its_cpu_and_does_not_load_torch_to_find_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Path, "exists", lambda path: False)
    monkeypatch.setattr(parent, "_ask_torch", None)
    assert devices_of("auto", None) == ["cpu"]


def test_a_gpu_that_was_named_and_is_not_there_is_told_in_one_line() -> None:
    with pytest.raises(WrongUse, match=r"no device cuda:99 here: .*; --device cpu always works"):
        devices_of("cuda:99", None)


def test_the_processes_of_a_worker_share_its_jobs_and_end_with_it(place: Place) -> None:
    run_id = place.record(list("abcd"), job_size=1)
    with place.worker("--processes", "2", JOB_TAKES="1") as worker:
        place.until(place.done)
        worker.terminate()
        assert worker.wait(20) == 0
    assert "2 process(es)" in place.log()
    assert len({job.worker for job in jobs(place.engine, run_id)}) == 2
    assert len({(job.worker or "").rpartition(":")[0] for job in jobs(place.engine, run_id)}) == 1


def test_a_process_that_dies_before_it_has_a_job_is_started_again_after_a_pause(place: Place) -> None:
    (place.faults / "start").touch()
    place.record(["a"], job_size=1)
    with place.worker() as worker:
        place.until(lambda: place.log().count("ended with exit code 3; it had no job in hand") == 2, sending=False)
        (place.faults / "start").unlink()
        place.until(place.done)
        assert worker.poll() is None


def test_a_worker_none_of_whose_processes_can_start_ends_instead_of_trying_for_ever(place: Place) -> None:
    (place.faults / "start").touch()
    with place.worker("--processes", "2") as worker:
        assert worker.wait(60) == FAILED
    assert "giving up: 5 processes in a row ended without a job" in place.log()
