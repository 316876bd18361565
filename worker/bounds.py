"""Bounds: from which margin between its two largest logits on a fast engine's top label is that of eager fp32.

A fast engine's logits differ from those of fp32. Its top label can differ only where its margin over some other label
is smaller than the error of that difference. The errors are measured on views of synthetic photographs, the same on
every worker, so that a bound does not depend on the images that happen to come first.
"""

import math

import torch

from db.recipe import Preprocessing, Recipe
from worker.engines import Engine
from worker.images import Pixels
from worker.memory import ran_out
from worker.views import draw_views

#: A bound is this many times the root mean square of the errors. On 6,000 views of 500 photographs, the largest margin
#: of a label that changed was 4 times that: EfficientNet-Lite0 in bfloat16 (docs/explanation/performance.md).
SAFETY = 6
#: The smallest bound. It costs nothing, and two fp32 ways to compute the same logits differ by 1e-5 of their size.
SMALLEST = 1e-3
#: The errors of so many of the largest logits are measured: those whose labels could come first.
CONTENDERS = 5
#: Synthetic photographs to measure on; each has 12 views.
IMAGES = 2
#: Of such a photograph, in pixels: a smaller one could not be smoothed.
SMALLEST_SIDE = 8


def sample_views(preprocessing: Preprocessing, device: torch.device) -> torch.Tensor:
    """Views of synthetic photographs, by the article's recipe: (24, 3, crop, crop) float32 in [0, 1] on the device."""
    generator = torch.Generator().manual_seed(0)
    side = max(preprocessing.resize, SMALLEST_SIDE)
    drawn = []
    for _ in range(IMAGES):
        pixels = Pixels(photograph_like(side, generator), b"")
        epsilon = torch.randn(3, side, side, generator=generator)
        drawn.append(draw_views(pixels, epsilon, Recipe(), preprocessing, device))
    return torch.cat(drawn)


def photograph_like(side: int, generator: torch.Generator) -> torch.Tensor:
    """Makes a (side, side, 3) image, float32 in [0, 1], with the spectrum of photographs: amplitudes fall as 1/f.

    Source: D. J. Field, "Relations between the statistics of natural images and the response properties of cortical
    cells", Journal of the Optical Society of America A 4 (1987).
    """
    white = torch.fft.rfft2(torch.randn(4, side, side, generator=generator))
    frequency = torch.hypot(torch.fft.fftfreq(side)[:, None], torch.fft.rfftfreq(side)[None])
    frequency[0, 0] = 1 / side
    pink = torch.fft.irfft2(white / frequency, s=(side, side))
    pink = (pink - pink.mean((1, 2), keepdim=True)) / pink.std((1, 2), keepdim=True).clamp_min(1e-6)
    # As in photographs, colours differ less than brightness.
    image: torch.Tensor = 0.45 + 0.2 * pink[3] + 0.07 * pink[:3]
    return image.clamp_(0, 1).permute(1, 2, 0).contiguous()


@torch.inference_mode()
def logits_of(engine: Engine, views: torch.Tensor, batch_size: int) -> torch.Tensor:
    """Logits of (N, 3, crop, crop) views: (N, classes) float32 on the CPU.

    Passes have ``batch_size`` views, as those of real work do, or as many as memory holds.
    """
    found = []
    rest, size = views, batch_size
    while len(rest):
        padding = rest.new_zeros(max(0, size - len(rest)), *rest.shape[1:])
        logits = _tried(engine, torch.cat([rest[:size], padding]), last=size == 1)
        if logits is None:
            size = size // 2
            continue
        found.append(logits[: len(rest)])
        rest = rest[size:]
    return torch.cat(found)


def _tried(engine: Engine, batch: torch.Tensor, *, last: bool) -> torch.Tensor | None:
    """Logits of a pass; None if memory does not hold it: an exception would keep its tensors alive."""
    try:
        return engine.logits(batch).cpu()
    except (RuntimeError, MemoryError) as error:
        if last or not ran_out(error):
            raise
        return None


def bound_of(found: torch.Tensor, expected: torch.Tensor) -> float:
    """The bound of an engine.

    Args:
        found: (N, classes) logits of the engine.
        expected: those of eager fp32 for the same views.

    Returns:
        A difference of logits; infinite if the engine's logits are not numbers, so that it decides nothing.
    """
    contenders = found.topk(min(CONTENDERS, found.shape[1]), dim=1).indices
    errors = (found - expected).gather(1, contenders)
    of_gaps = errors[:, :1] - errors[:, 1:]  # errors of the top label's margin over each of the others
    if not of_gaps.numel():
        return SMALLEST  # there is a single class: nothing to decide
    bound = SAFETY * float(of_gaps.square().mean().sqrt())
    return max(SMALLEST, bound) if math.isfinite(bound) else math.inf
