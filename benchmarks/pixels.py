"""Times the views of an image, by sparse products and step by step: `python -m benchmarks.pixels IMAGES`.

On one thread; the two ways take turns on every photograph.
"""

import statistics
import time
from pathlib import Path

import click
import torch
from rich.console import Console
from rich.table import Table

from db.recipe import Preprocessing, make_recipe
from worker.images import decode
from worker.views import draw_field, draw_views, plain_views

#: Among them those of torchvision's ResNet-50 and of EfficientNet-Lite0.
FITS = {
    "bilinear": Preprocessing(256, 224, "bilinear", True, (0, 0, 0), (1, 1, 1)),
    "bicubic": Preprocessing(256, 224, "bicubic", True, (0, 0, 0), (1, 1, 1)),
    "bilinear, no antialias": Preprocessing(256, 224, "bilinear", False, (0, 0, 0), (1, 1, 1)),
}


@click.command()
@click.argument("images", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
@torch.inference_mode()
def main(images: Path, limit: int) -> None:
    """Draw the views of photographs at four levels, both ways."""
    torch.set_num_threads(1)
    recipe, cpu = make_recipe(), torch.device("cpu")
    files = sorted(path for path in images.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))[:limit]
    table = Table("resize", "decode, ms", "noise, ms", "views, ms", "plainly, ms", "ratio", "largest difference")
    for name, fit in FITS.items():
        took: dict[str, list[float]] = {"decode": [], "noise": [], "fast": [], "plain": []}
        largest = 0.0
        for file in files:
            at = [time.perf_counter()]
            pixels = decode(file.read_bytes(), grayscale="convert", max_pixels=10**9)
            at.append(time.perf_counter())
            field = draw_field(pixels, recipe)
            at.append(time.perf_counter())
            fast = draw_views(pixels, field, recipe, fit, cpu)
            at.append(time.perf_counter())
            plain = plain_views(pixels, field, recipe, fit, range(len(fast)))
            at.append(time.perf_counter())
            for stage, began, ended in zip(took, at, at[1:], strict=False):
                took[stage].append(1000 * (ended - began))
            largest = max(largest, float((fast - plain).abs().max()))
        medians = {stage: statistics.median(each) for stage, each in took.items()}
        ratio = statistics.median(slow / quick for slow, quick in zip(took["plain"], took["fast"], strict=True))
        table.add_row(name, *(f"{value:.1f}" for value in medians.values()), f"{ratio:.1f}", f"{largest:.1e}")
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
