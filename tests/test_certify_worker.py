"""Noisy copies in a worker: their noise, the counts of their labels, and whose fault an error is."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from attacks import AS_IT_IS, CPU, FIT, image, network
from torch import nn

from db.copies import parts_of
from db.errors import Refusal
from db.found import Found
from db.recipe import Preprocessing, Recipe, make_recipe
from worker import denoiser
from worker.bounds import SMALLEST
from worker.classifier import Classifier, DeviceLost, Stage
from worker.copies import count_copies
from worker.dncnn import DnCNN
from worker.engines import Eager, Engine, Normalised
from worker.images import Pixels
from worker.keys import Key
from worker.pipeline import Case
from worker.preprocess import fit
from worker.smoothers import SMOOTHERS
from worker.unusable import Unusable

#: How many copies have this image, level, part and label.
Counts = dict[tuple[int, float, int, int], int]


def certificate(*levels: float, n0: int = 10, **fields: Any) -> Recipe:
    return make_recipe(**{"smoother": "none"} | fields, levels=levels, selection=n0)


def classifier(
    model: nn.Module | None = None, batch_size: int = 6, lanes: int = 1, fit: Preprocessing = FIT
) -> Classifier:
    plain = Eager(network(fit) if model is None else Normalised(model, fit), CPU)
    return Classifier(
        fit, "0" * 64, [Stage(plain, SMALLEST)], plain, device=CPU, batch_size=batch_size, lanes=lanes, threads=1
    )


def pixels(values: torch.Tensor) -> Pixels:
    return Pixels(values.permute(1, 2, 0), hashlib.sha256(values.numpy().tobytes()).digest())


def cases(*values: torch.Tensor) -> list[Case]:
    return [Case(number, lambda values=values: pixels(values)) for number, values in enumerate(values)]


def counts_of(found: Sequence[Found]) -> Counts:
    rows = [row for some in found for row in some.counted]
    counts = {(row.image_id, row.level, row.part, row.label): row.n for row in rows}
    assert len(counts) == len(rows)
    return counts


def failures_of(found: Sequence[Found]) -> list[tuple[int, str]]:
    return [(row.image_id, row.code) for some in found for row in some.failed]


def by_a_straight_loop(images: Sequence[torch.Tensor], recipe: Recipe, last: int) -> Counts:
    """Cohen's loop, one copy at a time, over the noise that the keys say."""
    model, counts = network(FIT).to(memory_format=torch.channels_last), Counter[tuple[int, float, int, int]]()
    smoother = SMOOTHERS[recipe.smoother]
    with torch.inference_mode():
        for number, values in enumerate(images):
            key = Key(pixels(values).digest, recipe.seed)
            for part in parts_of(recipe.selection or 0, 0, last):
                for copy in range(part.first, part.last + 1):
                    epsilon = torch.randn(3, 16, 16, generator=key.copy_generator(copy))
                    for sigma in recipe.levels:
                        noisy = smoother.smooth((fit(values, FIT) + sigma * epsilon)[None], recipe)
                        label = int(model(noisy.contiguous(memory_format=torch.channels_last)).argmax())
                        counts[number, sigma, part.first, label] += 1
    return counts


# -- the noise of a copy -----------------------------------------------------------------------------------------


def test_a_copys_noise_is_standard_normal_and_no_two_copies_are_alike() -> None:
    key = Key(bytes(32), 0)
    drawn = torch.stack([torch.randn(3, 100, 100, generator=key.copy_generator(number)) for number in range(40)])
    # 1.2 million values: the mean is known to .001, and the correlation of two copies of 30,000 values to .006.
    assert drawn.mean().item() == pytest.approx(0, abs=0.005)
    assert drawn.std().item() == pytest.approx(1, abs=0.005)
    apart = torch.corrcoef(drawn.flatten(1)) - torch.eye(40)
    assert apart.abs().max() < 0.03


def test_image_seed_and_number_each_give_other_noise() -> None:
    keys = [(Key(bytes(32), 0), 0), (Key(bytes(32), 0), 1), (Key(bytes(32), 1), 0), (Key(b"1" * 32, 0), 0)]
    drawn = {tuple(torch.randn(3, generator=key.copy_generator(number)).tolist()) for key, number in keys}
    assert len(drawn) == len(keys)
    assert tuple(torch.randn(3, generator=keys[0][0].copy_generator(0)).tolist()) in drawn


def test_a_copys_noise_is_that_of_every_run_so_far() -> None:
    """As NumPy draws it: other noise would change the meaning of every recorded count."""
    key = hashlib.sha256(bytes(32) + (7).to_bytes(8, "big") + b"copy 417").digest()
    twister = np.random.MT19937()
    words = np.frombuffer(hashlib.shake_256(key).digest(4 * 624), "<u4")
    twister.state = {"bit_generator": "MT19937", "state": {"key": words, "pos": 624}}
    uniform = (twister.random_raw(16) & 0xFFFFFF) / 2**24
    # PyTorch's Box-Muller transform takes sixteen uniform numbers at a time.
    radius, angle = np.sqrt(-2 * np.log(1 - uniform[:8])), 2 * np.pi * uniform[8:]
    drawn = torch.randn(16, generator=Key(bytes(32), 7).copy_generator(417))
    assert drawn.tolist() == pytest.approx([*radius * np.cos(angle), *radius * np.sin(angle)], abs=1e-5)


