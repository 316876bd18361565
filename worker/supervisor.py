"""The supervisor of a worker: runs one process for each device, replaces those that die, and ends them in order.

It is the part of a worker that never computes, so it loads neither Celery nor PyTorch, and no image can end it.
"""

import asyncio
import logging
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from contextlib import suppress

from sqlalchemy.exc import SQLAlchemyError

from db import store
from db.errors import FAILED
from db.outage import reason
from db.session import open_engine
from db.settings import PREFIX, Settings
from db.workers import leave
from worker.worker import BROKEN

logger = logging.getLogger("worker")

#: The module that each process runs.
PROCESS = "worker.process"
#: Seconds before a process is started again that died without a job in hand: the first pause, and the longest.
SHORTEST, LONGEST = 1.0, 30.0
#: A process that lived so many seconds did well: the next pause is the shortest again.
LONG_LIFE = 60.0
#: A worker ends if on each of its devices so many processes in a row died that had no job in hand and no long life.
GIVE_UP_AFTER = 5


class Supervisor:
    """Runs the processes of a worker.

    Args:
        settings: for the database and the grace.
        name: of the worker in the database. The names of its processes begin with it.
        devices: the device of each process.
    """

    def __init__(self, settings: Settings, name: str, devices: Sequence[str]) -> None:
        self._settings, self._name, self._devices = settings, name, devices
        self._engine = open_engine(settings)
        self._running: set[Process] = set()
        self._stopping = asyncio.Event()
        #: For each device, how many processes in a row died without a job in hand and without a long life.
        self._failures = [0] * len(devices)
        self._code = 0

    async def run(self) -> int:
        """Runs the processes until this one is told to stop; returns the exit code of the command.

        SIGTERM, SIGHUP and Ctrl-C let the processes finish their jobs within the grace. When it is over, and at SIGQUIT
        or a second Ctrl-C, they are killed. What they had in hand is handed back. If no process can start, this one
        ends, so that whoever waits for its work knows.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup asks for
                loop.add_signal_handler(number, self._stop, number)
        kept = [asyncio.create_task(self._keep_up(*one)) for one in enumerate(self._devices)]
        told = asyncio.create_task(self._stopping.wait())
        ended, _ = await asyncio.wait([told, *kept], return_when=asyncio.FIRST_COMPLETED)
        for one in ended - {told}:
            one.result()  # raises: it cannot start a process. The others end with this one
        _, late = await asyncio.wait(kept, timeout=self._settings.grace)
        if late:
            self._kill()
            await asyncio.wait(late)
        await asyncio.to_thread(self._hand_back)
        return self._code

    async def _keep_up(self, number: int, device: str) -> None:
        """Runs a process, and starts it again when it ends."""
        while not self._stopping.is_set():
            process, began = await self._start(number, device), time.monotonic()
            code = await process.wait()
            self._running.remove(process)
            if self._stopping.is_set():
                return
            lived = time.monotonic() - began
            # A death that cost a job an attempt needs no pause, because attempts are limited.
            costly = await asyncio.to_thread(self._record_death, process.pid, code)
            failures = 0 if costly else 1 if lived > LONG_LIFE else self._failures[number] + 1
            self._failures[number] = failures
            # A broken device is told in the notes of the jobs, and may recover.
            if min(self._failures) >= GIVE_UP_AFTER and code != BROKEN and not self._stopping.is_set():
                logger.error("giving up: %d processes in a row ended without a job; see why above", failures)
                self._stop(signal.SIGTERM)
                self._code = FAILED
                return
            pause = min(SHORTEST * 2 ** min(failures - 1, 10), LONGEST) if failures else 0.0
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)

    async def _start(self, number: int, device: str) -> Process:
        # Its standard input ends when this process does, however that ends: then it ends, too (worker/process.py).
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", PROCESS, str(number), stdin=PIPE, stdout=sys.stderr,
            env=os.environ | {f"{PREFIX}DEVICE": device},
        )  # fmt: skip
        self._running.add(process)
        if self._stopping.is_set():
            process.terminate()
        return process

    def _record_death(self, pid: int, code: int) -> bool:
        """Makes the jobs of a dead process due again at once; returns whether that cost any of them an attempt."""
        how = f"by signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"with exit code {code}"
        try:
            leave(self._engine, f"{self._name}:{pid}")
            if code == BROKEN:
                store.hand_back(self._engine, worker=f"{self._name}:{pid}")
                logger.warning("process %d ended itself, because its device is broken", pid)
                return False
            jobs = store.expire(self._engine, worker=f"{self._name}:{pid}")
        except SQLAlchemyError as error:
            logger.warning("process %d ended %s; its jobs are due when their leases end: %s", pid, how, reason(error))
            return False
        held = f"jobs due again: {', '.join(map(str, jobs))}" if jobs else "it had no job in hand"
        logger.warning("process %d ended %s; %s", pid, how, held)
        return bool(jobs)

    def _stop(self, number: signal.Signals) -> None:
        if number == signal.SIGQUIT or (number == signal.SIGINT and self._stopping.is_set()):
            self._kill()
        else:
            for process in self._running:
                process.terminate()
        if not self._stopping.is_set():
            self._code = int(number in (signal.SIGINT, signal.SIGQUIT))
        self._stopping.set()

    def _kill(self) -> None:
        # A process in a decoder or a forward pass may not react to any other signal for minutes.
        for process in self._running:
            process.kill()

    def _hand_back(self) -> None:
        """Makes what the processes had in hand due at once; it would otherwise wait until the leases end."""
        try:
            store.hand_back(self._engine, worker=self._name)
            leave(self._engine, self._name)
        except SQLAlchemyError as error:
            lease = self._settings.lease
            logger.warning("%s; this worker's unfinished jobs are due in %.0f s", reason(error), lease)
