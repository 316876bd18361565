from pathlib import Path

import pytest
from PIL import Image
from rows import finish_all, record
from sqlalchemy import Engine

from db.errors import WrongUse
from db.runs import find_run
from db.session import reading
from report.names import SHOWN
from report.plots.rates import LINES, plot_report, plot_risk_coverage
from report.report import report


@pytest.mark.parametrize(("name", "magic"), [("a.png", b"\x89PNG"), ("a.svg", b"<?xml"), ("a.PDF", b"%PDF")])
@pytest.mark.parametrize("done", [True, False])
def test_a_report_is_drawn_in_each_format_complete_or_not(
    engine: Engine, tmp_path: Path, name: str, magic: bytes, done: bool
) -> None:
    run_id = record(engine, [1, 2, 1, 1])
    if done:
        finish_all(engine, run_id)
    with reading(engine) as session:
        plot_report(report(session, find_run(session, run_id)), tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(magic)


def test_lines_can_be_told_apart_in_grey() -> None:
    assert len({(marker, dash) for _, marker, dash in LINES.values()}) == len(LINES)
    assert set(LINES) == {*SHOWN, "thresholding"}


def test_the_picture_is_of_a_size_for_print(engine: Engine, tmp_path: Path) -> None:
    run_id = record(engine, [1, 2, 1, 1])
    finish_all(engine, run_id)
    with reading(engine) as session:
        plot_report(report(session, find_run(session, run_id)), tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as picture:
        assert min(picture.size) > 900


@pytest.mark.parametrize("name", ["a.jpg", "a", "nowhere/a.png"])
def test_a_picture_that_cannot_be_written_is_refused_before_any_work(tmp_path: Path, name: str) -> None:
    from report.plots.rates import check_plot_file

    with pytest.raises(WrongUse, match="--plot"):
        check_plot_file(tmp_path / name)


@pytest.mark.parametrize("name", ["a.png", "a.svg"])
def test_risk_against_coverage_is_drawn_for_the_vote_and_its_rival(engine: Engine, tmp_path: Path, name: str) -> None:
    run_id = record(engine, [1, 2, 1, None])
    finish_all(engine, run_id)
    with reading(engine) as session:
        plot_risk_coverage(report(session, find_run(session, run_id)), tmp_path / name)
    assert (tmp_path / name).stat().st_size > 10_000


def test_a_run_without_labels_has_no_risk_to_draw(engine: Engine, tmp_path: Path) -> None:
    run_id = record(engine, [None, None])
    finish_all(engine, run_id)
    with reading(engine) as session, pytest.raises(WrongUse, match=r"no image of run .* has a label"):
        plot_risk_coverage(report(session, find_run(session, run_id)), tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()
