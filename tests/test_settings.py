import os
from pathlib import Path
from typing import Any

import pytest

from db.errors import WRONG_USE, WrongUse
from db.settings import Settings, load_settings

SECRET = "hunter2"


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.upper().startswith("SMOOTHVOTE_")]:
        monkeypatch.delenv(name)


def refusal() -> str:
    with pytest.raises(WrongUse) as caught:
        load_settings()
    assert caught.value.exit_code == WRONG_USE
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_nothing_need_be_set() -> None:
    assert load_settings().model_dump() == {
        "database_url": None,
        "broker_url": None,
        "home": Path(".smoothvote"),
        "image_root": None,
        "url_schemes": "file,s3,gs,az",
        "max_bytes": 67_108_864,
        "max_pixels": 64_000_000,
        "window": 256,
        "lease": 60.0,
        "lost_after": 30.0,
        "max_attempts": 3,
        "device": "auto",
        "engine": "auto",
        "batch_size": None,
        "worker_name": None,
    }


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("HOME", "/state", Path("/state")),
        ("IMAGE_ROOT", "/images", Path("/images")),
        ("URL_SCHEMES", "file,memory", "file,memory"),
        ("MAX_BYTES", "1000", 1000),
        ("MAX_PIXELS", "2000", 2000),
        ("WINDOW", "7", 7),
        ("LEASE", "1.5", 1.5),
        ("LOST_AFTER", "2.5", 2.5),
        ("MAX_ATTEMPTS", "1", 1),
        ("DEVICE", "cpu", "cpu"),
        ("DEVICE", "cuda", "cuda"),
        ("DEVICE", "cuda:11", "cuda:11"),
        ("ENGINE", "eager", "eager"),
        ("BATCH_SIZE", "32", 32),
        ("WORKER_NAME", "ada", "ada"),
    ],
)
def test_a_variable_sets_its_field(monkeypatch: pytest.MonkeyPatch, name: str, text: str, value: Any) -> None:
    monkeypatch.setenv(f"SMOOTHVOTE_{name}", text)
    settings = load_settings()
    assert getattr(settings, name.lower()) == value
    # And no other.
    assert settings.model_dump(exclude={name.lower()}) == Settings.model_construct().model_dump(exclude={name.lower()})


def test_an_empty_variable_is_an_unset_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "BROKER_URL", "IMAGE_ROOT", "BATCH_SIZE", "DEVICE", "WINDOW"):
        monkeypatch.setenv(f"SMOOTHVOTE_{name}", "")
    assert load_settings() == Settings.model_construct()


def test_variables_of_other_programs_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WINDOW", "1")
    monkeypatch.setenv("DATABASE_URL", "postgres://elsewhere")
    assert load_settings().window == 256
    assert load_settings().database_url is None


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("MAX_BYTES", "0"),
        ("MAX_BYTES", "64MB"),
        ("MAX_PIXELS", "-1"),
        ("WINDOW", "0"),
        ("WINDOW", "many"),
        ("LEASE", "0"),
        ("LEASE", "nan"),
        ("LOST_AFTER", "-3"),
        ("MAX_ATTEMPTS", "0"),
        ("DEVICE", "gpu"),
        ("DEVICE", "cuda:x"),
        ("ENGINE", "magic"),
        ("BATCH_SIZE", "0"),
        ("BATCH_SIZE", "1.5"),
    ],
)
def test_a_wrong_value_is_one_line_with_the_variable(monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> None:
    monkeypatch.setenv(f"SMOOTHVOTE_{name}", text)
    message = refusal()
    assert message.startswith(f"SMOOTHVOTE_{name}: ")
    assert message.endswith(f" (it is {text!r})")


def test_a_wrong_choice_is_told_the_right_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMOOTHVOTE_ENGINE", "magic")
    assert "'auto' or 'eager'" in refusal()


def test_a_wrong_number_is_told_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMOOTHVOTE_WINDOW", "0")
    assert "should be greater than 0" in refusal()


# -- where things are --------------------------------------------------------------------------------------------


def test_the_embedded_database_is_in_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMOOTHVOTE_HOME", str(tmp_path / "state"))
    settings = load_settings()
    assert settings.embedded_database
    assert settings.database == f"{tmp_path}/state/smoothvote.db"


def test_the_embedded_databases_path_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_settings().database == f"{Path.cwd()}/.smoothvote/smoothvote.db"


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("postgres://u:p@h:5/d?sslmode=require", "postgresql+psycopg://u:p@h:5/d?sslmode=require"),
        ("postgresql://u:p@h/d", "postgresql+psycopg://u:p@h/d"),
        ("postgresql+psycopg://u:p@h/d", "postgresql+psycopg://u:p@h/d"),
        ("sqlite:////data/x.db", "sqlite:////data/x.db"),
        ("postgres://u:postgres://@h/d", "postgresql+psycopg://u:postgres://@h/d"),
    ],
)
def test_a_postgres_url_names_the_driver(monkeypatch: pytest.MonkeyPatch, given: str, used: str) -> None:
    monkeypatch.setenv("SMOOTHVOTE_DATABASE_URL", given)
    settings = load_settings()
    assert settings.database == used
    assert not settings.embedded_database


def test_the_broker_is_the_one_that_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMOOTHVOTE_BROKER_URL", "redis://h:1/2")
    assert load_settings().broker == "redis://h:1/2"


def test_without_a_broker_both_remedies_are_named() -> None:
    with pytest.raises(WrongUse) as caught:
        _ = load_settings().broker
    message = str(caught.value)
    assert "SMOOTHVOTE_BROKER_URL=redis://HOST:6379/0" in message
    assert "smoothvote run" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("text", "schemes"),
    [
        ("file,s3,gs,az", {"file", "s3", "gs", "az"}),
        (" S3 , https,,", {"s3", "https"}),
        (",", set()),
    ],
)
def test_schemes_are_names_between_commas(monkeypatch: pytest.MonkeyPatch, text: str, schemes: set[str]) -> None:
    monkeypatch.setenv("SMOOTHVOTE_URL_SCHEMES", text)
    assert load_settings().schemes == schemes


def test_http_must_be_asked_for() -> None:
    assert load_settings().schemes == {"file", "s3", "gs", "az"}


# -- secrets -----------------------------------------------------------------------------------------------------


def test_a_secret_is_shown_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMOOTHVOTE_DATABASE_URL", f"postgres://u:{SECRET}@h/d")
    monkeypatch.setenv("SMOOTHVOTE_BROKER_URL", f"redis://:{SECRET}@h/0")
    settings = load_settings()
    # Both are kept once asked for, and must not show up then either.
    assert SECRET in settings.database
    assert SECRET in settings.broker
    for shown in (repr(settings), str(settings), f"{settings}", str(settings.model_dump()), settings.model_dump_json()):
        assert SECRET not in shown
        assert "**********" in shown


def test_a_secret_is_in_no_other_variables_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMOOTHVOTE_DATABASE_URL", f"postgres://u:{SECRET}@h/d")
    monkeypatch.setenv("SMOOTHVOTE_BROKER_URL", f"redis://:{SECRET}@h/0")
    monkeypatch.setenv("SMOOTHVOTE_WINDOW", "0")
    with pytest.raises(WrongUse) as caught:
        load_settings()
    assert SECRET not in str(caught.value)
    # pydantic's own error holds every input; it is not to be printed along as the cause.
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_settings_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_settings().window = 1
