"""How much of the bare model's speed is left from photographs to rows in a database, and where the rest goes.

    python -m benchmarks.throughput IMAGES --model efficientnet_lite0 --labels
    python -m benchmarks.throughput IMAGES --model torchvision/resnet50 --weights random --precision bf16

The variants take turns, on another part of the photographs at each turn; told are the median rate, and the spread. On
the CPU; (a) and (b) on every fifth photograph.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from sqlalchemy import Engine, select

from benchmarks.end_to_end import EndToEnd
from db.recipe import Recipe, make_recipe
from db.session import reading
from db.tables import Image, Prediction, Run
from worker.parent import KEEP_MEMORY

END_TO_END = "end_to_end"
#: In the order of the table; the letters are those that docs/explanation/performance.md calls them by.
NAMES = {
    "article_loop": "(a) the article's loop: a view at a time, eager fp32",
    "dataloader": "(b) DataLoader, batches, bf16 autocast",
    END_TO_END: "(c) smoothvote, through Redis and the database",
    "in_process": "(d) smoothvote, in a process, without them",
    "bare_model": "(e) the bare model on ready-made batches",
}


@dataclass
class Turns:
    """What the turns of a variant gave."""

    rates: list[float] = field(default_factory=list)
    cpu_rates: list[float] = field(default_factory=list)
    ready: list[float] = field(default_factory=list)
    peak_mib: list[float] = field(default_factory=list)
    engine: str = ""
    asked: dict[str, int] = field(default_factory=dict)

    def add(self, said: dict[str, Any]) -> None:
        """One turn's."""
        self.rates.append(said["views"] / said["seconds"])
        if "cpu_seconds" in said:
            self.cpu_rates.append(said["views"] / said["cpu_seconds"])
        self.peak_mib.append(said["peak_mib"])
        self.engine = said.get("engine", "")
        if "ready" in said:
            self.ready.append(said["ready"])
        for name, views in said.get("asked", {}).items():
            self.asked[name] = self.asked.get(name, 0) + views

    @property
    def rate(self) -> float:
        """Views a second."""
        return statistics.median(self.rates)

    @property
    def cpu_rate(self) -> float:
        """Views a second that one core works."""
        return statistics.median(self.cpu_rates)

    def as_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "views_per_s": round(self.rate, 1),
            "spread": [round(min(self.rates), 1), round(max(self.rates), 1)],
            "peak_mib": [round(mib) for mib in self.peak_mib],
        }
        if self.cpu_rates:
            found["views_per_cpu_s"] = round(self.cpu_rate, 1)
        if self.ready:
            found["ready_s"] = [round(seconds, 1) for seconds in self.ready]
        return found | ({"engine": self.engine} if self.engine else {}) | ({"asked": self.asked} if self.asked else {})


def in_own_process(name: str, recipe: Recipe, files: Sequence[Path], folder: Path, **more: int) -> dict[str, Any]:
    """One turn of a variant. A worker's allocator is set as the worker sets it; a user's script has its own."""
    task = folder / "task.json"
    given = {"recipe": recipe.content(), "files": [str(file) for file in files], "home": str(folder / "kept")}
    task.write_text(json.dumps(given | more))
    environment = os.environ | (KEEP_MEMORY if name in ("in_process", "copies", "bare_model") else {})
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.variants", name, str(task)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise click.ClickException(f"{name}: {done.stderr.strip()}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def compare_labels(engine: Engine, runs: Sequence[str], recipe: Recipe, photographs: Path) -> dict[str, int]:
    """Stored labels against those of eager fp32 on the plain way from pixels to views."""
    import torch

    from worker.images import decode
    from worker.models import load
    from worker.views import draw_field, plain_views

    model = load(recipe)
    preprocessing = model.preprocessing
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (preprocessing.mean, preprocessing.std))
    network = model.network.to(memory_format=torch.channels_last)
    different = compared = 0
    for run_id in runs:
        with reading(engine) as session:
            named = select(Image.path, Image.id).join(Run, Run.dataset_id == Image.dataset_id).where(Run.id == run_id)
            images = dict(session.execute(named).all())
            stored = {
                (row.image_id, row.level): (row.label_ns, row.label_ss, row.label_ds)
                for row in session.scalars(select(Prediction).where(Prediction.run_id == run_id))
            }
        for path, image_id in images.items():
            file = next(photographs.glob(f"*/{path}"))
            pixels = decode(file.read_bytes(), grayscale=recipe.grayscale, max_pixels=10**9)
            field = draw_field(pixels, recipe)
            with torch.inference_mode():
                views = plain_views(pixels, field, recipe, preprocessing, range(3 * len(recipe.levels)))
                batch = ((views - mean) / std).contiguous(memory_format=torch.channels_last)
                labels = network(batch).argmax(dim=1).view(-1, 3).tolist()
            for level, of_level in zip(recipe.levels, labels, strict=True):
                pairs = list(zip(stored[image_id, level], of_level, strict=True))
                compared += len(pairs)
                different += sum(ours != theirs for ours, theirs in pairs)
    return {"compared": compared, "different": different}


