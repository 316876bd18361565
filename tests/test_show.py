"""One image of a run, whole: found by its name, drawn as the model saw it, with what was stored of it."""

import io
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from rows import failed, jobs, record
from sqlalchemy import Engine

from db import store, submission
from db.axis import Axis
from db.errors import SmoothvoteError, WrongUse
from db.migrations import upgrade
from db.recipe import VIEWS, Preprocessing, make_recipe
from db.runs import RunInfo, find_run
from db.session import open_engine, reading, writing
from db.settings import Settings
from db.store import Entry
from report.plots.style import drawable
from report.sheet import HEAD, MARGIN, amplified, draw_sheet, sheet_name
from report.story import Story, named_image, story
from smoothvote import front_door
from worker.assembly import make_classifier
from worker.classifier import Classifier
from worker.files import read
from worker.images import Pixels, decode
from worker.pictures import Pictures
from worker.pipeline import predict
from worker.views import draw_field, plain_views

RECIPE = make_recipe(model="efficientnet_lite0", levels=(0, 0.25), seed=7)
CPU = torch.device("cpu")
#: A name with letters that few fonts have, with markup and mathematics.
ODD = "日本 $x_1$ [red] & <b>.jpg"


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return make_classifier(RECIPE, device=CPU, engine="eager", batch_size=None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, photographs: list[Path]) -> Path:
    """a/dog.jpg and b/dog.jpg, one with an odd name, one that is no image, one that nobody has done."""
    folder = tmp_path_factory.mktemp("images")
    for name, photograph in zip(("a/dog.jpg", "b/dog.jpg", ODD), photographs, strict=False):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(photograph, folder / name)
    return folder


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(database_url=f"sqlite:///{tmp_path_factory.mktemp('record') / 'record.db'}")


@pytest.fixture(scope="module")
def engine(settings: Settings, folder: Path, classifier: Classifier) -> Iterator[Engine]:
    """A record of what a real worker found there."""
    engine = open_engine(settings)
    upgrade(engine)
    paths = ["a/dog.jpg", "b/dog.jpg", ODD, "broken.jpg", "pending.jpg", "c/ending.jpg"]
    entries = [Entry(path=path, label=207, bytes=_size(folder / path)) for path in paths]
    with writing(engine) as session:
        dataset_id = submission.record_dataset(
            session, name="images", root=str(folder), fingerprint="f", found=len(entries), entries=entries
        )
        run_id = RECIPE.run_id("f")
        submission.record_run(session, run_id=run_id, dataset_id=dataset_id, name="a run", recipe=RECIPE, job_size=4)
    claim = store.claim(engine, jobs(engine, run_id)[0].id, worker="w", lease=60)
    assert claim
    store.pin_weights(engine, run_id, weights_sha256="0" * 64, preprocessing=classifier.preprocessing)
    images = claim.images
    sources = [(image_id, partial(_pixels, folder, entry, settings)) for image_id, entry in images[:3]]
    rows = [row for found in predict(sources, RECIPE, classifier) for row in found.predicted]
    assert store.finish(engine, claim, rows, [failed(images[3][0], "truncated")])
    yield engine
    engine.dispose()


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 100


def _pixels(folder: Path, entry: Entry, settings: Settings) -> Pixels:
    return decode(read(str(folder), entry, settings), grayscale="convert", max_pixels=10**8)


@pytest.fixture
def run(engine: Engine) -> RunInfo:
    with reading(engine) as session:
        return find_run(session, "a run")


def told(engine: Engine, run: RunInfo, name: str) -> Story:
    with reading(engine) as session:
        return story(session, run, named_image(session, run, name))


@pytest.mark.parametrize("sigma", RECIPE.levels)
def test_the_model_answers_to_the_pictures_what_is_stored(
    engine: Engine, run: RunInfo, settings: Settings, classifier: Classifier, sigma: float
) -> None:
    found = told(engine, run, "a/dog.jpg")
    drawn = Pictures(settings).views(run, found.entry, sigma)
    assert (drawn.shape, drawn.dtype) == ((3, 224, 224, 3), np.uint8)
    answers = classifier.predict(torch.from_numpy(drawn).permute(0, 3, 1, 2).float() / 255)
    row = next(row for row in found.levels if row.level == sigma)
    assert list(answers.labels) == [row.label_ns, row.label_ss, row.label_ds]
    # A picture has 8 bits: the confidences move a little.
    stored = [row.confidence_ns, row.confidence_ss, row.confidence_ds]
    assert list(answers.confidences) == pytest.approx(stored, abs=0.02)


