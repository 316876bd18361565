"""The command that checks a machine and its settings."""

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from db.checkup import Finding

COLOURS = {"ok": "green", "warn": "yellow", "wrong": "red", "skipped": "bright_black"}
#: Columns of a line before the finding's detail: its state, and the name of the check.
STATE, NAME = 8, 15


@click.command()
@click.option("--quick", is_flag=True, help="Leave out the photograph.")
@click.option(
    "--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True, help="What to print."
)
def doctor(quick: bool, form: str) -> None:
    """Check this machine and its settings.

    Ends with 1 if something is wrong, and says what to do. Checks the settings, database, migrations, disk, image root,
    queue, weights and device, and names the perturbations and smoothers. Last, one photograph goes from `run` to its
    report in a temporary folder; nothing of it is kept.
    """
    import json

    import db.doctor
    import producer.doctor
    import worker.doctor
    from db.checkup import examine, usable_settings
    from db.errors import FAILED

    settings = usable_settings()[0]
    checks = [*db.doctor.CHECKS, *producer.doctor.CHECKS, *worker.doctor.CHECKS]
    checks += [] if quick else producer.doctor.SLOW
    findings = {}
    for check in checks:
        findings[check.name] = found = examine(check, settings)
        if form == "table":
            click.echo(shown(check.name, found))  # at once, because the next check may be slow
    if form == "json":
        click.echo(json.dumps([{"check": name, **found._asdict()} for name, found in findings.items()], indent=2))
    raise SystemExit(FAILED if any(found.state == "wrong" for found in findings.values()) else 0)


def shown(name: str, found: "Finding") -> str:
    """A finding, its state in colour; on a terminal the detail is folded below itself, in a pipe it is one line."""
    from report.screen import screen
    from report.text import fold

    width = screen().width
    first, *others = fold(found.detail, width - STATE - NAME) if width else [found.detail]
    # click drops the colour if there is no terminal.
    state = click.style(f"{found.state:<{STATE}}", fg=COLOURS[found.state])
    return "\n".join([f"{state}{name:<{NAME}}{first}", *(" " * (STATE + NAME) + line for line in others)])
