"""Projected gradient descent in the L∞ ball: FGSM's steps, many and small, from a random start.

Source: A. Madry, A. Makelov, L. Schmidt, D. Tsipras, A. Vladu, "Towards Deep Learning Models Resistant to Adversarial
Attacks", ICLR 2018.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from worker.attacks import LINF, Attack
from worker.attacks.options import Stepwise

if TYPE_CHECKING:
    import torch

    from worker.attacks.attacked import Attacked


class PgdLinf(Attack[Stepwise]):
    """Projected gradient descent from random starts. White box, L∞."""

    name = "pgd-linf"
    axis = LINF
    options = Stepwise

    def attack(self, attacked: "Attacked", levels: Sequence[float], options: Stepwise) -> "torch.Tensor":
        """As Attack."""
        from worker.attacks import balls
        from worker.attacks.gradient import projected_gradient

        return projected_gradient(attacked, balls.Linf(attacked.image, levels), self.name, levels, options)


MEMBER = PgdLinf()
