import gc
import itertools
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from commands import MODELS
from servers import package_folder, postgres_server, redis_server
from sqlalchemy import Engine, create_engine, make_url, text

from db.migrations import upgrade
from db.session import connect, open_engine
from db.settings import PREFIX, Settings

if TYPE_CHECKING:
    from place import Place
    from starlette.testclient import TestClient

numbers = itertools.count()

# As long as tests are collected, Python would look for garbage in all imports again and again.
gc.disable()

# Files of tests are in memory, where it has room: on the disk of a virtual machine a new file may take .6 ms, and a
# copy of an empty PostgreSQL database, which is 300 files, .2 s.
MEMORY = Path("/dev/shm")
if "TMPDIR" not in os.environ and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > 4 << 30:
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", f"{tempfile.gettempdir()}/torchinductor-tests")  # stays on disk
    os.environ["TMPDIR"] = str(MEMORY)
    tempfile.tempdir = None  # it is looked up again

# Threads of PyTorch that have nothing to do sleep. By default each spins for a while, on a core that another test
# needs. Read as torch is imported, here and in each process that a test starts.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

#: The files that take longest. `make test` starts them first, so that none is left to one process alone at the end.
#: Files that mostly wait alternate with files that mostly compute.
LONG = (
    "test_faults", "test_engines", "test_queue", "test_run", "test_crashes", "test_pages", "test_stopping",
    "test_readme", "test_outage", "test_doctor", "test_fuzz", "test_memory",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: LONG.index(item.path.stem) if item.path.stem in LONG else len(LONG))


#: How many modules are left out of garbage collection.
frozen = 0


def pytest_runtest_setup() -> None:
    """What was imported until now is left out of garbage collection, which took 40 % of the time of many tests."""
    global frozen
    if len(sys.modules) > frozen + 50:
        gc.collect()
        gc.freeze()
        gc.enable()
        frozen = len(sys.modules)


@pytest.fixture(autouse=True)
def clean_environment() -> Iterator[None]:
    """Tests see no settings of the shell that runs them, nor those that a command set in this process."""
    before = dict(os.environ)
    for name in before:
        if name.startswith(PREFIX) and not name.startswith(f"{PREFIX}TEST_"):
            del os.environ[name]
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="session")
def short_folder() -> Iterator[Path]:
    """A folder whose path leaves room for a socket's name."""
    folder = Path(tempfile.mkdtemp(prefix="pytest-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def converted_models(tmp_path_factory: pytest.TempPathFactory) -> None:
    """One folder of converted models for all processes of a test session: see commands.share_models."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    os.environ[MODELS] = str(shared / "engines")


@pytest.fixture(scope="session")
def redis_url(short_folder: Path) -> Iterator[str]:
    """A real Redis: the one at SMOOTHVOTE_TEST_BROKER_URL, else a new one."""
    if given := os.environ.get("SMOOTHVOTE_TEST_BROKER_URL"):
        yield given
        return
    folder = short_folder / "redis"
    folder.mkdir()
    with redis_server(folder) as url:
        yield url


@pytest.fixture(scope="session")
def postgres_url(short_folder: Path) -> Iterator[str]:
    """A real PostgreSQL: the one at SMOOTHVOTE_TEST_DATABASE_URL, else a new one."""
    if given := os.environ.get("SMOOTHVOTE_TEST_DATABASE_URL"):
        yield given
        return
    folder = short_folder / "postgres"
    folder.mkdir()
    with postgres_server(folder) as url:
        yield url


@contextmanager
def databases(postgres_url: str) -> Iterator[Callable[..., str]]:
    """Makes databases, empty or as copies of another; gives their URLs, and drops them at the end."""
    server = create_engine(make_url(postgres_url), isolation_level="AUTOCOMMIT")
    made: list[str] = []

    def make(template: str = "template1") -> str:
        made.append(f"smoothvote_test_{os.getpid()}_{next(numbers)}")
        with server.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {made[-1]} TEMPLATE {template} STRATEGY file_copy"))
        return make_url(postgres_url).set(database=made[-1]).render_as_string(hide_password=False)

    yield make
    with server.connect() as connection:
        for name in made:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    server.dispose()


@pytest.fixture
def new_postgres(postgres_url: str) -> Iterator[Callable[..., str]]:
    """Makes databases, and drops them at the end."""
    with databases(postgres_url) as make:
        yield make


def migrated(database_url: str) -> str:
    engine = open_engine(Settings(database_url=database_url))
    upgrade(engine)
    engine.dispose()
    return database_url


# A database is migrated once and then copied: to migrate each anew took hundreds of tests most of their time.


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a migrated database without rows."""
    file = tmp_path_factory.mktemp("template") / "record.db"
    migrated(f"sqlite:///{file}")
    return file


@pytest.fixture(scope="session")
def postgres_template(postgres_url: str) -> Iterator[str]:
    """The name of a migrated database without rows."""
    with databases(postgres_url) as make:
        yield str(make_url(migrated(make())).database)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of each kind without rows: migrated if the test asks for `engine`, otherwise empty."""
    ask, full = request.getfixturevalue, "engine" in request.fixturenames
    if request.param == "sqlite":
        file = tmp_path / "record.db"
        if full:
            shutil.copy(ask("sqlite_template"), file)
        return f"sqlite:///{file}"
    url: str = ask("new_postgres")(*([ask("postgres_template")] if full else []))
    return url


@pytest.fixture
def settings(database_url: str) -> Settings:
    return Settings(database_url=database_url)


@pytest.fixture
def engine(settings: Settings) -> Iterator[Engine]:
    """A migrated database of each kind."""
    engine = connect(settings)
    yield engine
    engine.dispose()


@pytest.fixture
def served(settings: Settings, engine: Engine) -> Iterator["TestClient"]:
    """The pages of `serve` over a record of each kind, without a browser."""
    from website import client

    with client(settings) as asked:
        yield asked


@pytest.fixture
def judged(engine: Engine) -> str:
    """Id of a complete run whose answers are worked out by hand: see website.measured."""
    from website import measured

    return measured(engine)


@pytest.fixture
def place(tmp_path: Path, short_folder: Path) -> Iterator["Place"]:
    """A Redis, a database, and workers that come and go."""
    from place import Place  # imported late: it brings the rooms db and producer

    folder = short_folder / tmp_path.name
    folder.mkdir()
    place = Place(tmp_path, folder)
    yield place
    place.end()


@pytest.fixture(scope="session")
def photographs() -> list[Path]:
    """Twenty photographs of ImageNet, named imagenet_<number>_<class index>.jpg."""
    return sorted((package_folder("foolbox") / "data").glob("imagenet_*.jpg"))


@pytest.fixture
def one_thread() -> Iterator[None]:
    """PyTorch uses one thread, as in a lane of a worker: two would wait for each other on a machine that is busy."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
