"""The queue as producers use it: they send job ids to it, and ask for its length."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from celery import Celery
from kombu.exceptions import OperationalError
from redis import Redis
from redis.exceptions import RedisError

from db.errors import Away, WrongUse
from db.message import QUEUE, TASK, celery_config, job_of, without_secrets
from db.settings import Settings


class BrokerDown(Away):
    """The queue cannot be reached, or does not take jobs. Nothing is lost: the jobs stay due in the database."""


class Broker:
    """Sends jobs to the queue. It connects on first use, and again after an outage."""

    def __init__(self, settings: Settings) -> None:
        self._shown = without_secrets(settings.broker)
        self._app = Celery("smoothvote", set_as_current=False)
        self._app.conf.update(celery_config(settings))
        # One attempt: callers wait out an outage themselves, and say so.
        self._app.conf.task_publish_retry = False

    def queued(self) -> int:
        """How many messages wait on the queue.

        Raises:
            BrokerDown: if the queue cannot be reached.
        """
        with self._client() as client:
            return int(client.llen(QUEUE))

    def oldest(self) -> int | None:
        """The id of the job in the oldest message on the queue; 0 if it holds none; None if the queue is empty.

        Raises:
            BrokerDown: if the queue cannot be reached.
        """
        with self._client() as client:
            message = client.lindex(QUEUE, -1)
        if message is None:
            return None
        try:
            return job_of(json.loads(message)) or 0
        except (ValueError, RecursionError):
            return 0

    def send(self, job_ids: Iterable[int]) -> None:
        """Sends jobs to the queue.

        Raises:
            BrokerDown: if the queue did not take all of them; it may have taken some.
        """
        with self._errors(), self._app.producer_pool.acquire(block=True) as producer:
            for job_id in job_ids:
                self._app.send_task(TASK, args=[job_id], queue=QUEUE, producer=producer)

    def close(self) -> None:
        """Closes the connections."""
        self._app.close()

    @contextmanager
    def _client(self) -> Iterator[Redis]:
        """Redis's client, on a connection that stays open: the dispatcher asks many times a second."""
        with self._errors(), self._app.pool.acquire(block=True) as connection:
            connection.ensure_connection(max_retries=1, timeout=5)
            yield connection.default_channel.client

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (
            TypeError,
            ValueError,
        ):  # an option that the client does not know; its message may quote parts of a password
            raise WrongUse(f"SMOOTHVOTE_BROKER_URL: Redis's client cannot read {self._shown}") from None
        except (OperationalError, RedisError, OSError) as error:
            raise BrokerDown(
                f"cannot reach the queue at {self._shown}: {error}; is Redis up, and is SMOOTHVOTE_BROKER_URL right?"
            ) from None
