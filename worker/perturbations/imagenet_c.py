"""The corruptions of ImageNet-C, severities 1 to 5: one perturbation each, made by the functions in worker/corruptions.

The paper corrupts crops of 224×224. Here an image is corrupted at its own size, before it is resized, as by every
perturbation; so blur, drops and squares of a few pixels are finer on a large photograph than the paper's. Each severity
draws random numbers of its own. Frost is drawn, and not taken from the paper's photographs.
Source: Hendrycks and Dietterich, "Benchmarking neural network robustness to common corruptions and perturbations",
2019.
"""

from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from db.axis import Axis
from db.errors import WrongUse
from db.imagenet_c import SEVERITIES
from worker.perturbations import Perturbation, Subject

if TYPE_CHECKING:
    import torch


class Corruption(Perturbation):
    """A corruption of ImageNet-C.

    Args:
        kind: the module of worker/corruptions that makes it.
        name: as the paper calls it, and its function in that module.
        about: one line for `smoothvote list`.
    """

    axis = Axis("severity", "severity", kind="corruption")
    levels = (0, *SEVERITIES)
    limits = (0, SEVERITIES[-1])

    def __init__(self, kind: str, name: str, about: str) -> None:
        self.kind, self.name, self.__doc__ = kind, name, about

    def check(self, levels: Sequence[float]) -> None:
        """As Perturbation: 0 is the image untouched."""
        super().check(levels)
        for level in levels:
            if level not in self.levels:
                raise WrongUse(f"--levels: {level:g} is no severity; {self.name} takes whole numbers from 0 to 5")

    def perturb(self, subject: Subject, levels: Sequence[float]) -> "Iterator[torch.Tensor]":
        """As Perturbation, on the CPU; severity 0 returns the image as it is."""
        import torch

        corrupt = getattr(import_module(f"worker.corruptions.{self.kind}"), self.name)
        image = subject.image.permute(1, 2, 0).cpu().double().numpy()  # (H, W, 3)
        for level in levels:
            if level == 0:
                yield subject.image
                continue
            corrupted = corrupt(image, int(level), subject.key.numpy_generator(self.name, level))
            yield torch.from_numpy(corrupted).permute(2, 0, 1).float().contiguous().to(subject.image.device)


MEMBERS = (
    Corruption("noise", "gaussian_noise", "Gaussian noise, as in a dark room (ImageNet-C)."),
    Corruption("noise", "shot_noise", "Photon noise (ImageNet-C)."),
    Corruption("noise", "impulse_noise", "Values that are lost, as salt and pepper in each channel (ImageNet-C)."),
    Corruption("blur", "defocus_blur", "A lens out of focus (ImageNet-C)."),
    Corruption("blur", "glass_blur", "A frosted window, which mixes pixels nearby (ImageNet-C)."),
    Corruption("blur", "motion_blur", "A camera that moves in a random direction (ImageNet-C)."),
    Corruption("blur", "zoom_blur", "A camera that moves towards the scene (ImageNet-C)."),
    Corruption("weather", "snow", "Falling snow (ImageNet-C)."),
    Corruption("weather", "frost", "Ice on the lens, drawn and not photographed as in the paper (ImageNet-C)."),
    Corruption("weather", "fog", "Clouds of fog (ImageNet-C)."),
    Corruption("weather", "brightness", "A brighter day (ImageNet-C)."),
    Corruption("digital", "contrast", "Low contrast (ImageNet-C)."),
    Corruption("digital", "elastic_transform", "Small areas that are stretched and moved (ImageNet-C)."),
    Corruption("digital", "pixelate", "A low resolution, enlarged (ImageNet-C)."),
    Corruption("digital", "jpeg_compression", "JPEG of low quality (ImageNet-C)."),
    Corruption("noise", "speckle_noise", "Noise in proportion to the pixel (ImageNet-C, extra)."),
    Corruption("blur", "gaussian_blur", "Gaussian blur (ImageNet-C, extra)."),
    Corruption("weather", "spatter", "Drops of water or mud on the lens (ImageNet-C, extra)."),
    Corruption("digital", "saturate", "Paler or stronger colours (ImageNet-C, extra)."),
)
