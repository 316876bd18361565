"""The names of classes, as indices of the model's outputs."""

import pytest

from db.recipe import Recipe
from producer.labels import Labels

IMAGENET = Labels(Recipe())
CUSTOM = Labels(Recipe(classes=("cat", "Hot Dog", "7", "n01443537", "T-Rex", "t rex")))


@pytest.mark.parametrize(
    ("wnid", "index"),
    [("n01440764", 0), ("n01443537", 1), ("n02012849", 134), ("n03126707", 517), ("n15075141", 999)],
)
def test_a_class_is_found_by_its_wnid(wnid: str, index: int) -> None:
    assert IMAGENET.by_wnid(wnid) == index
    assert IMAGENET.find(wnid) == index


@pytest.mark.parametrize("name", ["n00000000", "N01440764", "n1440764", "n01440764_tench", "", "01440764"])
def test_what_only_looks_like_a_wnid_is_no_class(name: str) -> None:
    assert IMAGENET.by_wnid(name) is None


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("tench", 0),
        ("TENCH", 0),
        (" tench ", 0),
        ("great white shark", 2),
        ("great_white_shark", 2),
        ("Great-White-Shark", 2),
        ("great__white  shark", 2),
        ("t-shirt", 610),
        ("T_shirt", 610),
    ],
)
def test_a_class_is_found_by_its_name_in_any_spelling(name: str, index: int) -> None:
    assert IMAGENET.by_name(name) == index
    assert IMAGENET.find(name) == index


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("Tinca tinca", 0),
        ("tench, Tinca tinca", 0),
        ("tinca_tinca", 0),
        ("Carassius auratus", 1),
        ("goldfish, Carassius auratus", 1),
    ],
)
def test_a_class_is_found_by_its_synonyms(name: str, index: int) -> None:
    assert IMAGENET.by_name(name) == index


@pytest.mark.parametrize("name", ["crane", "Crane", "maillot", "missile"])
def test_a_name_that_two_classes_share_finds_neither(name: str) -> None:
    assert IMAGENET.by_name(name) is None
    assert IMAGENET.find(name) is None


def test_two_classes_of_one_name_are_told_apart_by_their_longer_names() -> None:
    assert IMAGENET.by_name("crane bird") == 134
    assert IMAGENET.by_name("construction crane") == 517


@pytest.mark.parametrize("name", ["", "tenc", "tench fish", "great white"])
def test_a_part_of_a_name_finds_no_class(name: str) -> None:
    assert IMAGENET.by_name(name) is None


@pytest.mark.parametrize(("name", "index"), [("0", 0), ("999", 999), ("007", 7)])
def test_a_class_is_found_by_its_index(name: str, index: int) -> None:
    assert IMAGENET.by_index(name) == index
    assert IMAGENET.find(name) == index


@pytest.mark.parametrize("name", ["1000", "-1", "+1", "1.0", "", " 1", "1_0", "²", "٣"])
def test_a_number_that_is_no_output_of_the_model_finds_no_class(name: str) -> None:
    assert IMAGENET.by_index(name) is None


def test_imagenet_has_1000_classes() -> None:
    assert IMAGENET.count == 1000


# -- custom classes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "index"),
    [("cat", 0), ("CAT", 0), ("hot_dog", 1), ("0", 0), ("1", 1), ("5", 5), ("n01443537", 3)],
)
def test_custom_classes_are_found_by_name_and_index(name: str, index: int) -> None:
    assert CUSTOM.find(name) == index


def test_a_name_is_tried_before_an_index() -> None:
    assert Labels(Recipe(classes=("1", "0"))).find("1") == 0


@pytest.mark.parametrize("name", ["tench", "n01440764", "6", "7.0", ""])
def test_names_of_imagenet_find_no_custom_class(name: str) -> None:
    assert CUSTOM.find(name) is None


def test_a_name_that_two_custom_classes_share_finds_neither() -> None:
    assert CUSTOM.find("t-rex") is None
    assert CUSTOM.find("T-Rex") is None


def test_custom_classes_are_counted() -> None:
    assert CUSTOM.count == 6


# -- file names --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stem", "index"),
    [
        ("n01440764_tench", 0),
        ("n01443537_123", 1),
        ("n01443537", 1),
        ("n15075141-7", 999),
        ("n15075141.crop", 999),
        # ILSVRC's own list of its validation set begins with a sea snake and a ski.
        ("ILSVRC2012_val_00000001", 65),
        ("ILSVRC2012_val_00000002", 970),
        ("ILSVRC2012_val_00000293", 0),
        ("ILSVRC2012_val_00050000", 355),
    ],
)
def test_a_file_name_gives_its_class(stem: str, index: int) -> None:
    assert IMAGENET.by_file(stem) == index


@pytest.mark.parametrize(
    "stem",
    [
        "tench",
        "0",
        "",
        "n01440764x",
        "n014407640",
        "photo_n01440764",
        "ILSVRC2012_test_00000001",
        "ILSVRC2012_val_00000000",
        "ILSVRC2012_val_00050001",
        "ILSVRC2012_val_1",
        "ilsvrc2012_val_00000001",
    ],
)
def test_any_other_file_name_gives_none(stem: str) -> None:
    assert IMAGENET.by_file(stem) is None


def test_a_file_name_with_an_unknown_wnid_is_an_error() -> None:
    with pytest.raises(KeyError, match="n99999999"):
        IMAGENET.by_file("n99999999_thing")


@pytest.mark.parametrize("stem", ["n01440764_tench", "n99999999_thing", "ILSVRC2012_val_00000001", "cat"])
def test_a_file_name_gives_no_custom_class(stem: str) -> None:
    assert CUSTOM.by_file(stem) is None
