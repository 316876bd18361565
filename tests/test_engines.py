"""Engines: the labels of eager fp32, however they are computed."""

import fcntl
import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import share_models
from torch import nn

from db.errors import Refusal
from db.recipe import Preprocessing, Recipe, make_recipe
from worker import assembly
from worker.assembly import make_classifier
from worker.bounds import SAFETY, SMALLEST, bound_of, logits_of, photograph_like
from worker.classifier import Classifier, Stage
from worker.engines import Eager, Engine, Normalised, OpenVino, convert, openvino
from worker.images import decode
from worker.lanes import spread
from worker.models import load
from worker.pipeline import predict
from worker.views import draw_field, plain_views

pytestmark = pytest.mark.skipif(find_spec("openvino") is None, reason="the engine openvino is not installed")

PLAIN = Preprocessing(resize=16, crop=16, interpolation="bilinear", antialias=False, mean=(0.5,) * 3, std=(0.25,) * 3)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    small = nn.Sequential(
        nn.Conv2d(3, 16, 3, stride=2), nn.BatchNorm2d(16), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 7 * 7, 10)
    )
    return Normalised(small.eval().requires_grad_(False), PLAIN)


@pytest.fixture(scope="module")
def converted(network: nn.Module) -> Any:
    return convert(network, 16, None)


@pytest.fixture
def views() -> torch.Tensor:
    return torch.rand(12, 3, 16, 16, generator=torch.Generator().manual_seed(1))


class Blunt:
    """An engine whose logit of the first class is wrong by a given amount."""

    name = "blunt"

    def __init__(self, engine: Engine, wrong_by: float) -> None:
        self.engine, self.wrong_by = engine, wrong_by

    def logits(self, views: torch.Tensor) -> torch.Tensor:
        logits = self.engine.logits(views).clone()
        logits[:, 0] += self.wrong_by
        return logits


# -- OpenVINO ----------------------------------------------------------------------------------------------------


def test_openvino_gives_the_logits_of_eager_fp32(network: nn.Module, converted: Any, views: torch.Tensor) -> None:
    engine = OpenVino(converted, "f32", lanes=2, threads=2)
    assert torch.allclose(engine.logits(views), Eager(network, CPU).logits(views), atol=1e-4)


def test_an_answer_depends_neither_on_the_lane_nor_on_the_other_views(converted: Any, views: torch.Tensor) -> None:
    engine = OpenVino(converted, "f32", lanes=2, threads=2)
    alone = engine.logits(torch.cat([views[:1], torch.zeros(11, 3, 16, 16)]))[0]
    start = threading.Barrier(2, timeout=60)

    def ask(_: int) -> torch.Tensor:
        start.wait()
        return engine.logits(views)[0]

    assert all(found.equal(alone) for found in spread(ask, range(2), lanes=2, threads=1))


def test_a_conversion_is_reported_to_nobody(tmp_path: Path) -> None:
    # OpenVINO's telemetry package reports each conversion to Intel, and keeps an identity for that in the home folder.
    code = (
        "import torch; from pathlib import Path; from worker.engines import *; "
        "fit = Preprocessing(8, 8, 'bilinear', False, (0, 0, 0), (1, 1, 1)); "
        "flat = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 3)); "
        "OpenVino(convert(Normalised(flat, fit).eval(), 8, None), 'f32', lanes=1, threads=1).logits(torch.rand(2, 3, 8, 8))"
    )
    home = tmp_path / "home"
    home.mkdir()
    environment = {name: value for name, value in os.environ.items() if name != "CI"} | {"HOME": str(home)}
    root = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", code], cwd=root, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not list(home.rglob("*openvino*"))


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="only Linux tells which cores a thread may use")
def test_no_thread_is_bound_to_a_core(converted: Any, views: torch.Tensor) -> None:
    # Every worker would bind its threads to the same cores.
    engine = OpenVino(converted, "f32", lanes=2, threads=2)
    engine.logits(views)
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            engine.logits(views)

    busy, seen = threading.Thread(target=ask), set[frozenset[int]]()
    busy.start()
    for _ in range(200):
        seen.update(frozenset(os.sched_getaffinity(int(task))) for task in os.listdir("/proc/self/task"))
    over.set()
    busy.join()
    assert seen == {frozenset(os.sched_getaffinity(0))}


