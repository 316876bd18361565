"""`import smoothvote`: runs, reports and rows as DataFrames, and every block of docs/reference/python.md."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pandas
import pytest
from photos import RUN, record_photos
from rows import LEVELS, RECIPE, failed, finish_all, jobs, predicted, record
from sqlalchemy import Engine

import smoothvote
from db import store
from db.errors import WrongUse
from db.found import OUTCOMES
from report import certified_rows
from report.rows import COLUMNS

DOC = (Path(__file__).parent.parent / "docs" / "reference" / "python.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", DOC, re.S)


def by_hand(engine: Engine) -> str:
    """Six images, of which one has no label, and one is broken; what the views said at both levels, and the vote."""
    run_id = record(engine, [1, 1, 1, 2, None, 1], job_size=10)
    claim = store.claim(engine, jobs(engine, run_id)[0].id, worker="w", lease=60)
    assert claim
    ids = [image_id for image_id, _ in claim.images]
    calm = [(1, 1, 1, 1), (1, 9, 1, 1), (1, 8, 9, None), (9, 9, 2, 9), (5, 5, 5, 5)]
    noisy = [(1, 1, 9, 1), (7, 1, 1, 1), (7, 8, 9, None), (2, 7, 7, 7), (7, 8, 9, None)]
    rows = [
        predicted(ids[n], sigma, *views)
        for sigma, level in zip(LEVELS, (calm, noisy), strict=True)
        for n, views in enumerate(level)
    ]
    assert store.finish(engine, claim, rows, [failed(ids[5])])
    return run_id


def shown(block: str, names: dict[str, object]) -> str:
    """Runs a block as a notebook does; gives what it shows of its last line."""
    *before, last = ast.parse(block).body
    exec(compile(ast.Module(before, []), "docs/reference/python.md", "exec"), names)
    if not isinstance(last, ast.Expr):
        exec(compile(ast.Module([last], []), "docs/reference/python.md", "exec"), names)
        return ""
    value = eval(compile(ast.Expression(last.value), "docs/reference/python.md", "eval"), names)
    with pandas.option_context("display.width", 200, "display.max_columns", None):
        return re.sub(r" +$", "", f"{value}\n", flags=re.M)


# -- docs/reference/python.md ------------------------------------------------------------------------------------


def test_every_block_of_the_page_gives_what_stands_below_it(
    engine: Engine, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    record_photos(engine)
    monkeypatch.setenv("SMOOTHVOTE_DATABASE_URL", database_url)
    names: dict[str, object] = {}
    assert len(BLOCKS) == DOC.count("```python") >= 10
    for block, output in BLOCKS:
        assert shown(block, names) == output, block


def described(title: str) -> list[str]:
    """The columns that a table of the page names, sorted."""
    section = DOC.split(f"## {title}\n")[1].split("\n## ")[0]
    cells = re.findall(r"^\| (`.*?) \|", section, re.M)
    return sorted(word for cell in cells for word in re.findall(r"`([\w.]+)`", cell))


def test_the_page_describes_every_column(engine: Engine, database_url: str) -> None:
    run_id = by_hand(engine)
    assert described("Columns of the rows") == sorted(COLUMNS)
    assert described("Columns of the certificates") == sorted(certified_rows.COLUMNS)
    levels = smoothvote.report(run_id, database_url=database_url).levels.reset_index()
    more = "_(low|high|hits|of|only_first|only_second|p|p_holm)$"
    named = {re.sub(more, "", column) for column in levels}
    assert described("Columns of the summary") == sorted(named)


# -- runs --------------------------------------------------------------------------------------------------------


def test_runs_are_the_newest_first_with_how_far_each_has_come(engine: Engine, database_url: str) -> None:
    first = by_hand(engine)
    second = record(
        engine, [1] * 3, recipe=RECIPE.model_copy(update={"kernel_size": 7}), name="b", fingerprint="e" * 64
    )
    runs = smoothvote.runs(database_url=database_url)
    assert list(runs.id) == [second, first]
    assert list(runs.kernel_size) == [7, 5]
    assert runs[["expected", "done", "failed", "skipped", "complete"]].values.tolist() == [
        [3, 0, 0, 0, False],
        [6, 6, 1, 0, True],
    ]
    assert str(runs.created_at.dtype) == "datetime64[us, UTC]"


def test_an_empty_record_has_no_runs_and_the_columns_of_some(engine: Engine, database_url: str) -> None:
    runs = smoothvote.runs(database_url=database_url)
    assert (len(runs), "complete" in runs) == (0, True)
    with pytest.raises(WrongUse, match="begin with `smoothvote run IMAGES`"):
        smoothvote.report(database_url=database_url)


# -- rows --------------------------------------------------------------------------------------------------------


def test_the_reports_counts_come_out_of_the_rows_again(engine: Engine, database_url: str) -> None:
    for run_id in (by_hand(engine), record_photos(engine)):
        levels = smoothvote.report(run_id, database_url=database_url).levels
        rows = smoothvote.rows(run_id, database_url=database_url)
        of_level = rows.groupby("level")
        known = rows.label.notna()

        def count(condition: "pandas.Series[bool]", rows: pandas.DataFrame = rows) -> "pandas.Series[int]":
            return condition.fillna(False).groupby(rows.level).sum()

        recomputed = {
            "predicted": of_level.size(),
            "labelled": of_level.label.count(),
            "acc_ns_hits": count(rows.label_ns == rows.label),
            "acc_ss_hits": count(rows.label_ss == rows.label),
            "acc_ds_hits": count(rows.label_ds == rows.label),
            "acc_maj_hits": count(rows.label_maj == rows.label),
            "acc_maj_of": count(rows.label_maj.notna() & known),
            "reject_rate_hits": count(rows.label_maj.isna()),
            "unanimous_rate_hits": count((rows.label_ns == rows.label_ss) & (rows.label_ns == rows.label_ds)),
            "agree_ss_hits": count(rows.label_ss == rows.label_ns),
            "agree_ds_hits": count(rows.label_ds == rows.label_ns),
            "saved": count((rows.label_ns != rows.label) & (rows.label_maj == rows.label)),
            "lost": count((rows.label_ns == rows.label) & ~(rows.label_maj == rows.label).fillna(False)),
        }
        for name, found in recomputed.items():
            assert found.tolist() == levels[name].tolist(), name
        assert of_level.saved.sum().tolist() == levels.saved.tolist()
        assert of_level.lost.sum().tolist() == levels.lost.tolist()
        assert (rows.outcome == "failed").sum() == levels.failed.max()


def test_nulls_are_nulls_and_columns_are_of_types_that_have_them(engine: Engine, database_url: str) -> None:
    rows = smoothvote.rows(by_hand(engine), database_url=database_url)
    kinds = {"label": "Int64", "label_maj": "Int64", "level": "float64", "confidence_ns": "float64", "saved": "boolean"}
    assert {name: str(rows[name].dtype) for name in kinds} == kinds
    assert pandas.api.types.is_string_dtype(rows.path)
    assert (rows.label_name == rows.label_maj_name).sum() == (rows.outcome == "right").sum() == 4
    assert list(rows.outcome.cat.categories) == list(OUTCOMES)
    rejected = rows[rows.outcome == "rejected"]
    assert rejected.label_maj.isna().all()
    assert len(rejected) == 3
    assert rows[rows.level.isna()].path.tolist() == ["5.jpg"]


def test_rows_of_a_level_an_outcome_or_some_columns(engine: Engine, database_url: str) -> None:
    by_hand(engine)
    assert len(smoothvote.rows(level=0.25, database_url=database_url)) == 5
    saved = smoothvote.rows(outcome="saved", columns=["level", "path"], database_url=database_url)
    assert (list(saved), saved.values.tolist()) == (["level", "path"], [[0.25, "1.jpg"]])
    with pytest.raises(WrongUse, match="no column 'vote'"):
        smoothvote.rows(columns=["vote"], database_url=database_url)
    none = smoothvote.rows(outcome="skipped", database_url=database_url)
    assert (len(none), list(none), str(none.label_maj.dtype)) == (0, list(COLUMNS), "Int64")


# -- report ------------------------------------------------------------------------------------------------------


def test_a_report_is_what_the_command_shows(engine: Engine, database_url: str) -> None:
    record_photos(engine)
    report = smoothvote.report(RUN[:6], database_url=database_url)
    assert report.complete
    assert repr(report).startswith(f"photos ({RUN}): efficientnet_lite0 on labels (22 images): complete\n")
    assert report.verdict == report.data["verdict"]
    assert list(report.levels.index) == [0, 0.125, 0.25, 0.375]
    calm = report.levels.loc[0]
    wilson = [calm.acc_ns_low, calm.acc_ns_high]
    assert [calm.acc_ns, *wilson] == [report.data["levels"][0]["acc_ns"], *report.data["levels"][0]["acc_ns_ci"]]
    exact = smoothvote.report(RUN, interval="clopper-pearson", database_url=database_url).levels.loc[0]
    assert exact.acc_ns_low < wilson[0]
    assert {"vote", "confidence"} == set(report.risk_coverage.by)
    ends = report.risk_coverage.groupby(["level", "by"]).last()
    assert (ends.coverage == 1).all()
    assert ends.risk[0.25, "confidence"] == pytest.approx(1 - report.levels.acc_ns[0.25])


def test_a_run_without_labels_has_the_same_columns(engine: Engine, database_url: str) -> None:
    full = smoothvote.report(by_hand(engine), database_url=database_url)
    bare = record(engine, [None] * 3, fingerprint="e" * 64)
    finish_all(engine, bare)
    report = smoothvote.report(bare, database_url=database_url)
    assert report.levels.dtypes.equals(full.levels.dtypes)
    assert report.levels.acc_maj.isna().all()
    assert report.levels.saved.isna().all()
    assert report.risk_coverage.dtypes.astype(str).tolist() == full.risk_coverage.dtypes.astype(str).tolist()


# -- what it costs -----------------------------------------------------------------------------------------------


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_importing_it_imports_no_pandas() -> None:
    done = python("import smoothvote, sys; print({'pandas', 'pyarrow', 'sqlalchemy', 'scipy'} & sys.modules.keys())")
    assert done.stdout == "set()\n", done.stderr


def test_without_pandas_one_line_says_what_to_install() -> None:
    done = python("import sys; sys.modules['pandas'] = None; import smoothvote; smoothvote.rows()")
    assert done.stderr.splitlines()[-1] == "db.errors.WrongUse: this needs pandas: pip install 'smoothvote[frames]'"
