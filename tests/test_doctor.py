"""The doctor names each thing that is wrong with its remedy, and shows no password."""

import json
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from commands import smoothvote
from servers import redis_server
from sqlalchemy import Engine, func, make_url, select, text

import db.doctor
import producer.doctor
import worker.doctor
from db.checkup import NO_TORCH, Check, Finding, examine
from db.message import without_secrets
from db.migrations import upgrade
from db.registry import Family
from db.session import current_revision, open_engine, reading
from db.settings import Settings
from db.tables import REVISION, Dataset
from smoothvote import front_door

ALL = {check.name: check for check in (*db.doctor.CHECKS, *producer.doctor.CHECKS, *worker.doctor.CHECKS)}
CHECKED = ["settings", "database", "migrations", "disk", "image_root", "broker"]
CHECKED += ["perturbations", "smoothers", "weights", "device"]


def look(name: str, **given: object) -> Finding:
    """What one check finds with these settings."""
    return examine(ALL[name], Settings(**given))


@pytest.fixture
def folder(short_folder: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A folder for a Redis of the test's own."""
    made = short_folder / f"doctor-{abs(hash(request.node.name))}"
    made.mkdir()
    yield made
    shutil.rmtree(made)


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


# -- settings ----------------------------------------------------------------------------------------------------


def test_a_variable_that_is_no_setting_is_named_with_the_one_that_was_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMOOTHVOTE_BROKR_URL", "redis://:hunter2@localhost")
    monkeypatch.setenv("SMOOTHVOTE_TEST_ANYTHING", "is the tests'")
    assert look("settings") == ("wrong", "SMOOTHVOTE_BROKR_URL is no setting: did you mean SMOOTHVOTE_BROKER_URL?")


def test_every_wrong_variable_is_named_and_the_other_checks_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMOOTHVOTE_WINDOW", "0")
    monkeypatch.setenv("SMOOTHVOTE_DEVICE", "gpu")
    monkeypatch.setenv("SMOOTHVOTE_HOME", "elsewhere")
    settings, wrong = db.doctor.usable_settings()
    assert set(wrong) == {"window", "device"}
    assert (settings.window, settings.device, settings.home) == (256, "auto", Path("elsewhere"))
    state, detail = examine(ALL["settings"], settings)
    assert state == "wrong"
    assert "SMOOTHVOTE_WINDOW: input should be greater than 0" in detail
    assert "SMOOTHVOTE_DEVICE: must be auto, cpu or cuda:N" in detail


def test_valid_settings_are_named_without_their_values(monkeypatch: pytest.MonkeyPatch) -> None:
    assert look("settings") == ("ok", "no variable is set: all settings have their defaults")
    monkeypatch.setenv("SMOOTHVOTE_DATABASE_URL", "postgresql://us:hunter2@localhost/x")
    assert look("settings") == ("ok", "SMOOTHVOTE_DATABASE_URL: valid")


# -- the record --------------------------------------------------------------------------------------------------


def test_the_check_of_a_good_database_writes_to_it_and_leaves_nothing(engine: Engine, settings: Settings) -> None:
    state, detail = examine(ALL["database"], settings)
    assert state == "ok"
    assert detail.startswith(f"{engine.dialect.name} ")
    assert detail.endswith("can be written to")
    assert examine(ALL["migrations"], settings) == ("ok", f"at revision {REVISION}, which is this code's")
    with reading(engine) as session:
        assert session.scalar(select(func.count()).select_from(Dataset)) == 0


def test_a_database_that_is_not_migrated_is_wrong(new_postgres: Callable[[], str]) -> None:
    url = new_postgres()
    assert look("database", database_url=url).state == "ok"
    state, detail = look("migrations", database_url=url)
    assert state == "wrong"
    assert detail.endswith("is not set up: run `smoothvote db upgrade`")


def test_a_database_newer_than_this_code_is_wrong(engine: Engine, settings: Settings) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    state, detail = examine(ALL["migrations"], settings)
    assert state == "wrong"
    assert detail.endswith(f"newer than this code's {REVISION}: install the newer smoothvote")


@pytest.mark.parametrize("migrated", [True, False])
def test_a_database_that_cannot_be_written_to_is_wrong(migrated: bool, database_url: str) -> None:
    if migrated:
        engine = open_engine(Settings(database_url=database_url))
        upgrade(engine)
        engine.dispose()
    url = make_url(database_url)
    if url.get_backend_name() == "postgresql":
        url = url.update_query_dict({"options": "-c default_transaction_read_only=on"})
    else:
        current_revision(
            open_engine(Settings(database_url=database_url))
        )  # makes the file, with a WAL as ours all have
        url = url.set(database=f"file:{url.database}").update_query_dict({"mode": "ro", "uri": "true"})
    state, detail = look("database", database_url=url.render_as_string(hide_password=False))
    assert state == "wrong"
    assert "cannot be written to" in detail
    assert "read-only" in detail or "readonly" in detail


def test_the_check_of_a_database_that_is_not_there_does_not_create_it(tmp_path: Path) -> None:
    assert look("database", home=tmp_path / "home").state == "ok"
    assert look("migrations", home=tmp_path / "home").state == "skipped"
    url = f"sqlite:///{tmp_path / 'record.db'}"
    assert look("database", database_url=url) == (
        "wrong", f"{tmp_path / 'record.db'} does not exist: run `smoothvote db upgrade`",
    )  # fmt: skip
    assert look("database", database_url=f"sqlite:///{tmp_path / 'no' / 'x.db'}").detail.endswith(
        "create its folder first"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_home_that_cannot_be_a_folder_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert look("disk", home=tmp_path / "home").state == "ok"
    state, detail = look("disk", home=tmp_path / "file")
    assert state == "wrong"
    assert detail.endswith("set SMOOTHVOTE_HOME to another folder")


def test_an_image_root_that_is_not_mounted_is_wrong(tmp_path: Path) -> None:
    assert look("image_root").state == "skipped"
    assert look("image_root", image_root=tmp_path) == ("wrong", f"{tmp_path} is empty: is it mounted?")
    state, detail = look("image_root", image_root=tmp_path / "no")
    assert state == "wrong"
    assert "No such file or directory; is it mounted" in detail
    (tmp_path / "images").mkdir()
    assert look("image_root", image_root=tmp_path).state == "ok"


# -- the queue ---------------------------------------------------------------------------------------------------


def test_a_good_queue_is_shown_with_its_length_and_memory(redis_url: str) -> None:
    state, detail = look("broker", broker_url=redis_url)
    assert state == "ok"
    assert "jobs queued" in detail
    assert "MB used" in detail


def test_without_a_queue_the_one_that_run_starts_is_named() -> None:
    state, detail = look("broker")
    assert state == "ok"
    assert "redis-server" in detail


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--maxmemory-policy", "allkeys-lru"], "set `maxmemory-policy noeviction`"),
        (["--maxmemory", "100kb"], "raise `maxmemory`"),
    ],
)
def test_a_queue_that_would_lose_or_refuse_jobs_is_wrong(folder: Path, options: list[str], said: str) -> None:
    with redis_server(folder, *options) as url:
        state, detail = look("broker", broker_url=url)
    assert state == "wrong"
    assert detail.endswith(said)