def test_the_pictures_are_the_views_rounded_to_8_bits(
    engine: Engine, run: RunInfo, settings: Settings, folder: Path, classifier: Classifier
) -> None:
    entry = told(engine, run, "b/dog.jpg").entry
    pixels = _pixels(folder, entry, settings)
    field = draw_field(pixels, RECIPE)
    # Step by step, by kornia and torchvision on the whole image.
    views = plain_views(pixels, field, RECIPE, classifier.preprocessing, range(6)).clamp(0, 1) * 255
    for level, sigma in enumerate(RECIPE.levels):
        drawn = torch.from_numpy(Pictures(settings).views(run, entry, sigma)).permute(0, 3, 1, 2).float()
        worked = views[level * len(VIEWS) : (level + 1) * len(VIEWS)]
        assert (drawn - worked).abs().max() <= 0.501


def test_a_view_is_a_png_and_a_thumbnail_a_small_jpeg(engine: Engine, run: RunInfo, settings: Settings) -> None:
    entry = told(engine, run, "a/dog.jpg").entry
    with Image.open(io.BytesIO(Pictures(settings).view(run, entry, 0.25, "ss"))) as picture:
        assert (picture.format, picture.size) == ("PNG", (224, 224))
    with Image.open(io.BytesIO(Pictures(settings).thumbnail(run, entry, 64))) as picture:
        assert picture.format == "JPEG"
        assert max(picture.size) == 64


def test_a_grey_image_that_the_recipe_skips_still_has_a_thumbnail(
    run: RunInfo, settings: Settings, tmp_path: Path
) -> None:
    Image.new("L", (40, 20), 128).save(tmp_path / "grey.png")
    skipping = replace(run, root=str(tmp_path), recipe=run.recipe.model_copy(update={"grayscale": "skip"}))
    entry = Entry(path="grey.png", label=None, bytes=None)
    with Image.open(io.BytesIO(Pictures(settings).thumbnail(skipping, entry, 20))) as picture:
        assert picture.size == (20, 10)
    with pytest.raises(SmoothvoteError, match=r"grey\.png: grayscale: one channel"):
        Pictures(settings).views(skipping, entry, 0)


