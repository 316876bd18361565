"""The front door: the command `smoothvote`, and `import smoothvote` for notebooks."""

import io
import os
import sys
from typing import NoReturn

import click

import cli.compute
import cli.control
import cli.keep
import cli.look
from cli.certify import certify
from cli.demo import demo, reproduce
from cli.denoiser import train_denoiser
from cli.doctor import doctor
from cli.list import list_members
from cli.queue import dispatch, submit, watch
from cli.run import run
from cli.serve import serve
from cli.sweep import sweep
from cli.top import top
from cli.verify import verify
from db.errors import FAILED, INCOMPLETE, WRONG_USE, SmoothvoteError
from db.garbage import collect_seldom
from report.api import certificates, certified, report, rows, runs

#: The Python API: docs/reference/python.md.
__all__ = ["certificates", "certified", "main", "report", "rows", "runs"]


SECTIONS = {
    "Measure": (demo, run, sweep, certify, submit, watch, dispatch, reproduce),
    "Look at results": (*cli.look.VERBS, top, serve),
    "Compute": (*cli.compute.VERBS, verify, train_denoiser),
    "Manage runs and the database": (*cli.control.VERBS, *cli.keep.VERBS),
    "Get help": (list_members, doctor),
}


class FrontDoor(click.Group):
    """A group whose help lists the commands by purpose."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Called by click for the list of commands."""
        for title, verbs in SECTIONS.items():
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


for _verbs in SECTIONS.values():
    for _verb in _verbs:
        front_door.add_command(_verb)


def main() -> NoReturn:
    """Runs the command line. An expected failure ends with one line and an exit code; only a bug shows a traceback."""
    collect_seldom()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot show σ shows a question mark
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
        # The reader has closed the pipe (`| head`). Python would report it once more when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(FAILED) from None
    except Exception as error:
        if not (line := outage(error)):
            raise
        fail(line, FAILED)
    raise SystemExit(code if isinstance(code, int) else 0)


def outage(error: Exception) -> str | None:
    """The message for a database that became unusable during a command; None for any other error."""
    from db.outage import passes, reason

    return f"{reason(error)}; try again when it is back" if passes(error) else None


def fail(message: str, code: int) -> NoReturn:
    """Ends the process with one line on stderr."""
    click.echo(f"smoothvote: {message}", err=True)
    raise SystemExit(code)


if __name__ == "__main__":
    main()
