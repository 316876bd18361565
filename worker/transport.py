"""Celery's connection to Redis, made safe: it lets in only messages that name a job, and survives all others."""

import logging
from collections.abc import Callable
from typing import Any

import kombu
from celery.app import amqp
from kombu.transport import redis
from redis.exceptions import DataError, RedisError, ResponseError

from db.message import QUEUE, job_of, message_of

logger = logging.getLogger("worker")

#: A key that each worker writes when it connects: a Redis that is full or read-only answers a ping but takes no job.
PROBE = f"{QUEUE}.writable"


class QoS(redis.QoS):
    """Counts a message as finished even if telling Redis failed.

    Celery's own class would go on counting it as unacknowledged. A worker takes as many messages as it has threads, so
    it would soon take no other. Redis delivers the message again later, and the database knows that the job is done.
    """

    def ack(self, delivery_tag: str) -> None:
        """Acknowledges a message, and counts it as finished whatever Redis answers."""
        try:
            super().ack(delivery_tag)
        finally:
            self._quick_ack(delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Rejects a message, and counts it as finished whatever Redis answers."""
        try:
            super().reject(delivery_tag, requeue=requeue)
        finally:
            self._quick_ack(delivery_tag)

    def restore_by_tag(self, tag: str, client: Any = None, leftmost: bool = False) -> None:
        """Puts an unacknowledged message back on the queue. Drops an unreadable one, which would end every worker.

        So it does with one whose queue is no name (redis-py's DataError), which would be tried again for ever.
        """
        try:
            super().restore_by_tag(tag, client=client, leftmost=leftmost)
        except Exception as error:
            if isinstance(error, RedisError | OSError) and not isinstance(error, DataError):
                raise
            logger.warning("dropped an unacknowledged message that cannot be read")
            self._remove_from_indices(tag).execute()


class Channel(redis.Channel):
    """Drops what is no message at all. With Celery's own class it would end the worker."""

    QoS = QoS

    def _brpop_read(self, **options: Any) -> Any:
        return drop_unreadable(super()._brpop_read, **options)

    def _receive(self) -> Any:
        return drop_unreadable(super()._receive)


def drop_unreadable(read: Callable[..., Any], **options: Any) -> Any:
    """Reads a message; one that cannot be read is dropped. Reading has taken it off the queue by then."""
    try:
        return read(**options)
    except (ValueError, TypeError, AttributeError, RecursionError):
        logger.warning("dropped a message that is no JSON, or no message")
        return True


class Transport(redis.Transport):
    """Redis. If it refuses to write (full, read-only, a key of the wrong type), Celery waits as if it were away."""

    Channel = Channel
    connection_errors = (*redis.Transport.connection_errors, ResponseError)

    def establish_connection(self) -> Any:
        """Connects and writes a key, so that Celery waits for a Redis that cannot be written to as well."""
        connection = super().establish_connection()
        client = self._avail_channels[-1].client
        client.set(PROBE, 1, ex=60)
        client.llen(QUEUE)
        return connection

    def _deliver(self, message: Any, queue: str) -> None:
        if queue == QUEUE:
            job_id = job_of(message)
            if job_id is None:
                logger.warning("dropped a message that names no job: %.200r", message)
                return
            # Written anew: a forged header could ask Celery for a time limit, a delay or another task afterwards.
            message = message_of(job_id)
        super()._deliver(message, queue)


class Connection(kombu.Connection):
    """A connection that uses this transport, whatever scheme the URL has."""

    def get_transport_cls(self) -> type[Transport]:
        """The class that kombu makes the transport from."""
        return Transport


class Amqp(amqp.AMQP):
    """The part of a Celery app that opens connections."""

    Connection = Connection
