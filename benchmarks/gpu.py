"""Checks and measures a GPU: labels of each engine against eager fp32, and how much of the bare model's speed is left.

    python -m benchmarks.gpu IMAGES
    python -m benchmarks.gpu IMAGES --model torchvision/resnet50 --weights random --markdown gpu.md

Without a GPU it ends with 2. `--device cpu` runs the same code on a CPU.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import NamedTuple

import click
import torch

from benchmarks.end_to_end import EndToEnd
from benchmarks.throughput import recipe_of
from db.errors import FAILED, WRONG_USE, Refusal
from db.found import Found
from db.recipe import VIEWS, Recipe
from worker.assembly import make_classifier
from worker.classifier import Classifier
from worker.engines import Engine
from worker.images import Pixels, decode
from worker.lanes import spread
from worker.pipeline import Case, predict
from worker.stopwatch import Stopwatch

#: Engines that are measured on a device; the first is the reference.
ENGINES = {"cuda": ("eager", "auto", "graph", "compile"), "cpu": ("eager", "auto")}
#: Views in a forward pass of the bare model.
SIZES = {"cuda": (24, 48, 96, 192, 384), "cpu": (6, 24)}
#: Seconds that a bare engine is timed.
BARE_SECONDS = 3.0
#: What Stopwatch calls the stages of an image in a lane.
STAGES = ("noise", "views", "model", "close")


class Measured(NamedTuple):
    """What one engine gave."""

    model: str
    engine: str
    #: Labels that differ from eager fp32's, of so many.
    different: int
    labels: int
    #: Views a second of the bare model, and with how many views a pass; from files to labels; and through the queue.
    bare: float
    size: int
    in_process: float
    end_to_end: float | None
    #: Milliseconds of each of STAGES for an image, over all lanes.
    stages: dict[str, float]


def source(file: Path) -> Pixels:
    """A photograph, read and decoded as a worker does by default."""
    return decode(file.read_bytes(), grayscale="convert", max_pixels=10**9)


def in_process(files: Sequence[Path], recipe: Recipe, classifier: Classifier) -> tuple[Found, float, Stopwatch]:
    """The results of photographs, from files to labels, with the seconds that they took."""
    cases = [Case(number, partial(source, file)) for number, file in enumerate(files)]
    list(predict(cases[:8], recipe, classifier))  # warm
    watch, found = Stopwatch(), Found([], [], [])
    began = time.perf_counter()
    for some in predict(cases, recipe, classifier, watch):
        found = found.plus(some)
    return found, time.perf_counter() - began, watch


def bare_rates(classifier: Classifier, sizes: Sequence[int], seconds: float) -> Iterator[tuple[float, int]]:
    """Views a second of a classifier's first engine on ready-made batches, for each number of views a pass."""
    engine, device, side = classifier.cascade[0].engine, classifier.device, classifier.preprocessing.crop
    lanes = classifier.lanes if device.type == "cpu" else 1  # one pass at a time keeps a GPU busy
    for size in sizes:
        batch = torch.rand(size, 3, side, side, device=device).contiguous(memory_format=torch.channels_last)
        do = partial(passes, engine, batch, seconds)
        list(spread(do, range(lanes), lanes=lanes, threads=classifier.threads))  # warm
        began = time.perf_counter()
        views = sum(spread(do, range(lanes), lanes=lanes, threads=classifier.threads))
        yield views / (time.perf_counter() - began), size


@torch.inference_mode()
def passes(engine: Engine, batch: torch.Tensor, seconds: float, _: int) -> int:
    """How many views an engine computes in some seconds."""
    end, views = time.perf_counter() + seconds, 0
    while time.perf_counter() < end:
        for _ in range(4):
            logits = engine.logits(batch)
            views += len(batch)
        logits[0, 0].item()  # waits for the device
    return views


def different(found: Found, expected: Found) -> int:
    """How many labels of views differ."""
    pairs = zip(found.predicted, expected.predicted, strict=True)
    return sum(
        getattr(ours, f"label_{view}") != getattr(theirs, f"label_{view}") for ours, theirs in pairs for view in VIEWS
    )


def end_to_end(photographs: Path, recipe: Recipe, device: str, engine: str, folder: Path) -> float:
    """Views a second from photographs to rows, through Redis and the database; after a first run that warms up."""
    given = {"SMOOTHVOTE_DEVICE": device, "SMOOTHVOTE_ENGINE": engine}
    before = dict(os.environ)
    os.environ |= given
    try:
        with ExitStack() as stack:
            ours = EndToEnd(folder, recipe, stack)
            ours.turn(photographs / "first")
            said = ours.turn(photographs / "all")
        rate: float = said["views"] / said["seconds"]
        return rate
    finally:
        os.environ.clear()
        os.environ.update(before)


