"""The whole worker on a GPU. Skipped on a machine without one, where the GPU's code is not tested."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from cli.flags import recipe_from
from db.recipe import Recipe
from worker.assembly import make_classifier
from worker.images import Pixels
from worker.pipeline import predict
from worker.views import draw_views, plain_views

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no CUDA device here: the code for GPUs is not tested"
)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    from torchvision import models

    folder = tmp_path_factory.mktemp("gpu")
    torch.manual_seed(0)
    torch.save(models.resnet18(weights=None).state_dict(), folder / "model.pth")
    return recipe_from(preset=None, classes=None, model=str(folder / "model.pth"), arch="torchvision/resnet18")


def sources(count: int) -> list[tuple[int, Callable[[], Pixels]]]:
    generator = torch.Generator().manual_seed(0)
    images = [(torch.rand(300, 400 + 7 * at, 3, generator=generator) * 255).byte() for at in range(count)]

    def source(values: torch.Tensor) -> Callable[[], Pixels]:
        return lambda: Pixels(values, hashlib.sha256(values.numpy().tobytes()).digest())

    return [(at, source(values)) for at, values in enumerate(images)]


def test_views_on_the_gpu_are_those_of_the_cpu(recipe: Recipe) -> None:
    ((_, source),) = sources(1)
    pixels = source()
    classifier = make_classifier(recipe, device="cpu", engine="eager")
    epsilon = torch.randn(3, *pixels.values.shape[:2])
    plain = plain_views(pixels, epsilon, recipe, classifier.preprocessing, range(12))
    drawn = draw_views(pixels, epsilon, recipe, classifier.preprocessing, torch.device("cuda:0"))
    assert drawn.is_cuda
    assert torch.allclose(drawn.cpu(), plain, atol=1e-5)


@pytest.mark.parametrize("precision", ["exact", "bf16"])
def test_every_image_has_its_rows_and_exact_rows_have_the_labels_of_fp32(recipe: Recipe, precision: str) -> None:
    wanted = recipe.model_copy(update={"precision": precision})
    classifier = make_classifier(wanted, device="cuda:0")
    rows = [row for found in predict(sources(40), wanted, classifier) for row in found.predicted]
    assert len(rows) == 40 * 4
    if precision == "exact":
        plain = make_classifier(wanted, device="cuda:0", engine="eager")
        expected = [row for found in predict(sources(40), wanted, plain) for row in found.predicted]
        assert [row.label_maj for row in rows] == [row.label_maj for row in expected]
        assert classifier.asked["eager f32"] < classifier.asked["eager f16"]


def test_a_graph_has_the_bits_of_the_engine_that_it_records(recipe: Recipe) -> None:
    views = torch.rand(96, 3, 224, 224, device="cuda:0", generator=torch.Generator("cuda:0").manual_seed(0))
    device, found = torch.device("cuda:0"), {}
    for engine in ("auto", "graph"):
        first = make_classifier(recipe, device=str(device), engine=engine).cascade[0].engine
        with torch.inference_mode():
            found[first.name] = [first.logits(views), first.logits(views.flip(0)), first.logits(views[:32])]
    for ours, theirs in zip(found["graph f16"], found["eager f16"], strict=True):
        assert ours.equal(theirs)


@pytest.mark.parametrize("engine", ["auto", "graph"])
def test_lanes_that_share_a_gpu_get_the_labels_of_fp32(recipe: Recipe, engine: str) -> None:
    rows = {}
    for name in (engine, "eager"):
        classifier = make_classifier(recipe, device="cuda:0", engine=name, batch_size=24)
        rows[name] = [row.label_maj for found in predict(sources(60), recipe, classifier) for row in found.predicted]
    assert rows[engine] == rows["eager"]


def test_answers_do_not_depend_on_the_other_images_of_a_batch(recipe: Recipe) -> None:
    classifier = make_classifier(recipe, device="cuda:0")
    together = [row for found in predict(sources(40), recipe, classifier) for row in found.predicted]
    alone = [row for found in predict(sources(40)[7:8], recipe, classifier) for row in found.predicted]
    assert alone == [row for row in together if row.image_id == 7]


def test_the_gpus_memory_does_not_grow_from_run_to_run(recipe: Recipe, tmp_path: Path) -> None:
    classifier = make_classifier(recipe, device="cuda:0")
    for _ in range(2):
        list(predict(sources(40), recipe, classifier))
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    list(predict(sources(40), recipe, classifier))
    torch.cuda.synchronize()
    assert torch.cuda.memory_allocated() <= before
