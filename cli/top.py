"""The command that shows what goes on at the moment."""

import time

import click


@click.command()
@click.option(
    "--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True, help="What to print."
)
@click.option(
    "--every",
    type=click.FloatRange(min=0.5),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="On a terminal, look so often.",
)
@click.option("--once", is_flag=True, help="Look once, on a terminal, too.")
def top(form: str, every: float, once: bool) -> None:
    """Show what the workers do now.

    That is each worker's device, jobs, images per second and last heartbeat; the jobs that wait; and failures.

    On a terminal it looks again every few seconds, until Ctrl-C; into a pipe or file, and as JSON, it prints once.
    """
    from db.session import connect, reading
    from db.settings import load_settings
    from report.documents.overview import document
    from report.formats import as_text
    from report.overview import read_overview
    from report.screen import screen

    engine = connect(load_settings())

    def look() -> str:
        with reading(engine) as session:
            return as_text(document(read_overview(session)), form, screen=screen())

    if once or form == "json" or not screen().styles:
        click.echo(look())
        return
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text
    from sqlalchemy.exc import SQLAlchemyError

    from db.outage import passes, reason

    shown = look()
    try:
        with Live(Text.from_ansi(shown), console=Console(), screen=True, auto_refresh=False) as live:
            while True:
                live.update(Text.from_ansi(shown), refresh=True)
                time.sleep(every)
                try:
                    shown = look()
                except SQLAlchemyError as error:
                    if not passes(error):
                        raise
                    shown = f"{reason(error)}; trying again"
    except KeyboardInterrupt:
        return
