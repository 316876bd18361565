import numpy as np
import pytest

from worker.corruptions import weather

GREY = np.full((120, 160, 3), 0.5)
BLACK = np.zeros((120, 160, 3))


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_brightness_raises_the_greatest_channel_and_the_others_in_proportion() -> None:
    image = np.array([[[0.4, 0.2, 0.1], [0.0, 0.0, 0.0], [0.9, 0.9, 0.45], [1.0, 0.5, 0.0]]])
    # Severity 2 is .2: .4 becomes .6, black becomes .2, .9 becomes 1, and 1 stays.
    expected = [[[0.6, 0.3, 0.15], [0.2, 0.2, 0.2], [1, 1, 0.5], [1, 0.5, 0]]]
    assert weather.brightness(image, 2, rng()) == pytest.approx(np.array(expected))


def test_fog_is_grey_clouds_that_leave_the_greatest_value_as_it_is() -> None:
    x = weather.fog(GREY, 1, rng())
    assert x[:, :, 0] == pytest.approx(x[:, :, 2])
    # Clouds are 0 to 1, times 1.5: (.5 + 0)·.5/2 = .125 at the thinnest and (.5 + 1.5)·.5/2 = .5 at the densest.
    assert 0.125 <= x.min() < 0.3 < 0.4 < x.max() <= 0.5


def test_clouds_are_rougher_where_their_randomness_falls_more_slowly() -> None:
    rough, smooth = (np.abs(np.diff(weather._clouds(128, 128, decay, rng()))).mean() for decay in (1.4, 2))
    assert rough > 1.5 * smooth


def test_clouds_fill_any_size_from_0_to_1() -> None:
    whole = weather._clouds(64, 64, 2, rng())
    assert (whole.min(), whole.max()) == (0, 1)
    assert weather._clouds(33, 64, 2, rng()) == pytest.approx(whole[:33])
    assert weather._clouds(1, 3, 2, rng()).shape == (1, 3)


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
def test_snow_makes_an_image_brighter_and_grey(severity: int) -> None:
    image = np.broadcast_to((0.6, 0.3, 0.1), (120, 160, 3))
    x = weather.snow(image, severity, rng())
    assert (x >= image - 1e-9).all()
    spread = x.max(axis=2) - x.min(axis=2)
    assert spread.mean() < 0.5  # it was .5


def test_a_flake_falls_within_45_degrees_of_straight_down() -> None:
    # More change from column to column than from row to row: the flakes are smeared along the columns.
    changes = [
        (np.abs(np.diff(x, axis=1)).mean(), np.abs(np.diff(x, axis=0)).mean())
        for x in (weather.snow(BLACK, 2, rng(seed)) for seed in range(8))
    ]
    assert np.mean([across for across, _ in changes]) > np.mean([down for _, down in changes])


def test_frost_is_the_papers_mixture_of_image_and_ice() -> None:
    # The same ice on black and on grey: severity 3 adds .7 of the image.
    black, grey = (weather.frost(image, 3, rng()) for image in (BLACK, GREY))
    unclipped = grey < 1
    assert (grey - black)[unclipped] == pytest.approx(0.35)


def test_ice_has_the_colour_and_contrast_of_frost_on_a_pane() -> None:
    found = [weather._ice(120, 160, rng(seed)) for seed in range(20)]
    panes = set()
    for ice in found:
        bright = ice.mean(axis=2)
        colour, spread = min(weather.PANES, key=lambda pane: abs(np.mean(pane[0]) - bright.mean()))
        panes.add(colour)
        assert ice.mean(axis=(0, 1)) == pytest.approx(np.array(colour), abs=0.03)
        assert bright.std() == pytest.approx(spread, abs=0.04)
    assert len(panes) == 4, "every photograph is drawn; two are the same"


@pytest.mark.parametrize("severity", [1, 2, 3])
def test_water_is_light_drops_and_leaves_the_rest_alone(severity: int) -> None:
    x = weather.spatter(BLACK, severity, rng())
    wet = x.max(axis=2) > 0
    assert 0.005 < wet.mean() < 0.6
    # Turquoise, as bright as the severity says at the brightest spot.
    strength = (0.6, 0.6, 0.5)[severity - 1]
    assert x.reshape(-1, 3).max(axis=0) == pytest.approx(strength * np.array((175, 238, 238)) / 255)


@pytest.mark.parametrize("severity", [4, 5])
def test_mud_covers_the_image_in_brown(severity: int) -> None:
    x = weather.spatter(np.ones_like(GREY), severity, rng())
    assert x.min(axis=(0, 1)) == pytest.approx(np.array((63, 42, 20)) / 255, abs=0.02)
    assert (x == 1).all(axis=2).any()
