"""Settings from the environment. Everything that changes an answer is in the recipe instead."""

import os
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from db.errors import WrongUse

PREFIX = "SMOOTHVOTE_"

#: Brokers whose queue is a Redis: its length is asked.
BROKERS = ("redis", "rediss", "redis+socket", "sentinel")


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
    #: URL schemes a dataset may have. http and https must be asked for: they let a manifest choose whom a worker calls.
    url_schemes: str = "file,s3,gs,az"

    #: Larger files and images become failures instead of eating a worker.
    max_bytes: int = Field(default=64 * 2**20, gt=0)
    max_pixels: int = Field(default=64_000_000, gt=0)

    #: Most jobs on the queue at once; the rest wait in the database.
    window: int = Field(default=256, gt=0)
    #: A claimed job whose worker is silent for so many seconds is given to another.
    lease: float = Field(default=60, gt=0, allow_inf_nan=False)
    #: A job sent so many seconds ago that nobody claimed, with the queue empty, was lost on the way: it is sent again.
    lost_after: float = Field(default=30, gt=0, allow_inf_nan=False)
    #: A job that was claimed so often and never finished is split, down to the one image that does it.
    max_attempts: int = Field(default=3, gt=0)

    #: auto, cpu or cuda:N.
    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    engine: Literal["auto", "eager"] = "auto"
    #: Views per forward pass; unset: by device.
    batch_size: int | None = Field(default=None, gt=0)
    #: What a worker calls itself in the record; unset: its host.
    worker_name: str | None = None

    @field_validator("broker_url")
    @classmethod
    def _is_redis(cls, value: SecretStr | None) -> SecretStr | None:
        for url in value.get_secret_value().split(";") if value else ():
            parts = urlsplit(url)
            if parts.scheme not in BROKERS or parts.port == 0:  # .port raises ValueError for what is no number
                raise ValueError("must be redis://HOST:6379/0, rediss://…, redis+socket:///FILE or sentinel://…")
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
        return self.broker_url.get_secret_value()

    @property
    def schemes(self) -> frozenset[str]:
        """URL schemes that a dataset may have."""
        return frozenset(part.strip().lower() for part in self.url_schemes.split(",") if part.strip())


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
