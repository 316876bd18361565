"""The images behind a number, one image, and its pictures."""

import re
from html import unescape

from rows import finish_all, record
from sqlalchemy import Engine, text
from starlette.testclient import TestClient
from website import Thumbnails, client, get, ids, one_kind, tiles, words

from db.session import writing
from db.settings import Settings


def test_failures_are_listed_by_code_and_by_outcome(judged: str, served: TestClient) -> None:
    page = get(served, f"/runs/{judged}")
    assert re.findall(r'href="(/runs/\w+/images\?code=\w+)">(\w+)</a></th><td class="number">(\d)', page) == [
        (f"/runs/{judged}/images?code=grayscale", "grayscale", "1"),
        (f"/runs/{judged}/images?code=truncated", "truncated", "1"),
    ]
    assert tiles(get(served, f"/runs/{judged}/images?code=truncated")) == ["6.jpg"]
    assert "truncated: why" in words(get(served, f"/runs/{judged}/images?outcome=failed"))
    assert tiles(get(served, f"/runs/{judged}/images?outcome=skipped")) == ["5.jpg"]


def test_the_gallery_filters_by_level_class_and_vote(judged: str, served: TestClient) -> None:
    images = f"/runs/{judged}/images"
    assert tiles(get(served, images)) == ["0.jpg", "1.jpg", "2.jpg", "3.jpg", "4.jpg"]
    assert tiles(get(served, f"{images}?level=0.25&outcome=rejected")) == ["1.jpg", "2.jpg", "4.jpg"]
    assert tiles(get(served, f"{images}?class=2")) == ["3.jpg"]
    assert tiles(get(served, f"{images}?class=Great+White+Shark")) == ["3.jpg"]
    assert 'value="great white shark"' in get(served, f"{images}?class=2")
    assert 'value="836"' in get(served, f"{images}?class=836")  # another class is called sunglasses as well
    assert tiles(get(served, f"{images}?class=2&voted=9")) == ["3.jpg"]
    assert tiles(get(served, f"{images}?class=2&voted=1")) == []
    assert tiles(get(served, f"{images}?outcome=unlabelled")) == ["4.jpg"]
    assert tiles(get(served, f"{images}?outcome=saved&level=0")) == ["1.jpg"]
    assert tiles(get(served, f"{images}?outcome=lost&level=0")) == ["2.jpg", "3.jpg"]
    assert tiles(get(served, f"{images}?outcome=split&level=0")) == ["1.jpg", "3.jpg"]
    assert tiles(get(served, f"{images}?outcome=&class=&level=")) == tiles(get(served, images))  # as a form sends it


@one_kind
def test_the_pages_of_the_gallery_hold_every_image_once(engine: Engine, served: TestClient) -> None:
    run_id = record(engine, [1] * 100, job_size=100)
    finish_all(engine, run_id)
    address, found = f"/runs/{run_id}/images?level=0.25&outcome=right", []
    sizes = []
    while address:
        page = get(served, address)
        found += tiles(page)
        sizes.append(len(tiles(page)))
        following = re.search(r'rel="next" href="(.*?)"', page)
        address = unescape(following.group(1)) if following else ""
    assert sizes == [48, 48, 4]
    assert found == [f"{number}.jpg" for number in range(100)]


def test_choosing_an_outcome_overrides_the_failure_code_in_the_form(judged: str, served: TestClient) -> None:
    both = served.get(f"/runs/{judged}/images", params={"level": "0", "outcome": "unanimous", "code": "truncated"})
    alone = served.get(f"/runs/{judged}/images", params={"level": "0", "outcome": "unanimous"})
    assert both.status_code == 200
    assert both.text == alone.text


