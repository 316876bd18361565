"""How fast the copies of a certificate are counted, beside the reference implementation's loop and the bare model.

    python -m benchmarks.certify IMAGES --sigma 0.25
    python -m benchmarks.certify IMAGES --sigma 0.25,0.5,1.0 --counts

The variants take turns, each in a process of its own, on the CPU; all count the copies of the same photographs. The
table gives the median rate and the spread. A view is one copy at one σ. On a machine that other programs use, compare
the views a second of a core's work.
"""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from benchmarks.throughput import Turns, in_own_process
from db.models import BUNDLED_MODEL
from db.recipe import UNSMOOTHED, Recipe, make_recipe
from worker.assembly import MOST_LANES

#: In the order of the table.
NAMES = {
    "reference_loop": "(a) the reference loop, eager fp32",
    "copies": "(b) smoothvote, in a process",
    "bare_model": "(c) the bare model on ready-made batches",
}


def measure(
    files: list[Path], recipe: Recipe, folder: Path, *, copies: int, batch: int, turns: int, counts: bool
) -> dict[str, Any]:
    """All variants, in turn; prints as it goes."""
    variants = {name: Turns() for name in NAMES}
    more = {"copies": copies, "batch": batch}
    for number in range(turns):
        for name, turned in variants.items():
            said = in_own_process(name, recipe, files, folder, **more)
            turned.add(said)
            click.echo(f"turn {number + 1}: {name} {said['views'] / said['seconds']:.1f} views/s", err=True)
            if name == "copies":
                ours = said
    print_table(variants)
    drawn = in_own_process("draws", recipe, files, folder)
    draws = drawn["views"] / drawn["cpu_seconds"]
    found: dict[str, Any] = {
        "variants": {name: turned.as_json() for name, turned in variants.items()},
        "ratios": {
            f"copies/{name}": round(variants["copies"].rate / variants[name].rate, 3)
            for name in NAMES
            if name != "copies"
        },
        "cpu_ratios": {
            f"copies/{name}": round(variants["copies"].cpu_rate / variants[name].cpu_rate, 3)
            for name in NAMES
            if name != "copies"
        },
        "draws_per_s_and_core": round(draws),
        "load": [round(load, 2) for load in os.getloadavg()],
    }
    lanes = MOST_LANES["cuda"]
    for ratios in ("ratios", "cpu_ratios"):
        click.echo(f"{ratios}: " + ", ".join(f"{name} {ratio}" for name, ratio in found[ratios].items()))
    click.echo("(b) by stage, s over all lanes: " + ", ".join(f"{name} {s:.1f}" for name, s in ours["stages"].items()))
    click.echo("views asked of: " + ", ".join(f"{name} {views}" for name, views in ours["asked"].items()))
    click.echo(
        f"a core draws the noise of {draws:.0f} copies/s: {lanes} lanes feed a GPU {lanes * draws * len(recipe.levels):.0f} views/s"
    )
    click.echo(f"load, 1 and 5 minutes: {found['load'][0]}, {found['load'][1]}")
    if counts:
        found["counts"] = compare(
            ours["counts"], in_own_process("plain_copies", recipe, files, folder, **more)["counts"]
        )
        click.echo("counts: {different} of {compared} views differ from eager fp32".format(**found["counts"]))
    return found


def compare(ours: list[list[Any]], plain: list[list[Any]]) -> dict[str, int]:
    """How many views would have to change their label to make the counts of the two equal."""
    first, second = ({tuple(row[:-1]): row[-1] for row in rows} for rows in (ours, plain))
    different = sum(abs(first.get(key, 0) - second.get(key, 0)) for key in first.keys() | second.keys())
    return {"compared": sum(second.values()), "different": different // 2}


def print_table(variants: dict[str, Turns]) -> None:
    """A line a variant."""
    table = Table(
        "variant", "views/s", "spread", "of (c)", "times (a)", "views/core-s", "of (c)", "times (a)", "peak, MiB"
    )
    loop, bare = variants["reference_loop"], variants["bare_model"]
    for name, said in NAMES.items():
        turned = variants[name]
        table.add_row(
            said, f"{turned.rate:.1f}", f"{min(turned.rates):.1f}–{max(turned.rates):.1f}",
            f"{turned.rate / bare.rate:.3f}", f"{turned.rate / loop.rate:.2f}", f"{turned.cpu_rate:.1f}",
            f"{turned.cpu_rate / bare.cpu_rate:.3f}", f"{turned.cpu_rate / loop.cpu_rate:.2f}",
            f"{max(turned.peak_mib):.0f}",
        )  # fmt: skip
    Console(width=140).print(table)


@click.command(help=__doc__.split("\n", 1)[0])
@click.argument("images", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--model", default=BUNDLED_MODEL, show_default=True)
@click.option("--sigma", default="0.25", show_default=True, metavar="LIST")
@click.option("--n0", type=click.IntRange(1), default=100, show_default=True)
@click.option("--n", type=click.IntRange(1), default=200, show_default=True)
@click.option("--batch", type=click.IntRange(1), default=100, show_default=True, help="Of the reference loop.")
@click.option("--limit", type=click.IntRange(1), default=4, show_default=True, help="Photographs, at most.")
@click.option("--turns", type=click.IntRange(1), default=3, show_default=True)
@click.option("--counts", is_flag=True, help="Compare the last counts with those of eager fp32, copy by copy.")
@click.option("--json", "file", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE")
def main(
    images: Path, model: str, sigma: str, n0: int, n: int, batch: int, limit: int, turns: int, counts: bool, file: Path | None
) -> None:  # fmt: skip
    """Measure, and print a table."""
    levels = tuple(float(level) for level in sigma.split(","))
    recipe = make_recipe(model=model, levels=levels, smoother=UNSMOOTHED, selection=n0)
    files = sorted(path for path in images.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))[:limit]
    if not files:
        raise click.ClickException(f"{images} has no photographs")
    with tempfile.TemporaryDirectory() as folder:
        found = measure(files, recipe, Path(folder), copies=n0 + n, batch=batch, turns=turns, counts=counts)
    if file:
        file.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
