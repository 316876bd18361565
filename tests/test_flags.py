import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from cli.flags import OPTIONS, RECIPE_FLAGS, read_classes, recipe_flags, recipe_from
from cli.list import list_members
from db.errors import WRONG_USE, WrongUse
from db.recipe import Recipe
from worker.smoothers import SMOOTHERS

#: sha256 of b"abc", the standard's own example.
ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def recipe(*, preset: str | None = None, classes: Path | None = None, **given: Any) -> Recipe:
    return recipe_from(preset=preset, classes=classes, **given)


def refusal(**given: Any) -> str:
    with pytest.raises(WrongUse) as caught:
        recipe(**given)
    assert caught.value.exit_code == WRONG_USE
    assert "\n" not in str(caught.value)
    return str(caught.value)


def shell(*arguments: str) -> Result:
    @click.command
    @recipe_flags
    def command(**given: Any) -> None:
        click.echo(recipe_from(**given).model_dump_json(exclude_none=True))

    return CliRunner().invoke(command, arguments)


def recipe_of(*arguments: str) -> Recipe:
    result = shell(*arguments)
    assert result.exit_code == 0, result.output
    return Recipe.model_validate_json(result.stdout)


# -- preset ------------------------------------------------------------------------------------------------------


def test_without_flags_a_recipe_has_its_defaults() -> None:
    assert recipe() == Recipe()
    assert recipe(seed=None, levels=None, model=None, antialias=None) == Recipe()


def test_the_preset_is_what_the_article_did() -> None:
    assert recipe(preset="article").content() == {
        "model": "torchvision/resnet50@IMAGENET1K_V1",
        "levels": [0.0, 0.125, 0.25, 0.375],
        "kernel_size": 5,
        "kernel_sigma": 1.0,
        "seed": 0,
        "resize": 256,
        "crop": 224,
        "interpolation": "bilinear",
        "antialias": False,
        "grayscale": "skip",
        "precision": "exact",
    }


def test_what_is_given_beats_the_preset() -> None:
    mine = recipe(preset="article", levels=(0.5,), kernel_size=3, antialias=True, grayscale="convert", crop=None)
    assert mine.levels == (0.5,)
    assert mine.kernel_size == 3
    assert mine.antialias is True
    assert mine.grayscale == "convert"
    assert (mine.resize, mine.crop, mine.interpolation) == (256, 224, "bilinear")


def test_zero_and_no_are_given() -> None:
    mine = recipe(preset="article", seed=0, levels=(0.0,), antialias=False)
    assert (mine.seed, mine.levels, mine.antialias) == (0, (0.0,), False)


def test_a_preset_is_for_any_model() -> None:
    assert recipe(preset="article", model="timm/resnet18").content() == recipe(preset="article").content() | {
        "model": "timm/resnet18"
    }


def test_a_preset_is_left_as_it_was() -> None:
    recipe(preset="article", kernel_size=7)
    assert recipe(preset="article").kernel_size == 5


def test_what_does_not_fit_the_preset_is_refused() -> None:
    assert refusal(preset="article", crop=257) == "--crop: 257 is larger than the resized short side, 256"


# -- flags -------------------------------------------------------------------------------------------------------


def test_every_field_but_the_checksum_has_a_flag() -> None:
    @click.command
    @recipe_flags
    def command(**given: Any) -> None: ...

    names = [parameter.name for parameter in command.params]
    assert len(names) == len(set(names))
    # The flags of the last ones are those of `certify` alone.
    others = {"checkpoint_sha256", "options", "smoother_file", "smoother_sha256"}
    others |= {"selection", "stop_radius", "stop_alpha", "stop_n"}
    recipes = set(Recipe.model_fields) - others | {"preset"}
    assert len(recipes) == len(RECIPE_FLAGS)
    assert set(names) == recipes | {*OPTIONS, "option"}


@pytest.mark.parametrize(
    ("arguments", "field", "value"),
    [
        (["--model", "timm/resnet18"], "model", "timm/resnet18"),
        (["--weights", "IMAGENET1K_V2"], "weights", "IMAGENET1K_V2"),
        (["--perturbation", "gaussian"], "perturbation", "gaussian"),
        (["--smoother", "gaussian"], "smoother", "gaussian"),
        (["--levels", "0.5,0,0.25"], "levels", (0.0, 0.25, 0.5)),
        (["--levels", " 0 , 1e-1 "], "levels", (0.0, 0.1)),
        (["--levels", "0,1/255, 4 / 255"], "levels", (0.0, 1 / 255, 4 / 255)),
        (["--kernel-size", "7"], "kernel_size", 7),
        (["--kernel-sigma", "2"], "kernel_sigma", 2.0),
        (["--seed", "12"], "seed", 12),
        (["--resize", "232"], "resize", 232),
        (["--crop", "200"], "crop", 200),
        (["--interpolation", "bicubic"], "interpolation", "bicubic"),
        (["--antialias"], "antialias", True),
        (["--no-antialias"], "antialias", False),
        (["--mean", "0.1,0.2,0.3"], "mean", (0.1, 0.2, 0.3)),
        (["--std", "1,2,3"], "std", (1.0, 2.0, 3.0)),
        (["--grayscale", "skip"], "grayscale", "skip"),
        (["--precision", "bf16"], "precision", "bf16"),
    ],
    ids=lambda value: value[0].strip("-") if isinstance(value, list) else "",
)
def test_a_flag_sets_its_field_alone(arguments: list[str], field: str, value: Any) -> None:
    assert recipe_of(*arguments) == Recipe(**{field: value})


