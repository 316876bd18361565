"""The flags of a dataset and of its submission, and what the commands that take them share."""

from typing import TYPE_CHECKING, Any

import click

from cli.recorded import cut_as_recorded

if TYPE_CHECKING:
    from db.recipe import Recipe
    from db.settings import Settings
    from producer.dataset import Dataset
    from producer.job_size import JobSize

#: Priorities that a run may have.
PRIORITIES = click.IntRange(-1000, 1000)

DATASET_FLAGS = (
    click.option("--labels", metavar="FILE", help="A .csv or .jsonl of file_name,label; or `none`.  [default: from the layout]"),
    click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most N images, spread evenly over the dataset."),
    click.option("--job-size", type=click.IntRange(1, 1000), metavar="N", help="Images per job.  [default: about 5 s of work]"),
    click.option("--name", help="What to call the run.  [default: the dataset's and the model's names]"),
    click.option("--priority", type=PRIORITIES, metavar="N", help="Runs with a higher one are served first; below 0 after the usual ones.  [default: 0]"),
    click.option("--dry-run", is_flag=True, help="Print what would be submitted, and submit nothing."),
)  # fmt: skip


def dataset_flags(command: Any) -> Any:
    """Gives a command the flags of a dataset and its submission."""
    for flag in reversed(DATASET_FLAGS):
        command = flag(command)
    return command


def find_dataset(
    images: str, recipe: "Recipe", settings: "Settings", labels: str | None, limit: int | None
) -> "Dataset":
    """Reads the dataset at IMAGES, and says on stderr which of its files and labels will not count.

    Raises:
        WrongUse: as ``read_dataset``.
    """
    from producer.dataset import read_dataset
    from producer.labels import Labels

    dataset = read_dataset(images, labels=Labels(recipe), settings=settings, labels_from=labels, limit=limit)
    if dataset.passed_over:
        click.echo(f"passed over {dataset.passed_over} files that are no images by their name", err=True)
    count = dataset.size
    if dataset.missing:
        click.echo(f"{dataset.missing} of {count} images are not there: {dataset.one_missing} is one", err=True)
    if not dataset.labelled:
        found = "radii and abstentions" if recipe.certifies else "reject rates"
        click.echo(
            f"no image has a label: there will be {found}, and no accuracies; --labels FILE gives them", err=True
        )
    elif dataset.labelled < count:
        click.echo(f"{count - dataset.labelled} of {count} images have no label: accuracy is of the rest", err=True)
    return dataset


def describe(
    settings: "Settings",
    recipe: "Recipe",
    dataset: "Dataset",
    name: str | None,
    job_size: "JobSize",
    *,
    n: int | None = None,
) -> None:
    """Prints what would be submitted, as JSON.

    Args:
        settings: where the record is, which may know how fast such a run is.
        recipe: what to measure with.
        dataset: what to measure on.
        name: what to call the run; None: by dataset and model.
        job_size: images per job.
        n: of a certificate, how many copies of each image estimate the probability of its label.
    """
    import json

    from producer.submit import default_name

    plan = {
        "id": recipe.run_id(dataset.fingerprint),
        "name": name or default_name(recipe, dataset),
        "root": dataset.root,
        "images": dataset.size,
        "available": dataset.found,
        "labelled": dataset.labelled,
        **_work(recipe, dataset.size, cut_as_recorded(settings, recipe, job_size), n),
        "recipe": recipe.model_dump(mode="json"),
    }
    click.echo(json.dumps(plan, indent=2))


def _work(recipe: "Recipe", images: int, cut: dict[str, Any], n: int | None) -> dict[str, int | None]:
    """How many jobs and views a new run has; of a certificate also how many copies of each image."""
    from db.copies import count_jobs
    from producer.submit import copies_of

    levels, copies = len(recipe.levels), copies_of(recipe, n)
    if recipe.selection is None:
        return {"jobs": -(-images // cut["job_size"]), "views": images * levels * 3}
    looks = recipe.stopping.looks if recipe.stopping else ()
    jobs = count_jobs(images, selection=recipe.selection, copies=copies, levels=levels, looks=looks, **cut)
    views = images * levels * copies
    return {"n0": recipe.selection, "n": n, "copies": copies, "jobs": jobs, "views": views}
