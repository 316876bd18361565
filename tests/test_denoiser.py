"""The trained denoiser: its training, its file, and the smoother that uses it."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from commands import call
from PIL import Image
from safetensors.torch import save_file

from cli.denoiser import train_denoiser
from cli.flags import recipe_from
from db.errors import Refusal, WrongUse
from db.recipe import Recipe, make_recipe
from worker import denoiser, dncnn
from worker.dncnn import DnCNN
from worker.smoothers import SMOOTHERS
from worker.views import steps_of

MEMBER = SMOOTHERS["denoiser"]
CPU = torch.device("cpu")


def right_neighbours() -> DnCNN:
    """A network whose noise is the pixel less its right neighbour: it gives each pixel that neighbour's value."""
    network = DnCNN(3, 3)
    with torch.no_grad():
        for layer in (0, 2, 4):
            network[layer].weight.zero_()
            network[layer].bias.zero_()
            for channel in range(3):
                network[layer].weight[channel, channel, 1, 1] = 1
        for channel in range(3):
            network[0].weight[channel, channel, 1, 2] = -1
            network[0].bias[channel] = 1  # above 0, where ReLU leaves values as they are
            network[4].bias[channel] = -1
    return network


@pytest.fixture
def file(tmp_path: Path) -> Path:
    denoiser.save(right_neighbours(), tmp_path / "d.safetensors")
    return tmp_path / "d.safetensors"


def recipe(file: Path, **given: Any) -> Recipe:
    flags = {"preset": None, "classes": None, "model": "efficientnet_lite0", "smoother": f"denoiser:{file}"}
    return recipe_from(**flags | given)


# -- the smoother ------------------------------------------------------------------------------------------------


def test_the_noise_that_the_network_finds_is_taken_off(file: Path) -> None:
    row = torch.tensor([0.1, 0.4, 0.2, 0.9]).expand(1, 3, 1, 4)
    # The last pixel's right neighbour is the padding, 0.
    assert MEMBER.smooth(row, recipe(file))[0, :, 0].tolist() == [pytest.approx([0.4, 0.2, 0.9, 0], abs=1e-6)] * 3


def test_an_image_is_smoothed_the_same_alone_and_among_others_and_stays_in_range(tmp_path: Path) -> None:
    torch.manual_seed(0)
    denoiser.save(DnCNN(5, 8), tmp_path / "d.safetensors")
    images = torch.rand(4, 3, 20, 31)
    together = MEMBER.smooth(images, recipe(tmp_path / "d.safetensors"))
    assert torch.equal(MEMBER.smooth(images[2:3], recipe(tmp_path / "d.safetensors")), together[2:3])
    assert 0 <= together.min() <= together.max() <= 1
    assert MEMBER.smooth(images[:, :, :1, :1], recipe(tmp_path / "d.safetensors")).shape == (4, 3, 1, 1)


def test_an_attack_gets_a_gradient_also_if_the_file_was_read_in_inference_mode(file: Path) -> None:
    dncnn.load.cache_clear()
    with torch.inference_mode():
        MEMBER.prepare(recipe(file))
    image = torch.full((1, 3, 2, 2), 0.5, requires_grad=True)
    MEMBER.smooth(image, recipe(file)).sum().backward()
    assert image.grad is not None
    # Each pixel is the value of its left neighbour; the left column is nobody's.
    assert image.grad[0, 0].tolist() == [[0, 1], [0, 1]]


# -- the file is part of the recipe ------------------------------------------------------------------------------


def test_the_flag_names_the_smoother_and_its_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    found = recipe(Path("d.safetensors"))
    assert (found.smoother, found.smoother_file) == ("denoiser", str(file))
    assert found.smoother_sha256 == hashlib.sha256(file.read_bytes()).hexdigest()


def test_a_denoiser_is_what_its_file_holds_and_not_where_it_lies(file: Path, tmp_path: Path) -> None:
    (tmp_path / "copy.safetensors").write_bytes(file.read_bytes())
    denoiser.save(DnCNN(3, 4), tmp_path / "other.safetensors")
    here, copy, other = (recipe(tmp_path / f"{name}.safetensors").run_id("f") for name in ("d", "copy", "other"))
    assert here == copy
    assert here != other
    assert recipe(file).classifier_key() == make_recipe(model="efficientnet_lite0").classifier_key()


