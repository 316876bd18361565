"""The front door: one command. Each verb lives in the room that does its work, and imports it when it is called."""

import io
import os
import sys
from typing import NoReturn

import click

import db.cli
import producer.cli
import worker.cli
from db.errors import FAILED, INCOMPLETE, WRONG_USE, SmoothvoteError

ROOMS = {
    "Measure": producer.cli.VERBS,
    "Look at what was found": db.cli.VERBS,
    "Compute": worker.cli.VERBS,
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
    raise SystemExit(code if isinstance(code, int) else 0)


def fail(message: str, code: int) -> NoReturn:
    """Ends with one line on stderr."""
    click.echo(f"smoothvote: {message}", err=True)
    raise SystemExit(code)


if __name__ == "__main__":
    main()
