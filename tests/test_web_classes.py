"""The accuracy of each class, and confusions."""

import re
from html import unescape

from rows import finish_all, record
from sqlalchemy import Engine
from starlette.testclient import TestClient
from website import get, one_kind, tiles, words

from db.runs import find_run
from db.session import reading
from web.classes import class_table, in_order


def test_classes_are_listed_worst_first_with_their_confusions(judged: str, served: TestClient) -> None:
    page = get(served, f"/runs/{judged}/classes?level=0")
    rows = re.findall(r'<th scope="row"><a href=.*?</tr>', page, re.S)
    assert [words(row) for row in rows] == [
        "great white shark 1 1.0000 0.207 – 1.000 · 1 of 1 0.0000 0.000 – 0.793 · 0 of 1"
        " 0.0000 0.000 – 0.793 · 0 of 1 0.0000 0.000 – 0.793 · 0 of 1",
        "goldfish 3 0.6667 0.208 – 0.939 · 2 of 3 1.0000 0.342 – 1.000 · 2 of 2"
        " 0.6667 0.208 – 0.939 · 2 of 3 0.3333 0.061 – 0.792 · 1 of 3",
    ]
    assert "great white shark ostrich 1" in words(page)
    link = re.search(r'href="([^"]*voted=9)"', page)
    assert link
    assert tiles(get(served, unescape(link.group(1)))) == ["3.jpg"]
    by_size = get(served, f"/runs/{judged}/classes?level=0&sort=predicted&down=1")
    assert by_size.index("goldfish") < by_size.index("great white shark")


@one_kind
def test_of_equal_classes_the_larger_comes_first(engine: Engine) -> None:
    run_id = record(engine, [3, 4, 4])
    finish_all(engine, run_id)  # class 1 for everything
    with reading(engine) as session:
        table = class_table(session, find_run(session, run_id), 0.0)
    assert [counts.label for counts in in_order(table.classes, "acc_maj", descending=False)] == [4, 3]
    assert table.confusions == [(4, 1, 2), (3, 1, 1)]
