"""The command that verifies: a sample of a run's rows is computed again on this machine."""

import sys
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import click

from cli.output import Output, output_flags
from db.errors import FAILED, SmoothvoteError, WrongUse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from db.found import Found
    from report.sample import Stored
    from worker.verify import Verifier


@click.command()
@click.argument("run", default="latest")
@click.option(
    "--sample", type=click.IntRange(min=1), default=100, show_default=True, metavar="K", help="How many images."
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="S",
    help="Of the sample: the same seed draws the same images.",
)
@click.option("--device", metavar="auto|cpu|cuda:N", help="Where the model runs.  [default: SMOOTHVOTE_DEVICE]")
@click.option(
    "--engine",
    type=click.Choice(["auto", "eager", "openvino", "compile", "graph"]),
    help="How the model is run; eager is the reference.  [default: SMOOTHVOTE_ENGINE]",
)
@output_flags()
def verify(run: str, sample: int, seed: int, device: str | None, engine: str | None, output: Output) -> None:
    """Compute a sample of RUN again here, and compare.

    K images of the run, drawn at random, are read, perturbed and predicted again by the run's recipe; of a certificate,
    one part of the copies of each is counted again. Prints how much of what is stored agrees, and names what does not.
    It changes nothing in the record, and needs no queue. Ends with 1 if anything differs.
    """
    from worker.parent import require_torch

    require_torch()
    from db.runs import find_run
    from db.session import connect, reading
    from db.settings import load_settings
    from report.sample import draw_sample

    settings = load_settings(**{name: value for name, value in (("device", device), ("engine", engine)) if value})
    with reading(connect(settings)) as session:
        found_run = find_run(session, run)
        drawn = draw_sample(session, found_run, size=sample, seed=seed)
    if not drawn:
        raise WrongUse(f"run {found_run.id} has no rows to verify yet: `smoothvote status {found_run.id}` says why")
    # The transaction is over: computing may take minutes.
    from report.agreement import compare_again
    from report.documents.agreement import document
    from report.origin import Origin
    from worker.verify import Verifier

    verifier = Verifier(found_run.recipe, found_run.root, settings)
    origin = Origin(
        here=verifier.computer,
        stored=Counter(image.computer for image in drawn),
        weights_sha256=verifier.weights_sha256,
        same_weights=verifier.weights_sha256 == found_run.weights_sha256,
        same_preprocessing=verifier.preprocessing.as_json() == found_run.preprocessing,
    )
    found = computed(verifier, drawn)
    agreement = compare_again(found_run, drawn, found, origin, seed=seed, interval=output.interval)
    output.show(document(agreement))
    if agreement.images is None:
        raise SmoothvoteError("no image of the sample can be computed here; the table above says why")
    if agreement.differences:
        raise SystemExit(FAILED)


def computed(verifier: "Verifier", drawn: "Sequence[Stored]") -> "Found":
    """Computes all images of a sample, with a bar on a terminal."""
    from db.found import Found

    found = Found([], [], [])
    of_copies: defaultdict[tuple[int, int], list[Stored]] = defaultdict(list)
    for image in drawn:
        of_copies[image.part].append(image)
    hidden = not sys.stderr.isatty()
    with click.progressbar(length=len(drawn), label="computing again", file=sys.stderr, hidden=hidden) as bar:
        for copies, images in of_copies.items():
            for some in verifier.compute([(image.image_id, image.entry) for image in images], copies):
                found = found.plus(some)
                bar.update(len(some.image_ids))
    return found
