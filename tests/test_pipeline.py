import hashlib
import math
from collections.abc import Callable

import pytest
import torch
from torch import nn

from db.errors import Refusal
from db.recipe import Preprocessing, Recipe, make_recipe
from db.settings import Settings
from db.store import Work
from worker.classifier import Classifier, DeviceLost, Stage, choose_device
from worker.compute import Compute
from worker.engines import Eager, Normalised
from worker.images import Pixels
from worker.pipeline import predict
from worker.unusable import Unusable

PLAIN = Preprocessing(resize=8, crop=8, interpolation="bilinear", antialias=False, mean=(0, 0, 0), std=(1, 1, 1))
CPU = torch.device("cpu")
CALM = make_recipe(levels=(0,), resize=8, crop=8)


class ByBrightness(nn.Module):
    """Logits that can be worked out by hand: the means of the three channels."""

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        return batch.mean(dim=(2, 3))


class ByRoughness(nn.Module):
    """Class 0 for a rough image, 1 for a smoother one, 2 for a smooth one: so each view has a label of its own."""

    def __init__(self, low: float, high: float) -> None:
        super().__init__()
        self.low, self.high = low, high

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        rough = (batch[..., 1:] - batch[..., :-1]).abs().mean(dim=(1, 2, 3))
        label = (rough < self.high).long() + (rough < self.low).long()
        return nn.functional.one_hot(label, 3).float()


def classifier(network: nn.Module, batch_size: int = 5, preprocessing: Preprocessing = PLAIN) -> Classifier:
    plain = Eager(Normalised(network, preprocessing), CPU)
    return Classifier(preprocessing, "0" * 64, [Stage(plain, 0)], plain, device=CPU, batch_size=batch_size)


def source(image: torch.Tensor) -> Callable[[], Pixels]:
    return lambda: Pixels(image.permute(1, 2, 0), hashlib.sha256(image.numpy().tobytes()).digest())


def flat(*rgb: float) -> torch.Tensor:
    return torch.tensor(rgb, dtype=torch.float32).view(3, 1, 1).expand(3, 12, 12).contiguous()


def test_a_label_is_the_largest_output_and_its_softmax_probability() -> None:
    found = next(predict([(4, source(flat(0.2, 0.9, 0.1)))], CALM, classifier(ByBrightness())))
    row = found.predicted[0]
    expected = math.exp(0.9) / (math.exp(0.2) + math.exp(0.9) + math.exp(0.1))
    assert (row.image_id, row.level, row.label_ns, row.label_ss, row.label_ds, row.label_maj) == (4, 0, 1, 1, 1, 1)
    assert row.confidence_ns == pytest.approx(expected, abs=1e-6)


def test_normalisation_is_the_classifiers_and_comes_after_the_views() -> None:
    # (0.2 - 0.2) / .1 = 0, (0.9 - 0.8) / .1 = 1, (0.1 - 0.5) / .1 = -4
    made = classifier(ByBrightness(), preprocessing=PLAIN._replace(mean=(0.2, 0.8, 0.5), std=(0.1, 0.1, 0.1)))
    row = next(predict([(0, source(flat(0.2, 0.9, 0.1)))], CALM, made)).predicted[0]
    assert row.confidence_ns == pytest.approx(math.e / (1 + math.e + math.exp(-4)), abs=1e-5)


def test_three_views_with_three_labels_are_rejected() -> None:
    torch.manual_seed(0)
    rough = torch.rand(3, 12, 12)
    row = next(predict([(0, source(rough))], CALM, classifier(ByRoughness(0.05, 0.2)))).predicted[0]
    assert (row.label_ns, row.label_ss, row.label_ds) == (0, 1, 2)
    assert row.label_maj is None


def test_every_image_has_a_row_a_level() -> None:
    recipe = make_recipe(levels=(0.5, 0, 0.1), resize=8, crop=8)
    images = [(number, source(torch.rand(3, 10, 14))) for number in range(7)]
    rows = [row for found in predict(images, recipe, classifier(ByBrightness())) for row in found.predicted]
    assert sorted((row.image_id, row.level) for row in rows) == [(n, s) for n in range(7) for s in (0, 0.1, 0.5)]


