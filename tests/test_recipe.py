import hashlib
from typing import Any

import pytest

from db.errors import WRONG_USE, WrongUse
from db.recipe import DEFAULT_MODEL, Recipe, make_recipe

CHECKPOINT: dict[str, Any] = {"model": "/w/a.pth", "arch": "timm/resnet18"}
DENOISER: dict[str, Any] = {"smoother": "denoiser", "smoother_file": "/w/d.safetensors"}
#: A certificate that stops early.
STOPS: dict[str, Any] = {"levels": (0.5,), "selection": 100, "stop_radius": 0.5, "stop_alpha": 0.001, "stop_n": 1000}

#: Every field of a recipe: what it is set to in one recipe, and what in another.
CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "model": ({}, {"model": "timm/resnet18"}),
    "arch": (CHECKPOINT, CHECKPOINT | {"arch": "timm/resnet34"}),
    "weights": ({}, {"weights": "IMAGENET1K_V2"}),
    "checkpoint_sha256": (CHECKPOINT | {"checkpoint_sha256": "0"}, CHECKPOINT | {"checkpoint_sha256": "1"}),
    "classes": ({"classes": ("cat", "dog")}, {"classes": ("dog", "cat")}),
    "perturbation": ({}, {"perturbation": "salt"}),
    "options": ({}, {"options": {"steps": 10}}),
    "levels": ({}, {"levels": (0.0, 0.125, 0.25)}),
    "smoother": ({}, {"smoother": "median"}),
    "smoother_sha256": (DENOISER | {"smoother_sha256": "0"}, DENOISER | {"smoother_sha256": "1"}),
    "kernel_size": ({}, {"kernel_size": 7}),
    "kernel_sigma": ({}, {"kernel_sigma": 1.5}),
    "seed": ({}, {"seed": 1}),
    "selection": ({"levels": (0.5,)}, {"levels": (0.5,), "selection": 100}),
    "stop_radius": (STOPS, STOPS | {"stop_radius": 0.25}),
    "stop_alpha": (STOPS, STOPS | {"stop_alpha": 0.01}),
    "stop_n": (STOPS, STOPS | {"stop_n": 2000}),
    "resize": ({}, {"resize": 256}),
    "crop": ({}, {"crop": 224}),
    "interpolation": ({}, {"interpolation": "bicubic"}),
    "antialias": ({}, {"antialias": False}),
    "mean": ({}, {"mean": (0.5, 0.5, 0.5)}),
    "std": ({}, {"std": (0.5, 0.5, 0.5)}),
    "grayscale": ({}, {"grayscale": "skip"}),
    "precision": ({}, {"precision": "bf16"}),
}


def refusal(**fields: Any) -> str:
    with pytest.raises(WrongUse) as caught:
        make_recipe(**fields)
    assert caught.value.exit_code == WRONG_USE
    message = str(caught.value)
    assert message == message.strip()
    assert "\n" not in message
    return message


# -- identity ----------------------------------------------------------------------------------------------------


def test_a_run_id_is_16_hex_digits_of_the_content() -> None:
    # Written out: whatever changes this text makes every recorded run another one.
    content = (
        '[2,{"grayscale":"convert","kernel_sigma":1.0,"kernel_size":5,"levels":[0.0,0.125,0.25,0.375],'
        '"model":"torchvision/resnet50@IMAGENET1K_V1","precision":"exact","seed":0},"fingerprint"]'
    )
    assert Recipe().run_id("fingerprint") == hashlib.sha256(content.encode()).hexdigest()[:16]


def test_the_same_content_is_the_same_run() -> None:
    spelled_out = make_recipe(model=DEFAULT_MODEL, levels=[0, 0.125, 0.25, 0.375], kernel_size=5, seed=0)
    assert spelled_out == Recipe()
    assert spelled_out.run_id("f") == Recipe().run_id("f")


def test_another_dataset_is_another_run() -> None:
    assert Recipe().run_id("f") != Recipe().run_id("g")


def test_another_method_is_another_run(monkeypatch: pytest.MonkeyPatch) -> None:
    before = Recipe().run_id("f")
    monkeypatch.setattr("db.recipe.METHOD", 1_000)
    assert Recipe().run_id("f") != before


