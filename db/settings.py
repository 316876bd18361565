"""Settings, read from environment variables. What changes an answer is in the recipe (db/recipe.py) instead."""

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

#: The URL schemes of a Redis: over TCP, over TLS, and on a unix socket.
BROKERS = ("redis", "rediss", "redis+socket")


class Settings(BaseSettings):
    """One field per environment variable, named SMOOTHVOTE_ and the field's name: docs/reference/settings.md."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, frozen=True)

    #: URL of the database. Unset: a SQLite file in ``home``.
    database_url: SecretStr | None = None
    #: URL of the Redis that holds the queue. Unset: ``smoothvote run`` starts one in ``home``.
    broker_url: SecretStr | None = None
    #: Folder of the embedded database, its Redis and logs, and of the models that a worker converted.
    home: Path = Path(".smoothvote")
    #: Folder that holds every dataset. The record keeps paths relative to it, so each machine may mount it elsewhere.
    image_root: Path | None = None
    #: URL schemes that a dataset may have. A URL decides which server a worker calls, so all but files must be allowed.
    url_schemes: str = "file"
    #: Hosts, as HOST or HOST:PORT between commas, that an http or https URL may name. Unset: none.
    http_hosts: str | None = None

    #: An image file with more bytes, an image with more pixels or with a longer side becomes a failure.
    max_bytes: int = Field(default=64 * 2**20, gt=0)
    max_pixels: int = Field(default=64_000_000, gt=0)
    max_side: int = Field(default=20_000, gt=0)

    #: Largest number of jobs on the queue at once; the others wait in the database.
    window: int = Field(default=256, gt=0)
    #: Seconds without a sign of life after which a worker's job goes to another worker.
    lease: float = Field(default=60, gt=0, allow_inf_nan=False)
    #: Seconds after which a job that nobody claimed, and that is no longer on the queue, is sent again.
    lost_after: float = Field(default=30, gt=0, allow_inf_nan=False)
    #: Unfinished attempts after which a job is split, down to the single image that ends its workers.
    max_attempts: int = Field(default=3, gt=0)
    #: Seconds that one image, or one batch, may take before its worker process is ended as hung.
    stall: float = Field(default=300, gt=0, allow_inf_nan=False)
    #: Seconds that a worker that was told to stop has to finish the jobs that it computes; then it hands them back.
    grace: float = Field(default=25, gt=0, allow_inf_nan=False)

    #: auto, cpu or cuda:N.
    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    #: How the model is run. auto chooses the fastest engine for the device (docs/explanation/performance.md).
    engine: Literal["auto", "eager", "openvino", "compile", "graph"] = "auto"
    #: Largest number of views in a forward pass. Unset: chosen by device.
    batch_size: int | None = Field(default=None, gt=0)
    #: Name of this machine's workers in the record. Unset: the host's name.
    worker_name: str | None = None

    #: How workers and dispatchers log: lines of text, or one JSON object a line.
    log_format: Literal["text", "json"] = "text"
    #: Port at which a worker or dispatcher tells Prometheus its metrics, and probes whether it is ready; each further
    #: process of a worker takes the next port. Unset: none.
    metrics_port: int | None = Field(default=None, ge=1, le=65535)
    #: Address at which it listens. By default only this machine reaches it.
    metrics_host: str = "127.0.0.1"

    @field_validator("broker_url")
    @classmethod
    def _is_redis(cls, value: SecretStr | None) -> SecretStr | None:
        for url in value.get_secret_value().split(";") if value else ():
            if not _names_a_redis(url):
                raise ValueError(
                    "must be redis://HOST:6379/0, rediss://… or redis+socket:///FILE; in a password write / as %2F and @ as %40"
                )
        return value

    @field_validator("home", "image_root")
    @classmethod
    def _at_home(cls, value: Path | None) -> Path | None:
        return value and Path(os.path.expanduser(value))

    @property
    def database(self) -> str:
        """The database's URL with its password, so it must not be printed. For the embedded database: its file."""
        if self.database_url is None:
            return str(self.home.absolute() / "smoothvote.db")
        url = self.database_url.get_secret_value()
        for scheme in ("postgres://", "postgresql://"):
            if url.startswith(scheme):
                return "postgresql+psycopg://" + url.removeprefix(scheme)
        return url

    @property
    def embedded_database(self) -> bool:
        """Whether the database is the SQLite file in ``home``."""
        return self.database_url is None

    @property
    def broker(self) -> str:
        """The queue's URL with its password, so it must not be printed.

        Raises:
            WrongUse: if no URL is set.
        """
        if self.broker_url is None:
            raise WrongUse(
                "no queue is set: export SMOOTHVOTE_BROKER_URL=redis://HOST:6379/0, "
                "or use a command that starts its own: `smoothvote run`, or `certify` or `sweep` without --submit"
            )
        # By default Redis's client accepts any certificate, and would send the password to any server that answers.
        return ";".join(
            f"{url}{'&' if '?' in url else '?'}ssl_cert_reqs=required"
            if url.startswith("rediss://") and "ssl_cert_reqs" not in url
            else url
            for url in self.broker_url.get_secret_value().split(";")
        )

    @property
    def schemes(self) -> frozenset[str]:
        """The URL schemes that a dataset may have."""
        return _parts(self.url_schemes)

    def check_url(self, url: str) -> None:
        """Checks that this machine may open a URL. Producers check what a person named, workers what the record names.

        Raises:
            WrongUse: if it may not, naming the settings that allow it.
        """
        shown, scheme = shown_url(url), url.partition("://")[0].lower()
        if "::" in url:
            # fsspec reads a::b as file system a inside b, and calls b: checking the first scheme would not be enough.
            raise WrongUse(f"{shown}: a URL with :: is not allowed: give the URL of the folder or manifest itself")
        if scheme not in self.schemes:
            more = " and SMOOTHVOTE_HTTP_HOSTS=HOST allow them" if is_http(url) else " allows them"
            wanted = f"{self.url_schemes},{scheme}".lstrip(",")
            raise WrongUse(f"{shown}: {scheme} URLs are not allowed here: SMOOTHVOTE_URL_SCHEMES={wanted}{more}")
        if re.match(r"[^/]*//[^/]*:.*@", url):
            raise WrongUse(
                f"{shown}: the record keeps URLs, so a URL must hold no password: give it to the client by environment variables"
            )
        if is_http(url):
            named = HTTP_URL.fullmatch(url)
            if named is None:
                raise WrongUse(f"{shown}: must be {scheme}://HOST[:PORT]/PATH, without user, ? or #")
            host = named["host"].lower()
            port = named["port"] or {"http": "80", "https": "443"}[scheme]
            if not _parts(self.http_hosts or "") & {host, f"{host}:{port}"}:
                raise WrongUse(f"{shown}: {host} is not allowed here: SMOOTHVOTE_HTTP_HOSTS={host} allows it")