# -- counts ------------------------------------------------------------------------------------------------------


def test_a_parts_labels_are_counted() -> None:
    class ByBrightness(nn.Module):
        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            return batch.mean(dim=(2, 3))

    # Noise of .001 changes a mean over 256 pixels by .00006: red stays the brightest channel of the first image, and
    # blue of the second.
    red, blue = torch.zeros(3, 16, 16), torch.zeros(3, 16, 16)
    red[0], blue[2] = 0.5, 0.5
    plain = Preprocessing(16, 16, "bilinear", False, (0, 0, 0), (1, 1, 1))
    found = list(
        count_copies(cases(red, blue), certificate(0.001, n0=10), (0, 249), classifier(ByBrightness(), fit=plain))
    )
    expected = {0: 10, 10: 100, 110: 100, 210: 40}
    assert counts_of(found) == {
        (number, 0.001, part, label): n for number, label in ((0, 0), (1, 2)) for part, n in expected.items()
    }
    assert failures_of(found) == []


@pytest.fixture(scope="module")
def images() -> list[torch.Tensor]:
    return [image(side, picture) for side, picture in ((24, 1), (30, 2), (27, 3))]


@pytest.fixture(scope="module")
def expected(images: list[torch.Tensor]) -> Counts:
    return by_a_straight_loop(images, certificate(0.25, 0.5, 1.0), 129)


def test_counts_are_those_of_a_straight_loop(images: list[torch.Tensor], expected: Counts) -> None:
    found = list(count_copies(cases(*images), certificate(0.25, 0.5, 1.0), (0, 129), classifier()))
    assert counts_of(found) == expected
    assert len({label for *_, label in expected}) > 2  # noise changes labels, so that there is something to count


@pytest.mark.parametrize("lanes", [1, 2])
@pytest.mark.parametrize("batch_size", [1, 5, 96])
def test_neither_batch_size_nor_lanes_change_a_count(
    images: list[torch.Tensor], expected: Counts, batch_size: int, lanes: int
) -> None:
    made = classifier(batch_size=batch_size, lanes=lanes)
    assert counts_of(list(count_copies(cases(*images), certificate(0.25, 0.5, 1.0), (0, 129), made))) == expected


@pytest.mark.parametrize("spans", [[(0, 9), (10, 109), (110, 129)], [(110, 129), (0, 109)]])
def test_jobs_of_some_images_and_some_copies_add_up_to_the_same_counts(
    images: list[torch.Tensor], expected: Counts, spans: list[tuple[int, int]]
) -> None:
    counts: Counts = {}
    for case in reversed(cases(*images)):
        for span in spans:
            some = counts_of(list(count_copies([case], certificate(0.25, 0.5, 1.0), span, classifier(batch_size=7))))
            assert not some.keys() & counts.keys()
            counts |= some
    assert counts == expected


def test_a_denoiser_or_another_smoother_stands_before_the_model(images: list[torch.Tensor], tmp_path: Path) -> None:
    file = tmp_path / "d.safetensors"
    torch.manual_seed(0)
    trained = DnCNN(3, 4)
    nn.init.normal_(trained[-1].weight, std=0.2)
    denoiser.save(trained, file)
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    for fields in (
        {"smoother": "denoiser", "smoother_file": str(file), "smoother_sha256": sha256},
        {"smoother": "median"},
    ):
        recipe = certificate(0.5, **fields)
        counts = counts_of(list(count_copies(cases(*images), recipe, (0, 109), classifier(lanes=2))))
        assert counts == by_a_straight_loop(images, recipe, 109)
        assert counts != by_a_straight_loop(images, certificate(0.5), 109)


def test_copies_are_not_clamped_and_levels_share_their_noise() -> None:
    seen: list[torch.Tensor] = []

    class Spy(nn.Module):
        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            seen.append(batch.clone())
            return batch.mean(dim=(2, 3))

    x = image(16)
    plain = AS_IT_IS._replace(mean=(0, 0, 0), std=(1, 1, 1))
    list(count_copies(cases(x), certificate(0.5, 1.0, n0=1), (0, 0), classifier(Spy(), batch_size=2, fit=plain)))
    low, high = seen[0]
    epsilon = torch.randn(3, 16, 16, generator=Key(pixels(x).digest, 0).copy_generator(0))
    assert torch.equal(low, torch.add(x, epsilon, alpha=0.5))
    assert torch.equal(high, torch.add(x, epsilon, alpha=1.0))
    assert high.min() < -1
    assert high.max() > 2


# -- work --------------------------------------------------------------------------------------------------------


def test_copies_of_several_images_fill_a_pass_together() -> None:
    made = classifier(batch_size=4)
    passes: list[None] = []
    made.after_pass = lambda: passes.append(None)
    made.cascade = [made.cascade[0]._replace(bound=0)]
    list(count_copies(cases(image(24), image(30)), certificate(0.25, 0.5, 1.0), (0, 9), made))
    assert len(passes) == 2 * 10 * 3 / 4


