"""The tables of the record.

    datasets --(1..n)--> images
        |
        +--(1..n)--> runs --(1..n)--> jobs          a job is a span of images, at all levels of its run
                       |
                       +--(0..n)--> predictions     one for each (run, image, level) of a vote; never changed
                       +--(0..n)--> counts          of a certificate: how many copies of a part got a label
                       +--(0..n)--> failures        one for each (run, image) that could not be used
                       +--(0..n)--> summaries       one for each level of a complete run: its counts

    workers                                         one for each worker process: what it does now

Redis only carries the ids of jobs. If all of Redis is lost, nothing that is here is lost.
"""

from datetime import UTC, datetime
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    BigInteger,
    ColumnElement,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.sql.functions import FunctionElement

#: The newest migration, as a generation and a step of two digits each. `smoothvote db upgrade` brings a database to it.
REVISION = "0203"


class Utc(TypeDecorator[datetime]):
    """A moment in UTC. SQLite stores no time zone, so it is added when a value is read."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Called by SQLAlchemy for each value it reads."""
        return value.replace(tzinfo=UTC) if value and value.tzinfo is None else value


class now(FunctionElement[datetime]):  # lower case, as SQLAlchemy's own functions are
    """The time of the database's clock, plus some seconds. The clocks of workers may be wrong, and are not used."""

    type = Utc()
    inherit_cache = True

    def __init__(self, plus: float | ColumnElement[float] | None = None) -> None:
        super().__init__(*([] if plus is None else [plus]))


@compiles(now)
def _now(element: now, compiler: Any, **kw: Any) -> str:
    plus = compiler.process(element.clauses, **kw)
    return f"now() + {plus} * interval '1 second'" if plus else "now()"


@compiles(now, "sqlite")
def _now_sqlite(element: now, compiler: Any, **kw: Any) -> str:
    # Six decimals, as SQLAlchemy writes them: SQLite compares moments as text.
    plus = compiler.process(element.clauses, **kw)
    return f"strftime('%Y-%m-%d %H:%M:%f000', 'now', {plus or 0} || ' seconds')"


#: SQLite numbers new rows only if the type of the column is exactly INTEGER.
Id = BigInteger().with_variant(Integer, "sqlite")


class Base(DeclarativeBase):
    type_annotation_map: ClassVar[dict[Any, Any]] = {datetime: Utc(), float: Double(), dict[str, Any]: JSON()}


class Dataset(Base):
    __tablename__ = "datasets"

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    name: Mapped[str]
    #: A folder or URL; a path relative to SMOOTHVOTE_IMAGE_ROOT if the producer had that set. Of shards: db/shards.py.
    root: Mapped[str]
    #: sha256 over each image's path, size, time of change and label.
    fingerprint: Mapped[str] = mapped_column(unique=True)
    #: Number of images.
    size: Mapped[int]
    #: Number of images found, before --limit.
    found: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(server_default=now())


class Image(Base):
    __tablename__ = "images"
    __table_args__ = (UniqueConstraint("dataset_id", "position"),)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    dataset_id: Mapped[int] = mapped_column(ForeignKey("datasets.id", ondelete="CASCADE"))
    #: 0, 1, 2, … within the dataset; a job is a span of positions.
    position: Mapped[int]
    #: Relative to the dataset's root, with forward slashes. Of an image in a shard: db/shards.py.
    path: Mapped[str]
    #: Index of the true class; NULL if unknown.
    label: Mapped[int | None]
    #: Size of the file or shard when it was submitted. A worker that finds another size reports the image as changed.
    bytes: Mapped[int | None] = mapped_column(BigInteger)


class Run(Base):
    __tablename__ = "runs"

    #: Hash of the recipe and the dataset's fingerprint: Recipe.run_id.
    id: Mapped[str] = mapped_column(primary_key=True)
    dataset_id: Mapped[int] = mapped_column(ForeignKey("datasets.id"))
    name: Mapped[str]
    recipe: Mapped[dict[str, Any]]
    #: How many noisy copies of each image the run has: 1 for a vote, n0 + n for a certificate. It may grow.
    copies: Mapped[int] = mapped_column(server_default="1")
    #: What the levels measure: the fields of a db.axis.Axis. NULL, in runs older than revision 0100: Gaussian noise.
    axis: Mapped[dict[str, Any] | None]
    #: sha256 of the weights that the first worker loaded; later workers must have the same.
    weights_sha256: Mapped[str | None]
    #: The preprocessing that the first worker used: the recipe's, and the weights' own where the recipe leaves it open.
    preprocessing: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime] = mapped_column(server_default=now())
    #: When it was submitted last; `latest` is the run with the newest.
    submitted_at: Mapped[datetime] = mapped_column(server_default=now())
    cancelled_at: Mapped[datetime | None]
    #: Jobs of runs with a higher priority are sent first; runs of the same priority share the workers.
    priority: Mapped[int] = mapped_column(server_default="0")
    #: When it was paused; NULL: jobs are sent. Jobs that workers have in hand are finished all the same.
    paused_at: Mapped[datetime | None]


