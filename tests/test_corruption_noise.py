import numpy as np
import pytest

from worker.corruptions import noise

GREY = np.full((300, 300, 3), 0.5)  # 270,000 values


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize(("severity", "sigma"), [(1, 0.08), (2, 0.12)])
def test_gaussian_noise_has_the_papers_standard_deviation(severity: int, sigma: float) -> None:
    x = noise.gaussian_noise(GREY, severity, rng())
    assert x.std() == pytest.approx(sigma, rel=0.01)
    assert x.mean() == pytest.approx(0.5, abs=0.001)


def test_shot_noise_counts_photons() -> None:
    # Severity 5: white is 3 photons, grey 1.5 on average, and more than 3 are white.
    x = noise.shot_noise(GREY, 5, rng())
    assert np.unique(x) == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert (x == 0).mean() == pytest.approx(np.exp(-1.5), abs=0.004)


@pytest.mark.parametrize(("severity", "share"), [(1, 0.03), (5, 0.27)])
def test_impulse_noise_changes_that_share_of_the_values_each_channel_by_itself(severity: int, share: float) -> None:
    x = noise.impulse_noise(GREY, severity, rng())
    assert set(np.unique(x)) == {0, 0.5, 1}
    assert (x == 0).mean() == pytest.approx(share / 2, abs=0.004)
    assert (x == 1).mean() == pytest.approx(share / 2, abs=0.004)
    both = ((x[:, :, 0] != 0.5) & (x[:, :, 1] != 0.5)).mean()
    assert both == pytest.approx(share**2, abs=0.005)


def test_speckle_noise_is_in_proportion_to_the_value() -> None:
    image = np.broadcast_to((0.0, 0.2, 0.4), (300, 300, 3))
    x = noise.speckle_noise(image, 2, rng())
    assert x.std(axis=(0, 1)) == pytest.approx([0, 0.04, 0.08], rel=0.02)
