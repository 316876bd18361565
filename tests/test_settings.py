"""Settings: what each environment variable sets, what is refused, and that passwords are never shown."""

from pathlib import Path
from typing import Any

import pytest

from db.errors import WRONG_USE, WrongUse
from db.settings import Settings, load_settings, shown_url

SECRET = "hunter2"


def refusal() -> str:
    with pytest.raises(WrongUse) as caught:
        load_settings()
    assert caught.value.exit_code == WRONG_USE
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_every_setting_has_a_default() -> None:
    assert load_settings().model_dump() == {
        "database_url": None,
        "broker_url": None,
        "home": Path(".smoothvote"),
        "image_root": None,
        "url_schemes": "file",
        "http_hosts": None,
        "max_bytes": 67_108_864,
        "max_pixels": 64_000_000,
        "max_side": 20_000,
        "window": 256,
        "lease": 60.0,
        "lost_after": 30.0,
        "max_attempts": 3,
        "stall": 300.0,
        "grace": 25.0,
        "device": "auto",
        "engine": "auto",
        "batch_size": None,
        "worker_name": None,
        "log_format": "text",
        "metrics_port": None,
        "metrics_host": "127.0.0.1",
    }


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("HOME", "/state", Path("/state")),
        ("IMAGE_ROOT", "/images", Path("/images")),
        ("URL_SCHEMES", "file,memory", "file,memory"),
        ("MAX_BYTES", "1000", 1000),
        ("MAX_PIXELS", "2000", 2000),
        ("MAX_SIDE", "30", 30),
        ("HTTP_HOSTS", "a.org,b.org:81", "a.org,b.org:81"),
        ("WINDOW", "7", 7),
        ("LEASE", "1.5", 1.5),
        ("LOST_AFTER", "2.5", 2.5),
        ("MAX_ATTEMPTS", "1", 1),
        ("STALL", "20", 20.0),
        ("GRACE", "5.5", 5.5),
        ("DEVICE", "cpu", "cpu"),
        ("DEVICE", "cuda", "cuda"),
        ("DEVICE", "cuda:11", "cuda:11"),
        ("ENGINE", "eager", "eager"),
        ("BATCH_SIZE", "32", 32),
        ("WORKER_NAME", "ada", "ada"),
        ("LOG_FORMAT", "json", "json"),
        ("METRICS_PORT", "9108", 9108),
        ("METRICS_HOST", "0.0.0.0", "0.0.0.0"),
    ],
)
def test_a_variable_sets_its_field_and_no_other(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, value: Any
) -> None:
    monkeypatch.setenv(f"SMOOTHVOTE_{name}", text)
    settings = load_settings()
    assert getattr(settings, name.lower()) == value
    assert settings.model_dump(exclude={name.lower()}) == Settings.model_construct().model_dump(exclude={name.lower()})


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
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
        ("MAX_SIDE", "0"),
        ("WINDOW", "0"),
        ("WINDOW", "many"),
        ("LEASE", "0"),
        ("LEASE", "nan"),
        ("LOST_AFTER", "-3"),
        ("MAX_ATTEMPTS", "0"),
        ("STALL", "0"),
        ("GRACE", "inf"),
        ("DEVICE", "gpu"),
        ("DEVICE", "cuda:x"),
        ("ENGINE", "magic"),
        ("BATCH_SIZE", "0"),
        ("BATCH_SIZE", "1.5"),
        ("LOG_FORMAT", "xml"),
        ("METRICS_PORT", "0"),
        ("METRICS_PORT", "65536"),
    ],
)
def test_an_error_names_the_variable_and_its_value_in_one_line(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    monkeypatch.setenv(f"SMOOTHVOTE_{name}", text)
    message = refusal()
    assert message.startswith(f"SMOOTHVOTE_{name}: ")
    assert message.endswith(f" (it is {text!r})")


def test_an_error_names_the_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMOOTHVOTE_ENGINE", "magic")
    assert "'openvino', 'compile' or 'graph'" in refusal()


def test_an_error_names_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMOOTHVOTE_WINDOW", "0")
    assert "should be greater than 0" in refusal()


# -- locations -----------------------------------------------------------------------------------------------------


def test_the_embedded_database_is_in_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_a_postgres_url_gets_the_name_of_the_driver(monkeypatch: pytest.MonkeyPatch, given: str, used: str) -> None:
    monkeypatch.setenv("SMOOTHVOTE_DATABASE_URL", given)
    settings = load_settings()
    assert settings.database == used
    assert not settings.embedded_database


def test_the_broker_url_is_the_one_that_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMOOTHVOTE_BROKER_URL", "redis://h:1/2")
    assert load_settings().broker == "redis://h:1/2"


def test_without_a_broker_the_error_names_both_remedies() -> None:
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
def test_schemes_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch, text: str, schemes: set[str]) -> None:
    monkeypatch.setenv("SMOOTHVOTE_URL_SCHEMES", text)
    assert load_settings().schemes == schemes


def test_only_files_are_allowed_by_default() -> None:
    assert load_settings().schemes == {"file"}