#: Jobs that nobody has, jobs that are on the queue or with a worker, and jobs that are done. Each job is one of these,
#: and the dispatcher finds each kind by an index, however many there are of the others.
WAITING = text("done_at IS NULL AND sent_at IS NULL AND leased_until IS NULL")
OUT = text("done_at IS NULL AND (sent_at IS NOT NULL OR leased_until IS NOT NULL)")
DONE = text("done_at IS NOT NULL")


class Job(Base):
    __tablename__ = "jobs"
    __table_args__ = (
        UniqueConstraint("run_id", "first", "copies_first"),
        Index("jobs_waiting", "run_id", "id", sqlite_where=WAITING, postgresql_where=WAITING),
        Index("jobs_out", "run_id", sqlite_where=OUT, postgresql_where=OUT),
        Index("jobs_done", "run_id", "done_at", sqlite_where=DONE, postgresql_where=DONE),
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"))
    #: Positions of the first and the last image, both included.
    first: Mapped[int]
    last: Mapped[int]
    #: The first and the last copy of each of these images, both included; 0 and 0 for a vote. The database has no
    #: default, so that code which knows nothing of copies cannot add a job.
    copies_first: Mapped[int] = mapped_column(default=0)
    copies_last: Mapped[int] = mapped_column(default=0)
    #: How often it was claimed, counted before the worker touches any pixel.
    attempts: Mapped[int] = mapped_column(server_default="0")
    #: When it was sent to the queue last.
    sent_at: Mapped[datetime | None]
    #: Until then nobody may claim it: a worker has it, or it was given back and waits.
    leased_until: Mapped[datetime | None]
    #: The worker that claimed it last.
    worker: Mapped[str | None]
    #: The worker that gave it back last, and why: something was missing on its machine. The next claim clears both.
    refused_by: Mapped[str | None]
    note: Mapped[str | None]
    done_at: Mapped[datetime | None]
    #: What computed its rows, as in db.found.Computer; NULL before they are done, and if an older worker did it.
    device: Mapped[str | None]
    engine: Mapped[str | None]
    #: For how long it kept its process from other jobs; NULL likewise, and if some of its images were left out.
    seconds: Mapped[float | None]


class Prediction(Base):
    __tablename__ = "predictions"

    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    #: No foreign key: without an index of its own, it would make the deletion of an image read all predictions.
    image_id: Mapped[int] = mapped_column(Id, primary_key=True)
    level: Mapped[float] = mapped_column(primary_key=True)
    label_ns: Mapped[int]
    confidence_ns: Mapped[float]
    label_ss: Mapped[int]
    confidence_ss: Mapped[float]
    label_ds: Mapped[int]
    confidence_ds: Mapped[float]
    #: The label that at least two views agree on; NULL is a rejected vote.
    label_maj: Mapped[int | None]


class Count(Base):
    """How many copies of a part got a label, for an image of a certified run at one level.

    Labels that no copy got have no row. The counts of an image that has a failure do not count.
    """

    __tablename__ = "counts"

    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    image_id: Mapped[int] = mapped_column(Id, primary_key=True)
    level: Mapped[float] = mapped_column(primary_key=True)
    #: Number of the part's first copy (db/copies.py): below the recipe's `selection` it selects, beyond it estimates.
    part: Mapped[int] = mapped_column(primary_key=True)
    label: Mapped[int] = mapped_column(primary_key=True)
    n: Mapped[int]


class Failure(Base):
    __tablename__ = "failures"

    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    image_id: Mapped[int] = mapped_column(Id, primary_key=True)
    code: Mapped[str]
    message: Mapped[str]


class Summary(Base):
    """The counts of a complete run at one level, derived from its predictions: see db/summaries.py."""

    __tablename__ = "summaries"

    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    level: Mapped[float] = mapped_column(primary_key=True)
    #: Version of the counting (db/summaries.py). Counts of another version are not used, but counted again.
    version: Mapped[int]
    tally: Mapped[dict[str, Any]]


class Worker(Base):
    """A worker process, as it said last itself. No foreign keys: a row may outlive its job, and a job its worker."""

    __tablename__ = "workers"

    #: As in jobs.worker.
    name: Mapped[str] = mapped_column(primary_key=True)
    host: Mapped[str]
    pid: Mapped[int]
    #: cpu or cuda:N.
    device: Mapped[str]
    #: How it runs the model, and which model it has loaded; NULL before its first job.
    engine: Mapped[str | None]
    model: Mapped[str | None]
    #: Of this package.
    version: Mapped[str]
    started_at: Mapped[datetime] = mapped_column(server_default=now())
    #: When it wrote this row last.
    seen_at: Mapped[datetime] = mapped_column(server_default=now())
    #: Images done since it started, and the share of the last minute in which its device was busy.
    images: Mapped[int] = mapped_column(BigInteger, server_default="0")
    busy: Mapped[float] = mapped_column(server_default="0")
    #: Bytes of the device that it holds; NULL where nobody can say.
    memory: Mapped[int | None] = mapped_column(BigInteger)
    #: What it does just now: idle, loading, working. Which jobs it has in hand, `jobs` says.
    stage: Mapped[str | None]


#: Codes of failures that the recipe asked for: such an image counts as skipped, not as failed.
SKIPPED = ("grayscale",)
