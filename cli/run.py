"""The command that measures in one go: submit, work, watch and report."""

from typing import Any

import click

from cli.dataset import dataset_flags, describe, find_dataset
from cli.flags import axis_of, job_size_of, recipe_flags, recipe_from
from cli.look import show_report
from cli.output import Output, output_flags


@click.command()
@click.argument("images")
@recipe_flags
@dataset_flags
@click.option(
    "--workers",
    type=click.IntRange(0, 256),
    default=1,
    show_default=True,
    help="Worker processes to start here; 0: only workers elsewhere.",
)
@output_flags("report")
def run(images: str, labels: str | None, limit: int | None, job_size: int | None, name: str | None, dry_run: bool,
        priority: int | None, workers: int, output: Output, **flags: Any) -> None:  # fmt: skip
    """Measure IMAGES on this machine, from submitting to the report.

    It submits, works, watches and reports in one command, and needs no server.

    IMAGES is a folder of class folders, a flat folder, a .csv or .jsonl manifest (file_name,label), or a URL of these.
    The same command again resumes. Ctrl-C loses nothing.
    """
    from db.settings import load_settings
    from producer.run import run_here

    settings, recipe = load_settings(), recipe_from(**flags)
    size = job_size_of(recipe, job_size)
    dataset = find_dataset(images, recipe, settings, labels, limit)
    output.check("report", labelled=bool(dataset.labelled))
    if dry_run:
        describe(settings, recipe, dataset, name, size)
        return
    run_id = run_here(
        settings,
        recipe,
        dataset,
        name=name,
        job_size=size,
        workers=workers,
        axis=axis_of(recipe),
        priority=priority,
    )
    show_report(run_id, output)
