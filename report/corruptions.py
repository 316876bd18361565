"""Corruption errors of ImageNet-C: how much a model loses to corruptions, in units of what AlexNet loses.

Source: D. Hendrycks, T. Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations",
ICLR 2019. E is the top-1 error, c a corruption, s a severity:

    CE_c          = Σ_s E_sc             / Σ_s E_sc(AlexNet)
    relative CE_c = Σ_s (E_sc − E_clean) / Σ_s (E_sc(AlexNet) − E_clean(AlexNet))

mCE and relative mCE are the means over the 15 corruptions.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

#: AlexNet's top-1 error on ImageNet-C's own images, mean over the severities: what the evaluation code of ImageNet-C
#: (github.com/hendrycks/robustness) divides by.
ALEXNET = {
    "gaussian_noise": 0.886428,
    "shot_noise": 0.894468,
    "impulse_noise": 0.922640,
    "defocus_blur": 0.819880,
    "glass_blur": 0.826268,
    "motion_blur": 0.785948,
    "zoom_blur": 0.798360,
    "snow": 0.866816,
    "frost": 0.826572,
    "fog": 0.819324,
    "brightness": 0.564592,
    "contrast": 0.853204,
    "elastic_transform": 0.646056,
    "pixelate": 0.717840,
    "jpeg_compression": 0.606500,
}
#: Its top-1 error on ImageNet's validation images, which are not corrupted.
ALEXNET_CLEAN = 0.434550


class CorruptionError(NamedTuple):
    """What a model loses to one corruption."""

    #: Top-1 error, mean over the severities.
    error: float
    #: 1 is AlexNet's.
    ce: float
    #: The same without the error on clean images; None where that is not known.
    relative_ce: float | None


@dataclass(frozen=True, kw_only=True)
class CorruptionErrors:
    """What a model loses to each corruption that was measured."""

    #: Top-1 error on clean images; None where that is not known.
    clean: float | None
    corruptions: dict[str, CorruptionError]

    @property
    def complete(self) -> bool:
        """Whether all 15 corruptions were measured."""
        return self.corruptions.keys() == ALEXNET.keys()

    @property
    def mce(self) -> float | None:
        """Mean CE of the 15 corruptions; None while one is missing."""
        return sum(found.ce for found in self.corruptions.values()) / len(ALEXNET) if self.complete else None

    @property
    def relative_mce(self) -> float | None:
        """Mean relative CE of the 15 corruptions; None while one, or the error on clean images, is missing."""
        shares = [found.relative_ce for found in self.corruptions.values() if found.relative_ce is not None]
        return sum(shares) / len(ALEXNET) if len(shares) == len(ALEXNET) else None


def corruption_errors(errors: Mapping[str, float], clean: float | None) -> CorruptionErrors:
    """Corruption errors from top-1 errors.

    Args:
        errors: by corruption, one of ALEXNET: the mean over the severities.
        clean: on clean images, if that is known.
    """
    return CorruptionErrors(
        clean=clean,
        corruptions={
            name: CorruptionError(
                error=errors[name],
                ce=errors[name] / alexnet,
                relative_ce=None if clean is None else (errors[name] - clean) / (alexnet - ALEXNET_CLEAN),
            )
            for name, alexnet in ALEXNET.items()
            if name in errors
        },
    )
