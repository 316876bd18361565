"""The pages of `serve`, asked without a browser, and a run whose numbers are worked out by hand."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from rows import RECIPE, all_image_ids, failed, jobs, predicted, record
from sqlalchemy import Engine
from starlette.testclient import TestClient

from db import store
from db.axis import NOISE, Axis
from db.errors import Away, WrongUse
from db.migrations import upgrade
from db.recipe import Recipe
from db.runs import RunInfo
from db.session import open_engine, reading
from db.settings import Settings
from db.store import Entry
from web.app import make_app
from web.record import Record

#: For tests whose answer does not depend on the kind of database.
one_kind = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

# True classes of seven images; None: not known. The last two images have no prediction.
LABELS = [1, 1, 1, 2, None, 1, 1]
# Labels of ns, ss, ds and the vote at level 0 …
CALM = [
    (1, 1, 1, 1),  # right
    (9, 1, 1, 1),  # right: saved
    (1, 8, 9, None),  # rejected: lost
    (2, 9, 9, 9),  # wrong: lost
    (5, 5, 5, 5),  # no label
]
# … and at level 0.25.
NOISY = [(1, 1, 9, 1), (7, 8, 9, None), (7, 8, 9, None), (7, 7, 9, 7), (7, 8, 9, None)]


class Drawn:
    """Pictures that are their own description. Image 1.jpg is gone, the store of 2.jpg does not answer."""

    has_views = True

    def thumbnail(self, run: RunInfo, entry: Entry, side: int = 192) -> bytes:
        if entry.path == "1.jpg":
            raise WrongUse("1.jpg: it is gone; put it back")
        if entry.path == "2.jpg":
            raise Away("the store of images does not answer")
        return f"{run.id} {entry.path} {side}".encode()

    def view(self, run: RunInfo, entry: Entry, level: float, view: str) -> bytes:
        return f"{run.id} {entry.path} {level} {view}".encode()

    def views(self, run: RunInfo, entry: Entry, level: float) -> NDArray[np.uint8]:
        raise NotImplementedError


class Thumbnails(Drawn):
    """Pictures on a machine with Pillow and without torch."""

    has_views = False


@contextmanager
def client(settings: Settings, *, draw: type[Drawn] | None = Drawn, **guard: Any) -> Iterator[TestClient]:
    """A client of the pages over the record at these settings."""
    found = Record(settings)
    app = make_app(found, draw, **guard)
    with TestClient(app, base_url="http://127.0.0.1:8765", follow_redirects=False) as asked:
        yield asked
    found.close()


def new_record(folder: object) -> Settings:
    """Settings of a new SQLite record in the folder."""
    settings = Settings(database_url=f"sqlite:///{folder}/record.db")
    engine = open_engine(settings)
    upgrade(engine)
    engine.dispose()
    return settings


def measured(
    engine: Engine, *, recipe: Recipe = RECIPE, name: str = "a run", axis: Axis = NOISE, fingerprint: str = "f" * 64
) -> str:
    """Records a complete run with the answers of CALM at its lower level and of NOISY at its upper level."""
    run_id = record(engine, LABELS, job_size=7, recipe=recipe, name=name, axis=axis, fingerprint=fingerprint)
    claim = store.claim(engine, jobs(engine, run_id)[0].id, worker="w", lease=60)
    assert claim
    ids = [image_id for image_id, _ in claim.images]
    rows = [
        predicted(ids[n], level, *views)
        for level, answers in zip(recipe.levels, (CALM, NOISY), strict=True)
        for n, views in enumerate(answers)
    ]
    assert store.finish(engine, claim, rows, [failed(ids[5], "grayscale"), failed(ids[6], "truncated")])
    return run_id


def ids(engine: Engine) -> list[int]:
    """Ids of all images, in order."""
    with reading(engine) as session:
        return all_image_ids(session)


def get(asked: TestClient, address: str, status: int = 200) -> str:
    """The answer at an address, whose status must be this one."""
    answer = asked.get(address)
    assert answer.status_code == status, answer.text
    assert "Traceback" not in answer.text
    return answer.text


def tiles(page: str) -> list[str]:
    """Paths of the images on a page of the gallery."""
    return [unescape(path) for path in re.findall(r'<span class="path">(.*?)</span>', page)]


def words(page: str) -> str:
    """The text of a page, as a person reads it."""
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", page)).split())