def test_the_table_of_changes_has_every_field() -> None:
    # A file of weights is what it holds and not where it lies (tests/test_denoiser.py).
    assert set(CHANGES) == set(Recipe.model_fields) - {"smoother_file"}


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_field_is_another_run(name: str) -> None:
    one, other = (make_recipe(**fields) for fields in CHANGES[name])
    assert getattr(one, name) != getattr(other, name)
    assert one.run_id("f") != other.run_id("f")


def test_the_order_of_levels_is_no_matter() -> None:
    shuffled = make_recipe(levels=(0.25, 0.0, 0.375, 0.125))
    assert shuffled.levels == (0.0, 0.125, 0.25, 0.375)
    assert shuffled.run_id("f") == Recipe().run_id("f")


def test_the_content_has_no_field_that_is_left_to_the_weights() -> None:
    assert Recipe().content() == {
        "model": "torchvision/resnet50@IMAGENET1K_V1",
        "levels": [0.0, 0.125, 0.25, 0.375],
        "kernel_size": 5,
        "kernel_sigma": 1.0,
        "seed": 0,
        "grayscale": "convert",
        "precision": "exact",
    }


def test_a_field_that_is_off_is_not_a_field_that_is_unset() -> None:
    assert make_recipe(antialias=False).content()["antialias"] is False


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(),
        Recipe(levels=(0.1, 0.3), classes=("cat", "dog"), mean=(0.1, 0.2, 0.3), std=(1, 1, 1), antialias=False),
        Recipe(model="/w/a.safetensors", arch="torchvision/resnet18", checkpoint_sha256="ab"),
        make_recipe(perturbation="pgd-linf", options={"steps": 5, "target": "none", "step_size": 0.5}),
        make_recipe(levels=(0.25, 0.5), smoother="none", selection=100),
    ],
    ids=["defaults", "choices", "checkpoint", "options", "certificate"],
)
def test_a_recipe_comes_back_from_its_content(recipe: Recipe) -> None:
    back = make_recipe(**recipe.content())
    assert back == recipe
    assert back.run_id("f") == recipe.run_id("f")


def test_the_articles_perturbation_and_smoother_are_left_out_of_a_runs_id() -> None:
    named = make_recipe(perturbation="gaussian", smoother="gaussian")
    assert named.run_id("f") == Recipe().run_id("f")
    assert not {"perturbation", "smoother"} & named.content().keys()
    assert make_recipe(perturbation="salt").content()["perturbation"] == "salt"


def test_options_are_an_object_in_json_and_none_are_left_out() -> None:
    told = make_recipe(perturbation="pgd-linf", options={"target": 3, "steps": 10})
    assert told.content()["options"] == told.model_dump()["options"] == {"steps": 10, "target": 3}
    assert told == make_recipe(perturbation="pgd-linf", options={"steps": 10, "target": 3})
    assert hash(told) == hash(make_recipe(perturbation="pgd-linf", options={"steps": 10, "target": 3}))
    assert make_recipe(options={}) == Recipe()
    assert "options" not in Recipe().content()


def test_recipes_that_share_a_model_share_a_classifier_whatever_is_done_to_the_images() -> None:
    noisy = Recipe(levels=(0.5, 1, 2, 3), kernel_size=7, kernel_sigma=2.0, seed=3, grayscale="skip")
    other = make_recipe(
        perturbation="salt", options={"grains": 3}, levels=(0, 1, 2, 3), smoother="median", kernel_size=3
    )
    assert noisy.classifier_key() == other.classifier_key() == Recipe().classifier_key()
    # The number of levels counts: it decides how many views a forward pass has.
    assert noisy.classifier_key() != Recipe(levels=(0.5,)).classifier_key()


def test_certificates_share_a_classifier_which_a_vote_does_not() -> None:
    one = make_recipe(levels=(0.25,), smoother="none", selection=10)
    other = make_recipe(levels=(0.25, 0.5, 1.0), smoother="median", selection=100, seed=3)
    assert one.classifier_key() == other.classifier_key()
    assert one.classifier_key() != make_recipe(levels=(0.25,)).classifier_key()


