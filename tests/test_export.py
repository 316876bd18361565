"""Exports, against a run whose rows were counted by hand, and against the file that a real one was exported to."""

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from photos import EXPORTED, record_photos
from pyarrow import parquet
from rows import LEVELS, RECIPE, failed, jobs, predicted, record
from sqlalchemy import Engine

import smoothvote
from db import store
from db.errors import SmoothvoteError, WrongUse
from db.runs import find_run
from db.session import reading
from report import frames, rows
from report.export import form_of, whole_file, write_run
from report.exports import EXPORTS
from report.report import report
from report.rows import COLUMNS, written_types

Call = Callable[..., tuple[int, str, str]]

WRITTEN = list(written_types(RECIPE))

#: Of five images: the true class, what the views said at both levels, and what the vote made of it.
BY_HAND = [
    (1, (1, 9, 1, 1), (7, 1, 1, 1)),  # right; saved
    (1, (1, 8, 9, None), (1, 7, 7, 7)),  # rejected, lost; wrong, lost
    (2, (9, 9, 2, 9), (7, 8, 9, None)),  # wrong; rejected
    (None, (5, 5, 5, 5), (5, 6, 7, None)),  # unlabelled; rejected
    (3, None, None),  # broken
]
EXPECTED = [
    ("0.jpg", 0.0, "right", False, False),
    ("0.jpg", 0.25, "right", True, False),
    ("1.jpg", 0.0, "rejected", False, True),
    ("1.jpg", 0.25, "wrong", False, True),
    ("2.jpg", 0.0, "wrong", False, False),
    ("2.jpg", 0.25, "rejected", False, False),
    ("3.jpg", 0.0, "unlabelled", None, None),
    ("3.jpg", 0.25, "rejected", None, None),
    ("4.jpg", None, "failed", None, None),
]


def record_by_hand(engine: Engine) -> str:
    run_id = record(engine, [label for label, *_ in BY_HAND], job_size=3)
    for job in jobs(engine, run_id):
        finish(engine, job.id)
    return run_id


def finish(engine: Engine, job_id: int) -> None:
    claim = store.claim(engine, job_id, worker="w", lease=60)
    assert claim
    images = claim.images
    found, broken = [], []
    for number, (image_id, _) in enumerate(images, claim.first):
        _, *levels = BY_HAND[number]
        if levels[0] is None:
            broken.append(failed(image_id))
        found += [predicted(image_id, sigma, *views) for sigma, views in zip(LEVELS, levels, strict=True) if views]
    assert store.finish(engine, claim, found, broken)


def exported(engine: Engine, run_id: str, what: Any = "rows", form: Any = "csv") -> bytes:
    out = io.BytesIO()
    with reading(engine) as session:
        write_run(session, find_run(session, run_id), what, EXPORTS[form], out)
    return out.getvalue()


def lines(engine: Engine, run_id: str, what: str = "rows") -> list[dict[str, Any]]:
    return [json.loads(line) for line in exported(engine, run_id, what, "jsonl").splitlines()]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Calls the command; gives its exit code and what it said."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str, database_url: str) -> tuple[int, str, str]:
        monkeypatch.setenv("SMOOTHVOTE_DATABASE_URL", database_url)
        monkeypatch.setattr(sys, "argv", ["smoothvote", *words])
        with pytest.raises(SystemExit) as ended:
            smoothvote.main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run


# -- rows --------------------------------------------------------------------------------------------------------


def test_every_row_says_what_a_hand_count_gives(engine: Engine) -> None:
    found = lines(engine, record_by_hand(engine))
    assert [tuple(row[name] for name in ("path", "level", "outcome", "saved", "lost")) for row in found] == EXPECTED
    assert found[2] == {
        "path": "1.jpg",
        "level": 0.0,
        "sigma": 0.0,
        "label": 1,
        "label_name": "goldfish",
        "label_ns": 1,
        "confidence_ns": 0.5,
        "label_ss": 8,
        "confidence_ss": 0.25,
        "label_ds": 9,
        "confidence_ds": 0.75,
        "label_maj": None,  # rejected: neither -1 nor NaN
        "label_maj_name": None,
        "outcome": "rejected",
        "saved": False,
        "lost": True,
        "code": None,
        "message": None,
    }
    assert found[-1] == dict.fromkeys(WRITTEN) | {
        "path": "4.jpg", "label": 3, "label_name": "tiger shark", "outcome": "failed", "code": "truncated", "message": "why"
    }  # fmt: skip


