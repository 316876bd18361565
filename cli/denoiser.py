"""The command that trains a denoiser, for `--smoother denoiser:FILE`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from db.errors import WrongUse, plain

if TYPE_CHECKING:
    import torch

    from db.settings import Settings


@click.command("train-denoiser")
@click.argument("images")
@click.option(
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Where the weights go, a .safetensors file.",
)
@click.option(
    "--sigma",
    type=click.FloatRange(0, 10, min_open=True),
    default=0.25,
    show_default=True,
    help="The highest level of Gaussian noise that it learns to take off.",
)
@click.option(
    "--steps", type=click.IntRange(min=1), default=4000, show_default=True, help="Steps of training, of 16 crops each."
)
@click.option("--layers", type=click.IntRange(3, 30), default=7, show_default=True, help="Convolutions of the network.")
@click.option(
    "--channels", type=click.IntRange(1, 256), default=24, show_default=True, help="Channels between two of them."
)
@click.option(
    "--limit",
    type=click.IntRange(min=2),
    default=200,
    show_default=True,
    metavar="N",
    help="At most N images, spread evenly over the dataset.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of weights, crops and noise.")
@click.option("--device", default="auto", show_default=True, metavar="auto|cpu|cuda:N", help="Where it is trained.")  # fmt: skip
def train_denoiser(
    images: str, output: Path, sigma: float, steps: int, layers: int, channels: int, limit: int, seed: int, device: str
) -> None:
    """Train a small denoiser (a DnCNN) on crops of IMAGES.

    That takes minutes on two cores. It learns Gaussian noise of every level up to --sigma, and is measured at this one,
    on images that it has not seen: the peak signal-to-noise ratio of noisy and of denoised crops. Then: smoothvote run
    IMAGES --smoother denoiser:FILE
    """
    from worker.parent import require_torch

    require_torch()
    if output.suffix != ".safetensors":
        raise WrongUse(f"--output {output}: name a .safetensors file")
    if not output.absolute().parent.is_dir():
        raise WrongUse(f"--output {output}: there is no folder {output.absolute().parent}")
    from db.settings import load_settings

    settings = load_settings(device=device)
    found = _read(images, limit, settings)
    import torch
    from rich.console import Console
    from rich.progress import Progress

    from worker.classifier import choose_device
    from worker.denoiser import save, train

    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task("training", total=steps)
        trained = train(
            found, sigma=sigma, layers=layers, channels=channels, steps=steps, seed=seed,
            device=torch.device(choose_device(settings.device)), after_step=lambda: bar.advance(task),
        )  # fmt: skip
    save(trained.network, output)
    click.echo(f"PSNR at σ = {sigma:g}: {trained.noisy:.1f} dB noisy, {trained.denoised:.1f} dB denoised")
    click.echo(plain(f"wrote {output} ({output.stat().st_size / 1000:.0f} kB)"), err=True)


def _read(images: str, limit: int, settings: "Settings") -> "list[torch.Tensor]":
    """The decoded images of a dataset, (H, W, 3), without those that cannot be used."""
    from db.recipe import Recipe
    from producer.dataset import NO_LABELS, read_dataset
    from producer.labels import Labels
    from worker.files import find_root, read
    from worker.images import decode
    from worker.unusable import Unusable

    dataset = read_dataset(images, labels=Labels(Recipe()), settings=settings, labels_from=NO_LABELS, limit=limit)
    root = find_root(dataset.root, settings)
    found = []
    for entry in dataset.entries:
        try:
            data = read(root, entry, settings)
            pixels = decode(data, grayscale="convert", max_pixels=settings.max_pixels, max_side=settings.max_side)
            found.append(pixels.values)
        except Unusable as error:
            click.echo(plain(f"smoothvote: {entry.path}: {error}"), err=True)
    return found
