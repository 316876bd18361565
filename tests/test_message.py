"""Messages: one names a job by its id, and anything else that somebody writes into Redis names none."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from db.message import TASK, job_of, message_of


def body(*content: Any) -> str:
    return base64.b64encode(json.dumps(content).encode()).decode()


def test_a_message_names_its_job() -> None:
    assert job_of(message_of(7)) == 7
    assert job_of(json.loads(json.dumps(message_of(2**62)))) == 2**62


def test_no_two_messages_have_the_same_tag() -> None:
    assert message_of(7)["properties"]["delivery_tag"] != message_of(7)["properties"]["delivery_tag"]


@pytest.mark.parametrize(
    "content",
    [
        ([], {}, {}), (["1"], {}, {}), ([1.0], {}, {}), ([True], {}, {}), ([-1], {}, {}), ([0], {}, {}), ([2**80], {}, {}),
        ([1, 2], {}, {}), ([{"model": "/etc/passwd"}], {}, {}), ([1], {"x": 1}, {}), ([None], {}, {}), ([1], None, {}),
        ([[1]], {}, {}), ([1],), (1, {}, {}), (),
    ],
)  # fmt: skip
def test_a_body_that_is_not_one_id_names_no_job(content: tuple[Any, ...]) -> None:
    assert job_of(message_of(1) | {"body": body(*content)}) is None


DAMAGED: dict[str, Callable[[dict[str, Any]], Any]] = {
    "no body": lambda message: message.pop("body"),
    "a body that is a number": lambda message: message.update(body=7),
    "a body that is no base64": lambda message: message.update(body="{}"),
    "a body that is no JSON": lambda message: message.update(body=base64.b64encode(b"\x80pickle").decode()),
    "a body too deep": lambda message: message.update(body=base64.b64encode(b"[" * 100_000).decode()),
    "no headers": lambda message: message.pop("headers"),
    "headers that are null": lambda message: message.update(headers=None),
    "another task": lambda message: message["headers"].update(task="celery.backend_cleanup"),
    "a task that is a list": lambda message: message["headers"].update(task=[TASK]),
    "no properties": lambda message: message.pop("properties"),
    "another encoding": lambda message: message["properties"].update(body_encoding="utf-8"),
}


@pytest.mark.parametrize("damage", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_message_names_no_job(damage: Callable[[dict[str, Any]], Any]) -> None:
    message = message_of(1)
    damage(message)
    assert job_of(message) is None


@pytest.mark.parametrize("message", [None, 7, "text", [], {}, [[1], {}, {}], {"headers": []}])
def test_a_value_that_is_no_message_names_no_job(message: Any) -> None:
    assert job_of(message) is None
