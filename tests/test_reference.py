"""The reference pages name everything that there is: commands, flags, settings, fields and codes; and nothing else."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from certificates import certifying, example
from pages import DOCS, ROOT, named, section
from photos import RUN, record_photos
from rows import RECIPE, finish_all, record
from sqlalchemy import Engine

import smoothvote
from db.axis import NOISE
from db.errors import DONE, FAILED, INCOMPLETE, WRONG_USE
from db.migrations import upgrade
from db.runs import find_run
from db.session import connect, open_engine, reading
from db.settings import Settings
from report import certified_rows, rows
from report.certified import certified
from report.certified_comparison import compare_certified
from report.certified_data import to_json as certified_to_json
from report.certified_flat import level_rows
from report.comparison import compare
from report.data import to_json
from report.documents import certified_comparison, comparison, sweep
from report.report import report
from report.sweep import read_sweep

REFERENCE = DOCS / "reference"
COMMANDS = REFERENCE / "commands.md"
REPORT = REFERENCE / "report.md"


# -- commands.md -------------------------------------------------------------------------------------------------


def verbs(group: click.Group, path: str = "smoothvote") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from verbs(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


VERBS = dict(verbs(smoothvote.front_door))


def flags_of(path: str) -> dict[str, str]:
    """Each flag that the page gives a command, with its row: in its own section, and in those that it takes over."""
    own = section(COMMANDS, f"`{path}`")
    named = re.findall(r"\]\(#(recipe|dataset|report|certificates)\)", own)
    shared = [section(COMMANDS, name.capitalize()) for name in named]
    texts = [own, *(shared if "Takes the\nflags" in own or "Takes the flags" in own else [])]
    rows = [row for text in reversed(texts) for row in re.findall(r"^\| `--.*\|$", text, re.M)]
    without = re.search(r"latter without (.*?)\.$", own, re.M | re.S)
    left_out = re.findall(r"`(--[\w-]+)`", without[1]) if without else []
    found = {flag: row for row in rows for flag in re.findall(r"`(--[\w-]+)", row.split(" | ")[0])}
    return {flag: row for flag, row in found.items() if flag not in left_out}


@pytest.mark.parametrize("path", VERBS)
def test_every_command_and_flag_is_in_the_reference(path: str) -> None:
    described = flags_of(path)
    options = [parameter for parameter in VERBS[path].params if isinstance(parameter, click.Option)]
    assert set(described) == {name for option in options for name in (*option.opts, *option.secondary_opts)}
    for option in options:
        if isinstance(option.type, click.Choice):
            assert all(str(choice) in described[option.opts[0]] for choice in option.type.choices), option.name


def test_the_reference_has_no_command_that_is_not() -> None:
    assert set(re.findall(r"^### `(smoothvote [\w -]+)`$", COMMANDS.read_text(), re.M)) == set(VERBS)


# -- settings.md -------------------------------------------------------------------------------------------------


def test_the_settings_table_has_every_variable_with_its_default() -> None:
    table = dict(re.findall(r"^\| `SMOOTHVOTE_(\w+)` \| (.*?) \|", (REFERENCE / "settings.md").read_text(), re.M))
    assert set(table) == {name.upper() for name in Settings.model_fields} | {"TOKEN"}  # which serve alone reads
    for name, field in Settings.model_fields.items():
        if field.default is not None:
            shown = table[name.upper()].strip("`")
            assert shown == (f"{field.default:g}" if isinstance(field.default, float) else str(field.default)), name


# -- report.md ---------------------------------------------------------------------------------------------------


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """A record with one run."""
    settings = Settings(database_url=f"sqlite:///{tmp_path / 'record.db'}")
    empty = open_engine(settings)
    upgrade(empty)
    empty.dispose()
    engine = connect(settings)
    record_photos(engine)
    yield engine
    engine.dispose()


def fields(value: Any) -> set[str]:
    """The names of all fields in plain data."""
    if isinstance(value, dict):
        return set(value) | {name for inner in value.values() for name in fields(inner)}
    return {name for inner in value for name in fields(inner)} if isinstance(value, list) else set()


def without_ends(names: set[str]) -> set[str]:
    """Without the intervals and counts that stand beside each rate."""
    return {re.sub("_(ci|count)$", "", name) for name in names}


def test_every_field_of_a_report_is_in_the_reference(engine: Engine) -> None:
    with reading(engine) as session:
        found = fields(to_json(report(session, find_run(session, RUN))))
    assert without_ends(found) <= named(REPORT.read_text())
    assert {"level", "sigma", "acc_maj", "thresholding", "p_holm", "weights_sha256"} <= found


def test_every_field_of_a_comparison_and_of_a_sweep_is_in_the_reference(engine: Engine) -> None:
    recipes = {recipe.run_id("f" * 64): recipe for recipe in (RECIPE, RECIPE.model_copy(update={"kernel_size": 7}))}
    for recipe in recipes.values():
        finish_all(engine, record(engine, [1, 1, 2], recipe=recipe))
    with reading(engine) as session:
        compared = compare(session, *(find_run(session, run_id) for run_id in recipes))
        swept = read_sweep(session, recipes, axis=NOISE, metric="acc_maj")
    found = fields(comparison.to_json(compared)) | fields(sweep.to_json(swept))
    assert without_ends(found) <= named(REPORT.read_text())
    assert {"same_vote", "differences", "refused", "best"} <= found


def test_every_field_of_certificates_and_of_their_comparison_is_in_the_reference(engine: Engine) -> None:
    runs = example(engine), example(engine, recipe=certifying(seed=1), name="again")
    with reading(engine) as session:
        found = fields(certified_to_json(certified(session, runs[0])))
        found |= fields(certified_comparison.to_json(compare_certified(session, *runs)))
    quantiles = {"0.25", "0.5", "0.75"}
    assert quantiles < found
    assert without_ends(found - quantiles) <= named(REPORT.read_text())
    assert {"certified_accuracy", "envelope", "acc_predict", "largest_radius"} <= found


# -- python.md ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [certified_rows.COLUMNS, rows.COLUMNS])
def test_every_column_of_exported_rows_is_in_the_reference(columns: dict[str, type]) -> None:
    assert set(columns) <= named((REFERENCE / "python.md").read_text())


def test_every_column_of_a_summary_of_certificates_is_in_the_reference(engine: Engine) -> None:
    with reading(engine) as session:
        (row, *_) = level_rows(certified(session, example(engine)))
    names = {re.sub("_(low|high|hits|of)$", "", name) for name in row if not name.startswith("certified_")}
    page = named(section(REFERENCE / "python.md", "Columns of the summary of certificates"))
    assert names | {"certified_0", "certified_0.25", "certified_3"} <= page


# -- codes.md ----------------------------------------------------------------------------------------------------


def test_every_failure_code_that_the_code_gives_is_in_the_reference_and_no_other() -> None:
    sources = [file.read_text() for room in ("worker", "db") for file in (ROOT / room).rglob("*.py")]
    given = {
        code
        for text in sources
        for code in re.findall(r'(?:Unusable\(\s*|code=|"code": |\.fail\(\w+, )"([a-z_]+)"', text)
    }
    table = section(REFERENCE / "codes.md", "Failure codes")
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.M)) == given


def test_every_exit_code_is_in_the_reference() -> None:
    table = section(REFERENCE / "codes.md", "Exit codes")
    codes = {DONE, FAILED, WRONG_USE, INCOMPLETE}
    assert set(map(int, re.findall(r"^\| (\d) \|", table, re.M))) == codes
