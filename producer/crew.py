"""The crew of one command: the Redis and the workers that see all of its runs through."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from pydantic import SecretStr
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from db.axis import NOISE, Axis
from db.due import release
from db.errors import Refusal, SmoothvoteError, WrongUse
from db.migrations import upgrade
from db.outage import reason
from db.recipe import Recipe
from db.runs import Progress, find_run, list_runs, progress
from db.session import connect, current_revision, open_engine, reading, writing
from db.settings import Settings
from db.store import expire, forget
from db.tables import REVISION
from producer.broker import Broker
from producer.dataset import Dataset
from producer.dispatch import Dispatcher
from producer.job_size import AS_MEASURED, JobSize
from producer.local import RedisServer, Workers, home
from producer.submit import Submission, submit
from producer.watch import left, watch


@contextmanager
def crew(settings: Settings, *, workers: int) -> Iterator["Crew"]:
    """A crew for the body of the ``with``, whose Redis and workers end with it.

    Args:
        settings: where the queue and the database are. Where no queue is set, the crew starts a Redis of its own.
        workers: how many worker processes it starts; 0 leaves the work to workers elsewhere.

    Raises:
        WrongUse: if there would be neither a worker nor a queue that workers elsewhere could reach.
        BrokerDown: if the queue that is set cannot be reached. Nothing is recorded then.
        SmoothvoteError: if another command works in the same folder.
        SystemExit: with INCOMPLETE, on Ctrl-C or SIGTERM.
    """
    if workers == 0 and settings.broker_url is None:
        raise WrongUse(
            "--workers 0 leaves the work to workers elsewhere, which need a queue: set SMOOTHVOTE_BROKER_URL"
        )
    for stop in (signal.SIGINT, signal.SIGTERM):  # both raise KeyboardInterrupt, so that children are ended in order
        signal.signal(stop, signal.default_int_handler)
    with left("stopped; the same command resumes"):
        if settings.broker_url:
            Broker(settings).queued()
        with home(settings) as folder:
            made = Crew(folder, _open_record(settings), settings, workers=workers)
            in_order = False
            try:
                yield made
                in_order = True
            finally:
                made.end(at_once=not in_order)


class Crew:
    """Submits runs and sees them through, one after the other.

    Redis and workers start with the first run that has something left to do, and serve all runs after it.
    """

    def __init__(self, folder: Path, engine: Engine, settings: Settings, *, workers: int) -> None:
        self._folder, self._engine, self._settings, self._count = folder, engine, settings, workers
        self._name = f"run:{os.uname().nodename}:{os.getpid()}"
        #: How the names of this crew's worker processes begin.
        self._ours = f"{self._name}:"
        self._redis: RedisServer | None = None
        self._workers: Workers | None = None
        self._dispatcher: Dispatcher | None = None
        #: Whether others send jobs to the same queue from the same database. Then each sends those of all runs, or one
        #: that is faster than the others would give its own runs all workers.
        self._shares = settings.broker_url is not None and not settings.embedded_database
        #: Every run that was submitted, in order, with what its workers load. Runs of one key share a classifier.
        self._keys: dict[str, Recipe] = {}
        #: The keys of runs that made progress, and of runs that were refused, with the reason.
        self._able: set[Recipe] = set()
        self._refused: dict[Recipe, str] = {}

    def submit(
        self,
        recipe: Recipe,
        dataset: Dataset,
        *,
        name: str | None = None,
        job_size: JobSize = AS_MEASURED,
        n: int | None = None,
        axis: Axis = NOISE,
        priority: int | None = None,
    ) -> Submission:
        """Records a run of this crew, or finds it recorded: as producer.submit.submit, which says what raises."""
        submission = submit(
            self._engine, recipe, dataset, name=name, job_size=job_size, n=n, axis=axis, priority=priority
        )
        self._keys[submission.run_id] = recipe.classifier_key()
        return submission

    def see_through(self, submission: Submission) -> None:
        """Waits until a run is complete. Only what is missing is done.

        Raises:
            Refusal: if the workers cannot do it, for want of the model's weights, say. A new run of which nothing
                was found is then deleted; later runs with the same classifier are refused without a try.
            BrokerDown: if the queue cannot be reached from the start.
            SmoothvoteError: if the run was cancelled, or workers keep ending.
        """
        run_id, key = submission.run_id, self._keys[submission.run_id]
        with reading(self._engine) as session:
            run = find_run(session, run_id)
            begun = progress(session, run)
        if begun.complete:
            return
        try:
            if why := self._refused.get(key):
                raise Refusal(why)
            loading = "loading PyTorch" if self._count and not self._dispatcher else ""
            dispatcher = self._start()

            def look(state: Progress) -> None:
                self._keep_up(state)
                if state.done_copies > begun.done_copies:
                    self._able.add(key)
                dispatcher.send(None if self._shares else [run_id, *self._ahead(run_id)])

            state = watch(self._engine, run, each_look=look, waiting=loading)
        except Refusal as error:
            self._refused[key] = str(error)
            self._drop(submission)
            raise
        if not state.complete:
            raise SmoothvoteError(f"run {run_id} was cancelled; the same command resumes it")
        self._able.add(key)

    def end(self, *, at_once: bool) -> None:
        """Ends the workers and Redis, and makes the jobs that were sent and not done due again.

        Args:
            at_once: whether workers drop the job in hand instead of finishing it.
        """
        try:
            if self._workers:
                self._workers.end(at_once=at_once)
            if self._dispatcher:
                self._dispatcher.close()
                self._release(worker=self._ours)
        except SQLAlchemyError as error:
            click.echo(f"smoothvote: {reason(error)}; jobs in hand are due when their lease ends", err=True)
        finally:
            if self._redis:
                self._redis.end()

    def _start(self) -> Dispatcher:
        """Starts Redis and the workers, unless they are there already."""
        if self._dispatcher:
            return self._dispatcher
        settings = self._settings
        if settings.broker_url is None:
            self._redis = RedisServer(self._folder)
            settings = settings.model_copy(update={"broker_url": SecretStr(self._redis.url)})
            # This Redis is empty, whatever was sent before. Nobody else works from an embedded database.
            self._release(worker=None if settings.embedded_database else self._ours)
        self._dispatcher = Dispatcher(self._engine, Broker(settings), settings)
        if self._count:
            if not sys.stderr.isatty():  # on a terminal the bar says so
                plural = "es" * (self._count > 1)
                click.echo(
                    f"starting {self._count} worker process{plural}; PyTorch takes some seconds to load", err=True
                )
            self._workers = Workers(
                self._folder, settings.broker, processes=self._count, name=self._name, grace=settings.grace
            )
        return self._dispatcher

    def _keep_up(self, state: Progress) -> None:
        if state.note and (state.refused_by or "").startswith(self._ours):
            raise Refusal(state.note)  # the workers of this crew are alike: what one refuses, all do
        if self._redis:
            self._redis.keep_up()
        if self._workers and self._workers.keep_up(self._count_done):
            expire(self._engine, worker=self._name)  # the one that ended had claimed jobs; the new one has none yet

    def _count_done(self) -> int:
        """How many copies of the images of all runs of this crew are done."""
        with reading(self._engine) as session:
            return sum(progress(session, run).done_copies for run in list_runs(session) if run.id in self._keys)

    def _drop(self, submission: Submission) -> None:
        """Deletes a refused run if it is new and nothing was found of it, so that it is not the latest run."""
        if self._redis:
            self._redis.clear()  # otherwise the workers refuse each of its jobs before they reach the next run's
        if submission.new:
            with writing(self._engine) as session:
                forget(session, submission.run_id)

    def _ahead(self, run_id: str) -> list[str]:
        """Runs whose jobs are sent before their turn, so that no worker waits between two runs.

        These are the later runs with the same classifier, once it is known to work. Jobs of a run that is refused
        would only be in the way.
        """
        key = self._keys[run_id]
        if key not in self._able:
            return []
        later = list(self._keys)[list(self._keys).index(run_id) + 1 :]
        return [other for other in later if self._keys[other] == key]

    def _release(self, *, worker: str | None) -> None:
        with writing(self._engine) as session:
            for run_id in self._keys:
                release(session, run_id, worker=worker)


def _open_record(settings: Settings) -> Engine:
    """Connects to the database. The embedded one is migrated first: this command alone is in its folder."""
    if settings.embedded_database:
        engine = open_engine(settings)
        if (current_revision(engine) or "") < REVISION:
            upgrade(engine)
    return connect(settings)
