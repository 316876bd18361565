"""How a command shows what it found: flags of every command that prints a document and draws plots."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from db.errors import WrongUse
from report.formats import FORMATS, as_text
from report.plots import Of, Plot, check_plot_file, plot_of, plots_of
from report.screen import screen
from report.stats import INTERVALS, Interval

if TYPE_CHECKING:
    from report.document import Document

Command = Callable[..., Any]
Flag = Callable[[Command], Command]

FORMAT = click.Choice(list(FORMATS))


@dataclass(frozen=True, kw_only=True)
class Output:
    """How a person wants to see what a command found."""

    #: A name of report.formats.FORMATS.
    form: str = "table"
    interval: Interval = "wilson"
    #: Whether a table is followed by all the others.
    detail: bool = False
    #: Where to draw plots, by their flags without dashes.
    plots: Mapping[str, Path] = field(default_factory=dict)

    def show(self, document: "Document") -> None:
        """Prints a document."""
        click.echo(as_text(document, self.form, screen=screen(), detail=self.detail))

    def check(self, of: Of, *, labelled: bool) -> None:
        """Checks before the work that what is about to be found has the plots that were asked for.

        Args:
            of: what is about to be found.
            labelled: whether any image has a label.

        Raises:
            WrongUse: naming the flag of a plot that it does not have, or that takes labels.
        """
        for flag in self.plots:
            if plot_of(of, flag).needs_labels and not labelled:
                raise WrongUse(
                    f"--{flag}: no image has a label, so there is no accuracy to draw; leave it out, or submit the "
                    "images with --labels FILE"
                )

    def draw(self, of: Of, found: Any) -> None:
        """Draws the plots of what was found."""
        for flag, file in self.plots.items():
            plot_of(of, flag).draw(found, file)
            click.echo(f"wrote {file}", err=True)


def output_flags(*kinds: Of) -> Flag:
    """Gives a command the flags of its output, and hands it their values as ``output``, an Output.

    Whether plots can be written is checked before the command begins.

    Args:
        kinds: what the command finds; where that depends on the run, all that it may find.
    """
    plots: dict[str, list[Plot]] = {}
    for of in kinds:
        for plot in plots_of(of):
            plots.setdefault(plot.flag, []).append(plot)
    flags: list[Flag] = [
        click.option("--format", "form", type=FORMAT, default="table", show_default=True, help="What to print."),
        click.option("--interval", type=click.Choice(INTERVALS), default="wilson", show_default=True, help="Of rates: the usual one, or the exact one, which is longer."),
        click.option("--detail", is_flag=True, help="Print all tables, not the summary alone."),
        *(_plot_flag(flag, alike) for flag, alike in plots.items()),
    ]  # fmt: skip

    def with_flags(command: Command) -> Command:
        @wraps(command)
        def called(*args: Any, form: str, interval: Interval, detail: bool, **others: Any) -> Any:
            files = {flag: others.pop(_parameter(flag)) for flag in plots}
            drawn = {flag: file for flag, file in files.items() if file}
            for flag, file in drawn.items():
                check_plot_file(file, flag)
            return command(*args, output=Output(form=form, interval=interval, detail=detail, plots=drawn), **others)

        flagged: Command = called
        for flag in reversed(flags):
            flagged = flag(flagged)
        return flagged

    return with_flags


def _plot_flag(flag: str, plots: Sequence[Plot]) -> Flag:
    about = f"Also draw {', or '.join(plot.shows for plot in plots)}: .png, .svg or .pdf."
    return click.option(f"--{flag}", _parameter(flag), type=click.Path(path_type=Path), metavar="FILE", help=about)


def _parameter(flag: str) -> str:
    return f"{flag.replace('-', '_')}_file"
