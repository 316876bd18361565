"""What a terminal shows: no line is wider than it, whatever names are in the record; a pipe gets everything."""

import json
import os
import pty
import re
import shlex
import subprocess
import sys
import termios
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from certificates import certifying, example
from click.testing import CliRunner
from commands import environment
from photos import record_photos
from rich.cells import cell_len
from rows import failed, jobs, predicted
from sqlalchemy import Engine

from db import store, submission
from db.axis import NOISE
from db.migrations import upgrade
from db.recipe import Recipe, make_recipe
from db.runs import find_run
from db.session import open_engine, reading, writing
from db.settings import Settings
from db.store import Entry
from report.columns import Column, places
from report.document import Step
from report.documents.answers import document as answers
from report.documents.reproduction import document as reproduction
from report.documents.sweep import document as sweep
from report.formats import as_text
from report.formats.table import steps
from report.report import report
from report.screen import PAPER, Screen, screen
from report.sweep import read_sweep
from report.text import broken, fold
from smoothvote import front_door

NINE = tuple(number / 8 for number in range(9))
LONG = "a-run-with-a-name-without-any-blank-" + "x" * 120 + "-that-ends-so"
CERTIFIED = f"certified-{LONG}"
MODEL = "torchvision/vit_l_16@IMAGENET1K_SWAG_LINEAR_V1"
WIDTHS = (80, 60)
ROOT = Path(__file__).parent.parent


def fill(engine: Engine, name: str, recipe: Recipe, labels: list[int | None]) -> str:
    """A run over six images with names of all kinds: the vote loses some, rejects one, and one is broken."""
    paths = ["a b/" + "n" * 90 + ".jpg", "日本" * 30 + ".jpg", "x\x1b[31m.jpg", "d.jpg", "e.jpg", "f.jpg"]
    entries = [Entry(path=path, label=label, bytes=1) for path, label in zip(paths, labels, strict=True)]
    fingerprint = str(labels)
    run_id = recipe.run_id(fingerprint)
    with writing(engine) as session:
        dataset_id = submission.record_dataset(
            session, name="photographs " + "y" * 70, root="/p", fingerprint=fingerprint, found=6, entries=entries
        )
        submission.record_run(session, run_id=run_id, dataset_id=dataset_id, name=name, recipe=recipe, job_size=6)
    claim = store.claim(engine, jobs(engine, run_id)[0].id, worker="w", lease=60)
    assert claim
    ids = [image_id for image_id, _ in claim.images]
    views = [(1, 1, 1, 1), (207, 8, 8, 8), (212, 213, 214, None), (2, 2, 3, 2), (999, 1, 1, 1)]
    rows = [predicted(ids[n], level, *found) for level in recipe.levels for n, found in enumerate(views)]
    assert store.finish(engine, claim, rows, [failed(ids[5])])
    return run_id


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Two labelled runs over the same images, at nine levels and at four, one without labels; two certified ones."""
    engine = open_engine(Settings(database_url=f"sqlite:///{tmp_path_factory.mktemp('screen') / 'record.db'}"))
    upgrade(engine)
    labels: list[int | None] = [1, 207, 212, 2, 1, 1]
    fill(engine, "unlabelled", make_recipe(model=MODEL, levels=NINE), [None] * 6)
    fill(engine, LONG, make_recipe(model=MODEL, levels=NINE), labels)
    for seed, name in enumerate((CERTIFIED, "certified-too")):
        example(engine, name=name, recipe=certifying(seed=seed))
    fill(engine, "article", make_recipe(levels=(0, 0.125, 0.25, 0.375), antialias=False, grayscale="skip"), labels)
    yield engine
    engine.dispose()


#: Types commands one after the other, so that Python starts once: each behind a control character.
TYPIST = """
import json, sys
from smoothvote import front_door
for words in json.loads(sys.argv[1]):
    print("\\x1e", end="", flush=True)
    try:
        front_door(words, "smoothvote")
    except SystemExit as end:
        assert end.code in (None, 0, 3), (words, end.code)
"""


def on_terminal(engine: Engine, width: int, *commands: Sequence[str], **env: str) -> list[list[str]]:
    """What a terminal of this width gets of each command, stdout and stderr, line by line and without styles."""
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (24, width))
    given = {"SMOOTHVOTE_DATABASE_URL": str(engine.url), "TERM": "xterm-256color", **env}
    settings = environment(given)
    if "COLUMNS" not in env:
        del settings["COLUMNS"]
    typed = [sys.executable, "-c", TYPIST, json.dumps(commands)]
    with subprocess.Popen(typed, stdin=slave, stdout=slave, stderr=slave, env=settings, cwd=ROOT) as process:
        os.close(slave)
        said = b""
        while part := _read(master):
            said += part
        os.close(master)
    assert process.returncode == 0, said.decode()
    plain = re.sub(r"\x1b\[[\d;]*m", "", said.decode()).replace("\r\n", "\n")
    return [lines.rstrip("\n").split("\n") for lines in plain.split("\x1e")[1:]]


def _read(master: int) -> bytes:
    try:
        return os.read(master, 65536)
    except OSError:  # the other end is closed
        return b""


COMMANDS = [
    ("report", LONG),
    ("report", LONG, "--detail"),
    ("report", "unlabelled", "--detail"),
    ("compare", LONG, "article", "--detail"),
    ("report", CERTIFIED, "--detail"),
    ("compare", CERTIFIED, "certified-too", "--detail"),
    ("images", CERTIFIED),
    ("status", CERTIFIED),
    ("images", "article"),
    ("images", "unlabelled", "--level", "0.5"),
    ("images", LONG, "--outcome", "failed"),
    ("runs",),
    ("status", LONG),
]


@pytest.fixture(scope="module")
def screens(engine: Engine) -> dict[int, list[list[str]]]:
    """What each command prints, by the terminal's width."""
    return {width: on_terminal(engine, width, *COMMANDS) for width in WIDTHS}


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("number", range(len(COMMANDS)), ids=[" ".join(words) for words in COMMANDS])
def test_no_line_is_wider_than_the_terminal(screens: dict[int, list[list[str]]], width: int, number: int) -> None:
    lines, words = screens[width][number], COMMANDS[number]
    assert len(lines) > (words[0] == "status")
    wide = [line for line in lines if cell_len(line) > width]
    assert not wide


