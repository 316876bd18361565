"""Result files of the reference implementation: read into its own figures, and refused where they are wrong."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from db.errors import WrongUse
from report.certified_verdict import verdict
from report.documents.certified import beside, document
from report.formats import FORMATS, as_text
from report.tsv import named_file, read_tsv

HEAD = "idx\tlabel\tpredict\tradius\tcorrect\ttime"


def written(file: Path, *lines: str, head: str = HEAD) -> Path:
    file.write_text("\n".join([head, *lines]) + "\n")
    return file


def line(image: int, label: int, predicted: int, radius: float) -> str:
    return f"{image}\t{label}\t{predicted}\t{radius:.3}\t{int(label == predicted)}\t0:02:31.238689"


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A file with the counts of the reference's own log of ImageNet at σ = 0.25, which has 427 of 500 lines.

    Cohen et al. (2019) published 0.67 at radius 0 and 0.49 at radius 0.5: 285 and 211 of 427. It abstained on 38.
    """
    lines = [line(100 * number, 2, 2, 0.978 if number < 211 else 0.3) for number in range(285)]
    lines += [line(100 * number, 2, 3, 0.61) for number in range(285, 389)]
    lines += [line(100 * number, 2, -1, 0.0) for number in range(389, 427)]
    return written(tmp_path / "sigma_0.25", *lines)


def test_the_published_figures_come_out_of_the_references_own_counts(published: Path) -> None:
    (level,) = read_tsv({0.25: published}).levels
    rates = [level.at(0.0), level.at(0.5), level.at(1.0), level.abstention_rate]
    assert [rate and (rate.hits, rate.of) for rate in rates] == [(285, 427), (211, 427), (0, 427), (38, 427)]
    # Wilson's 95 % intervals: .667 [.621, .710] and .494 [.447, .541].
    ends = [(round(rate.low, 3), round(rate.high, 3)) for rate in rates[:2] if rate]
    assert ends == [(0.621, 0.710), (0.447, 0.541)]
    assert level.average_certified_radius
    assert level.average_certified_radius.value == pytest.approx((211 * 0.978 + 74 * 0.3) / 427)


def test_a_file_says_nothing_of_predict_alpha_and_n(published: Path) -> None:
    found = read_tsv({0.25: published})
    assert (found.run, found.alpha, found.n0, found.n) == (None, None, None, None)
    assert found.levels[0].acc_predict is None
    assert "The files do not say α" in verdict(found)
    known = read_tsv({0.25: published}, alpha=0.001, n0=100, n=100_000)
    assert "wrong with probability at most α = 0.001" in verdict(known)


@pytest.mark.parametrize(
    ("known", "message"),
    [
        ({"alpha": 7}, "--alpha 7: give a probability"),
        ({"alpha": 0.001, "n": 5}, "--n 5: so few copies certify nothing"),
    ],
)
def test_an_alpha_and_n_that_no_file_can_be_of_are_refused(published: Path, known: Any, message: str) -> None:
    with pytest.raises(WrongUse, match=message):
        read_tsv({0.25: published}, **known)


def test_images_that_one_file_lacks_are_pending_there(published: Path, tmp_path: Path) -> None:
    other = written(tmp_path / "sigma_0.50", *(line(100 * number, 2, 2, 1.9) for number in range(500)))
    found = read_tsv({0.5: other, 0.25: published})
    assert [(level.sigma, level.expected, level.predicted, level.pending) for level in found.levels] == [
        (0.25, 500, 427, 73),
        (0.5, 500, 500, 0),
    ]
    assert not found.complete
    assert document(found).headline == ["result files: certified (500 images): INCOMPLETE: 73 images pending"]
    assert found.envelope[0].sigma == 0.5


def test_files_are_printed_in_every_format_alone_and_beside_others(published: Path) -> None:
    found = read_tsv({0.25: published}, name="Cohen et al.")
    other = read_tsv({0.25: published}, name="again")
    for form in FORMATS:
        assert "0.25" in as_text(document(found), form)
        assert "Cohen et al." in as_text(beside([found, other]), form)
    rows = [[cell for cell in row if isinstance(cell, str)] for row in beside([found, other]).summary.rows]
    assert rows == [["Cohen et al."], ["Cohen et al.", "best"], ["again"], ["again", "best"]]


# -- files that are no result files ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["0\t1\t1"], "line 2: 3 of 6 columns; if the program was stopped there, remove the line"),
        (["0\t1\tcat\t0.5\t0\tx"], "line 2: invalid literal"),
        (["0\t1\t1\tnan\t1\tx"], "line 2: the radius nan is not a length"),
        (["0\t1\t1\t-0.5\t1\tx"], "line 2: the radius -0.5 is not a length"),
        (["0\t1\t2\t0.5\t1\tx"], "line 2: correct is 1, but label is 1 and predict 2"),
        ([line(0, 1, 1, 0.5), line(0, 1, 1, 0.5)], "line 3: image 0 is there twice"),
    ],
)
def test_a_line_that_is_no_certificate_is_refused_by_its_number(tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(WrongUse, match=message):
        read_tsv({0.25: written(tmp_path / "file", *lines)})


def test_a_file_that_is_no_result_file_is_refused(tmp_path: Path) -> None:
    predictions = written(tmp_path / "predictions", head="idx\tlabel\tpredict\tcorrect\ttime")
    empty = tmp_path / "empty"
    empty.write_text("")
    binary = tmp_path / "binary"
    binary.write_bytes(b"\x89PNG\xff\xfe")
    for file, message in (
        (predictions, "has no column radius"),
        (empty, "is empty"),
        (binary, "is no text"),
        (tmp_path / "none", "cannot be read: no such file"),
    ):
        with pytest.raises(WrongUse, match=message):
            read_tsv({0.25: file})
    with pytest.raises(WrongUse, match="name at least one result file"):
        read_tsv({})


@given(text=st.text(max_size=200))
def test_whatever_is_in_a_file_it_is_read_or_refused(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.getbasetemp() / "any"
    file.write_text(f"{HEAD}\n{text}", errors="replace")
    with suppress(WrongUse):
        read_tsv({0.25: file})


def test_a_sigma_and_its_file_are_given_as_one_word() -> None:
    assert named_file("0.25=a/b=c.tsv") == (0.25, Path("a/b=c.tsv"))
    for text in ("a.tsv", "0=a.tsv", "-1=a.tsv", "x=a.tsv", "0.25=", "nan=a.tsv", "inf=a.tsv"):
        with pytest.raises(WrongUse, match=r"give a σ above 0 and its file, such as 0\.25=results\.tsv"):
            named_file(text)
