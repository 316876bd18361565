"""Settings from the environment. Everything that changes an answer is in the recipe instead."""

import errno
import os
import re
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from db.errors import WrongUse

PREFIX = "SMOOTHVOTE_"

#: Brokers whose queue is a Redis: its length is asked.
BROKERS = ("redis", "rediss", "redis+socket")


class Settings(BaseSettings):
    """One field an environment variable: SMOOTHVOTE_ and the field's name. README.md holds the table."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, frozen=True)

    #: Where the record is. Unset: SQLite in ``home``.
    database_url: SecretStr | None = None
    #: Where the queue is. Unset: ``run`` starts a Redis of its own in ``home``.
    broker_url: SecretStr | None = None
    #: Folder of the embedded database, Redis and logs.
    home: Path = Path(".smoothvote")
    #: Folder that holds every dataset; roots are stored relative to it, so that machines may mount it anywhere.
    image_root: Path | None = None
    #: URL schemes a dataset may have. All but files must be asked for: a URL says whom a worker calls, with its keys.
    url_schemes: str = "file"
    #: Hosts, as HOST or HOST:PORT, that an http or https URL may name; unset: none.
    http_hosts: str | None = None

    #: Larger files and images become failures instead of eating a worker.
    max_bytes: int = Field(default=64 * 2**20, gt=0)
    max_pixels: int = Field(default=64_000_000, gt=0)
    max_side: int = Field(default=20_000, gt=0)

    #: Most jobs on the queue at once; the rest wait in the database.
    window: int = Field(default=256, gt=0)
    #: A claimed job whose worker is silent for so many seconds is given to another.
    lease: float = Field(default=60, gt=0, allow_inf_nan=False)
    #: A job sent so many seconds ago that nobody claimed, and that is not on the queue, was lost: it is sent again.
    lost_after: float = Field(default=30, gt=0, allow_inf_nan=False)
    #: A job that was claimed so often and never finished is split, down to the one image that does it.
    max_attempts: int = Field(default=3, gt=0)
    #: A worker's process that spends so many seconds on one image, or one batch, hangs: it is ended, as by a crash.
    stall: float = Field(default=300, gt=0, allow_inf_nan=False)
    #: A worker told to stop has so many seconds for the job in hand; then it hands it back.
    grace: float = Field(default=25, gt=0, allow_inf_nan=False)

    #: auto, cpu or cuda:N.
    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    #: How the model is run: auto is the fastest for the device (docs/explanation/performance.md).
    engine: Literal["auto", "eager", "openvino", "compile"] = "auto"
    #: Views per forward pass, at most; unset: by device.
    batch_size: int | None = Field(default=None, gt=0)
    #: What a worker calls itself in the record; unset: its host.
    worker_name: str | None = None

    @field_validator("broker_url")
    @classmethod
    def _is_redis(cls, value: SecretStr | None) -> SecretStr | None:
        for url in value.get_secret_value().split(";") if value else ():
            if not _names_a_redis(url):
                raise ValueError(
                    "must be redis://HOST:6379/0, rediss://… or redis+socket:///FILE, a password's / and @ as %2F and %40"
                )
        return value

    @field_validator("home", "image_root")
    @classmethod
    def _at_home(cls, value: Path | None) -> Path | None:
        return value and Path(os.path.expanduser(value))

    @property
    def database(self) -> str:
        """The database's URL, secrets included: never to be printed. Of the embedded one: its file."""
        if self.database_url is None:
            return str(self.home.absolute() / "smoothvote.db")
        url = self.database_url.get_secret_value()
        for scheme in ("postgres://", "postgresql://"):
            if url.startswith(scheme):
                return "postgresql+psycopg://" + url.removeprefix(scheme)
        return url

    @property
    def embedded_database(self) -> bool:
        """Whether the database is the one in ``home``."""
        return self.database_url is None

    @property
    def broker(self) -> str:
        """The broker's URL, secrets included: never to be printed.

        Raises:
            WrongUse: if none is set.
        """
        if self.broker_url is None:
            raise WrongUse(
                "no queue is set: export SMOOTHVOTE_BROKER_URL=redis://HOST:6379/0, "
                "or let `smoothvote run` bring its own"
            )
        # Redis's client checks no certificate unless it is told to, and the password goes to whoever answers.
        return ";".join(
            f"{url}{'&' if '?' in url else '?'}ssl_cert_reqs=required"
            if url.startswith("rediss://") and "ssl_cert_reqs" not in url
            else url
            for url in self.broker_url.get_secret_value().split(";")
        )

    @property
    def schemes(self) -> frozenset[str]:
        """URL schemes that a dataset may have."""
        return _parts(self.url_schemes)

    def check_url(self, url: str) -> None:
        """Whether this machine may open a URL: asked by producers of what a person named, by workers of the record.

        Raises:
            WrongUse: if it may not, naming the settings that would allow it.
        """
        shown, scheme = shown_url(url), url.partition("://")[0].lower()
        if "::" in url:
            # fsspec reads it as one file system inside of another: it is the last that is called.
            raise WrongUse(f"{shown}: a URL with :: is not allowed: name the folder or manifest itself")
        if scheme not in self.schemes:
            more = " and SMOOTHVOTE_HTTP_HOSTS=HOST allow them" if is_http(url) else " allows them"
            wanted = f"{self.url_schemes},{scheme}".lstrip(",")
            raise WrongUse(f"{shown}: {scheme} URLs are not allowed here: SMOOTHVOTE_URL_SCHEMES={wanted}{more}")
        if re.match(r"[^/]*//[^/]*:.*@", url):
            raise WrongUse(f"{shown}: no password belongs in a URL, which is kept in the record: give it to its client")
        if is_http(url):
            named = HTTP_URL.fullmatch(url)
            if named is None:
                raise WrongUse(f"{shown}: must be {scheme}://HOST[:PORT]/PATH, with no user, ? or # in it")
            host = named["host"].lower()
            port = named["port"] or {"http": "80", "https": "443"}[scheme]
            if not _parts(self.http_hosts or "") & {host, f"{host}:{port}"}:
                raise WrongUse(f"{shown}: {host} is not allowed here: SMOOTHVOTE_HTTP_HOSTS={host} allows it")