def _rows(recipe: Recipe, numbers: range, batch_size: int) -> list[object]:
    torch.manual_seed(3)
    images = [torch.rand(3, 10 + number % 3, 12) for number in range(9)]
    chosen = [(number, source(images[number])) for number in numbers]
    return [row for found in predict(chosen, recipe, classifier(ByBrightness(), batch_size)) for row in found.predicted]


def test_answers_do_not_depend_on_what_else_is_in_the_batch() -> None:
    recipe = make_recipe(levels=(0, 0.3), resize=8, crop=8)
    together = _rows(recipe, range(9), batch_size=11)
    assert _rows(recipe, range(4), batch_size=11) + _rows(recipe, range(4, 9), batch_size=11) == together
    assert _rows(recipe, range(9), batch_size=3) == together


def test_every_forward_pass_has_the_same_shape() -> None:
    # Kernels are chosen by shape, and with them an answer's last bits: 7 views in batches of 5 are 5 and 5, not 2.
    seen: list[int] = []

    class Spy(nn.Module):
        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            seen.append(len(batch))
            return batch.mean(dim=(2, 3))

    made = classifier(Spy(), batch_size=5)
    assert made.predict(torch.rand(7, 3, 8, 8)).labels.shape == (7,)
    assert seen == [5, 5]


def test_a_bad_image_costs_itself_and_not_its_neighbours() -> None:
    def broken() -> Pixels:
        raise Unusable("truncated", "half of it is missing")

    images = [(1, source(flat(1, 0, 0))), (2, broken), (3, source(torch.rand(3, 1, 1))), (4, source(flat(0, 0, 1)))]
    found = list(predict(images, CALM, classifier(ByBrightness())))
    assert [(row.image_id, row.label_maj) for some in found for row in some.predicted] == [(1, 0), (4, 2)]
    assert [(row.image_id, row.code) for some in found for row in some.failed] == [(2, "truncated"), (3, "too_small")]


def test_outputs_that_are_no_numbers_are_a_failure_and_not_label_zero() -> None:
    class Broken(nn.Module):
        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            return torch.full((len(batch), 3), math.nan)

    found = next(predict([(0, source(flat(1, 0, 0)))], CALM, classifier(Broken())))
    assert found.predicted == []
    assert found.failed[0].code == "not_finite"


def test_levels_share_one_field_of_noise() -> None:
    seen: list[torch.Tensor] = []

    class Spy(nn.Module):
        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            seen.append(batch.clone())
            return batch.mean(dim=(2, 3))

    # Mid-grey and little noise: nothing is clamped, so the noise at twice the level is twice the noise.
    image = torch.full((3, 8, 8), 0.5)
    recipe = make_recipe(levels=(0.01, 0.02), resize=8, crop=8)
    list(predict([(0, source(image))], recipe, classifier(Spy(), batch_size=6)))
    views = seen[0] - 0.5
    assert torch.allclose(views[3], 2 * views[0], atol=1e-6)
    assert views[0].std() > 0.005


def test_what_no_engine_can_decide_is_computed_plainly_from_the_pixels_on() -> None:
    class Wrong:
        """Says nothing but that it is not sure."""

        name = "wrong"

        def logits(self, views: torch.Tensor) -> torch.Tensor:
            return torch.zeros(len(views), 3)

    images = [(number, source(torch.rand(3, 10, 14))) for number in range(5)]
    recipe = make_recipe(levels=(0, 0.3), resize=8, crop=8)
    sure = classifier(ByBrightness())
    unsure = Classifier(PLAIN, "0" * 64, [Stage(Wrong(), 0.1)], sure.cascade[0].engine, device=CPU, batch_size=6)
    expected = [row for found in predict(images, recipe, sure) for row in found.predicted]
    found = [row for found in predict(images, recipe, unsure) for row in found.predicted]
    assert [row.label_ds for row in found] == [row.label_ds for row in expected]
    assert [row.confidence_ds for row in found] == pytest.approx([row.confidence_ds for row in expected], abs=1e-6)
    assert unsure.asked == {"wrong": 30, "eager f32": 30}


