"""A grid of runs: what it is made of, which cell is best, and that one command makes, resumes and shows it."""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from commands import smoothvote
from rows import LEVELS, finish_all, image_ids, jobs, predicted, record
from servers import redis_server
from sqlalchemy import Engine

from cli.look import FORMATS
from cli.measure import METRICS, find_dataset
from db import store
from db.errors import Away, WrongUse
from db.migrations import upgrade
from db.recipe import Recipe, make_recipe
from db.runs import list_runs
from db.session import open_engine, reading
from db.settings import Settings
from producer.submit import submit
from producer.sweep import recipes_of
from report.plots.heat_map import plot_sweep
from report.report import RATES
from report.sweep import Sweep, read_sweep, to_json
from report.sweep_text import format_sweep, headline, legend
from smoothvote import front_door

MODEL = "efficientnet_lite0"


def cell(size: int, sigma: float, model: str = MODEL) -> Recipe:
    return make_recipe(model=model, levels=LEVELS, kernel_size=size, kernel_sigma=sigma)


# -- the grid ----------------------------------------------------------------------------------------------------


def test_a_grid_is_each_model_with_each_kernel_in_the_order_given() -> None:
    models = [make_recipe(model=name, seed=3) for name in ("timm/b", "timm/a")]
    made = recipes_of(models, (5.0, 3.0), (1.5,))
    assert [(recipe.model, recipe.kernel_size, recipe.kernel_sigma) for recipe in made] == [
        ("timm/b", 5, 1.5),
        ("timm/b", 3, 1.5),
        ("timm/a", 5, 1.5),
        ("timm/a", 3, 1.5),
    ]
    assert {recipe.seed for recipe in made} == {3}
    assert recipes_of(models, (), ()) == models


def fill(engine: Engine, run_id: str, right: dict[float, int], rejected: int = 0) -> None:
    """Finishes a run's only job: so many images are right at each level, the last ones rejected, the rest wrong."""
    claim = store.claim(engine, jobs(engine, run_id)[0].id, worker="w", lease=60)
    assert claim
    ids = image_ids(engine, claim)
    rows = []
    for sigma, count in right.items():
        for number, image in enumerate(ids):
            label = 1 if number < count else 2
            vote = None if number >= len(ids) - rejected else label
            rows.append(predicted(image, sigma, label, label if vote else 3, label if vote else 4, vote))
    assert store.finish(engine, claim, rows, [])


#: Right of four at each level, and rejected.
FOUND = {
    (3, 0.5): ({0.0: 3, 0.25: 1}, 1),
    (3, 1.0): ({0.0: 2, 0.25: 2}, 0),
    (5, 0.5): ({0.0: 3, 0.25: 0}, 0),
}
#: Its run is half done, and all that is done is right.
HALF = cell(5, 1.0)
MISSING = cell(3, 1.0, "timm/resnet18")


def example(engine: Engine) -> dict[str, Recipe]:
    recipes = {}
    for (size, sigma), (right, rejected) in FOUND.items():
        recipe = cell(size, sigma)
        run_id = record(engine, [1] * 4, recipe=recipe)
        fill(engine, run_id, right, rejected)
        recipes[run_id] = recipe
    half = record(engine, [1] * 4, recipe=HALF, job_size=2)
    fill(engine, half, {0.0: 2, 0.25: 2})
    return recipes | {half: HALF, MISSING.run_id("f" * 64): MISSING}


def grid(engine: Engine, recipes: dict[str, Recipe], metric: str, refused: Sequence[Recipe] = ()) -> Sweep:
    reasons = {recipe.run_id("f" * 64): "its weights are not here" for recipe in refused}
    with reading(engine) as session:
        return read_sweep(session, recipes, metric=metric, refused=reasons)


def best(found: Sweep, sigma: float) -> list[tuple[int, float]]:
    return [(cell.recipe.kernel_size, cell.recipe.kernel_sigma) for cell in found.best(sigma)]


def test_the_best_of_complete_runs_is_found_at_each_level_ties_and_all(engine: Engine) -> None:
    recipes = example(engine)
    found = grid(engine, recipes, "acc_maj_overall")
    assert best(found, 0.0) == [(3, 0.5), (5, 0.5)]
    assert best(found, 0.25) == [(3, 1.0)]
    # 1 is the half run's; of the accepted, 3 of 3 beat 3 of 4.
    assert best(grid(engine, recipes, "acc_maj"), 0.0) == [(3, 0.5)]
    assert best(grid(engine, recipes, "reject_rate"), 0.0) == [(3, 1.0), (5, 0.5)]
    assert not found.complete


