"""The rooms: which may import which, how long a file may be, and that a wheel holds all of them."""

import ast
import importlib.metadata
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
#: Each room, with the rooms that it may import. The front door and cli/ may import all.
ROOMS: dict[str, set[str]] = {
    "db": set(),
    "report": {"db"},
    "web": {"db", "report"},
    "producer": {"db"},
    "worker": {"db"},
    "cli": {"db", "report", "web", "producer", "worker"},
    "smoothvote": {"db", "report", "web", "producer", "worker", "cli"},
}
HEAVY = {"torch", "torchvision", "kornia", "timm", "PIL"}
#: What else only an extra installs, and the module that imports it at its top; others import that one late.
EXTRAS = {"fastapi", "jinja2", "uvicorn", "pandas", "pyarrow", "openvino", "safetensors", "s3fs", "foolbox"}
NEEDS_AN_EXTRA = {"report.frames"}
QUEUE = {"celery", "kombu", "redis"}
#: The most lines of a file of the product, of a function, and of a file of tests.
LONGEST_FILE, LONGEST_FUNCTION, LONGEST_TEST = 300, 60, 400


def name_of(file: Path) -> str:
    """A module's import name."""
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


FILES = sorted([ROOT / "smoothvote.py", *(file for room in ROOMS for file in (ROOT / room).rglob("*.py"))])
MODULES = {name_of(file): ast.parse(file.read_text()) for file in FILES}
#: Alembic runs these by their files; nothing can import their names.
SCRIPTS = {name for name in MODULES if name.startswith("db.migrations.")}


# -- walls -------------------------------------------------------------------------------------------------------


def loaded_by(*modules: str) -> set[str]:
    """The top-level packages that importing these modules brings in, in a process of its own."""
    code = (
        f"import gc, sys, {', '.join(modules)}; print(*{{name.partition('.')[0] for name in sys.modules}}); gc.freeze()"
    )
    # Two modules of worker/ configure Celery as they are imported.
    env = os.environ | {"SMOOTHVOTE_BROKER_URL": "redis://127.0.0.1:1/0"}
    command = [sys.executable, "-c", code]
    return set(subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split())


def modules_of(room: str) -> list[str]:
    return [name for name in MODULES.keys() - SCRIPTS - NEEDS_AN_EXTRA if name.partition(".")[0] == room]


@pytest.mark.parametrize(
    ("room", "without"),
    [
        ("db", HEAVY | EXTRAS | QUEUE),
        ("report", HEAVY | EXTRAS | QUEUE | {"matplotlib"}),
        ("web", HEAVY | QUEUE | {"matplotlib"}),
        ("producer", HEAVY | EXTRAS),
        ("worker", set()),
    ],
)
def test_importing_a_room_brings_in_no_other_and_nothing_heavy(room: str, without: set[str]) -> None:
    others = ROOMS.keys() - ROOMS[room] - {room}
    assert loaded_by(*modules_of(room)) & (without | others) == set()


def test_the_supervisor_of_a_workers_processes_needs_neither_torch_nor_celery() -> None:
    assert loaded_by("worker.parent", "worker.supervisor") & (HEAVY | {"celery", "billiard"}) == set()


def test_a_process_connects_to_its_queue_before_it_has_loaded_torch() -> None:
    assert loaded_by("worker.process", "worker.worker") & HEAVY == set()


def test_the_front_door_imports_no_room_before_a_command_needs_it() -> None:
    late = HEAVY | QUEUE | {"sqlalchemy", "alembic", "scipy", "matplotlib", "fsspec", "fastapi"}
    assert loaded_by("smoothvote") & late == set()


def test_the_rooms_names_belong_to_this_distribution() -> None:
    """PyPI has packages called db, producer and worker."""
    owners = importlib.metadata.packages_distributions()
    assert {room: set(owners.get(room, ["smoothvote"])) for room in ROOMS} == {room: {"smoothvote"} for room in ROOMS}


# -- imports -----------------------------------------------------------------------------------------------------


def imported_by(module: str) -> Iterator[str]:
    """The modules of ours that a module imports, at its top or in a function."""
    for node in ast.walk(MODULES[module]):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module in MODULES:
            for name in node.names:
                inner = f"{node.module}.{name.name}"
                yield inner if inner in MODULES else node.module


def test_imports_go_one_way_from_room_to_room() -> None:
    crossings = {
        f"{module} imports {other}"
        for module in MODULES
        for other in imported_by(module)
        if (there := other.partition(".")[0]) != (here := module.partition(".")[0]) and there not in ROOMS[here]
    }
    assert crossings == set()


def test_no_modules_import_each_other() -> None:
    graph = {module: set(imported_by(module)) - {module} for module in MODULES}
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' → '.join(error.args[1])}")


def test_every_module_says_what_it_is_for() -> None:
    empty = {name for name, module in MODULES.items() if not module.body}
    assert {name for name, module in MODULES.items() if name not in empty and not ast.get_docstring(module)} == set()


# -- sizes -------------------------------------------------------------------------------------------------------


def lines_of(file: Path) -> int:
    return len(file.read_text().splitlines())


def test_no_file_of_the_product_is_too_long() -> None:
    assert {name_of(file): lines_of(file) for file in FILES if lines_of(file) > LONGEST_FILE} == {}


def test_no_function_is_too_long() -> None:
    functions = [
        (f"{name}.{node.name}", (node.end_lineno or 0) - node.lineno + 1)
        for name, module in MODULES.items()
        for node in ast.walk(module)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    assert {name: lines for name, lines in functions if lines > LONGEST_FUNCTION} == {}


def test_no_file_of_tests_is_too_long() -> None:
    tests = (ROOT / "tests").glob("*.py")
    assert {file.name: lines_of(file) for file in tests if lines_of(file) > LONGEST_TEST} == {}


# -- packaging -----------------------------------------------------------------------------------------------------


def files_of(room: Path) -> set[str]:
    """Every file of a room but the settings and caches of tools."""
    files = [file.relative_to(room.parent) for file in room.rglob("*") if file.is_file() and file.name != "ruff.toml"]
    return {str(file) for file in files if not any(part.startswith((".", "__pycache__")) for part in file.parts)}


def test_a_wheel_holds_every_room_with_its_templates_static_files_and_migrations(tmp_path: Path) -> None:
    tree, built = tmp_path / "tree", tmp_path / "built"
    tree.mkdir()
    built.mkdir()
    rooms = [ROOT / room for room in ROOMS if (ROOT / room).is_dir()]
    for room in rooms:
        shutil.copytree(room, tree / room.name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "smoothvote.py"):
        shutil.copy(ROOT / name, tree)
    # The build backend itself: pip would make an environment first, and need a package index.
    build = f"from setuptools.build_meta import build_wheel; build_wheel({str(built)!r})"
    subprocess.run([sys.executable, "-c", build], cwd=tree, capture_output=True, text=True, check=True)
    (wheel,) = built.glob("smoothvote-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert held == {"smoothvote.py"}.union(*map(files_of, rooms))
    assert {"web/templates/run.html", "web/static/page.js", "db/migrations/versions/0100_levels.py"} <= held


def test_the_container_images_get_every_room() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert ROOMS.keys() - {"smoothvote"} <= allowed
