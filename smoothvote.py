"""The front door: one command. Each verb lives in the room that does its work, and imports it when it is called."""

import io
import os
import sys
from typing import TYPE_CHECKING, NoReturn

import click

import db.cli
import producer.cli
import worker.cli
from db.api import report, rows, runs
from db.errors import FAILED, INCOMPLETE, WRONG_USE, SmoothvoteError

if TYPE_CHECKING:
    from db.web.pictures import Pictures

#: What a notebook needs: docs/python.md.
__all__ = ["main", "report", "rows", "runs"]


@click.command()
@click.option("--quick", is_flag=True, help="Leave out the one image that goes the whole way.")
@click.option(
    "--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True, help="What to print."
)
def doctor(quick: bool, form: str) -> None:
    """Check this machine and its set-up. Ends with 1 if something is wrong, and says what to do.

    Settings, database, migrations, disk, image root, queue, weights and device; then one photograph takes the whole
    way from `run` to its report, in a temporary folder: nothing of it is kept.
    """
    import json

    import db.doctor
    import producer.doctor
    import worker.doctor
    from db.checkup import examine, format_line, usable_settings

    settings = usable_settings()[0]
    checks = [*db.doctor.CHECKS, *producer.doctor.CHECKS, *worker.doctor.CHECKS]
    checks += [] if quick else producer.doctor.SLOW
    findings = {}
    for check in checks:
        findings[check.name] = found = examine(check, settings)
        if form == "table":
            click.echo(format_line(check.name, found))  # at once: the next may take its time
    if form == "json":
        click.echo(json.dumps([{"check": name, **found._asdict()} for name, found in findings.items()], indent=2))
    raise SystemExit(FAILED if any(found.state == "wrong" for found in findings.values()) else 0)


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at: another needs a token.")
@click.option("--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="0: any that is free.")
@click.option(
    "--token",
    envvar="SMOOTHVOTE_TOKEN",
    show_envvar=True,
    help="Who has it may read. Rather set the variable: others on this machine see what was typed.",
)
def serve(host: str, port: int, token: str | None) -> None:
    """Look at the record in a browser: reports, curves, images and their views, live progress. Read-only.

    Only this machine can open the pages, unless --host says otherwise; then there must be a token. Pictures are made
    where the images can be read and torch is installed; everything else needs neither.
    """
    from importlib.util import find_spec

    from db.errors import WrongUse
    from db.settings import load_settings

    if missing := [name for name in ("fastapi", "jinja2", "uvicorn") if find_spec(name) is None]:
        raise WrongUse(f"serve needs {', '.join(missing)}: pip install 'smoothvote[web]'")
    from db.web.server import serve as serve_pages

    settings = load_settings()

    def draw() -> "Pictures":
        import worker.pictures

        return worker.pictures.Pictures(settings)

    serve_pages(settings, draw if find_spec("torch") else None, host=host, port=port, token=token)


ROOMS = {
    "Measure": producer.cli.VERBS,
    "Look at what was found": (*db.cli.VERBS, serve),
    "Compute": worker.cli.VERBS,
    "When in doubt": (doctor,),
}


class FrontDoor(click.Group):
    """A group whose help lists the verbs by the room they belong to."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """As click asks of a group."""
        for title, verbs in ROOMS.items():
            with formatter.section(title):
                formatter.write_dl([(verb.name or "", verb.get_short_help_str(90)) for verb in verbs])


@click.group(
    cls=FrontDoor,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Begin with: smoothvote demo",
)
@click.version_option(package_name="smoothvote")
def front_door() -> None:
    """How does an image classifier hold up under noise, and what does a smoothed majority vote give back?"""


for _verbs in ROOMS.values():
    for _verb in _verbs:
        front_door.add_command(_verb)


def main() -> NoReturn:
    """Runs the command line. A person's mistake is one line with the remedy; only a bug shows a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without σ gets a question mark, and no traceback
    try:
        code = front_door.main(prog_name="smoothvote", standalone_mode=False)
    except SmoothvoteError as error:
        fail(str(error), error.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        raise SystemExit(WRONG_USE) from None
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "smoothvote"
        message = error.format_message().strip().replace("\n", " ").rstrip(".")
        fail(f"{message} (see `{command} --help`)", WRONG_USE)
    except click.ClickException as error:
        fail(error.format_message(), WRONG_USE)
    except (click.Abort, KeyboardInterrupt):
        fail("interrupted", INCOMPLETE)
    except BrokenPipeError:
        # The reader has seen enough (`| head`). Python would complain once more when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(FAILED) from None
    except Exception as error:
        if not (line := outage(error)):
            raise
        fail(line, FAILED)
    raise SystemExit(code if isinstance(code, int) else 0)


def outage(error: Exception) -> str | None:
    """What to say of a database that went away half way through a command; None if it is anything else."""
    from db.outage import passes, reason

    return f"{reason(error)}; try again when it is back" if passes(error) else None


def fail(message: str, code: int) -> NoReturn:
    """Ends with one line on stderr."""
    click.echo(f"smoothvote: {message}", err=True)
    raise SystemExit(code)


if __name__ == "__main__":
    main()
