import pytest

from worker.vote import majority


@pytest.mark.parametrize(
    ("ns", "ss", "ds", "voted"),
    [
        (7, 7, 7, 7),  # all three
        (7, 7, 1, 7),
        (7, 1, 7, 7),
        (1, 7, 7, 7),
        (1, 2, 3, None),  # none shared: rejected
        (0, 0, 5, 0),  # class 0 is a label, not "nothing"
        (5, 0, 0, 0),
    ],
)
def test_the_vote_is_what_two_of_three_views_share(ns: int, ss: int, ds: int, voted: int | None) -> None:
    assert majority(ns, ss, ds) == voted
