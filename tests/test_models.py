import urllib.error
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torchvision import models as zoo

from cli.flags import recipe_from
from db.errors import Refusal
from db.recipe import make_recipe
from worker.models import load, sha256_of


def recipe(**flags: Any) -> Any:
    return recipe_from(preset=None, classes=flags.pop("classes", None), **flags)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A small network's weights in two formats, as a training script would save them."""
    torch.manual_seed(0)
    network = zoo.squeezenet1_1(weights=None, num_classes=4)
    save_file(network.state_dict(), tmp_path / "mine.safetensors")
    torch.save({"state_dict": network.state_dict(), "epoch": 3}, tmp_path / "mine.pth")
    (tmp_path / "classes.txt").write_text("ant\nbee\ncat\ndog\n")
    return tmp_path


def test_the_bundled_model_has_its_weights_and_their_preprocessing() -> None:
    model = load(make_recipe(model="efficientnet_lite0"))
    assert len(model.network.state_dict()) == 296
    assert model.preprocessing == (256, 224, "bicubic", True, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert not model.network.training
    assert len(model.weights_sha256) == 64


def test_the_recipe_can_replace_the_preprocessing_of_the_weights() -> None:
    given = make_recipe(model="efficientnet_lite0", resize=230, crop=200, interpolation="bilinear", antialias=False)
    assert load(given).preprocessing == (230, 200, "bilinear", False, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@pytest.mark.parametrize("name", ["mine.safetensors", "mine.pth"])
@pytest.mark.parametrize("arch", ["torchvision/squeezenet1_1"])
def test_a_checkpoint_on_disk_is_loaded_into_its_architecture(checkpoint: Path, name: str, arch: str) -> None:
    model = load(recipe(model=str(checkpoint / name), arch=arch, classes=checkpoint / "classes.txt"))
    with torch.inference_mode():
        assert model.network(torch.zeros(1, 3, 224, 224)).shape == (1, 4)


def test_the_same_weights_have_the_same_identity_in_any_file(checkpoint: Path) -> None:
    flags = {"arch": "torchvision/squeezenet1_1", "classes": checkpoint / "classes.txt"}
    both = [load(recipe(model=str(checkpoint / name), **flags)) for name in ("mine.safetensors", "mine.pth")]
    assert both[0].weights_sha256 == both[1].weights_sha256


def test_one_changed_weight_changes_the_identity() -> None:
    tensors = {"a": torch.zeros(3), "b": torch.ones(2, 2)}
    changed = {"a": torch.tensor([0.0, 0.0, 1e-7]), "b": torch.ones(2, 2)}
    reshaped = {"a": torch.zeros(3), "b": torch.ones(4)}
    assert len({sha256_of(tensors), sha256_of(changed), sha256_of(reshaped)}) == 3


def test_weights_from_a_file_are_loaded_into_a_named_model(tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = zoo.squeezenet1_1(weights=None)
    save_file(network.state_dict(), tmp_path / "w.safetensors")
    model = load(recipe(model="torchvision/squeezenet1_1", weights=str(tmp_path / "w.safetensors")))
    assert model.weights_sha256 == sha256_of(network.state_dict())
    assert model.preprocessing.resize == 256


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"model": "torchvision/resnet5"}, "no classifier 'resnet5'; near it: resnet50"),
        ({"model": "timm/resnet5000"}, "timm has no model"),
        ({"model": "torchvision/resnet50@IMAGENET9"}, "it has IMAGENET1K_V1, IMAGENET1K_V2, DEFAULT"),
        ({"model": "torchvision/fasterrcnn_resnet50_fpn"}, "no classifier"),
    ],
)
def test_a_model_that_does_not_exist_is_refused_in_one_line(flags: dict[str, str], said: str) -> None:
    with pytest.raises(Refusal) as raised:
        load(make_recipe(**flags))
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_error_of_a_failed_download_names_the_file_the_cache_and_the_ways_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def no_network(*_: Any, **__: Any) -> None:
        raise urllib.error.URLError("no route to host")

    # Without this, a machine with a network would download 98 MB.
    monkeypatch.setattr("torch.hub.urlopen", no_network)
    with pytest.raises(Refusal) as raised:
        load(make_recipe(model="torchvision/resnet50@IMAGENET1K_V1"))
    said = str(raised.value)
    assert "resnet50-0676ba61.pth" in said
    assert str(tmp_path / "hub" / "checkpoints") in said
    assert "--weights FILE" in said
    assert "efficientnet_lite0" in said
    assert "\n" not in said


def test_a_checkpoint_that_contains_code_is_refused_and_the_code_does_not_run(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "bombed",))

    torch.save({"weight": Bomb()}, tmp_path / "bomb.pth")
    with pytest.raises(Refusal, match="safe to read"):
        load(recipe(model=str(tmp_path / "bomb.pth"), arch="torchvision/squeezenet1_1"))
    assert not (tmp_path / "bombed").exists()


def test_a_checkpoint_of_another_architecture_is_refused(checkpoint: Path) -> None:
    with pytest.raises(Refusal, match="does not fit the architecture"):
        load(
            recipe(model=str(checkpoint / "mine.pth"), arch="torchvision/resnet18", classes=checkpoint / "classes.txt")
        )


def test_a_checkpoint_that_changed_after_it_was_submitted_is_refused(checkpoint: Path) -> None:
    submitted = recipe(
        model=str(checkpoint / "mine.pth"), arch="torchvision/squeezenet1_1", classes=checkpoint / "classes.txt"
    )
    with (checkpoint / "mine.pth").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(Refusal, match="is not the file that was submitted"):
        load(submitted)
