"""What is deployed runs commands, settings and versions that exist, and satisfies the schemas of what runs it."""

import configparser
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from packaging.requirements import Requirement

import smoothvote
from db.settings import PREFIX, Settings

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))


def resources() -> Iterator[dict[str, Any]]:
    for file in sorted(KUBERNETES.glob("*.yaml")):
        if file.name != "kustomization.yaml":
            yield from yaml.safe_load_all(file.read_text())


def of_kind(kind: str) -> dict[str, dict[str, Any]]:
    return {one["metadata"]["name"]: one for one in resources() if one["kind"] == kind}


def pods() -> dict[str, dict[str, Any]]:
    """The pods that run smoothvote, by the name of what starts them."""
    started = {**of_kind("Deployment"), **of_kind("Job")}
    return {name: one["spec"]["template"]["spec"] for name, one in started.items()}


def assert_a_command(words: list[str]) -> None:
    command = smoothvote.front_door
    for word in words:
        if word.startswith("--"):
            assert word in {option for parameter in command.params for option in parameter.opts}, words
        else:
            command = command.commands[word]


@pytest.mark.parametrize("resource", list(resources()), ids=lambda one: f"{one['kind']}-{one['metadata']['name']}")
def test_each_manifest_satisfies_the_schema_of_kubernetes(resource: dict[str, Any]) -> None:
    if resource["kind"] != "ScaledObject":
        kubernetes_validate.validate(resource, "1.33", strict=True)


def test_a_manifest_with_a_wrong_field_does_not_satisfy_the_schema() -> None:
    wrong = of_kind("Deployment")["worker"]
    wrong["spec"]["template"]["spec"]["containers"][0]["argz"] = ["worker"]
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, "1.33", strict=True)


def test_the_kustomization_applies_every_manifest_and_names_every_image() -> None:
    applied = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())
    assert {*applied["resources"], "kustomization.yaml"} == {file.name for file in KUBERNETES.glob("*.yaml")}
    assert {one["name"] for one in applied["images"]} == {pod["containers"][0]["image"] for pod in pods().values()}


def test_pods_run_commands_that_exist_with_settings_that_exist() -> None:
    assert pods().keys() == {"migrate", "dispatcher", "worker"}
    for pod in pods().values():
        assert_a_command(pod["containers"][0]["args"])
    named = {
        *of_kind("ConfigMap")["smoothvote"]["data"],
        *re.findall(rf"{PREFIX}\w+", (KUBERNETES / "worker.yaml").read_text()),
    }
    assert {name.removeprefix(PREFIX).lower() for name in named} <= set(Settings.model_fields)


def test_a_pod_has_longer_than_a_worker_takes_to_hand_its_jobs_back() -> None:
    assert pods()["worker"]["terminationGracePeriodSeconds"] > Settings().grace + 20


def test_keda_scales_the_workers_that_there_are_from_none() -> None:
    scaled = of_kind("ScaledObject")["worker"]["spec"]
    assert scaled["scaleTargetRef"]["name"] in of_kind("Deployment")
    assert scaled["minReplicaCount"] == 0
    # Whoever sets the number of replicas in the manifest, too, would end KEDA's workers at each `kubectl apply`.
    assert "replicas" not in of_kind("Deployment")["worker"]["spec"]
    [trigger] = scaled["triggers"]
    [asked] = re.findall(r"smoothvote_\w+", trigger["metadata"]["query"])
    assert f"`{asked}`" in (ROOT / "docs" / "reference" / "metrics.md").read_text()
    # All values of a trigger's metadata are text: KEDA refuses numbers.
    assert all(isinstance(value, str) for value in trigger["metadata"].values())


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_units_run_commands_that_exist(unit: Path, tmp_path: Path) -> None:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # the names of systemd's settings have capitals
    parser.read(unit)
    program, *words = parser["Service"]["ExecStart"].split()
    assert Path(program).name == "smoothvote"
    assert_a_command(words)
    assert float(parser["Service"].get("TimeoutStopSec", "90")) > Settings().grace + 20
    if shutil.which("systemd-analyze"):
        here = tmp_path / unit.name
        here.write_text(unit.read_text().replace(program, str(Path(sys.executable).parent / "smoothvote")))
        done = subprocess.run(["systemd-analyze", "verify", here], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")


def test_the_units_settings_exist() -> None:
    files = [DEPLOY / "systemd" / "smoothvote.env", *UNITS]
    named = re.findall(rf"^[^#\n]*?({PREFIX}\w+)=", "\n".join(file.read_text() for file in files), re.M)
    assert len(named) >= len(files)
    assert {name.removeprefix(PREFIX).lower() for name in named} <= set(Settings.model_fields)


@pytest.mark.parametrize(
    ("lock", "extras"),
    [("producer", {"s3", "shards", "frames", "web"}), ("worker", {"s3", "shards", "worker", "embedded", "openvino"})],
)
def test_a_lock_has_every_dependency_in_a_version_that_is_allowed(lock: str, extras: set[str]) -> None:
    text = (DEPLOY / "locks" / f"{lock}.txt").read_text()
    locked = dict(re.findall(r"^([a-z0-9][\w.-]*)(?:\[\w+\])?==([^ ]+)", text, re.M))
    assert len(re.findall(r"^    --hash=sha256:[0-9a-f]{64}( \\)?$", text, re.M)) >= len(locked)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lists = [project["dependencies"], *(project["optional-dependencies"][extra] for extra in extras)]
    for requirement in (Requirement(line) for lines in lists for line in lines):
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        assert name in locked, f"{name} is not in the lock: make lock"
        assert requirement.specifier.contains(locked[name]), f"{name} {locked[name]}: make lock"


def test_images_are_built_from_the_locks() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    for target in ("producer", "worker"):
        assert f"COPY deploy/locks/{target}.txt ." in dockerfile
        assert f"RUN pip install --require-hashes --requirement {target}.txt" in dockerfile
    assert "!deploy/locks" in (ROOT / ".dockerignore").read_text()


def test_no_image_is_named_by_a_version_that_moves() -> None:
    named = re.findall(r"^FROM (\S+:\S+)", (ROOT / "Dockerfile").read_text(), re.M)
    for file in (ROOT / "docker-compose.yml", *KUBERNETES.glob("*.yaml")):
        named += re.findall(r"image: (\S+:\S+)", file.read_text())
    assert named
    for image in named:
        assert re.search(r":\d+\.\d+(\.\d+)?-\w+", image), image
