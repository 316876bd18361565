"""How a command shows what it found: flags of every command that prints a document and draws plots."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from report.formats import FORMATS, as_text
from report.plots import PLOTS, Of, Plot, check_plot_file, plots_of
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
    #: Where to draw plots, by their names in report.plots.PLOTS.
    plots: Mapping[str, Path] = field(default_factory=dict)

    def show(self, document: "Document") -> None:
        """Prints a document."""
        click.echo(as_text(document, self.form, screen=screen(), detail=self.detail))

    def draw(self, found: Any) -> None:
        """Draws the plots of what was found."""
        for name, file in self.plots.items():
            PLOTS[name].draw(found, file)
            click.echo(f"wrote {file}", err=True)


def output_flags(of: Of) -> Flag:
    """Gives a command the flags of its output, and hands it their values as ``output``, an Output.

    Whether plots can be written is checked before the command begins.

    Args:
        of: what the command finds.
    """
    plots = plots_of(of)
    flags: list[Flag] = [
        click.option("--format", "form", type=FORMAT, default="table", show_default=True, help="What to print."),
        click.option("--interval", type=click.Choice(INTERVALS), default="wilson", show_default=True, help="Of rates: the usual one, or the exact one, which is longer."),
        click.option("--detail", is_flag=True, help="Print all tables, not the summary alone."),
        *(_plot_flag(plot) for plot in plots),
    ]  # fmt: skip

    def with_flags(command: Command) -> Command:
        @wraps(command)
        def called(*args: Any, form: str, interval: Interval, detail: bool, **others: Any) -> Any:
            files = {plot: others.pop(plot.name) for plot in plots}
            for plot, file in files.items():
                if file:
                    check_plot_file(file, plot.flag)
            drawn = {plot.name: file for plot, file in files.items() if file}
            return command(*args, output=Output(form=form, interval=interval, detail=detail, plots=drawn), **others)

        flagged: Command = called
        for flag in reversed(flags):
            flagged = flag(flagged)
        return flagged

    return with_flags


def _plot_flag(plot: Plot) -> Flag:
    about = f"Also draw {plot.shows}: .png, .svg or .pdf."
    return click.option(f"--{plot.flag}", plot.name, type=click.Path(path_type=Path), metavar="FILE", help=about)
