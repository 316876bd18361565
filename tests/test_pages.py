"""The pages of a real `smoothvote serve` in a real browser: what a person sees, points at, and reaches by keyboard."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
from at_work import heartbeat
from certificates import certifying, example
from commands import command, environment
from page_checks import ASTRAY, BACKGROUND, BROKEN, FOCUS, STRUCTURE, TOO_FAINT
from playwright.sync_api import Browser, ConsoleMessage, Page, Playwright, expect, sync_playwright
from rows import LEVELS, PREPROCESSING, RECIPE, failed, jobs, predicted, record
from sqlalchemy import Engine

from db import control, store, submission
from db.migrations import upgrade
from db.session import open_engine, writing
from db.settings import Settings
from db.store import Entry
from db.workers import beat

expect.set_options(timeout=30_000)  # the server imports torch for the first view

#: Chromium on the PATH, under the names that distributions give it.
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
#: Flags with which Chromium makes no requests of its own.
OFFLINE = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
#: Longer than a phone is wide.
NAME = "photographs_of_a_rather_long_name_by_an_efficient_network"
WORKER = heartbeat(f"box:1-{NAME}", device="cuda:0", engine="eager float16", model=f"timm/{NAME}")
SECOND = 1000
PHONE = {"width": 360, "height": 740}

# Labels of ns, ss, ds and the vote for seven images of class 1, at both levels. The seventh file does not exist; the
# eighth image is a failure.
VIEWS = [(1, 1, 1, 1), (9, 1, 1, 1), (1, 8, 9, None), (1, 9, 9, 9), (1, 1, 9, 1), (9, 9, 9, 9), (1, 1, 1, 1)]


@dataclass
class Site:
    """A server, its home folder, and the runs that are recorded there."""

    address: str
    home: Path
    engine: Engine | None = None
    run: str = ""
    other: str = ""
    #: Two certified runs.
    certified: tuple[str, str] = ("", "")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests here; without one they are skipped."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(playwright), args=OFFLINE)
        yield browser
        browser.close()


def find_chromium(playwright: Playwright) -> str:
    """The path of Chromium: on the PATH, or where `playwright install chromium` puts it."""
    own = playwright.chromium.executable_path
    for found in (*map(shutil.which, CHROMIUM), own if Path(own).exists() else None):
        if found:
            return found
    pytest.skip(f"no Chromium: install {' or '.join(CHROMIUM)}, or run `playwright install chromium`")


@pytest.fixture(scope="module")
def empty(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One server for all tests here, over an empty home folder."""
    home = tmp_path_factory.mktemp("home")
    env = environment({"SMOOTHVOTE_HOME": str(home)})
    server = subprocess.Popen(command("serve", "--port", "0"), cwd=home, env=env, stderr=subprocess.PIPE, text=True)
    assert server.stderr
    try:
        line = server.stderr.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+", line)
        assert found, line
        yield Site(found.group(), home)
    finally:
        server.terminate()
        said = server.communicate(timeout=30)[1]
    assert "Traceback" not in said


@pytest.fixture(scope="module")
def first_sight(empty: Site, browser: Browser) -> str:
    """The text of the first page before anything is recorded."""
    page = browser.new_page()
    page.goto(empty.address)
    said = page.inner_text("main")
    page.close()
    return said


