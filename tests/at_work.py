"""Workers by hand: heartbeats, a run in the middle of its work, and moments that are made earlier."""

from rows import claimed, failed, finish_all, image_ids, jobs, record, take_due
from sqlalchemy import Engine, text

from db import store
from db.session import writing
from db.workers import Heartbeat, beat


def heartbeat(name: str, **more: object) -> Heartbeat:
    """A heartbeat of a worker that waits for jobs."""
    said = {
        "name": name, "host": "one", "pid": 7, "device": "cpu", "engine": None, "model": None, "version": "0.1.0",
        "stage": "idle", "images": 0, "busy": 0.0, "memory": None,
    }  # fmt: skip
    return Heartbeat(**{**said, **more})  # type: ignore[arg-type]


def put_back(engine: Engine, seconds: float, table: str, column: str, where: str = "1 = 1") -> None:
    """Makes a moment in a table so many seconds earlier."""
    earlier = {
        "sqlite": f"strftime('%Y-%m-%d %H:%M:%f000', {column}, '-{seconds} seconds')",
        "postgresql": f"{column} - interval '{seconds} seconds'",
    }[engine.dialect.name]
    with writing(engine) as session:
        session.execute(text(f"UPDATE {table} SET {column} = {earlier} WHERE {where}"))


def at_work(engine: Engine) -> str:
    """A worker with a job in hand and 6 images done, one that is gone, and a run of nine jobs; gives its id."""
    run_id = record(engine, [1] * 27, job_size=3)
    take_due(engine, room=5)
    ids = [job.id for job in jobs(engine, run_id)]
    beat(engine, heartbeat("box:1", device="cuda:0", engine="eager float16", model="timm/x", images=6, busy=0.95))
    beat(engine, heartbeat("box:2"))
    put_back(engine, 300, "workers", "seen_at", "name = 'box:2'")
    finish_all(engine, run_id, worker="box:1", only=1)
    claim = claimed(engine, ids[1], worker="box:1")
    assert store.finish(engine, claim, [], [failed(image_id) for image_id in image_ids(engine, claim)])
    claimed(engine, ids[2], worker="box:1")
    return run_id
