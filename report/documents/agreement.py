"""The agreement of a run's stored rows with those that were computed again, as a document."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from db.classes import class_names
from report.agreement import Agreement, Answer, Counts, Difference, LevelAgreement, Relabelled
from report.agreement_verdict import verdict
from report.data import rate_json, run_json
from report.document import Cell, Document, Number, Stacked, Step, Table, Written
from report.documents.answers import named
from report.names import INTERVAL_NAMES, method
from report.stats import CONFIDENCE

#: Differences and left-out images that are shown without --detail; and labels that are named of a part's counts.
SHOWN, LABELS = 20, 3
#: What stands over a column of agreement.
HEADS = {"ns": "NS", "ss": "SS", "ds": "DS", "vote": "vote", "counts": "same counts"}


def document(found: Agreement) -> Document:
    """The agreement by level and view, and what differs."""
    run = found.run
    names = class_names(run.recipe)
    differing = [_difference_row(one, found, names) for one in found.differences]
    left_out: list[list[Cell]] = [[path, f"{code}: {message}"] for path, code, message in found.left_out]
    tables = [
        Table(head=_difference_head(found), rows=differing, title="Stored, and found here", keys=2),
        Table(head=["image", "why"], rows=left_out, title="Not compared: images that cannot be computed here"),
    ]
    return Document(
        headline=[f"{run.name} ({run.id}), {method(run.recipe)}", _sample(found), _here(found), _stored(found)],
        verdict=verdict(found),
        summary=_summary(found),
        also=[_begin(table) for table in tables if table.rows],
        details=[replace(table, rows=table.rows[SHOWN:]) for table in tables if len(table.rows) > SHOWN],
        steps=[Step("one image", f"smoothvote show IMAGE --run {run.id}")]
        if differing and not _certifies(found)
        else [],
        data=to_json(found, names),
        records=[_record(level, found) for level in found.levels],
    )


def _certifies(found: Agreement) -> bool:
    return found.run.recipe.certifies


def _sample(found: Agreement) -> str:
    """Which images were compared."""
    what = "one part of the copies of each" if _certifies(found) else "all levels of each"
    return f"sample of {found.drawn} of {found.run.expected} images (seed {found.seed}), computed again: {what}"


def _here(found: Agreement) -> str:
    origin = found.origin
    weights = "the run's" if origin.same_weights else "NOT THE RUN'S"
    preprocessing = "" if origin.same_preprocessing else ", preprocessing NOT THE RUN'S"
    return f"here: {origin.here.device}, {origin.here.engine}, weights {weights}{preprocessing}"


def _stored(found: Agreement) -> str:
    """What computed the stored rows."""
    parts = [
        f"{one.device}, {one.engine} ({images})" if one else f"a version that did not record it ({images})"
        for one, images in found.origin.stored.items()
    ]
    return f"stored by: {'; '.join(parts)}"


def _summary(found: Agreement) -> Table:
    rates = list(found.levels[0].rates)
    largest = "share of a part's copies with a label" if _certifies(found) else "confidence, where labels agree"
    return Table(
        head=[found.run.axis.symbol, *(HEADS[what] for what in rates), "largest difference"],
        rows=[
            [Written(found.run.axis.number(level.value)), *level.rates.values(), Number(level.largest, ".2g")]
            for level in found.levels
        ],
        legend=(
            f"Share of the compared images that agree, with {CONFIDENCE:.0%} {INTERVAL_NAMES[found.interval]} intervals. "
            f"Largest difference: of the {largest}."
        ),
    )


def _begin(table: Table) -> Table:
    """The first rows of a table. Its others are a detail."""
    more = len(table.rows) - SHOWN
    return replace(table, rows=table.rows[:SHOWN], legend=f"{more} more: --detail" if more > 0 else "")


def _difference_head(found: Agreement) -> list[str]:
    symbol = found.run.axis.symbol
    if _certifies(found):
        return ["image", symbol, "copies", "stored", "here"]
    return ["image", symbol, "view", "stored, confidence", "here, confidence"]


def _difference_row(one: Difference, found: Agreement, names: dict[int, str]) -> list[Cell]:
    level = Written(found.run.axis.number(one.level))
    if isinstance(one, Relabelled):
        return [one.path, level, HEADS[one.what], _answer(one.stored, names), _answer(one.here, names)]
    stored, here = one.stored, one.here
    moved = {label: abs(stored.get(label, 0) - here.get(label, 0)) for label in stored.keys() | here.keys()}
    most = sorted((label for label in moved if moved[label]), key=lambda label: (-moved[label], label))[:LABELS]
    copies = f"{one.part.first} to {one.part.last}"
    return [one.path, level, copies, *(_counts(counts, most, names) for counts in (stored, here))]


def _answer(answer: Answer, names: dict[int, str]) -> Stacked:
    called = "rejected" if answer.label is None else named(answer.label, names)
    return Stacked(called, "" if answer.confidence is None else f"{answer.confidence:.4f}")


def _counts(counts: Counts, labels: Sequence[int], names: dict[int, str]) -> str:
    """How many copies have each of these labels."""
    return ", ".join(f"{named(label, names)} {counts.get(label, 0)}" for label in labels)


def to_json(found: Agreement, names: dict[int, str]) -> dict[str, Any]:
    """The agreement as plain data: ``{"run": …, "images_alike": …, "levels": […], "differences": […]}``."""
    origin = found.origin
    return {
        "run": run_json(found.run),
        "seed": found.seed,
        "drawn": found.drawn,
        "interval": found.interval,
        "verdict": verdict(found),
        **rate_json("same_images", found.images),
        "levels": [_level_json(level, found) for level in found.levels],
        "differences": [_difference_json(one, found, names) for one in found.differences],
        "left_out": [{"image": path, "code": code, "message": message} for path, code, message in found.left_out],
        "here": origin.here._asdict() | {"weights_sha256": origin.weights_sha256},
        "stored": [(one._asdict() if one else {"device": None, "engine": None}) | {"images": images} for one, images in origin.stored.items()],
        "same_weights": origin.same_weights,
        "same_preprocessing": origin.same_preprocessing,
        "same_device": origin.same_device,
        "same_engine": origin.same_engine,
    }  # fmt: skip


def _level_json(level: LevelAgreement, found: Agreement) -> dict[str, Any]:
    values: dict[str, Any] = found.run.recipe.level_fields(level.value)
    for what, share in level.rates.items():
        values |= rate_json(f"same_{what}", share)
    return values | {"largest_difference": level.largest}


def _difference_json(one: Difference, found: Agreement, names: dict[int, str]) -> dict[str, Any]:
    where = {"image": one.path} | found.run.recipe.level_fields(one.level)
    if isinstance(one, Relabelled):
        stored, here = (_answer_json(answer, names) for answer in (one.stored, one.here))
        return where | {"view": one.what, "stored": stored, "here": here}
    counts = ({str(label): n for label, n in sorted(counts.items())} for counts in (one.stored, one.here))
    return where | {"copies": list(one.part)} | dict(zip(("stored", "here"), counts, strict=True))


def _answer_json(answer: Answer, names: dict[int, str]) -> dict[str, Any]:
    name = None if answer.label is None else named(answer.label, names)
    return {"label": answer.label, "name": name, "confidence": answer.confidence}


def _record(level: LevelAgreement, found: Agreement) -> dict[str, Any]:
    row: dict[str, Any] = found.run.recipe.level_fields(level.value)
    for what, share in level.rates.items():
        row |= {f"same_{what}": share and share.value}
        row |= {f"same_{what}_low": share and share.low, f"same_{what}_high": share and share.high}
    return row | {"largest_difference": level.largest}
