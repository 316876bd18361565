"""Certificates as a document: the verdict, certified accuracy at a few radii, and at all of them in detail."""

from collections.abc import Iterator, Sequence
from typing import Any

from report.certificate import ALPHA, RADII, least_copies
from report.certified import Certified, usual_alpha
from report.certified_data import to_json
from report.certified_flat import level_rows
from report.certified_level import QUANTILES, CertifiedLevel
from report.certified_verdict import verdict
from report.counts import asked
from report.document import Bold, Cell, Document, Stacked, Step, Table, Written
from report.names import INTERVAL_NAMES, method
from report.rates import COUNTS
from report.stats import CONFIDENCE

#: Most radii in the summary, which fits 80 columns.
MOST_RADII = 6
#: Heads of QUANTILES of the radii.
QUARTILES = ("lower quartile", "median radius", "upper quartile")


def document(found: Certified) -> Document:
    """Certificates, as they are printed."""
    details = [_papers([found]), _every_radius(found)] if found.labelled else []
    return Document(
        headline=[headline(found)],
        verdict=verdict(found),
        summary=_summary(found),
        counts=_counts(found),
        details=[*details, _rest(found)],
        steps=_steps(found),
        data=to_json(found),
        records=level_rows(found),
    )


def beside(several: Sequence[Certified]) -> Document:
    """Certificates of several runs or result files: a row for each of them and each σ, the best of a column bold."""
    details = [table for found in several for table in ([_every_radius(found)] if found.labelled else [])]
    return Document(
        headline=[headline(found) for found in several],
        verdict=" ".join(f"{found.name}: {verdict(found)}" for found in several),
        summary=_papers(several),
        details=details,
        data={"certified": [to_json(found) for found in several]},
        records=_same_columns([row for found in several for row in level_rows(found)]),
    )