@pytest.mark.parametrize(
    "fields",
    [{"model": "timm/resnet18"}, {"resize": 256}, {"precision": "bf16"}, {"classes": ("cat", "dog")}],
    ids=lambda fields: next(iter(fields)),
)
def test_model_and_preprocessing_change_the_classifier(fields: dict[str, Any]) -> None:
    assert Recipe(**fields).classifier_key() != Recipe().classifier_key()


# -- what a recipe says of itself --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "checkpoint"),
    [
        ({}, None),
        ({"weights": "IMAGENET1K_V2"}, None),
        ({"model": "/w/a.pth", "arch": "timm/resnet18"}, "/w/a.pth"),
        ({"model": "/w/a.pt", "arch": "timm/resnet18"}, "/w/a.pt"),
        ({"model": "/w/a.safetensors", "arch": "torchvision/resnet18"}, "/w/a.safetensors"),
        ({"model": "timm/resnet18", "weights": "/w/b.safetensors"}, "/w/b.safetensors"),
    ],
)
def test_a_checkpoint_is_known_by_its_suffix(fields: dict[str, Any], checkpoint: str | None) -> None:
    assert make_recipe(**fields).checkpoint == checkpoint


def test_a_model_has_as_many_outputs_as_classes() -> None:
    assert Recipe().class_count == 1000
    assert Recipe(classes=("cat", "dog", "cow")).class_count == 3


@pytest.mark.parametrize("name", ["efficientnet_lite0", "torchvision/vit_b_16", "timm/mobilenetv3_small_100.lamb_in1k"])
def test_a_model_may_be_bundled_or_from_torchvision_or_timm(name: str) -> None:
    assert make_recipe(model=name).model == name


# -- wrong use ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "parts"),
    [
        ({"levels": ()}, ["--levels:", "at least 1 item"]),
        ({"levels": (-0.1,)}, ["--levels:", "greater than or equal to 0", "(given: -0.1)"]),
        ({"levels": (float("nan"),)}, ["--levels:", "finite", "(given: nan)"]),
        ({"levels": (float("inf"),)}, ["--levels:", "(given: inf)"]),
        ({"levels": (0.25, 0.125, 0.25)}, ["--levels: the same level is given twice"]),
        ({"kernel_size": 1}, ["--kernel-size:", "greater than or equal to 3", "(given: 1)"]),
        ({"kernel_size": 65}, ["--kernel-size:", "less than or equal to 63", "(given: 65)"]),
        ({"kernel_size": 4}, ["--kernel-size: 4 is even", "a centred kernel is odd"]),
        ({"kernel_sigma": 0.0}, ["--kernel-sigma:", "greater than 0", "(given: 0.0)"]),
        ({"kernel_sigma": float("nan")}, ["--kernel-sigma:", "finite"]),
        ({"seed": -1}, ["--seed:", "greater than or equal to 0", "(given: -1)"]),
        ({"seed": 2**63}, ["--seed:", "less than 9223372036854775808"]),
        ({"resize": 0}, ["--resize:", "greater than or equal to 1"]),
        ({"crop": 2049}, ["--crop:", "less than or equal to 2048"]),
        ({"resize": 224, "crop": 225}, ["--crop: 225 is larger than the resized short side, 224"]),
        ({"interpolation": "nearest"}, ["--interpolation:", "'bilinear' or 'bicubic'", "(given: nearest)"]),
        ({"grayscale": "drop"}, ["--grayscale:", "'convert' or 'skip'"]),
        ({"precision": "fp16"}, ["--precision:", "'exact' or 'bf16'"]),
        ({"std": (1.0, 0.0, 1.0)}, ["--std: must be above 0"]),
        ({"std": (1.0, float("inf"), 1.0)}, ["--std:", "finite"]),
        ({"mean": (float("nan"), 0.0, 0.0)}, ["--mean:", "finite"]),
        ({"mean": (0.0, 0.0)}, ["--mean: three numbers, one a channel"]),
        ({"sigma": 1}, ["--sigma:"]),
        ({"levels": (0.5,), "selection": 0}, ["--n0:", "greater than or equal to 1", "(given: 0)"]),
        ({"levels": (0.0, 0.5), "selection": 10}, ["--sigma: every noise level of a certificate must be above 0"]),
        ({"perturbation": "salt", "levels": (0.5,), "selection": 10}, ["Gaussian noise only", "leave out salt"]),
        (
            {"options": {"steps": 2}, "levels": (0.5,), "selection": 10},
            ["Gaussian noise only", "leave out its options"],
        ),
    ],
)
def test_a_value_out_of_range_is_named(fields: dict[str, Any], parts: list[str]) -> None:
    message = refusal(**fields)
    for part in parts:
        assert part in message


