"""A sweep's runs: which recipes it is made of, and that one command makes, resumes and shows them."""

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from commands import smoothvote
from rows import LEVELS, finish_all
from servers import redis_server

from cli.dataset import find_dataset
from cli.sweep import METRICS
from db.errors import Away, WrongUse
from db.migrations import upgrade
from db.recipe import Recipe, make_recipe
from db.runs import list_runs
from db.session import open_engine, reading
from db.settings import Settings
from producer.submit import submit
from producer.sweep import recipes_of
from report.report import RATES
from smoothvote import front_door

MODEL = "efficientnet_lite0"


def cell(size: int, sigma: float, model: str = MODEL) -> Recipe:
    return make_recipe(model=model, levels=LEVELS, kernel_size=size, kernel_sigma=sigma)


# -- its recipes --------------------------------------------------------------------------------------------------


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
        assert "runs: 2 (models: 1, kernels: 2), images: 3, levels: 2, views: 36 in all" in begun.stderr
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
