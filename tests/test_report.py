import json
from collections.abc import Callable
from dataclasses import replace
from itertools import groupby

import pytest
from rows import LEVELS, RECIPE, failed, finish_all, jobs, predicted, record
from sqlalchemy import Engine, event, text

from db import control, store
from db.axis import Axis
from db.errors import WrongUse
from db.runs import find_run, list_runs, progress
from db.session import reading, writing
from report.data import to_json
from report.documents.report import document
from report.formats import FORMATS, as_text
from report.images import image_pages
from report.report import Report, report

# True classes of six images; None is not known. The last one's file is broken, the one before is grey.
LABELS = [1, 1, 1, 2, None, 1, 1]
# What the views said at σ = 0, and what the vote made of it.
CALM = [
    (1, 1, 1, 1),  # right
    (1, 9, 1, 1),  # right: ns and ds
    (1, 8, 9, None),  # rejected, though ns was right
    (9, 9, 2, 9),  # wrong, though ds was right
    (5, 5, 5, 5),  # no label: neither
]
NOISY = [
    (1, 1, 9, 1),  # right
    (7, 8, 9, None),  # rejected
    (7, 8, 9, None),  # rejected
    (7, 7, 9, 7),  # wrong
    (7, 8, 9, None),  # rejected, no label
]


@pytest.fixture
def run_id(engine: Engine) -> str:
    run_id = record(engine, LABELS, job_size=7)
    claim = store.claim(engine, jobs(engine, run_id)[0].id, worker="w", lease=60)
    assert claim
    ids = [image_id for image_id, _ in claim.images]
    rows = [
        predicted(ids[n], sigma, *views)
        for sigma, level in zip(LEVELS, (CALM, NOISY), strict=True)
        for n, views in enumerate(level)
    ]
    assert store.finish(engine, claim, rows, [failed(ids[5], "grayscale"), failed(ids[6], "truncated")])
    return run_id


@pytest.fixture
def found(engine: Engine, run_id: str) -> Report:
    with reading(engine) as session:
        return report(session, find_run(session, run_id))


def test_every_count_and_rate_is_what_a_hand_count_gives(found: Report) -> None:
    calm, noisy = found.levels
    assert (calm.expected, calm.predicted, calm.failed, calm.skipped, calm.pending, calm.labelled) == (7, 5, 1, 1, 0, 4)
    by_hand = {
        "acc_ns": (3, 4),
        "acc_ss": (1, 4),
        "acc_ds": (3, 4),
        "acc_maj": (2, 3),  # of the accepted
        "acc_maj_overall": (2, 4),  # of all: the reject is wrong
        "reject_rate": (1, 5),  # the unlabelled image counts here
        "coverage": (4, 5),
    }
    assert {name: (calm.rate(name).hits, calm.rate(name).of) for name in by_hand} == by_hand  # type: ignore[union-attr]
    by_hand = {"acc_ns": (1, 4), "acc_maj": (1, 2), "acc_maj_overall": (1, 4), "reject_rate": (3, 5)}
    assert {name: (noisy.rate(name).hits, noisy.rate(name).of) for name in by_hand} == by_hand  # type: ignore[union-attr]
    assert found.complete


def test_overall_accuracy_is_accuracy_of_the_accepted_times_coverage_where_all_are_labelled(engine: Engine) -> None:
    run_id = record(engine, [1, 1, 1, 1, 1])
    claim = store.claim(engine, jobs(engine, run_id)[0].id, worker="w", lease=60)
    assert claim
    ids = [image_id for image_id, _ in claim.images]
    votes = [1, 1, None, 2]
    store.finish(engine, claim, [predicted(i, 0.0, 1, 1, 1, vote) for i, vote in zip(ids, votes, strict=True)], [])
    with reading(engine) as session:
        level = report(session, find_run(session, run_id)).levels[0]
    assert level.acc_maj
    assert level.acc_maj_overall
    assert level.coverage
    assert level.acc_maj_overall.value == pytest.approx(level.acc_maj.value * level.coverage.value)


