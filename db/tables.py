"""The tables.

    datasets --(1..n)--> images
        |
        +--(1..n)--> runs --(1..n)--> jobs          a job is a span of image positions, at all levels of its run
                       |
                       +--(1..n)--> predictions     one for each (run, image, level), for ever
                       +--(1..n)--> failures        one for each (run, image) that has no prediction
                       +--(0..n)--> summaries       one for each level of a complete run: what its predictions add up to

Redis only carries job ids. Losing all of it loses nothing that is here.
"""

from datetime import UTC, datetime
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    BigInteger,
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

#: The newest migration: what this code reads and writes. `smoothvote db upgrade` brings a database to it.
REVISION = "0100"


class Utc(TypeDecorator[datetime]):
    """A moment, always with its zone, whatever the database keeps."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """As SQLAlchemy asks of a type."""
        return value.replace(tzinfo=UTC) if value and value.tzinfo is None else value


class now(FunctionElement[datetime]):  # lower case, as SQLAlchemy's own functions are
    """The database's clock, plus some seconds. Workers' clocks are never asked: they may be wrong by hours."""

    type = Utc()
    inherit_cache = True

    def __init__(self, plus: float = 0) -> None:
        super().__init__(*([plus] if plus else []))


@compiles(now)
def _now(element: now, compiler: Any, **kw: Any) -> str:
    plus = compiler.process(element.clauses, **kw)
    return f"now() + {plus} * interval '1 second'" if plus else "now()"


@compiles(now, "sqlite")
def _now_sqlite(element: now, compiler: Any, **kw: Any) -> str:
    # Six decimals, as SQLAlchemy writes them: moments compare as text.
    plus = compiler.process(element.clauses, **kw)
    return f"strftime('%Y-%m-%d %H:%M:%f000', 'now', {plus or 0} || ' seconds')"


#: SQLite counts by itself only in a column that is INTEGER to the letter.
Id = BigInteger().with_variant(Integer, "sqlite")


class Base(DeclarativeBase):
    type_annotation_map: ClassVar[dict[Any, Any]] = {datetime: Utc(), float: Double(), dict[str, Any]: JSON()}


class Dataset(Base):
    __tablename__ = "datasets"

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    name: Mapped[str]
    #: A folder or URL; relative to SMOOTHVOTE_IMAGE_ROOT where that was set.
    root: Mapped[str]
    #: sha256 over every image's path, size, time of change and label.
    fingerprint: Mapped[str] = mapped_column(unique=True)
    size: Mapped[int]
    #: How many images there were before --limit.
    found: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(server_default=now())


class Image(Base):
    __tablename__ = "images"
    __table_args__ = (UniqueConstraint("dataset_id", "position"),)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    dataset_id: Mapped[int] = mapped_column(ForeignKey("datasets.id", ondelete="CASCADE"))
    #: 0, 1, 2, … in the dataset; a job is a span of these.
    position: Mapped[int]
    #: Below the dataset's root, with forward slashes.
    path: Mapped[str]
    #: Index of the true class; NULL where it is not known.
    label: Mapped[int | None]
    #: Size in bytes when it was submitted; a worker that finds another has found another image.
    bytes: Mapped[int | None] = mapped_column(BigInteger)


class Run(Base):
    __tablename__ = "runs"

    #: Hash of recipe and dataset.
    id: Mapped[str] = mapped_column(primary_key=True)
    dataset_id: Mapped[int] = mapped_column(ForeignKey("datasets.id"))
    name: Mapped[str]
    recipe: Mapped[dict[str, Any]]
    #: What its levels measure, as db.axis.Axis; NULL is Gaussian noise, of runs recorded before this column was.
    axis: Mapped[dict[str, Any] | None]
    #: sha256 of the tensors that the first worker loaded; others must have the same.
    weights_sha256: Mapped[str | None]
    #: What the weights said where the recipe left the preprocessing to them.
    preprocessing: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime] = mapped_column(server_default=now())
    #: When it was last submitted: the newest is `latest`.
    submitted_at: Mapped[datetime] = mapped_column(server_default=now())
    cancelled_at: Mapped[datetime | None]


class Job(Base):
    __tablename__ = "jobs"
    __table_args__ = (
        UniqueConstraint("run_id", "first"),
        # What the dispatcher asks every second: few are open, however many are done.
        Index("jobs_open", "id", sqlite_where=text("done_at IS NULL"), postgresql_where=text("done_at IS NULL")),
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"))
    #: Positions of its first and last image, both in it.
    first: Mapped[int]
    last: Mapped[int]
    #: How often it was claimed, counted before any pixel is touched.
    attempts: Mapped[int] = mapped_column(server_default="0")
    #: When it was put on the queue.
    sent_at: Mapped[datetime | None]
    #: Nobody else may claim it before this moment.
    lease_until: Mapped[datetime | None]
    worker: Mapped[str | None]
    #: The worker that gave it back last, for want of something and not for the job's sake; why. A claim clears both.
    refused_by: Mapped[str | None]
    note: Mapped[str | None]
    done_at: Mapped[datetime | None]


class Prediction(Base):
    __tablename__ = "predictions"

    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    image_id: Mapped[int] = mapped_column(ForeignKey("images.id"), primary_key=True)
    level: Mapped[float] = mapped_column(primary_key=True)
    label_ns: Mapped[int]
    confidence_ns: Mapped[float]
    label_ss: Mapped[int]
    confidence_ss: Mapped[float]
    label_ds: Mapped[int]
    confidence_ds: Mapped[float]
    #: NULL is rejected: no two views agree.
    label_maj: Mapped[int | None]


class Failure(Base):
    __tablename__ = "failures"

    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    image_id: Mapped[int] = mapped_column(ForeignKey("images.id"), primary_key=True)
    code: Mapped[str]
    message: Mapped[str]


class Summary(Base):
    """Derived from the predictions of a run that is complete, and cannot change: see db/tally.py."""

    __tablename__ = "summaries"

    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    level: Mapped[float] = mapped_column(primary_key=True)
    #: Of the counting: what an older or newer code counted is counted anew.
    version: Mapped[int]
    tally: Mapped[dict[str, Any]]


#: Failure codes that a recipe asked for: counted as skipped, not as failed.
SKIPPED = ("grayscale",)
