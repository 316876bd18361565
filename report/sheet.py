"""One image's whole story as a picture: at each level what the model saw, what it said, and the vote."""

import math
import os
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from db.classes import class_names
from db.errors import SmoothvoteError, WrongUse, plain
from db.recipe import VIEWS
from db.runs import RunInfo
from db.store import Entry
from db.tables import Prediction
from report.documents.answers import named
from report.pictures import Pictures
from report.story import Story

TITLES = ("no smoothing", "smoothed once", "smoothed twice", "vote")
#: Pixels: around the cells, above all of them, and of the words under a picture.
MARGIN, HEAD, WORDS = 14, 78, 40
#: Bytes of a file's name, of which file systems allow 255, that are left for the image's own.
LONGEST = 240
#: A smaller picture is shown larger, pixel by pixel.
SMALLEST = 224
#: What a sheet's file says it was made by: it may be written over, another's may not.
MADE_BY = "smoothvote"
#: Right, wrong, and neither; told by a mark as well (Okabe & Ito's palette).
RIGHT, WRONG, NEITHER = ("✓", "#007A5E"), ("✗", "#C04000"), ("", "#333333")
DPI = 100


def sheet_name(entry: Entry) -> str:
    """What an image's sheet is called where nobody says: after it, as far as a file's name may be long."""
    stem = plain(PurePosixPath(entry.path).stem)
    return stem.encode(errors="replace")[:LONGEST].decode(errors="ignore") + ".smoothvote.png"


def check_sheet_file(file: Path, root: str, entry: Entry) -> None:
    """Says before the work that a sheet cannot be written there, or must not be.

    Raises:
        WrongUse: for an ending that is not .png, a folder that is not there or where the image lies, or over a file
            that is no sheet.
    """
    if file.suffix.lower() != ".png":
        raise WrongUse(f"--output {file}: end the name in .png")
    folder = file.absolute().parent
    if not folder.is_dir():
        raise WrongUse(f"--output {file}: there is no folder {folder}")
    if file.is_dir() or not os.access(file if file.exists() else folder, os.W_OK):
        raise WrongUse(f"--output {file}: it cannot be written")
    if file.exists() and not _is_sheet(file):
        raise WrongUse(f"--output {file}: there is another file of that name; name one that is not there yet")
    if "://" not in root and os.path.realpath(folder) == os.path.realpath(Path(root, entry.path).parent):
        raise WrongUse(
            f"--output {file}: beside the images of the dataset it would be taken for one of them; name another folder"
        )


def _is_sheet(file: Path) -> bool:
    # The text chunk that savefig's metadata becomes stands before the pixels.
    with file.open("rb") as opened:
        return b"tEXtSoftware\0" + MADE_BY.encode() in opened.read(4096)


def draw_sheet(run: RunInfo, story: Story, pictures: Pictures, file: Path) -> None:
    """Writes the sheet: a row a level; no picture is smoothed.

    Raises:
        SmoothvoteError: if the image has no predictions, or cannot be read any more.
    """
    if story.failure:
        raise SmoothvoteError(plain(f"{story.entry.path}: {story.failure.code}: {story.failure.message}"))
    if not story.levels:
        raise SmoothvoteError(plain(f"{story.entry.path} is pending in run {run.id}: no worker has done it yet"))
    rows = [_enlarged(pictures.views(run, story.entry, found.level)) for found in story.levels]
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    side = rows[0].shape[1]
    width = MARGIN + len(TITLES) * (side + MARGIN)
    height = HEAD + len(rows) * (side + WORDS + MARGIN)
    figure = pyplot.figure(figsize=(width / DPI, height / DPI), dpi=DPI)

    def words(x: float, y: float, text: str, colour: str = NEITHER[1], size: float = 9, weight: str = "normal") -> None:
        figure.text(
            x / width, 1 - y / height, drawable(text), color=colour, size=size, weight=weight, va="top", parse_math=False
        )  # fmt: skip

    names = class_names(run.recipe)
    true = story.entry.label
    what = "label unknown" if true is None else named(true, names)
    words(MARGIN, 12, _cut(f"{story.entry.path}: {what}", width - 2 * MARGIN, 12), size=12, weight="bold")
    words(MARGIN, 33, _cut(f"{run.name} ({run.id}), {run.recipe.model}", width - 2 * MARGIN, 9))
    for column, title in enumerate(TITLES):
        words(MARGIN + column * (side + MARGIN), HEAD - 22, title, weight="bold")
    for row, (found, views) in enumerate(zip(story.levels, rows, strict=True)):
        top = HEAD + row * (side + WORDS + MARGIN)
        for column, view in enumerate(VIEWS):
            left = MARGIN + column * (side + MARGIN)
            axes = figure.add_axes((left / width, 1 - (top + side) / height, side / width, side / height))
            _show(axes, views[column])
            label, share = getattr(found, f"label_{view}"), getattr(found, f"confidence_{view}")
            mark, colour = _judged(label, true)
            words(left, top + side + 4, _cut(f"{mark} {named(label, names)}".strip(), side, 9), colour)
            words(left, top + side + 19, f"confidence {share:.2f}", colour)
        left = MARGIN + len(VIEWS) * (side + MARGIN)
        words(left, top + 4, run.axis.at(found.level), size=11, weight="bold")
        for line, (text, colour) in enumerate(_vote(found, true, names)):
            words(left, top + 34 + 18 * line, _cut(text, side, 10), colour, size=10)
    figure.savefig(file, dpi=DPI, metadata={"Software": MADE_BY})
    pyplot.close(figure)


def _enlarged(views: NDArray[np.uint8]) -> NDArray[np.uint8]:
    times = math.ceil(SMALLEST / views.shape[1])
    return views.repeat(times, axis=1).repeat(times, axis=2)


def _show(axes: object, picture: NDArray[np.uint8]) -> None:
    axes.imshow(picture, interpolation="none", aspect="auto")  # type: ignore[attr-defined]
    axes.set_axis_off()  # type: ignore[attr-defined]


def _judged(label: int, true: int | None) -> tuple[str, str]:
    return NEITHER if true is None else RIGHT if label == true else WRONG


def _vote(found: Prediction, true: int | None, names: dict[int, str]) -> list[tuple[str, str]]:
    """What the vote made of it, line by line, each with its colour."""
    if found.label_maj is None:
        said = [("rejected: no two agree", WRONG[1] if found.label_ns == true else NEITHER[1])]
    else:
        mark, colour = _judged(found.label_maj, true)
        agree = sum(getattr(found, f"label_{view}") == found.label_maj for view in VIEWS)
        said = [(f"{mark} {named(found.label_maj, names)}".strip(), colour), (f"{agree} of 3 agree", NEITHER[1])]  # fmt: skip
    if true is not None and found.label_ns != true and found.label_maj == true:
        said.append(("saved: NS is wrong", RIGHT[1]))
    if true is not None and found.label_ns == true and found.label_maj != true:
        said.append(("lost: NS is right", WRONG[1]))
    return said


def _cut(text: str, pixels: float, size: float) -> str:
    # A letter of this font is about 0.6 of its size wide, in points of 1/72 inch.
    most = int(pixels / (size * 0.6 * DPI / 72))
    text = plain(text)
    return text if len(text) <= most else f"{text[: most // 2 - 1]}…{text[len(text) - most // 2 :]}"


def drawable(text: str) -> str:
    """Text of letters that the font has: a name in another script must not end in a warning."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    letters = get_font(findfont(FontProperties())).get_charmap()
    return "".join(letter if ord(letter) in letters else "□" for letter in text)
