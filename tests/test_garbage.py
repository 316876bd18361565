"""The end of a process, which looks for no garbage: what must be closed is closed."""

import subprocess
import sys
from pathlib import Path

import pytest
from commands import smoothvote

CYCLE = """
from db.garbage import collect_seldom
class Cycle:
    def __init__(self):
        self.myself = self
    def __del__(self):
        print("looked for garbage")
if {seldom}:
    collect_seldom()
Cycle()
"""


@pytest.mark.parametrize(("seldom", "said"), [(True, ""), (False, "looked for garbage\n")])
def test_a_process_that_collects_seldom_does_not_look_for_garbage_as_it_ends(seldom: bool, said: str) -> None:
    code = CYCLE.format(seldom=seldom)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parent.parent, capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == (said, "")


def test_a_command_leaves_nothing_of_sqlite_beside_the_file_of_the_database(tmp_path: Path) -> None:
    env = {"SMOOTHVOTE_DATABASE_URL": f"sqlite:///{tmp_path}/record.db"}
    for words in (("db", "upgrade"), ("runs",)):
        smoothvote(*words, cwd=tmp_path, env=env)
        assert [file.name for file in tmp_path.iterdir()] == ["record.db"], words