def test_a_device_that_is_lost_is_no_images_fault() -> None:
    def source_with_news() -> Pixels:
        # As CUDA does: it tells of an error at some later call, whatever that is.
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

    images = [(0, source(flat(1, 0, 0))), (1, source_with_news)]
    with pytest.raises(DeviceLost, match="illegal memory access"):
        list(predict(images, CALM, classifier(ByBrightness())))


def test_memory_that_the_plain_engine_lacks_is_no_images_fault() -> None:
    class Starved:
        name = "eager f32"

        def logits(self, views: torch.Tensor) -> torch.Tensor:
            raise MemoryError

    sure = classifier(ByBrightness())
    unsure = Classifier(PLAIN, "0" * 64, [Stage(sure.cascade[0].engine, 2)], Starved(), device=CPU, batch_size=6)
    with pytest.raises(Refusal, match="out of memory on cpu"):
        list(predict([(0, source(flat(1, 0, 0))), (1, source(flat(0, 9, 0)))], CALM, unsure))


def test_a_file_that_changes_between_two_looks_is_a_failure() -> None:
    looks = iter([flat(0.5, 0.5, 0.5), flat(0.4, 0.5, 0.6)])
    unsure = classifier(ByBrightness())
    unsure = Classifier(
        PLAIN, "0" * 64, [Stage(unsure.cascade[0].engine, 1)], unsure.cascade[0].engine, device=CPU, batch_size=6
    )
    (found,) = predict([(3, lambda: source(next(looks))())], CALM, unsure)
    assert [(row.image_id, row.code) for row in found.failed] == [(3, "changed")]


def test_close_calls_of_a_strip_are_decided_on_the_views_there_are() -> None:
    # Drawn again, 20×2000 pixels would be resized to 256×25,600: its source is asked once.
    asked = iter([torch.rand(3, 2000, 20)])
    sure = classifier(ByBrightness())
    unsure = Classifier(
        PLAIN, "0" * 64, [Stage(sure.cascade[0].engine, 2)], sure.cascade[0].engine, device=CPU, batch_size=6
    )
    recipe = make_recipe(levels=(0.1,), resize=256, crop=8)
    unsure.preprocessing = PLAIN._replace(resize=256)
    (found,) = predict([(3, lambda: source(next(asked))())], recipe, unsure)
    assert [(row.image_id, row.level) for row in found.predicted] == [(3, 0.1)]
    assert unsure.asked == {"eager f32": 6}  # its three views, twice


def test_a_recipe_from_a_newer_version_is_refused_and_no_image_is_at_fault() -> None:
    recipe = make_recipe(perturbation="from_tomorrow", levels=(0,))
    with pytest.raises(Refusal, match="there is no perturbation 'from_tomorrow'"):
        next(predict([(0, source(flat(1, 0, 0)))], recipe, classifier(ByBrightness())))


def test_a_worker_refuses_such_a_recipe_before_it_loads_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.compute.make_classifier", None)  # not to be called
    recipe = make_recipe(smoother="from_tomorrow")
    work = Work(root="/images", recipe=recipe, images=[])
    with (
        pytest.raises(Refusal, match="there is no smoother 'from_tomorrow'"),
        Compute(Settings(device="cpu")).loaded(work),
    ):
        pass


def test_lanes_change_no_answer() -> None:
    recipe = make_recipe(levels=(0, 0.3), resize=8, crop=8)
    images = [(number, source(torch.rand(3, 10, 14))) for number in range(20)]
    alone, beside = classifier(ByBrightness()), classifier(ByBrightness())
    beside.lanes = 4
    assert list(predict(images, recipe, beside)) == list(predict(images, recipe, alone))


def test_without_a_gpu_auto_is_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == "cpu"
    assert choose_device("cuda:1") == "cuda:1"