def measure(
    photographs: Path, model: str, recipe: Recipe, device: str, folder: Path, *, seconds: float, queue: bool
) -> Iterator[Measured]:
    """Measures the engines of a model in turn; one that this machine cannot run is told and left out."""
    kind = torch.device(device).type
    files = sorted((photographs / "all").iterdir())
    expected: Found | None = None
    for name in ENGINES[kind]:
        click.echo(f"{model}: {name}", err=True)
        try:
            classifier = make_classifier(recipe, device=device, engine=name, home=folder / "kept")
        except Refusal as error:
            click.echo(f"left out: {error}", err=True)
            continue
        found, took, watch = in_process(files, recipe, classifier)
        expected = expected or found
        views = len(VIEWS) * len(found.predicted)
        bare, size = max(bare_rates(classifier, SIZES[kind], seconds))
        asked = classifier.computer.engine
        del classifier  # its memory is the next one's, and the worker's
        torch.cuda.empty_cache()
        whole = end_to_end(photographs, recipe, device, name, folder / f"home-{name}") if queue else None
        images = max(1, len(found.image_ids))
        stages = {stage: 1000 * watch.seconds.get(stage, 0.0) / images for stage in STAGES}
        yield Measured(model, asked, different(found, expected), views, bare, size, views / took, whole, stages)


def markdown(measured: Sequence[Measured], device: str) -> str:
    """The figures as Markdown tables; the letters are those of docs/explanation/performance.md."""
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else device
    lines = [
        f"{name}, torch {torch.__version__}, {os.cpu_count()} cores; views/s.",
        "",
        "| model | engines | labels that differ from eager fp32 | (e) bare, views a pass | (d) in a process | (c) through the queue | (c) of (e) |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in measured:
        whole = "–" if one.end_to_end is None else f"{one.end_to_end:.0f}"
        share = "–" if one.end_to_end is None else f"{one.end_to_end / one.bare:.3f}"
        lines.append(
            f"| {one.model} | {one.engine} | {one.different} of {one.labels} | {one.bare:.0f}, {one.size} | "
            f"{one.in_process:.0f} | {whole} | {share} |"
        )
    lines += ["", f"| model | engines | {' | '.join(f'{stage}, ms an image' for stage in STAGES)} |", "|---" * 6 + "|"]
    for one in measured:
        took = " | ".join(f"{one.stages[stage]:.2f}" for stage in STAGES)
        lines.append(f"| {one.model} | {one.engine} | {took} |")
    return "\n".join(lines) + "\n"


def copied(images: Path, limit: int, folder: Path) -> Path:
    """Photographs in one folder, and the first four of them in another."""
    found = sorted(path for path in images.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))[:limit]
    if len(found) < 4:
        raise click.ClickException(f"{images} has {len(found)} photographs: four are wanted")
    for part, files in (("all", found), ("first", found[:4])):
        (folder / part).mkdir(parents=True)
        for path in files:
            shutil.copy(path, folder / part / path.name)
    return folder


@click.command()
@click.argument("images", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--model", multiple=True, default=("efficientnet_lite0", "torchvision/resnet50"), show_default=True)
@click.option("--weights", help="As for smoothvote run; or random, which torchvision models have without a network.")
@click.option("--device", default="cuda:0", show_default=True)
@click.option("--limit", type=click.IntRange(4), default=500, show_default=True, help="Photographs, at most.")
@click.option("--seconds", type=float, default=BARE_SECONDS, show_default=True, help="Seconds to time a bare engine.")
@click.option("--queue/--no-queue", default=True, show_default=True, help="Measure (c), too.")
@click.option("--markdown", "file", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE")
def main(
    images: Path, model: tuple[str, ...], weights: str | None, device: str, limit: int, seconds: float, queue: bool,
    file: Path | None,
) -> None:  # fmt: skip
    """Check and measure the engines of a GPU on the photographs of a folder. Ends with 1 if a label differs."""
    if device.startswith("cuda") and not torch.cuda.is_available():
        click.echo("no GPU here: torch.cuda finds none; --device cpu runs the same code on a CPU", err=True)
        raise SystemExit(WRONG_USE)
    measured: list[Measured] = []
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        photographs = copied(images, limit, folder / "photographs")
        try:
            for number, name in enumerate(model):
                place = folder / str(number)
                place.mkdir()
                recipe = recipe_of(name, weights if name.startswith("torchvision/") else None, "exact", place)
                measured += measure(photographs, name, recipe, device, place, seconds=seconds, queue=queue)
        finally:  # an error of one engine leaves the figures of those before it
            table = markdown(measured, device)
            click.echo(table)
            if file:
                file.write_text(table)
    if not measured or any(one.different for one in measured):
        raise SystemExit(FAILED)


if __name__ == "__main__":
    main()
