"""Smoothers: each is a function S from images to smoother ones; the views are ns = x, ss = S(x) and ds = S(S(x)).

One file a smoother, which holds it as ``MEMBER``; `--smoother NAME` finds it. A machine that only submits runs reads
names from here and has no torch: members import torch inside their functions.
"""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from db.recipe import Recipe
from db.registry import Family

if TYPE_CHECKING:
    import torch


class Smoother(ABC):
    """Smooths images. Members are stateless, threads share them: what they are set to is in the recipe."""

    #: What `--smoother` calls it.
    name: str
    #: The fields of a recipe that change what it does, of ``kernel_size`` and ``kernel_sigma``.
    uses: tuple[str, ...] = ()
    #: Whether PyTorch can take the gradient of ``smooth``. If not, an attack takes that of the identity.
    differentiable: bool = False
    #: Whether it is trained, and `--smoother NAME:FILE` names its weights: ``Recipe.smoother_file``.
    takes_file: bool = False

    def prepare(self, recipe: Recipe) -> None:  # noqa: B027 # most need nothing
        """Loads what it needs of this machine, before it smooths the first image.

        Raises:
            Refusal: if this machine lacks it.
        """

    def smallest_side(self, recipe: Recipe) -> int:
        """Pixels that the shorter side of an image must have: smaller images end as failures, too_small."""
        return 1

    @abstractmethod
    def smooth(self, images: "torch.Tensor", recipe: Recipe) -> "torch.Tensor":
        """S of (N, 3, H, W) float32 images: the same shape and device.

        Their values are in [0, 1], but those of a certificate's noisy copies may be beyond. What becomes of an image
        must not depend on the others, nor on how many there are.
        """


class Separable(Smoother):
    """A linear smoother that filters the rows and the columns of an image alike, one after the other.

    Merged with resizing and cropping, two of its passes cost no more than none (worker/matrices.py).
    """

    @abstractmethod
    def reach(self, recipe: Recipe) -> int:
        """How far away a pixel can be that changes another one, along an axis."""

    @abstractmethod
    def along_height(self, images: "torch.Tensor", recipe: Recipe) -> "torch.Tensor":
        """Filters (N, C, H, W) along the columns alone: neighbours in a row do not mix."""


SMOOTHERS = Family[Smoother]("worker.smoothers", "smoother")