def test_what_was_exported_comes_back_as_it_was(engine: Engine) -> None:
    assert exported(engine, record_photos(engine)) == EXPORTED.read_bytes()


def test_rows_are_the_same_however_many_are_read_at_once(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = record_by_hand(engine)
    for size in (2, 6, 10_000):
        monkeypatch.setattr(rows, "PAGE", size)
        monkeypatch.setattr(frames, "GROUP", size)
        found = lines(engine, run_id)
        assert [tuple(row[name] for name in ("path", "level", "outcome", "saved", "lost")) for row in found] == EXPECTED
        assert parquet.read_table(io.BytesIO(exported(engine, run_id, form="parquet"))).to_pylist() == found


def test_another_runs_rows_over_the_same_images_stay_out(engine: Engine) -> None:
    run_id = record_by_hand(engine)
    before = exported(engine, run_id)
    other = record(
        engine, [label for label, *_ in BY_HAND], recipe=RECIPE.model_copy(update={"seed": 1}), name="another"
    )
    for job in jobs(engine, other):
        finish(engine, job.id)
    assert exported(engine, run_id) == before


def test_an_export_is_of_one_moment_whatever_is_written_meanwhile(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "PAGE", 2)  # an image at two levels
    run_id = record(engine, [label for label, *_ in BY_HAND], job_size=3)
    first, second = jobs(engine, run_id)
    finish(engine, first.id)
    with reading(engine) as session:
        pages = rows.pages(session, find_run(session, run_id))
        paths = list(next(pages)["path"])
        finish(engine, second.id)
        paths += [path for page in pages for path in page["path"]]
    assert paths == ["0.jpg", "0.jpg", "1.jpg", "1.jpg", "2.jpg", "2.jpg"]


def test_parquet_has_the_columns_types_and_nulls_of_the_rows(engine: Engine) -> None:
    run_id = record_by_hand(engine)
    table = parquet.read_table(io.BytesIO(exported(engine, run_id, form="parquet")))
    names = {"path": "string", "level": "double", "label_maj": "int64", "confidence_ns": "double", "saved": "bool"}
    assert {name: str(table.schema.field(name).type) for name in names} == names
    assert table.column_names == WRITTEN
    assert table.to_pylist() == lines(engine, run_id)


def test_levels_have_their_former_name_too_for_gaussian_noise_alone(engine: Engine) -> None:
    assert [name for name in WRITTEN if name != "sigma"] == list(COLUMNS)
    other = record(engine, [1], recipe=RECIPE.model_copy(update={"perturbation": "salt_and_pepper"}))
    assert exported(engine, other) == (",".join(COLUMNS) + "\n").encode()


def test_a_run_that_has_not_begun_is_columns_without_rows(engine: Engine) -> None:
    run_id = record(engine, [1, 2])
    assert exported(engine, run_id) == (",".join(WRITTEN) + "\n").encode()
    assert exported(engine, run_id, form="jsonl") == b""
    table = parquet.read_table(io.BytesIO(exported(engine, run_id, form="parquet")))
    assert (table.num_rows, table.column_names) == (0, WRITTEN)


def test_rows_of_one_level_or_outcome(engine: Engine) -> None:
    run_id = record_by_hand(engine)
    of_image: list[tuple[dict[str, Any], str]] = [
        ({"level": 0.25}, "0 1 2 3"),
        ({"outcome": "rejected"}, "1 2 3"),
        ({"outcome": "rejected", "level": 0.25}, "2 3"),
        ({"outcome": "failed"}, "4"),
        ({"outcome": "skipped"}, ""),
        ({"outcome": "saved"}, "0"),
        ({"outcome": "lost"}, "1 1"),
        ({"outcome": "lost", "level": 0.0}, "1"),
    ]
    with reading(engine) as session:
        run = find_run(session, run_id)
        for asked, numbers in of_image:
            pages = rows.pages(session, run, columns=["path"], **asked)
            assert [path for page in pages for path in page["path"]] == [f"{n}.jpg" for n in numbers.split()], asked


def test_what_is_not_there_is_said(engine: Engine) -> None:
    run_id = record(engine, [1])
    refused: list[tuple[dict[str, Any], str]] = [
        ({"level": 0.3}, "has no level 0.3; it has 0, 0.25"),
        ({"outcome": "good"}, "there is no outcome 'good'; there are right, wrong, rejected, unlabelled, failed"),
        ({"outcome": "failed", "level": 0.25}, "ask for the outcome without a level"),
        ({"columns": ["path", "vote"]}, "there is no column 'vote'; there are path, level"),
        ({"columns": []}, "name at least one column"),
    ]
    with reading(engine) as session:
        run = find_run(session, run_id)
        for asked, said in refused:
            with pytest.raises(WrongUse, match=said):
                next(rows.pages(session, run, **asked))


# -- CSV ---------------------------------------------------------------------------------------------------------

NAMES = ["=1+1.jpg", "+a", "-a", "@eaDir/a.jpg", "\tb", "\rb", "'c", "d'=.jpg", "e=1", 'ü,"f\n.jpg', ""]


def test_no_spreadsheet_takes_a_name_for_a_formula_and_the_name_can_be_had_back() -> None:
    out = io.BytesIO()
    EXPORTS["csv"].write([{"path": NAMES, "level": [-1.5] * len(NAMES)}], {"path": str, "level": float}, out)
    cells = [row["path"] for row in csv.DictReader(io.StringIO(out.getvalue().decode(), newline=""))]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert [cell.removeprefix("'") for cell in cells] == NAMES
    assert b",-1.5\n" in out.getvalue()  # a number is no text


def test_json_and_parquet_have_names_as_they_are() -> None:
    pages = [{"path": NAMES}]
    said, table = io.BytesIO(), io.BytesIO()
    EXPORTS["jsonl"].write(pages, {"path": str}, said)
    EXPORTS["parquet"].write(pages, {"path": str}, table)
    assert [json.loads(line)["path"] for line in said.getvalue().decode().split("\n")[:-1]] == NAMES
    assert parquet.read_table(table).column("path").to_pylist() == NAMES
    assert "ü".encode() in said.getvalue()


# -- summary -----------------------------------------------------------------------------------------------------


def test_a_summary_has_a_row_a_level_with_every_figure_of_the_report(engine: Engine) -> None:
    run_id = record_by_hand(engine)
    calm, noisy = lines(engine, run_id, "summary")
    by_hand = {"run_id": run_id, "level": 0.0, "expected": 5, "predicted": 4, "failed": 1, "skipped": 0, "pending": 0}
    by_hand |= {"labelled": 3, "acc_ns_hits": 2, "acc_ns_of": 3, "acc_maj_hits": 1, "acc_maj_of": 2}
    by_hand |= {"reject_rate": 0.25, "saved": 0, "lost": 1, "maj_less_ns_only_first": 1, "maj_less_ns_only_second": 0}
    assert {name: calm[name] for name in by_hand} == by_hand
    assert (noisy["saved"], noisy["lost"], noisy["reject_rate_hits"], noisy["reject_rate_of"]) == (1, 1, 2, 4)
    with reading(engine) as session:
        level = report(session, find_run(session, run_id)).levels[1]
    assert level.acc_ss
    assert [noisy["acc_ss"], noisy["acc_ss_low"], noisy["acc_ss_high"]] == [*level.acc_ss[2:]]
    assert level.against_ns["maj"]
    assert noisy["maj_less_ns_p_holm"] == level.against_ns["maj"].p_holm


def test_a_summary_has_the_same_columns_and_types_where_there_is_nothing_to_say(engine: Engine) -> None:
    full = parquet.read_table(io.BytesIO(exported(engine, record_by_hand(engine), "summary", "parquet")))
    bare = record(engine, [None, None], fingerprint="e" * 64)
    empty = parquet.read_table(io.BytesIO(exported(engine, bare, "summary", "parquet")))
    assert empty.schema == full.schema
    assert empty.num_rows == 2
    csv_of_it = csv.DictReader(io.StringIO(exported(engine, bare, "summary").decode()))
    assert [row["acc_maj"] for row in csv_of_it] == ["", ""]


# -- files -------------------------------------------------------------------------------------------------------


def test_a_file_is_there_when_it_is_whole_and_else_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("before")
    writing = whole_file(file)
    out = writing.__enter__()
    out.write(b"half")
    out.flush()
    assert file.read_text() == "before"
    assert writing.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None) is False
    assert file.read_text() == "before"
    with whole_file(file) as out:
        out.write(b"after")
    assert file.read_text() == "after"
    assert os.listdir(tmp_path) == ["rows.csv"]