def test_where_there_is_no_choice_there_is_no_best(engine: Engine) -> None:
    recipes = dict(list(example(engine).items())[-3:])
    found = grid(engine, recipes, "acc_maj_overall")
    assert [cell.complete for cell in found.cells] == [True, False, False]
    assert best(found, 0.0) == []
    assert "picks" not in legend(found)


@pytest.fixture(scope="module")
def one_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """SQLite, once: what is shown of a grid does not hang on the database."""
    engine = open_engine(Settings(database_url=f"sqlite:///{tmp_path_factory.mktemp('grid') / 'record.db'}"))
    upgrade(engine)
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def shown(one_engine: Engine) -> Sweep:
    return grid(one_engine, example(one_engine), "acc_maj_overall", refused=[MISSING])


def test_a_table_marks_the_best_and_warns_of_it(shown: Sweep) -> None:
    assert headline(shown) == "Acc Maj overall of 5 runs on images (4 images): INCOMPLETE: 3 of 5 runs are complete"
    said = format_sweep(shown, "table")
    rows = [[part.strip() for part in line.strip("│").split("│")] for line in said.splitlines() if "×" in line]
    assert [row[4:] for row in rows] == [
        ["0", "0.7500 .30–.95 *", "0.2500 .05–.70"],
        ["0", "0.5000 .15–.85", "0.5000 .15–.85 *"],
        ["0", "0.7500 .30–.95 *", "0.0000 .00–.49"],
        ["2", "1.0000 .34–1.0", "1.0000 .34–1.0"],
        ["refused", "–", "–"],
    ]
    assert "Who picks the best of many picks luck with it" in said.replace("\n", " ")


def test_every_format_has_each_run(shown: Sweep) -> None:
    assert len(format_sweep(shown, "csv").splitlines()) == 1 + 5 * len(LEVELS)
    data = json.loads(format_sweep(shown, "json"))
    assert data == to_json(shown)
    assert (data["metric"], data["complete"]) == ("acc_maj_overall", False)
    first, *_, last = data["runs"]
    assert first["levels"][0]["acc_maj_overall_count"] == [3, 4]
    assert [level["best"] for level in first["levels"]] == [True, False]
    assert (last["refused"], last["levels"], last["name"]) == ("its weights are not here", [], None)
    assert len([line for line in format_sweep(shown, "markdown").splitlines() if line.startswith("|")]) == 2 + 5
    latex = format_sweep(shown, "latex")
    assert latex.count(r"\\") == 1 + 5
    assert r"3$\times$3" in latex
    assert r"\toprule" in latex


def test_heat_maps_have_a_panel_a_model_and_level_and_the_figures_in_it(shown: Sweep, tmp_path: Path) -> None:
    plot_sweep(shown, tmp_path / "a.svg")
    drawn = (tmp_path / "a.svg").read_text()
    assert drawn.count("<!-- 0.750* -->") == 2
    assert drawn.count("<!-- 1.000 -->") == 2
    for said in ("resnet18", "efficientnet_lite0", "3×3", "–"):
        assert f"<!-- {said}" in drawn
    with pytest.raises(WrongUse, match="--plot"):
        plot_sweep(shown, tmp_path / "a.jpg")


