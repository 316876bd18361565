"""HopSkipJump's walk along the boundary between the labels, by the labels alone.

Source: J. Chen, M. I. Jordan, M. J. Wainwright, "HopSkipJumpAttack: A Query-Efficient Decision-Based Attack", IEEE
Symposium on Security and Privacy 2020. Two things differ. The bisection ends at a ten-thousandth of the distance,
where the paper goes on to 1/d^1.5 for d values, less than a float32 can tell of a photograph at its own size. And
the walk ends with its budget of queries, not with a number of iterations.
"""

from math import sqrt

import torch

from worker.attacks.attacked import Attacked

#: A bisection ends at this share of the distance.
PRECISION = 1e-4
#: Images that are asked about to estimate the first gradient; later ones take sqrt(iteration) times as many.
FIRST_ESTIMATE, LARGEST_ESTIMATE = 100, 10_000
#: Images that are drawn and asked about at a time.
AT_ONCE = 8
#: Random images that are tried, to find one that the model answers as the attacker wants.
STARTS = 100
#: Pixels along the side of their squares, in turn: what single pixels show is gone once they are smoothed.
GRAINS = (1, 8, 32)
#: How often a step is halved before the walk goes on without it.
HALVINGS = 20


class Spent(Exception):
    """The budget of queries is used up."""


class Walk:
    """A walk of an image towards the clean one, on the side where the model is fooled.

    Args:
        attacked: the clean image.
        budget: number of queries.
        generator: of all random numbers.
    """

    def __init__(self, attacked: Attacked, budget: int, generator: torch.Generator) -> None:
        self.image = attacked.image
        #: The nearest image (3, H, W) that fooled the model, or None.
        self.closest: torch.Tensor | None = None
        self.left = budget
        self._attacked, self._generator = attacked, generator

    def go(self) -> None:
        """Walks until the budget is spent, or no way is found."""
        try:
            if self._fools(self.image):
                return
            starts = (self._random(GRAINS[number % len(GRAINS)]) for number in range(STARTS))
            if (start := next(filter(self._fools, starts), None)) is None:
                return
            self._bisect(start)
            iteration = 1
            while self._hop(iteration):
                iteration += 1
        except Spent:
            return

    def _random(self, grain: int) -> torch.Tensor:
        """Squares of random colours."""
        channels, height, width = self.image.shape
        small = torch.rand(channels, -(-height // grain), -(-width // grain), generator=self._generator)
        large = small.repeat_interleave(grain, 1).repeat_interleave(grain, 2)
        return large[:, :height, :width].to(self.image.device)

    def _hop(self, iteration: int) -> bool:
        """Steps away from the boundary along its normal, and back to it nearer to the image. False: no step helps."""
        here = self._here()
        direction = self._normal(here, iteration)
        length = self._distance(here) / sqrt(iteration)
        for _ in range(HALVINGS):
            hopped = (here + length * direction).clamp(0, 1)
            if self._fools(hopped):
                self._bisect(hopped)
                return True
            length /= 2
        return False

    def _bisect(self, fooling: torch.Tensor) -> None:
        """Goes from an image that fools towards the clean one, as far as it fools."""
        near, far = 0.0, 1.0  # shares of the way from the clean image
        while far - near > PRECISION * far:
            middle = (near + far) / 2
            if self._fools(self.image.lerp(fooling, middle)):
                far = middle
            else:
                near = middle

    def _normal(self, here: torch.Tensor, iteration: int) -> torch.Tensor:
        """The direction of length 1 into the side that fools, from the answers around a point of the boundary."""
        count = min(int(FIRST_ESTIMATE * sqrt(iteration)), LARGEST_ESTIMATE, self.left)
        if not count:
            raise Spent
        radius = self._distance(here) * sqrt(here.numel()) * PRECISION
        signed, plain, total = torch.zeros_like(here), torch.zeros_like(here), 0.0
        for first in range(0, count, AT_ONCE):
            drawn = torch.randn(min(AT_ONCE, count - first), *here.shape, generator=self._generator).to(here.device)
            around = (here + radius * drawn / drawn.flatten(1).norm(dim=1).view(-1, 1, 1, 1)).clamp_(0, 1)
            offsets = (around - here) / radius
            signs = self._ask(around).float() * 2 - 1
            signed += (signs.view(-1, 1, 1, 1) * offsets).sum(0)
            plain += offsets.sum(0)
            total += float(signs.sum())
        mean = total / count
        # If all answers are the same, their mean tells nothing: the paper takes the mean offset.
        normal = mean * plain if abs(mean) == 1 else signed - mean * plain
        return normal.div(normal.norm().clamp_min(1e-12))

    def _here(self) -> torch.Tensor:
        if self.closest is None:
            raise Spent
        return self.closest

    def _distance(self, image: torch.Tensor) -> float:
        return float((image.double() - self.image.double()).norm())

    def _fools(self, image: torch.Tensor) -> bool:
        """Asks about one image; remembers it if it fools the model and none nearer did."""
        if not bool(self._ask(image[None])[0]):
            return False
        if self.closest is None or self._distance(image) < self._distance(self.closest):
            self.closest = image
        return True

    def _ask(self, images: torch.Tensor) -> torch.Tensor:
        """Whether each of these images fools the model. Every one of them is a query."""
        if len(images) > self.left:
            raise Spent
        self.left -= len(images)
        return self._attacked.answers(images).fooled
