"""The command that certifies: counts of noisy copies, and the label and radius that follow from them."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from cli.choice import Choice
from cli.dataset import dataset_flags, describe, find_dataset
from cli.flags import Numbers, axis_of, find_perturbation, job_size_of, recipe_flags, recipe_from
from cli.look import show_report
from cli.output import Output, output_flags
from cli.queue import reach, record_and_send
from cli.recorded import has_answers
from db.copies import MOST, SELECTION
from db.errors import WrongUse
from db.recipe import DEFAULT_PERTURBATION, UNSMOOTHED, Recipe
from report.certificate import ALPHA

#: Copies that estimate the probability of a label, if nobody says how many.
N = 1000
#: Options of a recipe that a certificate does not have: its perturbation is Gaussian noise, its levels are --sigma.
LEFT_OUT = ("perturbation", "levels", "preset", "option", "attacker", "target", "steps", "restarts", "step_size", "budget", "attack_model")  # fmt: skip
#: What `run` says otherwise of these options.
OTHERWISE = {
    "smoother": click.Option(["--smoother"], metavar="NAME[:FILE]", help=f"What each copy passes before the model; `smoothvote list` names all.  [default: {UNSMOOTHED}]"),
    "job_size": click.Option(["--job-size"], type=click.IntRange(1, 1000), metavar="N", help="Images per job.  [default: about 5 s of work]"),
}  # fmt: skip


@click.command()
@click.argument("images", required=False)
@click.option(
    "--sigma",
    type=Numbers(),
    default="0.25",
    show_default=True,
    metavar="S,S,…",
    help="Noise levels, above 0: standard deviations of the model's input in [0, 1].",
)
@click.option(
    "--n0",
    type=click.IntRange(1, MOST),
    default=SELECTION,
    show_default=True,
    metavar="N",
    help="Copies that select the label.",
)
@click.option(
    "--n",
    type=click.IntRange(1, MOST),
    metavar="N",
    help=f"Copies that estimate its probability; more later adds to those that are there.  [default: {N}]",
)
@click.option(
    "--alpha",
    type=float,
    metavar="A",
    help=f"The probability with which each certificate may be wrong.  [default: {ALPHA}]",
)
@click.option(
    "--stop-at-radius",
    "stop_radius",
    type=float,
    metavar="R",
    help="Draw no more copies of an image once it is known whether it is certified at this radius.",
)
@click.option("--denoiser", metavar="FILE", help="Denoise each copy first: the same as --smoother denoiser:FILE.")
@recipe_flags
@dataset_flags
@click.option("--workers", type=click.IntRange(0, 256), default=1, show_default=True, help="As for `run`.")
@click.option("--submit", "only_submit", is_flag=True, help="Submit to workers elsewhere, and print the run's id.")
@click.option(
    "--from-tsv",
    multiple=True,
    metavar="SIGMA=FILE",
    help="Report result files of the reference implementation instead of IMAGES.",
)
@click.option(
    "--beside", multiple=True, metavar="RUN", help="With --from-tsv: a certified run to report beside the files."
)
@output_flags("certified")
def certify(images: str | None, from_tsv: tuple[str, ...], beside: tuple[str, ...], output: Output,
            n: int | None, alpha: float | None, **flags: Any) -> None:  # fmt: skip
    """Certify IMAGES: a label and a radius for each, or neither.

    The label is the model's most frequent one under noise, and no change of L2 length below the radius alters it. This
    is randomized smoothing (Cohen et al., 2019). The model labels --n0 + --n noisy copies of each image, and the record
    keeps the counts: without computing an image again, `report` answers for any α, and any n at which a part of the
    copies ends: each 100 up to 1,000, each 1,000 beyond, and each n that was asked for.
    """
    if from_tsv:
        if images is not None:
            raise WrongUse("give IMAGES to certify, or --from-tsv to report result files, not both")
        chosen = given_of(flags)
        n0 = flags["n0"] if chosen.pop("n0", None) else None
        for flag in chosen.values():
            raise WrongUse(f"{flag} goes with IMAGES to certify, not with --from-tsv: leave it out")
        show_files(from_tsv, beside, output, Choice(alpha, n), n0=n0)
        return
    if beside:
        raise WrongUse("--beside goes with --from-tsv; to set two runs side by side use `smoothvote compare RUN RUN`")
    if images is None:
        raise WrongUse("name the IMAGES to certify; or with --from-tsv SIGMA=FILE, result files to report")
    certify_images(images, output, N if n is None else n, ALPHA if alpha is None else alpha, **flags)


certify.params = [
    OTHERWISE.get(param.name or "", param) for param in certify.params if param.name not in LEFT_OUT
]  # fmt: skip


def given_of(parameters: Collection[str]) -> dict[str, str]:
    """Those of the command's parameters that a person gave, and the flag of each."""
    context = click.get_current_context()
    return {
        param.name: param.opts[-1]
        for param in context.command.params
        if param.name in parameters and context.get_parameter_source(param.name) is ParameterSource.COMMANDLINE
    }


