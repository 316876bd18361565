"""One image of a run as a picture: at each level what the model saw, what it said, and the vote."""

import math
import os
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from db.classes import class_names
from db.errors import SmoothvoteError, WrongUse, plain
from db.recipe import VIEWS
from db.runs import RunInfo
from db.store import Entry
from db.tables import Prediction
from report.documents.answers import named
from report.names import method
from report.pictures import Pictures
from report.plots.style import drawable
from report.story import Judgement, Story

TITLES = ("no smoothing", "smoothed once", "smoothed twice", "vote")
#: What an attack's sheet has beside the views.
ADDED = "what the attack added"
#: Pixels: around the cells, above all of them, and of the words under a picture.
MARGIN, HEAD, WORDS = 14, 78, 40
#: Bytes of the image's name that the sheet's name keeps: file systems allow 255 in all.
LONGEST = 240
#: A picture with a shorter side is enlarged, pixel by pixel.
SMALLEST = 224
#: Written into a sheet's file. A file without it is not a sheet, and is not written over.
MADE_BY = "smoothvote"
#: Mark and colour for right, wrong, and neither (Okabe & Ito's palette).
RIGHT, WRONG, NEITHER = ("✓", "#007A5E"), ("✗", "#C04000"), ("", "#333333")
DPI = 100


def sheet_name(entry: Entry) -> str:
    """The default name of an image's sheet: the image's own, cut to what file systems allow."""
    stem = plain(PurePosixPath(entry.path).stem)
    return stem.encode(errors="replace")[:LONGEST].decode(errors="ignore") + ".smoothvote.png"


