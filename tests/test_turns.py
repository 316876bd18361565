"""Jobs of one process wait for their turn, side by side or alone, and no further one begins once it is to stop."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from threading import Event, Lock, Thread

import pytest

from worker import turns
from worker.turns import Company, Stopped, in_turn, patient


@pytest.fixture(autouse=True)
def told_to_stop() -> Iterator[Event]:
    yield turns.stopping
    turns.stopping.clear()


def test_several_jobs_are_side_by_side() -> None:
    company, both = Company(), threading.Barrier(2, timeout=30)

    def job() -> None:
        with company.beside_others():
            both.wait()

    other = Thread(target=job)
    other.start()
    job()
    other.join()


def test_a_job_that_must_be_alone_waits_for_those_inside_and_lets_no_other_in() -> None:
    company, happened = Company(), list[str]()
    inside, asked = ExitStack(), Event()
    inside.enter_context(company.beside_others())

    def alone() -> None:
        asked.set()
        with company.alone():
            happened.append("alone begins")
            later.start()
            later.join(0.3)
            happened.append("alone ends")

    def beside() -> None:
        with company.beside_others():
            happened.append("another")

    later = Thread(target=beside)
    waiting = Thread(target=alone)
    waiting.start()
    assert asked.wait(30)
    waiting.join(0.3)
    assert happened == []
    inside.close()
    waiting.join()
    later.join()
    assert happened == ["alone begins", "alone ends", "another"]


def test_a_job_whose_turn_has_not_come_when_the_process_is_told_to_stop_does_not_begin(told_to_stop: Event) -> None:
    lock, company = Lock(), Company()
    with lock, company.beside_others():
        threading.Timer(0.1, told_to_stop.set).start()
        with pytest.raises(Stopped), in_turn(lock):
            pass
        with pytest.raises(Stopped), company.alone():
            pass
    with pytest.raises(Stopped), in_turn(lock):  # nor if its turn comes later
        pass
    with pytest.raises(Stopped), company.beside_others():
        pass
    with patient(lock):  # a job that has begun goes on
        pass
    told_to_stop.clear()
    with in_turn(lock), company.alone():  # nothing is held still
        pass
