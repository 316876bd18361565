"""Every format prints every kind of cell, and text from outside can do no harm in any of them."""

import json

import pytest

from db.errors import WrongUse
from report.document import Document, Marked, Number, PValue, Stacked, Step, Table
from report.formats import FORMATS, as_text
from report.screen import Screen
from report.stats import paired, rate

#: 3 of 4 right; of four pairs, two are right in both, one in the first alone. Newcombe's correlation is 0, so that by
#: hand, from the Wilson intervals: -.25 - hypot(.350, .204) to -.25 + hypot(.350, .449).
SUMMARY = Table(
    head=["σ", "name", "rate", "best", "difference", "p", "published"],
    rows=[
        [0.25, Stacked("a", "below"), rate(3, 4), Marked(rate(3, 4), "*"), paired(2, 1, 0, 1), PValue(0.0004), Number(0.5, ".4f")],
        [0.5, Stacked("b", ""), None, Marked(rate(3, 4), ""), None, None, None],
    ],
    legend="What it means.",
)  # fmt: skip
MORE = Table(title="More", head=["n"], rows=[[1], [22]])
DOCUMENT = Document(
    headline=["a run"],
    verdict="An answer.",
    summary=SUMMARY,
    counts="Two images.",
    details=[MORE],
    steps=[Step("more", "smoothvote more")],
    data={"pairs": [[0.5, 1], [1, 2]], "name": "ü"},
    records=[{"level": 0.25, "name": "=a", "best": True, "none": None}, {"level": None, "name": "b,c", "best": False, "none": None}],
)  # fmt: skip


def lines(form: str, document: Document = DOCUMENT, *, detail: bool = False) -> list[str]:
    return as_text(document, form, detail=detail).splitlines()


def test_a_table_begins_with_the_answer_and_ends_with_where_to_look() -> None:
    assert lines("table") == [
        "a run",
        "",
        "An answer.",
        "",
        "   σ  name        rate      best  difference      p  published",
        "──────────────────────────────────────────────────────────────",
        "0.25  a below   0.7500  * 0.7500     -0.2500  <.001     0.5000",
        "               .30–.95   .30–.95  -.66, +.32",
        " 0.5  b              –    0.7500           –      –          –",
        "                         .30–.95",
        "Two images.",
        "What it means.",
        "",
        "more  smoothvote more",
    ]


def test_details_of_a_table_are_asked_for_and_are_whole_in_markdown_and_latex() -> None:
    assert "More" not in lines("table")
    assert lines("table", detail=True)[13:18] == ["More", "", " n", "──", " 1"]
    for form in ("markdown", "latex"):
        assert lines(form) == lines(form, detail=True)
        assert any("22" in line for line in lines(form))


def test_markdown_and_latex_have_intervals_in_brackets_and_texts_at_the_left() -> None:
    cells = ["0.25", "a below", "0.7500 [0.301, 0.954]", "* 0.7500 [0.301, 0.954]", "-0.2500 [-0.655, +0.320]"]
    markdown = lines("markdown")
    assert "| ---: | :--- | ---: | ---: | ---: | ---: | ---: |" in markdown
    row = "| " + " | ".join([*cells, "&lt;.001", "0.5000"]).replace("* 0.75", "\\* 0.75") + " |"
    assert row in markdown
    latex = lines("latex")
    assert r"\begin{tabular}{rlrrrrr}" in latex
    assert " & ".join([*cells, "$<$.001", "0.5000"]) + r" \\" in latex


def test_csv_is_the_records_and_no_cell_is_a_formula() -> None:
    assert lines("csv") == ["level,name,best,none", "0.25,'=a,true,", ',"b,c",false,']
    assert lines("csv", Document(headline=[], summary=MORE)) == []


def test_json_is_the_data_with_short_lists_on_a_line() -> None:
    assert lines("json") == ["{", '  "pairs": [ [ 0.5, 1 ], [ 1, 2 ] ],', '  "name": "ü"', "}"]
    assert json.loads(as_text(DOCUMENT, "json")) == DOCUMENT.data


EVIL = "[x](y) <b>*x*</b> 50% \\a_{b} | [red]x[/red] \x1b[31m"


def test_text_from_outside_stays_text() -> None:
    evil = Document(headline=[EVIL], summary=Table(head=["a", "b"], rows=[[EVIL, 1], ["[x]", 2]]))
    for form in FORMATS:
        assert "\x1b" not in as_text(evil, form)
    table = as_text(evil)
    assert table.count("[red]x[/red] �[31m") == 2
    markdown = r"\[x\](y) &lt;b&gt;\*x\*&lt;/b&gt; 50% \\a\_{b} \| \[red\]x\[/red\]"
    assert as_text(evil, "markdown").count(markdown) == 2
    latex = as_text(evil, "latex")
    assert r"[x](y) $<$b$>$*x*$<$/b$>$ 50\% \textbackslash{}a\_\{b\} \textbar{} [red]" in latex
    assert latex.count("\n{}[x]") == 2, "a row that begins with a bracket is no option of the row before"


def test_styles_are_for_terminals_that_have_them() -> None:
    styled = as_text(DOCUMENT, screen=Screen(80, styles=True))
    assert "\x1b[2m.30–.95\x1b[0m" in styled
    assert "\x1b" not in as_text(DOCUMENT, screen=Screen(80, styles=False))


def test_an_unknown_format_is_told_with_those_that_there_are() -> None:
    with pytest.raises(WrongUse, match="there is no format 'word'; there are: csv, json, latex, markdown"):
        as_text(DOCUMENT, "word")