def _same_columns(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with the columns of all of them: one that stops early has a radius that the others lack."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    return [{column: row.get(column) for column in columns} for row in rows]


def headline(found: Certified) -> str:
    """What was certified, with how many copies, on what, and whether it is complete: one line."""
    pending = max(level.pending for level in found.levels)
    said = [f"{name} = {value:g}" for name, value in (("n0", found.n0), ("n", found.n), ("α", found.alpha)) if value]
    certified = f"certified with {', '.join(said)}" if said else "certified"
    if found.stopped:
        certified += f", stopping at radius {found.stopped.rule.radius:g}"
    state = f"INCOMPLETE: {pending} image{'s' * (pending > 1)} pending" if pending else "complete"
    if found.run is None:
        return f"{found.name}: {certified} ({found.levels[0].expected} images): {state}"
    run = found.run
    part = f" of {run.available}" if run.available != run.expected else ""
    state = state.replace("INCOMPLETE", "CANCELLED" if run.cancelled_at else "INCOMPLETE")
    where = f"on {run.dataset} ({run.expected}{part} images)"
    return f"{run.name} ({run.id}): {method(run.recipe)}, {certified}, {where}: {state}"


# -- tables ------------------------------------------------------------------------------------------------------


def _summary(found: Certified) -> Table:
    """One table that fits 80 columns: certified accuracy at the radii where there is any, and the σ that is best."""
    if not found.labelled:
        return _unlabelled(found)
    radii = _shown_radii([found])
    best = {at.radius: at.sigma for at in found.envelope}
    rows: list[list[Cell]] = [
        [_sigma(level), *map(level.at, radii), level.abstention_rate, level.average_certified_radius]
        for level in found.levels
    ]
    if len(rows) > 1:
        sigmas = [Written(f"{sigma:g}") if (sigma := best.get(radius)) else None for radius in radii]
        rows.append(["best σ", *sigmas, None, None])
    head = ["σ", *(f"radius {radius:g}" for radius in radii), "abstains", "average radius"]
    return Table(head=head, rows=rows, legend=_legend(found))


def _unlabelled(found: Certified) -> Table:
    rows: list[list[Cell]] = [
        [
            _sigma(level),
            level.abstention_rate,
            *(Written(f"{radius:.4f}") for radius in level.radius_quantiles),
            *([None] * (len(QUANTILES) - len(level.radius_quantiles))),
        ]
        for level in found.levels
        if level.predicted
    ]
    legend = "Quartiles of the certified radii; an abstention counts as 0."
    return Table(head=["σ", "abstains", *QUARTILES], rows=rows, legend=legend)


def _legend(found: Certified) -> str:
    interval = INTERVAL_NAMES[found.interval]
    best = (
        " The best σ is chosen on these images: expect a little less of it on others." if len(found.levels) > 1 else ""
    )
    return (
        "Radius r: certified accuracy, the share of the labelled images with their true label and a certified radius of at "
        "least r, in L2 distance of the model's input in [0, 1]. Abstains: no certificate. Average radius: a wrong label or "
        f"an abstention counts as 0. Rates have {CONFIDENCE:.0%} {interval} intervals, averages normal ones.{best}"
    )


def _shown_radii(several: Sequence[Certified]) -> list[float]:
    """The radii at which anything is certified, thinned out until they fit the summary."""
    certifying = {at.radius for found in several for at in found.envelope if at.sigma is not None} or {RADII[0]}
    radii = sorted(certifying)
    if len(radii) > MOST_RADII:
        chosen = {found.stopped.rule.radius for found in several if found.stopped}
        radii = [radius for radius in radii if radius % 0.5 == 0 or radius in chosen]
    return radii[:MOST_RADII]


def _papers(several: Sequence[Certified]) -> Table:
    """Certified accuracy as papers print it: a row a σ, a column a radius, the best of a column bold.

    The last row of each is its envelope: the best σ at each radius, in brackets that σ's accuracy at radius 0, which
    Salman et al. (2020), Table 1, call standard accuracy.
    """
    several = [found for found in several if found.labelled]
    best = {
        radius: _highest(several, radius)
        for radius in sorted({radius for found in several for level in found.levels for radius in level.radii})
    }
    last = max([radius for radius, share in best.items() if share], default=RADII[0])
    radii = [radius for radius in best if radius <= last]
    rows: list[list[Cell]] = []
    for found in several:
        name: list[Cell] = [found.name] if len(several) > 1 else []
        rows += [
            [*name, _sigma(level), *(_paper_cell(level.at(radius), best[radius]) for radius in radii)]
            for level in found.levels
        ]
        rows.append([*name, "best", *_envelope_cells(found, radii)])
    return Table(
        title="Certified accuracy at each radius" if len(several) < 2 else "",
        head=[*(["run"] if len(several) > 1 else []), "σ", *(_papers_number(radius, "g") for radius in radii)],
        rows=rows,
        legend=(
            "Bold: the highest at its radius. Best: the highest over σ, and in brackets the accuracy at radius 0 of the σ "
            "that has it (standard accuracy)."
        ),
        keys=2 if len(several) > 1 else 1,
    )


def _highest(several: Sequence[Certified], radius: float) -> float:
    return max((share.value for found in several for level in found.levels if (share := level.at(radius))), default=0)


def _envelope_cells(found: Certified, radii: Sequence[float]) -> Iterator[Cell]:
    standard = {level.sigma: level.at(0.0) for level in found.levels}
    shares = {best.radius: best for best in found.envelope}
    for radius in radii:
        best = shares.get(radius)
        clean = standard.get(best.sigma) if best and best.sigma is not None else None
        yield (
            Stacked(_papers_number(best.rate.value), f"({_papers_number(clean.value)})" if clean else "")
            if best
            else None
        )


def _paper_cell(share: Any, best: float) -> Cell:
    if share is None:
        return None
    number = _papers_number(share.value)
    return Bold(number) if share.hits and share.value == best else Written(number)


def _papers_number(value: float, spec: str = ".2f") -> str:
    text = format(value, spec)
    return text.removeprefix("0") or "0" if value < 1 else text


def _every_radius(found: Certified) -> Table:
    """A row a radius, up to the first at which nothing is certified; a column a σ."""
    rows: list[list[Cell]] = []
    for best in found.envelope:
        sigma = None if best.sigma is None else Written(f"{best.sigma:g}")
        rows.append([Written(f"{best.radius:g}"), *(level.at(best.radius) for level in found.levels), sigma])
        if best.sigma is None:
            break
    return Table(
        title=f"Certified accuracy with intervals, {found.name}",
        head=["radius", *(f"σ = {level.sigma:g}" for level in found.levels), "best σ"],
        rows=rows,
    )


def _rest(found: Certified) -> Table:
    """The counts, and what is not about radii."""
    return Table(
        title="Counts of images, PREDICT, and the radii of all images",
        head=["σ", *COUNTS, "PREDICT right", "PREDICT abstains", *QUARTILES, "largest possible"],
        rows=[
            [
                _sigma(level),
                *(getattr(level, name) for name in COUNTS),
                level.acc_predict,
                level.predict_abstention_rate,
                *(Written(f"{radius:.4f}") for radius in level.radius_quantiles),
                *([None] * (len(QUANTILES) - len(level.radius_quantiles))),
                None if level.largest_radius is None else Written(f"{level.largest_radius:.4f}"),
            ]
            for level in found.levels
        ],
        legend=(
            "PREDICT answers with the most frequent label of the n copies, or abstains, which counts as wrong; its answer is "
            "not that of the smoothed classifier with probability at most α. Quartiles of the radii of all images, right or "
            "not: an abstention counts as 0. Largest possible: the radius of an image whose copies all have one label; more "
            "copies (--n) raise it."
        ),
    )


def _sigma(level: CertifiedLevel) -> Cell:
    return Written(f"{level.sigma:g}")


def _counts(found: Certified) -> str:
    """How many images each level is about; said once where all levels have the same."""
    said: dict[str, list[str]] = {}
    for level in found.levels:
        line = (
            f"{level.expected} expected = {level.predicted} predicted + {level.failed} failed + {level.skipped} skipped "
            f"+ {level.pending} pending; {level.labelled} labelled"
        )
        said.setdefault(line, []).append(f"σ = {level.sigma:g}")
    if len(said) == 1:
        return f"{next(iter(said))}."
    return " ".join(f"At {', '.join(sigmas)}: {line}." for line, sigmas in said.items())


def _steps(found: Certified) -> list[Step]:
    if found.run is None or found.alpha is None:
        return []
    report = f"smoothvote report {found.run.id}"
    chosen = f" --alpha {found.alpha:g}" if found.alpha != usual_alpha(found.run) else ""
    chosen_n = f" --n {found.n}" if found.n != asked(found.run) else ""
    behind = found.n_of_all or 0
    steps = [Step("every radius, with intervals", f"{report}{chosen}{chosen_n} --detail")]
    if not found.complete and found.stopped is None and least_copies(found.alpha) <= behind < (found.n or 0):
        steps.append(Step("what every image has", f"{report}{chosen} --n {behind}"))
    other = 0.01 if found.alpha != 0.01 else ALPHA
    return [
        *steps,
        Step("with another α, at once", f"{report} --alpha {other:g}{chosen_n}"),
        Step("every image", f"smoothvote export {found.run.id}"),
        Step("in a browser", "smoothvote serve"),
    ]
