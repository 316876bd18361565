"""The answer of an attack's report in words: does smoothing help against this attacker, and is the attack weak?"""

from collections.abc import Callable, Iterator, Sequence

from db.axis import Axis
from db.recipe import Recipe
from report.attack import KNOWS, AttackChecks, Contrast, attacker, option
from report.rates import SUCCESS_RATES
from report.report import Level, Report
from report.stats import Rate
from report.tested import Verdict

#: Attacks that take one step along the gradient.
ONE_STEP = ("fgsm",)
#: Fewer steps, or fewer questions to the model, say little. Carlini et al. (2019) ask for hundreds of steps; the Square
#: attack (Andriushchenko et al., 2020) is evaluated with thousands of questions.
FEW_STEPS, SMALL_BUDGET = 10, 1000

ADAPT = "An attacker who knows of the defence must be tried before it is relied on: the same command with --attacker defence."
ADAPTED = "What withstands this attacker may still fall to a better one: this is no certificate."


def attack_verdict(report: Report, levels: Sequence[Level]) -> str:
    """Whether smoothing helps against this attacker, what gets through, and what makes the attack doubtful.

    Args:
        report: of an attack.
        levels: those with predictions.
    """
    said = []
    if attacked := [level for level in levels if level.value > 0 and level.labelled]:
        said += [_help(attacked, report), _success(attacked, report.run.axis)]
    elif not any(level.labelled for level in levels):
        said.append("No image has a label, so it is unknown whether the attack succeeds.")
    said.append(ADAPTED if attacker(report.run.recipe) == "defence" else ADAPT)
    return " ".join([*said, *warnings(report)])


def _help(levels: Sequence[Level], report: Report) -> str:
    """Robust accuracy: the vote's against that of the unsmoothed view, over the same images."""
    better, worse, undecided = _by_verdict(
        levels, lambda level: level.against_ns["maj"] and level.against_ns["maj"].verdict
    )
    axis = report.run.axis
    whom = f"this attacker, who {KNOWS[attacker(report.run.recipe)]}"
    if better and not worse and not undecided:
        answer = f"Smoothing helps at every {axis.symbol} measured against {whom}"
    elif better:
        where = ", ".join(axis.at(level.value) for level in better)
        answer = f"Smoothing helps at {where} alone against {whom}"
    elif worse:
        answer = f"Smoothing hurts against {whom}"
    else:
        answer = f"Smoothing is not shown to help against {whom}"
    sides = _sides(better, worse, undecided, ("acc_maj_overall", "acc_ns"), axis)
    return f"{answer}. Robust accuracy of the vote against that without smoothing: {sides}."


def _success(levels: Sequence[Level], axis: Axis) -> str:
    """Attack success: the vote's against confidence thresholding's, where that accepts as many images.

    Both accept the same number, so who gets more of them right lets fewer wrong ones through: the test is the same.
    """
    better, worse, undecided = _by_verdict(levels, lambda level: level.verdict)
    return (
        "Attack success, the share accepted and wrong, of the vote against confidence thresholding that accepts as many: "
        f"{_sides(worse, better, undecided, SUCCESS_RATES, axis)}."
    )


def _by_verdict(
    levels: Sequence[Level], found: Callable[[Level], Verdict | None]
) -> tuple[list[Level], list[Level], list[Level]]:
    """The levels where the vote is better, where it is worse, and where neither is shown."""
    better, worse, undecided = (
        [level for level in levels if found(level) == side] for side in ("better", "worse", "undecided")
    )
    return better, worse, undecided


def _sides(higher: list[Level], lower: list[Level], undecided: list[Level], rates: tuple[str, str], axis: Axis) -> str:
    """Where the first rate is higher than the second, lower, and neither: each level with both shares."""
    said = []
    for name, levels in (("higher", higher), ("lower", lower), ("no difference is shown", undecided)):
        shares = [
            f"{axis.at(level.value)} ({' against '.join(_share(level.rate(rate)) for rate in rates)})"
            for level in levels
        ]
        if shares:
            said.append(f"{name} at {', '.join(shares)}")
    return "; ".join(said)


# -- warnings ------------------------------------------------------------------------------------------------------


def warnings(report: Report) -> list[str]:
    """Why this attack may say nothing about the model, a sentence each; none if it takes all accuracy.

    Source: the list in section 4 of Carlini et al. (2019), as far as the record can answer it.
    """
    checks = report.attack
    if checks is None or not any(level.predicted for level in report.levels):
        return []
    axis, recipe = report.run.axis, report.run.recipe
    found = list(_rises(checks.steps, axis))
    if not _takes_all(report):
        found += [*_no_fall(checks, axis), *_like_noise(checks, axis), *_little_effort(recipe)]
    if 0.0 not in recipe.levels:
        found.append(f"{axis.at(0)} is not among the levels: there is no clean accuracy to compare with.")
    return found


def _takes_all(report: Report) -> bool:
    """Whether the answer that is attacked is never right at the highest level."""
    last = report.levels[-1]
    attacked = last.acc_maj_overall if attacker(report.run.recipe) == "defence" else last.acc_ns
    return attacked is not None and attacked.hits == 0


def _rises(steps: Sequence[Contrast], axis: Axis) -> Iterator[str]:
    rises = [step for step in steps if step.tested.verdict == "better"]
    if rises:
        where = ", ".join(
            f"from {_at(step.low, step.first, axis)} to {_at(step.high, step.second, axis)}" for step in rises
        )
        yield (
            f"Warning: robust accuracy rises with {axis.symbol} beyond chance, {where}: what a smaller {axis.symbol} "
            "allows, a larger one does, so this attack misses what it could find."
        )


def _no_fall(checks: AttackChecks, axis: Axis) -> Iterator[str]:
    ends = checks.ends
    if ends and ends.tested.verdict != "worse":
        yield (
            f"Warning: robust accuracy is not shown to fall from {_at(ends.low, ends.first, axis)} to "
            f"{_at(ends.high, ends.second, axis)}: there are too few images, or the attack is so weak that it says nothing."
        )


def _like_noise(checks: AttackChecks, axis: Axis) -> Iterator[str]:
    # Where no image is right under attack, there is nothing more to take.
    weak = [found for found in checks.noise if found.second.hits and found.second.hits >= found.first.hits]
    if weak:
        where = ", ".join(
            f"{axis.at(found.high)} ({_share(found.second)} against {_share(found.first)})" for found in weak
        )
        yield (
            "Warning: the attack leaves as much accuracy as Gaussian noise of standard deviation "
            f"{axis.symbol} does in run {checks.noise_run}, at {where}: it is so weak that it says nothing."
        )


def _at(level: float, found: Rate, axis: Axis) -> str:
    return f"{axis.at(level)} ({_share(found)})"


def _little_effort(recipe: Recipe) -> Iterator[str]:
    steps, budget = option(recipe, "steps"), option(recipe, "budget")
    if recipe.perturbation in ONE_STEP:
        yield f"Warning: {recipe.perturbation} takes one step; an attack of many steps, such as pgd-linf, finds more."
    elif steps is not None and steps < FEW_STEPS:
        yield f"Warning: {steps} steps are few; take --steps 100."
    if budget is not None and budget < SMALL_BUDGET:
        yield f"Warning: a budget of {budget} questions to the model is small; allow --budget {10 * SMALL_BUDGET}."
    if model := option(recipe, "attack_model"):
        yield f"Warning: the attack is made on {model}; made on the run's own model it finds more."


def _share(rate: Rate | None) -> str:
    return f"{rate.value:.3f}" if rate else "–"
