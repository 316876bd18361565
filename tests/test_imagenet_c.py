"""The corruptions of ImageNet-C as perturbations: tests/test_corruption_*.py hold what each does to an image."""

import pytest
import torch

from db.errors import WrongUse
from db.imagenet_c import CORRUPTIONS, EXTRA_CORRUPTIONS, SEVERITIES
from db.recipe import Preprocessing, Recipe
from worker.keys import Key
from worker.perturbations import PERTURBATIONS, Subject
from worker.perturbations.imagenet_c import MEMBERS

FIT = Preprocessing(8, 8, "bilinear", False, (0, 0, 0), (1, 1, 1))
NAMES = (*CORRUPTIONS, *EXTRA_CORRUPTIONS)
#: What they do to an image is the same whatever the key.
FIXED = {
    "defocus_blur", "zoom_blur", "gaussian_blur", "brightness", "contrast", "pixelate", "jpeg_compression", "saturate",
}  # fmt: skip


def corrupted(name: str, image: torch.Tensor, *levels: float, seed: int = 0) -> list[torch.Tensor]:
    subject = Subject(image, torch.empty(0), Key(bytes(32), seed), Recipe(), FIT)
    return list(PERTURBATIONS[name].perturb(subject, levels))


def photograph() -> torch.Tensor:
    """Smooth colours and an edge, (3, 40, 56), in bytes as an image file has them."""
    down, right = torch.meshgrid(torch.linspace(0.1, 0.8, 40), torch.linspace(0.2, 0.7, 56), indexing="ij")
    image = torch.stack([down, right, (down + right) / 2])
    image[:, 10:20, 20:40] = 0.95
    return image.mul(255).round() / 255


def test_the_family_has_the_papers_15_and_4_in_its_order() -> None:
    assert tuple(member.name for member in MEMBERS) == NAMES
    assert (len(CORRUPTIONS), len(set(NAMES))) == (15, 19)
    assert all(PERTURBATIONS[member.name] is member for member in MEMBERS)


def test_each_says_what_it_is_in_a_line_of_its_own() -> None:
    assert len({member.__doc__ for member in MEMBERS}) == 19


def test_levels_are_severities_and_0() -> None:
    for member in MEMBERS:
        member.check((0, *SEVERITIES))
        assert (member.axis.at(3), member.axis.kind) == ("severity = 3", "corruption")
    with pytest.raises(WrongUse, match=r"^--levels: 2\.5 is no severity; snow takes whole numbers from 0 to 5$"):
        PERTURBATIONS["snow"].check((0, 2.5))


@pytest.mark.parametrize("name", NAMES)
def test_severity_0_is_the_image_and_the_highest_changes_it_more_than_the_lowest(name: str) -> None:
    image = photograph()
    untouched, *levels = corrupted(name, image, 0, 1, 5)
    assert untouched is image
    mild, strong = ((x - image).abs().mean().item() for x in levels)
    assert strong > 0.005
    # Elastic transform moves an image most at its second severity; frost also hides more of a darker image.
    assert strong > mild or name in ("elastic_transform", "frost")


@pytest.mark.parametrize("name", NAMES)
def test_image_seed_and_severity_decide_what_is_random(name: str) -> None:
    image = photograph()
    (first,), (again,), (other,) = (corrupted(name, image, 3, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert torch.equal(first, other) == (name in FIXED)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (3, 2), (5, 90)])
def test_images_of_any_size_and_of_one_colour_stay_images(name: str, size: tuple[int, int]) -> None:
    for colour in (0.0, 0.4, 1.0):
        image = torch.full((3, *size), colour)
        for x in corrupted(name, image, *SEVERITIES):
            assert x.shape == image.shape
            assert 0 <= x.min() <= x.max() <= 1  # no NaN


def test_two_severities_draw_numbers_of_their_own() -> None:
    mild, strong = corrupted("gaussian_noise", torch.full((3, 50, 50), 0.5), 1, 2)
    # At σ = .08 and .12 hardly a value is clamped: the same numbers would have a correlation of 1.
    assert abs(torch.corrcoef(torch.stack([mild.flatten(), strong.flatten()]))[0, 1]) < 0.05


def test_the_generator_for_numpy_is_keyed_as_that_for_torch_is() -> None:
    key, other = Key(bytes(32), 0), Key(bytes(32), 1)
    first = key.numpy_generator("snow", 1).random(3).tolist()
    assert key.numpy_generator("snow", 1).random(3).tolist() == first
    for generator in (other.numpy_generator("snow", 1), key.numpy_generator("fog", 1), key.numpy_generator("snow", 2)):
        assert generator.random(3).tolist() != first