def recipe_of(model: str, weights: str | None, precision: str, folder: Path) -> Recipe:
    """The recipe; with random weights, of a checkpoint that holds them."""
    if weights != "random":
        return make_recipe(model=model, weights=weights, precision=precision)
    import torch
    from torchvision import models

    from cli.flags import recipe_from

    torch.manual_seed(0)
    file = folder / "random.pth"
    torch.save(models.get_model(model.removeprefix("torchvision/"), weights=None).state_dict(), file)
    return recipe_from(preset=None, classes=None, model=str(file), arch=model, precision=precision)


def print_table(variants: dict[str, Turns]) -> None:
    """A line a variant."""
    table = Table("variant", "views/s", "spread", "of (e)", "ready, s", "peak, MiB")
    for name, said in NAMES.items():
        turns = variants[name]
        ready = "–" if not turns.ready else f"{statistics.median(turns.ready):.1f}"
        table.add_row(
            said, f"{turns.rate:.1f}", f"{min(turns.rates):.1f}–{max(turns.rates):.1f}",
            f"{turns.rate / variants['bare_model'].rate:.3f}", ready, f"{max(turns.peak_mib):.0f}",
        )  # fmt: skip
    Console(width=120).print(table)


def measure(photographs: Path, recipe: Recipe, folder: Path, turns: int, *, labels: bool) -> dict[str, Any]:
    """All variants, in turn; prints as it goes."""
    parts = sorted(photographs.iterdir())
    variants = {name: Turns() for name in NAMES}
    with ExitStack() as stack:
        began = time.perf_counter()
        ours = EndToEnd(folder / "home", recipe, stack)
        ours.turn(folder / "first")
        variants[END_TO_END].ready.append(time.perf_counter() - began)
        for number in range(turns):
            files = sorted(parts[number].iterdir())
            for name in NAMES:
                said = (
                    ours.turn(parts[number])
                    if name == END_TO_END
                    else in_own_process(name, recipe, files, folder)
                )  # fmt: skip
                variants[name].add(said)
                click.echo(f"turn {number + 1}: {name} {said['views'] / said['seconds']:.1f} views/s", err=True)
        print_table(variants)
        rates = {name: turn.rate for name, turn in variants.items()}
        found: dict[str, Any] = {
            "variants": {name: turn.as_json() for name, turn in variants.items()},
            "ratios": {
                f"{END_TO_END}/{name}": round(rates[END_TO_END] / rate, 3) for name, rate in rates.items() if name != END_TO_END
            },
            "breakdown": ours.breakdown(),
        }  # fmt: skip
        click.echo("ratios: " + ", ".join(f"{name} {ratio}" for name, ratio in found["ratios"].items()))
        click.echo("(c) by stage: " + ", ".join(f"{stage} {share:.1%}" for stage, share in found["breakdown"].items()))
        asked = variants["in_process"].asked
        of_all = max(asked.values())
        click.echo("views asked of: " + ", ".join(f"{name} {views / of_all:.2%}" for name, views in asked.items()))
        if labels:
            found["labels"] = compare_labels(ours.engine, ours.runs[1:], recipe, photographs)
            click.echo("labels: {different} of {compared} differ from eager fp32".format(**found["labels"]))
    return found


@click.command()
@click.argument("images", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--model", default="efficientnet_lite0", show_default=True)
@click.option("--weights", help="As for smoothvote run; or random, for a torchvision model.")
@click.option("--precision", type=click.Choice(["exact", "bf16"]), default="exact", show_default=True)
@click.option("--limit", type=click.IntRange(10), default=500, show_default=True, help="Photographs, at most.")
@click.option("--turns", type=click.IntRange(1), default=3, show_default=True)
@click.option("--labels", is_flag=True, help="Compare all stored labels with eager fp32's.")
@click.option("--json", "file", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE")
def main(
    images: Path, model: str, weights: str | None, precision: str, limit: int, turns: int, labels: bool, file: Path | None
) -> None:  # fmt: skip
    """Compare smoothvote on the photographs of a folder with the bare model, and with what people write by hand."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        found = sorted(path for path in images.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))[:limit]
        if len(found) < 10:
            raise click.ClickException(f"{images} has {len(found)} photographs: ten are wanted")
        for number, path in enumerate(found):
            part = folder / "parts" / str(number % turns)
            part.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, part / path.name)
        (folder / "first").mkdir()
        for path in found[:4]:
            shutil.copy(path, folder / "first" / path.name)
        recipe = recipe_of(model, weights, precision, folder)
        result = measure(folder / "parts", recipe, folder, turns, labels=labels)
    if file:
        file.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
