"""Two runs over the same images, compared image by image: two models, kernels or recipes."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Row, and_, func, select
from sqlalchemy.orm import Session, aliased

from db.errors import WrongUse
from db.outcome import Judged, count_of
from db.recipe import Recipe
from db.runs import RunInfo, progress
from db.tables import Image, Prediction
from report.kind import require_votes
from report.stats import Interval, Paired, Rate, paired, rate
from report.tested import Tested, over_levels

#: What is compared: the views, and the vote, where a reject counts as wrong.
VIEWS = ("ns", "ss", "ds", "maj")
#: Fields of a recipe that may be left to the weights: a run records their values.
PREPROCESSING = ("resize", "crop", "interpolation", "antialias", "mean", "std")


class Difference(NamedTuple):
    """One field in which the recipes, or the weights, differ."""

    field: str
    first: Any
    second: Any


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Two shares of the same images, and how they differ: second less first, adjusted over the levels (Holm)."""

    first: Rate
    second: Rate
    tested: Tested


@dataclass(frozen=True, kw_only=True)
class LevelComparison:
    """One level that both runs have."""

    value: float
    #: Images predicted by both runs, and by one of them only.
    both: int
    only_first: int
    only_second: int
    #: Labelled images predicted by both: what the accuracies are compared over.
    labelled: int
    #: Shares that are right, by view; None where no image is labelled.
    views: dict[str, Compared | None]
    #: Shares that are rejected, of all images predicted by both.
    reject: Compared | None
    #: Share of the images accepted by both votes that gets the same label.
    same_vote: Rate | None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two runs and the levels that both have, ascending."""

    first: RunInfo
    second: RunInfo
    interval: Interval
    #: Whether every image of both runs is done.
    complete: bool
    levels: list[LevelComparison]

    @property
    def same_noise(self) -> bool:
        """Whether an image gets the same noise in both runs."""
        return self.first.recipe.seed == self.second.recipe.seed

    @property
    def differences(self) -> list[Difference]:
        """How the recipes differ. Weights and preprocessing are compared as recorded, once both runs have begun."""
        return recipe_differences(self.first, self.second)


def recipe_differences(first: RunInfo, second: RunInfo) -> list[Difference]:
    """How the recipes of two runs differ, and their weights and preprocessing, once both runs have begun."""
    one, two = _fields(first.recipe), _fields(second.recipe)
    if first.preprocessing and second.preprocessing:
        one |= {name: first.preprocessing.get(name) for name in PREPROCESSING}
        two |= {name: second.preprocessing.get(name) for name in PREPROCESSING}
    if first.weights_sha256 and second.weights_sha256:
        one["weights_sha256"], two["weights_sha256"] = first.weights_sha256, second.weights_sha256
    names = [*one, *(name for name in two if name not in one)]
    return [Difference(name, one.get(name), two.get(name)) for name in names if one.get(name) != two.get(name)]


def _fields(recipe: Recipe) -> dict[str, Any]:
    """A recipe's fields, with the options of its perturbation among them."""
    fields = recipe.model_dump()
    return fields | (fields.pop("options") or {})


def compare(session: Session, first: RunInfo, second: RunInfo, *, interval: Interval = "wilson") -> Comparison:
    """Compares two runs over the images that both predicted.

    Args:
        session: a reading one: all counts are of one moment.
        first: one run.
        second: the other; differences are second less first.
        interval: the method for the intervals of rates. Those of differences are Newcombe's.

    Raises:
        WrongUse: if one run has certificates, or for what check_comparable refuses.
    """
    for run in (first, second):
        require_votes(run, "compare votes with votes, and certificates with certificates")
    check_comparable(session, first, second)
    values = [value for value in first.recipe.levels if value in second.recipe.levels]
    predicted = _predicted(session, first, second)
    counts = {row.level: row for row in session.execute(_counts(first, second))}
    rows = [counts.get(value) for value in values]
    tests = {name: over_levels([_paired(row, name) for row in rows]) for name in (*VIEWS, "reject")}
    levels = []
    for number, (value, row) in enumerate(zip(values, rows, strict=True)):
        both = row.both if row else 0
        found = {name: _compared(pairs[number], row, name, interval) for name, pairs in tests.items()}
        levels.append(
            LevelComparison(
                value=value,
                both=both,
                only_first=predicted.get((first.id, value), 0) - both,
                only_second=predicted.get((second.id, value), 0) - both,
                labelled=row.labelled if row else 0,
                reject=found.pop("reject"),
                views=found,
                same_vote=rate(row.same_vote, row.both_accepted, interval) if row else None,
            )
        )
    return Comparison(
        first=first,
        second=second,
        interval=interval,
        complete=all(progress(session, run).complete for run in (first, second)),
        levels=levels,
    )


