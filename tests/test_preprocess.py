import pytest
import torch
from torchvision.models import ResNet50_Weights

from db.recipe import Preprocessing
from worker.preprocess import fit
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


def test_a_strip_of_pixels_is_unusable_and_not_gigabytes() -> None:
    with pytest.raises(Unusable, match="too_narrow"):
        fit(torch.rand(3, 3, 8000), PLAIN)