def test_a_run_half_way_says_what_is_pending(engine: Engine) -> None:
    run_id = record(engine, [1] * 10, job_size=4)
    claim = store.claim(engine, jobs(engine, run_id)[0].id, worker="w", lease=60)
    assert claim
    ids = [image_id for image_id, _ in claim.images]
    store.finish(engine, claim, [predicted(i, sigma, 1, 1, 1, 1) for i in ids for sigma in LEVELS], [])
    with reading(engine) as session:
        half = report(session, find_run(session, run_id))
        so_far = progress(session, find_run(session, run_id))
    assert [level.pending for level in half.levels] == [6, 6]
    assert not half.complete
    assert (so_far.done, so_far.expected, so_far.complete) == (4, 10, False)
    for form in ("table", "markdown", "latex"):
        assert "INCOMPLETE: 6 images pending" in as_text(document(half), form)
    assert to_json(half)["complete"] is False


def test_a_run_that_has_not_begun_has_no_rates(engine: Engine) -> None:
    run_id = record(engine, [1] * 3)
    with reading(engine) as session:
        empty = report(session, find_run(session, run_id))
    assert [level.pending for level in empty.levels] == [3, 3]
    assert empty.levels[0].acc_ns is None
    for form in FORMATS:
        assert as_text(document(empty), form)


def test_unlabelled_images_have_a_reject_rate_and_no_accuracy(engine: Engine) -> None:
    run_id = record(engine, [None] * 4)
    finish_all(engine, run_id)
    with reading(engine) as session:
        level = report(session, find_run(session, run_id)).levels[0]
    assert (level.acc_ns, level.acc_maj, level.acc_maj_overall) == (None, None, None)
    assert level.reject_rate is not None
    assert level.reject_rate.value == 0


def test_json_has_the_fields_that_scripts_read(found: Report) -> None:
    data = json.loads(as_text(document(found), "json"))
    assert data["complete"] is True
    assert data["run"]["model"] == "efficientnet_lite0"
    assert data["run"]["recipe"]["levels"] == [0.0, 0.25]
    level = data["levels"][0]
    assert level["acc_maj"] == pytest.approx(2 / 3)
    low, high = level["acc_maj_ci"]
    assert 0 < low < 2 / 3 < high < 1
    assert {"sigma", "expected", "predicted", "failed", "skipped", "pending", "labelled", "coverage_ci"} <= level.keys()


def test_csv_has_a_row_a_level(found: Report) -> None:
    lines = as_text(document(found), "csv").splitlines()
    assert lines[0].startswith(
        "level,sigma,expected,predicted,failed,skipped,pending,labelled,acc_ns,acc_ns_low,acc_ns_high"
    )
    assert lines[1].startswith("0.0,0.0,7,5,1,1,0,4,0.75,")
    assert len(lines) == 3


def test_sigma_is_the_name_of_gaussian_noise_alone(found: Report) -> None:
    severity = Axis("severity", "severity")
    recipe = found.run.recipe.model_copy(update={"perturbation": "fog"})
    foggy = replace(found, run=replace(found.run, recipe=recipe, axis=severity))
    shown = document(foggy)
    assert as_text(shown, "csv").startswith("level,expected,")
    assert [level.get("sigma", "none") for level in shown.data["levels"]] == ["none"] * 2
    assert shown.data["run"]["axis"] == {
        "symbol": "severity", "title": "severity", "unit": "", "parts": 1, "kind": "noise",
    }  # fmt: skip
    assert ", fog on images" in shown.headline[0]
    assert "at severity = 0 (" in shown.verdict
    assert "σ" not in as_text(shown, detail=True)


def test_the_table_answers_first_and_then_says_where_to_look(found: Report) -> None:
    lines = as_text(document(found)).splitlines()
    assert lines[0] == f"a run ({found.run.id}): efficientnet_lite0 on images (7 images): complete"
    assert lines[2].startswith("No reason to deploy the vote is shown")
    head = next(number for number, line in enumerate(lines) if line.startswith("──"))
    assert lines[head - 1].split() == [
        "σ",
        "Acc",
        "NS",
        "Acc",
        "SS",
        "Acc",
        "DS",
        "(Acc",
        "Maj)",
        "thresholding",
        "overall",
        "Reject",
    ]
    # By hand: 3, 1, 3 of 4 right; 2 of 3 accepted; 3 of the 3 most confident, which are the first; 2 of 4; 1 of 5.
    assert lines[head + 1].split() == ["0", "0.7500", "0.2500", "0.7500", "0.6667", "1.0000", "0.5000", "0.2000"]
    assert lines[head + 2].split() == [".30–.95", ".05–.70", ".30–.95", ".21–.94", ".44–1.0", ".15–.85", ".04–.62"]
    assert lines[head + 5] == "7 expected = 5 predicted + 1 failed + 1 skipped + 0 pending; 4 labelled."
    where = lines.index("", head)  # below the legend
    assert f"smoothvote images {found.run.id} --outcome lost" in lines[where + 1]


