"""The benchmark of a GPU: on a CPU it runs the same code; without a GPU it says so."""

from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from benchmarks import gpu
from benchmarks.gpu import main
from db.errors import WRONG_USE, Refusal
from db.recipe import make_recipe
from worker.assembly import make_classifier


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_one_line_says_so(photographs: list[Path]) -> None:
    done = CliRunner().invoke(main, [str(photographs[0].parent)])
    assert done.exit_code == WRONG_USE
    assert done.stderr.splitlines() == ["no GPU here: torch.cuda finds none; --device cpu runs the same code on a CPU"]


def test_it_checks_labels_and_writes_a_table(
    photographs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(gpu.SIZES, "cpu", (2,))
    words = ["--device", "cpu", "--model", "torchvision/squeezenet1_1", "--weights", "random", "--limit", "4"]
    words += ["--seconds", "0.1", "--no-queue", "--markdown", str(tmp_path / "gpu.md")]
    done = CliRunner().invoke(main, [str(photographs[0].parent), *words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    table = (tmp_path / "gpu.md").read_text()
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith("| torchvision/squeezenet1_1")]
    assert rows[0][1:3] == ["eager f32", "0 of 48"]
    assert all(row[2] == "0 of 48" for row in rows[: len(rows) // 2])
    assert all(float(row[3].split(",")[0]) > 0 for row in rows[: len(rows) // 2])


def test_cuda_graphs_are_refused_on_a_cpu() -> None:
    with pytest.raises(Refusal, match="the engine graph is for GPUs"):
        make_classifier(make_recipe(model="efficientnet_lite0"), device="cpu", engine="graph")