#: A strict pattern instead of a URL parser. Two parsers may find different hosts in one URL: then the host that is
#: checked is not the host that is called.
HTTP_URL = re.compile(r"https?://(?P<host>[a-z0-9._-]+)(:(?P<port>[1-9][0-9]{0,4}))?(/[^?#]*)?", re.I | re.A)


def is_http(url: str) -> bool:
    """Whether a URL has the scheme http or https."""
    return url.lower().startswith(("http://", "https://"))


def shown_url(url: str) -> str:
    """A URL without its user, password and query, which may hold a token: safe to print."""
    return re.sub(r"//([^/]*@|[^/]*:.*@)", "//***@", url).partition("?")[0]


def url_options(url: str) -> dict[str, Any]:
    """fsspec's options for a URL that was checked: no redirects, which could lead from an allowed host to any other."""
    return {"allow_redirects": False, "client_kwargs": {"raise_for_status": _check_answer}} if is_http(url) else {}


async def _check_answer(response: Any) -> None:
    # aiohttp calls this for every answer of a server.
    if 300 <= response.status < 400:
        url = shown_url(str(response.url))
        raise WrongUse(f"{url}: its server redirects, and redirects are not followed: give the URL that it leads to")
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
    except ValueError:  # not raised on: its message may quote the password
        return False
    # The path is the number of a database. Anything else is the rest of a password that has an unescaped slash.
    number = parts.scheme == "redis+socket" or re.fullmatch(r"(/\d*)?", parts.path)
    return parts.scheme in BROKERS and port != 0 and bool(number)


def load_settings(**given: Any) -> Settings:
    """The settings of this process: what is given here, and the environment variables for the rest.

    Raises:
        WrongUse: if a value is unusable, naming its variable.
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