def test_details_are_every_table_and_are_not_offered_again(found: Report) -> None:
    short, long = (as_text(document(found), detail=detail) for detail in (False, True))
    titles = ("Counts of images", "Against the unsmoothed view", "Against confidence thresholding")
    assert not any(title in short for title in titles)
    assert all(title in long for title in titles)
    assert ("--detail" in short, "--detail" in long) == (True, False)


def test_a_run_without_labels_has_a_table_of_its_own(engine: Engine) -> None:
    finish_all(engine, record(engine, [None] * 4))
    with reading(engine) as session:
        lines = as_text(document(report(session, find_run(session, "latest"))), detail=True).splitlines()
    assert lines[2].startswith("No image has a label, so accuracy is unknown")
    heads = [lines[number - 1].split() for number, line in enumerate(lines) if line.startswith("──")]
    assert heads[0] == ["σ", "Reject", "agree", "SS", "=", "NS", "DS", "=", "NS"]
    assert heads[1][-2:] == ["labelled", "Coverage"]
    assert len(heads) == 2, "no tests"


def test_markdown_and_latex_are_tables_that_compile(found: Report) -> None:
    markdown = as_text(document(found), "markdown").splitlines()
    tables = [[*lines] for rows, lines in groupby(markdown, lambda line: line.startswith("|")) if rows]
    for lines, rows in zip(tables, (2, 2, 2, 2 * 3), strict=True):
        assert len({line.count("|") for line in lines}) == 1
        assert len(lines) == 2 + rows
    assert sum(line.startswith("Table: ") for line in markdown) == 4
    assert "| 0.7500 [0.301, 0.954] |" in "\n".join(markdown)
    latex = as_text(document(found), "latex")
    assert latex.count("&") == 3 * 7 + 3 * 10 + 3 * 8 + (1 + 2 * 3) * 6
    assert all(latex.count(part) == 4 for part in (r"\toprule", r"\caption{", r"\end{table}"))
    assert not {"σ", "−", "–", "<"} & set("".join(line for line in latex.splitlines() if line[:1] != "%"))


def test_names_from_outside_cannot_break_a_table(engine: Engine) -> None:
    record(engine, [1], name="50% | \\evil_{name} [red]x[/red]")
    with reading(engine) as session:
        odd = report(session, find_run(session, "latest"))
    assert "[red]x[/red]" in as_text(document(odd), "table")
    evil = [
        line for line in as_text(document(odd), "latex").splitlines() if "evil" in line and not line.startswith("%")
    ]
    assert evil
    assert all(r"50\% \textbar{} \textbackslash{}evil\_\{name\} [red]x[/red]" in line for line in evil)
    assert r"**50% \| \\evil\_{name} \[red\]x\[/red\]" in as_text(document(odd), "markdown")


@pytest.mark.parametrize(
    ("sigma", "outcome", "paths"),
    [
        (0.0, "right", ["0.jpg", "1.jpg"]),
        (0.0, "rejected", ["2.jpg"]),
        (0.0, "wrong", ["3.jpg"]),
        (0.0, "unlabelled", ["4.jpg"]),
        (0.25, "rejected", ["1.jpg", "2.jpg", "4.jpg"]),
        (None, "failed", ["6.jpg"]),
        (None, "skipped", ["5.jpg"]),
        (None, "right", ["0.jpg", "1.jpg", "0.jpg"]),
    ],
)
def test_a_rate_opens_onto_its_images(
    engine: Engine, run_id: str, sigma: float | None, outcome: str, paths: list[str]
) -> None:
    with reading(engine) as session:
        listed = image_pages(session, find_run(session, run_id), level=sigma, outcome=outcome)
        assert [path for page in listed for path in page["path"]] == paths


def test_all_images_are_listed_once_a_level_and_failures_once(engine: Engine, run_id: str) -> None:
    with reading(engine) as session:
        listed = image_pages(session, find_run(session, run_id))
        assert sum(len(page["path"]) for page in listed) == 5 * len(LEVELS) + 2
        with pytest.raises(WrongUse, match=r"has no level 0\.5; it has 0, 0\.25"):
            list(image_pages(session, find_run(session, run_id), level=0.5))