def test_what_a_check_of_the_doctor_finds_is_folded_below_itself(engine: Engine) -> None:
    (lines,) = on_terminal(engine, 60, ["doctor", "--quick"])
    assert max(map(cell_len, lines)) <= 60
    first = next(number for number, line in enumerate(lines) if line.startswith("ok      perturbations  fgsm, "))
    assert lines[first + 1].startswith(" " * 23)
    assert lines[first + 1][23] != " "


def test_columns_in_the_environment_is_heard_before_the_terminal(engine: Engine) -> None:
    (lines,) = on_terminal(engine, 80, ["report", "article"], COLUMNS="50")
    assert max(map(cell_len, lines)) <= 50


def test_a_command_that_is_too_long_can_be_pasted_from_its_lines() -> None:
    step = Step("a plot", "smoothvote compare d60a06a9f1d3ceb1 d2877c442ec2e07d --plot differences.png")
    lines = steps([step], Screen(60)).splitlines()
    assert lines[0] == "a plot"
    assert max(map(len, lines)) <= 60
    assert shlex.split("\n".join(lines[1:]).replace("\\\n", "")) == shlex.split(step.command)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_pipe_gets_all_of_every_name(engine: Engine, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMOOTHVOTE_DATABASE_URL", str(engine.url))
    monkeypatch.setenv("COLUMNS", "40")
    said = CliRunner().invoke(front_door, list(words)).stdout
    assert "…" not in said
    assert "\x1b" not in said
    if words[0] in ("runs", "status", "report", "compare") and LONG in words:
        assert LONG in said
    if words == ("runs",):
        assert f"{LONG} " in said


@pytest.mark.parametrize("width", WIDTHS)
def test_what_needs_images_or_a_model_fits_too(engine: Engine, width: int) -> None:
    with reading(engine) as session:
        run = find_run(session, "article")
        recipes = {run.id: run.recipe, "0" * 16: make_recipe(model=MODEL, kernel_size=9)}
        found = report(session, run)
        shown = [
            sweep(read_sweep(session, recipes, axis=NOISE, metric="acc_maj")),
            reproduction(found),
            answers("p/" + "q" * 100, [], run.recipe, run.axis, {}),
        ]
    for document in shown:
        lines = as_text(document, screen=Screen(width)).splitlines()
        assert lines
        assert not [line for line in lines if cell_len(line) > width]


def test_a_report_of_four_levels_fits_a_screen(tmp_path: Path) -> None:
    engine = open_engine(Settings(database_url=f"sqlite:///{tmp_path / 'record.db'}"))
    upgrade(engine)
    record_photos(engine)
    (lines,) = on_terminal(engine, 80, ["report"])
    engine.dispose()
    assert lines[-1] == "1 image failed: smoothvote images 9d5dddcc268cf218 --outcome failed"
    assert len(lines[:-1]) <= 29  # a line is left for that of a plot


# -- a line, a column --------------------------------------------------------------------------------------------


def test_a_long_word_is_broken_after_a_sign_that_parts_names_and_a_wide_letter_counts_two() -> None:
    assert broken("photographs", 11) == ["photographs"]
    assert broken("photographs", 7) == ["photogr", "aphs"]
    assert broken("val/n01440764_tench.JPEG", 10) == ["val/n01440", "764_tench.", "JPEG"]
    assert broken("n01440764_tench.JPEG", 14) == ["n01440764_", "tench.JPEG"]
    assert broken("日本語日本語", 7) == ["日本語", "日本語"]


@pytest.mark.parametrize("width", WIDTHS)
def test_a_path_that_is_too_long_for_its_column_is_printed_to_its_last_letter(engine: Engine, width: int) -> None:
    (lines,) = on_terminal(engine, width, ["images", "article", "--level", "0"])
    assert not any("…" in line for line in lines)
    column = [line.split("  ")[0] for line in lines]
    assert "nnn.jpg" in "".join(part for part in column if set(part) <= set("a b/n.jpg"))
    assert sum(part.count("n") for part in column if set(part) <= set("a b/n.jpg")) == 90


def test_lines_break_between_words_and_a_word_that_is_too_long_is_broken_only_where_that_is_wanted() -> None:
    assert fold("one two three", 7) == ["one two", "three"]
    assert fold("one twothreefour", 7) == ["one", "twothre", "efour"]
    assert fold("at σ = 0.25", 10) == ["at", "σ = 0.25"]
    assert fold("one twothreefour", 7, cut=False) == ["one", "twothreefour"]


def test_columns_stand_side_by_side_then_give_way_then_stand_below_each_other() -> None:
    columns = [Column(5, 5), Column(20, 10), Column(8, 8), Column(8, 8)]
    assert places(columns, None, 1) == [[(0, 5), (1, 20), (2, 8), (3, 8)]]
    assert places(columns, 40, 1) == [[(0, 5), (1, 13), (2, 8), (3, 8)]]
    assert places(columns, 30, 1) == [[(0, 5), (1, 13), (2, 8)], [(0, 5), (3, 8)]]


def test_stdout_of_a_test_is_no_terminal() -> None:
    assert screen() == PAPER == (None, False)
