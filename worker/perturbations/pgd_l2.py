"""Projected gradient descent in the L2 ball: steps along the gradient, of equal length, from a random start.

Source: A. Madry, A. Makelov, L. Schmidt, D. Tsipras, A. Vladu, "Towards Deep Learning Models Resistant to Adversarial
Attacks", ICLR 2018.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from worker.attacks import L2, Attack
from worker.attacks.options import Stepwise

if TYPE_CHECKING:
    import torch

    from worker.attacks.attacked import Attacked


class PgdL2(Attack[Stepwise]):
    """Projected gradient descent from random starts. White box, L2."""

    name = "pgd-l2"
    axis = L2
    levels = (0.0, 0.5, 1.0, 2.0)
    limits = (0, 1_000)
    options = Stepwise

    def attack(self, attacked: "Attacked", levels: Sequence[float], options: Stepwise) -> "torch.Tensor":
        """As Attack."""
        from worker.attacks import balls
        from worker.attacks.gradient import projected_gradient

        return projected_gradient(attacked, balls.L2(attacked.image, levels), self.name, levels, options)


MEMBER = PgdL2()
