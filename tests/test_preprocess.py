import pytest
import torch
from torchvision.models import ResNet50_Weights
from torchvision.transforms.v2 import functional as F

from db.recipe import Preprocessing
from worker.preprocess import crop_offset, fit, resized_sides
from worker.unusable import Unusable

PLAIN = Preprocessing(resize=256, crop=224, interpolation="bilinear", antialias=False, mean=(0, 0, 0), std=(1, 1, 1))


@pytest.mark.parametrize(("height", "width"), [(375, 500), (500, 375), (224, 224), (100, 80), (300, 2000)])
@pytest.mark.parametrize("antialias", [True, False])
def test_fitting_is_what_torchvisions_own_preset_does(height: int, width: int, antialias: bool) -> None:
    weights = ResNet50_Weights.IMAGENET1K_V1
    preset = weights.transforms(antialias=antialias)
    image = torch.rand(3, height, width)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (preset.mean, preset.std))
    ours = (fit(image, PLAIN._replace(antialias=antialias)) - mean) / std
    assert torch.allclose(ours, preset(image), atol=1e-6)


def test_the_crop_is_of_the_centre() -> None:
    # 8×4, short side 4 already: nothing is resized, and the middle four columns stay.
    image = torch.arange(8.0).expand(3, 4, 8).contiguous()
    fitted = fit(image, PLAIN._replace(resize=4, crop=4))
    assert fitted[0, 0].tolist() == [2, 3, 4, 5]


@pytest.mark.parametrize(("height", "width"), [(375, 500), (20, 2000), (2000, 21), (3, 2999)])
@pytest.mark.parametrize("resize", [256, 64])
def test_resized_sides_and_crop_are_torchvisions(height: int, width: int, resize: int) -> None:
    sides = resized_sides(height, width, resize)
    resized = F.resize(torch.rand(1, height, width), [resize])
    assert resized.shape[1:] == sides
    cropped = F.center_crop(resized, [9, 9])
    top, left = (crop_offset(side, 9) for side in sides)
    assert torch.equal(cropped, resized[:, top : top + 9, left : left + 9])


def test_an_image_of_a_thousand_times_its_width_is_unusable_and_not_gigabytes() -> None:
    with pytest.raises(Unusable, match="too_narrow") as raised:
        fit(torch.rand(3, 3, 4000), PLAIN)
    assert raised.value.message == "4000×3; resized, its long side would be 341333 pixels"
