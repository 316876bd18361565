"""The counts of a run: the same by either database, by pandas and by hand."""

from itertools import count as counter
from itertools import pairwise

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rows import BY_HAND, make_run, record
from sqlalchemy import Engine, select

from db.runs import RunInfo, find_run
from db.session import reading
from db.summaries import summarise
from db.tables import Image, Prediction, Summary
from db.tally import Thresholding, count
from report.report import Report, report

# Equal ones, the least and the greatest, and several within one step of the counting.
CONFIDENCES = st.sampled_from([0.0, 0.0004, 0.25, 0.2503, 0.2507, 0.5, 0.9999999, 1.0]) | st.floats(0, 1)
CLASSES = st.integers(0, 2)
VIEWS = st.tuples(CLASSES, CONFIDENCES, CLASSES, CONFIDENCES, CLASSES, CONFIDENCES)
IMAGES = st.tuples(st.none() | CLASSES, st.sampled_from(["grayscale", "truncated", None, None, None]), VIEWS, VIEWS)

EXAMPLE = counter()


def frame(engine: Engine, run: RunInfo) -> pd.DataFrame:
    columns = [column for column in Prediction.__table__.columns if column.name != "run_id"]
    with reading(engine) as session:
        rows = session.execute(
            select(*columns, Image.label)
            .join(Image, Image.id == Prediction.image_id)
            .where(Prediction.run_id == run.id)
        ).mappings()
        return pd.DataFrame([dict(row) for row in rows]).astype({"label": "Int64", "label_maj": "Int64"})


def plainly(rows: pd.DataFrame) -> dict[str, object]:
    """The fields of a Tally from the rows of one level, counted with pandas alone."""
    named = rows[rows.label.notna()]
    right = {view: (named[f"label_{view}"] == named.label).fillna(False).astype(bool) for view in ("ns", "ss", "ds")}
    right["maj"] = (named.label_maj == named.label).fillna(False).astype(bool)
    agree = (rows.label_ns == rows.label_ss) & (rows.label_ns == rows.label_ds)
    sure = named.sort_values(["confidence_ns", "image_id"], ascending=[False, True]).index
    accepted, unanimous = named.label_maj.notna(), agree[named.index]

    def thresholding(taken: pd.Series) -> Thresholding:
        kept = sure[: int(taken.sum())]
        vote = right["maj"] & taken
        return Thresholding(int(right["ns"][kept].sum()), int((right["ns"] & vote)[kept].sum()))

    return {
        "predicted": len(rows),
        "labelled": len(named),
        "accepted": int(rows.label_maj.notna().sum()),
        "accepted_labelled": int(accepted.sum()),
        "unanimous": int(agree.sum()),
        "unanimous_labelled": int(unanimous.sum()),
        "agree_ss": int((rows.label_ns == rows.label_ss).sum()),
        "agree_ds": int((rows.label_ns == rows.label_ds).sum()),
        **{f"right_{view}": int(found.sum()) for view, found in right.items()},
        "right_unanimous": int((right["ns"] & unanimous).sum()),
        "right_fallback": int((right["ns"] & ~accepted).sum()),
        **{f"both_{view}": int((right["ns"] & right[view]).sum()) for view in ("ss", "ds", "maj")},
        "thresholding_majority": thresholding(accepted),
        "thresholding_unanimous": thresholding(unanimous),
    }


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(found=st.lists(IMAGES, min_size=1, max_size=14), pending=st.integers(0, 2))
def test_any_rows_are_counted_alike_by_either_database_and_by_pandas(
    engine: Engine, found: list[tuple], pending: int  # type: ignore[type-arg]
) -> None:  # fmt: skip
    run = make_run(engine, found, f"example {next(EXAMPLE)}", pending=pending)
    with reading(engine) as session:
        counted, reported = count(session, run), report(session, run)
    rows = frame(engine, run) if counted else pd.DataFrame({"level": []})
    assert set(counted) == set(rows.level)
    for level, tally in counted.items():
        expected = plainly(rows[rows.level == level])
        assert {name: getattr(tally, name) for name in expected} == expected
        check_curve(tally.curve_confidence, tally.labelled, tally.right_ns)
        check_curve(tally.curve_vote, tally.labelled, tally.right_maj + tally.right_fallback)
    check(reported, found, pending)
    summarise(engine, run)
    with reading(engine) as session:
        kept = session.scalars(select(Summary.level).where(Summary.run_id == run.id)).all()
        assert set(kept) == (set() if pending else set(counted)), "only a complete run has summaries"
        assert report(session, run) == reported == report(session, run, stored=False)


def check_curve(curve: object, labelled: int, right: int) -> None:
    points = list(curve)  # type: ignore[call-overload]
    assert points == sorted(points)
    assert not points or points[-1] == (labelled, right)
    assert bool(points) == bool(labelled)
    for (fewer, before), (more, after) in pairwise([(0, 0), *points]):
        assert 0 <= after - before <= more - fewer