def test_without_torch_there_are_thumbnails_and_no_views(
    engine: Engine, run: RunInfo, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Pictures(settings).has_views
    monkeypatch.setitem(sys.modules, "torch", None)  # as if it were not installed
    entry, without = told(engine, run, "a/dog.jpg").entry, Pictures(settings)
    assert not without.has_views
    assert without.thumbnail(run, entry).startswith(b"\xff\xd8")
    with pytest.raises(WrongUse, match=r"this needs torch: pip install 'smoothvote\[worker\]'"):
        without.view(run, entry, 0, "ns")


def test_an_image_whose_views_are_asked_for_at_once_is_read_once(
    engine: Engine, run: RunInfo, settings: Settings
) -> None:
    entry = told(engine, run, "a/dog.jpg").entry
    pictures = Pictures(settings)
    asked = [(sigma, view) for sigma in RECIPE.levels for view in VIEWS]
    with ThreadPoolExecutor(6) as threads:
        found = list(threads.map(lambda one: pictures.view(run, entry, *one), asked))
    assert len(set(found)) == 6, "each is another picture"
    assert pictures._drawn.cache_info().misses == 1


@pytest.mark.parametrize("entry", [
    Entry(path="a/dog.jpg", label=1, bytes=5), Entry(path="gone.jpg", label=1, bytes=5),
    Entry(path="../../etc/passwd", label=1, bytes=None),
])  # fmt: skip
def test_an_image_that_is_not_the_one_submitted_is_not_shown(run: RunInfo, settings: Settings, entry: Entry) -> None:
    with pytest.raises(SmoothvoteError, match=r"changed|missing|outside_root") as raised:
        Pictures(settings).thumbnail(run, entry)
    assert "\n" not in str(raised.value)


def test_a_run_that_no_worker_has_begun_has_no_pictures(engine: Engine, settings: Settings, run: RunInfo) -> None:
    begun = told(engine, run, "a/dog.jpg").entry
    run_id = record(engine, [1], name="other", fingerprint="other")
    with reading(engine) as session:
        other = find_run(session, run_id)
    with pytest.raises(SmoothvoteError, match="has no preprocessing yet"):
        Pictures(settings).views(other, begun, 0)


def test_an_image_is_named_by_its_path_its_end_or_where_it_lies(engine: Engine, run: RunInfo, folder: Path) -> None:
    with reading(engine) as session:
        first = named_image(session, run, "a/dog.jpg")
        assert named_image(session, run, str(folder / "a/dog.jpg")) == first
        assert named_image(session, run, "/mnt/b/dog.jpg") != first
        with pytest.raises(WrongUse, match=r"has no image 'oken\.jpg'"):
            named_image(session, run, "oken.jpg")
        with pytest.raises(WrongUse, match=r"'dog\.jpg' fits 2 images of run .*: a/dog\.jpg, b/dog\.jpg; give more"):
            named_image(session, run, "dog.jpg")
        assert named_image(session, run, "ending.jpg") == named_image(session, run, "c/ending.jpg"), "not pending.jpg"
        with pytest.raises(WrongUse, match=r"has no image 'cat\.jpg'"):
            named_image(session, run, "cat.jpg")
        with pytest.raises(WrongUse, match=r"has no image '%'"):
            named_image(session, run, "%")
        with pytest.raises(
            WrongUse,
            match=r"has no image 'x/endnig\.jpeg': did you mean c/ending\.jpg or .*\? give its path in the dataset",
        ):
            named_image(session, run, "x/endnig.jpeg")


def test_a_sheet_has_a_row_a_level_with_pictures_as_sharp_as_they_are(
    engine: Engine, run: RunInfo, settings: Settings, tmp_path: Path
) -> None:
    found = told(engine, run, "a/dog.jpg")
    draw_sheet(run, found, Pictures(settings), tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as opened:
        sheet = np.asarray(opened.convert("RGB"))
    for sigma in RECIPE.levels:
        for view in Pictures(settings).views(run, found.entry, sigma):
            middle = view[100:116, 100:116]
            corners = np.argwhere((sheet == middle[0, 0]).all(axis=2))
            windows = (sheet[y : y + 16, x : x + 16] for y, x in corners)
            assert any(np.array_equal(window, middle) for window in windows), "no picture is scaled or smoothed"


def test_a_sheet_names_levels_by_the_runs_axis(
    engine: Engine, run: RunInfo, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    monkeypatch.setattr("matplotlib.figure.Figure.text", lambda _figure, _x, _y, text, **_: written.append(text))
    attacked = replace(run, axis=Axis("ε", "attack strength"))
    draw_sheet(attacked, told(engine, run, "a/dog.jpg"), Pictures(settings), tmp_path / "sheet.png")
    assert {"ε = 0", "ε = 0.25"} <= set(written)


def test_a_sheet_of_an_attack_shows_what_was_added_amplified(
    engine: Engine, run: RunInfo, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    monkeypatch.setattr("matplotlib.figure.Figure.text", lambda _figure, _x, _y, text, **_: written.append(text))
    found = told(engine, run, "a/dog.jpg")
    attack = replace(run, axis=Axis("ε", "attack size", kind="attack"))
    draw_sheet(attack, found, Pictures(settings), tmp_path / "sheet.png")
    assert {"what the attack added", "nothing"} <= set(written)
    assert [text for text in written if text.startswith("amplified")] == ["amplified 1×, grey is none"]  # σ = 0.25
    with Image.open(tmp_path / "sheet.png") as opened:
        sheet = np.asarray(opened.convert("RGB"))
    left = MARGIN + 3 * (224 + MARGIN)
    assert (sheet[HEAD : HEAD + 224, left : left + 224] == 128).all(), "at the level 0 nothing is added"


def test_what_an_attack_added_is_enlarged_around_grey() -> None:
    clean = np.full((1, 3, 3), 200, np.uint8)
    view = clean + np.int16([[[0, 1, -3]] * 3])
    shown, times = amplified(view.astype(np.uint8), clean)
    assert times == 127 // 3
    assert shown[0, 0].tolist() == [128, 128 + 42, 128 - 126]


def test_a_small_picture_is_enlarged_pixel_by_pixel(
    engine: Engine, run: RunInfo, settings: Settings, tmp_path: Path
) -> None:
    assert run.preprocessing is not None
    small = replace(run, preprocessing=run.preprocessing | {"resize": 48, "crop": 32})
    found = told(engine, run, "a/dog.jpg")
    draw_sheet(small, found, Pictures(settings), tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as opened:
        sheet = np.asarray(opened.convert("RGB"))
    # 32 pixels a side become 224: the first picture is where it is on any sheet.
    view = Pictures(settings).views(small, found.entry, 0)[0]
    assert np.array_equal(sheet[HEAD : HEAD + 224 : 7, MARGIN : MARGIN + 224 : 7], view)
    assert np.array_equal(sheet[HEAD + 6 : HEAD + 224 : 7, MARGIN + 6 : MARGIN + 224 : 7], view)


def test_a_name_in_any_script_is_drawn_without_a_warning(
    engine: Engine, run: RunInfo, settings: Settings, tmp_path: Path
) -> None:
    draw_sheet(run, told(engine, run, ODD), Pictures(settings), tmp_path / "sheet.png")
    assert drawable("aσ日") == "aσ□"


@pytest.mark.parametrize(("name", "said"), [("broken.jpg", "truncated: why"), ("pending.jpg", "is pending in run")])
def test_an_image_without_predictions_says_why(
    engine: Engine, settings: Settings, tmp_path: Path, name: str, said: str, run: RunInfo
) -> None:
    with pytest.raises(SmoothvoteError, match=said):
        draw_sheet(run, told(engine, run, name), Pictures(settings), tmp_path / "sheet.png")


def test_show_prints_the_stored_answers_and_writes_the_sheet(
    engine: Engine, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: RunInfo, folder: Path
) -> None:
    monkeypatch.setenv("SMOOTHVOTE_DATABASE_URL", str(settings.database))
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(front_door, ["show", "a/dog.jpg", "--run", run.id])
    assert done.exit_code == 0, done.output
    assert "wrote dog.smoothvote.png" in done.stderr
    row = told(engine, run, "a/dog.jpg").levels[0]
    assert f"{row.confidence_ns:.2f}" in done.stdout
    assert (tmp_path / "dog.smoothvote.png").stat().st_size > 100_000
    assert CliRunner().invoke(front_door, ["show", "a/dog.jpg", "--run", run.id]).exit_code == 0, "again, over its own"


def test_a_sheet_is_written_over_nothing_else_and_not_among_the_images(
    engine: Engine, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: RunInfo, folder: Path
) -> None:
    monkeypatch.setenv("SMOOTHVOTE_DATABASE_URL", str(settings.database))
    (tmp_path / "mine.png").write_bytes(b"dear to me")
    Image.new("RGB", (8, 8)).save(tmp_path / "picture.png")
    (tmp_path / "linked").symlink_to(folder / "a")
    for wrong, said in {
        "a.jpg": "end the name in .png",
        "nowhere/a.png": "there is no folder",
        "mine.png": "there is another file of that name",
        "picture.png": "there is another file of that name",
        "linked/new.png": "taken for one of them; name another folder",
    }.items():
        file = str(tmp_path / wrong)
        done = CliRunner().invoke(front_door, ["show", "a/dog.jpg", "--run", run.id, "--output", file])
        assert isinstance(done.exception, WrongUse), done.output
        assert file in str(done.exception)
        assert said in str(done.exception)
    assert (tmp_path / "mine.png").read_bytes() == b"dear to me"
    assert not (folder / "a/new.png").exists()


def test_a_sheet_is_called_after_its_image_in_a_name_that_a_file_may_have() -> None:
    def name(path: str) -> str:
        return sheet_name(Entry(path=path, label=None, bytes=None))

    assert name("a/dog.tar.jpg") == "dog.tar.smoothvote.png"
    assert name("a\x1b[31m.jpg") == "a�[31m.smoothvote.png"
    assert name("日" * 83 + ".jpg") == "日" * 80 + ".smoothvote.png"
    assert len(name("x" * 251 + ".jpg").encode()) == 255


def test_preprocessing_of_the_record_is_that_of_the_worker(run: RunInfo, classifier: Classifier) -> None:
    assert run.preprocessing is not None
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in run.preprocessing.items()}
    assert Preprocessing(**given) == classifier.preprocessing
