"""benchmarks/faults.py in short: each kind of fault once; and storms without a safeguard, which must show."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.faults import CONTROLS
from benchmarks.kinds import FAULTS, ON_POSTGRESQL, ON_SQLITE

ROOT = Path(__file__).parent.parent


def storms(folder: Path, *options: tuple[str, ...], code: int) -> list[dict[str, Any]]:
    """Runs storms at the same time, because each mostly waits; returns their results."""
    command = [sys.executable, "-m", "benchmarks.faults", "--json"]
    begun = [
        subprocess.Popen(
            [*command, str(folder / f"{number}"), *words], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        for number, words in enumerate(options)
    ]
    found = []
    for number, process in enumerate(begun):
        said, _ = process.communicate()
        assert process.returncode == code, said.decode()
        found += json.loads((folder / f"{number}").read_text())
    return found


@pytest.mark.timeout(600)
def test_after_a_storm_no_row_is_missing_duplicate_or_wrong(tmp_path: Path) -> None:
    kinds = {"postgresql": FAULTS | ON_POSTGRESQL, "sqlite": FAULTS | ON_SQLITE}
    short = ("--each-once", "--seconds", "20", "--database")
    for found in storms(tmp_path, *((*short, database) for database in kinds), code=0):
        assert found["faults"] == dict.fromkeys(kinds[found["database"]], 1)
        assert found["verdict"]["expected"] >= 957  # 239 images at four levels, and one failure
        assert [found["verdict"][what] for what in ("missing", "duplicate", "wrong")] == [0, 0, 0]


@pytest.mark.timeout(600)
def test_without_one_of_the_safeguards_rows_are_missing_or_duplicate(tmp_path: Path) -> None:
    short = ("--seconds", "12", "--database", "sqlite", "--control")
    no_sweeper, plain_insert, counter = storms(tmp_path, *((*short, control) for control in CONTROLS), code=1)
    assert no_sweeper["verdict"]["missing"] > 0
    assert plain_insert["verdict"]["duplicate"] > 0
    assert counter["counted"] > counter["verdict"]["predictions"]
