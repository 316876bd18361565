"""What an attacker sees of one image: the model's answers to changed images, and their gradients.

The way from an image to its views is that of worker/views.py, with gradients: smoothing, resizing and cropping are two
sparse products, whose gradients are the products with the transposed matrices. A smoother that has no gradient is
passed over on the way back, as if it left the image as it is. Source: BPDA in A. Athalye, N. Carlini, D. Wagner,
"Obfuscated Gradients Give a False Sense of Security", ICML 2018.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch.nn import functional as F

from db.recipe import VIEWS, Recipe
from worker.attacks.options import Aimed, Targeted
from worker.attacks.passes import Passes
from worker.matrices import AxisMatrices, Bags, matrices_of
from worker.perturbations import Aim, Subject
from worker.smoothers import SMOOTHERS, Separable, Smoother
from worker.vote import majority

#: Views that an image sends through the network at a time, at most. For a gradient, every layer keeps what it found:
#: 80 MB a view in EfficientNet-Lite0 and 100 MB in ResNet-50. On a CPU more views at a time take no less time each.
VIEWS_AT_ONCE = {"cpu": 3, "cuda": 12}


class Answers(NamedTuple):
    """What a black-box attacker learns of N images."""

    #: (N,): the log probability of the label less that of the next one; of the target, with a minus. To be decreased.
    margins: torch.Tensor
    #: (N,) bool: whether the answer is one that the attacker wants.
    fooled: torch.Tensor


class Attacked:
    """One image under attack, and the model and label that the attack aims at.

    Args:
        subject: has the image and the recipe.
        aim: has the model.
        options: say what the attacker knows, and which label it wants.
    """

    def __init__(self, subject: Subject, aim: Aim, options: Aimed) -> None:
        #: (3, H, W); a copy, because autograd takes no tensor that was made in inference mode.
        self.image = subject.image.clone()
        self.key = subject.key
        self._passes = aim.passes or Passes(aim.network, aim.after_pass)
        self._recipe = subject.recipe
        #: The views whose answers count: all that vote, or the unsmoothed one.
        self.views = len(VIEWS) if options.attacker == "defence" else 1
        self._smoother = SMOOTHERS.find(subject.recipe.smoother)
        #: Whether the matrices smooth as well as resize and crop.
        self._merged = isinstance(self._smoother, Separable)
        height, width = self.image.shape[1:]
        axes = matrices_of(height, width, subject.recipe, aim.preprocessing, self.image.device)
        self._down, self._across = (Axis(one) for one in axes)
        clean = self.logits(self.image[None])[0, 0]
        #: The label that the image has.
        self.label = int(clean.argmax()) if aim.label is None else aim.label
        #: The label that the attack is to reach; None: any other.
        self.target = _target(options.target, clean, self) if isinstance(options, Targeted) else None

    # -- gradients -----------------------------------------------------------------------------------------------

    def gains(self, images: torch.Tensor) -> torch.Tensor:
        """What a gradient attack increases, for (N, 3, H, W) images: (N,).

        The cross-entropy of the label, or of the target with a minus, summed over the views that the attacker knows.
        """
        return self._losses(self.logits(images).flatten(0, 1))

    def gradients(self, images: torch.Tensor) -> torch.Tensor:
        """The gradient of each image's gain: (N, 3, H, W)."""
        found = []
        for some in self._split(images):
            seen = self._seen(some)
            views = self._fit(seen).flatten(0, 1)
            by_view = self._passes.gradients(views, lambda logits: self._losses(logits).sum())
            found.append(self._back(seen, by_view.unflatten(0, (len(some), self.views))))
        return torch.cat(found)

    def _back(self, seen: Sequence[torch.Tensor], by_view: torch.Tensor) -> torch.Tensor:
        """The gradient by the images, (N, 3, H, W), from that by their views, (N, views, 3, crop, crop).

        Each pass of the smoother is computed again on the way back, so that only one of them is kept in memory: the
        fifty steps of total variation take 2 GB for a photograph.
        """
        total: torch.Tensor | None = None
        for view in reversed(range(self.views)):
            with torch.enable_grad():
                images = seen[view].detach().requires_grad_()
                made, by_made = [self._fitted(images, view)], [by_view[:, view]]
                if total is not None and not self._merged:
                    made.append(smoothed(images, self._smoother, self._recipe))
                    by_made.append(total)
            (gradient,) = torch.autograd.grad(made, images, by_made)
            total = total + gradient if total is not None and self._merged else gradient
        assert total is not None  # noqa: S101
        return total

    def _losses(self, logits: torch.Tensor) -> torch.Tensor:
        """The gains of images from the logits of their views, (N · views, classes)."""
        wanted = self.label if self.target is None else self.target
        classes = torch.full((len(logits),), wanted, device=logits.device)
        losses = F.cross_entropy(logits, classes, reduction="none").view(-1, self.views).sum(1)
        return losses if self.target is None else -losses

    # -- answers -------------------------------------------------------------------------------------------------

    def logits(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of (N, 3, H, W) images, without gradients: (N, views, classes)."""
        found = [self._passes.logits(self._fit(self._seen(some)).flatten(0, 1)) for some in self._split(images)]
        of_images: torch.Tensor = torch.cat(found).unflatten(0, (len(images), self.views))
        return of_images

    def answers(self, images: torch.Tensor) -> Answers:
        """What an attacker learns who asks about (N, 3, H, W) images and knows no gradient."""
        logits = self.logits(images)
        # Of the vote, the attacker sees the mean probabilities of its views.
        scores = logits.softmax(dim=2).mean(dim=1).clamp_min(1e-30).log()
        wanted = self.label if self.target is None else self.target
        others = scores.clone()
        others[:, wanted] = -torch.inf
        margins = scores[:, wanted] - others.amax(dim=1)
        fooled = [self._is_fooled(labels) for labels in logits.argmax(dim=2).tolist()]
        return Answers(margins if self.target is None else -margins, torch.tensor(fooled, device=images.device))

    def _is_fooled(self, labels: list[int]) -> bool:
        """Whether the vote of three views, or the one label, is the wanted one. A rejected image fools nobody."""
        label = labels[0] if len(labels) == 1 else majority(*labels)
        return label == self.target if self.target is not None else label not in (None, self.label)

    # -- from images to views ------------------------------------------------------------------------------------

    def _split(self, images: torch.Tensor) -> Iterator[torch.Tensor]:
        """Images whose views go through the network together."""
        return iter(images.split(max(1, VIEWS_AT_ONCE[images.device.type] // self.views)))

    def _seen(self, images: torch.Tensor) -> list[torch.Tensor]:
        """What each view is resized from: x, S(x) and S(S(x)), (N, 3, H, W) each; x alone if smoothing is merged."""
        seen = [images]
        for _ in range(self.views - 1):
            seen.append(images if self._merged else self._smoother.smooth(seen[-1], self._recipe))
        return seen

    def _fit(self, seen: Sequence[torch.Tensor]) -> torch.Tensor:
        """The views that the attacker knows: (N, views, 3, crop, crop)."""
        return torch.stack([self._fitted(images, view) for view, images in enumerate(seen)], dim=1)

    def _fitted(self, images: torch.Tensor, view: int) -> torch.Tensor:
        """A view by its two matrices: (N, 3, crop, crop)."""
        view = view if self._merged else 0
        down, across = self._down, self._across
        count, channels = images.shape[:2]
        seen = images[:, :, down.first : down.last, across.first : across.last]
        height = seen.shape[2]
        columns = across.times(view, seen.permute(3, 0, 1, 2).reshape(seen.shape[3], -1))  # (crop, N·3·h)
        rows = columns.view(-1, count * channels, height).permute(2, 1, 0).reshape(height, -1)  # (h, N·3·crop)
        return down.times(view, rows).view(-1, count, channels, columns.shape[0]).permute(1, 2, 0, 3)


class Axis:
    """The matrices along one axis of an image, with their transposes."""

    def __init__(self, matrices: AxisMatrices) -> None:
        self.first, self.last = matrices.first, matrices.last
        self._bags = matrices.views
        self._transposed = tuple(transposed(bags, self.last - self.first) for bags in self._bags)

    def times(self, view: int, table: torch.Tensor) -> torch.Tensor:
        """The product of a view's matrix and a table, with its gradient."""
        product: torch.Tensor = _Product.apply(table, self._bags[view], self._transposed[view])
        return product


def transposed(bags: Bags, columns: int) -> Bags:
    """The transpose of a sparse matrix that has so many columns."""
    rows = len(bags.offsets)
    ends = torch.cat([bags.offsets[1:], bags.offsets.new_tensor([len(bags.indices)])])
    row_of = torch.arange(rows, device=ends.device).repeat_interleave(ends - bags.offsets)
    order = bags.indices.long().sort(stable=True).indices
    counts = bags.indices.long().bincount(minlength=columns)
    offsets = counts.cumsum(0) - counts
    return Bags(row_of[order].int(), offsets.int(), bags.weights[order])


class _Product(torch.autograd.Function):
    """A sparse matrix times a table. Its gradient is the transposed matrix times that of the product."""

    @staticmethod
    def forward(ctx: Any, table: torch.Tensor, bags: Bags, transposed: Bags) -> torch.Tensor:
        ctx.transposed = transposed
        return bags.times(table.contiguous())

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        return ctx.transposed.times(gradients[0].contiguous()), None, None


def smoothed(images: torch.Tensor, smoother: Smoother, recipe: Recipe) -> torch.Tensor:
    """S of (N, 3, H, W) images, with its gradient, or with that of the identity if it has none."""
    if smoother.differentiable:
        return smoother.smooth(images, recipe)
    passed: torch.Tensor = _Straight.apply(images, lambda given: smoother.smooth(given, recipe))
    return passed


class _Straight(torch.autograd.Function):
    """A function whose gradient is taken for that of the identity."""

    @staticmethod
    def forward(ctx: Any, images: torch.Tensor, function: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        return function(images)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradients[0], None


def _target(wanted: int | str, clean: torch.Tensor, attacked: Attacked) -> int | None:
    """The label to reach, from the logits of the image as it is."""
    if wanted == "none":
        return None
    if wanted == "least-likely":
        return int(clean.argmin())
    if wanted == "random":
        # One of the others, each with the same chance.
        drawn = int(torch.randint(len(clean) - 1, (), generator=attacked.key.generator("target")))
        return drawn + (drawn >= attacked.label)
    return int(wanted)
