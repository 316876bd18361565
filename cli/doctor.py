"""The command that checks a machine and its settings."""

import click


@click.command()
@click.option("--quick", is_flag=True, help="Leave out the photograph.")
@click.option(
    "--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True, help="What to print."
)
def doctor(quick: bool, form: str) -> None:
    """Check this machine and its settings. Ends with 1 if something is wrong, and says what to do.

    Checks the settings, database, migrations, disk, image root, queue, weights and device. Last, one photograph goes
    from `run` to its report in a temporary folder; nothing of it is kept.
    """
    import json

    import db.doctor
    import producer.doctor
    import worker.doctor
    from db.checkup import examine, format_line, usable_settings
    from db.errors import FAILED

    settings = usable_settings()[0]
    checks = [*db.doctor.CHECKS, *producer.doctor.CHECKS, *worker.doctor.CHECKS]
    checks += [] if quick else producer.doctor.SLOW
    findings = {}
    for check in checks:
        findings[check.name] = found = examine(check, settings)
        if form == "table":
            click.echo(format_line(check.name, found))  # at once, because the next check may be slow
    if form == "json":
        click.echo(json.dumps([{"check": name, **found._asdict()} for name, found in findings.items()], indent=2))
    raise SystemExit(FAILED if any(found.state == "wrong" for found in findings.values()) else 0)
