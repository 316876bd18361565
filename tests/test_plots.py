import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image
from rows import RECIPE, finish_all, record
from sqlalchemy import Engine

from db.axis import Axis
from db.errors import WrongUse
from db.migrations import upgrade
from db.runs import find_run
from db.session import open_engine, reading
from db.settings import Settings
from report.comparison import compare
from report.names import ATTACK_LINE_NAMES, DRAWN
from report.plots import PLOTS, check_plot_file, plots_of
from report.plots.style import LINES
from report.report import report
from report.sweep import read_sweep
from smoothvote import front_door


@pytest.mark.parametrize(("name", "magic"), [("a.png", b"\x89PNG"), ("a.svg", b"<?xml"), ("a.PDF", b"%PDF")])
@pytest.mark.parametrize("done", [True, False])
def test_a_report_is_drawn_in_each_format_complete_or_not(
    engine: Engine, tmp_path: Path, name: str, magic: bytes, done: bool
) -> None:
    run_id = record(engine, [1, 2, 1, 1])
    if done:
        finish_all(engine, run_id)
    with reading(engine) as session:
        PLOTS["rates"].draw(report(session, find_run(session, run_id)), tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(magic)


def test_lines_can_be_told_apart_in_grey() -> None:
    assert len({(marker, dash) for _, marker, dash in LINES.values()}) == len(LINES)
    assert set(LINES) == {*DRAWN, *ATTACK_LINE_NAMES}


def test_the_picture_is_of_a_size_for_print(engine: Engine, tmp_path: Path) -> None:
    run_id = record(engine, [1, 2, 1, 1])
    finish_all(engine, run_id)
    with reading(engine) as session:
        PLOTS["rates"].draw(report(session, find_run(session, run_id)), tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as picture:
        assert min(picture.size) > 900


@pytest.mark.parametrize("name", ["a.jpg", "a", "nowhere/a.png"])
def test_a_picture_that_cannot_be_written_is_refused_before_any_work(tmp_path: Path, name: str) -> None:
    with pytest.raises(WrongUse, match="--plot"):
        check_plot_file(tmp_path / name)


@pytest.mark.parametrize("name", ["a.png", "a.svg"])
def test_risk_against_coverage_is_drawn_for_the_vote_and_confidence_thresholding(
    engine: Engine, tmp_path: Path, name: str
) -> None:
    run_id = record(engine, [1, 2, 1, None])
    finish_all(engine, run_id)
    with reading(engine) as session:
        PLOTS["risk_coverage"].draw(report(session, find_run(session, run_id)), tmp_path / name)
    assert (tmp_path / name).stat().st_size > 10_000


def test_a_run_without_labels_has_no_risk_to_draw(engine: Engine, tmp_path: Path) -> None:
    run_id = record(engine, [None, None])
    finish_all(engine, run_id)
    with reading(engine) as session, pytest.raises(WrongUse, match=r"no image of run .* has a label"):
        PLOTS["risk_coverage"].draw(report(session, find_run(session, run_id)), tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()


def test_a_plot_of_accuracy_is_refused_before_any_work_where_no_image_has_a_label(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SMOOTHVOTE_DATABASE_URL", f"sqlite:///{tmp_path / 'record.db'}")
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.jpg").write_bytes(b"not read by producers")
    said = (
        "no image has a label, so there is no accuracy to draw; leave it out, or submit the images with --labels FILE"
    )

    def refused(*words: str) -> str:
        done = CliRunner().invoke(front_door, list(words))
        assert isinstance(done.exception, WrongUse)
        assert done.stdout == ""
        return str(done.exception)

    model = ("--model", "efficientnet_lite0")
    assert refused("run", "images", *model, "--risk-coverage", "a.png") == f"--risk-coverage: {said}"
    assert refused("certify", "images", "--sigma", "0.5", *model, "--plot", "a.png") == f"--plot: {said}"
    assert [file.name for file in tmp_path.iterdir()] == ["images"]  # nothing is recorded
    engine = open_engine(Settings(database_url=f"sqlite:///{tmp_path / 'record.db'}"))
    upgrade(engine)
    ids = [record(engine, [None], recipe=RECIPE.model_copy(update={"seed": seed})) for seed in (0, 1)]
    engine.dispose()
    assert refused("report", ids[0], "--risk-coverage", "a.png") == f"--risk-coverage: {said}"
    assert refused("compare", *ids, "--robustness", "a.png") == f"--robustness: {said}"


def test_the_horizontal_axis_is_that_of_the_run(engine: Engine, tmp_path: Path) -> None:
    finish_all(engine, record(engine, [1, 2, 1, 1]))
    with reading(engine) as session:
        found = report(session, find_run(session, "latest"))
    severity = Axis("severity", "severity", "1 to 5")
    for name in ("rates", "risk_coverage"):
        PLOTS[name].draw(replace(found, run=replace(found.run, axis=severity)), tmp_path / f"{name}.svg")
    assert "<!-- severity (1 to 5) -->" in (tmp_path / "rates.svg").read_text()
    assert "<!-- severity = 0.25, 4 images -->" in (tmp_path / "risk_coverage.svg").read_text()


def test_under_attack_robust_accuracy_and_success_are_drawn(engine: Engine, tmp_path: Path) -> None:
    finish_all(engine, record(engine, [1, 2, 1, 1]))
    with reading(engine) as session:
        found = report(session, find_run(session, "latest"))
    axis = Axis("ε", "attack size", "L∞ distance", 255, kind="attack")
    PLOTS["rates"].draw(replace(found, run=replace(found.run, axis=axis)), tmp_path / "a.svg")
    drawn = (tmp_path / "a.svg").read_text()
    for said in ("robust accuracy", "share of images", "Attack success (accepted and wrong)"):
        assert f"<!-- {said} -->" in drawn
    assert "Selective" not in drawn


def test_names_in_any_script_are_drawn_as_far_as_the_font_has_their_letters(engine: Engine, tmp_path: Path) -> None:
    """A missing letter makes matplotlib warn, and warnings are errors here."""
    recipes = [RECIPE, RECIPE.model_copy(update={"kernel_size": 7})]
    ids = [record(engine, [1, 2], recipe=recipe, name=f"日本 $x_ {n}") for n, recipe in enumerate(recipes)]
    for run_id in ids:
        finish_all(engine, run_id)
    other = RECIPE.model_copy(update={"model": "/模型.pth", "arch": "timm/resnet18"})
    axis = Axis("強", "強度", "単位")
    with reading(engine) as session:
        first, second = (replace(find_run(session, run_id), axis=axis) for run_id in ids)
        found = report(session, first)
        compared = compare(session, first, second)
        swept = read_sweep(session, {ids[0]: RECIPE, "other": other}, axis=axis, metric="acc_ns")
    for name, of in (
        ("rates", found), ("risk_coverage", found), ("differences", compared), ("robustness", compared), ("heat_map", swept)
    ):  # fmt: skip
        PLOTS[name].draw(of, tmp_path / f"{name}.svg")
        assert "□" in (tmp_path / f"{name}.svg").read_text(), name
    assert "<!-- vote, □□ $x_ 1 -->" in (tmp_path / "robustness.svg").read_text()


def test_every_plot_has_its_flag_on_the_commands_that_find_what_it_draws() -> None:
    flags = {
        verb: {option for param in front_door.commands[verb].params for option in param.opts}
        for verb in ("report", "run", "compare", "sweep")
    }
    for verb, of in {"report": "report", "run": "report", "compare": "comparison", "sweep": "sweep"}.items():
        assert {f"--{plot.flag}" for plot in plots_of(of)} <= flags[verb]  # type: ignore[arg-type]
    assert {plot.flag for plot in plots_of("report")} == {"plot", "risk-coverage"}


def test_the_flags_are_read_without_what_is_slow_to_import() -> None:
    code = "import sys, report.plots as p; list(p.PLOTS); print({'matplotlib', 'sqlalchemy', 'scipy'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_a_plot_that_is_one_more_file_is_drawn_by_a_flag_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "toy.py").write_text(TOY)
    engine = open_engine(Settings(database_url=f"sqlite:///{tmp_path / 'record.db'}"))
    upgrade(engine)
    finish_all(engine, record(engine, [1, 2]))
    engine.dispose()

    def call(*words: str) -> str:
        code = "import sys, report.plots as p; p.__path__.append(sys.argv.pop(1)); import smoothvote; smoothvote.main()"
        env = {**os.environ, "SMOOTHVOTE_DATABASE_URL": f"sqlite:///{tmp_path / 'record.db'}"}
        line = [sys.executable, "-c", code, str(tmp_path), *words]
        return subprocess.run(line, cwd=tmp_path, env=env, capture_output=True, text=True, check=True).stdout

    said = " ".join(call("report", "--help").split())
    assert "--toy FILE Also draw a toy: .png, .svg or .pdf." in said
    call("report", "latest", "--toy", "toy.svg")
    assert (tmp_path / "toy.svg").read_text() == "2 levels"


TOY = """
from report.plots import Plot

MEMBER = Plot(
    name="toy", of="report", flag="toy", shows="a toy",
    draw=lambda report, file: file.write_text(f"{len(report.levels)} levels"),
)
"""
