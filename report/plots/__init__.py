"""Plots: one a file, each a MEMBER, found by its name. A new plot gets a flag, `--<flag> FILE`, by being here.

matplotlib, and everything else that is slow to import, is imported when a plot is drawn: the command line reads the
flags from here each time it starts.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from db.errors import WrongUse
from db.registry import Family

#: What a file's name may end in.
SUFFIXES = (".png", ".svg", ".pdf")

#: What is drawn: a report.report.Report, a report.comparison.Comparison, a report.sweep.Sweep, a
#: report.certified.Certified, or a report.certified_comparison.CertifiedComparison.
Of = Literal["report", "comparison", "sweep", "certified", "certified-comparison"]


@dataclass(frozen=True, kw_only=True)
class Plot:
    """A picture of something that was found."""

    name: str
    of: Of
    #: The flag, without its dashes, that asks for it.
    flag: str
    #: What it shows, in the words of the flag's help.
    shows: str
    #: Whether it shows accuracies or risks, which take images with labels.
    needs_labels: bool = False
    #: Writes it to a file, whose name ends in one of SUFFIXES. May raise WrongUse.
    draw: Callable[[Any, Path], None]


PLOTS: Family[Plot] = Family("report.plots", "plot")


def plots_of(of: Of) -> list[Plot]:
    """The plots of a kind of finding."""
    return [plot for plot in PLOTS.values() if plot.of == of]


def plot_of(of: Of, flag: str) -> Plot:
    """The plot of a kind of finding that this flag asks for.

    Raises:
        WrongUse: if there is none; the message names the flags there are.
    """
    known = {plot.flag: plot for plot in plots_of(of)}
    if flag not in known:
        kind = "certificates" if of.startswith("certified") else "votes"
        raise WrongUse(f"--{flag}: {kind} have no such plot; they have {', '.join(f'--{name}' for name in known)}")
    return known[flag]


def check_plot_file(file: Path, flag: str = "plot") -> None:
    """Checks before the work, not after it, that a picture can be written there.

    Raises:
        WrongUse: for an ending that is not one of SUFFIXES, or a folder that is not there or cannot be written to.
    """
    if file.suffix.lower() not in SUFFIXES:
        raise WrongUse(f"--{flag} {file}: end the name in {', '.join(SUFFIXES)}")
    folder = file.absolute().parent
    if not folder.is_dir():
        raise WrongUse(f"--{flag} {file}: there is no folder {folder}")
    if file.is_dir() or not os.access(file if file.exists() else folder, os.W_OK):
        raise WrongUse(f"--{flag} {file}: it cannot be written")
