"""The pages name levels by the axis that the run records: its symbol, title and unit."""

import re
from html import unescape

from rows import RECIPE
from sqlalchemy import Engine
from starlette.testclient import TestClient
from website import get, ids, measured, one_kind, words

from db.axis import Axis

SEVERITY = Axis("severity", "severity")
EPSILON = Axis("ε", "attack strength", "L∞ distance of pixels in [0, 1]")

pytestmark = one_kind


def foggy(engine: Engine, name: str = "foggy", seed: int = 0) -> str:
    recipe = RECIPE.model_copy(update={"perturbation": "fog", "levels": (1.0, 3.0), "seed": seed})
    return measured(engine, recipe=recipe, axis=SEVERITY, name=name)


def pages_of(run: str, other: str, image: int) -> list[str]:
    page = f"/runs/{run}"
    return [page, f"{page}/images", f"{page}/images/{image}", f"{page}/classes", f"/compare?a={run}&b={other}"]


def test_no_page_of_a_run_without_noise_speaks_of_sigma_or_noise(engine: Engine, served: TestClient) -> None:
    run, other = foggy(engine), foggy(engine, "foggier", seed=1)
    for address in pages_of(run, other, ids(engine)[0]):
        page = unescape(get(served, address))
        assert "σ" not in page, address
        assert "noise" not in page.lower(), address
        assert "severity" in page, address


def test_a_report_names_levels_by_the_axis(engine: Engine, served: TestClient) -> None:
    run = foggy(engine)
    page = unescape(get(served, f"/runs/{run}"))
    said = words(page)
    assert "perturbation fog" in said
    assert "Accuracy against severity" in said
    assert "Rejects against severity" in said
    assert '<p class="axis x">severity</p>' in page
    assert "Acc NS at severity = 3: 0.250" in page
    assert "severity severity = 1 severity = 3 Acc NS 0.7500" in said  # the head of the table of rates
    assert re.findall(r"<h3[^>]*>(.*?)</h3>", page) == ["severity = 1", "severity = 3"]


def test_lists_headings_and_alternative_texts_name_levels_by_the_axis(engine: Engine, served: TestClient) -> None:
    run = foggy(engine)
    for page in ("images", "classes"):
        said = words(get(served, f"/runs/{run}/{page}"))
        assert "Severity severity = 1 severity = 3" in said
    assert "Each class at severity = 1" in said
    image = unescape(get(served, f"/runs/{run}/images/{ids(engine)[0]}"))
    assert "severity = 3 vote: goldfish ✓ right" in words(image)
    assert 'alt="The image as the model saw it: severity = 3, smoothed twice"' in image


def test_levels_are_fractions_where_the_axis_counts_in_255ths(engine: Engine, served: TestClient) -> None:
    axis = Axis("ε", "attack size", parts=255, kind="attack")
    runs = [
        measured(
            engine,
            axis=axis,
            name=name,
            recipe=RECIPE.model_copy(update={"perturbation": name, "levels": (0.0, 4 / 255)}),
        )
        for name in ("fgsm", "pgd")
    ]
    for address in (f"/runs/{runs[0]}", "/compare?a={}&b={}".format(*runs)):
        page = unescape(get(served, address))
        assert '<th scope="rowgroup"' in page
        assert len(re.findall(r"<th[^>]*>4/255</th>|>4/255</text>", page)) > 1
        assert "0.0156863" not in words(page)


def test_an_axis_with_a_symbol_and_a_unit_is_written_with_both(engine: Engine, served: TestClient) -> None:
    recipe = RECIPE.model_copy(update={"perturbation": "pgd", "levels": (0.0, 4 / 255)})
    run = measured(engine, recipe=recipe, axis=EPSILON)
    page = unescape(get(served, f"/runs/{run}"))
    assert '<p class="axis x">attack strength ε (L∞ distance of pixels in [0, 1])</p>' in page
    assert "attack strength ε = 0 ε = 0.0156863" in words(page)
    link = re.search(
        r'<td>\s*<a href="(/runs/\w+/images\?level=0\.01[^"]*outcome=rejected)"', get(served, f"/runs/{run}")
    )
    assert link  # the address holds the level exactly, though its text is shorter
    assert "ε = 0.0156863" in words(get(served, unescape(link[1])))


def test_a_report_of_an_attack_has_attack_success_and_links_to_the_images_that_got_through(
    engine: Engine, served: TestClient
) -> None:
    axis = Axis("ε", "attack size", parts=255, kind="attack")
    recipe = RECIPE.model_copy(update={"perturbation": "fgsm", "levels": (0.0, 4 / 255)})
    run = measured(engine, axis=axis, name="fgsm", recipe=recipe)
    page = unescape(get(served, f"/runs/{run}"))
    # At ε = 0 the vote gets one of four labelled images wrong, at 4/255 the one whose views say 7, 7, 9.
    assert "Attack success 0.2500" in words(page)
    assert "Attack success, thresholding" in words(page)
    assert "accepted and wrong" in words(page)
    success = page.partition("Attack success</th>")[2]
    assert re.search(rf'href="/runs/{run}/images\?level=0[.\d]*&outcome=wrong"', success.partition("</tr>")[0])
    assert "Attack success" not in words(get(served, f"/runs/{foggy(engine)}"))
