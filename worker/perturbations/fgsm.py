"""The fast gradient sign method: x = clamp(I + ε·sign(∇ loss), 0, 1), one step of size ε for each value.

Source: I. J. Goodfellow, J. Shlens, C. Szegedy, "Explaining and Harnessing Adversarial Examples", ICLR 2015.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from worker.attacks import LINF, Attack
from worker.attacks.options import Targeted

if TYPE_CHECKING:
    import torch

    from worker.attacks.attacked import Attacked


class Fgsm(Attack[Targeted]):
    """Fast gradient sign method: one step along the sign of the gradient. White box, L∞."""

    name = "fgsm"
    axis = LINF
    options = Targeted

    def attack(self, attacked: "Attacked", levels: Sequence[float], options: Targeted) -> "torch.Tensor":
        """As Attack."""
        from worker.attacks import balls
        from worker.attacks.gradient import fast_gradient

        return fast_gradient(attacked, balls.Linf(attacked.image, levels))


MEMBER = Fgsm()
