"""What is printed and drawn of certificates: the words, the tables in every format, and the plot."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from certificates import N0, Labels, by_hand, certified_run, certifying, example
from sqlalchemy import Engine, event

from db.copies import Part
from db.errors import WrongUse
from db.migrations import upgrade
from db.runs import RunInfo
from db.session import open_engine
from db.settings import Settings
from report.certificate import RADII
from report.certified import Certified, read_certified
from report.certified_verdict import guarantee, verdict
from report.documents.certified import beside, document, headline
from report.formats import FORMATS, as_text
from report.plots import PLOTS, plots_of
from report.plots.certified import share_at, steps
from report.screen import Screen

THREE = (0.25, 0.5, 1.0)
#: How many of 1,000 copies of an image have label 1, at each of THREE: 100 of 100 in each of the parts, or fewer.
RIGHT = {0.25: 100, 0.5: 98, 1.0: 90}


@pytest.fixture(scope="module")
def one_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """SQLite, once: what is printed does not depend on the database."""
    engine = open_engine(Settings(database_url=f"sqlite:///{tmp_path_factory.mktemp('certified') / 'record.db'}"))
    upgrade(engine)
    yield engine
    engine.dispose()


def draw(position: int, level: float, part: Part) -> Labels:
    """Of ten images the first eight have label 1, more often at a low σ; the others have label 2."""
    if position >= 8:
        return {2: part.size}
    most = part.size * RIGHT[level] // 100
    return {label: n for label, n in ((1, most), (3, part.size - most)) if n}


@pytest.fixture(scope="module")
def run(one_engine: Engine) -> RunInfo:
    return certified_run(one_engine, [1] * 10, draw, recipe=certifying(levels=THREE), n=1000, name="three")


@pytest.fixture(scope="module")
def found(one_engine: Engine, run: RunInfo) -> Certified:
    return read_certified(one_engine, run.id)


@pytest.fixture(scope="module")
def pending(one_engine: Engine) -> Certified:
    return read_certified(one_engine, example(one_engine, fingerprint="e" * 64).id)


# -- words -------------------------------------------------------------------------------------------------------


def test_the_verdict_says_what_is_certified_on_how_many_images_and_with_what_probability(found: Certified) -> None:
    # Radii: 0.25·2.46 = .62; 0.5·Φ⁻¹(.963) = .89; 1·Φ⁻¹(.868) = 1.1.
    assert verdict(found) == (
        "With σ = 0.25, 0.800 of the labelled images are certified at radius 0.5: their label is right, and no change of "
        "the model's input shorter than 0.5 in L2 alters it. Certified accuracy is highest with σ = 0.25 at radii 0 to "
        "0.5, σ = 0.5 at radius 0.75, σ = 1 at radius 1, and 0 from radius 1.25 on. Share of images without a certificate: 0.000 at σ = 0.25, 0.000 at σ = 0.5, 0.000 at σ = 1. Each certificate is wrong with "
        "probability at most α = 0.001, over the draws of noise. It is about the smoothed classifier, whose label is the "
        "one that the model gives most often under this noise."
    )


def test_nothing_is_said_of_the_vote_of_three(found: Certified) -> None:
    for form in FORMATS:
        assert not re.search(r"\b(vote|reject|Acc Maj|NS|SS|DS)\b", as_text(document(found), form, detail=True))


def test_an_incomplete_run_says_so_first(pending: Certified) -> None:
    assert verdict(pending).startswith("So far, with images pending: with σ = 0.5, 0.200 of the labelled images")
    assert "certified with n0 = 10, n = 100, α = 0.001, on images (8 images): INCOMPLETE: 1 image pending" in headline(
        pending
    )


def test_an_incomplete_run_names_the_n_that_every_image_has(found: Certified) -> None:
    assert found.run
    larger = replace(
        found, n=3000, n_of_all=1000, levels=[replace(level, predicted=0, pending=10) for level in found.levels]
    )
    commands = [step.command for step in document(larger).steps]
    assert f"smoothvote report {found.run.id} --n 1000" in commands
    assert verdict(larger) == "No image has all its copies yet."


def test_without_labels_the_median_radius_is_said(one_engine: Engine) -> None:
    unlabelled = certified_run(one_engine, [None] * 6, by_hand, fingerprint="u" * 64, name="unlabelled")
    told = read_certified(one_engine, unlabelled.id)
    assert verdict(told).startswith(
        "No image has a label, so certified accuracy is unknown. Median certified radius: 0.189"
    )
    for form in FORMATS:
        assert as_text(document(told), form, detail=True)


def test_where_nothing_is_certified_it_says_so(one_engine: Engine) -> None:
    wrong = certified_run(one_engine, [5] * 6, by_hand, fingerprint="w" * 64, name="wrong")
    told = verdict(read_certified(one_engine, wrong.id))
    assert told.startswith("No labelled image is certified with its true label, at any σ. Share of images without")


def test_the_guarantee_names_alpha(found: Certified) -> None:
    assert "at most α = 0.05," in guarantee(replace(found, alpha=0.05))


# -- tables ------------------------------------------------------------------------------------------------------


def test_the_table_fits_eighty_columns_with_and_without_detail(found: Certified, pending: Certified) -> None:
    for shown in (found, pending):
        for detail in (False, True):
            text = as_text(document(shown), screen=Screen(80), detail=detail)
            assert max(map(len, text.splitlines())) <= 80


def test_the_summary_has_the_radii_where_anything_is_certified_and_the_best_sigma(found: Certified) -> None:
    lines = as_text(document(found)).splitlines()
    rows = {line.split()[0]: line.split()[1:] for line in lines if line.startswith(("  0.25", "   0.5", "     1"))}
    # Radii 0 .25 .5 .75 1, abstentions, average radius: 0.8 times the radius.
    assert rows["0.25"][:6] == ["0.8000", "0.8000", "0.8000", "0.0000", "0.0000", "0.0000"]
    assert rows["0.5"][:6] == ["0.8000", "0.8000", "0.8000", "0.8000", "0.0000", "0.0000"]
    assert rows["1"][:6] == ["0.8000", "0.8000", "0.8000", "0.8000", "0.8000", "0.0000"]
    assert any(line.split() == ["best", "σ", "0.25", "0.25", "0.25", "0.5", "1", "–", "–"] for line in lines)


def test_latex_has_the_table_of_the_papers(found: Certified) -> None:
    """σ down, radii across, the best bold; the last row with standard accuracy in brackets, as Salman et al."""
    text = as_text(document(found), "latex")
    assert r"$\sigma$ & 0 & .25 & .5 & .75 & 1 \\" in text
    assert r"1 & \textbf{.80} & \textbf{.80} & \textbf{.80} & \textbf{.80} & \textbf{.80} \\" in text
    assert r"0.25 & \textbf{.80} & \textbf{.80} & \textbf{.80} & .00 & .00 \\" in text
    assert r"best & .80 (.80) & .80 (.80) & .80 (.80) & .80 (.80) & .80 (.80) \\" in text
    assert r"\alpha$ = 0.001" in text


def test_bold_is_bold_in_markdown_and_on_a_terminal_alone(found: Certified) -> None:
    assert "| **.80** |" in as_text(document(found), "markdown")
    assert "\x1b[1m.80\x1b[0m" in as_text(document(found), screen=Screen(80, styles=True), detail=True)
    assert "\x1b" not in as_text(document(found), detail=True)


def test_json_has_every_figure_with_its_interval_and_count(found: Certified) -> None:
    data = json.loads(as_text(document(found), "json"))
    assert data["run"]["recipe"]["selection"] == N0
    assert (data["alpha"], data["n0"], data["n"], data["complete"]) == (0.001, 10, 1000, True)
    level = data["levels"][0]
    assert (level["level"], level["sigma"], level["labelled"]) == (0.25, 0.25, 10)
    assert [at["radius"] for at in level["certified_accuracy"]] == list(RADII)
    assert level["certified_accuracy"][0]["count"] == [8, 10]
    assert level["certified_accuracy"][0]["ci"] == pytest.approx([0.4902, 0.9433], abs=1e-4)  # Wilson's of 8 of 10
    assert level["average_certified_radius"] == pytest.approx(0.8 * level["largest_radius"])
    assert len(level["average_certified_radius_ci"]) == 2
    assert level["acc_predict_count"] == [8, 10]
    assert data["envelope"][4] == {"radius": 1.0, "sigma": 1.0, "value": 0.8} | {
        key: data["envelope"][4][key] for key in ("ci", "count")
    }
    assert data["envelope"][5]["sigma"] is None


def test_csv_has_a_row_a_level(found: Certified) -> None:
    head, *rows = as_text(document(found), "csv").splitlines()
    cells = [dict(zip(head.split(","), row.split(","), strict=True)) for row in rows]
    assert [cell["sigma"] for cell in cells] == ["0.25", "0.5", "1.0"]
    assert [cell["certified_0.75"] for cell in cells] == ["0.0", "0.8", "0.8"]
    assert (cells[0]["certified_0_hits"], cells[0]["certified_0_of"], cells[0]["alpha"]) == ("8", "10", "0.001")


def test_several_stand_beside_each_other(found: Certified, pending: Certified) -> None:
    shown = beside([found, pending])
    assert [row[:2][0] for row in shown.summary.rows] == ["three"] * 4 + ["certificates"] * 3
    assert "three: With σ = 0.25" in shown.verdict
    for form in FORMATS:
        assert as_text(shown, form, detail=True)


# -- the plot ----------------------------------------------------------------------------------------------------


def test_the_plot_has_a_line_a_sigma_and_the_envelope(found: Certified, tmp_path: Path) -> None:
    PLOTS["certified"].draw(found, tmp_path / "a.svg")
    drawn = (tmp_path / "a.svg").read_text()
    for said in ("σ = 0.25", "σ = 0.5", "σ = 1", "best σ at each radius", "certified accuracy", "L2 radius"):
        assert f"<!-- {said}" in drawn
    assert [plot.flag for plot in plots_of("certified")] == ["plot"]


def test_a_plot_of_nothing_labelled_is_refused(found: Certified, tmp_path: Path) -> None:
    empty = replace(found, levels=[replace(level, labelled=0, curve=[]) for level in found.levels])
    with pytest.raises(WrongUse, match="three has no labelled image yet"):
        PLOTS["certified"].draw(empty, tmp_path / "a.svg")


def test_the_line_falls_beyond_each_radius() -> None:
    curve = [(0.2, 0.8), (0.5, 0.3)]
    assert steps(curve) == ([0.0, 0.2, 0.5, 0.5], [0.8, 0.8, 0.3, 0.0])
    assert [share_at(curve, radius) for radius in (0, 0.2, 0.3, 0.5, 0.6)] == [0.8, 0.8, 0.3, 0.3, 0.0]


# -- cost --------------------------------------------------------------------------------------------------------


def test_a_report_reads_the_counts_once_and_asks_nothing_for_each_image(one_engine: Engine, run: RunInfo) -> None:
    asked: list[str] = []
    event.listen(one_engine, "before_cursor_execute", lambda _, __, statement, *rest: asked.append(statement))
    read_certified(one_engine, run.id)
    assert sum("counts" in statement for statement in asked) == 1
    assert len(asked) <= 12