def check_comparable(session: Session, first: RunInfo, second: RunInfo) -> None:
    """Checks that two runs can be compared image by image.

    Raises:
        WrongUse: if it is one run twice, or the runs have different images, classes or axes, or no common level.
    """
    if first.id == second.id:
        raise WrongUse(f"{first.id} is both runs: name two; `smoothvote runs` lists them")
    if first.dataset_id != second.dataset_id:
        raise WrongUse(_other_dataset(session, first, second))
    if first.recipe.classes != second.recipe.classes:
        raise WrongUse(
            f"runs {first.id} and {second.id} have other classes: the same label is not the same class; "
            "compare runs with the same --classes"
        )
    if first.axis != second.axis:
        raise WrongUse(
            f"the levels of runs {first.id} and {second.id} have no common axis: {first.axis.label}, and "
            f"{second.axis.label}; compare runs with the same --perturbation"
        )
    if not set(first.recipe.levels) & set(second.recipe.levels):
        of = [", ".join(map(run.axis.number, run.recipe.levels)) for run in (first, second)]
        flag = "--sigma" if first.recipe.certifies else "--levels"
        raise WrongUse(
            f"runs {first.id} and {second.id} share no level: {of[0]} and {of[1]}; run one of them at the other's {flag}"
        )


def _other_dataset(session: Session, first: RunInfo, second: RunInfo) -> str:
    """Why two datasets cannot be compared image by image, as far as their rows tell."""
    one, two = aliased(Image), aliased(Image)
    same = and_(one.bytes.is_not_distinct_from(two.bytes), one.label.is_not_distinct_from(two.label))
    shared = (
        select(func.count(), count_of(same))
        .join_from(one, two, one.path == two.path)
        .where(one.dataset_id == first.dataset_id, two.dataset_id == second.dataset_id)
    )
    paths, alike = session.execute(shared).one()
    names = " and ".join(f"{run.dataset} ({run.expected} images)" for run in (first, second))
    if paths == 0:
        why = "no path is in both"
    elif first.expected == second.expected == alike:
        why = "the same paths, sizes and labels, but files were written anew between, and may be other images"
    else:
        why = f"{paths} paths are in both, {alike} of them with the same size and label"
    return (
        f"runs {first.id} and {second.id} are of different datasets: {names}: {why}; "
        "run both recipes over the same images, labels and --limit"
    )


# -- counts ------------------------------------------------------------------------------------------------------


def _counts(first: RunInfo, second: RunInfo) -> Any:
    """A row a level: for how many images that both predicted each condition holds in one run, the other, and both."""
    one, two = aliased(Prediction), aliased(Prediction)
    in_first, in_second = _conditions(one), _conditions(two)
    sums = [
        count_of(condition).label(f"{name}_{of}")
        for name in in_first
        for of, condition in (
            ("first", in_first[name]),
            ("second", in_second[name]),
            ("both", and_(in_first[name], in_second[name])),
        )
    ]
    return (
        select(
            one.level,
            func.count().label("both"),
            func.count(Image.label).label("labelled"),
            count_of(and_(Judged(one).accepted, Judged(two).accepted)).label("both_accepted"),
            count_of(one.label_maj == two.label_maj).label("same_vote"),
            *sums,
        )
        .join_from(one, two, and_(one.image_id == two.image_id, one.level == two.level))
        .join(Image, Image.id == one.image_id)
        .where(one.run_id == first.id, two.run_id == second.id)
        .group_by(one.level)
    )


def _conditions(prediction: Any) -> dict[str, ColumnElement[bool]]:
    """What is counted of each run: which views are right, whether the vote is, and whether it rejects."""
    judged = Judged(prediction)
    right = {"ns": judged.ns == judged.label, "ss": judged.ss == judged.label, "ds": judged.ds == judged.label}
    return right | {"maj": judged.right, "reject": judged.rejected}


def _predicted(session: Session, first: RunInfo, second: RunInfo) -> dict[tuple[str, float], int]:
    rows = (
        select(Prediction.run_id, Prediction.level, func.count())
        .where(Prediction.run_id.in_((first.id, second.id)))
        .group_by(Prediction.run_id, Prediction.level)
    )
    return {(run_id, value): count for run_id, value, count in session.execute(rows)}


def _paired(row: Row[Any] | None, name: str) -> Paired | None:
    if row is None:
        return None
    in_first, in_second, in_both = (getattr(row, f"{name}_{of}") for of in ("first", "second", "both"))
    neither = _of(row, name) - in_first - in_second + in_both
    return paired(in_both, in_first - in_both, in_second - in_both, neither)


def _of(row: Row[Any], name: str) -> int:
    """What a share is of: whether an image is rejected can be said without its label."""
    return int(row.both if name == "reject" else row.labelled)


def _compared(tested: Tested | None, row: Row[Any] | None, name: str, interval: Interval) -> Compared | None:
    if tested is None or row is None:
        return None
    first, second = (rate(getattr(row, f"{name}_{of}"), _of(row, name), interval) for of in ("first", "second"))
    return Compared(first=first, second=second, tested=tested) if first and second else None