def test_a_link_stays_one_and_a_pipe_is_written_to(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "file")
    with whole_file(tmp_path / "link") as out:
        out.write(b"found")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_bytes() == b"found"
    os.mkfifo(tmp_path / "pipe")
    read: list[bytes] = []
    reader = Thread(target=lambda: read.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    with whole_file(tmp_path / "pipe") as out:
        out.write(b"found")
    reader.join(10)
    assert read == [b"found"]
    assert (tmp_path / "pipe").is_fifo()


def test_a_file_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match=r"rows.csv: cannot be written: no such file or directory"):
        whole_file(tmp_path / "nowhere" / "rows.csv").__enter__()
    with pytest.raises(SmoothvoteError, match="no space left") as full, whole_file(Path("/dev/full")) as out:
        out.write(b"x" * 100_000)
    assert not isinstance(full.value, WrongUse)


@pytest.mark.parametrize(
    ("form", "file", "found"),
    [(None, None, "csv"), ("jsonl", None, "jsonl"), (None, "a.PARQUET", "parquet"), (None, "a.b.jsonl", "jsonl"),
     ("csv", "a.txt", "csv")],
)  # fmt: skip
def test_the_format_is_the_one_asked_for_or_that_of_the_files_ending(form: Any, file: str | None, found: str) -> None:
    assert form_of(form, Path(file) if file else None).name == found


