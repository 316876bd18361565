"""Mean corruption errors of models whose errors are known, worked out by hand."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner
from rows import claimed, image_ids, jobs, predicted, record
from sqlalchemy import Engine

from cli.sweep import bases_of, common_axis
from db import store
from db.axis import Axis
from db.errors import WrongUse
from db.imagenet_c import CORRUPTIONS
from db.migrations import upgrade
from db.recipe import Recipe, make_recipe
from db.session import open_engine, reading
from db.settings import Settings
from report.corrupted import Corrupted, Means
from report.corruptions import ALEXNET, ALEXNET_CLEAN, corruption_errors
from report.documents.sweep import document
from report.formats import as_text
from report.plots.heat_map import draw
from report.stats import Mean
from report.sweep import Sweep, read_sweep
from report.sweep_verdict import mean_errors
from smoothvote import front_door

SEVERITY = Axis("severity", "severity", kind="corruption")


# -- by the paper's definition -------------------------------------------------------------------------------------


def test_alexnet_is_the_measure_of_all() -> None:
    alexnet = corruption_errors(ALEXNET, ALEXNET_CLEAN)
    assert alexnet.mce == pytest.approx(1)
    assert alexnet.relative_mce == pytest.approx(1)
    assert tuple(ALEXNET) == CORRUPTIONS


def test_a_model_with_known_errors_has_the_mce_that_a_hand_count_gives() -> None:
    found = corruption_errors(dict.fromkeys(ALEXNET, 0.75), 0.25)
    snow = found.corruptions["snow"]
    assert snow.ce == pytest.approx(0.75 / 0.866816)
    assert snow.relative_ce == pytest.approx((0.75 - 0.25) / (0.866816 - 0.434550))
    # 0.75 · mean of 1 / AlexNet's error; 0.5 · mean of 1 / (AlexNet's error − its clean error).
    assert found.mce == pytest.approx(MCE_OF_HALF * 1.5)
    assert found.relative_mce == pytest.approx(RELATIVE_MCE_OF_HALF)


def test_the_error_of_one_corruption_is_summed_over_severities_before_it_is_divided() -> None:
    # The errors of AlexNet at the five severities of Gaussian noise, as ImageNet-C's evaluation code has them.
    severities = (0.69528, 0.82542, 0.93554, 0.98138, 0.99452)
    assert sum(severities) / 5 == pytest.approx(ALEXNET["gaussian_noise"])


def test_without_all_corruptions_there_is_no_mean_and_without_clean_images_no_relative_one() -> None:
    assert corruption_errors({"fog": 0.5}, 0.25).mce is None
    assert corruption_errors({"fog": 0.5}, 0.25).corruptions["fog"].ce == pytest.approx(0.5 / 0.819324)
    unknown = corruption_errors(dict.fromkeys(ALEXNET, 0.5), None)
    assert unknown.mce == pytest.approx(MCE_OF_HALF)
    assert unknown.relative_mce is None


# -- from the runs of a sweep --------------------------------------------------------------------------------------


def corrupted(name: str, levels: Sequence[float], model: str = "efficientnet_lite0") -> Recipe:
    return make_recipe(model=model, perturbation=name, levels=tuple(levels))


def fill(engine: Engine, recipe: Recipe) -> str:
    """A complete run over four images of class 1. At severity s, ns is right on 5 − s; the vote rejects one of them."""
    run_id = record(engine, [1] * 4, recipe=recipe, axis=SEVERITY)
    claim = claimed(engine, jobs(engine, run_id)[0].id)
    rows = []
    for severity in recipe.levels:
        right = 4 if severity == 0 else 5 - int(severity)
        for number, image in enumerate(image_ids(engine, claim)):
            views = (
                (1, 2, 3, None)
                if number == right - 1 and severity
                else (1, 1, 1, 1)
                if number < right
                else (2, 2, 2, 2)
            )
            rows.append(predicted(image, severity, *views))
    assert store.finish(engine, claim, rows, [])
    return run_id


@pytest.fixture
def one_engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(Settings(database_url=f"sqlite:///{tmp_path / 'record.db'}"))
    upgrade(engine)
    yield engine
    engine.dispose()


def swept(engine: Engine, names: Sequence[str]) -> Sweep:
    recipes = {}
    for number, name in enumerate(names):
        recipe = corrupted(name, (0, 1, 2, 3, 4, 5) if number == 0 else (1, 2, 3, 4, 5))
        recipes[fill(engine, recipe)] = recipe
    with reading(engine) as session:
        return read_sweep(session, recipes, axis=SEVERITY, metric="acc_ns")


def test_a_sweep_over_imagenet_c_ends_with_the_mean_errors_of_the_vote_and_without_smoothing(
    one_engine: Engine, tmp_path: Path
) -> None:
    shown = document(swept(one_engine, CORRUPTIONS))
    data = json.loads(as_text(shown, "json"))
    (errors,) = data["corruption_errors"]
    # Right on four images: ns on 4, 3, 2, 1, 0, which is a mean error of 0.5; the vote on 3, 2, 1, 0, 0: 0.7.
    assert errors["ns"]["corruptions"]["fog"]["error"] == pytest.approx(0.5)
    assert errors["vote"]["corruptions"]["fog"]["error"] == pytest.approx(0.7)
    assert (errors["ns"]["clean_error"], errors["vote"]["clean_error"]) == (0, 0)
    assert errors["ns"]["mce"] == pytest.approx(MCE_OF_HALF)
    assert errors["vote"]["mce"] == pytest.approx(MCE_OF_HALF * 1.4)
    assert errors["ns"]["relative_mce"] == pytest.approx(RELATIVE_MCE_OF_HALF)
    assert errors["vote"]["relative_mce"] == pytest.approx(RELATIVE_MCE_OF_HALF * 1.4)
    assert shown.verdict.startswith(
        "mCE of efficientnet_lite0 5×5 σ 1: 90.5% [57.8%, 123.3%] for the vote, 64.7% [31.9%, 97.4%] without smoothing; "
        "relative mCE: 227.7% [145.4%, 310.0%] and 162.6% [80.3%, 245.0%]. Smoothing raises mCE by 25.9 points [25.9, 25.9]; "
        "on clean images the vote has 0.0% errors, no smoothing 0.0%."
    )
    # At every severity ns is wrong on one image more: its four images have 1, 2, 3 and 4 errors of 5, so
    # a mean of 0.5 with the standard deviation √(0.2 / 3). The vote is wrong on each image once more.
    half = 1.959964 * (0.2 / 3) ** 0.5 / 4**0.5
    assert errors["images"] == 4
    assert errors["ns"]["mce_ci"] == pytest.approx([2 * MCE_OF_HALF * end for end in (0.5 - half, 0.5 + half)])
    relative = [2 * RELATIVE_MCE_OF_HALF * end for end in (0.5 - half, 0.5 + half)]
    assert errors["ns"]["relative_mce_ci"] == pytest.approx(relative)
    assert [errors["mce_change"], *errors["mce_change_ci"]] == pytest.approx([0.4 * MCE_OF_HALF] * 3)
    lines = as_text(shown).splitlines()
    assert next(line.split() for line in lines if line.startswith("gaussian_noise")) == [
        "gaussian_noise", "50.0", "56.4", "110.6", "70.0", "79.0", "154.9",
    ]  # fmt: skip
    assert next(line.split()[-1] for line in lines if line.startswith("mean (mCE)")) == "227.7"
    assert {level["level"] for run in data["runs"][1:] for level in run["levels"]} == {1, 2, 3, 4, 5}


def test_a_sweep_over_some_corruptions_has_their_errors_and_no_mean(one_engine: Engine, tmp_path: Path) -> None:
    found = swept(one_engine, CORRUPTIONS[:2])
    shown = document(found)
    assert shown.data["corruption_errors"][0]["ns"]["mce"] is None
    assert shown.data["corruption_errors"][0]["ns"]["mce_ci"] is None
    assert "mCE is missing: it takes 15 corruptions, and 2 are done." in " ".join(as_text(shown).split())
    assert shown.verdict.startswith("No run is the best yet")  # there is one run under each
    draw(found, tmp_path / "a.svg")
    drawn = (tmp_path / "a.svg").read_text()
    assert "<!-- gaussian_noise" in drawn or "gaussian_noise -->" in drawn
    for form in ("markdown", "latex"):
        assert "relative CE vote" in as_text(shown, form)


def interval(low: float, value: float, high: float) -> Mean:
    return Mean(value, low, high, 10)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (interval(-0.3, -0.2, -0.1), "Smoothing lowers mCE by 20.0 points [10.0, 30.0]"),
        (interval(0.1, 0.2, 0.3), "Smoothing raises mCE by 20.0 points [10.0, 30.0]"),
        (
            interval(-0.1, 0.1, 0.3),
            "No effect of smoothing on mCE is shown (vote minus no smoothing: +10.0 points [-10.0, +30.0])",
        ),
    ],
)
def test_an_effect_on_mce_is_claimed_where_its_interval_leaves_out_zero(change: Mean, said: str) -> None:
    errors = corruption_errors(dict.fromkeys(ALEXNET, 0.5), None)
    means = Means(change, change, change, None, None)
    found = Corrupted(recipe=corrupted("fog", (1,)), ns=errors, vote=errors, means=means)
    assert f"without smoothing. {said}." in mean_errors(found, "a model")


def test_the_interval_of_relative_mce_takes_the_clean_error_of_each_image(one_engine: Engine) -> None:
    """Two images: the first is right until severity 5, and on the clean image; the second is never right."""
    recipes = {}
    for number, name in enumerate(CORRUPTIONS):
        recipe = corrupted(name, (0, 1, 2, 3, 4, 5) if number == 0 else (1, 2, 3, 4, 5))
        run_id = record(one_engine, [1, 1, None], recipe=recipe, axis=SEVERITY)
        recipes[run_id] = recipe
        claim = claimed(one_engine, jobs(one_engine, run_id)[0].id)
        first, second, unlabelled = image_ids(one_engine, claim)
        rows = [
            predicted(image, severity, *(4 * [1 if image == first and severity < 5 else 2]))
            for severity in recipe.levels
            for image in (first, second, unlabelled)
        ]
        assert store.finish(one_engine, claim, rows, [])
    with reading(one_engine) as session:
        (found,) = read_sweep(session, recipes, axis=SEVERITY, metric="acc_ns").corrupted
    assert found.means
    # Errors 0.2 and 1; on clean images 0 and 1. So 0.2 and 0 more: a mean of 0.1 with the deviation √(2 · 0.1²).
    half = 1.959964 * (2 * 0.1**2) ** 0.5 / 2**0.5
    of = 2 * RELATIVE_MCE_OF_HALF
    assert found.means.relative_ns == pytest.approx((0.1 * of, (0.1 - half) * of, (0.1 + half) * of, 2))
    assert found.ns.relative_mce == pytest.approx(0.1 * of)
    assert found.means.change == pytest.approx((0, 0, 0, 2))


# -- its recipes ---------------------------------------------------------------------------------------------------


def given(**flags: object) -> dict[str, object]:
    command = front_door.commands["sweep"]
    names = {param.name for param in command.params}
    own = {"images", "labels", "limit", "job_size", "name", "dry_run", "workers", "only_submit", "metric", "form"}
    own |= {"interval", "detail", "heat_map", "model", "perturbation", "kernel_size", "kernel_sigma"}
    return dict.fromkeys(names - own) | {"option": ()} | flags  # type: ignore[arg-type]


def test_perturbations_of_different_units_cannot_be_swept_together() -> None:
    recipes = bases_of((), ("gaussian", "salt_and_pepper"), given())
    with pytest.raises(WrongUse, match=r"gaussian is measured in noise level σ .*, salt_and_pepper in noise density d"):
        common_axis(recipes)
    assert common_axis(recipes[:1]).symbol == "σ"


def test_a_sweep_is_each_model_with_each_perturbation(tmp_path: Path) -> None:
    (tmp_path / "n01440764_0.JPEG").write_bytes(b"not read by producers")
    words = ["sweep", str(tmp_path), "--model", "efficientnet_lite0", "--model", "timm/resnet18", "--dry-run"]
    done = CliRunner().invoke(front_door, [*words, "--perturbation", "gaussian", "--kernel-size", "3,5"])
    assert len(json.loads(done.stdout)["runs"]) == 4
    twice = CliRunner().invoke(front_door, [*words, "--perturbation", "gaussian", "--perturbation", "gaussian"])
    assert "--perturbation: gaussian is given twice" in str(twice.exception)


def test_imagenet_c_stands_for_its_corruptions_at_all_severities_and_once_at_none(tmp_path: Path) -> None:
    (tmp_path / "n01440764_0.JPEG").write_bytes(b"not read by producers")
    words = ["sweep", str(tmp_path), "--model", "efficientnet_lite0", "--perturbation", "imagenet-c", "--dry-run"]
    runs = json.loads(CliRunner().invoke(front_door, words).stdout)["runs"]
    assert [run["perturbation"] for run in runs] == list(CORRUPTIONS)
    assert [run["levels"] for run in runs] == [[0, 1, 2, 3, 4, 5], *[[1, 2, 3, 4, 5]] * 14]
    chosen = json.loads(CliRunner().invoke(front_door, [*words, "--levels", "0,3"]).stdout)["runs"]
    assert [run["levels"] for run in chosen] == [[0, 3]] * 15
    twice = CliRunner().invoke(front_door, [*words, "--perturbation", "fog"])
    assert "--perturbation: fog is given twice" in str(twice.exception)


#: mCE and relative mCE of a model whose error is 0.5 under every corruption and 0 on clean images.
MCE_OF_HALF = sum(0.5 / error for error in ALEXNET.values()) / 15
RELATIVE_MCE_OF_HALF = sum(0.5 / (error - 0.434550) for error in ALEXNET.values()) / 15


def test_these_means_are_what_a_calculator_gives() -> None:
    assert (round(MCE_OF_HALF, 4), round(RELATIVE_MCE_OF_HALF, 4)) == (0.6467, 1.6265)
