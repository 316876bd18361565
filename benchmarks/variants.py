"""What throughput and certify compare, each in a process of its own: `python -m benchmarks.variants NAME TASK.json`.

Prints one JSON object: views and seconds of the timed part, seconds to get ready, and peak memory.
"""

import json
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

#: Seconds that an engine is given on ready-made batches.
BARE_SECONDS = 4.0
#: How a worker decodes by default.
LIMITS = {"grayscale": "convert", "max_pixels": 10**9}


class Clock:
    """Seconds since it was made, by the clock and by the cores: on a machine that others use, the second compares."""

    def __init__(self) -> None:
        self._began, self._busy = time.perf_counter(), time.process_time()

    def spent(self) -> dict[str, float]:
        """Seconds; and those that the cores worked for this process, added up."""
        return {"seconds": time.perf_counter() - self._began, "cpu_seconds": time.process_time() - self._busy}


class Task:
    """Photographs, and the recipe to compute them by."""

    def __init__(self, file: Path) -> None:
        from db.recipe import Recipe

        given = json.loads(file.read_text())
        self.recipe = Recipe(**given["recipe"])
        self.files = [Path(name) for name in given["files"]]
        self.home = Path(given["home"])
        #: Of a certificate: number of copies of each photograph, and copies in a batch of the reference loop.
        self.copies, self.batch = given.get("copies", 0), given.get("batch", 0)

    def views(self, files: list[Path]) -> int:
        """How many views these photographs have."""
        return len(files) * len(self.recipe.levels) * (self.copies or 3)


def article_loop(task: Task) -> dict[str, Any]:
    """One image, one level, one view at a time, eager fp32: as the article's code does it."""
    from worker.models import load

    model = load(task.recipe)
    files = task.files[::5]
    began = time.perf_counter()
    with torch.inference_mode():
        for file in files:
            image = _opened(file)
            for sigma in task.recipe.levels:
                view = (image + sigma * torch.randn_like(image)).clamp(0, 1)
                for _ in range(3):
                    logits = model.network(_fitted(view, model.preprocessing)[None])
                    logits.softmax(1).max(1)
                    view = _blurred(view, task.recipe)
    return {"views": task.views(files), "seconds": time.perf_counter() - began}


def dataloader(task: Task) -> dict[str, Any]:
    """What a competent user would write: workers of a DataLoader, batches of 48, channels last, bf16 autocast."""
    from torch.utils.data import DataLoader

    from worker.models import load

    model = load(task.recipe)
    network = model.network.to(memory_format=torch.channels_last)
    files = task.files[::5]
    photographs = Photographs(files, task.recipe, model.preprocessing)
    began = time.perf_counter()
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        for batch in DataLoader(photographs, batch_size=4, num_workers=2):
            network(batch.flatten(0, 1).contiguous(memory_format=torch.channels_last)).softmax(1).max(1)
    return {"views": task.views(files), "seconds": time.perf_counter() - began}


class Photographs(torch.utils.data.Dataset[torch.Tensor]):
    """Each photograph's views: (levels · 3, 3, crop, crop)."""

    def __init__(self, files: list[Path], recipe: Any, preprocessing: Any) -> None:
        self.files, self.recipe, self.preprocessing = files, recipe, preprocessing

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, number: int) -> torch.Tensor:
        image = _opened(self.files[number])
        noise, views = torch.randn_like(image), []
        for sigma in self.recipe.levels:
            view = (image + sigma * noise).clamp(0, 1)
            for _ in range(3):
                views.append(_fitted(view, self.preprocessing))
                view = _blurred(view, self.recipe)
        return torch.stack(views)