def url_refusal(url: str, **given: Any) -> str:
    with pytest.raises(WrongUse) as caught:
        load_settings(**given).check_url(url)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("url", "remedy"),
    [
        ("s3://bucket/images", "SMOOTHVOTE_URL_SCHEMES=file,s3 allows them"),
        ("memory://images", "SMOOTHVOTE_URL_SCHEMES=file,memory allows them"),
        ("HTTP://h/images", "SMOOTHVOTE_URL_SCHEMES=file,http and SMOOTHVOTE_HTTP_HOSTS=HOST allow them"),
        ("simplecache::s3://bucket/images", "a URL with :: is not allowed"),
        ("file://a::http://example.org/b.zip", "a URL with :: is not allowed"),
    ],
)
def test_a_url_that_is_not_allowed_is_refused_with_the_remedy(url: str, remedy: str) -> None:
    assert remedy in url_refusal(url)


WEB = {"url_schemes": "http,https", "http_hosts": "Images.Example.org, b.org:8080,127.0.0.1:81, c.org:443"}


@pytest.mark.parametrize(
    "url",
    [
        "http://images.example.org/val",
        "https://IMAGES.example.ORG",
        "http://images.example.org:8080/val/m.csv",  # a host without a port allows all its ports
        "http://b.org:8080/val",
        "http://127.0.0.1:81/",
        "https://c.org/",
    ],
)
def test_http_may_call_listed_hosts(url: str) -> None:
    load_settings(**WEB).check_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/",
        "http://a.images.example.org/",
        "http://images.example.org.evil.org/",
        "http://images.example.org./",
        "http://b.org/",
        "http://b.org:81/",
        "http://127.0.0.1/",
        "http://127.1:81/",
        "http://c.org/",
        "http://[0:0:0:0:0:0:0:1]:81/",
        # In each of these, two URL parsers may find two different hosts.
        "http://images.example.org\\@evil.org/",
        "http://evil.org#images.example.org/",
        "http://evil.org?images.example.org/",
        "http://images.example.org@evil.org/",
        "http://images.example.org:80@evil.org/",
        "http://images.example.org:/",
        "http://images.example.org\t.evil.org/",
        "http:///images.example.org/",
        "http://images。example.org/",
    ],
)
def test_http_may_call_no_other_host(url: str) -> None:
    assert url_refusal(url, **WEB)


def test_an_unlisted_host_is_refused_with_the_remedy() -> None:
    assert "SMOOTHVOTE_HTTP_HOSTS=example.org allows it" in url_refusal("http://example.org:9/x", url_schemes="http")


@pytest.mark.parametrize(
    "url",
    [
        f"http://ada:{SECRET}@images.example.org/val",
        f"http://{SECRET}@images.example.org/val",
        f"http://ada:a/{SECRET}@images.example.org/val",
        f"http://images.example.org/val?token={SECRET}",
        f"s3://ada:{SECRET}@bucket/val",
        f"sftp://ada:{SECRET}@images.example.org/val",
        f"simplecache::sftp://ada:{SECRET}@images.example.org/val",
    ],
)
def test_a_secret_in_a_url_is_refused_and_not_repeated(url: str) -> None:
    for schemes in ("file", "file,http,s3,sftp"):
        assert SECRET not in url_refusal(url, url_schemes=schemes, http_hosts="images.example.org")
        assert SECRET not in shown_url(url)


@pytest.mark.parametrize("url", ["abfs://container@account.dfs.core.windows.net/val", "s3://bucket/a@b/val"])
def test_an_at_sign_that_separates_no_user_is_allowed(url: str) -> None:
    load_settings(url_schemes="abfs,s3").check_url(url)


# -- passwords -----------------------------------------------------------------------------------------------------


def test_settings_never_show_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMOOTHVOTE_DATABASE_URL", f"postgres://u:{SECRET}@h/d")
    monkeypatch.setenv("SMOOTHVOTE_BROKER_URL", f"redis://:{SECRET}@h/0")
    settings = load_settings()
    # Pydantic keeps values that were read, and must not show them either.
    assert SECRET in settings.database
    assert SECRET in settings.broker
    for shown in (repr(settings), str(settings), f"{settings}", str(settings.model_dump()), settings.model_dump_json()):
        assert SECRET not in shown
        assert "**********" in shown


def test_an_error_about_one_variable_shows_no_password_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMOOTHVOTE_DATABASE_URL", f"postgres://u:{SECRET}@h/d")
    monkeypatch.setenv("SMOOTHVOTE_BROKER_URL", f"redis://:{SECRET}@h/0")
    monkeypatch.setenv("SMOOTHVOTE_WINDOW", "0")
    with pytest.raises(WrongUse) as caught:
        load_settings()
    assert SECRET not in str(caught.value)
    # Pydantic's error holds all inputs, so it must not be printed as the cause.
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_settings().window = 1


@pytest.mark.parametrize(
    "url",
    [
        "redis://us:12/hunter2@host/0", "redis://:hunter2@host:port/0", "redis://:hun/ter2@host", "redis://:hunter2@[::1/0",
        "sentinel://:hunter2@host:26379", "rediss://h/0;redis://:hunter2@host/zero",
    ],
)  # fmt: skip
def test_an_unusable_broker_url_is_refused_without_showing_its_password(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("SMOOTHVOTE_BROKER_URL", url)
    with pytest.raises(WrongUse, match="SMOOTHVOTE_BROKER_URL: must be redis://HOST:6379/0") as raised:
        load_settings()
    assert "hun" not in str(raised.value)
