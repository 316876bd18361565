import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from db.axis import NOISE, Axis
from db.errors import WrongUse
from db.registry import Family

ALIKE = """
class Member:
    def __init__(self, name):
        self.name = name
MEMBERS = (Member("snow"), Member("fog"))
"""
MEMBER = "class Member:\n    name = {name!r}\nMEMBER = Member()\n"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Makes a package of files with these texts, and gives its name."""

    def make(**files: str) -> str:
        name = f"family_of_{tmp_path.name}"
        folder = tmp_path / name
        folder.mkdir()
        for stem, text in {"__init__": "", **files}.items():
            (folder / f"{stem}.py").write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
        return name

    return make


def test_members_are_found_by_their_own_names(package: Callable[..., str]) -> None:
    family = Family(package(b=MEMBER.format(name="pgd-linf"), a=MEMBER.format(name="box"), helper="x = 1"), "toy")
    assert list(family) == ["box", "pgd-linf"]  # in the order of their files
    assert len(family) == 2
    assert family.find("pgd-linf") is family["pgd-linf"]


def test_an_unknown_name_is_told_those_there_are(package: Callable[..., str]) -> None:
    family = Family(package(a=MEMBER.format(name="box"), b=MEMBER.format(name="median")), "smoother")
    with pytest.raises(WrongUse) as refused:
        family.find("gausian")
    assert str(refused.value) == "there is no smoother 'gausian'; there are: box, median"
    assert "gausian" not in family


def test_a_file_of_members_that_are_alike_holds_them_all(package: Callable[..., str]) -> None:
    family = Family(package(b=ALIKE, a=MEMBER.format(name="box")), "toy")
    assert list(family) == ["box", "snow", "fog"]  # in their own order


def test_nothing_is_imported_before_a_member_is_asked_for(package: Callable[..., str]) -> None:
    name = package(a=MEMBER.format(name="box"))
    family = Family(name, "toy")
    assert name not in sys.modules
    assert "box" in family
    assert f"{name}.a" in sys.modules


def test_two_files_with_one_name_are_an_error(package: Callable[..., str]) -> None:
    family = Family(package(a=MEMBER.format(name="box"), b=MEMBER.format(name="box")), "toy")
    with pytest.raises(ImportError, match="are both called 'box'"):
        list(family)


# -- the axis that a perturbation names its levels by ------------------------------------------------------------


def test_a_level_is_written_with_its_symbol() -> None:
    assert NOISE.at(0.25) == "σ = 0.25"
    assert Axis("severity", "severity").at(3) == "severity = 3"


def test_a_whole_number_of_parts_is_written_as_a_fraction_and_any_other_level_as_it_is() -> None:
    axis = Axis("ε", "attack size", parts=255)
    assert [axis.at(level) for level in (0, 1 / 255, 4 / 255)] == ["ε = 0", "ε = 1/255", "ε = 4/255"]
    assert [axis.number(level) for level in (0.01, 1.0, 2.0)] == ["0.01", "1", "2"]
    assert NOISE.number(1 / 255) == "0.00392157"


def test_an_axis_that_was_recorded_without_a_kind_is_of_noise() -> None:
    assert Axis(symbol="ε", title="attack strength", unit="").kind == "noise"


def test_a_level_that_is_a_whole_number_of_parts_is_written_as_a_fraction() -> None:
    attack = Axis("ε", "attack size", parts=255)
    assert [attack.at(level) for level in (1 / 255, 4 / 255)] == ["ε = 1/255", "ε = 4/255"]
    assert [attack.number(level) for level in (0, 0.01, 1, 1.5 / 255)] == ["0", "0.01", "1", "0.00588235"]
    assert Axis("ε", "attack size").number(51 / 255) == "0.2"


def test_an_axis_is_labelled_by_title_symbol_and_unit() -> None:
    assert NOISE.label == "noise level σ (standard deviation of pixels in [0, 1])"
    assert Axis("ε", "attack strength").label == "attack strength ε"
    assert Axis("severity", "severity").label == "severity"