def check(found: Report, images: list[tuple], pending: int) -> None:  # type: ignore[type-arg]
    for level in found.levels:
        assert level.expected == len(images) + pending
        assert level.expected == level.predicted + level.failed + level.skipped + level.pending
        assert level.pending == pending
        rates = [getattr(level, name) for name in vars(level) if name.startswith(("acc_", "agree_"))]
        rates += [level.reject_rate, level.coverage, level.unanimous_rate]
        rates += [
            rate for point in level.operating_points for rate in (point.coverage, point.accuracy, point.thresholding)
        ]
        for rate in filter(None, rates):
            assert 0 <= rate.low <= rate.value <= rate.high <= 1
            assert 0 <= rate.hits <= rate.of
        for tested in [*level.against_ns.values(), *(point.against_thresholding for point in level.operating_points)]:
            assert (tested is None) == (level.labelled == 0)
            if tested:
                assert 0 <= tested.pair.p <= tested.p_holm <= 1
                assert -1 <= tested.pair.low <= tested.pair.difference <= tested.pair.high <= 1
        if level.labelled:
            assert level.acc_ns
            assert level.acc_maj_overall
            assert level.saved is not None
            assert level.lost is not None
            assert level.acc_ns.hits + level.saved - level.lost == level.acc_maj_overall.hits
        assert [point.name for point in level.operating_points] == ["unanimous", "majority", "always"]


def test_confidence_thresholding_accepts_as_many_images_as_the_vote_the_most_confident_by_ns(engine: Engine) -> None:
    run = make_run(engine, BY_HAND, "by hand")
    with reading(engine) as session:
        calm = report(session, run).levels[0]
    at = {point.name: point for point in calm.operating_points}
    # 2 of 3 agree: the vote accepts images 1, 2, 4 and has 1, 4 right; thresholding accepts 1, 2, 3 and has 1, 3 right.
    assert at["majority"].accuracy is not None
    assert at["majority"].thresholding is not None
    assert at["majority"].accuracy[:2] == at["majority"].thresholding[:2] == (2, 3)
    assert at["majority"].against_thresholding is not None
    assert at["majority"].against_thresholding.pair[:3] == (1, 1, 4)
    # 3 of 3 agree: image 1 alone, for both. Always: the vote has 1, 3 (by ns) and 4; ns alone has 1 and 3.
    assert at["unanimous"].accuracy is not None
    assert at["unanimous"].accuracy[:2] == (1, 1)
    assert at["always"].accuracy is not None
    assert at["always"].thresholding is not None
    assert (at["always"].accuracy[:2], at["always"].thresholding[:2]) == ((3, 4), (2, 4))
    assert at["always"].against_thresholding is not None
    assert at["always"].against_thresholding.pair[:3] == (0, 1, 4), "image 4 is right for the vote alone"
    assert (calm.saved, calm.lost) == (1, 1)
    # Risk as the threshold falls: right, wrong, right, wrong.
    assert calm.curve_confidence == [(0.25, 0.0), (0.5, 0.5), (0.75, pytest.approx(1 / 3)), (1.0, 0.5)]
    # The votes: 3 for image 1; 2 for image 2 (mean .65) and image 4 (mean .6); 1 for image 3, which ns has right.
    assert calm.curve_vote == [(0.25, 0.0), (0.5, 0.5), (0.75, pytest.approx(1 / 3)), (1.0, 0.25)]


@pytest.mark.parametrize("turned", [False, True])
def test_of_two_confidences_in_one_step_thresholding_accepts_the_higher(engine: Engine, turned: bool) -> None:
    lower, higher = (1, 0.2501, 2, 0.5, 0, 0.5), (2, 0.2509, 2, 0.5, 2, 0.5)
    images = [(1, None, views, views) for views in (lower, higher)]
    run = make_run(engine, images[::-1] if turned else images, "one step")
    with reading(engine) as session:
        point = report(session, run).levels[0].point("majority")
    assert point.thresholding is not None
    assert point.thresholding[:2] == (0, 1), "the image that the vote accepts as well, and gets wrong"


def test_saved_counts_images_that_only_the_vote_has_right_and_lost_those_that_only_ns_has(engine: Engine) -> None:
    saved, lost = BY_HAND[3], BY_HAND[2]
    run = make_run(engine, [saved, saved, lost], "saved")
    with reading(engine) as session:
        assert [(level.saved, level.lost) for level in report(session, run).levels] == [(2, 1), (0, 0)]


def test_nothing_predicted_is_nothing_counted(engine: Engine) -> None:
    run_id = record(engine, [1, 1])
    with reading(engine) as session:
        run = find_run(session, run_id)
        assert count(session, run) == {}
        level = report(session, run).levels[0]
    assert (level.saved, level.lost, level.verdict) == (None, None, None)