@pytest.fixture(scope="module")
def site(empty: Site, first_sight: str, photographs: list[Path]) -> Iterator[Site]:
    """The same server, now with a complete run of real photographs and a cancelled one."""
    settings = Settings(home=empty.home)
    engine = empty.engine = open_engine(settings)
    upgrade(engine)
    files = [*photographs[:6], photographs[0].with_name("gone.jpg"), photographs[6]]
    entries = [Entry(path=file.name, label=1, bytes=file.stat().st_size if file.exists() else 1) for file in files]
    with writing(engine) as session:
        dataset = submission.record_dataset(
            session, name="photos", root=str(photographs[0].parent), fingerprint="a", found=8, entries=entries
        )
        empty.run = RECIPE.run_id("a")
        other = RECIPE.model_copy(update={"seed": 1})
        empty.other = other.run_id("a")
        submission.record_run(
            session, run_id=empty.other, dataset_id=dataset, name=f"other_{NAME}", recipe=other, job_size=8
        )
        control.cancel(session, empty.other)
        submission.record_run(session, run_id=empty.run, dataset_id=dataset, name=NAME, recipe=RECIPE, job_size=8)
    store.pin_weights(engine, empty.run, weights_sha256="0" * 64, preprocessing=PREPROCESSING)
    claim = store.claim(engine, jobs(engine, empty.run)[0].id, worker="w", lease=60)
    assert claim
    ids = [image_id for image_id, _ in claim.images]
    found = [predicted(ids[number], level, *views) for level in LEVELS for number, views in enumerate(VIEWS)]
    store.finish(engine, claim, found, [failed(ids[7])])
    seeds = (certifying(seed=seed) for seed in (0, 1))
    first, second = (example(engine, recipe=recipe, name=f"certified_{NAME}").id for recipe in seeds)
    empty.certified = first, second
    beat(engine, WORKER)
    yield empty
    engine.dispose()


@dataclass
class Watched:
    """A page, and what its browser's console complained about."""

    page: Page
    complaints: list[str]


@pytest.fixture
def watched(browser: Browser, empty: Site) -> Iterator[Watched]:
    """A page that may load from this server only, and whose console must stay empty."""
    context = browser.new_context(base_url=empty.address, reduced_motion="reduce")
    asked: list[str] = []
    complaints: list[str] = []
    context.on("request", lambda request: asked.append(request.url))

    def heard(message: ConsoleMessage) -> None:
        # The page itself gives the reason for a picture that cannot be drawn.
        if "/pictures/" not in message.location["url"]:
            complaints.append(message.text)

    context.on("console", heard)
    context.on("weberror", lambda error: complaints.append(str(error.error)))
    context.set_default_timeout(30_000)
    yield Watched(context.new_page(), complaints)
    context.close()
    assert [url for url in asked if not url.startswith(f"{empty.address}/")] == []
    assert complaints == []


@pytest.fixture
def page(watched: Watched) -> Page:
    return watched.page


def pages_of(site: Site) -> list[str]:
    run = f"/runs/{site.run}"
    compare = ["/compare", f"/compare?a={site.run}", f"/compare?a={site.run}&b={site.other}"]
    first, second = site.certified
    certified = [f"/runs/{first}", f"/compare?a={first}&b={second}"]
    return ["/", "/workers", run, f"{run}/images", f"{run}/images/1", f"{run}/classes", *compare, *certified]


def test_a_record_without_runs_says_how_to_begin(first_sight: str) -> None:
    assert "smoothvote run PHOTOS" in first_sight