# -- the command -------------------------------------------------------------------------------------------------

#: A command knows no database from the other.
SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@SQLITE
def test_the_command_writes_files_and_stdout(engine: Engine, database_url: str, call: Call, tmp_path: Path) -> None:
    record_photos(engine)
    assert call("export", database_url=database_url) == (0, EXPORTED.read_text(), "")
    code, out, said = call("export", "photos", "--output", "rows.parquet", database_url=database_url)
    assert (code, out, said) == (0, "", "wrote 82 rows to rows.parquet\n")
    assert parquet.read_metadata(tmp_path / "rows.parquet").num_rows == 82
    code, out, said = call("export", "--what", "summary", "--format", "jsonl", database_url=database_url)
    assert (code, len(out.splitlines()), said) == (0, 4, "")


@SQLITE
def test_an_incomplete_run_is_exported_and_said_to_be(engine: Engine, database_url: str, call: Call) -> None:
    run_id = record(engine, [label for label, *_ in BY_HAND], job_size=3)
    finish(engine, jobs(engine, run_id)[0].id)
    code, out, said = call("export", database_url=database_url)
    assert (code, len(out.splitlines())) == (3, 1 + 6)
    assert said == "INCOMPLETE: 2 of 5 images are pending\n"


@SQLITE
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--format", "parquet"], "parquet is not text: name a file with --output FILE"),
        (["--output", "rows.xlsx"], "rows.xlsx: its ending is no format's; use one of .csv, .jsonl, .parquet"),
        (["--output", "nowhere/rows.csv"], "nowhere/rows.csv: cannot be written: no such file or directory"),
        (["another"], "'another' is no run's id or name"),
    ],
)
def test_wrong_use_is_one_line(
    engine: Engine, database_url: str, call: Call, words: list[str], said: str, tmp_path: Path
) -> None:
    record(engine, [1])
    code, out, line = call("export", *words, database_url=database_url)
    assert (code, out, line.count("\n")) == (2, "", 1)
    assert said in line
    assert not list(tmp_path.glob("*rows*"))


@SQLITE
def test_without_pyarrow_parquet_is_one_line_and_csv_is_written(engine: Engine, database_url: str) -> None:
    record_photos(engine)
    without = (
        "import sys; sys.modules['pyarrow'] = None; sys.argv[0] = 'smoothvote'; import smoothvote; smoothvote.main()"
    )
    env = os.environ | {"SMOOTHVOTE_DATABASE_URL": database_url}

    def export(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", without, "export", *words], env=env, capture_output=True, text=True
        )

    assert export().stdout == EXPORTED.read_text()
    refused = export("--output", "rows.parquet")
    assert refused.returncode == 2
    assert refused.stderr == "smoothvote: this needs pyarrow: pip install 'smoothvote[frames]'\n"
