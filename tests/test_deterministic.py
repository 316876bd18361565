"""Deterministic algorithms of PyTorch: asked for on a GPU during an attack, given back when the last has ended."""

from collections.abc import Iterator
from threading import Barrier, Thread

import pytest
import torch

from worker.attacks.deterministic import deterministic

# Only the settings are looked at: no GPU is needed.
CUDA = torch.device("cuda")


def settings() -> tuple[bool, bool, bool]:
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.backends.cudnn.deterministic,
    )


@pytest.fixture(autouse=True)
def before() -> Iterator[None]:
    assert settings() == (False, False, False)
    yield
    assert settings() == (False, False, False)


def test_a_gpu_is_asked_for_them_and_a_cpu_is_not() -> None:
    with deterministic(CUDA):
        assert settings() == (True, True, True)
    with deterministic(torch.device("cpu")):
        assert settings() == (False, False, False)


def test_they_hold_until_the_last_thread_leaves() -> None:
    inside, over = Barrier(2), Barrier(2)

    def attack() -> None:
        with deterministic(CUDA):
            inside.wait(10)
            over.wait(10)

    other = Thread(target=attack)
    with deterministic(CUDA):
        other.start()
        inside.wait(10)
    assert settings() == (True, True, True), "the other thread is inside"
    over.wait(10)
    other.join(10)


def test_an_error_gives_them_back() -> None:
    with pytest.raises(ValueError, match="broken"), deterministic(CUDA):
        raise ValueError("broken")
