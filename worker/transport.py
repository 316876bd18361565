"""Celery's way to Redis, with a door: only what names a job comes in, and nothing of a message but that name."""

import logging
from collections.abc import Callable
from typing import Any

import kombu
from celery.app import amqp
from kombu.transport import redis
from redis.exceptions import RedisError, ResponseError

from db.message import QUEUE, job_of, message_of

logger = logging.getLogger("worker")

#: Written whenever a worker connects: a Redis that is full or read-only answers a ping, and takes no job.
PROBE = f"{QUEUE}.writable"


class QoS(redis.QoS):
    """Counts a message as done with even if Redis could not be told.

    Celery's own goes on counting it as in hand, and with one at a time in hand takes no other ever again, on a
    connection that is fine by then. Redis gives the message out once more, much later; the record knows better.
    """

    def ack(self, delivery_tag: str) -> None:
        """As kombu asks."""
        try:
            super().ack(delivery_tag)
        finally:
            self._quick_ack(delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """As kombu asks."""
        try:
            super().reject(delivery_tag, requeue=requeue)
        finally:
            self._quick_ack(delivery_tag)

    def restore_by_tag(self, tag: str, client: Any = None, leftmost: bool = False) -> None:
        """As kombu asks; but what is no message is dropped, where it would end every worker there is."""
        try:
            super().restore_by_tag(tag, client=client, leftmost=leftmost)
        except (RedisError, OSError):
            raise
        except Exception:
            logger.warning("dropped an unacknowledged message that cannot be read")
            self._remove_from_indices(tag).execute()


class Channel(redis.Channel):
    """A channel that outlives what is no message at all; Celery's own ends the worker."""

    QoS = QoS

    def _brpop_read(self, **options: Any) -> Any:
        return outlive(super()._brpop_read, **options)

    def _receive(self) -> Any:
        return outlive(super()._receive)


def outlive(read: Callable[..., Any], **options: Any) -> Any:
    """Reads; by the time that a message turns out to be none, it is off the queue."""
    try:
        return read(**options)
    except (ValueError, TypeError, AttributeError, RecursionError):
        logger.warning("dropped a message that is no JSON, or no message")
        return True


class Transport(redis.Transport):
    """Redis, whose refusals (full, read-only, not the type of key it should be) are waited out like its absence."""

    Channel = Channel
    connection_errors = (*redis.Transport.connection_errors, ResponseError)

    def establish_connection(self) -> Any:
        """Connects; and tries whether Redis takes anything, so that Celery's waiting covers that as well."""
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
            # Written anew: a header of a stranger's could ask Celery for a time limit, a delay or a task to follow.
            message = message_of(job_id)
        super()._deliver(message, queue)


class Connection(kombu.Connection):
    """A connection through that door, whatever the URL says of how Redis is reached."""

    def get_transport_cls(self) -> type[Transport]:
        """As kombu asks."""
        return Transport


class Amqp(amqp.AMQP):
    """What the app makes its connections by."""

    Connection = Connection
