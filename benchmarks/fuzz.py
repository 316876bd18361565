"""Broken images by the thousand: does each end as prediction rows or as one coded failure, and no worker with it?

    python -m benchmarks.fuzz --cases 20000 --seed 0

Photographs in every format are mutated, and go the way that a worker's images go: read, decoded, made noisy, smoothed,
resized, and answered by a classifier of known answers. Case i of a seed is the same bytes on every machine with the
same Pillow. All of it happens in child processes: a death or a hang is one case's, and is counted.
"""

import importlib.util
import io
import json
import multiprocessing
import random
import re
import resource
import struct
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import zip_longest
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import click
import torch
from PIL import Image
from rich.console import Console
from rich.table import Column, Table

from db.errors import one_line
from db.garbage import collect_seldom
from db.recipe import Preprocessing, Recipe
from db.settings import load_settings
from db.store import Entry
from worker.classifier import Classifier, Stage
from worker.decode import FORMATS
from worker.files import read
from worker.images import Pixels, decode
from worker.pipeline import predict

RECIPE = Recipe(levels=(0.0, 0.25))
PREPROCESSING = Preprocessing(256, 224, "bilinear", False, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
#: Children know what the parent does, photographs included, and begin at once.
FORK = multiprocessing.get_context("fork")
BAD = ("death", "error")
#: A child's address space in bytes: one that wants more is told no, and does not take the machine along.
MEMORY = 16 * 2**30
#: Mode and options of the ways in which a format's photographs are written; taken in turn.
WAYS: dict[str, tuple[tuple[str, dict[str, Any]], ...]] = {
    "BMP": (("RGB", {}), ("P", {}), ("L", {}), ("1", {}), ("RGBA", {})),
    "GIF": (("P", {}), ("L", {}), ("RGBA", {}), ("P", {"save_all": True})),
    "JPEG": (("RGB", {}), ("RGB", {"progressive": True}), ("L", {}), ("CMYK", {})),
    "PNG": (("RGB", {}), ("P", {"transparency": 3}), ("L", {}), ("RGBA", {}), ("I;16", {}), ("RGB", {"save_all": True})),
    "TIFF": (
        ("RGB", {}), ("RGB", {"compression": "tiff_lzw"}), ("RGB", {"compression": "jpeg"}), ("I;16", {}), ("F", {}),
        ("RGB", {"compression": "tiff_adobe_deflate"}), ("1", {"compression": "group4"}), ("CMYK", {}),
    ),
    "WEBP": (("RGB", {}), ("RGB", {"lossless": True}), ("RGBA", {}), ("RGB", {"save_all": True})),
}  # fmt: skip
MUTATIONS = ("bits", "bytes", "header", "truncate", "insert", "delete", "repeat", "splice", "stretch", "stretch")
EXTREMES = (0, 1, 255, 20_000, 32_767, 32_768, 65_535, 65_536, 10**8, 2**31 - 1, 2**31, 2**32 - 1)
#: Where files say how large something is: so many bytes behind what matches, as a number of that form.
SIZES = (
    (rb"\ABM", (0, 8, 12, 16, 20, 32, 44), "<I"),
    (rb"\AGIF8.a|,\0\0\0\0", (0, 2), "<H"),
    (rb"IHDR|IDAT", (-8, 0, 4), ">I"),
    (rb"\ARIFF", (0, 12), "<I"),
    (rb"\ARIFF", (17, 19, 20, 22, 23, 24), "<H"),
    (rb"\xff[\xc0\xc2\xc4\xda]", (0, 3, 5), ">H"),  # JPEG's frame, tables, scan
    (rb"[\0-\x1d]\x01[\x03-\x05]\0", (0, 4), "<I"),  # TIFF's tags: count, then value or offset
)


def photographs(folder: Path | None) -> dict[str, list[bytes]]:
    """The files that cases begin as: thumbnails in every format, and a few photographs as they are."""
    package = None if folder else importlib.util.find_spec("foolbox")
    folder = folder or Path(str(package and package.origin)).parent / "data"
    files = sorted(file for file in folder.glob("*") if file.suffix.lower() in (".jpg", ".jpeg"))[:20]
    if not files:
        raise click.UsageError(f"no .jpg in {folder}: install the package foolbox, or name photographs with --images")
    made: dict[str, list[bytes]] = {form: [] for form in FORMATS}
    for number, file in enumerate(files):
        image = Image.open(file).convert("RGB")
        image.thumbnail((128, 128))
        exif = Image.Exif()
        exif[0x0112] = 1 + number % 8  # orientation
        for form, ways in WAYS.items():
            mode, options = ways[number % len(ways)]
            turned = (image.convert("I") if mode == "I;16" else image).convert(mode)  # to 16 bits only by way of 32
            if mode == "RGBA":
                turned.putalpha(image.convert("L"))  # what is opaque all over is written without it
            frames = [turned.rotate(90)] if "save_all" in options else []
            turned.save(into := io.BytesIO(), form, exif=exif, append_images=frames, **options)
            made[form].append(into.getvalue())
    return made | {"JPEG": made["JPEG"] + [file.read_bytes() for file in files[:4]]}


def make_case(number: int, seed: int, files: dict[str, list[bytes]]) -> bytes:
    """The bytes of a case; its format is the one whose turn it is."""
    chance = random.Random(f"{seed}:{number}")
    form = FORMATS[number % len(FORMATS)]
    data = bytearray(chance.choice(files[form]))
    for _ in range(chance.choice((1, 1, 2, 3))):
        other = chance.choice(files[chance.choice((form, form, chance.choice(FORMATS)))])
        mutate(data, other, chance)
    return with_sums(data) if form == "PNG" and chance.random() < 0.7 else bytes(data)


def mutate(data: bytearray, other: bytes, chance: random.Random) -> None:
    """Makes one thing wrong with a file, or splices it with another; it does not become empty."""
    size, few = len(data), chance.choice((1, 2, 16, 1000))
    first, last = sorted(chance.randint(1, size) for _ in range(2))
    match chance.choice(MUTATIONS):
        case "bits" | "bytes" | "header" as what:
            for _ in range(few):
                at = chance.randrange(min(size, 64) if what == "header" else size)
                data[at] = data[at] ^ (1 << chance.randrange(8)) if what == "bits" else chance.randrange(256)
        case "truncate":
            del data[first:]
        case "insert":
            data[first:first] = chance.randbytes(few)
        case "delete":
            del data[first : first + few]
        case "repeat":
            data[last:last] = data[first:last] * chance.choice((1, 1, 8))
        case "splice":
            data[first:] = other[chance.randrange(len(other)) :]
        case "stretch":  # a size made extreme: where the file has one, or anywhere
            known = [(at.end() + k, form) for part, ks, form in SIZES for at in re.finditer(part, data) for k in ks]
            anywhere = [(chance.randrange(min(size, 512)), chance.choice(("<H", ">H", "<I", ">I")))]
            where, form = chance.choice(known if known and chance.random() < 0.7 else anywhere)
            length = struct.calcsize(form)
            data[where : where + length] = struct.pack(form, chance.choice(EXTREMES) % 256**length)


def with_sums(data: bytearray) -> bytes:
    """A PNG whose chunks have the checksums that they should: with wrong ones, nothing behind the check is reached."""
    at = 8
    while (end := at + 8 + int.from_bytes(data[at : at + 4], "big")) + 4 <= len(data):
        data[end : end + 4] = zlib.crc32(data[at + 4 : end]).to_bytes(4, "big")
        at = end + 4
    return bytes(data)


class Brightness:
    """An engine with known answers: the brightest channel. Views that are no pixels in [0,1] stand out."""

    name = "brightness"

    def logits(self, views: torch.Tensor) -> torch.Tensor:
        if views.shape[1:] != (3, 224, 224) or not (views.min() >= 0 and views.max() <= 1 + 1e-5):
            raise ValueError(f"views of {tuple(views.shape)}, {views.min()} to {views.max()}")
        return views.mean(dim=(2, 3))


def classifier() -> Classifier:
    engine, device = Brightness(), torch.device("cpu")
    return Classifier(PREPROCESSING, "0" * 64, [Stage(engine, 0)], engine, device=device, batch_size=6)


def examine(number: int, data: bytes, folder: Path) -> tuple[str, str]:
    """How a case ends, and a note: an error where it is neither prediction rows nor one failure, or is both."""
    settings, file = load_settings(), folder / str(number)

    def source() -> Pixels:
        limits = {"max_pixels": settings.max_pixels, "max_side": settings.max_side}
        entry = Entry(path=file.name, label=None, bytes=len(data))
        return decode(read(str(folder), entry, settings), grayscale="convert", **limits)

    file.write_bytes(data)
    try:
        (found,) = predict([(number, source)], RECIPE, classifier())
    except Exception as error:
        return "error", f"{type(error).__name__}: {one_line(error)}"
    finally:
        file.unlink()
    rows = [(row.image_id, row.level) for row in found.predicted]
    if rows == [(number, level) for level in RECIPE.levels] and not found.failed:
        return "predicted", ""
    if [failed.image_id for failed in found.failed] == [number] and not rows:
        code, message = found.failed[0].code, found.failed[0].message
        # It goes into a database and onto a terminal, and may hold what the file says.
        return (code, message) if message.isprintable() else ("error", f"{code}: {message!r}")
    return "error", f"{len(rows)} rows and {len(found.failed)} failures"


class Ended(NamedTuple):
    """A case that is over: "predicted", a failure's code, "error", or "death" if it took its process along."""

    number: int
    outcome: str
    note: str
    seconds: float = 0.0
    #: The most that its process had in memory by then, in MiB.
    memory: int = 0


def run(numbers: Sequence[int], do: Callable[[int], tuple[str, str]], patience: float = 60) -> Iterator[Ended]:
    """Does cases in a child process, and goes on in another when it dies or hangs."""
    while numbers:
        pipe, theirs = FORK.Pipe(duplex=False)
        child = FORK.Process(target=_do_all, args=(do, numbers, theirs), daemon=True)
        child.start()
        theirs.close()  # or its death would not end the pipe
        hangs = False
        with suppress(EOFError):
            while numbers:
                if hangs := not pipe.poll(patience):
                    child.kill()
                ended = pipe.recv()
                numbers = numbers[1:]
                yield ended
        child.join()
        if numbers:  # what it was at is the first that has not ended
            yield Ended(numbers[0], "death", "hangs" if hangs else f"exit code {child.exitcode}")
            numbers = numbers[1:]


def _do_all(do: Callable[[int], tuple[str, str]], numbers: Sequence[int], pipe: Connection) -> None:
    torch.set_num_threads(1)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    for number in numbers:
        began, (outcome, note) = time.monotonic(), do(number)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        pipe.send(Ended(number, outcome, note, time.monotonic() - began, memory))


def tabulate(ended: Sequence[Ended]) -> Table:
    """A row a format: how many of its cases ended how."""
    counts = Counter((form, one.outcome) for one in ended for form in (FORMATS[one.number % len(FORMATS)], "all"))
    codes = sorted({outcome for _, outcome in counts} - {"predicted", *BAD})
    table = Table("format", *(Column(name, justify="right") for name in ("cases", "predicted", *codes, *BAD)))
    for form in (*FORMATS, "all"):
        row = [counts[form, outcome] for outcome in ("predicted", *codes, *BAD)]
        table.add_row(form, *map(str, (sum(row), *row)))
    return table


@click.command(help=__doc__)
@click.option("--cases", type=click.IntRange(1), default=20_000, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--images", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Folder of photographs.")
@click.option("--processes", type=click.IntRange(1), default=2, show_default=True)
@click.option("--keep", type=click.Path(file_okay=False, path_type=Path), help="Folder for the bytes of bad cases.")
@click.option("--json", "into", type=click.Path(dir_okay=False, path_type=Path), help="File for every case's end.")
def main(cases: int, seed: int, images: Path | None, processes: int, keep: Path | None, into: Path | None) -> None:
    files, began = photographs(images), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:

        def do(number: int) -> tuple[str, str]:
            return examine(number, make_case(number, seed, files), Path(folder))

        shares = [run(range(cases)[k::processes], do) for k in range(processes)]
        # One of each in turn: the others go on, as a pipe holds what nobody has asked for yet.
        ended = [one for some in zip_longest(*shares) for one in some if one is not None]
    bad = [one for one in ended if one.outcome in BAD]
    for one in bad:
        click.echo(f"case {one.number}: {one.outcome}: {one.note}", err=True)
        if keep:
            keep.mkdir(parents=True, exist_ok=True)
            (keep / str(one.number)).write_bytes(make_case(one.number, seed, files))
    if into:
        into.write_text(json.dumps([one._asdict() for one in ended]))
    total = Counter(one.outcome for one in ended)
    slowest, largest = max(ended, key=lambda one: one.seconds), max(ended, key=lambda one: one.memory)
    Console(width=200).print(tabulate(ended))
    click.echo(
        f"{cases} cases of seed {seed} in {time.monotonic() - began:.0f} s: {total['predicted']} predicted, "
        f"{cases - total['predicted'] - len(bad)} failed, {total['death']} deaths, {total['error']} errors; slowest "
        f"{slowest.seconds:.1f} s (case {slowest.number}), most memory {largest.memory} MiB (by case {largest.number})"
    )
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    collect_seldom()
    main()