def check_sheet_file(file: Path, root: str, entry: Entry) -> None:
    """Checks before the work that a sheet can be written there, and may be.

    Raises:
        WrongUse: if the name does not end in .png, the folder is not there or holds the image, or the file is there and
            is not a sheet.
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


class _Paper:
    """A figure whose places are given in pixels from its upper left corner."""

    def __init__(self, width: int, height: int) -> None:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot

        self.width, self.height = width, height
        self._pyplot = pyplot
        self._figure = pyplot.figure(figsize=(width / DPI, height / DPI), dpi=DPI)

    def words(self, x: int, y: int, text: str, colour: str = NEITHER[1], size: int = 9, weight: str = "normal") -> None:
        """A line of text."""
        look: dict[str, Any] = {"color": colour, "size": size, "weight": weight, "va": "top", "parse_math": False}
        self._figure.text(x / self.width, 1 - y / self.height, drawable(text), **look)

    def picture(self, x: int, y: int, pixels: NDArray[np.uint8]) -> None:
        """A picture, pixel by pixel."""
        high, wide = pixels.shape[:2]
        place = (x / self.width, 1 - (y + high) / self.height, wide / self.width, high / self.height)
        axes = self._figure.add_axes(place)
        axes.imshow(pixels, interpolation="none", aspect="auto")
        axes.set_axis_off()

    def save(self, file: Path) -> None:
        """Writes the figure to a .png."""
        self._figure.savefig(file, dpi=DPI, metadata={"Software": MADE_BY})
        self._pyplot.close(self._figure)


def draw_sheet(run: RunInfo, story: Story, pictures: Pictures, file: Path) -> None:
    """Writes the sheet: a row a level. Pictures are drawn pixel by pixel, without interpolation.

    Under attack, and if the run has the level 0, the sheet also shows what was added to the image, amplified.

    Raises:
        SmoothvoteError: if the image has no predictions, or cannot be read any more.
    """
    if story.failure:
        raise SmoothvoteError(plain(f"{story.entry.path}: {story.failure.code}: {story.failure.message}"))
    if not story.levels:
        raise SmoothvoteError(plain(f"{story.entry.path} is pending in run {run.id}: no worker has done it yet"))
    rows = [_enlarged(pictures.views(run, story.entry, found.level)) for found in story.levels]
    side = rows[0].shape[1]
    clean = rows[0][0] if run.axis.kind == "attack" and story.levels[0].level == 0 else None
    titles = TITLES if clean is None else (*TITLES[:-1], ADDED, TITLES[-1])
    paper = _Paper(MARGIN + len(titles) * (side + MARGIN), HEAD + len(rows) * (side + WORDS + MARGIN))
    names, true = class_names(run.recipe), story.entry.label
    what = "label unknown" if true is None else named(true, names)
    wide = paper.width - 2 * MARGIN
    paper.words(MARGIN, 12, _cut(f"{story.entry.path}: {what}", wide, 12), size=12, weight="bold")
    paper.words(MARGIN, 33, _cut(f"{run.name} ({run.id}), {method(run.recipe)}", wide, 9))
    for column, title in enumerate(titles):
        paper.words(MARGIN + column * (side + MARGIN), HEAD - 22, title, weight="bold")
    for row, (found, judgement, views) in enumerate(zip(story.levels, story.judgements, rows, strict=True)):
        top = HEAD + row * (side + WORDS + MARGIN)
        for column, view in enumerate(VIEWS):
            left = MARGIN + column * (side + MARGIN)
            paper.picture(left, top, views[column])
            label, share = getattr(found, f"label_{view}"), getattr(found, f"confidence_{view}")
            mark, colour = _marked(label, true)
            paper.words(left, top + side + 4, _cut(f"{mark} {named(label, names)}".strip(), side, 9), colour)
            paper.words(left, top + side + 19, f"confidence {share:.2f}", colour)
        left = MARGIN + len(VIEWS) * (side + MARGIN)
        if clean is not None:
            shown, times = amplified(views[0], clean)
            paper.picture(left, top, shown)
            paper.words(left, top + side + 4, f"amplified {times}×, grey is none" if times else "nothing")
            left += side + MARGIN
        paper.words(left, top + 4, run.axis.at(found.level), size=11, weight="bold")
        for line, (text, colour) in enumerate(_vote(found, judgement, names)):
            paper.words(left, top + 34 + 18 * line, _cut(text, side, 10), colour, size=10)
    paper.save(file)


def amplified(view: NDArray[np.uint8], clean: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], int]:
    """How a view differs from that of the image as it is, around grey: as large as bytes can hold.

    Returns:
        The picture, of the views' shape, and how many times the difference is enlarged; 0 if there is none.
    """
    added = view.astype(np.int16) - clean
    largest = int(np.abs(added).max())
    # A difference of more than 127 is not enlarged, and its ends are cut off.
    times = max(1, 127 // largest) if largest else 0
    return np.clip(128 + times * added, 0, 255).astype(np.uint8), times


def _enlarged(views: NDArray[np.uint8]) -> NDArray[np.uint8]:
    times = math.ceil(SMALLEST / views.shape[1])
    return views.repeat(times, axis=1).repeat(times, axis=2)


def _marked(label: int, true: int | None) -> tuple[str, str]:
    return NEITHER if true is None else RIGHT if label == true else WRONG


def _vote(found: Prediction, judgement: Judgement, names: dict[int, str]) -> list[tuple[str, str]]:
    """What the vote said and what became of the image, line by line, each with its colour."""
    if found.label_maj is None:
        said = [("rejected: no two agree", WRONG[1] if judgement.lost else NEITHER[1])]
    else:
        mark, colour = {"right": RIGHT, "wrong": WRONG}.get(judgement.outcome, NEITHER)
        agree = sum(getattr(found, f"label_{view}") == found.label_maj for view in VIEWS)
        said = [(f"{mark} {named(found.label_maj, names)}".strip(), colour), (f"{agree} of 3 agree", NEITHER[1])]
    if judgement.saved:
        said.append(("saved: NS is wrong", RIGHT[1]))
    if judgement.lost:
        said.append(("lost: NS is right", WRONG[1]))
    return said


def _cut(text: str, pixels: float, size: float) -> str:
    # A letter of this font is about 0.6 of its size wide, in points of 1/72 inch.
    most = int(pixels / (size * 0.6 * DPI / 72))
    text = plain(text)
    return text if len(text) <= most else f"{text[: most // 2 - 1]}…{text[len(text) - most // 2 :]}"