def test_a_converted_model_is_kept_and_read_again(
    network: nn.Module, views: torch.Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "engines" / "model.xml"
    before = OpenVino(convert(network, 16, kept), "f32", lanes=1, threads=1).logits(views)
    assert sorted(path.name for path in kept.parent.iterdir()) == ["model.bin", "model.sha256", "model.xml"]
    monkeypatch.delattr(openvino(), "convert_model")  # so that it can only come from the file
    assert OpenVino(convert(network, 16, kept), "f32", lanes=1, threads=1).logits(views).equal(before)


@pytest.mark.parametrize("suffix", [".xml", ".bin", ".sha256"])
def test_a_damaged_converted_model_is_converted_again(
    network: nn.Module, views: torch.Tensor, tmp_path: Path, suffix: str
) -> None:
    kept = tmp_path / "model.xml"
    right = OpenVino(convert(network, 16, kept), "f32", lanes=1, threads=1).logits(views)
    file = kept.with_suffix(suffix)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2] + bytes(len(whole) - len(whole) // 2))  # as after a power cut
    assert OpenVino(convert(network, 16, kept), "f32", lanes=1, threads=1).logits(views).equal(right)
    assert file.read_bytes() != whole[: len(whole) // 2] + bytes(len(whole) - len(whole) // 2)


def test_a_process_waits_for_another_that_converts_the_same_model_and_reads_what_it_kept(
    network: nn.Module, views: torch.Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, kept = tmp_path / "made" / "model.xml", tmp_path / "kept" / "model.xml"
    right = OpenVino(convert(network, 16, made), "f32", lanes=1, threads=1).logits(views)
    monkeypatch.delattr(openvino(), "convert_model")  # so that it can only come from the file
    kept.parent.mkdir()
    other = os.open(kept.parent, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    with ThreadPoolExecutor() as pool:
        waits = pool.submit(convert, network, 16, kept)
        with pytest.raises(TimeoutError):
            waits.result(timeout=0.3)
        for file in made.parent.iterdir():
            shutil.copy(file, kept.parent)
        os.close(other)
        assert OpenVino(waits.result(timeout=30), "f32", lanes=1, threads=1).logits(views).equal(right)


def test_a_model_is_converted_even_if_it_cannot_be_kept(network: nn.Module, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert convert(network, 16, tmp_path / "file" / "model.xml")


# -- the cascade -------------------------------------------------------------------------------------------------------


def test_a_bound_is_six_times_the_root_mean_square_of_the_margins_errors() -> None:
    # The margin of the first label over the second is 0.3 too large, that over the third is right: 6 · √(0.3² / 2).
    expected = torch.tensor([[2.0, 1.0, 0.0]])
    found = torch.tensor([[2.0, 0.7, 0.0]])
    assert bound_of(found, expected) == pytest.approx(SAFETY * (0.09 / 2) ** 0.5, abs=1e-6)


def test_an_error_that_all_logits_share_gives_the_smallest_bound() -> None:
    expected = torch.tensor([[2.0, 1.0, 0.0]])
    assert bound_of(expected + 5, expected) == SMALLEST


def test_an_engine_that_overflowed_once_gets_an_infinite_bound() -> None:
    expected = torch.tensor([[2.0, 1.0, 0.0], [1.0, 0.0, 2.0]])
    found = expected.clone()
    found[0, :2] = torch.inf
    assert bound_of(found, expected) == torch.inf


def test_with_one_class_no_view_is_close() -> None:
    only = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 1))
    plain = Eager(Normalised(only, PLAIN), CPU)
    classifier = Classifier(PLAIN, "0" * 64, [Stage(plain, 1.0)], plain, device=CPU, batch_size=4)
    answers = classifier.predict(torch.rand(5, 3, 16, 16))
    assert not answers.close.any()
    assert answers.labels.tolist() == [0] * 5


def test_a_bound_is_measured_in_smaller_passes_if_memory_is_short(network: nn.Module, views: torch.Tensor) -> None:
    plain, tried = Eager(network, CPU), []

    class Short:
        name = "short"

        def logits(self, views: torch.Tensor) -> torch.Tensor:
            tried.append(len(views))
            if len(views) > 4:
                raise RuntimeError("Failed to allocate 123 bytes of memory")
            return plain.logits(views)

    assert torch.allclose(logits_of(Short(), views, 20), plain.logits(views), atol=1e-5)
    assert tried == [20, 10, 5, 2, 2, 2, 2, 2, 2]


def test_the_made_up_photographs_have_the_spectrum_of_real_ones() -> None:
    image = photograph_like(128, torch.Generator().manual_seed(0)).mean(dim=2)
    assert image.shape == (128, 128)
    amplitude = torch.fft.rfft2(image - image.mean()).abs()
    # Amplitudes fall as 1/f: four times the frequency, a quarter.
    low, high = amplitude[0, 4:8].mean(), amplitude[0, 16:32].mean()
    assert 2.5 < low / high < 6.5


def test_only_close_views_go_to_the_next_stage(network: nn.Module, views: torch.Tensor) -> None:
    plain = Eager(network, CPU)
    truth = plain.logits(views)
    blunt = Blunt(plain, 0.6)
    changed = blunt.logits(views).argmax(1) != truth.argmax(1)
    assert changed.any()  # otherwise this would test nothing

    def answers(bound: float) -> tuple[torch.Tensor, Classifier]:
        cascade = [Stage(blunt, bound), Stage(plain, 0)]
        classifier = Classifier(PLAIN, "0" * 64, cascade, plain, device=CPU, batch_size=5)
        return classifier.predict(views).labels, classifier

    labels, classifier = answers(0.6)
    assert labels.equal(truth.argmax(1))
    top = blunt.logits(views).topk(2).values
    assert classifier.asked == {"blunt": 12, "eager f32": int((top[:, 0] - top[:, 1] < 0.6).sum())}
    assert not answers(0)[0].equal(truth.argmax(1))


def test_logits_that_overflowed_go_to_the_next_stage(network: nn.Module, views: torch.Tensor) -> None:
    plain = Eager(network, CPU)
    cascade = [Stage(Blunt(plain, float("inf")), 0.05), Stage(plain, 0)]
    answers = Classifier(PLAIN, "0" * 64, cascade, plain, device=CPU, batch_size=12).predict(views)
    assert answers.labels.equal(plain.logits(views).argmax(1))
    assert answers.confidences.isfinite().all()


# -- which engines ---------------------------------------------------------------------------------------------------


@pytest.fixture
def checkpoint(tmp_path: Path) -> Recipe:
    from torchvision import models

    from cli.flags import recipe_from

    torch.manual_seed(0)
    torch.save(models.squeezenet1_1(weights=None, num_classes=3).state_dict(), tmp_path / "model.pth")
    (tmp_path / "classes.txt").write_text("red\ngreen\nblue\n")
    return recipe_from(
        preset=None, classes=tmp_path / "classes.txt", model=str(tmp_path / "model.pth"),
        arch="torchvision/squeezenet1_1", levels=(0.0, 0.25), resize=64, crop=64,
    )  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keeps the converted checkpoint for the tests below, because a conversion takes seconds."""
    return tmp_path_factory.mktemp("home")


def names(recipe: Recipe, home: Path, engine: str = "auto") -> list[str]:
    return [stage.engine.name for stage in make_classifier(recipe, device="cpu", engine=engine, home=home).cascade]


def test_on_a_cpu_openvino_answers_and_with_amx_bfloat16_answers_first(
    checkpoint: Recipe, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assembly, "native_bf16", lambda: True)
    monkeypatch.setattr(assembly, "fast_bf16", lambda: False)
    assert names(checkpoint, home) == ["openvino f32"]
    monkeypatch.setattr(assembly, "fast_bf16", lambda: True)
    assert names(checkpoint, home) == ["openvino bf16", "openvino f32"]
    assert names(checkpoint.model_copy(update={"precision": "bf16"}), home) == ["openvino bf16"]
    assert names(checkpoint, home, "eager") == ["eager f32"]


def test_on_a_cpu_without_bfloat16_only_eager_pytorch_computes_it(
    checkpoint: Recipe, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assembly, "native_bf16", lambda: False)
    low = checkpoint.model_copy(update={"precision": "bf16"})
    assert names(low, home) == ["eager bf16"]
    with pytest.raises(Refusal, match="does not compute in bfloat16 on this CPU"):
        names(low, home, "openvino")


def test_without_openvino_the_engine_is_eager(checkpoint: Recipe, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assembly, "find_spec", lambda name: None)
    assert names(checkpoint, home) == ["eager f32"]
    assert names(checkpoint.model_copy(update={"precision": "bf16"}), home) == ["eager bf16"]
    with pytest.raises(Refusal, match=r"pip install 'smoothvote\[openvino\]'"):
        names(checkpoint, home, "openvino")


def test_a_model_that_openvino_cannot_convert_runs_eagerly_and_the_log_says_so(
    checkpoint: Recipe, home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("data-dependent control flow\nand a page of it")

    monkeypatch.setattr(assembly, "convert", refuse)
    assert names(checkpoint, home) == ["eager f32"]
    assert "runs eagerly: data-dependent control flow" in caplog.text
    with pytest.raises(Refusal, match=r"cannot run .*: data-dependent control flow"):
        names(checkpoint, home, "openvino")


def test_an_engine_that_converts_a_model_but_cannot_run_it_is_left_out(
    checkpoint: Recipe, home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("no such primitive")

    monkeypatch.setattr(OpenVino, "logits", refuse)
    assert names(checkpoint, home) == ["eager f32"]
    assert "openvino f32 cannot run" in caplog.text
    with pytest.raises(Refusal, match=r"openvino cannot run .*: no such primitive"):
        names(checkpoint, home, "openvino")


def test_bounds_depend_on_the_model_and_not_on_the_levels_of_a_run(checkpoint: Recipe, home: Path) -> None:
    calm, noisy = (checkpoint.model_copy(update={"levels": levels}) for levels in ((0.0, 0.1), (2.0, 3.0)))
    assert (
        calm.classifier_key()
        == noisy.classifier_key()
        != checkpoint.model_copy(update={"levels": (0.0,)}).classifier_key()
    )
    bounds = [
        [one.bound for one in make_classifier(recipe, device="cpu", home=home).cascade] for recipe in (calm, noisy)
    ]
    assert bounds[0] == bounds[1]


def test_a_forward_pass_holds_whole_images_or_an_equal_part_of_one(checkpoint: Recipe) -> None:
    def size(levels: int, batch_size: int | None) -> int:
        recipe = make_recipe(**checkpoint.content() | {"levels": [level / 100 for level in range(levels)]})
        return make_classifier(recipe, device="cpu", engine="eager", batch_size=batch_size).batch_size

    assert size(4, 30) == 24  # of two images' 12 views
    assert size(4, 12) == 12
    assert size(4, 5) == 4  # three passes an image
    assert size(5, 12) == 8  # 15 views in two passes, not in 12 and 3
    assert size(1, 1) == 1


def test_compiled_gives_the_labels_of_eager_fp32(network: nn.Module, views: torch.Tensor) -> None:
    from worker.engines import Compiled

    assert torch.allclose(Compiled(network, CPU).logits(views), Eager(network, CPU).logits(views), atol=1e-4)


def test_on_photographs_every_label_is_that_of_eager_fp32_on_plain_views(
    photographs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    share_models(tmp_path)
    recipe = make_recipe(model="efficientnet_lite0")
    images = [decode(file.read_bytes(), grayscale="convert", max_pixels=10**8) for file in photographs[:3]]
    monkeypatch.setattr(assembly, "fast_bf16", lambda: True)  # the longest cascade there is
    classifier = make_classifier(recipe, device="cpu", home=tmp_path)
    found = predict([(at, lambda pixels=pixels: pixels) for at, pixels in enumerate(images)], recipe, classifier)  # type: ignore[misc]
    rows = [(row.label_ns, row.label_ss, row.label_ds) for some in found for row in some.predicted]

    fit = classifier.preprocessing
    plain = Eager(Normalised(load(recipe).network, fit), CPU)
    expected = []
    for pixels in images:
        field = draw_field(pixels, recipe)
        with torch.inference_mode():
            logits = plain.logits(plain_views(pixels, field, recipe, fit, range(12)))
        expected += [tuple(level) for level in logits.argmax(1).view(4, 3).tolist()]
    assert rows == expected
    assert classifier.asked["openvino bf16"] == 36
    assert 0 < classifier.asked["openvino f32"] < 36