def test_every_wrong_value_is_named_at_once() -> None:
    message = refusal(seed=-1, crop=0)
    assert "--seed:" in message
    assert "--crop:" in message


def test_one_wrong_value_is_told_once() -> None:
    assert refusal(levels=(-0.1,)).count("--levels") == 1


def test_minus_zero_is_zero() -> None:
    assert make_recipe(levels=(-0.0,)).run_id("f") == make_recipe(levels=(0.0,)).run_id("f")


def test_a_checkpoint_is_what_it_holds_and_not_where_it_lies() -> None:
    given = {"arch": "timm/resnet18", "checkpoint_sha256": "a" * 64}
    here, there = (make_recipe(model=f"/{place}/mine.pth", **given) for place in ("here", "there"))
    assert here.run_id("f") == there.run_id("f")
    assert make_recipe(model="/here/mine.pth", arch="timm/resnet18", checkpoint_sha256="b" * 64).run_id(
        "f"
    ) != here.run_id("f")


def test_limits_themselves_are_allowed() -> None:
    recipe = make_recipe(levels=(0, 10), kernel_size=63, kernel_sigma=100, seed=2**63 - 1, resize=224, crop=224)
    assert (recipe.levels, recipe.kernel_size, recipe.seed, recipe.crop) == ((0.0, 10.0), 63, 2**63 - 1, 224)
    assert make_recipe(kernel_size=3).kernel_size == 3


def test_a_checkpoint_needs_its_architecture() -> None:
    message = refusal(model="/w/a.pth")
    assert "/w/a.pth is a checkpoint" in message
    assert "--arch" in message
    assert "timm/resnet18" in message


def test_an_architecture_needs_a_checkpoint() -> None:
    message = refusal(model="timm/resnet18", arch="timm/resnet34")
    assert "--arch goes with a checkpoint on disk" in message
    assert "timm/resnet18" in message


def test_a_checkpoint_has_no_other_weights() -> None:
    assert "--weights goes with a named model" in refusal(**CHECKPOINT, weights="IMAGENET1K_V1")


@pytest.mark.parametrize("name", ["resnet50", "timm/", "torchvision", "keras/resnet50", "/w/a.onnx", "TIMM/resnet18"])
def test_an_unknown_model_is_told_the_known_ones(name: str) -> None:
    message = refusal(model=name)
    assert f"unknown model {name!r}" in message
    for known in ("efficientnet_lite0", "torchvision/NAME[@WEIGHTS]", "timm/NAME", ".safetensors", "--arch"):
        assert known in message


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("EfficientNet-Lite0", "efficientnet_lite0"),
        ("efficientnet_lite", "efficientnet_lite0"),
        ("resnet50", "torchvision/resnet50 or timm/resnet50"),
        ("TIMM/resnet18", "timm/resnet18"),
        ("torchvison/resnet18", "torchvision/resnet18"),
    ],
)
def test_an_unknown_model_is_answered_by_the_one_that_was_meant(name: str, meant: str) -> None:
    assert f"unknown model {name!r}: did you mean {meant}? use " in refusal(model=name)


def test_nothing_is_meant_by_a_name_that_is_like_none() -> None:
    assert "did you mean" not in refusal(model="keras/resnet50") + refusal(model="timm/")


def test_an_unknown_architecture_is_named() -> None:
    message = refusal(model="/w/a.pth", arch="resnet18")
    assert message.startswith("--arch: unknown model 'resnet18': did you mean torchvision/resnet18 or timm/resnet18?")


def test_a_model_without_a_name_is_refused() -> None:
    assert refusal(model="").startswith("--model:")


def test_a_recipe_does_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Recipe().seed = 1
