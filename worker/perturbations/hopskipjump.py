"""HopSkipJump: finds the nearest image with a wrong label by the labels alone (worker/attacks/boundary.py).

It is searched for once an image: an ε at least as large as its distance has it for x. A smaller ε has the point of the
way to it at the distance ε, which the model mostly answers rightly. The budget of queries is that of the image.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from worker.attacks import L2, Attack
from worker.attacks.options import Queried

if TYPE_CHECKING:
    import torch

    from worker.attacks.attacked import Attacked


class HopSkipJump(Attack[Queried]):
    """HopSkipJump: a walk along the boundary between labels, by the labels alone. Black box, L2."""

    name = "hopskipjump"
    axis = L2
    #: What a budget of a thousand reaches: a photograph of 500×375 at ε = 20 differs by .027, root mean square.
    levels = (0.0, 10.0, 20.0, 40.0)
    limits = (0, 1_000)
    options = Queried

    def attack(self, attacked: "Attacked", levels: Sequence[float], options: Queried) -> "torch.Tensor":
        """As Attack."""
        from worker.attacks import balls
        from worker.attacks.boundary import Walk

        walk = Walk(attacked, options.budget, attacked.key.generator(self.name))
        walk.go()
        closest = attacked.image if walk.closest is None else walk.closest
        ball = balls.L2(attacked.image, levels)
        images = closest.expand(len(levels), -1, -1, -1)
        outside = (ball.distances(images) > ball.radii.flatten()).view(-1, 1, 1, 1)
        return ball.inside(images).where(outside, images)


MEMBER = HopSkipJump()