def test_the_views_for_people_with_psql_agree_with_the_report(engine: Engine, run_id: str, found: Report) -> None:
    with reading(engine) as session:
        levels = session.execute(text("SELECT * FROM levels ORDER BY level")).mappings().all()
        outcomes = session.execute(text("SELECT path, outcome FROM outcomes WHERE level = 0 ORDER BY path")).all()
    for row, level in zip(levels, found.levels, strict=True):
        assert (row["predicted"], row["labelled"]) == (level.predicted, level.labelled)
        for name in ("acc_ns", "acc_ss", "acc_ds", "acc_maj", "acc_maj_overall", "reject_rate"):
            assert float(row[name]) == pytest.approx(level.rate(name).value), name  # type: ignore[union-attr]
    assert [tuple(row) for row in outcomes] == [
        ("0.jpg", "right"), ("1.jpg", "right"), ("2.jpg", "rejected"), ("3.jpg", "wrong"), ("4.jpg", "unlabelled"),
    ]  # fmt: skip


def test_a_report_asks_the_database_ten_times_at_most_however_many_rows(
    engine: Engine, run_id: str, count_statements: Callable[[], list[str]]
) -> None:
    statements = count_statements()
    with reading(engine) as session:
        report(session, find_run(session, run_id))
    assert len([said for said in statements if said.startswith("SELECT")]) <= 10


@pytest.fixture
def count_statements(engine: Engine) -> Callable[[], list[str]]:
    said: list[str] = []

    def begin() -> list[str]:
        event.listen(engine, "before_cursor_execute", lambda conn, cursor, statement, *rest: said.append(statement))
        return said

    return begin


# -- finding runs ------------------------------------------------------------------------------------------------


def test_a_run_is_found_by_id_prefix_name_or_as_the_latest(engine: Engine, run_id: str) -> None:
    other = record(engine, LABELS, recipe=RECIPE.model_copy(update={"seed": 1}), name="another")
    with reading(engine) as session:
        assert find_run(session, run_id).id == run_id
        assert find_run(session, run_id[:5]).id == run_id
        assert find_run(session, "another").id == other
        assert find_run(session, "latest").id == other
        assert [run.id for run in list_runs(session)] == [other, run_id]


def test_a_run_submitted_again_is_the_latest(engine: Engine, run_id: str) -> None:
    record(engine, LABELS, recipe=RECIPE.model_copy(update={"seed": 1}))
    record(engine, LABELS)
    with reading(engine) as session:
        assert find_run(session, "latest").id == run_id


@pytest.mark.parametrize("name", ["zzz", "", "%", "_", "'; DROP TABLE runs; --"])
def test_a_run_that_is_not_there_is_one_line(engine: Engine, run_id: str, name: str) -> None:
    with reading(engine) as session, pytest.raises(WrongUse, match="lists them"):
        find_run(session, name)


def test_a_prefix_of_several_runs_is_refused(engine: Engine) -> None:
    ids: dict[str, str] = {}
    for seed in range(40):  # 16 first digits: of 17 runs two share one
        run_id = record(engine, LABELS, recipe=RECIPE.model_copy(update={"seed": seed}))
        if run_id[0] in ids:
            break
        ids[run_id[0]] = run_id
    with reading(engine) as session, pytest.raises(WrongUse, match="fits several runs"):
        find_run(session, run_id[0])


def test_an_empty_record_has_no_latest_run(engine: Engine) -> None:
    with reading(engine) as session, pytest.raises(WrongUse, match="begin with"):
        find_run(session, "latest")


def test_a_cancelled_run_says_so(engine: Engine, run_id: str) -> None:
    with writing(engine) as session:
        control.cancel(session, run_id)
    with reading(engine) as session:
        assert progress(session, find_run(session, run_id)).cancelled
        assert to_json(report(session, find_run(session, run_id)))["run"]["cancelled"] is True


def test_a_run_named_as_anothers_id_is_does_not_take_its_place(engine: Engine, run_id: str) -> None:
    other = record(engine, [1], name=run_id, fingerprint="other")
    with reading(engine) as session:
        assert find_run(session, run_id).id == run_id
        assert find_run(session, other).name == run_id


def test_an_interval_that_there_is_not_is_wrong_use(engine: Engine, run_id: str) -> None:
    with reading(engine) as session, pytest.raises(WrongUse, match="there is no interval 'wald'; there are wilson"):
        report(session, find_run(session, run_id), interval="wald")  # type: ignore[arg-type]
