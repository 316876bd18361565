import pytest
from scipy.stats import binomtest

from db.stats import rate


def test_wilsons_interval_agrees_with_published_figures() -> None:
    # 285 of 427 → [.621, .710]; 211 of 427 → [.447, .541]: recomputed from the logs of Cohen et al. 2019.
    found = rate(285, 427)
    assert found is not None
    assert (round(found.value, 3), round(found.low, 3), round(found.high, 3)) == (0.667, 0.621, 0.710)
    found = rate(211, 427)
    assert found is not None
    assert (round(found.low, 3), round(found.high, 3)) == (0.447, 0.541)


@pytest.mark.parametrize(("hits", "of"), [(0, 1), (1, 1), (0, 500), (500, 500), (3, 7), (491, 975)])
def test_wilsons_interval_is_scipys(hits: int, of: int) -> None:
    found = rate(hits, of)
    expected = binomtest(hits, of).proportion_ci(method="wilson")
    assert found is not None
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_a_share_of_nothing_is_nothing() -> None:
    assert rate(0, 0) is None
