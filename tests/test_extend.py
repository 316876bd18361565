"""The examples of docs/how-to/extend.md: each is one new file and its test, and nothing else is touched."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pages import DOCS, ROOT

PAGE = DOCS / "how-to" / "extend.md"
FILES = dict(re.findall(r"^`(\S+\.py)`:\n\n```python\n(.*?)^```", PAGE.read_text(), re.M | re.S))
ROOMS = ("cli", "db", "producer", "report", "tests", "web", "worker")


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository with the page's files."""
    folder = tmp_path_factory.mktemp("extended")
    for room in ROOMS:
        shutil.copytree(ROOT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "smoothvote.py"):
        shutil.copy(ROOT / name, folder)
    for name, content in FILES.items():
        assert not (folder / name).exists(), f"{name} is there already: take another example"
        (folder / name).write_text(content)
    return folder


def run(folder: Path, *words: str) -> str:
    done = subprocess.run([sys.executable, "-m", *words], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_page_has_an_example_of_each_family_with_a_test_of_its_own() -> None:
    members = [name for name in FILES if not name.startswith("tests/")]
    families = {str(Path(name).parent) for name in members}
    assert families == {
        "worker/perturbations",
        "worker/smoothers",
        "producer/sources",
        "report/formats",
        "report/plots",
    }
    tested = {Path(name).stem.removeprefix("test_") for name in FILES if name.startswith("tests/")}
    assert tested == {Path(name).stem for name in members}
    assert PAGE.read_text().count("```python") == len(FILES)


def test_the_examples_pass_their_tests(extended: Path) -> None:
    tests = [name for name in FILES if name.startswith("tests/")]
    run(extended, "pytest", "-q", "-p", "no:cacheprovider", "-k", "not postgresql", *tests)


def test_the_examples_keep_the_walls_and_the_style(extended: Path) -> None:
    run(extended, "ruff", "check", "--no-cache", *FILES)
    run(extended, "ruff", "format", "--no-cache", "--check", *FILES)


def test_the_commands_find_the_examples_by_their_names(extended: Path) -> None:
    found = json.loads(run(extended, "smoothvote", "list", "--format", "json"))
    assert "dropout" in [one["name"] for one in found["perturbations"]]
    assert "half" in [one["name"] for one in found["smoothers"]]
    options = run(extended, "smoothvote", "report", "--help")
    assert "tsv" in options
    assert "--plot-rejects" in options
