"""The flags that choose what stored counts of a certified run are to say: any α, and each n at which a part ends."""

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from report.certificate import ALPHA

if TYPE_CHECKING:
    from db.runs import RunInfo

Command = Callable[..., Any]


class Choice(NamedTuple):
    """α and n as a person gave them; None is "not given"."""

    alpha: float | None = None
    n: int | None = None

    def of(self, *runs: "RunInfo") -> dict[str, Any]:
        """The arguments ``alpha`` and ``n`` of a function that reads certificates.

        Raises:
            WrongUse: if one was given and a run has votes, which know neither.
        """
        from report.kind import require_certificates

        if self != NO_CHOICE:
            for run in runs:
                require_certificates(run, "leave out --alpha and --n")
        return {"alpha": self.alpha, "n": self.n}


NO_CHOICE = Choice()


def choice_flags(command: Command) -> Command:
    """Gives a command --alpha and --n, and hands it their values as ``choice``, a Choice."""

    @click.option(
        "--alpha",
        type=float,
        metavar="A",
        help=f"Of certificates: the probability with which each may be wrong.  [default: the run's own if its images stop early, else {ALPHA}]",
    )
    @click.option(
        "--n",
        type=click.IntRange(min=1),
        metavar="N",
        help="Of certificates: use the first N copies that estimate.  [default: all]",
    )
    @wraps(command)
    def called(*args: Any, alpha: float | None, n: int | None, **others: Any) -> Any:
        return command(*args, choice=Choice(alpha, n), **others)

    return called
