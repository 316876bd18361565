"""Two runs over the same images: every count and difference worked out by hand, and what cannot be compared."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from commands import call
from rows import LEVELS, RECIPE, failed, finish_all, jobs, predicted, record
from sqlalchemy import Engine

from db import store
from db.errors import WrongUse
from db.migrations import upgrade
from db.recipe import make_recipe
from db.runs import find_run
from db.session import open_engine, reading
from db.settings import Settings
from report.comparison import Comparison, Difference, compare
from report.comparison_verdict import verdict
from report.documents.comparison import document, headlines, to_json
from report.formats import FORMATS, as_text
from report.plots.differences import draw
from report.stats import holm, mcnemar, paired

WIDER = make_recipe(model="efficientnet_lite0", levels=LEVELS, kernel_size=9)
#: True classes of eight images; one's class is not known.
LABELS = [1, 1, 1, 1, 1, 1, 1, None]

Views = tuple[int, int, int, int | None]
RIGHT: Views = (1, 1, 1, 1)
REJECTED: Views = (1, 8, 9, None)  # though ns is right
WRONG: Views = (9, 9, 9, 9)
# At σ = 0, an image a column: ns is right in both runs, but for the last two; the vote differs on the first three.
FIRST = [REJECTED, WRONG, RIGHT, RIGHT, RIGHT, REJECTED, WRONG, (5, 5, 5, 5)]
SECOND = [RIGHT, RIGHT, REJECTED, RIGHT, RIGHT, REJECTED, WRONG, (5, 6, 7, None)]


def fill(engine: Engine, run_id: str, levels: dict[float, Sequence[Views]], broken: Sequence[int] = ()) -> None:
    """Does the only job of a run: what the views and the vote said, image by image at each level."""
    claim = store.claim(engine, jobs(engine, run_id)[0].id, worker="w", lease=60)
    assert claim
    ids = [image_id for image_id, _ in claim.images]
    rows = [
        predicted(ids[number], sigma, *views)
        for sigma, found in levels.items()
        for number, views in enumerate(found)
        if number not in broken
    ]
    assert store.finish(engine, claim, rows, [failed(ids[number]) for number in broken])


def compared(engine: Engine, first: str, second: str) -> Comparison:
    with reading(engine) as session:
        return compare(session, find_run(session, first), find_run(session, second))


def example(engine: Engine) -> Comparison:
    first = record(engine, LABELS, job_size=8, name="narrow")
    second = record(engine, LABELS, job_size=8, name="wide", recipe=WIDER)
    fill(engine, first, dict.fromkeys(LEVELS, FIRST))
    fill(engine, second, {0.0: SECOND, 0.25: FIRST})
    return compared(engine, first, second)


@pytest.fixture
def found(engine: Engine) -> Comparison:
    return example(engine)


@pytest.fixture(scope="module")
def one_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """SQLite, once: what is shown of a comparison does not hang on the database."""
    engine = open_engine(Settings(database_url=f"sqlite:///{tmp_path_factory.mktemp('compare') / 'record.db'}"))
    upgrade(engine)
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def shown(one_engine: Engine) -> Comparison:
    return example(one_engine)


def test_counts_and_differences_are_those_of_a_hand_count(found: Comparison) -> None:
    calm = found.levels[0]
    assert (calm.value, calm.both, calm.only_first, calm.only_second, calm.labelled) == (0, 8, 0, 0, 7)
    by_hand = {  # right in the first, the second, only the first, only the second, of
        "ns": (5, 6, 0, 1, 7),
        "ss": (3, 4, 1, 2, 7),
        "ds": (3, 4, 1, 2, 7),
        "maj": (3, 4, 1, 2, 7),
    }
    for view, (in_first, in_second, only_first, only_second, of) in by_hand.items():
        compared = calm.views[view]
        assert compared
        pair = compared.tested.pair
        assert (compared.first.hits, compared.second.hits) == (in_first, in_second)
        assert (pair.only_first, pair.only_second, pair.of) == (only_first, only_second, of)
        assert pair.difference == pytest.approx((in_second - in_first) / of)
    assert calm.reject
    pair = calm.reject.tested.pair
    # Rejected: the first and the sixth; the third, the sixth and the last, whose label is not needed for it.
    assert (calm.reject.first.hits, calm.reject.second.hits) == (2, 3)
    assert (pair.only_first, pair.only_second, pair.of) == (1, 2, 8)
    # Both accept the second, on which they differ, the fourth, fifth and seventh.
    assert calm.same_vote
    assert (calm.same_vote.hits, calm.same_vote.of) == (3, 4)


def test_intervals_and_tests_are_those_of_the_pairs(found: Comparison) -> None:
    vote = found.levels[0].views["maj"]
    assert vote
    assert vote.tested.pair == paired(2, 1, 2, 2)
    assert vote.tested.pair.p == mcnemar(1, 2) == 1


def test_equal_rows_differ_nowhere(found: Comparison) -> None:
    noisy = found.levels[1]
    for compared in (*noisy.views.values(), noisy.reject):
        assert compared
        assert compared.first == compared.second
        assert (compared.tested.pair.only_first, compared.tested.pair.only_second, compared.tested.p_holm) == (0, 0, 1)


def test_p_values_are_adjusted_for_the_levels_of_each_view(engine: Engine) -> None:
    first = record(engine, [1] * 12, job_size=12)
    second = record(engine, [1] * 12, job_size=12, recipe=WIDER)
    fill(engine, first, dict.fromkeys(LEVELS, [WRONG] * 12))
    fill(engine, second, {0.0: [RIGHT] * 8 + [WRONG] * 4, 0.25: [(1, 9, 9, 9)] * 6 + [WRONG] * 6})
    by_view = {view: [level.views[view] for level in compared(engine, first, second).levels] for view in ("ns", "maj")}
    # Only the second right: ns 8 and 6 of 12, p = 2/2^8 and 2/2^6; the vote 8 and none.
    for view, ps in {"ns": [2 / 2**8, 2 / 2**6], "maj": [2 / 2**8, 1]}.items():
        assert [level and level.tested.pair.p for level in by_view[view]] == pytest.approx(ps)
        assert [level and level.tested.p_holm for level in by_view[view]] == pytest.approx(holm(ps))
    said = verdict(compared(engine, first, second))
    assert (
        "Vote: the second is right more often at σ = 0 (0.667 against 0.000); no difference is shown at σ = 0.25."
        in said
    )
    assert "NS: the second is right more often at σ = 0 (0.667 against 0.000), σ = 0.25 (0.500 against 0.000)." in said
    turned = verdict(compared(engine, second, first))
    assert (
        "Vote: the second is right less often at σ = 0 (0.000 against 0.667); no difference is shown at σ = 0.25."
        in turned
    )


def test_turned_round_the_differences_are_turned_round(engine: Engine, found: Comparison) -> None:
    turned = compared(engine, found.second.id, found.first.id).levels[0]
    for view, ours in found.levels[0].views.items():
        theirs = turned.views[view]
        assert ours
        assert theirs
        assert ours.tested.pair.difference == -theirs.tested.pair.difference
        assert (ours.first, ours.second) == (theirs.second, theirs.first)
        assert ours.tested.p_holm == theirs.tested.p_holm


def test_only_levels_that_both_have_are_compared(engine: Engine) -> None:
    first = record(engine, [1, 1])
    second = record(engine, [1, 1], recipe=make_recipe(model="efficientnet_lite0", levels=(0.25, 0.5)))
    finish_all(engine, first)
    fill(engine, second, {0.25: [RIGHT, RIGHT], 0.5: [RIGHT, RIGHT]})
    found = compared(engine, first, second)
    assert [(level.value, level.both) for level in found.levels] == [(0.25, 2)]
    assert found.differences == [Difference("levels", (0.0, 0.25), (0.25, 0.5))]
    assert "differences: levels 0,0.25 → 0.25,0.5" in headlines(found)


def test_images_that_only_one_run_predicted_are_counted_and_not_compared(engine: Engine) -> None:
    first, second = record(engine, LABELS, job_size=8), record(engine, LABELS, job_size=8, recipe=WIDER)
    fill(engine, first, dict.fromkeys(LEVELS, FIRST), broken=[0])
    fill(engine, second, dict.fromkeys(LEVELS, SECOND), broken=[1, 2])
    found = compared(engine, first, second)
    level = found.levels[0]
    assert (level.both, level.only_first, level.only_second, level.labelled) == (5, 2, 1, 4)
    assert level.views["maj"]
    assert (level.views["maj"].first.hits, level.views["maj"].second.hits) == (2, 2)
    assert found.complete  # a failure is an answer


def test_incomplete_runs_are_compared_over_what_both_have(engine: Engine) -> None:
    first, second = record(engine, [1] * 6, job_size=4), record(engine, [1] * 6, job_size=4, recipe=WIDER)
    finish_all(engine, first)
    assert verdict(compared(engine, first, second)) == "No image is predicted by both runs yet."
    fill(engine, second, dict.fromkeys(LEVELS, [RIGHT] * 4))
    found = compared(engine, first, second)
    assert not found.complete
    assert (found.levels[0].both, found.levels[0].only_first) == (4, 2)
    assert verdict(found).startswith(
        "So far, with images pending: this compares the second run with the first, image by image"
    )
    for form in ("table", "markdown", "latex"):
        assert "INCOMPLETE: compared over the images that both runs have" in as_text(document(found), form)
    assert to_json(found)["complete"] is False


def test_without_labels_agreement_and_rejects_are_compared(engine: Engine) -> None:
    first, second = record(engine, [None] * 8, job_size=8), record(engine, [None] * 8, job_size=8, recipe=WIDER)
    fill(engine, first, dict.fromkeys(LEVELS, FIRST))
    fill(engine, second, dict.fromkeys(LEVELS, SECOND))
    found = compared(engine, first, second)
    assert found.levels[0].views == dict.fromkeys(("ns", "ss", "ds", "maj"))
    assert found.levels[0].reject
    assert "0.750; 0.250 and 0.375 at σ = 0, 0.750; 0.250 and 0.375 at σ = 0.25." in verdict(found)
    assert len(as_text(document(found), "csv").splitlines()) == 1 + len(LEVELS)


def test_another_seed_is_said_to_be_other_noise(engine: Engine, found: Comparison) -> None:
    assert found.same_noise
    other = record(engine, LABELS, recipe=make_recipe(model="efficientnet_lite0", levels=LEVELS, seed=7))
    reseeded = compared(engine, found.first.id, other)
    assert not reseeded.same_noise
    assert reseeded.differences == [Difference("seed", 0, 7)]
    assert "the seeds differ" in "\n".join(headlines(reseeded))
    assert "the seeds differ" not in "\n".join(headlines(found))


def test_weights_and_preprocessing_are_compared_as_they_were_recorded(shown: Comparison) -> None:
    fit = {
        "resize": 256,
        "crop": 224,
        "interpolation": "bilinear",
        "antialias": True,
        "mean": [0.5] * 3,
        "std": [1] * 3,
    }
    first = replace(shown.first, weights_sha256="a" * 64, preprocessing=fit)
    second = replace(shown.second, weights_sha256="b" * 64, preprocessing=fit | {"crop": 192})
    line = headlines(replace(shown, first=first, second=second))[3]
    assert line == "differences: kernel_size 5 → 9; crop 224 → 192; weights_sha256 aaaaaaaaaaaa… → bbbbbbbbbbbb…"


def refusal(engine: Engine, first: str, second: str) -> str:
    with pytest.raises(WrongUse) as refused:
        compared(engine, first, second)
    return str(refused.value)


def test_what_cannot_be_compared_is_refused_with_the_reason(engine: Engine) -> None:
    run_id = record(engine, [1, 2])
    assert refusal(engine, run_id, run_id) == f"{run_id} is both runs: name two; `smoothvote runs` lists them"
    apart = record(engine, [1, 2], recipe=make_recipe(model="efficientnet_lite0", levels=(0.5,)))
    assert "share no level: 0, 0.25 and 0.5; run one of them at the other's --levels" in refusal(engine, run_id, apart)
    pets = make_recipe(model="timm/resnet18", levels=LEVELS, classes=("cat", "dog", "hamster"))
    assert "have other classes: the same label is not the same class" in refusal(
        engine, run_id, record(engine, [1, 2], recipe=pets)
    )


@pytest.mark.parametrize(
    ("labels", "why"),
    [
        ([1, 2], "images (2 images) and images (2 images): the same paths, sizes and labels, but files were written anew"),
        ([1, 3], "2 paths are in both, 1 of them with the same size and label"),
        ([1, None, 1], "images (2 images) and images (3 images): 2 paths are in both, 1 of them with the same"),
    ],
)  # fmt: skip
def test_other_datasets_are_refused_with_what_differs(engine: Engine, labels: list[int | None], why: str) -> None:
    first, second = record(engine, [1, 2]), record(engine, labels, fingerprint="e" * 64)
    said = refusal(engine, first, second)
    assert why in said
    assert said.endswith("run both recipes over the same images, labels and --limit")


def test_json_has_the_fields_that_scripts_read(shown: Comparison) -> None:
    data = json.loads(as_text(document(shown), "json"))
    assert (data["first"]["name"], data["second"]["name"], data["complete"]) == ("narrow", "wide", True)
    assert data["differences"] == [{"field": "kernel_size", "first": 5, "second": 9}]
    level = data["levels"][0]
    assert (level["both"], level["labelled"], level["same_vote_count"]) == (8, 7, [3, 4])
    vote = level["views"]["maj"]
    assert (vote["first_count"], vote["second_count"]) == ([3, 7], [4, 7])
    assert (vote["only_first"], vote["only_second"], vote["verdict"]) == (1, 2, "undecided")
    assert vote["difference_ci"][0] < vote["difference"] < vote["difference_ci"][1]
    assert level["reject"]["p_holm"] == 1


def test_every_format_has_a_line_a_level_and_view(shown: Comparison) -> None:
    lines = as_text(document(shown), "csv").splitlines()
    assert lines[0].startswith(
        "level,sigma,of,both,first_missing,second_missing,images,first,first_low,first_high,second,"
    )
    assert [line.split(",")[2] for line in lines[1:]] == ["ns", "ss", "ds", "maj", "reject"] * 2
    table = as_text(document(shown), detail=True).splitlines()
    assert table[5].startswith("This compares the second run with the first, image by image")
    head, *others = (number for number, line in enumerate(table) if line.startswith("──"))
    # The vote, then the rejects: first, second, their difference and p; the rejects of both; the same vote.
    assert table[head + 1].split() == ["0", "0.4286", "0.5714", "+0.1429", "1.000", "0.2500", "0.3750", "0.7500"]
    assert len(others) == 2
    markdown = as_text(document(shown), "markdown").splitlines()
    assert {line.count("|") for line in markdown if line.startswith("|")} == {9, 10, 7}
    assert "| 0.4286 [0.158, 0.750] | 0.5714 [0.250, 0.842] |" in "\n".join(markdown)
    latex = as_text(document(shown), "latex")
    assert latex.count(r"\\") == 1 + 2 + 1 + 10 + 1 + 2
    assert latex.count("\\begin{table}") == latex.count("\\end{table}") == 3
    assert "kernel\\_size 5 $\\to$ 9" in latex


def test_a_comparison_of_nothing_yet_is_printed_and_drawn(one_engine: Engine, tmp_path: Path) -> None:
    runs = [record(one_engine, [1, 2], recipe=recipe, fingerprint="0" * 64) for recipe in (RECIPE, WIDER)]
    found = compared(one_engine, *runs)
    for form in FORMATS:
        assert as_text(document(found), form)
    draw(found, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_a_comparison_is_drawn(shown: Comparison, tmp_path: Path) -> None:
    draw(shown, tmp_path / "a.svg")
    drawn = (tmp_path / "a.svg").read_text()
    for name in ("NS", "SS", "DS", "vote", "rejects", "second run − first run"):
        assert f"<!-- {name} -->" in drawn
    with pytest.raises(WrongUse, match="--plot"):
        draw(shown, tmp_path / "a.jpg")


def test_a_name_from_outside_does_not_speak_to_the_terminal(shown: Comparison) -> None:
    nasty = document(replace(shown, first=replace(shown.first, name="a\x1b[31m\nb")))
    for form in ("table", "markdown", "latex"):
        assert "\x1b" not in as_text(nasty, form)
    assert as_text(nasty).startswith("first: a�[31m b (")


def test_the_command_compares_draws_and_ends_with_3_while_a_run_is_incomplete(
    one_engine: Engine, shown: Comparison, tmp_path: Path
) -> None:
    env = {"SMOOTHVOTE_DATABASE_URL": str(one_engine.url)}
    said = call("compare", "narrow", shown.second.id[:6], "--plot", tmp_path / "a.pdf", cwd=tmp_path, env=env)
    assert said.stdout == as_text(document(shown), "table") + "\n"
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")
    other = make_recipe(model="efficientnet_lite0", levels=LEVELS, seed=7)
    record(one_engine, LABELS, recipe=other, name="begun")
    words = ("compare", "narrow", "begun", "--format", "json", "--interval", "clopper-pearson")
    half = call(*words, cwd=tmp_path, env=env, code=3)
    assert half.stderr == "incomplete: only images that both runs predicted are compared\n"
    assert json.loads(half.stdout)["interval"] == "clopper-pearson"