def test_the_preset_is_a_flag() -> None:
    assert recipe_of("--preset", "article", "--seed", "3") == recipe(preset="article", seed=3)


@pytest.mark.parametrize("text", ["0,x", "", "0,,1", "0;1", "1/0", "1/2/3", "/2"])
def test_levels_are_numbers_between_commas(text: str) -> None:
    result = shell("--levels", text)
    assert result.exit_code == WRONG_USE
    assert f"{text!r} is not numbers between commas, as 0,0.125,0.25" in result.output


# -- perturbations and smoothers -----------------------------------------------------------------------------------


def test_an_unknown_perturbation_or_smoother_is_told_those_there_are() -> None:
    for noun in ("perturbation", "smoother"):
        said = refusal(**{noun: "gausian"})
        assert said.startswith(f"there is no {noun} 'gausian'; there are: ")
        assert {"gaussian", "median" if noun == "smoother" else "fgsm"} <= set(said.partition("are: ")[2].split(", "))


def test_a_kernel_flag_that_the_smoother_does_not_use_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Median:
        name, uses, takes_file = "median", ("kernel_size",), False

    monkeypatch.setattr(SMOOTHERS, "find", lambda _: Median())
    assert refusal(smoother="median", kernel_sigma=2.0) == (
        "--kernel-sigma: the smoother median does not use it; leave it out"
    )
    assert recipe(smoother="median", kernel_size=3, preset="article").kernel_size == 3


# -- the list of what there is -----------------------------------------------------------------------------------


def test_list_names_what_a_run_can_be_made_of() -> None:
    said = CliRunner().invoke(list_members, [], terminal_width=80).output
    for part in (
        "gaussian",
        "noise level σ",
        "0, 0.125, 0.25, 0.375",
        "timm/NAME",
        "efficientnet_lite0",
        "--arch",
        "manifest",
        "by default 0, 1/255, 2/255, 4/255. Options: --attacker",
        "Noise (--perturbation NAME): gaussian The default. Gaussian noise",
        "Smoothers (--smoother NAME): gaussian The default. Gaussian blur",
    ):
        assert part in " ".join(said.split())  # wherever a line is broken
    assert said.count("Levels: severity") == 1
    assert max(map(len, said.splitlines())) <= 80


def test_list_is_json_as_well() -> None:
    found = json.loads(CliRunner().invoke(list_members, ["--format", "json"]).output)
    gaussian = next(one for one in found["perturbations"] if one["name"] == "gaussian")
    assert (gaussian["symbol"], gaussian["levels"], gaussian["limits"]) == ("σ", [0, 0.125, 0.25, 0.375], [0, 10])
    assert gaussian["about"].startswith("Gaussian noise of standard deviation σ")
    assert gaussian["options"] == {}
    pgd = next(one for one in found["perturbations"] if one["name"] == "pgd-linf")
    assert pgd["options"]["steps"] == {"default": 10, "about": "steps along the gradient"}
    assert [one["uses"] for one in found["smoothers"] if one["name"] == "gaussian"] == [["kernel_size", "kernel_sigma"]]
    assert [one["name"] for one in found["models"]][:2] == ["efficientnet_lite0", "torchvision/NAME[@WEIGHTS]"]
    assert {"folder", "manifest"} <= {one["name"] for one in found["datasets"]}


