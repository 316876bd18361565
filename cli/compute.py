"""The commands that compute: a worker for the queue, and the vote on single images without one."""

import json
import os
from pathlib import Path
from typing import Any

import click

from cli.flags import axis_of, recipe_flags, recipe_from
from db.errors import FAILED, plain


@click.command()
@click.option(
    "--device",
    metavar="auto|cpu|cuda:N",
    help="Where the model runs; auto takes all GPUs of the machine, or else the CPU.  [default: auto]",
)
@click.option(
    "--engine",
    type=click.Choice(["auto", "eager", "openvino", "compile", "graph"]),
    help="How the model is run; auto takes the best for the device.  [default: auto]",
)
@click.option(
    "--processes",
    type=click.IntRange(1, 256),
    metavar="N",
    help="Processes, each with a model of its own; they take the GPUs in turn.  [default: one for each GPU, or one]",
)
@click.option(
    "--batch-size", type=click.IntRange(min=1), metavar="N", help="Views in a forward pass.  [default: by device]"
)
@click.option("--wait", is_flag=True, help="If the queue or the database is down, wait for it.")
def worker(device: str | None, engine: str | None, processes: int | None, batch_size: int | None, wait: bool) -> None:
    """Do jobs from the queue until told to stop. Start as many workers as you like, on any machine.

    A worker needs the queue at SMOOTHVOTE_BROKER_URL, the database at SMOOTHVOTE_DATABASE_URL, and the images (see
    SMOOTHVOTE_IMAGE_ROOT). To stop it, send SIGTERM or press Ctrl-C: it finishes the jobs that it computes, or hands
    them back after SMOOTHVOTE_GRACE seconds. SIGQUIT or a second Ctrl-C hands them back at once. Nothing is lost.
    """
    from worker.parent import work

    work(device=device, engine=engine, processes=processes, batch_size=batch_size, wait=wait)


@click.command()
@click.argument("images", nargs=-1, required=True)
@recipe_flags
@click.option("--device", default="auto", show_default=True, metavar="auto|cpu|cuda:N", help="Where the model runs.")
@click.option(
    "--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True, help="What to print."
)
def classify(images: tuple[str, ...], device: str, form: str, **flags: Any) -> None:
    """Take the vote on single IMAGES, without queue or database.

    Prints each view's label and confidence at each level, and the vote.
    """
    from worker.parent import require_torch

    require_torch()
    from db.settings import load_settings

    settings = load_settings(device=device)
    recipe = recipe_from(**flags)
    there = [path for path in images if os.path.exists(os.path.expanduser(path))]
    for path in images:
        if path not in there:
            click.echo(plain(f"smoothvote: {path}: no such file"), err=True)
    if not there:
        raise SystemExit(FAILED)  # told before the model is loaded
    from db.classes import class_names
    from report.documents.answers import document
    from report.formats import as_text
    from report.screen import screen
    from worker.walkthrough import walk_through

    names, axis, usable = class_names(recipe), axis_of(recipe), len(there)
    for walked in walk_through(there, recipe, settings):
        if walked.failed:
            usable -= 1
            click.echo(plain(f"smoothvote: {walked.path}: {walked.failed.code}: {walked.failed.message}"), err=True)
            continue
        shown = document(walked.path, walked.levels, recipe, axis, names)
        if form == "json":
            click.echo(json.dumps(shown.data, ensure_ascii=False))
        else:
            click.echo(as_text(shown, screen=screen()))
    if usable < len(images):
        raise SystemExit(FAILED)


@click.command()
@click.argument("image")
@click.option("--run", default="latest", show_default=True, metavar="RUN", help="Of which run.")
@click.option(
    "--output", type=click.Path(path_type=Path), metavar="FILE", help="A .png.  [default: IMAGE's name.smoothvote.png]"
)
def show(image: str, run: str, output: Path | None) -> None:
    """Draw one IMAGE of a run: its views, their labels, the vote.

    The sheet shows what the model saw at each level, and what it said.

    IMAGE is its path in the dataset, or the end of it. The labels are the stored ones; nothing is predicted again.
    """
    from worker.parent import require_torch

    require_torch()
    from db.classes import class_names
    from db.runs import find_run
    from db.session import connect, reading
    from db.settings import load_settings
    from report.story import named_image, story

    settings = load_settings()
    with reading(connect(settings)) as session:
        found_run = find_run(session, run)
        found = story(session, found_run, named_image(session, found_run, image))
    # torch takes seconds to load: what is wrong with the names is told before that.
    from report.documents.answers import document
    from report.formats import as_text
    from report.screen import screen
    from report.sheet import check_sheet_file, draw_sheet, sheet_name
    from worker.files import find_root
    from worker.pictures import Pictures

    file = output or Path(sheet_name(found.entry))
    check_sheet_file(file, find_root(found_run.root, settings), found.entry)
    draw_sheet(found_run, found, Pictures(settings), file)
    names = class_names(found_run.recipe)
    shown = document(found.entry.path, found.levels, found_run.recipe, found_run.axis, names)
    click.echo(as_text(shown, screen=screen()))
    click.echo(plain(f"wrote {file}"), err=True)


VERBS = (worker, classify, show)
