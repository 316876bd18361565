"""How runs share the workers."""

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from db.share import Contender, Sendable, share


def jobs(first: int, works: list[int]) -> Iterator[Sendable]:
    return (Sendable(first + number, work) for number, work in enumerate(works))


def run(name: str, works: list[int], *, work: int = 0, priority: int = 0, first: int = 0) -> Contender:
    return Contender(run_id=name, priority=priority, work=work, jobs=jobs(first, works))


def test_two_runs_get_as_many_jobs_each_and_those_of_a_run_stay_together() -> None:
    one, other = run("a", [5] * 10), run("b", [5] * 10, first=100)
    assert share([one, other], 6) == [0, 1, 2, 100, 101, 102]


def test_a_run_whose_jobs_are_four_times_as_large_gets_a_quarter_of_them() -> None:
    large, small = run("a", [40] * 10), run("b", [10] * 30, first=100)
    assert share([large, small], 10) == [0, 1, *range(100, 108)]


def test_a_run_for_which_nothing_was_done_catches_up_first() -> None:
    old, new = run("a", [10] * 9, work=50), run("b", [10] * 9, first=100)
    assert sorted(share([old, new], 7)) == [0, 100, 101, 102, 103, 104, 105]


def test_a_higher_priority_is_served_first_whatever_was_done_for_it() -> None:
    low, high = run("a", [1] * 9), run("b", [100] * 3, first=100, work=10**9, priority=1)
    assert share([low, high], 5) == [100, 101, 102, 0, 1]


def test_a_run_with_few_jobs_leaves_the_rest_to_the_others() -> None:
    assert share([run("a", [1]), run("b", [1] * 9, first=100)], 5) == [0, 100, 101, 102, 103]
    assert share([run("a", [1]), run("b", [])], 5) == [0]
    assert share([], 5) == []


def test_a_run_keeps_its_turn_until_it_is_so_far_ahead() -> None:
    runs = [run(name, [10] * 99, first=100 * order) for order, name in enumerate("abc")]
    assert share(runs, 5, ahead=30, holder="b") == [100, 101, 102, 103, 0]
    runs = [run("a", [10] * 99), run("b", [10] * 99, first=100, work=31)]
    assert share(runs, 2, ahead=30, holder="b") == [0, 1]


@given(
    st.lists(st.lists(st.integers(1, 50), max_size=30), min_size=1, max_size=5),
    st.integers(0, 100),
    st.integers(0, 60),
)
def test_no_two_runs_that_have_jobs_left_differ_by_more_than_a_job(
    works: list[list[int]], room: int, ahead: int
) -> None:
    runs = [run(str(order), each, first=1000 * order) for order, each in enumerate(works)]
    chosen = share(runs, room, ahead=ahead)
    assert len(chosen) == len(set(chosen)) == min(room, sum(map(len, works)))
    sent = [[job % 1000 for job in chosen if job // 1000 == order] for order in range(len(works))]
    for order, each in enumerate(sent):
        assert each == list(range(len(each)))  # in the order of the run
        mine = sum(works[order][: len(each)])
        for other, theirs in enumerate(sent):
            if len(theirs) < len(works[other]):  # it could have had more
                assert mine <= sum(works[other][: len(theirs)]) + ahead + 50
