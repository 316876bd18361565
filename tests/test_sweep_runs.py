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
from db.errors import INCOMPLETE, Away, WrongUse
from db.migrations import upgrade
from db.recipe import Recipe, make_recipe
from db.runs import list_runs
from db.session import open_engine, reading
from db.settings import Settings
from producer.submit import submit
from producer.sweep import recipes_of
from report.rates import METRICS, RATES
from smoothvote import front_door

MODEL = "efficientnet_lite0"


def cell(size: int, sigma: float, model: str = MODEL) -> Recipe:
    return make_recipe(model=model, levels=LEVELS, kernel_size=size, kernel_sigma=sigma)


# -- its recipes --------------------------------------------------------------------------------------------------


def test_a_sweep_is_each_model_with_each_kernel_in_the_order_given() -> None:
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
    """Images whose labels are in their names, and that no worker reads."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    for number in range(3):
        (folder / f"n01440764_{number}.JPEG").write_bytes(b"not read by producers")
    return folder


def call(*words: str | Path) -> Result:
    """The command in this process."""
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
def test_wrong_use_is_refused_before_anything_is_recorded(
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
    assert set(METRICS) == {*RATES, "attack_success"}
    several = {param.name for param in front_door.commands["sweep"].params if getattr(param, "multiple", False)}
    assert several - {"option"} == {"model", "perturbation"}
    of_run = {param.name for param in front_door.commands["run"].params if getattr(param, "multiple", False)}
    assert of_run <= {"option"}


def test_no_run_of_a_sweep_is_recorded_if_the_queue_is_away(
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


def test_a_sweep_is_submitted_once_and_shows_what_is_found_so_far(
    tmp_path: Path, folder: Path, short_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(database_url=f"sqlite:///{tmp_path / 'record.db'}")
    engine = open_engine(settings)
    upgrade(engine)
    monkeypatch.setenv("SMOOTHVOTE_DATABASE_URL", settings.database)
    queue = short_folder / "sweep"
    queue.mkdir()
    words = (folder, "--model", MODEL, "--levels", "0,0.25", "--kernel-size", "3,5", "--job-size", "2")
    with redis_server(queue) as url:
        monkeypatch.setenv("SMOOTHVOTE_BROKER_URL", url)
        begun = call(*words, "--submit", "--format", "json")
        assert begun.exit_code == INCOMPLETE
        assert "runs: 2 (models: 1, kernels: 2), images: 3, levels: 2, views: 36 in all" in begun.stderr
        assert "2 new runs, 0 known, 4 jobs sent" in begun.stderr
        assert [run["complete"] for run in json.loads(begun.stdout)["runs"]] == [False, False]
        for run in json.loads(begun.stdout)["runs"]:
            finish_all(engine, run["id"])
        plot = tmp_path / "a.pdf"
        again = call(*words, "--submit", "--metric", "acc_ns", "--format", "json", "--plot", plot)
    assert again.exit_code == 0
    assert "0 new runs, 2 known, 0 jobs sent" in again.stderr
    found = json.loads(again.stdout)
    assert (found["metric"], found["complete"]) == ("acc_ns", True)
    # finish_all predicts class 1 for everything, and the label is 0.
    assert [run["levels"][0]["acc_ns_count"] for run in found["runs"]] == [[0, 3], [0, 3]]
    assert plot.read_bytes().startswith(b"%PDF")
    engine.dispose()


def test_a_run_that_is_refused_stops_no_other_and_later_runs_of_its_model_are_not_tried(
    tmp_path: Path, folder: Path
) -> None:
    settings = Settings(home=tmp_path / ".smoothvote")
    settings.home.mkdir()
    engine = open_engine(settings)
    upgrade(engine)
    dataset = find_dataset(str(folder), cell(3, 1.0), settings, None, None)
    for size in (3, 5):  # complete, so that no worker has to read the images
        finish_all(engine, submit(engine, cell(size, 1.0), dataset).run_id)
    words = ("--model", "torchvision/resnet51", "--model", MODEL, "--kernel-size", "3,5", "--levels", "0,0.25")
    done = smoothvote("sweep", folder, *words, "--format", "json", cwd=tmp_path, code=1)
    assert done.stderr.count("starting 1 worker") == 1
    assert done.stderr.count("is refused: torchvision has no classifier 'resnet51'; near it: ") == 2
    assert done.stderr.endswith("smoothvote: 2 of 4 runs were refused\n")
    found = json.loads(done.stdout)["runs"]
    assert [(run["model"], bool(run["refused"]), run["complete"]) for run in found] == [
        ("torchvision/resnet51", True, False),
        ("torchvision/resnet51", True, False),
        (MODEL, False, True),
        (MODEL, False, True),
    ]
    with reading(engine) as session:
        assert {run.recipe.model for run in list_runs(session)} == {MODEL}  # a refused run is not recorded
    engine.dispose()