def in_process(task: Task) -> dict[str, Any]:
    """The worker's own way, without queue or database."""
    from worker.assembly import make_classifier
    from worker.images import decode
    from worker.pipeline import predict
    from worker.stopwatch import Stopwatch

    began = time.perf_counter()
    classifier = make_classifier(task.recipe, device="cpu", home=task.home)

    def images(files: list[Path]) -> list[Any]:
        return [(at, partial(lambda file: decode(file.read_bytes(), **LIMITS), file)) for at, file in enumerate(files)]

    list(predict(images(task.files[:4]), task.recipe, classifier))
    ready, watch = time.perf_counter() - began, Stopwatch()
    classifier.asked.clear()
    began = time.perf_counter()
    rows = sum(len(found.predicted) for found in predict(images(task.files), task.recipe, classifier, watch))
    seconds = time.perf_counter() - began
    return {"views": 3 * rows, "seconds": seconds, "ready": ready, "asked": dict(classifier.asked)}


def reference_loop(task: Task) -> dict[str, Any]:
    """The loop of the reference implementation's certify.py, on a CPU: batches of copies of an image, eager fp32.

    Source: Smooth._sample_noise in github.com/locuslab/smoothing.
    """
    from worker.engines import Normalised
    from worker.models import load
    from worker.preprocess import fit

    model = load(task.recipe)
    base_classifier = Normalised(model.network, model.preprocessing).eval()
    counts = torch.zeros(task.recipe.class_count, dtype=torch.int64)
    clock = Clock()
    with torch.inference_mode():
        for file in task.files:
            x = fit(_opened(file), model.preprocessing)
            for sigma in task.recipe.levels:
                left = task.copies
                while left > 0:
                    this_batch_size = min(task.batch, left)
                    left -= this_batch_size
                    batch = x.repeat((this_batch_size, 1, 1, 1))
                    noise = torch.randn_like(batch) * sigma
                    counts += base_classifier(batch + noise).argmax(1).bincount(minlength=len(counts))
    assert int(counts.sum()) == task.views(task.files)
    return {"views": task.views(task.files)} | clock.spent()


def copies(task: Task) -> dict[str, Any]:
    """The worker's own way to count an image's copies, without queue or database."""
    from worker.assembly import make_classifier
    from worker.copies import count_copies
    from worker.images import decode
    from worker.pipeline import Case
    from worker.stopwatch import Stopwatch

    began = time.perf_counter()
    classifier = make_classifier(task.recipe, device="cpu", home=task.home)
    images = [
        Case(at, partial(lambda file: decode(file.read_bytes(), **LIMITS), file)) for at, file in enumerate(task.files)
    ]
    list(count_copies(images[:1], task.recipe, (0, 23), classifier))
    ready, watch = time.perf_counter() - began, Stopwatch()
    classifier.asked.clear()
    clock = Clock()
    found = list(count_copies(images, task.recipe, (0, task.copies - 1), classifier, watch))
    spent = clock.spent()
    rows = [row for some in found for row in some.counted]
    assert sum(row.n for row in rows) == task.views(task.files)
    counts = sorted([row.image_id, row.level, row.part, row.label, row.n] for row in rows)
    said = {"views": task.views(task.files), "ready": ready} | spent
    return said | {"asked": dict(classifier.asked), "stages": watch.seconds, "counts": counts}


def plain_copies(task: Task) -> dict[str, Any]:
    """The counts of the same copies by a straight loop: one copy at a time, eager fp32."""
    from db.copies import parts_of
    from worker.engines import Normalised
    from worker.images import decode
    from worker.keys import Key
    from worker.models import load
    from worker.preprocess import fit

    model = load(task.recipe)
    network = Normalised(model.network, model.preprocessing).eval().to(memory_format=torch.channels_last)
    rows: Counter[tuple[int, float, int, int]] = Counter()
    began = time.perf_counter()
    with torch.inference_mode():
        for at, file in enumerate(task.files):
            pixels = decode(file.read_bytes(), **LIMITS)
            x = fit(pixels.image, model.preprocessing)
            key = Key(pixels.digest, task.recipe.seed)
            for part in parts_of(task.recipe.selection or 0, 0, task.copies - 1):
                for number in range(part.first, part.last + 1):
                    noise = torch.randn(x.shape, generator=key.copy_generator(number))
                    for sigma in task.recipe.levels:
                        batch = (x + sigma * noise)[None].contiguous(memory_format=torch.channels_last)
                        rows[at, sigma, part.first, int(network(batch).argmax())] += 1
    counts = sorted([*row, n] for row, n in rows.items())
    return {"views": task.views(task.files), "seconds": time.perf_counter() - began, "counts": counts}