#: Read strictly and by nothing cleverer: where two parsers differ, one checks this host and the other calls that one.
HTTP_URL = re.compile(r"https?://(?P<host>[a-z0-9._-]+)(:(?P<port>[1-9][0-9]{0,4}))?(/[^?#]*)?", re.I | re.A)


def is_http(url: str) -> bool:
    """Whether a URL is http's or https's."""
    return url.lower().startswith(("http://", "https://"))


def shown_url(url: str) -> str:
    """A URL as it may be printed: no user or password, and no query, where tokens are."""
    return re.sub(r"//([^/]*@|[^/]*:.*@)", "//***@", url).partition("?")[0]


def url_options(url: str) -> dict[str, Any]:
    """What fsspec must be told with a URL that was checked, or an allowed server could send it anywhere."""
    return {"allow_redirects": False, "client_kwargs": {"raise_for_status": _check_answer}} if is_http(url) else {}


async def _check_answer(response: Any) -> None:
    if 300 <= response.status < 400:
        url = shown_url(str(response.url))
        raise WrongUse(f"{url}: its server sends elsewhere, which is not followed: name where the images are")
    if response.status in (401, 403):
        raise PermissionError(errno.EACCES, f"HTTP {response.status}")
    if response.status in (404, 410):
        raise FileNotFoundError(errno.ENOENT, f"HTTP {response.status}")
    response.raise_for_status()


def _parts(text: str) -> frozenset[str]:
    return frozenset(part.strip().lower() for part in text.split(",") if part.strip())


def _names_a_redis(url: str) -> bool:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # whose message may quote the password
        return False
    # What stands behind the host is the number of a database, or the rest of a password with a / in it.
    number = parts.scheme == "redis+socket" or re.fullmatch(r"(/\d*)?", parts.path)
    return parts.scheme in BROKERS and port != 0 and bool(number)


def load_settings(**given: Any) -> Settings:
    """Settings of this process: what is given here, then the environment's.

    Raises:
        WrongUse: naming the variable that is not usable.
    """
    try:
        return Settings(**given)
    except ValidationError as error:
        line = error.errors()[0]
        name = PREFIX + str(line["loc"][0]).upper()
        shown = "" if name.endswith("_URL") else f" (it is {line['input']!r})"
        told = line["msg"].removeprefix("Value error, ")
        said = "must be auto, cpu or cuda:N" if name.endswith("_DEVICE") else told[0].lower() + told[1:]
        raise WrongUse(f"{name}: {said}{shown}") from None
