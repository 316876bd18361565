"""The walls of the house: what each room may import, seen at run time, indirect imports included."""

import importlib
import importlib.metadata
import pkgutil
import subprocess
import sys

import pytest

import db
import producer

HEAVY = {"torch", "torchvision", "kornia", "timm", "PIL"}
QUEUE = {"celery", "kombu", "redis"}


def loaded_by(*modules: str) -> set[str]:
    """The top-level packages that importing these brings, in a fresh process."""
    code = f"import sys, {', '.join(modules)}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def modules_of(package: object) -> list[str]:
    found = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")  # type: ignore[attr-defined]
    # Alembic runs its scripts by their files; they are no modules to be imported.
    return [module.name for module in found if not module.name.startswith("db.migrations.")]


def test_the_record_needs_no_room_no_queue_and_no_torch() -> None:
    assert not loaded_by(*modules_of(db)) & (HEAVY | QUEUE | {"producer", "worker"})


def test_a_producer_needs_no_torch_and_no_worker() -> None:
    assert not loaded_by(*modules_of(producer)) & (HEAVY | {"worker"})


def test_a_worker_needs_no_producer_and_its_parent_no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMOOTHVOTE_BROKER_URL", "redis://127.0.0.1:1/0")
    assert "producer" not in loaded_by("worker.worker", "worker.tasks", "cli.compute", "worker.walkthrough")
    assert not loaded_by("worker.app", "worker.tasks", "worker.request", "worker.worker") & HEAVY


def test_the_front_door_opens_no_room_before_it_is_asked_to() -> None:
    assert not loaded_by("smoothvote") & (HEAVY | QUEUE | {"sqlalchemy", "alembic", "scipy", "matplotlib", "fsspec"})


def test_the_rooms_names_are_ours_and_no_strangers() -> None:
    # PyPI has packages called db, producer and worker.
    owners = importlib.metadata.packages_distributions()
    for room in ("db", "producer", "worker"):
        assert set(owners.get(room, ["smoothvote"])) == {"smoothvote"}


def test_every_module_says_what_it_is_for() -> None:
    rooms = [db, producer, importlib.import_module("worker")]
    for name in [name for room in rooms for name in modules_of(room)]:
        if name not in ("worker.app", "worker.tasks"):  # they need a queue's URL to be imported
            assert importlib.import_module(name).__doc__, name
