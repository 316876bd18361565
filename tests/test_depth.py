"""How deep the queue is filled."""

from producer.depth import FEW, LATEST, SOONEST, Depth


def test_the_queue_is_low_when_half_of_it_was_taken() -> None:
    depth = Depth(1000)
    assert depth.full == FEW == 16
    assert [depth.is_low(queued) for queued in (9, 8, 0)] == [False, True, True]
    assert [Depth(1).is_low(queued) for queued in (1, 0)] == [False, True]


def test_the_depth_is_what_workers_take_in_two_seconds() -> None:
    depth = Depth(1000)
    depth.filled(16, at=10.0)
    depth.adapt(6, at=10.1)  # 10 jobs in a tenth of a second
    assert depth.full == 200
    depth.filled(200, at=10.1)
    depth.adapt(100, at=12.6)  # 40 a second
    assert depth.full == 80


def test_the_depth_has_bounds() -> None:
    deep, shallow = Depth(40), Depth(3)
    deep.filled(16, at=0.0)
    deep.adapt(1, at=0.001)
    assert deep.full == 40
    deep.filled(40, at=0.0)
    deep.adapt(20, at=3600.0)
    assert deep.full == FEW
    assert shallow.full == 3


def test_a_queue_that_is_found_empty_is_filled_twice_as_deep() -> None:
    depth = Depth(1000)
    depth.filled(16, at=0.0)
    depth.adapt(0, at=10.0)  # 16 in ten seconds; but workers may have waited for most of that time
    assert depth.full == 32


def test_what_another_dispatcher_sent_meanwhile_is_not_taken_for_work() -> None:
    depth = Depth(1000)
    depth.filled(16, at=0.0)
    depth.adapt(200, at=1.0)
    assert depth.full == FEW


def test_looks_come_sooner_the_faster_workers_are() -> None:
    depth = Depth(16)
    assert depth.pause(16) == LATEST
    depth.filled(16, at=0.0)
    depth.adapt(8, at=0.1)  # 80 a second: eight more last for a tenth of a second
    assert depth.pause(16) == 0.05
    assert depth.pause(8) == SOONEST