def test_a_redis_that_is_too_old_is_wrong() -> None:
    said = {"redis_version": "6.0.16", "used_memory": 10**6, "maxmemory": 0, "maxmemory_policy": "noeviction"}
    assert producer.doctor.judge_redis(said, "here").state == "wrong"
    assert producer.doctor.judge_redis(said | {"redis_version": "6.2.0"}, "here").state == "ok"


def test_nobody_waits_longer_than_the_limit_for_a_host_that_does_not_answer(silent_port: int) -> None:
    began = time.monotonic()
    with ThreadPoolExecutor() as threads:
        broker = threads.submit(look, "broker", broker_url=f"redis://127.0.0.1:{silent_port}/0")
        database = threads.submit(look, "database", database_url=f"postgresql://127.0.0.1:{silent_port}/x")
        assert (broker.result().state, database.result().state) == ("wrong", "wrong")
    assert time.monotonic() - began < 17
    slow = Check("slow", lambda _: time.sleep(30) or Finding("ok", ""), 0.2)  # type: ignore[func-returns-value]
    assert examine(slow, Settings()) == ("wrong", "no answer in 0.2 s: is the host or disk that it asks up?")


def test_an_unexpected_error_is_one_line_too() -> None:
    state, detail = examine(Check("broken", lambda _: Finding("ok", str(1 // 0))), Settings())
    assert state == "wrong"
    assert "an unexpected ZeroDivisionError" in detail


# -- a worker's machine ------------------------------------------------------------------------------------------


def test_without_torch_the_checks_of_a_worker_are_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)  # what Python takes for "not installed"
    for check in (*worker.doctor.MACHINE, *producer.doctor.SLOW):
        assert examine(check, Settings()) == ("skipped", NO_TORCH)


def test_perturbations_and_smoothers_are_named_also_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    state, detail = look("perturbations")
    assert state == "ok"
    assert {"gaussian", "pgd-linf", "fog"} <= set(detail.split(", "))
    state, detail = look("smoothers")
    assert state == "ok"
    assert {"gaussian", "median", "denoiser"} <= set(detail.split(", "))


def test_a_member_that_cannot_be_imported_is_wrong_and_says_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "broken_family").mkdir()
    (tmp_path / "broken_family" / "__init__.py").touch()
    (tmp_path / "broken_family" / "mine.py").write_text("import no_such_package\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert worker.doctor.check_family(Family("broken_family", "smoother")) == (
        "wrong",
        "a smoother's file cannot be imported: No module named 'no_such_package'; mend it or remove it",
    )


def test_a_device_that_is_not_there_is_wrong() -> None:
    state, detail = look("device", device="cuda:99")
    assert state == "wrong"
    assert "cuda:99" in detail
    assert "SMOOTHVOTE_DEVICE=cpu" in detail
    assert look("device", device="cpu").state in ("ok", "warn")


def test_weights_are_looked_for_where_torch_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert look("weights").state == "warn"
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    (tmp_path / "hub" / "checkpoints" / "resnet50-0676ba61.pth").touch()
    assert look("weights").state == "ok"


# -- one image ---------------------------------------------------------------------------------------------------


def image_of(script: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Finding:
    """What the check of one image finds where a shell script stands in for `smoothvote run`."""
    python = folder / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    (image,) = producer.doctor.SLOW
    return examine(image, Settings())


def test_an_image_without_a_prediction_is_wrong_with_the_last_line_of_the_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    report = '{"levels": [{"predicted": 0}]}'
    script = f"echo '{report}'; echo loading >&2; echo 'smoothvote: 1 image failed' >&2; exit 1"
    state, detail = image_of(script, tmp_path, monkeypatch)
    assert state == "wrong"
    assert detail.startswith("`smoothvote run` gave no prediction for imagenet_")
    assert detail.endswith(": 1 image failed")
    assert image_of("exit 1", tmp_path, monkeypatch).detail.endswith(": it printed no error")


def test_an_image_that_takes_too_long_is_wrong_and_its_run_is_ended(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(producer.doctor, "IMAGE_LIMIT", 0.2)
    began = time.monotonic()
    state, detail = image_of("exec sleep 60", tmp_path, monkeypatch)
    assert state == "wrong"
    assert time.monotonic() - began < 20
    assert detail.endswith("it was not done after 0.2 s; `smoothvote demo` shows where it waits")


def test_the_run_of_one_image_touches_nothing_of_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("smoothvote_database_url", "postgresql://users/own")  # settings take either case
    monkeypatch.setenv("SMOOTHVOTE_BROKER_URL", "redis://users-own/0")
    monkeypatch.setenv("SMOOTHVOTE_MAX_PIXELS", "1000000")
    for name in ("HOME", "IMAGE_ROOT", "URL_SCHEMES", "WORKER_NAME"):
        monkeypatch.setenv(f"SMOOTHVOTE_{name}", "users-own")
    folder = tmp_path / "seen"
    folder.mkdir()
    image_of(f'env > {folder}/environment; echo "$@" > {folder}/words', tmp_path, monkeypatch)
    lines = (folder / "environment").read_text().splitlines()
    ours = dict(line.split("=", 1) for line in lines if line.upper().startswith("SMOOTHVOTE_"))
    # It has a home of its own; of the user's settings only the limits of images hold.
    assert ours.keys() == {"SMOOTHVOTE_HOME", "SMOOTHVOTE_MAX_PIXELS"}
    assert ours["SMOOTHVOTE_HOME"] != "users-own"
    assert (folder / "words").read_text().startswith("-m smoothvote run ")


# -- the command -------------------------------------------------------------------------------------------------


def call(*words: str) -> Result:
    """The command in this process, where PyTorch is imported once."""
    return CliRunner().invoke(front_door, ["doctor", *words])


def test_where_nothing_is_set_up_nothing_is_wrong_and_one_image_goes_the_whole_way(tmp_path: Path) -> None:
    # The engine that is used where none is named takes 10 s to be made; tests/test_engines.py makes it.
    said = smoothvote("doctor", cwd=tmp_path, env={"SMOOTHVOTE_ENGINE": "eager"}).stdout.splitlines()
    assert [line.split()[1] for line in said] == [*CHECKED, "image"]
    assert " " not in {line[23] for line in said}
    assert {line[7] + line[22] for line in said} == {"  "}
    assert said[-1].startswith("ok      image          1 image predicted in ")
    assert "\x1b" not in "".join(said)
    assert list(tmp_path.iterdir()) == []


def test_what_is_wrong_ends_with_1_and_no_password_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMOOTHVOTE_BROKER_URL", "redis://us:hunter2@127.0.0.1:1/0")
    monkeypatch.setenv("SMOOTHVOTE_DATABASE_URL", "postgresql://somebody:hunter2@127.0.0.1:1/nowhere?password=hunter2")
    done = call("--quick", "--format", "json")
    assert done.exit_code == 1
    said = {line["check"]: line for line in json.loads(done.stdout)}
    assert list(said) == CHECKED
    assert [name for name in said if said[name]["state"] == "wrong"] == ["database", "broker"]
    assert "is it up, and is SMOOTHVOTE_DATABASE_URL right?" in said["database"]["detail"]
    assert "is Redis up, and SMOOTHVOTE_BROKER_URL right?" in said["broker"]["detail"]
    assert "hunter2" not in done.output


@pytest.mark.parametrize("broker", ["redis://:hunter2/x@127.0.0.1:1/0", "redis://us:12/hunter2@127.0.0.1:1/0"])
def test_a_url_that_is_none_shows_nothing_of_its_password(monkeypatch: pytest.MonkeyPatch, broker: str) -> None:
    monkeypatch.setenv("SMOOTHVOTE_BROKER_URL", broker)
    monkeypatch.setenv("SMOOTHVOTE_DATABASE_URL", "hunter2")
    done = call("--quick")
    assert done.exit_code == 1
    assert "SMOOTHVOTE_BROKER_URL: must be redis://" in done.stdout
    assert "SMOOTHVOTE_DATABASE_URL is not a database URL" in done.stdout
    assert "hunter2" not in done.output


@pytest.mark.parametrize(
    "url",
    ["redis://:hunter2/x@host/0", "redis://us:12#hunter2@host/0", "redis+socket:///redis.sock?password=hunter2"],
)
def test_a_password_that_breaks_its_url_is_still_hidden(url: str) -> None:
    assert "hunter2" not in without_secrets(url)


def test_an_unknown_format_is_wrong_use() -> None:
    done = call("--format", "yaml")
    assert done.exit_code == 2
    assert "'yaml' is not one of" in done.output