def certify_images(images: str, output: Output, n: int, alpha: float, *, labels: str | None, limit: int | None,
                   job_size: int | None, name: str | None, dry_run: bool, priority: int | None, workers: int, only_submit: bool,
                   stop_radius: float | None, **flags: Any) -> None:  # fmt: skip
    """Records the run, and, unless it is only submitted, waits for it and prints its report.

    Raises:
        WrongUse: before anything is recorded, for flags of which no certificate can come, or an n that a run with more
            copies cannot answer.
    """
    from db.settings import load_settings
    from producer.run import run_here
    from report.certificate import check_copies

    check_copies(n, alpha)
    if stop_radius is not None:
        flags |= {"stop_radius": stop_radius, "stop_alpha": alpha, "stop_n": n}
    settings, recipe = load_settings(), certificate_from(**flags)
    check_reach(recipe)
    size = job_size_of(recipe, job_size)
    queue = reach(settings) if only_submit and not dry_run else None
    dataset = find_dataset(images, recipe, settings, labels, limit)
    output.check("certified", labelled=bool(dataset.labelled))
    if dry_run:
        describe(settings, recipe, dataset, name, size, n=n)
        return
    run_id = recipe.run_id(dataset.fingerprint)
    answered = has_answers(settings, run_id, n)
    if only_submit and answered:
        click.echo(f"run {run_id} has every answer at n = {n}: smoothvote report {run_id} --n {n}", err=True)
        click.echo(run_id)
    elif queue:
        record_and_send(queue, settings, recipe, dataset, name=name, job_size=size, n=n, priority=priority)
    else:
        if not answered:
            run_here(
                settings, recipe, dataset, name=name, job_size=size, n=n, workers=workers, axis=axis_of(recipe),
                priority=priority,
            )  # fmt: skip
        show_report(run_id, output, Choice(alpha, n))


def certificate_from(
    *, sigma: tuple[float, ...], n0: int, denoiser: str | None, smoother: str | None, **given: Any
) -> Recipe:
    """The recipe of a certificate that the flags describe.

    Raises:
        WrongUse: as ``recipe_from``; for a σ that is out of range or given twice; or for a denoiser beside a smoother.
    """
    if denoiser and smoother:
        raise WrongUse(f"--denoiser {denoiser}: --smoother {smoother} is given, too; leave one of them out")
    highest = find_perturbation(DEFAULT_PERTURBATION).limits[1]
    if not all(0 < level <= highest for level in sigma):
        written = ",".join(f"{level:g}" for level in sigma)
        raise WrongUse(f"--sigma {written}: each noise level must be above 0, and at most {highest:g}")
    if len(set(sigma)) < len(sigma):
        raise WrongUse("--sigma: the same noise level is given twice")
    smoother = f"denoiser:{denoiser}" if denoiser else smoother or UNSMOOTHED
    return recipe_from(preset=None, levels=sigma, selection=n0, smoother=smoother, **given)


def check_reach(recipe: Recipe) -> None:
    """Checks that an image that stops early can be certified at the radius at all, at some σ.

    Raises:
        WrongUse: if none can, even if all its copies have one label.
    """
    from report.certificate import largest_radius

    if (rule := recipe.stopping) is None:
        return
    sigma = max(recipe.levels)
    largest = largest_radius(rule.n, sigma, rule.alpha / len(rule.looks))
    if largest < rule.radius:
        raise WrongUse(
            f"--stop-at-radius {rule.radius:g}: {rule.n} copies at σ = {sigma:g} certify at most radius {largest:.3f}, even "
            "if all have one label; give a smaller radius, a larger --n or a larger --sigma"
        )


def show_files(
    named: tuple[str, ...], runs: tuple[str, ...], output: Output, choice: Choice, *, n0: int | None = None
) -> None:
    """Prints the certificates in result files, and those of runs beside them.

    Args:
        named: σ and file of each.
        runs: the runs.
        output: how to print.
        choice: the α and n that the files were made with, if they are known; also those of the runs' reports.
        n0: how many copies selected the labels in the files, if it is known.

    Raises:
        WrongUse: as ``read_tsv`` and ``read_certified``; or if a plot of several is asked for.
    """
    from db.runs import find_run
    from db.session import connect, reading
    from db.settings import load_settings
    from report.certified import certified
    from report.documents import certified as documents
    from report.tsv import named_file, read_tsv

    if runs and output.plots:
        raise WrongUse("--plot draws one run or one set of result files: leave out --beside")
    pairs = [named_file(one) for one in named]
    files: dict[float, Path] = dict(pairs)
    if len(files) < len(pairs):
        raise WrongUse("--from-tsv: two files have the same σ; give one file for each")
    found = read_tsv(files, alpha=choice.alpha, n0=n0, n=choice.n, interval=output.interval)
    if not runs:
        output.show(documents.document(found))
        output.draw("certified", found)
        return
    beside = []
    with reading(connect(load_settings())) as session:
        for name in runs:
            run = find_run(session, name)
            beside.append(certified(session, run, **choice.of(run), interval=output.interval))
    output.show(documents.beside([*beside, found]))