@pytest.mark.parametrize(
    ("smoother", "said"),
    [
        ("denoiser", "--smoother denoiser: name the file of its weights, as denoiser:FILE.safetensors"),
        ("denoiser:", "--smoother denoiser: name the file of its weights, as denoiser:FILE.safetensors"),
        ("median:x", "--smoother median:x: median takes no file; leave out what follows its name"),
        ("denoiser:/no/d.safetensors", "--smoother denoiser: /no/d.safetensors: No such file or directory; name a .safetensors, .pth or .pt file"),
    ],
)  # fmt: skip
def test_a_file_that_is_missing_or_not_wanted_is_refused_when_the_run_is_submitted(smoother: str, said: str) -> None:
    with pytest.raises(WrongUse) as refused:
        recipe_from(preset=None, classes=None, smoother=smoother)
    assert str(refused.value) == said


def test_a_worker_without_the_file_or_with_another_refuses_before_it_computes(file: Path) -> None:
    wanted = recipe(file)
    file.write_bytes(file.read_bytes() + b" ")
    with pytest.raises(Refusal, match=r"d\.safetensors is not the file that was submitted: its sha256 is ") as refused:
        steps_of(wanted)
    assert "\n" not in str(refused.value)
    file.unlink()
    with pytest.raises(Refusal, match=r"^this machine cannot read the checkpoint .*d\.safetensors: No such file"):
        steps_of(wanted)


def test_a_file_of_other_tensors_is_refused(file: Path) -> None:
    save_file({"fc.weight": torch.zeros(2, 2)}, file)
    with pytest.raises(
        Refusal, match=r"^.*d\.safetensors holds no denoiser: make one with `smoothvote train-denoiser`$"
    ):
        steps_of(recipe(file))


def test_a_recipe_that_names_no_file_is_refused() -> None:
    with pytest.raises(Refusal, match=r"has no file of weights"):
        steps_of(Recipe(smoother="denoiser"))


# -- training ----------------------------------------------------------------------------------------------------


def stripes(count: int) -> list[torch.Tensor]:
    """Images of broad stripes, (60, 70, 3) uint8."""
    return [
        ((torch.arange(70) // (6 + number)) % 2 * 56 + 100).byte()[None, :, None].expand(60, 70, 3).contiguous()
        for number in range(count)
    ]


def trained(seed: int = 0, steps: int = 80) -> denoiser.Trained:
    return denoiser.train(
        stripes(9), sigma=0.25, layers=4, channels=8, steps=steps, seed=seed, device=CPU, after_step=lambda: None
    )


def test_training_learns_to_take_noise_off_images_that_it_has_not_seen() -> None:
    found = trained()
    # σ = .25 is 12.04 dB, and a little more where values are clamped.
    assert found.noisy == pytest.approx(12.3, abs=0.3)
    assert found.denoised > found.noisy + 1


def test_training_is_decided_by_its_seed_and_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, again, other = (trained(seed, steps=2).network.state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["0.weight"], other["0.weight"])


def test_training_needs_two_images_as_large_as_a_crop() -> None:
    small = torch.zeros(39, 200, 3, dtype=torch.uint8)
    with pytest.raises(WrongUse, match=r"^training needs two images of 40×40 pixels or more; there are 1$"):
        denoiser.train(
            [*stripes(1), small], sigma=0.25, layers=3, channels=2, steps=1, seed=0, device=CPU, after_step=lambda: None
        )


@pytest.mark.parametrize(("apart", "expected"), [(0.1, 20), (1, 0), (0, 120)])
def test_psnr_is_in_decibels_of_the_mean_square(apart: float, expected: float) -> None:
    assert denoiser.psnr(torch.full((1, 3, 2, 2), apart), torch.zeros(1, 3, 2, 2)) == pytest.approx(expected)


def test_the_command_writes_a_file_that_a_run_can_name(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for number, image in enumerate(stripes(3)):
        Image.fromarray(image.numpy()).save(tmp_path / "images" / f"{number}.png")
    file = tmp_path / "d.safetensors"
    size = ("--layers", "3", "--channels", "4", "--steps", "2")
    done = call("train-denoiser", tmp_path / "images", "--output", file, *size, cwd=tmp_path)
    assert done.stdout.startswith("PSNR at σ = 0.25: ")
    assert f"wrote {file} (" in done.stderr
    steps_of(recipe(file))


@pytest.mark.parametrize(
    ("name", "said"), [("d.pth", "name a .safetensors file"), ("no/d.safetensors", "there is no folder ")]
)
def test_an_output_that_cannot_be_written_is_refused_before_training(tmp_path: Path, name: str, said: str) -> None:
    refused = CliRunner().invoke(train_denoiser, [str(tmp_path), "--output", str(tmp_path / name)]).exception
    assert isinstance(refused, WrongUse)
    assert str(refused).startswith(f"--output {tmp_path / name}: {said}")
