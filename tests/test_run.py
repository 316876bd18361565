"""The real thing, end to end: real photographs, the bundled model's real weights, real Redis, PostgreSQL and SQLite."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from alone import alone
from commands import ARTICLE, assert_same_rows, call, command, environment, rows, smoothvote
from PIL import Image

from db.settings import Settings
from producer.local import home

IMAGES = 8


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory, photographs: list[Path]) -> Path:
    """Photographs with a manifest of their labels."""
    folder = tmp_path_factory.mktemp("photographs")
    lines = ["file_name,label"]
    for photograph in photographs[:IMAGES]:
        shutil.copy2(photograph, folder)
        lines.append(f"{photograph.name},{photograph.stem.split('_')[2]}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder / "labels.csv"


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> tuple[Path, dict[str, Any]]:
    """A folder in which `run` was called with no server and no settings, and the report that it printed."""
    cwd = tmp_path_factory.mktemp("embedded")
    done = smoothvote("run", folder, *ARTICLE, "--format", "json", cwd=cwd)
    return cwd, json.loads(done.stdout)


@pytest.fixture(scope="session")
def expected(embedded: tuple[Path, dict[str, Any]]) -> list[dict[str, Any]]:
    return rows("latest", cwd=embedded[0])


@pytest.fixture(autouse=True)
def eager(clean_environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """All other runs use eager PyTorch: it starts sooner, and must give the rows of the fastest engine."""
    monkeypatch.setenv("SMOOTHVOTE_ENGINE", "eager")


@contextmanager
def workers(count: int, *, cwd: Path, env: dict[str, str]) -> Iterator[list[subprocess.Popen[bytes]]]:
    with (cwd / "workers.log").open("wb") as log:
        started = [
            subprocess.Popen(command("worker"), cwd=cwd, env=environment(env), stdout=log, stderr=log)
            for _ in range(count)
        ]
        try:
            yield started
        finally:
            for worker in started:
                worker.terminate()
            for worker in started:
                worker.wait(60)


def test_a_folder_of_photographs_becomes_a_complete_report(embedded: tuple[Path, dict[str, Any]]) -> None:
    report = embedded[1]
    assert report["complete"] is True
    assert [level["sigma"] for level in report["levels"]] == [0, 0.125, 0.25, 0.375]
    for level in report["levels"]:
        assert (level["expected"], level["predicted"], level["labelled"]) == (IMAGES, IMAGES, IMAGES)
        assert level["reject_rate"] + level["coverage"] == pytest.approx(1)
    assert len(report["run"]["weights_sha256"]) == 64
    # Right on at least 6 of 8 clean photographs: chance would be 1 in 1000 on each.
    assert report["levels"][0]["acc_ns"] >= 0.75
    assert report["levels"][3]["acc_ns"] < report["levels"][0]["acc_ns"]


def test_the_same_command_again_sends_nothing_and_says_the_same(
    embedded: tuple[Path, dict[str, Any]], folder: Path
) -> None:
    cwd, report = embedded
    (cwd / ".smoothvote" / "worker.log").unlink()
    again = smoothvote("run", folder, *ARTICLE, "--format", "json", cwd=cwd)
    assert json.loads(again.stdout) == report
    assert not (cwd / ".smoothvote" / "worker.log").exists()  # no worker was even started


def test_rows_of_the_fastest_engine_are_found_again_by_eager_pytorch(embedded: tuple[Path, dict[str, Any]]) -> None:
    words = ("verify", "--sample", "3", "--device", "cpu", "--engine", "eager", "--format", "json")
    found = json.loads(call(*words, cwd=embedded[0]).stdout)
    assert found["same_images_count"] == [3, 3]
    assert all(level["largest_difference"] < 1e-3 for level in found["levels"])
    (stored,) = found["stored"]
    assert (stored["device"], stored["images"]) == ("cpu", 3)
    assert found["same_engine"] is (stored["engine"] == "eager f32")
    assert found["same_weights"]


def test_nothing_of_a_run_is_left_behind_when_it_ends(embedded: tuple[Path, dict[str, Any]]) -> None:
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(embedded[0]) not in listed
    # Whoever copies the file of the database has all of it: SQLite's log is in it, and gone.
    assert [file.name for file in (embedded[0] / ".smoothvote").glob("smoothvote.db*")] == ["smoothvote.db"]


def test_rows_are_the_same_on_postgresql_with_a_separate_redis_and_two_separate_workers(
    tmp_path: Path, folder: Path, expected: list[dict[str, Any]], redis_url: str, new_postgres: Callable[[], str]
) -> None:
    env = {"SMOOTHVOTE_DATABASE_URL": new_postgres(), "SMOOTHVOTE_BROKER_URL": redis_url}
    call("db", "upgrade", cwd=tmp_path, env=env)
    submitted = call("submit", folder, *ARTICLE, "--job-size", "2", cwd=tmp_path, env=env)
    run_id = submitted.stdout.strip()
    assert submitted.stdout == f"{run_id}\n"
    assert call("report", run_id, cwd=tmp_path, env=env, code=3).stdout.count("INCOMPLETE") == 1
    with workers(2, cwd=tmp_path, env=env):
        call("watch", run_id[:6], cwd=tmp_path, env=env)
    assert_same_rows(rows(run_id, cwd=tmp_path, env=env), expected)
    assert "0 jobs sent" in call("submit", folder, *ARTICLE, cwd=tmp_path, env=env).stderr
    listed = json.loads(call("runs", "--json", cwd=tmp_path, env=env).stdout)
    assert (listed["id"], listed["complete"], listed["done"]) == (run_id, True, IMAGES)


def jobs_done(cwd: Path) -> int:
    """How many jobs of the embedded database are done. Read without a command, which would take the workers' time."""
    file = cwd / ".smoothvote" / "smoothvote.db"
    if not file.exists():
        return 0
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as record:
        try:
            return int(record.execute("SELECT count(*) FROM jobs WHERE done_at IS NOT NULL").fetchone()[0])
        except sqlite3.OperationalError:  # its tables are being made
            return 0


