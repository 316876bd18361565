"""A sweep as it is shown: which run is best at each level, and the table, the formats and the plot."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from rows import LEVELS, image_ids, jobs, predicted, record
from sqlalchemy import Engine

from db import store
from db.axis import NOISE, Axis
from db.errors import WrongUse
from db.migrations import upgrade
from db.recipe import Recipe, make_recipe
from db.session import open_engine, reading
from db.settings import Settings
from report.documents.sweep import document, headline, legend, to_json
from report.formats import FORMATS, as_text
from report.plots.heat_map import draw
from report.sweep import Sweep, read_sweep
from report.sweep_verdict import verdict

MODEL = "efficientnet_lite0"


def cell(size: int, sigma: float, model: str = MODEL) -> Recipe:
    return make_recipe(model=model, levels=LEVELS, kernel_size=size, kernel_sigma=sigma)


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
        return read_sweep(session, recipes, axis=NOISE, metric=metric, refused=reasons)


def best(found: Sweep, sigma: float) -> list[tuple[int, float]]:
    return [(run.recipe.kernel_size, run.recipe.kernel_sigma) for run in found.best(sigma)]


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
    assert [run.complete for run in found.runs] == [True, False, False]
    assert best(found, 0.0) == []
    assert "lucky" not in legend(found)
    assert verdict(found).startswith("No run is the best yet")


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
    said = as_text(document(shown))
    rows = [line.split()[5:] for line in said.splitlines() if line.startswith(("efficientnet", "timm")) and "×" in line]
    assert rows == [
        ["0", "*", "0.7500", "0.2500"],
        ["0", "0.5000", "*", "0.5000"],
        ["0", "*", "0.7500", "0.0000"],
        ["2", "1.0000", "1.0000"],
        ["refused", "–", "–"],
    ]
    assert "The best of many is partly lucky" in said.replace("\n", " ")


def test_the_verdict_names_the_best_of_each_level(shown: Sweep) -> None:
    assert verdict(shown) == (
        "Highest Acc Maj overall among the complete runs, at σ = 0: efficientnet_lite0 3×3 σ 0.5, efficientnet_lite0 5×5 "
        "σ 0.5 (0.750); σ = 0.25: efficientnet_lite0 3×3 σ 1 (0.500)."
    )


def test_every_format_has_each_run(shown: Sweep) -> None:
    assert len(as_text(document(shown), "csv").splitlines()) == 1 + 5 * len(LEVELS)
    data = json.loads(as_text(document(shown), "json"))
    assert data == to_json(shown)
    assert (data["metric"], data["complete"]) == ("acc_maj_overall", False)
    first, *_, last = data["runs"]
    assert first["levels"][0]["acc_maj_overall_count"] == [3, 4]
    assert [level["best"] for level in first["levels"]] == [True, False]
    assert (last["refused"], last["levels"], last["name"]) == ("its weights are not here", [], None)
    assert len([line for line in as_text(document(shown), "markdown").splitlines() if line.startswith("|")]) == 2 + 5
    latex = as_text(document(shown), "latex")
    assert latex.count(r"\\") == 1 + 5
    assert r"3$\times$3 $\sigma$ 0.5" in latex
    assert r"\toprule" in latex


@pytest.mark.parametrize(
    ("smoother", "uses", "said"),
    [
        ("gaussian", ("kernel_size", "kernel_sigma"), [("3×3", "σ 0.5"), ("3×3", "σ 2")]),
        ("bilateral", ("kernel_size", "kernel_sigma"), [("bilateral", "3×3 σ 0.5"), ("bilateral", "3×3 σ 2")]),
        ("jpeg", ("kernel_sigma",), [("jpeg", "σ 0.5"), ("jpeg", "σ 2")]),
        ("median", ("kernel_size",), [("median", "3×3")] * 2),
        ("denoiser", (), [("denoiser", "")] * 2),
    ],
)
def test_a_recipe_is_named_by_its_smoother_and_what_the_smoother_uses(
    one_engine: Engine, smoother: str, uses: tuple[str, ...], said: list[tuple[str, str]]
) -> None:
    recipes = {str(sigma): cell(3, sigma).model_copy(update={"smoother": smoother}) for sigma in (0.5, 2)}
    with reading(one_engine) as session:
        found = read_sweep(session, recipes, axis=NOISE, metric="acc_maj", uses=uses)
    assert [found.smoothing(run.recipe) for run in found.runs] == said
    assert [run["smoother"] for run in to_json(found)["runs"]] == [smoother] * 2
    assert {record["smoother"] for record in document(found).records} == {smoother}


def test_the_axis_is_known_before_any_run_is_recorded(one_engine: Engine) -> None:
    severity = Axis("severity", "severity", kind="corruption")
    with reading(one_engine) as session:
        empty = read_sweep(session, {"0" * 16: MISSING}, axis=severity, metric="acc_maj")
    assert document(empty).summary.head[-1] == "severity = 0.25"


def test_heat_maps_have_a_panel_a_model_and_level_and_the_figures_in_it(shown: Sweep, tmp_path: Path) -> None:
    draw(shown, tmp_path / "a.svg")
    drawn = (tmp_path / "a.svg").read_text()
    assert drawn.count("<!-- 0.750* -->") == 2
    assert drawn.count("<!-- 1.000 -->") == 2
    for said in ("resnet18", "efficientnet_lite0", "3×3", "–"):
        assert f"<!-- {said}" in drawn
    with pytest.raises(WrongUse, match="--plot"):
        draw(shown, tmp_path / "a.jpg")


def test_a_grid_of_which_nothing_is_recorded_is_printed_and_drawn(one_engine: Engine, tmp_path: Path) -> None:
    empty = grid(one_engine, {"0" * 16: MISSING}, "acc_maj")
    for form in FORMATS:
        assert as_text(document(empty), form)
    draw(empty, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
