"""The Square attack: squares of random place and colour are tried one after the other, and kept if they help.

It sees the model's probabilities alone. Its budget is one of queries for each level, and a level ends when the model is
fooled. Source: M. Andriushchenko, F. Croce, N. Flammarion, M. Hein, "Square Attack: a query-efficient black-box
adversarial attack via random search", ECCV 2020.
"""

from collections.abc import Sequence
from math import sqrt
from typing import TYPE_CHECKING

from worker.attacks import LINF, Attack
from worker.attacks.options import QueriedTargeted

if TYPE_CHECKING:
    import torch

    from worker.attacks.attacked import Attacked

#: The share of the pixels that the first squares have.
LARGEST_SHARE = 0.8
#: At these queries of 10,000 the squares become half as large; a smaller budget has them in proportion.
HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)


class Square(Attack[QueriedTargeted]):
    """Square attack: random search by the model's probabilities. Black box, L∞."""

    name = "square"
    axis = LINF
    options = QueriedTargeted

    def attack(self, attacked: "Attacked", levels: Sequence[float], options: QueriedTargeted) -> "torch.Tensor":
        """As Attack."""
        import torch

        from worker.attacks import balls

        ball, image = balls.Linf(attacked.image, levels), attacked.image
        generators = [attacked.key.generator(self.name, level) for level in levels]
        _, height, width = image.shape
        stripes = [_signs((3, 1, width), generator).to(image.device) for generator in generators]
        found = ball.project(image + ball.radii.float() * torch.stack(stripes))
        margins, fooled = attacked.answers(found)
        for query in range(1, options.budget):
            rest = (~fooled).nonzero().flatten()
            if not len(rest):
                break
            side = side_of(query, options.budget, height, width)
            tried = found.clone()
            for number in rest.tolist():
                drawn = torch.rand(2, generator=generators[number]).tolist()
                top, left = int(drawn[0] * (height - side + 1)), int(drawn[1] * (width - side + 1))
                place = (slice(None), slice(top, top + side), slice(left, left + side))
                colour = _signs((3, 1, 1), generators[number]).to(image.device) * levels[number]
                tried[number][place] = image[place] + colour
            tried = ball.project(tried)
            answers = attacked.answers(tried[rest])
            better = (answers.margins < margins[rest]) | answers.fooled
            kept = rest[better]
            found[kept], margins[kept], fooled[kept] = tried[kept], answers.margins[better], answers.fooled[better]
        return ball.inside(found)


def side_of(query: int, budget: int, height: int, width: int) -> int:
    """Pixels along the side of the square that a query tries."""
    of_ten_thousand = query * 10_000 // budget
    halved = sum(of_ten_thousand > halving for halving in HALVINGS)
    return min(height, width, max(1, round(sqrt(LARGEST_SHARE * height * width / 2**halved))))


def _signs(shape: tuple[int, int, int], generator: "torch.Generator") -> "torch.Tensor":
    """-1 or 1, with equal chance."""
    import torch

    return torch.randint(2, shape, generator=generator) * 2.0 - 1


MEMBER = Square()
