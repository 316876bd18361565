"""Passes through the network under attack: each caller's own, and those that the threads of a GPU share."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import pytest
import torch
from attacks import CPU, FIT, attacked, classifier, network, subject
from torch import nn

from db.recipe import make_recipe
from worker.attacks.aim import aim_of, shared_passes
from worker.attacks.passes import Passes, SharedPasses
from worker.perturbations import Subject

pytestmark = pytest.mark.usefixtures("one_thread")

SIZE = 8


def nothing() -> None:
    pass


def views(count: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 3, FIT.crop, FIT.crop, generator=torch.Generator().manual_seed(seed))


def loss(logits: torch.Tensor) -> torch.Tensor:
    return logits.logsumexp(dim=1).sum()


class Gated(nn.Module):
    """A network whose first pass lasts until the gate opens. It writes down how many views each pass has."""

    def __init__(self, opens: Callable[[], bool]) -> None:
        super().__init__()
        self.network, self.opens, self.passes = network(FIT), opens, list[int]()

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        self.passes.append(len(given))
        while not self.opens():
            time.sleep(0.001)
        logits: torch.Tensor = self.network(given)
        return logits


def shared(opens_at: int) -> tuple[SharedPasses, Gated]:
    """Shared passes, the first of which lasts until so many requests wait."""
    gated = Gated(lambda: len(passes._waiting) >= opens_at or len(gated.passes) > 1)
    passes = SharedPasses(gated, nothing, SIZE)
    return passes, gated


def asked(gated: Gated, *calls: Callable[[], torch.Tensor]) -> list[Future[torch.Tensor]]:
    """Each call in a thread of its own; the others begin while the pass of the first one lasts."""
    with ThreadPoolExecutor(len(calls)) as pool:
        first = pool.submit(calls[0])
        while not gated.passes:
            time.sleep(0.001)
        return [first, *(pool.submit(call) for call in calls[1:])]


def test_the_gradient_of_own_passes_is_autograds() -> None:
    given = views(3).requires_grad_()
    (expected,) = torch.autograd.grad(loss(network(FIT)(given)), given)
    told: list[None] = []
    found = Passes(network(FIT), lambda: told.append(None)).gradients(given.detach(), loss)
    assert torch.allclose(found, expected, atol=1e-7)
    assert len(told) == 1


def test_threads_that_wait_share_the_next_pass() -> None:
    passes, gated = shared(opens_at=3)
    found = asked(gated, *(partial(passes.gradients, views(2, seed), loss) for seed in range(4)))
    # One thread's pass runs; the other three wait, and fit into one.
    assert gated.passes == [SIZE, SIZE]
    for seed, gradient in enumerate(found):
        assert torch.allclose(
            gradient.result(), Passes(network(FIT), nothing).gradients(views(2, seed), loss), atol=1e-6
        )


def test_a_pass_takes_as_many_as_fit() -> None:
    passes, gated = shared(opens_at=3)
    found = asked(gated, *(partial(passes.logits, views(5, seed)) for seed in range(4)))
    assert gated.passes == [SIZE] * 4
    assert [len(one.result()) for one in found] == [5] * 4


def test_answers_and_gradients_are_not_found_in_one_pass() -> None:
    passes, gated = shared(opens_at=2)
    found = asked(
        gated,
        *(partial(passes.logits, views(1, seed)) for seed in range(2)),
        partial(passes.gradients, views(1, 2), loss),
    )
    assert gated.passes == [SIZE] * 3
    assert [one.result().shape for one in found] == [(1, 6), (1, 6), (1, 3, FIT.crop, FIT.crop)]


def test_who_shares_a_pass_changes_no_bit() -> None:
    alone = SharedPasses(network(FIT), nothing, SIZE).gradients(views(2), loss)
    passes, gated = shared(opens_at=3)
    found = asked(gated, *(partial(passes.gradients, views(2, seed), loss) for seed in (9, 5, 0, 7)))
    assert gated.passes == [SIZE, SIZE]
    assert torch.equal(found[2].result(), alone)


def test_an_error_is_that_of_all_who_share_the_pass_and_of_nobody_after_it() -> None:
    class Fails(Gated):
        def forward(self, given: torch.Tensor) -> torch.Tensor:
            logits = super().forward(given)
            if len(self.passes) == 2:
                raise RuntimeError("the device is lost")
            return logits

    fails = Fails(lambda: len(passes._waiting) >= 3 or len(fails.passes) > 1)
    passes = SharedPasses(fails, nothing, SIZE)
    errors = [one.exception() for one in asked(fails, *(partial(passes.logits, views(2, seed)) for seed in range(4)))]
    assert sum(error is None for error in errors) == 1
    assert {str(error) for error in errors if error} == {"the device is lost"}
    assert passes.logits(views(1)).shape == (1, 6)


@pytest.mark.parametrize("name", ["pgd-linf", "square"])
def test_images_of_any_size_that_share_passes_are_attacked_as_alone(name: str) -> None:
    told = {"steps": 3} if name == "pgd-linf" else {"budget": 20}
    subjects = [subject(name, attacker="defence", side=24 + picture, picture=picture, **told) for picture in range(4)]

    def found(one: Subject, passes: SharedPasses | None) -> list[torch.Tensor]:
        assert one.aim is not None
        return attacked(one._replace(aim=one.aim._replace(passes=passes)), 0.02, 0.05)

    together = SharedPasses(network(FIT), nothing, 4 * 12)
    with ThreadPoolExecutor(4, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        of_lanes = list(pool.map(lambda one: found(one, together), subjects))
    for one, images in zip(subjects, of_lanes, strict=True):
        for x, alone in zip(images, found(one, SharedPasses(network(FIT), nothing, 4 * 12)), strict=True):
            assert torch.equal(x, alone)
        for x, unshared in zip(images, found(one, None), strict=True):
            assert (x - unshared).abs().mean() < 1e-3  # rounded differently, a step may go the other way


def test_a_shared_pass_holds_an_image_of_each_lane() -> None:
    def size(attacker: str, levels: int) -> int:
        recipe = make_recipe(
            perturbation="fgsm",
            levels=tuple(number / 100 for number in range(levels + 1)),
            options={"attacker": attacker},
        )
        aim = aim_of(recipe, classifier())
        assert aim is not None
        assert aim.passes is None, f"threads on a {CPU} share none"
        return shared_passes(aim, recipe, lanes=8)._size

    assert size("model", 3) == 8 * 3
    assert size("defence", 3) == 8 * 9
    assert size("defence", 7) == 8 * 12, "an image sends no more through the network at a time"
    assert size("defence", 0) == 8 * 3, "the clean image is asked about, too"
