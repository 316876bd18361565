"""Corruptions of ImageNet-C: weather."""

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from worker.corruptions import Array, clipped
from worker.corruptions.filters import blurred, edges, enlarged, moved

#: How much each channel counts in a grey image (ITU-R BT.601).
LUMA = (0.299, 0.587, 0.114)
#: Colours of water and of mud.
WATER, MUD = np.array((175, 238, 238)) / 255, np.array((63, 42, 20)) / 255
#: The five photographs of frost that the published code draws from: mean red, green and blue, and standard deviation of
#: the brightness within a crop of 224×224. Two of the five are the same; a sixth is never drawn.
PANES = (
    ((0.30, 0.58, 0.64), 0.06),
    ((0.77, 0.79, 0.83), 0.08),
    ((0.77, 0.79, 0.83), 0.08),
    ((0.57, 0.62, 0.67), 0.10),
    ((0.39, 0.44, 0.49), 0.14),
)


def snow(image: Array, severity: int, rng: np.random.Generator) -> Array:
    """Lets flakes of random size and brightness fall along a random direction, over an image that becomes whiter."""
    mean, spread, size, least, radius, sigma, share = (
        (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
        (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
        (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
        (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
        (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
    )[severity - 1]
    flakes = enlarged(rng.normal(mean, spread, image.shape[:2]), size)
    flakes = clipped(np.where(flakes < least, 0, flakes))
    flakes = moved(flakes, radius, sigma, rng.uniform(-135, -45))
    grey = (image @ LUMA)[:, :, None]
    whiter = share * image + (1 - share) * np.maximum(image, grey * 1.5 + 0.5)
    return clipped(whiter + (flakes + np.rot90(flakes, 2))[:, :, None])


def frost(image: Array, severity: int, rng: np.random.Generator) -> Array:
    """Lays frost over a darker image.

    The paper lays photographs of frost over it. This draws needles of ice instead, of the photographs' mean colour and
    contrast: so this one corruption is like the paper's and not equal to it.
    """
    image_share, frost_share = ((1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75))[severity - 1]
    ice = _ice(image.shape[0], image.shape[1], rng)
    return clipped(image_share * image + frost_share * ice)


def fog(image: Array, severity: int, rng: np.random.Generator) -> Array:
    """Adds clouds and makes the whole darker again, to the image's own greatest value."""
    strength, decay = ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4))[severity - 1]
    brightest = image.max()
    clouds = strength * _clouds(image.shape[0], image.shape[1], decay, rng)
    return clipped((image + clouds[:, :, None]) * brightest / (brightest + strength))


def brightness(image: Array, severity: int, rng: np.random.Generator) -> Array:
    """Raises the value of HSV, V, which is the greatest channel; hue and saturation stay. Black becomes grey."""
    value = image.max(axis=2, keepdims=True)
    raised = np.minimum(value + (0.1, 0.2, 0.3, 0.4, 0.5)[severity - 1], 1)
    return clipped(np.where(value > 0, image * raised / np.where(value > 0, value, 1), raised))


def spatter(image: Array, severity: int, rng: np.random.Generator) -> Array:
    """Spatters water (severity 1 to 3) or mud (4 and 5) on the lens."""
    mean, spread, size, least, strength, mud = (
        (0.65, 0.3, 4, 0.69, 0.6, False),
        (0.65, 0.3, 3, 0.68, 0.6, False),
        (0.65, 0.3, 2, 0.68, 0.5, False),
        (0.65, 0.3, 1, 0.65, 1.5, True),
        (0.67, 0.4, 1, 0.65, 1.5, True),
    )[severity - 1]
    liquid = blurred(rng.normal(mean, spread, image.shape[:2]), size)
    drops = liquid >= least
    if not mud:
        return clipped(image + strength * _relief(np.floor(np.where(drops, liquid, 0) * 255))[:, :, None] * WATER)
    cover = blurred(drops.astype(float), strength)
    cover = np.where(cover < 0.8, 0, cover)[:, :, None]
    return clipped(image * (1 - cover) + MUD * cover)


def _clouds(height: int, width: int, decay: float, rng: np.random.Generator) -> Array:
    """(H, W) in [0, 1] by the diamond-square algorithm: halve the distance of known points again and again.

    Each new point is the mean of its four neighbours and a random number, whose range falls by decay² per round.
    Source: Fournier, Fussell and Carpenter, "Computer rendering of stochastic models", 1982.
    """
    side = 1 << max(height - 1, width - 1, 1).bit_length()
    points = np.zeros((side, side))
    step, scale = side, 1.0
    while step > 1:
        half = step // 2
        corners = points[::step, ::step]
        beside = corners + np.roll(corners, -1, 1)
        below = corners + np.roll(corners, -1, 0)
        middles = (beside + np.roll(beside, -1, 0)) / 4 + rng.uniform(-scale, scale, corners.shape)
        points[half::step, half::step] = middles
        for place, ends, axis in (((0, half), beside, 0), ((half, 0), below, 1)):
            mean = (ends + middles + np.roll(middles, 1, axis)) / 4
            points[place[0] :: step, place[1] :: step] = mean + rng.uniform(-scale, scale, corners.shape)
        step, scale = half, scale / decay**2
    points -= points.min()
    return clipped(points[:height, :width] / points.max())


def _ice(height: int, width: int, rng: np.random.Generator) -> Array:
    """(H, W, 3): needles of ice that branch off at 60 degrees, before clouds."""
    colour, spread = PANES[rng.integers(len(PANES))]
    drawing = Image.fromarray(np.rint(160 * _clouds(height, width, 1.4, rng)).astype(np.uint8))
    draw = ImageDraw.Draw(drawing)
    for _ in range(height * width // 400 + 1):
        start = rng.uniform((0, 0), (width, height))
        way, length, light = rng.uniform(0, 2 * np.pi), rng.uniform(8, 40), int(rng.integers(90, 256))
        tip = start + length * np.array((np.cos(way), np.sin(way)))
        draw.line([*start, *tip], fill=light, width=int(rng.integers(1, 4)))
        for branch in np.linspace(start, tip, 6)[1:-1]:
            for side in (-np.pi / 3, np.pi / 3):
                end = branch + length / 4 * np.array((np.cos(way + side), np.sin(way + side)))
                draw.line([*branch, *end], fill=light)
    ice = blurred(np.asarray(drawing, dtype=float), 0.7)
    share = 1 + spread / np.mean(colour) * (ice - ice.mean()) / max(ice.std(), 1e-9)
    return clipped(share[:, :, None] * colour)


def _relief(liquid: Array) -> Array:
    """Light on drops of water, (H, W), 1 where it is brightest: brighter at the upper left rim than at the lower right.

    Args:
        liquid: thickness of the water, 0 to 255, and 0 beside the drops.
    """
    rims = edges(liquid, low=50, high=150)
    if not rims.any():
        return np.zeros_like(liquid)
    distance = np.minimum(ndimage.distance_transform_edt(~rims), 20)
    distance = ndimage.uniform_filter(distance, 3, mode="mirror").astype(int)
    # Spread over 0 to 255 so that each value is as frequent as any other.
    counts = np.bincount(distance.ravel(), minlength=21)
    below = counts.cumsum()
    first = counts[counts > 0][0]
    spread = np.rint(255 * (below - first) / max(below[-1] - first, 1))
    slope = ndimage.correlate(spread[distance], [[-2, -1, 0], [-1, 1, 1], [0, 1, 2]], mode="mirror")
    light = liquid * np.rint(ndimage.uniform_filter(np.clip(slope, 0, 255), 3, mode="mirror"))
    return clipped(light / max(light.max(), 1e-9))