@contextmanager
def half_way(*words: str | Path, cwd: Path, env: dict[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A command that has done one job more than were done when it began; what it says is in the file "said"."""
    before = jobs_done(cwd)
    with (cwd / "said").open("w") as said:
        process = subprocess.Popen(command(*words), cwd=cwd, env=environment(env), stdout=said, stderr=said)
    try:
        deadline = time.monotonic() + 120
        while jobs_done(cwd) == before and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
        assert before < jobs_done(cwd) < IMAGES, (cwd / "said").read_text()
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_run_that_is_interrupted_again_and_again_is_resumed_with_any_number_of_workers(
    tmp_path: Path, folder: Path, expected: list[dict[str, Any]]
) -> None:
    words = ("run", folder, *ARTICLE, "--job-size", "1")
    for how in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        with half_way(*words, cwd=tmp_path) as process:
            process.send_signal(how)
            code = process.wait(60)
        said = (tmp_path / "said").read_text()
        assert code == (-signal.SIGKILL if how == signal.SIGKILL else 3), said
        if how != signal.SIGKILL:
            assert said.splitlines()[-1] == "smoothvote: stopped; the same command resumes"
        assert jobs_done(tmp_path) < IMAGES
    smoothvote(*words, "--workers", "2", cwd=tmp_path)
    assert_same_rows(rows("latest", cwd=tmp_path), expected)


def test_the_embedded_redis_may_be_killed(tmp_path: Path, folder: Path, expected: list[dict[str, Any]]) -> None:
    words = ("run", folder, *ARTICLE, "--limit", "4", "--job-size", "1")
    with half_way(*words, cwd=tmp_path, env={"SMOOTHVOTE_LOST_AFTER": "3"}) as process:
        with redis.Redis(unix_socket_path=str(tmp_path / ".smoothvote" / "redis.sock")) as client:
            os.kill(client.info()["process_id"], signal.SIGKILL)
        assert process.wait(120) == 0, (tmp_path / "said").read_text()
    found = rows("latest", cwd=tmp_path)
    paths = {row["path"] for row in found}
    assert len(paths) == 4
    assert_same_rows(found, [row for row in expected if row["path"] in paths])


def test_two_commands_in_one_folder_do_not_meet(tmp_path: Path, folder: Path) -> None:
    with home(Settings(home=tmp_path / ".smoothvote")):
        second = smoothvote("run", folder, *ARTICLE, cwd=tmp_path, code=1)
        assert f"process {os.getpid()} is at work in" in second.stderr
        assert len(second.stderr.splitlines()) == 1
    assert not (tmp_path / ".smoothvote" / "smoothvote.db").exists()


AWKWARD: dict[str, Callable[[Path], object]] = {
    "one_pixel.png": lambda file: Image.new("RGB", (1, 1)).save(file),
    "two_pixels.png": lambda file: Image.new("RGB", (2, 2)).save(file),
    "three_pixels.png": lambda file: Image.new("RGB", (3, 3)).save(file),
    "strip.png": lambda file: Image.new("RGB", (9000, 4)).save(file),
    "large.jpg": lambda file: Image.effect_noise((4000, 3000), 60).convert("RGB").save(file),
    "portrait.jpg": lambda file: Image.new("RGB", (300, 900), "red").save(file),
    "grey.jpg": lambda file: Image.new("L", (300, 200), 90).save(file),
    "grey16.png": lambda file: Image.new("I;16", (300, 200), 40_000).save(file),
    "palette.gif": lambda file: Image.new("P", (300, 200), 3).save(file),
    "alpha.webp": lambda file: Image.new("RGBA", (300, 200), (1, 2, 3, 0)).save(file),
    "cmyk.jpg": lambda file: Image.new("CMYK", (300, 200), (9, 8, 7, 6)).save(file),
    "animated.gif": lambda file: Image.new("RGB", (99, 99)).save(
        file, save_all=True, append_images=[Image.new("RGB", (99, 99), "red")]
    ),
    "empty.jpg": lambda file: file.touch(),
    "text.jpg": lambda file: file.write_text("I am no photograph"),
    "truncated.jpg": lambda file: file.write_bytes(_jpeg(file)[:3000]),
    "dangling.jpg": lambda file: file.symlink_to("nowhere"),
    "fifo.jpg": os.mkfifo,
}
UNUSABLE = {
    "one_pixel.png": "too_small",
    "two_pixels.png": "too_small",
    "strip.png": "too_narrow",
    "empty.jpg": "empty",
    "text.jpg": "not_an_image",
    "truncated.jpg": "truncated",
    "dangling.jpg": "missing",
    "fifo.jpg": "not_a_file",
}


def _jpeg(file: Path) -> bytes:
    Image.effect_noise((200, 200), 60).convert("RGB").save(file)
    return file.read_bytes()


def test_every_awkward_image_ends_as_a_prediction_or_a_coded_failure(tmp_path: Path) -> None:
    folder = tmp_path / "awkward"
    folder.mkdir()
    for name, make in AWKWARD.items():
        make(folder / name)
    (folder / "notes.txt").write_text("passed over")
    words = ("--model", "efficientnet_lite0", "--levels", "0,0.25", "--format", "json")
    done = alone("run", folder, *words, cwd=tmp_path)
    assert "passed over 1 files" in done.stderr
    assert f"1 of {len(AWKWARD)} images are not there: dangling.jpg is one" in done.stderr
    assert (
        "no image has a label: there will be reject rates, and no accuracies; --labels FILE gives them" in done.stderr
    )
    assert f"{len(UNUSABLE)} images failed: smoothvote images" in done.stderr
    for level in json.loads(done.stdout)["levels"]:
        assert level["expected"] == len(AWKWARD)
        assert (level["failed"], level["skipped"], level["pending"]) == (len(UNUSABLE), 0, 0)
        assert level["predicted"] == len(AWKWARD) - len(UNUSABLE)
        assert level["labelled"] == 0
        assert level["acc_maj"] is None
    found = rows("latest", cwd=tmp_path)
    assert {row["path"]: row["code"] for row in found if row["code"]} == UNUSABLE
    assert {row["path"] for row in found if not row["code"]} == AWKWARD.keys() - UNUSABLE.keys()


def test_a_worker_on_a_device_that_is_not_there_takes_no_job(tmp_path: Path, folder: Path) -> None:
    done = smoothvote("run", folder, *ARTICLE, cwd=tmp_path, env={"SMOOTHVOTE_DEVICE": "cuda:99"}, code=2)
    assert done.stderr.splitlines()[-1].startswith("smoothvote: no device cuda:99 here: ")


def test_classify_needs_no_queue_and_no_database_and_gives_the_labels_of_a_run(
    tmp_path: Path, photographs: list[Path], expected: list[dict[str, Any]]
) -> None:
    words = ("classify", "nowhere.jpg", photographs[0], *ARTICLE, "--format", "json")
    done = call(*words, cwd=tmp_path, code=1)
    assert done.stderr == "smoothvote: nowhere.jpg: no such file\n"  # and the other image is answered
    assert not list(tmp_path.iterdir())
    stored = [row for row in expected if row["path"] == photographs[0].name]
    for level, row in zip(json.loads(done.stdout)["levels"], stored, strict=True):
        for view in ("ns", "ss", "ds"):
            assert level[view]["label"] == row[f"label_{view}"]
            assert level[view]["confidence"] == pytest.approx(row[f"confidence_{view}"], abs=1e-3)
        assert (level["vote"] or {}).get("label") == row["label_maj"]


def test_classify_on_a_device_that_is_not_there_is_one_line(tmp_path: Path, photographs: list[Path]) -> None:
    words = ("classify", photographs[0], "--model", "efficientnet_lite0", "--device", "cuda:99")
    done = smoothvote(*words, cwd=tmp_path, code=2)
    assert len(done.stderr.splitlines()) == 1
    assert "on cuda:99" in done.stderr
