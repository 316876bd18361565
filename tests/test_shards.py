"""How the record names an image in a shard."""

import pytest

from db.shards import Cell, Member, Span, folder_of_shards, member_name, shards_root


@pytest.mark.parametrize(
    ("member", "path"),
    [
        (Member("val-000.tar", Span(1536, 45678), "kite.jpg"), "val-000.tar@1536+45678/kite.jpg"),
        (Member("val/0.tar", Span(512, 5), "n01440764/a@2x.jpg"), "val/0.tar@512+5/n01440764/a@2x.jpg"),
        (Member("a@1+1/b%.tar", Span(0, 0), ""), "a%401+1/b%25.tar@0+0"),
        (Member("val.parquet", Cell("image", 17), "kite.jpg"), "val.parquet@image:17/kite.jpg"),
        (Member("val.parquet", Cell("my image/1:2@3", 0), ""), "val.parquet@my%20image%2F1%3A2%403:0"),
    ],
)
def test_a_path_names_the_shard_the_place_in_it_and_the_image(member: Member, path: str) -> None:
    assert member.path == path
    assert Member.of(path) == member


@pytest.mark.parametrize("path", ["", "a.jpg", "a@2x.jpg", "a.tar@1+/b", "a.tar@-1+5/b", "a.tar@1/b", "a.tar@image:x"])
def test_a_path_that_names_no_image_in_a_shard_is_an_error(path: str) -> None:
    with pytest.raises(ValueError, match="no image in a shard"):
        Member.of(path)


@pytest.mark.parametrize(
    ("folder", "root"),
    [
        ("/data/val", "shards:///data/val"),
        ("val", "shards://val"),
        ("s3://bucket/val", "shards+s3://bucket/val"),
    ],
)
def test_the_root_of_shards_is_like_no_other(folder: str, root: str) -> None:
    assert shards_root(folder) == root
    assert folder_of_shards(root) == folder
    assert folder_of_shards(folder) is None


@pytest.mark.parametrize("root", ["shards+val", "/shards+a/b", "shards", "file:///shards+a"])
def test_a_folder_may_have_the_name_of_the_scheme(root: str) -> None:
    assert folder_of_shards(root) is None


def test_a_name_from_a_table_is_the_last_part_of_a_path_as_the_record_can_hold_it() -> None:
    assert member_name("/home/me/photos/kite.jpg") == "kite.jpg"
    assert member_name("a\0b\udcff.jpg") == "ab?.jpg"
    assert member_name(None) == member_name("") == ""