def test_list_needs_no_torch() -> None:
    code = (
        "import sys, smoothvote; smoothvote.front_door(['list'], standalone_mode=False); print('torch' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.splitlines()[-1] == "False"


# -- classes -----------------------------------------------------------------------------------------------------


def test_classes_are_the_files_lines(tmp_path: Path) -> None:
    file = tmp_path / "classes.txt"
    file.write_bytes("cat\r\n  hot dog \n\nÄgypten\n".encode())
    assert read_classes(file) == ("cat", "hot dog", "Ägypten")
    assert recipe(classes=file) == Recipe(classes=("cat", "hot dog", "Ägypten"))
    assert recipe_of("--classes", str(file)).class_count == 3


def test_a_device_a_pipe_or_a_file_of_gigabytes_is_no_list_of_classes(tmp_path: Path) -> None:
    pipe, large = tmp_path / "pipe", tmp_path / "large.txt"
    os.mkfifo(pipe)
    with large.open("wb") as opened:
        opened.truncate(10**10)  # takes no space
    for file, why in (
        (Path("/dev/zero"), "a device or a pipe, not a file"),
        (pipe, "a device or a pipe, not a file"),
        (large, "10,000,000,000 bytes are too many: at most 16,777,216"),
    ):
        with pytest.raises(WrongUse) as caught:
            read_classes(file)
        assert str(caught.value) == f"--classes {file}: {why}; give a text file of class names, one a line"


def test_a_device_or_a_pipe_holds_no_weights(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pth")
    (tmp_path / "zero.safetensors").symlink_to("/dev/zero")  # which never ends
    for file in (tmp_path / "pipe.pth", tmp_path / "zero.safetensors"):
        for flag, given in (
            ("--model", {"model": str(file)}),
            ("--smoother denoiser:", {"smoother": f"denoiser:{file}"}),
        ):
            said = refusal(**given, arch="timm/resnet18") if flag == "--model" else refusal(**given)
            assert said == f"{flag} {file}: a device or a pipe, not a file; name a .safetensors, .pth or .pt file"


def test_classes_are_recorded_and_not_their_file(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("cat\ndog\n")
    (tmp_path / "b.txt").write_text("cat\ndog")
    assert recipe(classes=tmp_path / "a.txt").run_id("f") == recipe(classes=tmp_path / "b.txt").run_id("f")


@pytest.mark.parametrize(
    "content", [b"", b"\n\n", b"cat\n", b"cat\ndog\ncat\n"], ids=["empty", "blank", "one", "twice"]
)
def test_classes_are_two_or_more_and_differ(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "classes.txt"
    file.write_bytes(content)
    assert refusal(classes=file) == f"--classes {file}: needs two class names or more, one a line, each once"


def test_classes_that_are_not_text_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "classes.txt"
    file.write_bytes(b"caf\xe9\nbar\n")
    assert refusal(classes=file) == f"--classes {file}: not UTF-8 text; give a text file of class names, one a line"


def test_a_missing_file_of_classes_is_named(tmp_path: Path) -> None:
    assert (
        refusal(classes=tmp_path / "no.txt")
        == f"--classes {tmp_path}/no.txt: No such file or directory; give a text file of class names, one a line"
    )


# -- checkpoints -------------------------------------------------------------------------------------------------


def test_a_checkpoints_sha256_is_part_of_the_recipe(tmp_path: Path) -> None:
    file = tmp_path / "w.pth"
    file.write_bytes(b"abc")
    mine = recipe(model=str(file), arch="timm/resnet18")
    assert mine == Recipe(model=str(file), arch="timm/resnet18", checkpoint_sha256=ABC)


def test_weights_may_be_a_checkpoint(tmp_path: Path) -> None:
    file = tmp_path / "w.safetensors"
    file.write_bytes(b"abc")
    mine = recipe(model="torchvision/resnet18", weights=str(file))
    assert mine == Recipe(model="torchvision/resnet18", weights=str(file), checkpoint_sha256=ABC)


def test_named_weights_have_no_sha256_yet() -> None:
    assert recipe(weights="IMAGENET1K_V2").checkpoint_sha256 is None


def test_an_edited_checkpoint_is_another_recipe(tmp_path: Path) -> None:
    file = tmp_path / "w.pt"
    file.write_bytes(b"abc")
    before = recipe(model=str(file), arch="timm/resnet18")
    file.write_bytes(b"abd")
    after = recipe(model=str(file), arch="timm/resnet18")
    assert before.run_id("f") != after.run_id("f")
    file.write_bytes(b"abc")
    assert recipe(model=str(file), arch="timm/resnet18").run_id("f") == before.run_id("f")


def test_a_checkpoint_is_the_same_from_every_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sub").mkdir()
    file = tmp_path / "w.pth"
    file.write_bytes(b"abc")
    absolute = recipe(model=str(file), arch="timm/resnet18")
    monkeypatch.chdir(tmp_path)
    assert recipe(model="w.pth", arch="timm/resnet18") == absolute
    monkeypatch.setenv("HOME", str(tmp_path))
    assert recipe(model="~/w.pth", arch="timm/resnet18") == absolute


@pytest.mark.parametrize("flag", ["model", "weights"])
def test_a_missing_checkpoint_is_named_with_its_flag(tmp_path: Path, flag: str) -> None:
    file = tmp_path / "no.pth"
    given = {flag: str(file)} | ({"arch": "timm/resnet18"} if flag == "model" else {})
    message = refusal(**given)
    assert message == f"--{flag} {file}: No such file or directory; name a .safetensors, .pth or .pt file"


def test_a_folder_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "w.pth").mkdir()
    assert f"--weights {tmp_path}/w.pth: Is a directory" in refusal(weights=str(tmp_path / "w.pth"))


def test_a_checkpoint_without_architecture_is_told_so_before_it_is_looked_for(tmp_path: Path) -> None:
    message = refusal(model=str(tmp_path / "no.pth"))
    assert "--arch" in message
    assert "No such file" not in message
