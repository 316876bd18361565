"""Attacks end to end: real photographs, the real weights of the bundled model, a worker that is killed, two more."""

import json
import shutil
import signal
from pathlib import Path

import pytest
from alone import alone
from commands import call, rows
from PIL import Image
from test_run import half_way

IMAGES = 4
#: Two steps of an attacker who knows the defence.
ATTACK = (
    "--model", "efficientnet_lite0", "--perturbation", "pgd-linf", "--attacker", "defence", "--steps", "2",
    "--levels", "0,2/255", "--job-size", "1",
)  # fmt: skip

#: An answer must be the same to the last bit, so that all runs use one engine.
pytestmark = pytest.mark.usefixtures("eager")


@pytest.fixture
def eager(clean_environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMOOTHVOTE_ENGINE", "eager")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, photographs: list[Path]) -> Path:
    """Photographs with a manifest of their labels; the first has none."""
    folder = tmp_path_factory.mktemp("photographs")
    lines = ["file_name,label"]
    for number, photograph in enumerate(photographs[:IMAGES]):
        shutil.copy2(photograph, folder)
        lines.append(f"{photograph.name},{photograph.stem.split('_')[2] if number else ''}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder / "labels.csv"


def test_two_workers_a_kill_and_a_resumed_run_give_the_same_rows_and_the_attack_can_be_shown(
    tmp_path: Path, folder: Path
) -> None:
    report = json.loads(alone("run", folder, *ATTACK, "--format", "json", cwd=tmp_path).stdout)
    expected = rows("latest", cwd=tmp_path)
    assert report["complete"] is True
    assert report["run"]["axis"]["symbol"] == "ε"
    assert report["run"]["recipe"]["options"] == {"attacker": "defence", "restarts": 1, "steps": 2, "target": "none"}
    # Two steps suffice against a model that was never trained to resist: at most the one image keeps its label.
    assert report["levels"][0]["acc_maj_overall"] == 1
    assert report["levels"][1]["acc_maj_overall"] <= 1 / 3
    other = tmp_path / "other"
    other.mkdir()
    with half_way("run", folder, *ATTACK, cwd=other) as process:
        process.send_signal(signal.SIGKILL)
        process.wait(60)
    alone("run", folder, *ATTACK, "--workers", "2", cwd=other)
    assert rows("latest", cwd=other) == expected, "to the last bit of every confidence"

    call("show", expected[-1]["path"], "--output", tmp_path / "sheet.png", cwd=other)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 4 * 224