def test_a_grid_of_which_nothing_is_recorded_is_printed_and_drawn(one_engine: Engine, tmp_path: Path) -> None:
    empty = grid(one_engine, {"0" * 16: MISSING}, "acc_maj")
    for form in FORMATS.choices:
        assert format_sweep(empty, form)
    plot_sweep(empty, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


# -- the command -------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images that no worker gets to see: their labels are in their names."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    for number in range(3):
        (folder / f"n01440764_{number}.JPEG").write_bytes(b"not read by producers")
    return folder


def call(*words: str | Path) -> Result:
    """In this process: what comes to no database."""
    return CliRunner().invoke(front_door, ["sweep", *map(str, words)])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--kernel-size", "3,4"], "--kernel-size: 4 is even"),
        (["--kernel-size", "3.5"], "--kernel-size: input should be a valid integer"),
        (["--kernel-size", "3,5,3"], "--kernel-size: 3 is given twice; name each once"),
        (["--kernel-sigma", "1,1.0"], "--kernel-sigma: 1 is given twice"),
        (["--kernel-sigma", "1,0"], "--kernel-sigma: input should be greater than 0"),
        (["--model", MODEL, "--model", MODEL], f"--model: {MODEL} is given twice"),
        (["--model", MODEL, "--model", "resnet50"], "unknown model 'resnet50'"),
        (["--levels", "0,-1"], "--levels: input should be greater than or equal to 0"),
        (["--plot", "a.jpg"], "--plot a.jpg: end the name in .png, .svg, .pdf"),
        (["--workers", "0"], "set SMOOTHVOTE_BROKER_URL"),
        (["--submit"], "no queue is set: export SMOOTHVOTE_BROKER_URL"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_recorded(
    folder: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    monkeypatch.chdir(folder.parent)
    done = call(folder, *words)
    assert isinstance(done.exception, WrongUse)
    assert said in str(done.exception)
    assert os.listdir(folder.parent) == [folder.name]


def test_a_dry_run_says_what_would_be_submitted(folder: Path) -> None:
    words = ("--model", MODEL, "--model", "timm/resnet18", "--kernel-size", "3,7", "--levels", "0,0.5", "--dry-run")
    planned = json.loads(call(folder, *words, "--name", "mine").stdout)
    assert (planned["images"], planned["labelled"], planned["views"]) == (3, 3, 4 * 3 * 2 * 3)
    assert [run["name"] for run in planned["runs"]] == [
        "mine-photographs-efficientnet_lite0-3x3-1",
        "mine-photographs-efficientnet_lite0-7x7-1",
        "mine-photographs-resnet18-3x3-1",
        "mine-photographs-resnet18-7x7-1",
    ]
    assert len({run["id"] for run in planned["runs"]}) == 4


def test_every_rate_can_be_shown_and_other_commands_take_one_model() -> None:
    assert set(METRICS) == set(RATES)
    several = {param.name for param in front_door.commands["sweep"].params if getattr(param, "multiple", False)}
    assert several == {"model"}
    assert not any(getattr(param, "multiple", False) for param in front_door.commands["run"].params)


def test_a_grid_is_not_half_recorded_where_the_queue_is_away(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(database_url=f"sqlite:///{tmp_path / 'record.db'}")
    engine = open_engine(settings)
    upgrade(engine)
    monkeypatch.setenv("SMOOTHVOTE_DATABASE_URL", settings.database)
    monkeypatch.setenv("SMOOTHVOTE_BROKER_URL", "redis://127.0.0.1:1/0")
    assert isinstance(call(folder, "--submit").exception, Away)
    with reading(engine) as session:
        assert list_runs(session) == []
    engine.dispose()


def test_a_grid_is_submitted_once_and_shown_as_far_as_it_is(tmp_path: Path, folder: Path, short_folder: Path) -> None:
    settings = Settings(database_url=f"sqlite:///{tmp_path / 'record.db'}")
    engine = open_engine(settings)
    upgrade(engine)
    queue = short_folder / "sweep"
    queue.mkdir()
    with redis_server(queue) as url:
        env = {"SMOOTHVOTE_DATABASE_URL": settings.database, "SMOOTHVOTE_BROKER_URL": url}
        recipe = ("--model", MODEL, "--levels", "0,0.25", "--kernel-size", "3,5", "--job-size", "2")
        words = ("sweep", folder, "--submit", *recipe)
        begun = smoothvote(*words, cwd=tmp_path, env=env, code=3)
        assert "runs: 2 (models: 1, kernels: 2), images: 3, noise levels: 2, views: 36 in all" in begun.stderr
        assert "2 new runs, 0 known, 4 jobs sent" in begun.stderr
        assert "INCOMPLETE: 0 of 2 runs are complete" in begun.stdout
        for run in json.loads(call(folder, *recipe, "--dry-run").stdout)["runs"]:
            finish_all(engine, run["id"])
        again = smoothvote(*words, "--metric", "acc_ns", "--plot", "a.pdf", cwd=tmp_path, env=env)
    assert "0 new runs, 2 known, 0 jobs sent" in again.stderr
    assert "Acc NS of 2 runs on photographs (3 images): complete" in again.stdout
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")


def test_a_run_that_is_refused_loses_no_other_and_its_like_are_not_tried(tmp_path: Path, folder: Path) -> None:
    settings = Settings(home=tmp_path / ".smoothvote")
    settings.home.mkdir()
    engine = open_engine(settings)
    upgrade(engine)
    recipe = cell(3, 1.0)
    dataset = find_dataset(str(folder), recipe, settings, None, None)
    for size in (3, 5):  # what there is to be lost
        finish_all(engine, submit(engine, cell(size, 1.0), dataset).run_id)
    words = ("--model", "timm/resnet18", "--model", MODEL, "--kernel-size", "3,5", "--levels", "0,0.25")
    env = {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "SMOOTHVOTE_ENGINE": "eager"}
    done = smoothvote("sweep", folder, *words, cwd=tmp_path, env=env, code=1)
    assert done.stderr.count("starting 1 worker") == 1
    assert done.stderr.count("is refused: weights timm/resnet18") == 2
    assert done.stderr.endswith("smoothvote: 2 of 4 runs were refused\n")
    assert done.stdout.count("│ refused │") == 2
    assert done.stdout.count("│       0 │ 0.0000 .00–.56 *") == 2
    engine.dispose()