def test_links_lead_from_the_list_to_a_rate_to_its_images(site: Site, page: Page) -> None:
    page.goto("/")
    page.get_by_role("link", name=NAME, exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(NAME)
    expect(page.get_by_role("row", name="Acc NS 0.7143")).to_contain_text("5 of 7")
    page.get_by_role("row", name="Reject rate").get_by_role("link").first.click()
    expect(page.locator(".gallery li")).to_have_count(1)
    expect(page.get_by_role("combobox", name="Images")).to_have_value("rejected")


def test_a_point_shows_its_figures_when_pointed_at_and_when_focused(site: Site, page: Page) -> None:
    page.goto(f"/runs/{site.run}")
    point = page.locator(".s-acc_ns .point").first
    tip = page.locator(".chart .tip").first
    expect(tip).to_be_hidden()
    point.hover()
    expect(tip).to_have_text("Acc NS at σ = 0: 0.714, 95% interval 0.359 to 0.918, 5 of 7")
    page.mouse.move(0, 0)
    expect(tip).to_be_hidden()
    page.locator(".line .point").nth(1).focus()
    expect(tip).to_contain_text("Acc NS at σ = 0.25")
    page.keyboard.press("Escape")
    expect(tip).to_be_hidden()
    vote = page.locator(".line.s-vote .point").nth(1)
    vote.focus()
    expect(page.locator(".tip:visible")).to_contain_text("The vote, 2 of 3 agree: coverage 0.857")


def test_a_line_can_be_hidden(site: Site, page: Page) -> None:
    page.goto(f"/runs/{site.run}")
    line = page.locator(".line.s-acc_ss")
    expect(line).to_be_visible()
    page.get_by_role("checkbox", name="Acc SS").uncheck()
    expect(line).to_be_hidden()
    expect(page.locator(".line.s-acc_ds")).to_be_visible()


def test_another_alpha_is_typed_into_the_page_of_a_certified_run(site: Site, page: Page) -> None:
    page.goto(f"/runs/{site.certified[0]}")
    expect(page.locator(".verdict")).to_contain_text("α = 0.001")
    page.get_by_role("textbox", name="α").fill("0.05")
    page.get_by_role("button", name="Show").click()
    expect(page.locator(".verdict")).to_contain_text("α = 0.05")
    page.locator(".line.s-sigma_0 .point").first.hover()
    # At α = 0.05 the third image's 60 of 100 copies are enough, so three of five are certified, and not two.
    expect(page.locator(".tip:visible")).to_contain_text("σ = 0.25, certified at radius 0: 0.600, 95% interval")


def test_two_runs_are_chosen_one_after_the_other(site: Site, page: Page) -> None:
    page.goto(f"/runs/{site.run}")
    page.get_by_role("link", name="Compare").last.click()
    expect(page.get_by_role("heading", name="Choose run B")).to_be_visible()
    page.get_by_role("combobox", name="Run B").select_option(site.other)
    page.get_by_role("button", name="Compare").click()
    expect(page.get_by_role("heading", name="Is one run better?")).to_be_visible()
    page.get_by_role("link", name="Choose another run A").click()
    page.get_by_role("textbox", name="Or its id or name").fill(site.other[:8])
    page.get_by_role("button", name="Next").click()
    expect(page).to_have_url(f"{site.address}/compare?a={site.other}")


def test_the_answer_is_on_a_phones_first_screen(site: Site, page: Page) -> None:
    page.set_viewport_size(PHONE)
    pair = f"/compare?a={site.run}&b={site.other}"
    for address in (f"/runs/{site.run}", pair, f"/runs/{site.certified[0]}"):
        page.goto(address)
        place = page.locator(".verdict p").bounding_box()
        assert place
        assert place["y"] + 60 < PHONE["height"], address  # two lines of it at least


def test_an_image_is_shown_as_the_model_saw_it(site: Site, page: Page) -> None:
    page.goto(f"/runs/{site.run}/images?outcome=saved")
    page.locator(".gallery a").click()
    views = page.locator("img.view")
    expect(views).to_have_count(6)
    for number in range(6):
        views.nth(number).scroll_into_view_if_needed()
        expect(views.nth(number)).to_have_js_property("naturalWidth", 224)
    expect(page.get_by_role("heading", name="σ = 0.25")).to_contain_text("goldfish ✓ right")
    page.get_by_role("link", name="Next image").click()
    expect(page.get_by_text("image 3 of 8")).to_be_visible()


def test_the_reason_stands_in_place_of_a_picture_that_cannot_be_drawn(site: Site, page: Page) -> None:
    page.goto(f"/runs/{site.run}/images")
    reason = page.locator(".missing")
    reason.scroll_into_view_if_needed()
    expect(reason).to_have_count(1)
    expect(reason).to_contain_text("gone.jpg")


def test_the_page_follows_the_progress_of_a_run(site: Site, page: Page) -> None:
    assert site.engine
    run_id = record(site.engine, [1] * 8, job_size=2, name="live")
    page.clock.install()  # so that the test can skip the second between two looks at the progress
    page.goto("/")
    row = page.get_by_role("row", name="live")
    expect(row).to_contain_text("0 of 8")
    _do(site.engine, run_id, 0)
    page.clock.fast_forward(SECOND)
    expect(row).to_contain_text("2 of 8")
    expect(row.locator("progress")).to_have_js_property("value", 2)
    page.goto(f"/runs/{run_id}")
    expect(page.locator(".progress-line")).to_contain_text("open 2 of 8")
    page.get_by_role("checkbox", name="Acc SS").uncheck()
    page.locator("h1").click()
    for job in (1, 2):
        _do(site.engine, run_id, job)
    page.clock.fast_forward(SECOND)
    expect(page.locator(".progress-line")).to_contain_text("6 of 8")
    expect(page.get_by_role("row", name="predicted")).to_have_text("predicted66")
    expect(page.get_by_role("checkbox", name="Acc SS")).not_to_be_checked()
    _do(site.engine, run_id, 3)
    page.clock.fast_forward(10 * SECOND)  # the page reads a report again only after five times its reading time
    expect(page.locator(".badge")).to_have_text("complete")


def test_the_page_of_workers_renews_itself(site: Site, page: Page) -> None:
    assert site.engine
    page.clock.install()
    page.goto("/")
    beat(site.engine, WORKER)  # it was seen before the browser started, which may take longer than a worker lives
    page.get_by_role("link", name="Workers").click()
    expect(page.get_by_role("row", name=f"box:1-{NAME}")).to_contain_text("idle")
    beat(site.engine, heartbeat("another:2", stage="loading"))
    page.clock.fast_forward(SECOND)
    expect(page.get_by_role("row", name="another:2")).to_contain_text("loading")


def _do(engine: Engine, run_id: str, job: int) -> None:
    claim = store.claim(engine, jobs(engine, run_id)[job].id, worker="w", lease=60)
    assert claim
    ids = [image_id for image_id, _ in claim.images]
    assert store.finish(engine, claim, [predicted(image, level, 1, 1, 1, 1) for image in ids for level in LEVELS], [])


def test_an_unknown_run_gives_one_line_and_a_link_back(site: Site, watched: Watched) -> None:
    watched.page.goto("/runs/nothing")
    expect(watched.page.locator(".said")).to_have_text("'nothing' is no run's id or name; `smoothvote runs` lists them")
    watched.page.get_by_role("link", name="All runs").click()
    expect(watched.page.get_by_role("heading", level=1)).to_have_text("Runs")
    assert len(watched.complaints) == 1  # about the status 404
    watched.complaints.clear()


def test_every_page_can_be_read_on_a_phone_in_light_and_dark_and_by_a_screen_reader(site: Site, page: Page) -> None:
    for address in pages_of(site):
        page.goto(address)
        page.emulate_media(color_scheme="dark")
        assert sum(page.evaluate(BACKGROUND)) < 3 * 64
        assert page.evaluate(TOO_FAINT) == [], address
        page.emulate_media(color_scheme="light")
        assert sum(page.evaluate(BACKGROUND)) > 3 * 192
        assert page.evaluate(TOO_FAINT) == [], address
        page.set_viewport_size(PHONE)
        assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"], address
        assert page.evaluate(ASTRAY) == 0, address
        assert page.evaluate(BROKEN) == [], address
        found = page.evaluate(STRUCTURE)
        assert found["lang"] == "en"
        assert found["levels"][0] == 1, address
        assert all(after <= before + 1 for before, after in pairwise(found["levels"])), address
        assert found["unnamed"] == [], address
        assert found["twice"] == [], address


def test_the_keyboard_reaches_everything_with_a_visible_focus(site: Site, page: Page) -> None:
    page.goto(f"/runs/{site.run}")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
    wanted = page.evaluate("document.querySelectorAll('main a, main input, main .point').length")
    reached = set()
    for _ in range(wanted + 20):
        page.keyboard.press("Tab")
        seen = page.evaluate(FOCUS)
        if seen is None:
            break
        assert seen["marked"], seen
        reached.add(seen["number"])
    assert len(reached - {-1}) == wanted  # -1: a table that scrolls
    page.locator(".rates a").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator(".gallery li")).to_have_count(5)