def test_an_image_is_read_once_a_job() -> None:
    reads: list[int] = []

    def source() -> Pixels:
        reads.append(1)
        return pixels(image(24))

    list(count_copies([Case(7, source)], certificate(0.25), (0, 109), classifier(lanes=2)))
    assert reads == [1]


def test_copies_are_drawn_as_they_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []
    draw = Key.copy_generator

    def note(key: Key, number: int) -> torch.Generator:
        drawn.append(number)
        return draw(key, number)

    monkeypatch.setattr(Key, "copy_generator", note)
    with torch.inference_mode():
        found = count_copies(cases(image(24)), certificate(0.25), (0, 99_999), classifier(batch_size=6, lanes=2))
        next(found)
        found.close()
    # Two groups of six copies a lane are taken ahead, and one more for the first result.
    assert len(drawn) <= 5 * 6


# -- faults ------------------------------------------------------------------------------------------------------


def raising(error: Exception) -> Callable[[], Pixels]:
    def source() -> Pixels:
        raise error

    return source


def test_an_image_that_cannot_be_used_is_one_failure_and_its_neighbours_are_counted() -> None:
    broken = Case(8, raising(Unusable("truncated", "half of it is missing")))
    narrow = Case(9, lambda: pixels(torch.rand(3, 1, 20_000)))
    found = list(count_copies([broken, *cases(image(24)), narrow], certificate(0.25), (0, 109), classifier()))
    assert sorted(failures_of(found)) == [(8, "truncated"), (9, "too_narrow")]
    assert sum(counts_of(found).values()) == 110
    assert {number for number, *_ in counts_of(found)} == {0}


def test_a_strip_is_counted_without_resizing_it_as_a_whole() -> None:
    found = list(count_copies(cases(torch.rand(3, 2, 2000)), certificate(0.25), (0, 9), classifier()))
    assert sum(counts_of(found).values()) == 10


def test_a_crop_that_is_too_small_for_the_smoother_is_a_failure() -> None:
    recipe = certificate(0.25, smoother="gaussian", kernel_size=33)  # reflects 16 pixels, without the edge
    found = list(count_copies(cases(image(24)), recipe, (0, 9), classifier()))
    assert failures_of(found) == [(0, "too_small")]


def test_an_image_with_a_copy_whose_outputs_are_not_finite_is_a_failure_without_counts() -> None:
    class NanWhereBright(nn.Module):
        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            means = batch.mean(dim=(2, 3))
            return torch.where(means.mean(1, keepdim=True) > 0, torch.nan, means)

    dark, bright = torch.zeros(3, 24, 24), torch.ones(3, 24, 24)
    found = list(count_copies(cases(dark, bright), certificate(0.01), (0, 9), classifier(NanWhereBright())))
    assert failures_of(found) == [(1, "not_finite")]
    assert {number for number, *_ in counts_of(found)} == {0}


@pytest.mark.parametrize(
    ("error", "code"), [(ValueError("odd"), "unexpected"), (Refusal("its server says 500"), "unreadable")]
)
def test_an_unforeseen_error_is_the_images_if_others_are_fine_and_else_the_machines(
    error: Exception, code: str
) -> None:
    odd = Case(8, raising(error))
    found = list(count_copies([odd, *cases(image(24))], certificate(0.25), (0, 9), classifier()))
    assert failures_of(found) == [(8, code)]
    with pytest.raises(type(error), match=str(error)):
        list(count_copies([odd], certificate(0.25), (0, 9), classifier()))


class Raising:
    """An engine that fails at its second pass."""

    name = "raising"

    def __init__(self, error: Exception, engine: Engine) -> None:
        self.error, self.engine, self.passes = error, engine, 0

    def logits(self, views: torch.Tensor) -> torch.Tensor:
        self.passes += 1
        if self.passes > 1:
            raise self.error
        return self.engine.logits(views)


@pytest.mark.parametrize(
    ("error", "raised"),
    [(MemoryError(), Refusal), (torch.AcceleratorError("CUDA error: an illegal memory access"), DeviceLost)],
)
def test_what_the_model_lacks_is_no_images_fault(error: Exception, raised: type[Exception]) -> None:
    made = classifier(batch_size=1)
    made.cascade = [Stage(Raising(error, made.cascade[0].engine), 0)]
    with pytest.raises(raised):
        list(count_copies(cases(image(24), image(30)), certificate(0.25, n0=1), (0, 0), made))


def test_a_smoother_of_a_later_version_is_refused() -> None:
    with pytest.raises(Refusal, match="there is no smoother 'from_tomorrow'"):
        next(count_copies(cases(image(24)), certificate(0.25, smoother="from_tomorrow"), (0, 9), classifier()))


def test_no_images_are_no_counts() -> None:
    none: Iterator[Case] = iter(())
    assert counts_of(list(count_copies(none, certificate(0.25), (0, 9), classifier()))) == {}
