import hashlib

import torch

from worker import noise

DIGEST = hashlib.sha256(b"an image").digest()


def test_noise_is_the_same_whenever_it_is_drawn() -> None:
    torch.manual_seed(1)
    first = noise.draw(DIGEST, 0, 30, 40)
    torch.manual_seed(2)
    torch.rand(17)
    assert torch.equal(noise.draw(DIGEST, 0, 30, 40), first)
    assert first.shape == (3, 30, 40)


def test_noise_is_the_same_with_any_number_of_threads() -> None:
    threads = torch.get_num_threads()
    drawn = []
    try:
        for count in (1, 2, 4):
            torch.set_num_threads(count)
            drawn.append(noise.draw(DIGEST, 0, 200, 300))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(drawn[0], drawn[1])
    assert torch.equal(drawn[0], drawn[2])


def test_another_image_or_seed_has_other_noise() -> None:
    first = noise.draw(DIGEST, 0, 30, 40)
    assert not torch.equal(noise.draw(DIGEST, 1, 30, 40), first)
    assert not torch.equal(noise.draw(hashlib.sha256(b"another").digest(), 0, 30, 40), first)


def test_drawing_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    noise.draw(DIGEST, 0, 8, 8)
    assert torch.equal(torch.rand(3), expected)


def test_noise_is_standard_normal() -> None:
    drawn = noise.draw(DIGEST, 0, 500, 500)  # 750,000 values: mean and deviation are known to about .001
    assert abs(drawn.mean().item()) < 0.006
    assert abs(drawn.std().item() - 1) < 0.005


def test_noise_is_scaled_by_sigma_and_clamped() -> None:
    image = torch.full((3, 1, 2), 0.5)
    field = torch.tensor([1.0, -3.0]).expand(3, 1, 2)
    assert torch.equal(noise.add(image, field, 0.25), torch.tensor([0.75, 0.0]).expand(3, 1, 2))
    assert torch.equal(image, torch.full((3, 1, 2), 0.5))


def test_sigma_zero_leaves_the_image_as_it_is() -> None:
    image = torch.rand(3, 5, 5)
    assert noise.add(image, torch.randn(3, 5, 5), 0.0) is image