def draws(task: Task) -> dict[str, Any]:
    """Copies that one core draws a second: the keyed noise alone, into memory that is there."""
    from worker.keys import Key
    from worker.models import load

    side = load(task.recipe).preprocessing.crop
    torch.set_num_threads(1)
    noise, key = torch.empty(3, side, side), Key(bytes(32), 0)
    end, drawn = time.perf_counter() + BARE_SECONDS, 0
    clock = Clock()
    while time.perf_counter() < end:
        torch.randn(noise.shape, generator=key.copy_generator(drawn), out=noise)
        drawn += 1
    return {"views": drawn} | clock.spent()


def bare_model(task: Task) -> dict[str, Any]:
    """The model alone on ready-made batches, by the engine and batch size with which it is fastest."""
    from worker.assembly import make_classifier
    from worker.lanes import spread

    sizes = {"openvino": (4, 6, 12, 24), "eager": (6, 24)}
    found: dict[str, dict[str, Any]] = {}
    for engine, batch_sizes in sizes.items():
        classifier = make_classifier(task.recipe, device="cpu", engine=engine, home=task.home)
        side, asked = classifier.preprocessing.crop, classifier.cascade[0].engine
        for size in batch_sizes:
            batch = torch.rand(size, 3, side, side).contiguous(memory_format=torch.channels_last)

            def passes(_: int, batch: torch.Tensor = batch, asked: Any = asked) -> int:
                with torch.inference_mode():
                    asked.logits(batch)
                    asked.logits(batch)
                    end, views = time.perf_counter() + BARE_SECONDS, 0
                    while time.perf_counter() < end:
                        asked.logits(batch)
                        views += len(batch)
                return views

            lanes = classifier.lanes
            list(spread(passes, range(lanes), lanes=lanes, threads=classifier.threads))  # warm, and timed next
            clock = Clock()
            views = sum(spread(passes, range(lanes), lanes=lanes, threads=classifier.threads))
            found[f"{asked.name}, {size} views a pass"] = {"views": views} | clock.spent()
    best = max(found, key=lambda name: found[name]["views"] / found[name]["seconds"])
    return found[best] | {"engine": best}


VARIANTS: dict[str, Callable[[Task], dict[str, Any]]] = {
    function.__name__: function
    for function in (article_loop, dataloader, in_process, bare_model, reference_loop, copies, plain_copies, draws)
}


def _opened(file: Path) -> torch.Tensor:
    from PIL import Image
    from torchvision.transforms.v2 import functional as F

    with Image.open(file) as opened:
        return F.to_dtype(F.to_image(opened.convert("RGB")), torch.float32, scale=True).as_subclass(torch.Tensor)


def _blurred(view: torch.Tensor, recipe: Any) -> torch.Tensor:
    from kornia.filters import gaussian_blur2d

    size, sigma = recipe.kernel_size, recipe.kernel_sigma
    blurred: torch.Tensor = gaussian_blur2d(view[None], (size, size), (sigma, sigma))[0]
    return blurred


def _fitted(view: torch.Tensor, preprocessing: Any) -> torch.Tensor:
    from torchvision.transforms.v2 import functional as F

    from worker.preprocess import fit

    fitted: torch.Tensor = F.normalize(fit(view, preprocessing), list(preprocessing.mean), list(preprocessing.std))
    return fitted


if __name__ == "__main__":
    answer = VARIANTS[sys.argv[1]](Task(Path(sys.argv[2])))
    print(json.dumps(answer | {"peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
