"""benchmarks/fuzz.py with few cases, and proofs that it notices deaths, hangs and errors."""

import hashlib
import json
import os
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def python(*words: str | Path, code: int = 0, **env: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, env={**os.environ, **env}, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


def script(text: str, *words: str | Path, code: int = 0, **env: str) -> str:
    begin = "from db.garbage import collect_seldom\ncollect_seldom()\n"  # PyTorch is imported in half of the time
    return python("-c", begin + textwrap.dedent(text), *words, code=code, **env).stdout


def test_each_broken_image_ends_as_rows_or_as_one_coded_failure(tmp_path: Path) -> None:
    words = ("--cases", "300", "--seed", "1", "--json", tmp_path / "ends.json")
    said = python("-m", "benchmarks.fuzz", *words).stdout.splitlines()
    ends = json.loads((tmp_path / "ends.json").read_text())
    outcomes = Counter(end["outcome"] for end in ends)
    assert sorted(end["number"] for end in ends) == list(range(300))
    assert "0 deaths, 0 errors" in said[-1]
    assert outcomes["predicted"] > 30
    assert outcomes["truncated"] > 100
    assert [line.split("│")[2].strip() for line in said if "│" in line] == ["50"] * 6 + ["300"]


def test_a_seed_gives_the_same_cases_in_every_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT)
    from benchmarks.fuzz import make_case, photographs

    files = photographs(None)
    first, other = ([make_case(number, seed, files) for number in range(200)] for seed in (0, 1))
    assert all(ours != theirs for ours, theirs in zip(first, other, strict=True))
    elsewhere = """
        import hashlib
        from benchmarks.fuzz import make_case, photographs
        files = photographs(None)
        print(hashlib.sha256(b"".join(make_case(number, 0, files) for number in range(200))).hexdigest())
    """
    assert script(elsewhere, PYTHONHASHSEED="5").strip() == hashlib.sha256(b"".join(first)).hexdigest()


def test_a_death_and_a_hang_are_noticed_and_cost_one_case_each() -> None:
    ends = """
        import os, signal, time
        from benchmarks.fuzz import run
        def do(number):
            if number == 3:
                os.kill(os.getpid(), signal.SIGKILL)
            if number == 5:
                time.sleep(600)
            if number == 7:
                os._exit(4)
            return "predicted", ""
        for ended in run(range(9), do, patience=5):
            print(ended.number, ended.outcome, ended.note)
    """
    assert [line.strip() for line in script(ends).splitlines()] == [
        "0 predicted",
        "1 predicted",
        "2 predicted",
        "3 death exit code -9",
        "4 predicted",
        "5 death hangs",
        "6 predicted",
        "7 death exit code 4",
        "8 predicted",
    ]


def test_a_bad_case_fails_the_command_which_keeps_its_bytes(tmp_path: Path) -> None:
    fuzzed = """
        import os, signal, sys
        from benchmarks import fuzz
        real = fuzz.decode
        def decode(data, **given):
            if data == cases[4]:
                os.kill(os.getpid(), signal.SIGSEGV)
            if data == cases[7]:
                raise KeyError("a bug")
            return real(data, **given)
        files = fuzz.photographs(None)
        cases = {number: fuzz.make_case(number, 0, files) for number in (4, 7)}
        fuzz.decode = decode
        try:
            fuzz.main(["--cases", "12", "--keep", sys.argv[1]])
        finally:
            for number, data in cases.items():
                assert open(f"{sys.argv[1]}/{number}", "rb").read() == data
    """
    said = script(fuzzed, tmp_path, code=1).splitlines()
    assert "1 deaths, 1 errors" in said[-1]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["4", "7"]
