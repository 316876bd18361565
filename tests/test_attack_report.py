"""What a report says of an attack: robust accuracy, attack success, and whether the attack is too weak to say anything.

Runs are made by hand, small enough to know every count.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rows import claimed, image_ids, jobs, predict, record
from sqlalchemy import Engine

from db import store
from db.axis import NOISE, Axis
from db.migrations import upgrade
from db.recipe import make_recipe
from db.runs import find_run
from db.session import open_engine, reading
from db.settings import Settings
from report.attack_verdict import ADAPT, ADAPTED, warnings
from report.comparison import Comparison, compare
from report.comparison_verdict import verdict as comparison_verdict
from report.documents.comparison import document as comparison_document
from report.documents.report import document
from report.formats import as_text
from report.plots import PLOTS
from report.report import Report, report
from report.verdict import verdict
from smoothvote import front_door

EPSILON = Axis("ε", "attack size", "L∞ distance, pixels in [0, 1]", 255, kind="attack")
CLEAN, SMALL, LARGE = 0.0, 1 / 255, 2 / 255

#: One image at one level, whose true class is 1: label and confidence of ns, then of ss and ds.
RIGHT = (1, 0.9, 1, 0.5, 1, 0.5)
WRONG = (2, 0.9, 2, 0.5, 2, 0.5)
SAVED = (2, 0.9, 1, 0.5, 1, 0.5)
DETECTED = (2, 0.9, 3, 0.5, 4, 0.5)
LOST = (1, 0.9, 2, 0.5, 2, 0.5)


def attacked(
    engine: Engine,
    levels: dict[float, Sequence[Any]],
    *,
    perturbation: str = "pgd-linf",
    axis: Axis = EPSILON,
    label: int | None = 1,
    **options: Any,
) -> str:
    """A complete run with these views of its images at each level; gives its id."""
    count = len(next(iter(levels.values())))
    recipe = make_recipe(
        model="efficientnet_lite0", levels=tuple(levels), perturbation=perturbation, options=options or None
    )
    run_id = record(engine, [label] * count, recipe=recipe, axis=axis, job_size=count)
    claim = claimed(engine, jobs(engine, run_id)[0].id)
    ids = image_ids(engine, claim)
    rows = [
        predict(image, level, views) for level, found in levels.items() for image, views in zip(ids, found, strict=True)
    ]
    assert store.finish(engine, claim, rows, [])
    return run_id


def found(engine: Engine, run_id: str) -> Report:
    with reading(engine) as session:
        return report(session, find_run(session, run_id))


#: Of 24 images under attack: ns is wrong on all, the vote right on 12, detects 6 and is deceived by 6.
MIXED = [SAVED] * 12 + [DETECTED] * 6 + [WRONG] * 6


def test_attack_success_is_the_share_of_the_labelled_that_is_accepted_and_wrong(engine: Engine) -> None:
    shown = found(engine, attacked(engine, {CLEAN: [RIGHT] * 24, SMALL: MIXED}))
    clean, small = shown.levels
    by_hand = {
        "acc_ns": (0, 24),
        "acc_maj_overall": (12, 24),
        "reject_rate": (6, 24),
        "attack_success": (6, 24),
        # The 18 images where ns is most confident, and ns is wrong on all.
        "attack_success_thresholding": (18, 24),
    }
    assert {name: (small.rate(name).hits, small.rate(name).of) for name in by_hand} == by_hand  # type: ignore[union-attr]
    assert clean.attack_success is not None
    assert clean.attack_success.hits == 0
    data = json.loads(as_text(document(shown), "json"))["levels"][1]
    assert (data["attack_success"], data["attack_success_count"]) == (0.25, [6, 24])
    assert data["attack_success_ci"][0] < 0.25 < data["attack_success_ci"][1]
    assert data["attack_success_thresholding"] == 0.75


def test_the_table_of_an_attack_speaks_of_robust_accuracy_and_success(engine: Engine) -> None:
    shown = found(engine, attacked(engine, {CLEAN: [RIGHT] * 24, SMALL: MIXED}))
    summary = document(shown).summary
    assert summary.head == [
        "ε", "Robust NS", "Robust SS", "Robust DS", "Robust vote", "Reject", "Attack success", "success by thresholding",
    ]  # fmt: skip
    lines = as_text(document(shown)).splitlines()
    row = next(line for line in lines if line.strip().startswith("1/255"))
    assert row.split() == ["1/255", "0.0000", "0.5000", "0.5000", "0.5000", "0.2500", "0.2500", "0.7500"]
    assert max(map(len, lines[4:8])) <= 80


def test_images_of_a_level_are_asked_for_by_its_fraction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = open_engine(Settings(database_url=f"sqlite:///{tmp_path / 'record.db'}"))
    upgrade(engine)
    run_id = attacked(engine, {CLEAN: [RIGHT] * 4, SMALL: [DETECTED] * 4})
    engine.dispose()
    monkeypatch.setenv("SMOOTHVOTE_DATABASE_URL", f"sqlite:///{tmp_path / 'record.db'}")
    listed = CliRunner().invoke(front_door, ["images", run_id, "--level", "1/255"]).stdout
    assert listed.count("1/255") == listed.count("rejected") == 4
    wrong = CliRunner().invoke(front_door, ["images", run_id, "--level", "2/255"]).exception
    assert str(wrong) == f"run {run_id} has no level 2/255; it has 0, 1/255"
    assert "is no level, as 0.25 or 4/255" in CliRunner().invoke(front_door, ["images", "--level", "x"]).stderr


def test_noise_has_no_attack_success_in_its_tables(engine: Engine) -> None:
    run_id = attacked(engine, {CLEAN: [RIGHT] * 4, 0.25: [WRONG] * 4}, perturbation="gaussian", axis=NOISE)
    shown = found(engine, run_id)
    assert "ttack" not in "\n".join(as_text(document(shown), form) for form in ("table", "markdown", "latex"))
    assert document(shown).data["levels"][1]["attack_success"] == 1
    assert document(shown).data["warnings"] == []


# -- the verdict ---------------------------------------------------------------------------------------------------


def test_the_verdict_says_whether_smoothing_helps_against_this_attacker(engine: Engine) -> None:
    said = verdict(found(engine, attacked(engine, {CLEAN: [RIGHT] * 24, SMALL: MIXED}, attacker="model")))
    assert said == (
        "Smoothing helps at every ε measured against this attacker, who knows the model only. Robust accuracy of the vote "
        "against that without smoothing: higher at ε = 1/255 (0.500 against 0.000). Attack success, the share accepted and "
        "wrong, of the vote against confidence thresholding that accepts as many: lower at ε = 1/255 (0.250 against 0.750). "
        f"{ADAPT}"
    )


def test_smoothing_may_help_only_at_some_levels_and_an_attacker_may_know_of_it(engine: Engine) -> None:
    run_id = attacked(
        engine, {CLEAN: [RIGHT] * 12, SMALL: [SAVED] * 12, LARGE: [WRONG] * 12}, attacker="defence", steps=100
    )
    said = verdict(found(engine, run_id))
    assert said.startswith(
        "Smoothing helps at ε = 1/255 alone against this attacker, who knows the model and the defence. Robust accuracy of the "
        "vote against that without smoothing: higher at ε = 1/255 (1.000 against 0.000); no difference is shown at "
        "ε = 2/255 (0.000 against 0.000)."
    )
    assert said.endswith(ADAPTED)
    assert ADAPT not in said


def test_smoothing_may_hurt_and_may_make_no_difference(engine: Engine) -> None:
    hurts = verdict(found(engine, attacked(engine, {CLEAN: [RIGHT] * 12, SMALL: [LOST] * 12}, steps=20)))
    assert hurts.startswith("Smoothing hurts against this attacker")
    assert "lower at ε = 1/255 (0.000 against 1.000)" in hurts
    same = verdict(found(engine, attacked(engine, {CLEAN: [RIGHT] * 12, SMALL: [WRONG] * 12}, steps=21)))
    assert same.startswith("Smoothing is not shown to help against this attacker, who knows the model only. ")


def test_without_labels_success_is_unknown(engine: Engine) -> None:
    said = verdict(found(engine, attacked(engine, {CLEAN: [RIGHT] * 4, SMALL: [WRONG] * 4}, label=None)))
    assert said.startswith("No image has a label, so it is unknown whether the attack succeeds.")


# -- two attackers -------------------------------------------------------------------------------------------------


def two_attackers(engine: Engine, knowing: Sequence[Any]) -> Comparison:
    """One who knows the model only takes nothing from the vote; what one who knows the defence takes is given."""
    runs = [
        attacked(engine, {CLEAN: [RIGHT] * 12, SMALL: [SAVED] * 12}, attacker="model"),
        attacked(engine, {CLEAN: [RIGHT] * 12, SMALL: knowing}, attacker="defence"),
    ]
    with reading(engine) as session:
        return compare(session, *(find_run(session, run) for run in runs))


def test_a_comparison_says_what_it_gains_an_attacker_to_know_the_defence(engine: Engine) -> None:
    shown = comparison_document(two_attackers(engine, [WRONG] * 12))
    assert shown.headline[0].endswith("pgd-linf by an attacker who knows the model only")
    assert shown.headline[1].endswith("pgd-linf by an attacker who knows the model and the defence")
    assert shown.headline[-1] == "differences: attacker model → defence"
    assert shown.verdict.startswith(
        "An attacker who knows the defence takes more robust accuracy from the vote at ε = 1/255 (from 1.000 to 0.000). "
    )


def test_an_attacker_who_knows_more_and_takes_less_is_a_warning(engine: Engine) -> None:
    weak = {CLEAN: [RIGHT] * 12, SMALL: [WRONG] * 12}
    runs = [
        attacked(engine, weak, attacker="model"),
        attacked(engine, {**weak, SMALL: [RIGHT] * 12}, attacker="defence"),
    ]
    with reading(engine) as session:
        first, second = (find_run(session, run) for run in runs)
        said = [comparison_verdict(compare(session, *pair)) for pair in ((first, second), (second, first))]
    for verdict_in_words in said:
        assert verdict_in_words.startswith(
            "Warning: an attacker who knows the defence takes less at ε = 1/255 (from 0.000 to 1.000)"
        )


def test_no_gain_is_not_shown_where_the_vote_is_right_as_often(engine: Engine) -> None:
    said = comparison_verdict(two_attackers(engine, [RIGHT] * 12))
    assert said.startswith("It is not shown that an attacker gains by knowing the defence.")


def test_robust_accuracy_under_both_attackers_is_drawn_in_one_picture(engine: Engine, tmp_path: Path) -> None:
    PLOTS["robustness"].draw(two_attackers(engine, [WRONG] * 12), tmp_path / "a.svg")
    drawn = (tmp_path / "a.svg").read_text()
    for view in ("vote", "NS"):
        for known in ("knows the model only", "knows the model and the defence"):
            assert f"<!-- {view}, the attacker {known} -->" in drawn
    for said in ("robust accuracy", "1/255", "attack size ε (L∞ distance, pixels in [0, 1])"):
        assert f"<!-- {said} -->" in drawn


# -- warnings ------------------------------------------------------------------------------------------------------


def said(engine: Engine, levels: dict[float, Sequence[Any]], **options: Any) -> list[str]:
    return warnings(found(engine, attacked(engine, levels, **options)))


def test_an_attack_that_takes_all_accuracy_gets_no_warning_however_few_its_steps(engine: Engine) -> None:
    assert said(engine, {CLEAN: [RIGHT] * 12, SMALL: [WRONG] * 12}, steps=1) == []


def test_accuracy_that_rises_with_the_attack_is_a_warning(engine: Engine) -> None:
    rises = said(engine, {CLEAN: [RIGHT] * 12, SMALL: [WRONG] * 12, LARGE: [RIGHT] * 6 + [WRONG] * 6}, steps=50)
    # Six images are right again: p = 2/64, adjusted for two steps 2/64, as the fall before has a smaller one.
    assert rises == [
        "Warning: robust accuracy rises with ε beyond chance, from ε = 1/255 (0.000) to ε = 2/255 (0.500): what a smaller "
        "ε allows, a larger one does, so this attack misses what it could find.",
    ]  # fmt: skip
    five = said(engine, {CLEAN: [RIGHT] * 12, SMALL: [WRONG] * 12, LARGE: [RIGHT] * 5 + [WRONG] * 7}, steps=51)
    assert five == []


def test_accuracy_that_does_not_fall_is_a_warning_of_the_answer_that_is_attacked(engine: Engine) -> None:
    levels = {CLEAN: [RIGHT] * 12, SMALL: [SAVED] * 12}
    assert said(engine, levels, attacker="model", steps=50) == []
    assert said(engine, levels, attacker="defence", steps=50) == [
        "Warning: robust accuracy is not shown to fall from ε = 0 (1.000) to ε = 1/255 (1.000): there are too few images, or "
        "the attack is so weak that it says nothing.",
    ]  # fmt: skip


def test_an_attack_that_is_no_stronger_than_noise_of_its_size_is_a_warning(engine: Engine) -> None:
    noise = attacked(
        engine, {CLEAN: [RIGHT] * 12, SMALL: [RIGHT] * 2 + [WRONG] * 10}, perturbation="gaussian", axis=NOISE
    )
    weak = said(engine, {CLEAN: [RIGHT] * 12, SMALL: [RIGHT] * 3 + [WRONG] * 9}, steps=50)
    assert weak == [
        "Warning: the attack leaves as much accuracy as Gaussian noise of standard deviation ε does in run "
        f"{noise}, at ε = 1/255 (0.250 against 0.167): it is so weak that it says nothing.",
    ]
    assert said(engine, {CLEAN: [RIGHT] * 12, SMALL: [RIGHT] + [WRONG] * 11}, steps=51) == []
    # An L2 distance is that of the whole image: noise of that standard deviation is far larger.
    far = Axis("ε", "attack size", "L2 distance, pixels in [0, 1]", kind="attack")
    levels = {CLEAN: [RIGHT] * 12, SMALL: [RIGHT] * 3 + [WRONG] * 9}
    assert said(engine, levels, perturbation="pgd-l2", axis=far, steps=50) == []


@pytest.mark.parametrize(
    ("perturbation", "options", "warning"),
    [
        ("fgsm", {}, "fgsm takes one step"),
        ("pgd-linf", {"steps": 9}, "9 steps are few"),
        ("square", {"budget": 100}, "a budget of 100 questions to the model is small"),
        ("pgd-linf", {"steps": 50, "attack_model": "timm/resnet18"}, "the attack is made on timm/resnet18"),
    ],
)
def test_little_effort_is_a_warning(engine: Engine, perturbation: str, options: dict[str, Any], warning: str) -> None:
    levels = {CLEAN: [RIGHT] * 12, SMALL: [RIGHT] + [WRONG] * 11}
    (only,) = said(engine, levels, perturbation=perturbation, **options)
    assert only.startswith(f"Warning: {warning}")


def test_a_run_without_a_clean_level_is_told_so(engine: Engine) -> None:
    (only,) = said(engine, {SMALL: [RIGHT] + [WRONG] * 11, LARGE: [WRONG] * 12})
    assert only == "ε = 0 is not among the levels: there is no clean accuracy to compare with."


def test_every_format_for_people_has_the_warnings(engine: Engine, tmp_path: Path) -> None:
    shown = document(found(engine, attacked(engine, {CLEAN: [RIGHT] * 12, SMALL: [RIGHT] * 12}, steps=3)))
    for form in ("table", "markdown", "latex"):
        assert "so weak that it says nothing" in " ".join(as_text(shown, form).split())
    assert [warning[:8] for warning in shown.data["warnings"]] == ["Warning:"] * 2
