"""A sample of a run's rows, computed again: what differs is named, and nothing else."""

import json
import random
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial, reduce
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from certificates import certified_run
from click.testing import CliRunner
from commands import call
from pages import DOCS, named
from rows import BY_HAND, claimed, image_ids, jobs, make_run
from sqlalchemy import Engine, delete, func, select, update

from cli.flags import recipe_from
from db import store, submission
from db.axis import Axis
from db.errors import WrongUse
from db.found import Computer, Found
from db.migrations import upgrade
from db.recipe import Recipe
from db.runs import RunInfo, find_run
from db.session import open_engine, reading, writing
from db.settings import Settings
from db.store import Entry
from db.tables import Count, Image, Prediction
from report.agreement import compare_again
from report.agreement_verdict import verdict
from report.origin import Origin
from report.sample import draw_sample, shuffled
from smoothvote import front_door
from worker.assembly import make_classifier
from worker.copies import count_copies
from worker.images import decode
from worker.pipeline import Case, predict

PHOTOGRAPHS = 5
#: Of a certificate: copies that select, and that estimate.
N0, N = 5, 10


@pytest.fixture(scope="module")
def vote(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    """Two noise levels, and a small network of three classes."""
    from torchvision import models

    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    torch.save(models.squeezenet1_1(weights=None, num_classes=3).state_dict(), folder / "model.pth")
    (folder / "classes.txt").write_text("red\ngreen\nblue\n")
    return recipe_from(
        preset=None, classes=folder / "classes.txt", model=str(folder / "model.pth"),
        arch="torchvision/squeezenet1_1", levels=(0.125, 0.25), resize=64, crop=64,
    )  # fmt: skip


@pytest.fixture(scope="module")
def certificate(vote: Recipe) -> Recipe:
    return vote.model_copy(update={"smoother": "none", "selection": N0})


class Measured(NamedTuple):
    """A folder of photographs, and a record of what a worker found there."""

    folder: Path
    engine: Engine

    def verify(self, *flags: str, code: int = 0) -> dict[str, Any]:
        """What the command says, as plain data."""
        words = ("verify", "--device", "cpu", "--engine", "eager", "--format", "json", *flags)
        found: dict[str, Any] = json.loads(call(*words, cwd=self.folder, code=code).stdout)
        return found

    def change(self, statement: Any) -> None:
        with writing(self.engine) as session:
            session.execute(statement)


@pytest.fixture
def measured(tmp_path: Path, photographs: list[Path]) -> Callable[[Recipe], Measured]:
    """Measures photographs by a recipe, as a worker does."""

    def measure(recipe: Recipe) -> Measured:
        images = tmp_path / "images"
        images.mkdir()
        for photograph in photographs[:PHOTOGRAPHS]:
            shutil.copy(photograph, images)
        (tmp_path / ".smoothvote").mkdir()
        engine = open_engine(Settings(home=tmp_path / ".smoothvote"))
        upgrade(engine)
        record(engine, images, recipe)
        return Measured(tmp_path, engine)

    return measure


def record(engine: Engine, folder: Path, recipe: Recipe) -> None:
    files = sorted(folder.iterdir())
    entries = [Entry(path=file.name, label=1, bytes=file.stat().st_size) for file in files]
    copies = N0 + N if recipe.certifies else 1
    with writing(engine) as session:
        dataset_id = submission.record_dataset(
            session, name="images", root=str(folder), fingerprint="f", found=len(entries), entries=entries
        )
        submission.record_run(
            session, run_id="run", dataset_id=dataset_id, name="a run", recipe=recipe, job_size=100, copies=copies
        )
    classifier = make_classifier(recipe, device="cpu", engine="eager")
    sha256, preprocessing = classifier.weights_sha256, classifier.preprocessing
    store.pin_weights(engine, "run", weights_sha256=sha256, preprocessing=preprocessing)
    for job in jobs(engine, "run"):
        claim = claimed(engine, job.id)
        cases = [
            Case(image_id, partial(decode, file.read_bytes(), grayscale="convert", max_pixels=10**8), 1)
            for image_id, file in zip(image_ids(engine, claim), files, strict=True)
        ]
        if recipe.certifies:
            found = list(count_copies(cases, recipe, claim.copies, classifier))
        else:
            found = list(predict(cases, recipe, classifier))
        whole = reduce(Found.plus, found)
        assert store.finish(engine, claim, *whole)


# -- the command ---------------------------------------------------------------------------------------------------


def test_rows_that_are_found_as_they_are_stored_agree(measured: Callable[[Recipe], Measured], vote: Recipe) -> None:
    found = measured(vote).verify()
    assert (found["drawn"], found["same_images_count"]) == (PHOTOGRAPHS, [PHOTOGRAPHS, PHOTOGRAPHS])
    assert [level["sigma"] for level in found["levels"]] == [0.125, 0.25]
    for level in found["levels"]:
        for what in ("ns", "ss", "ds", "vote"):
            assert level[f"same_{what}_count"] == [PHOTOGRAPHS, PHOTOGRAPHS]
        assert level["largest_difference"] < 1e-5
    assert found["differences"] == found["left_out"] == []
    assert (found["same_weights"], found["same_preprocessing"]) == (True, True)
    assert (found["same_device"], found["same_engine"]) == (True, True)
    assert found["stored"] == [{"device": "cpu", "engine": "eager f32", "images": PHOTOGRAPHS}]


def test_a_label_that_was_changed_by_hand_is_found_and_nothing_else(
    measured: Callable[[Recipe], Measured], vote: Recipe
) -> None:
    run = measured(vote)
    with reading(run.engine) as session:
        image = session.scalars(select(Image).where(Image.position == 3)).one()
        row = session.get_one(Prediction, ("run", image.id, 0.25))
    mine = update(Prediction).where(Prediction.image_id == image.id, Prediction.level == 0.25)
    run.change(mine.values(label_ss=(row.label_ss + 1) % 3))
    found = run.verify(code=1)
    (difference,) = found["differences"]
    assert (difference["image"], difference["level"], difference["view"]) == (image.path, 0.25, "ss")
    assert difference["stored"]["label"] == (row.label_ss + 1) % 3
    assert difference["here"] == {
        "label": row.label_ss,
        "name": ["red", "green", "blue"][row.label_ss],
        "confidence": pytest.approx(row.confidence_ss, abs=1e-5),
    }
    assert found["same_images_count"] == [PHOTOGRAPHS - 1, PHOTOGRAPHS]
    assert [level["same_ss_count"] for level in found["levels"]] == [[5, 5], [4, 5]]
    assert [level["same_vote_count"] for level in found["levels"]] == [[5, 5], [5, 5]]


def test_the_table_names_what_differs(measured: Callable[[Recipe], Measured], vote: Recipe) -> None:
    run = measured(vote)
    run.change(update(Prediction).where(Prediction.level == 0.25).values(label_maj=None))
    said = call("verify", "--device", "cpu", "--engine", "eager", cwd=run.folder, code=1).stdout
    assert "5 of 5 images differ; 0.0% agree" in said
    assert said.count("vote  rejected") == PHOTOGRAPHS
    assert "weights the run's" in said


def test_a_count_that_was_changed_by_hand_is_found(measured: Callable[[Recipe], Measured], certificate: Recipe) -> None:
    run = measured(certificate)
    assert run.verify()["same_images_count"] == [PHOTOGRAPHS, PHOTOGRAPHS]
    # One copy of the first image has another label, in each of its parts: whichever is drawn, it is found.
    row = select(func.min(Image.id)).scalar_subquery()
    mine = (Count.image_id == row, Count.level == 0.25)
    with writing(run.engine) as session:
        for part in session.scalars(select(Count.part).where(*mine).distinct()).all():
            first = session.scalars(select(Count).where(*mine, Count.part == part).order_by(Count.label)).first()
            assert first
            assert first.n > 1
            first.n -= 1
            session.merge(Count(run_id="run", image_id=first.image_id, level=0.25, part=part, label=900, n=1))
    (difference,) = run.verify(code=1)["differences"]
    part, last = difference["copies"]
    assert (part, last) in {(0, 4), (5, 14)}
    assert difference["level"] == 0.25
    assert sum(difference["stored"].values()) == sum(difference["here"].values()) == last - part + 1
    assert difference["stored"]["900"] == 1
    assert "900" not in difference["here"]


def test_images_that_changed_or_are_gone_are_said_and_do_not_count_as_differences(
    measured: Callable[[Recipe], Measured], vote: Recipe
) -> None:
    run = measured(vote)
    changed, gone, *_ = sorted((run.folder / "images").iterdir())
    changed.write_bytes(changed.read_bytes() + b"\0")
    gone.unlink()
    found = run.verify()
    assert {(one["image"], one["code"]) for one in found["left_out"]} == {
        (changed.name, "changed"),
        (gone.name, "missing"),
    }
    assert found["same_images_count"] == [PHOTOGRAPHS - 2, PHOTOGRAPHS - 2]
    assert "2 more cannot be computed here and are not compared" in found["verdict"]


def test_a_sample_of_which_nothing_can_be_computed_fails(measured: Callable[[Recipe], Measured], vote: Recipe) -> None:
    run = measured(vote)
    for file in (run.folder / "images").iterdir():
        file.write_bytes(b"no image any more")
    done = call("verify", "--device", "cpu", "--engine", "eager", cwd=run.folder, code=1)
    assert "Nothing could be compared" in done.stdout


def test_another_models_weights_are_said(measured: Callable[[Recipe], Measured], vote: Recipe) -> None:
    from db.tables import Run

    run = measured(vote)
    run.change(update(Run).values(weights_sha256="0" * 64))
    run.change(update(Prediction).values(label_ns=(Prediction.label_ns + 1) % 3))
    found = run.verify(code=1)
    assert not found["same_weights"]
    assert "The weights or the preprocessing here are not the run's" in found["verdict"]


def test_a_run_without_rows_is_refused_in_one_line(measured: Callable[[Recipe], Measured], vote: Recipe) -> None:
    run = measured(vote)
    run.change(delete(Prediction))
    environment = {"SMOOTHVOTE_HOME": str(run.folder / ".smoothvote")}
    error = CliRunner().invoke(front_door, ["verify"], env=environment).exception
    assert isinstance(error, WrongUse)
    assert "run run has no rows to verify yet" in str(error)


def test_every_field_is_in_the_reference(measured: Callable[[Recipe], Measured], vote: Recipe) -> None:
    run = measured(vote)
    run.change(update(Prediction).values(label_ns=(Prediction.label_ns + 1) % 3))
    found = run.verify(code=1)
    page = named((DOCS / "reference" / "report.md").read_text())
    assert set(found) | set(found["levels"][0]) | set(found["differences"][0]) | set(found["here"]) <= {
        name for one in page for name in (one, f"{one}_ci", f"{one}_count")
    }


# -- the sample ------------------------------------------------------------------------------------------------------


def positions(engine: Engine, size: int, seed: int) -> list[int]:
    with reading(engine) as session:
        run = find_run(session, "latest")
        return [image.position for image in draw_sample(session, run, size=size, seed=seed)]


def test_the_same_seed_draws_the_same_images_and_another_seed_draws_others(engine: Engine) -> None:
    make_run(engine, BY_HAND * 5, "f" * 64, pending=3)
    assert positions(engine, 7, 1) == positions(engine, 7, 1) == sorted(positions(engine, 7, 1))
    assert len(set(positions(engine, 7, 1))) == 7
    assert positions(engine, 7, 1) != positions(engine, 7, 2)
    assert set(positions(engine, 7, 1)) <= set(positions(engine, 9, 1))


def test_only_images_with_rows_are_drawn_and_all_of_them_where_more_are_asked_for(engine: Engine) -> None:
    failed = (1, "truncated")
    make_run(engine, [*BY_HAND, failed], "f" * 64, pending=3)
    assert positions(engine, 100, 0) == [0, 1, 2, 3]


def test_a_sample_holds_the_rows_the_worker_and_the_entry_of_each_image(engine: Engine) -> None:
    make_run(engine, BY_HAND, "f" * 64)
    with reading(engine) as session:
        (first, *_) = draw_sample(session, find_run(session, "latest"), size=4)
    assert first.entry == Entry(path="0.jpg", label=1, bytes=100)
    assert [(row.level, row.label_ns, row.confidence_ds) for row in first.predicted] == [(0.0, 1, 0.7), (0.25, 1, 0.7)]
    assert first.computer is None


def test_one_part_of_the_copies_is_drawn_with_all_of_its_counts(engine: Engine) -> None:
    # 10 copies select, 250 estimate: parts of 10, 100, 100 and 50 copies; label 7 has a tenth of each.
    run = certified_run(engine, [1] * 40, lambda *at: {1: at[2].size * 9 // 10, 7: at[2].size // 10}, n=250)
    with reading(engine) as session:
        sample = draw_sample(session, run, size=40)
    sizes = Counter(image.part.size for image in sample)
    assert set(sizes) == {10, 100, 50}
    assert {image.part.first for image in sample} == {0, 10, 110, 210}
    for image in sample:
        assert sum(row.n for row in image.counted) == 2 * image.part.size  # at each of two levels
        assert {row.part for row in image.counted} == {image.part.first}


def test_numbers_are_shuffled_without_a_list_of_all_and_every_order_is_equally_likely() -> None:
    orders = Counter(tuple(shuffled(3, random.Random(seed))) for seed in range(6000))
    assert len(orders) == 6
    assert all(900 < count < 1100 for count in orders.values())  # 1000 ± 3.5 standard deviations
    assert next(shuffled(10**12, random.Random(0))) < 10**12


# -- words -------------------------------------------------------------------------------------------------------------


def test_what_a_difference_means_depends_on_what_is_measured(engine: Engine) -> None:
    exact = make_run(engine, BY_HAND, "f" * 64)
    with reading(engine) as session:
        sample = draw_sample(session, exact, size=3)
    here = [row for image in sample for row in image.predicted]
    here[0] = replace(here[0], label_ns=5)
    origin = Origin(
        here=Computer("cpu", "eager f32"), same_weights=True, same_preprocessing=True, weights_sha256="0", stored={}
    )

    def said(run: RunInfo) -> str:
        return verdict(compare_again(run, sample, Found(here, [], []), origin, seed=0))

    assert said(exact).startswith(
        "1 of 3 images differs; 66.7% agree (95% interval 20.8% to 93.9% of the run's images)."
    )
    assert "a row was changed" in said(exact)
    attack = replace(exact, axis=Axis("ε", "radius", kind="attack"))
    assert "An attack follows the model's outputs or gradients" in said(attack)
    low = replace(exact, recipe=exact.recipe.model_copy(update={"precision": "bf16"}))
    assert "bfloat16 rounds as the device and the engine do" in said(low)


@pytest.mark.parametrize(
    ("stored", "same"),
    [
        ({Computer("cpu", "eager f32"): 3}, (True, True)),
        ({Computer("cpu", "eager f32"): 2, None: 1}, (None, None)),
        ({Computer("cpu", "openvino f32"): 2, Computer("cpu", "eager f32"): 1}, (True, False)),
        ({None: 3}, (None, None)),
    ],
)
def test_device_and_engine_are_the_same_if_they_were_for_all_images(
    stored: dict[Computer | None, int], same: tuple[bool | None, bool | None]
) -> None:
    origin = Origin(
        here=Computer("cpu", "eager f32"), same_weights=True, same_preprocessing=True, weights_sha256="0", stored=stored
    )
    assert (origin.same_device, origin.same_engine) == same
