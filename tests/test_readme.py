"""Every command of README and docs is run as it stands there, or names what exists; and all links lead somewhere."""

import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pages
import pytest
import yaml
from pages import DOCS, IDS, NOT_RUN, PAGES, README, ROOT, Reader
from sqlalchemy import create_engine, make_url, text

import smoothvote
from db.settings import PREFIX, Settings

#: What stands for the reader's own photographs.
PHOTOS = {"imagenet_16_251.jpg": "n02110341_dalmatian.jpg", "imagenet_00_243.jpg": "n02108422_bull_mastiff.jpg"}
#: Measures all recipes that the pages name, with one start of PyTorch: what a page measures again is there already.
SWEEP = next(line for line in pages.commands(DOCS / "how-to" / "choose.md") if " sweep " in line)
RUN_PAGES = [page for page in PAGES if any(line.split()[0] not in NOT_RUN for line in pages.commands(page))]


@pytest.fixture(scope="module")
def servers(redis_url: str, postgres_url: str) -> Iterator[dict[str, str]]:
    """An empty database and a queue, as environment variables; all pages share them."""
    server = create_engine(make_url(postgres_url), isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text("CREATE DATABASE smoothvote_pages"))
    url = make_url(postgres_url).set(database="smoothvote_pages").render_as_string(hide_password=False)
    yield {"SMOOTHVOTE_BROKER_URL": redis_url, "SMOOTHVOTE_DATABASE_URL": url}
    with server.connect() as connection:
        connection.execute(text("DROP DATABASE smoothvote_pages WITH (FORCE)"))
    server.dispose()


@pytest.fixture(scope="module")
def reader(
    tmp_path_factory: pytest.TempPathFactory, photographs: list[Path], servers: dict[str, str]
) -> Iterator[Reader]:
    """A reader with two photographs, which are measured with each recipe that the pages name."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "photos").mkdir()
    for photograph in photographs:
        if photograph.name in PHOTOS:
            shutil.copy(photograph, folder / "photos" / PHOTOS[photograph.name])
    (folder / "model.safetensors").write_bytes(b"a checkpoint is read by workers; to submit, its sha256 is enough")
    reader = Reader(folder, servers)
    reader.type(SWEEP, {})
    yield reader
    reader.leave()


@pytest.mark.parametrize("page", RUN_PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_runs_as_it_stands(page: Path, reader: Reader) -> None:
    reader.follow(page)
    for written in re.findall(r"--(?:output|plot|risk-coverage|robustness) (\S+)", "\n".join(pages.commands(page))):
        assert (reader.folder / written).exists(), written


def find_command(words: list[str]) -> click.Command:
    """The command that words name, behind `smoothvote`."""
    command: click.Command = smoothvote.front_door
    for word in words:
        if not isinstance(command, click.Group):
            break
        command = command.commands[word]
    return command


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_commands_that_are_not_run_name_what_exists(page: Path) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for words in pages.scripts(page):
        given = {word for word in words if word.startswith("--")}
        if "smoothvote" in words:
            rest = words[words.index("smoothvote") + 1 :]
            known = {option for parameter in find_command(rest).params for option in parameter.opts}
            assert {word for word in rest if word.startswith("--")} <= known, words
        elif words[:2] == ["python", "-m"]:
            source = (ROOT / f"{words[2].replace('.', '/')}.py").read_text()
            assert all(f'"{option}"' in source for option in given), words
        elif words[:2] == ["pip", "install"]:
            named = re.findall(r"smoothvote\[([\w,]+)\]", " ".join(words))
            assert set(",".join(named).split(",")) - {""} <= set(extras), words


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_every_link_and_picture_leads_somewhere(page: Path) -> None:
    for link in pages.links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in pages.anchors(target), link


def test_every_page_is_in_the_index_and_every_picture_on_a_page() -> None:
    index = {(DOCS / link).resolve() for link in pages.links(DOCS / "README.md")}
    assert index == {page for page in PAGES if page.parent != ROOT and page.name != "README.md"}
    shown = {(page.parent / link).resolve() for page in PAGES for link in pages.links(page)}
    assert {path for path in DOCS.iterdir() if path.suffix in (".png", ".svg")} <= shown


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_every_block_is_of_a_kind_that_a_test_looks_at(page: Path) -> None:
    languages = set(re.findall(r"^```(\w*)\n.*?^```$", page.read_text(), re.M | re.S))
    allowed = {"console", "sh", "text"}
    allowed |= {"python.md": {"python"}, "extend.md": {"python"}, "sql.md": {"sql"}}.get(page.name, set())
    assert languages <= allowed


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_pages_speak_of_confidence_thresholding(page: Path) -> None:
    # Reports of the version before said "rival": its one trace is the name of a JSON field and of columns.
    prose = re.sub(r"`[^`\n]*rival[^`\n]*`", "", page.read_text())
    assert "rival" not in prose.lower()


def test_readme_fits_a_few_screens() -> None:
    assert len(README.read_text().splitlines()) <= 150


def test_the_makefile_has_every_target_that_a_page_names() -> None:
    named = {target for page in PAGES for target in re.findall(r"(?:`|\$ )make ([a-z]+)", page.read_text())}
    assert {"demo", "test", "lint"} <= named
    for target in named:
        done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


# -- containers --------------------------------------------------------------------------------------------------


def test_compose_runs_commands_that_exist_with_settings_that_exist() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    services = compose["services"]
    assert {"redis", "postgres", "migrate", "dispatcher", "worker", "worker-cpu"} <= services.keys()
    for name in ("migrate", "dispatcher", "worker", "worker-cpu"):
        verb, *rest = services[name]["command"]
        found = smoothvote.front_door.commands[verb]
        flags = {option for parameter in found.params for option in parameter.opts}
        assert all(word in flags for word in rest if word.startswith("--")), name
        assert {variable.removeprefix(PREFIX).lower() for variable in services[name]["environment"]} <= set(
            Settings.model_fields
        )
    assert services["worker"]["depends_on"]["migrate"]["condition"] == "service_completed_successfully"
    assert "noeviction" in services["redis"]["command"]
    for name in ("redis", "postgres", "worker"):
        assert "healthcheck" in services[name]


@pytest.mark.parametrize("target", ["producer", "worker"])
def test_the_dockerfile_copies_what_the_package_is_made_of(target: str) -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert f"FROM base AS {target}" in dockerfile
    assert re.search(r"^COPY \. \.$", dockerfile, re.M)
    for part in ("pyproject.toml", "README.md", "LICENSE", "smoothvote.py"):  # tests/test_house.py has the rooms
        assert f"!{part}" in (ROOT / ".dockerignore").read_text()
