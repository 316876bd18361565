"""Gradient attacks: steps up the gradient of the loss, each followed by the way back into the ball."""

from collections.abc import Sequence

import torch

from worker.attacks.attacked import Attacked
from worker.attacks.balls import Ball
from worker.attacks.options import Stepwise


def fast_gradient(attacked: Attacked, ball: Ball) -> torch.Tensor:
    """One step of length ε from the image: (levels, 3, H, W)."""
    return climb(attacked, ball, attacked.image.expand(len(ball.radii), -1, -1, -1), 1, ball.radii)


def projected_gradient(
    attacked: Attacked, ball: Ball, name: str, levels: Sequence[float], options: Stepwise
) -> torch.Tensor:
    """The best of some climbs from random starts, for each level: (levels, 3, H, W).

    Args:
        attacked: the image.
        ball: its balls at these levels.
        name: of the attack; with the level and the number of the restart it keys a start.
        levels: above 0.
        options: number of steps and restarts, and the size of a step.
    """
    sizes = (
        ball.radii * 2.5 / options.steps
        if options.step_size is None
        else torch.full_like(ball.radii, options.step_size)
    )
    best, gains = None, torch.empty(0)
    for restart in range(options.restarts):
        keyed = [attacked.key.generator(f"{name}/{restart}", level) for level in levels]
        starts = torch.stack([ball.start(number, generator) for number, generator in enumerate(keyed)])
        found = climb(attacked, ball, starts, options.steps, sizes)
        if options.restarts == 1:
            return found
        found_gains = attacked.gains(found)
        if best is None:
            best, gains = found, found_gains
        better = found_gains > gains
        best = torch.where(better.view(-1, 1, 1, 1), found, best)
        gains = torch.where(better, found_gains, gains)
    assert best is not None  # noqa: S101
    return best


def climb(attacked: Attacked, ball: Ball, images: torch.Tensor, steps: int, sizes: torch.Tensor) -> torch.Tensor:
    """Where steps of these sizes, (levels, 1, 1, 1), lead from (levels, 3, H, W) images."""
    sizes = sizes.float()
    for _ in range(steps):
        images = ball.project(images + sizes * ball.steepest(attacked.gradients(images)))
    return ball.inside(images)
