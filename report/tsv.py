"""Certificates from the result files of the reference implementation, to be reported beside a run's.

A file of one σ has a line an image, columns divided by tabs: idx label predict radius correct time; a predict of -1 is
an abstention. Written by code/certify.py of locuslab/smoothing and of microsoft/denoised-smoothing. The files do not
say n0, n or α.
"""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from db.errors import WrongUse
from report.certificate import check_alpha, check_copies
from report.certified import Certified
from report.certified_level import Answer, level_of
from report.stats import Interval

COLUMNS = ("idx", "label", "predict", "radius", "correct")
ABSTAINED = -1


class Line(NamedTuple):
    """One image: the number of it in the data set, its true class, and its label and radius; None is an abstention."""

    image: int
    label: int
    predicted: int | None
    radius: float | None


def named_file(text: str) -> tuple[float, Path]:
    """The σ and the file that a person gives as ``0.25=FILE``.

    Raises:
        WrongUse: if it is not of this form, or σ is not above 0.
    """
    number, _, file = text.partition("=")
    try:
        sigma = float(number)
    except ValueError:
        sigma = math.nan
    if not file or not 0 < sigma < math.inf:
        raise WrongUse(f"--from-tsv {text}: give a σ above 0 and its file, such as 0.25=results.tsv")
    return sigma, Path(file)


def read_tsv(
    files: Mapping[float, Path],
    *,
    name: str = "result files",
    alpha: float | None = None,
    n0: int | None = None,
    n: int | None = None,
    interval: Interval = "wilson",
) -> Certified:
    """The certificates in result files. An image that is in one file and not in another is pending there.

    Args:
        files: by their σ.
        name: what reports call them.
        alpha: the probability with which each certificate may be wrong, if it is known.
        n0: how many copies selected the label, if it is known.
        n: how many copies estimated its probability, if it is known.
        interval: the method for the intervals of rates.

    Raises:
        WrongUse: if there is no file, one cannot be read, a line is no certificate, or no file can be of this α and n.
    """
    if alpha is not None:
        check_alpha(alpha)
        if n is not None:
            check_copies(n, alpha)
    if not files:
        raise WrongUse("name at least one result file, such as 0.25=results.tsv")
    found = {sigma: list(_lines(file)) for sigma, file in sorted(files.items())}
    images = {line.image for lines in found.values() for line in lines}
    return Certified(
        run=None,
        name=name,
        alpha=alpha,
        n0=n0,
        n=n,
        interval=interval,
        levels=[
            level_of(sigma, list(map(_answer, lines)), interval, expected=len(images)) for sigma, lines in found.items()
        ],
    )


def _answer(line: Line) -> Answer:
    right = None if line.predicted is None else line.predicted == line.label
    return Answer(
        right=right, labelled=True, radius=line.radius, predict_right=None, predict_abstains=None, images=1
    )  # fmt: skip


def _lines(file: Path) -> Iterator[Line]:
    """The lines of a file, each checked."""
    try:
        head, *rows = file.read_text().splitlines()
    except OSError as error:
        raise WrongUse(f"{file}: cannot be read: {(error.strerror or str(error)).lower()}") from None
    except UnicodeDecodeError:
        raise WrongUse(f"{file}: is no text; give a result file of certify.py") from None
    except ValueError:
        raise WrongUse(f"{file}: is empty; give a result file of certify.py") from None
    names = head.split("\t")
    if missing := [name for name in COLUMNS if name not in names]:
        raise WrongUse(f"{file}: has no column {missing[0]}; a result file of certify.py has {', '.join(COLUMNS)}")
    seen: set[int] = set()
    for number, row in enumerate(rows, 2):
        cells = row.split("\t")
        if len(cells) != len(names):
            raise WrongUse(
                f"{file}, line {number}: {len(cells)} of {len(names)} columns; if the program was stopped there, "
                "remove the line"
            )
        line = _line(dict(zip(names, cells, strict=True)), f"{file}, line {number}")
        if line.image in seen:
            raise WrongUse(f"{file}, line {number}: image {line.image} is there twice; remove one of them")
        seen.add(line.image)
        yield line


def _line(cells: Mapping[str, str], where: str) -> Line:
    try:
        image, label, predicted, correct = (int(cells[name]) for name in ("idx", "label", "predict", "correct"))
        radius = float(cells["radius"])
    except ValueError as error:
        raise WrongUse(f"{where}: {error}; give a result file of certify.py") from None
    if not 0 <= radius < math.inf:
        raise WrongUse(f"{where}: the radius {radius:g} is not a length")
    if correct != (predicted == label):
        raise WrongUse(f"{where}: correct is {correct}, but label is {label} and predict {predicted}")
    abstained = predicted == ABSTAINED
    return Line(image, label, None if abstained else predicted, None if abstained else radius)
