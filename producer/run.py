"""`smoothvote run`: submit, work, watch in one command, with children of its own where no server is given."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import click
from pydantic import SecretStr
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from db.due import release
from db.errors import INCOMPLETE, Refusal, SmoothvoteError
from db.migrations import upgrade
from db.outage import reason
from db.recipe import Recipe
from db.runs import Progress, RunInfo, find_run, progress
from db.session import connect, current_revision, open_engine, reading, writing
from db.settings import Settings
from db.store import expire, forget
from db.tables import REVISION
from producer.broker import Broker, BrokerDown
from producer.dataset import Dataset
from producer.dispatch import SWEEP, dispatch
from producer.local import RedisServer, Workers, home
from producer.submit import submit
from producer.watch import watch


def run_here(
    settings: Settings,
    recipe: Recipe,
    dataset: Dataset,
    *,
    workers: int,
    name: str | None = None,
    job_size: int | None = None,
) -> str:
    """Submits a run and sees it through; returns its id. What is there already is not done again.

    Raises:
        Refusal: if the workers cannot do it, for want of its weights, say.
        BrokerDown: if the queue that is set cannot be reached.
        SmoothvoteError: if it was cancelled, or another command is at work in the same folder.
        SystemExit: with INCOMPLETE, if it was interrupted.
    """
    # Told to end, it ends its children in order, as at Ctrl-C.
    for told in (signal.SIGINT, signal.SIGTERM):
        signal.signal(told, signal.default_int_handler)
    with left("stopped; the same command resumes"), ExitStack() as stack:
        if settings.broker_url:
            Broker(settings).queued()  # asked before anything is recorded
        folder = stack.enter_context(home(settings))
        if settings.embedded_database:
            # It is this command's own, and nobody else is in the folder. A database that is shared is migrated by hand.
            engine = open_engine(settings)
            if (current_revision(engine) or "") < REVISION:
                upgrade(engine)
        engine = connect(settings)
        submission = submit(engine, recipe, dataset, name=name, job_size=job_size)
        run_id = submission.run_id
        with reading(engine) as session:
            run = find_run(session, run_id)
            state = progress(session, run)
        if state.complete:
            return run_id

        worker_name = f"run:{os.uname().nodename}:{os.getpid()}"
        ours = f"{worker_name}:"  # and each process's own number
        redis = None
        if settings.broker_url is None:
            redis = RedisServer(folder)
            stack.callback(redis.end)
            settings = settings.model_copy(update={"broker_url": SecretStr(redis.url)})
            # That queue is empty, whatever the record says was sent; and beside an embedded database nobody works.
            with writing(engine) as session:
                release(session, run_id, worker=None if settings.embedded_database else ours)
        dispatcher = Dispatcher(engine, Broker(settings), settings, run)
        crew = None
        if workers:
            crew = Workers(folder, settings.broker, processes=workers, name=worker_name, grace=settings.grace)
            click.echo(f"starting {workers} worker process(es); PyTorch takes some seconds to load", err=True)

        def look(state: Progress) -> None:
            if state.note and (state.refused_by or "").startswith(ours):
                raise Refusal(state.note)  # all workers of this command are alike: what one refuses, all do
            if redis:
                redis.keep_up()
            if crew and crew.keep_up(state.done):
                expire(engine, worker=worker_name)  # of the one that ended: the new one has claimed nothing yet
            dispatcher(state)

        in_order = False
        try:
            state = watch(engine, run, each_look=look)
            in_order = True
        except Refusal:
            if submission.new:
                # What cannot begin is not to stand in the list as a run, and as the latest.
                with writing(engine) as session:
                    forget(session, run_id)
            raise
        finally:
            if crew:
                crew.end(at_once=not in_order)
            try:
                with writing(engine) as session:
                    release(session, run_id, worker=ours)
            except SQLAlchemyError as error:
                click.echo(f"smoothvote: {reason(error)}; jobs in hand are due when their lease ends", err=True)
        if not state.complete:
            raise SmoothvoteError(f"run {run_id} was cancelled; the same command resumes it")
    return run_id


class Dispatcher:
    """Dispatches one run while it is watched; a queue that goes away for a while is waited for."""

    def __init__(self, engine: Engine, broker: Broker, settings: Settings, run: RunInfo) -> None:
        self._engine, self._broker, self._settings, self._run = engine, broker, settings, run
        self._reached = self._waiting = False
        self._next = 0.0

    def __call__(self, _: Progress) -> None:
        """Sends what is due, unless that was done a moment ago.

        Raises:
            BrokerDown: if the queue was never reached: then it is not down, but wrong.
        """
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + SWEEP
        try:
            dispatch(self._engine, self._broker, self._settings, run_id=self._run.id)
        except BrokerDown as error:
            if not self._reached:
                raise
            if not self._waiting:
                click.echo(f"smoothvote: {error}; waiting for it", err=True)
            self._waiting = True
            return
        if self._waiting:
            click.echo("smoothvote: the queue is back", err=True)
        self._reached, self._waiting = True, False


@contextmanager
def left(said: str) -> Iterator[None]:
    """Ctrl-C ends what is in here with a line that says how to go on.

    Raises:
        SystemExit: with INCOMPLETE.
    """
    try:
        yield
    except KeyboardInterrupt:
        click.echo(f"smoothvote: {said}", err=True)
        raise SystemExit(INCOMPLETE) from None
