"""Attacks: images a second of this worker's PGD, and of Foolbox's on the same images, model, levels and steps.

    python -m benchmarks.attacks ../shared/images --images 8

An image is one photograph attacked at all levels above 0. Foolbox needs inputs of the model's size, so that the
comparison is on crops; then come photographs at their own size, which only this worker attacks. Needs the extra
``embedded``.
"""

import argparse
import importlib
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from db.models import BUNDLED_MODEL
from db.recipe import Recipe, make_recipe
from worker.assembly import make_classifier
from worker.attacks.aim import aim_of
from worker.classifier import Classifier
from worker.images import Pixels, decode
from worker.keys import Key
from worker.lanes import spread
from worker.perturbations import PERTURBATIONS, Subject

LEVELS = (0.0, 1 / 255, 2 / 255, 4 / 255)


def recipe_of(attacker: str, steps: int) -> Recipe:
    """PGD in the L∞ ball."""
    told = PERTURBATIONS["pgd-linf"].settle({"attacker": attacker, "steps": steps}).model_dump(exclude_none=True)
    return make_recipe(model=BUNDLED_MODEL, perturbation="pgd-linf", levels=LEVELS, options=told)


def ours(photographs: Sequence[Pixels], recipe: Recipe, classifier: Classifier) -> None:
    """Attacks each photograph in one of the lanes, as a worker does."""
    aim = aim_of(recipe, classifier)

    @torch.inference_mode()
    def attack(pixels: Pixels) -> None:
        key = Key(pixels.digest, recipe.seed)
        image = pixels.image.to(classifier.device)
        subject = Subject(image, torch.empty(0), key, recipe, classifier.preprocessing, aim)
        list(PERTURBATIONS[recipe.perturbation].perturb(subject, recipe.levels))

    list(spread(attack, photographs, lanes=classifier.lanes, threads=classifier.threads))


def foolboxes(foolbox: Any, crops: Sequence[torch.Tensor], classifier: Classifier, steps: int, batch: int) -> None:
    """Foolbox's own loop: batches of crops, all levels of each."""
    model = foolbox.PyTorchModel(classifier.network, bounds=(0, 1), device=classifier.device)
    attack = foolbox.attacks.LinfPGD(rel_stepsize=2.5 / steps, steps=steps)
    for first in range(0, len(crops), batch):
        images = torch.stack(list(crops[first : first + batch])).to(classifier.device)
        attack(model, images, model(images).argmax(dim=1), epsilons=list(LEVELS[1:]))


def main() -> None:
    """Measures, and prints a line for each way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="photographs")
    parser.add_argument("--images", type=int, default=8, help="how many of them")
    parser.add_argument("--steps", type=int, default=10, help="of each attack")
    parser.add_argument(
        "--rounds", type=int, default=2, help="every way is measured so often, in turn; the best counts"
    )
    parser.add_argument("--device", default="cpu", help="cpu or cuda:N")
    given = parser.parse_args()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        foolbox: Any = importlib.import_module("foolbox")
    files = sorted(file for file in given.folder.iterdir() if file.suffix.lower() in (".jpg", ".jpeg", ".png"))
    whole = [decode(file.read_bytes(), grayscale="convert", max_pixels=10**8) for file in files[: given.images]]
    model, defence = (recipe_of(attacker, given.steps) for attacker in ("model", "defence"))
    classifier = make_classifier(model, device=given.device, engine="eager")
    # Crops of the model's size, which resizing leaves as they are.
    side = classifier.preprocessing.crop
    cropped = [
        Pixels(pixels.values[:side, :side], pixels.digest) for pixels in whole if min(pixels.values.shape[:2]) >= side
    ]
    crops = [pixels.image for pixels in cropped]
    classifier.preprocessing = classifier.preprocessing._replace(resize=side)
    ways: dict[str, tuple[int, Callable[[], None]]] = {
        "crops, foolbox, one image at a time": (len(crops), lambda: foolboxes(foolbox, crops, classifier, given.steps, 1)),
        "crops, foolbox, all images in a batch": (len(crops), lambda: foolboxes(foolbox, crops, classifier, given.steps, len(crops))),
        "crops, ours": (len(crops), lambda: ours(cropped, model, classifier)),
        "whole photographs, ours": (len(whole), lambda: ours(whole, model, classifier)),
        "whole photographs, ours, who knows the defence": (len(whole), lambda: ours(whole, defence, classifier)),
    }  # fmt: skip
    best = dict.fromkeys(ways, 0.0)
    for _ in range(given.rounds):
        for name, (count, run) in ways.items():
            began = time.perf_counter()
            run()
            best[name] = max(best[name], count / (time.perf_counter() - began))
    for name, rate in best.items():
        print(f"{rate:6.3f} images/s  {name}")


if __name__ == "__main__":
    main()
