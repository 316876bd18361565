"""What a submission writes, on both databases: images as they come, jobs, and nothing at all if it is interrupted."""

import time
import tracemalloc
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
from sqlalchemy import Engine, func, select, text
from sqlalchemy.exc import OperationalError

from db.outage import passes
from db.recipe import make_recipe
from db.session import reading, writing
from db.store import Entry
from db.submission import record_dataset, record_run
from db.tables import Dataset, Image, Job

RECIPE = make_recipe(model="efficientnet_lite0", levels=(0.0, 0.25))
ENTRIES = [
    Entry(path="a/b c.jpg", label=7, bytes=3 * 2**32),
    Entry(path='tab\t, line\n, \\N, \\. and "ä".jpg', label=None, bytes=None),
    Entry(path="\\N", label=0, bytes=0),
]


def record(engine: Engine, entries: Iterable[Entry], *, root: str = "/images", fingerprint: str = "f") -> int:
    with writing(engine) as session:
        return record_dataset(
            session, name="images", root=root, fingerprint=fingerprint, found=9, entries=entries
        )  # fmt: skip


def recorded(engine: Engine) -> list[Entry]:
    with reading(engine) as session:
        rows = session.execute(select(Image.path, Image.label, Image.bytes).order_by(Image.position))
        return [Entry(path=row.path, label=row.label, bytes=row.bytes) for row in rows]


def nothing_recorded(engine: Engine) -> bool:
    with reading(engine) as session:
        return not any(session.scalar(select(func.count()).select_from(table)) for table in (Dataset, Image, Job))


def test_images_are_recorded_as_they_are_and_in_order(engine: Engine) -> None:
    dataset_id = record(engine, iter(ENTRIES))
    assert recorded(engine) == ENTRIES
    with reading(engine) as session:
        assert list(session.scalars(select(Image.position).order_by(Image.id))) == [0, 1, 2]
        dataset = session.get_one(Dataset, dataset_id)
        assert (dataset.size, dataset.found, dataset.root) == (3, 9, "/images")


def test_images_of_a_known_dataset_are_not_asked_for_again(engine: Engine) -> None:
    def never() -> Iterator[Entry]:
        raise AssertionError("its images are known")
        yield

    assert record(engine, ENTRIES) == record(engine, never(), root="/elsewhere")
    assert recorded(engine) == ENTRIES
    with reading(engine) as session:
        assert session.scalars(select(Dataset.root)).one() == "/elsewhere"


def test_an_interrupted_submission_records_nothing_and_the_next_one_all(engine: Engine) -> None:
    def interrupted() -> Iterator[Entry]:
        yield from (Entry(path=f"{number}.jpg", label=1, bytes=1) for number in range(25_000))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        record(engine, interrupted())
    assert nothing_recorded(engine)
    record(engine, ENTRIES)
    assert recorded(engine) == ENTRIES


def test_images_are_not_all_in_memory_at_once(engine: Engine) -> None:
    entries = (Entry(path=f"{number:0200d}.jpg", label=1, bytes=1) for number in range(50_000))
    record(engine, ENTRIES, fingerprint="first")  # imports the driver, and compiles the statements
    tracemalloc.start()
    try:
        record(engine, entries)
        # 10 MB of paths; SQLite is given 10,000 rows at once.
        assert tracemalloc.get_traced_memory()[1] < 8e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("images", "size", "spans"),
    [(0, 4, []), (1, 4, [(0, 0)]), (8, 4, [(0, 3), (4, 7)]), (9, 4, [(0, 3), (4, 7), (8, 8)]), (3, 1, [(0, 0), (1, 1), (2, 2)])],
)  # fmt: skip
def test_jobs_are_spans_of_all_images_in_order(
    engine: Engine, images: int, size: int, spans: list[tuple[int, int]]
) -> None:
    dataset_id = record(engine, [Entry(path=f"{number}.jpg", label=1, bytes=1) for number in range(images)])
    with writing(engine) as session:
        assert record_run(session, run_id="r", dataset_id=dataset_id, name="r", recipe=RECIPE, job_size=size)
    with reading(engine) as session:
        jobs = session.execute(select(Job.first, Job.last, Job.copies_first, Job.copies_last).order_by(Job.id)).all()
    assert [tuple(job) for job in jobs] == [(*span, 0, 0) for span in spans]


def test_two_producers_of_one_dataset_share_it_and_the_second_waits_for_the_first(engine: Engine) -> None:
    begun, go_on = Event(), Event()

    def slowly() -> Iterator[Entry]:
        begun.set()
        assert go_on.wait(60)
        yield from ENTRIES

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(record, engine, slowly())
        assert begun.wait(60)
        second = threads.submit(record, engine, iter(ENTRIES))
        time.sleep(0.3)
        assert not second.done()
        go_on.set()
        assert first.result(60) == second.result(60)
    assert recorded(engine) == ENTRIES


def test_a_connection_that_is_lost_while_images_are_copied_is_an_outage(engine: Engine) -> None:
    if engine.dialect.name != "postgresql":
        pytest.skip("SQLite has no connection that could be lost")

    def ended() -> Iterator[Entry]:
        yield ENTRIES[0]
        others = text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
                      "AND pid <> pg_backend_pid()")  # fmt: skip
        with engine.connect() as connection:
            connection.execute(others)
        yield from ENTRIES * 100_000

    with pytest.raises(OperationalError) as caught:
        record(engine, ended())
    assert passes(caught.value)
    assert nothing_recorded(engine)