def test_the_page_of_an_image_shows_its_views_at_each_level(engine: Engine, judged: str, served: TestClient) -> None:
    first, second, third, *_, sixth, _ = ids(engine)
    page = get(served, f"/runs/{judged}/images/{second}")
    said = words(page)
    assert "1.jpg true class: goldfish (1) · image 2 of 7" in said
    assert "σ = 0 vote: goldfish ✓ right" in said
    assert "no smoothing (ns) ostrich ✗ wrong 0.500 smoothed once (ss) goldfish ✓ right 0.250" in said
    assert "σ = 0.25 vote: ⊘ rejected" in said
    assert f"/pictures/{judged}/{second}/ds?level=0.25" in page
    assert re.findall(r'rel="(prev|next)" href="/runs/\w+/images/(\d+)"', page) == [
        ("prev", str(first)),
        ("next", str(third)),
    ]
    assert "No prediction: grayscale: why" in words(get(served, f"/runs/{judged}/images/{sixth}"))


@one_kind
def test_an_image_without_prediction_or_failure_is_pending(engine: Engine, served: TestClient) -> None:
    run_id = record(engine, [1])
    assert "Pending: no worker" in words(get(served, f"/runs/{run_id}/images/{ids(engine)[0]}"))
    assert "No image matches so far." in words(get(served, f"/runs/{run_id}/images"))
    assert "has a prediction at this level yet" in words(get(served, f"/runs/{run_id}/classes"))


@one_kind
def test_pictures_are_addressed_by_run_and_image(engine: Engine, judged: str, served: TestClient) -> None:
    first = ids(engine)[0]
    thumbnail = served.get(f"/pictures/{judged}/{first}/thumbnail")
    assert (thumbnail.headers["content-type"], thumbnail.text) == ("image/jpeg", f"{judged} 0.jpg 192")
    view = served.get(f"/pictures/{judged}/{first}/ss?level=0.25")
    assert (view.headers["content-type"], view.text) == ("image/png", f"{judged} 0.jpg 0.25 ss")
    assert "max-age" in view.headers["cache-control"]


@one_kind
def test_a_picture_that_cannot_be_drawn_gives_the_reason_as_text(
    engine: Engine, judged: str, served: TestClient
) -> None:
    _, second, third, *_ = ids(engine)
    gone = served.get(f"/pictures/{judged}/{second}/thumbnail")
    assert (gone.status_code, gone.text) == (404, "1.jpg: it is gone; put it back")
    assert gone.headers["content-type"].startswith("text/plain")
    away = served.get(f"/pictures/{judged}/{third}/thumbnail")
    assert (away.status_code, away.text) == (503, "the store of images does not answer")


@one_kind
def test_an_image_of_another_dataset_is_not_found(engine: Engine, judged: str, served: TestClient) -> None:
    record(engine, [1], fingerprint="e" * 64)
    with writing(engine) as session:
        strange = session.execute(text("SELECT max(id) FROM images")).scalar_one()
    assert f"has no image {strange}" in get(served, f"/pictures/{judged}/{strange}/thumbnail", 404)
    assert f"has no image {strange}" in get(served, f"/runs/{judged}/images/{strange}", 404)


@one_kind
def test_without_pillow_the_pages_have_everything_but_pictures(settings: Settings, engine: Engine, judged: str) -> None:
    with client(settings, draw=None) as asked:
        for address in (f"/runs/{judged}/images", f"/runs/{judged}/images/{ids(engine)[0]}"):
            page = get(asked, address)
            assert "pictures need Pillow" in page
            assert "pip install &#39;smoothvote[worker]&#39;" in page
            assert "<img" not in page
            assert "goldfish" in page
        assert "pictures need Pillow" in get(asked, f"/pictures/{judged}/1/thumbnail", 404)


@one_kind
def test_without_torch_the_pages_have_thumbnails_and_no_views(settings: Settings, engine: Engine, judged: str) -> None:
    first = ids(engine)[0]
    with client(settings, draw=Thumbnails) as asked:
        gallery, image = get(asked, f"/runs/{judged}/images"), get(asked, f"/runs/{judged}/images/{first}")
    assert gallery.count("<img") == 5
    assert "need torch" not in gallery
    assert "views need torch on the machine that serves: pip install &#39;smoothvote[worker]&#39;" in image
    assert re.findall(r'<img src="(.*?)"', image) == [f"/pictures/{judged}/{first}/thumbnail"]
    assert "no smoothing (ns) goldfish ✓ right 0.500" in words(image)
