"""Every command of the README is run as it stands there, and everything it must name is named."""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from commands import environment

import smoothvote
from db.settings import PREFIX, Settings

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
COMMANDS = [line[2:] for block in re.findall(r"```console\n(.*?)```", README, re.S) for line in block.splitlines()]
#: What stands for the reader's own photographs.
PHOTOS = {"imagenet_16_251.jpg": "n02110341_dalmatian.jpg", "imagenet_00_243.jpg": "n02108422_bull_mastiff.jpg"}


def test_every_command_of_the_readme_runs_as_it_stands(
    tmp_path: Path, photographs: list[Path], redis_url: str, new_postgres: Callable[[], str]
) -> None:
    (tmp_path / "photos").mkdir()
    for photograph in photographs:
        if photograph.name in PHOTOS:
            shutil.copy(photograph, tmp_path / "photos" / PHOTOS[photograph.name])
    ours = {"SMOOTHVOTE_BROKER_URL": redis_url, "SMOOTHVOTE_DATABASE_URL": new_postgres()}
    env = environment({"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"})
    background: list[subprocess.Popen[bytes]] = []
    ran: list[str] = []
    try:
        for command in COMMANDS:
            words = shlex.split(command)
            if words[0] in ("make", "source"):
                continue  # make is what runs this test; see below
            if words[0] == "export":
                name = words[1].partition("=")[0]
                env[name] = ours[name]  # the reader's servers are this test's
            elif words[:2] in (["smoothvote", "worker"], ["smoothvote", "serve"]):
                background.append(subprocess.Popen(words, cwd=tmp_path, env=env, stderr=subprocess.DEVNULL))
            else:
                done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=240)
                # A status or report while the worker is at it may be incomplete.
                assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
            ran.append(command)
    finally:
        for process in background:
            process.terminate()
            process.wait(60)
    assert len(ran) >= 14
    for written in ("report.png", "risk-coverage.png", "n02110341_dalmatian.smoothvote.png", "rows.parquet"):
        assert (tmp_path / written).exists()


def test_the_makefile_has_every_target_the_readme_names() -> None:
    named = set(re.findall(r"make (\w+)", README))
    assert {"demo", "test"} <= named
    for target in named - {"sure"}:
        done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_the_settings_table_names_every_setting_with_its_default() -> None:
    table = dict(re.findall(r"^\| `SMOOTHVOTE_(\w+)` \| (.*?) \|", README, re.M))
    assert set(table) == {name.upper() for name in Settings.model_fields} | {"TOKEN"}  # which serve alone reads
    for name, field in Settings.model_fields.items():
        if field.default is not None:
            shown = table[name.upper()].strip("`")
            assert shown == (f"{field.default:g}" if isinstance(field.default, float) else str(field.default)), name


def test_every_verb_is_in_the_readme() -> None:
    missing = [verb for verb in smoothvote.front_door.commands if f"smoothvote {verb}" not in README]
    # cancel is found in the help; demo is `make demo`.
    assert missing == ["demo", "cancel"]


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
    for part in ("pyproject.toml", "smoothvote.py", "db", "producer", "worker"):
        assert re.search(rf"^COPY .*\b{re.escape(part)}\b", dockerfile, re.M), part
        assert f"!{part}" in (ROOT / ".dockerignore").read_text()
