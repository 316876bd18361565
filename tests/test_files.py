"""Reading the bytes of images in folders: what is wrong with one file, and what is wrong with the machine."""

import contextlib
import errno
import os
import shutil
import socket
import stat
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from db.errors import Refusal
from db.settings import Settings
from db.store import Entry
from worker.files import find_root, read
from worker.stored import MACHINE_ERRORS
from worker.unusable import Unusable


def entry(path: str, size: int | None = None) -> Entry:
    return Entry(path=path, label=None, bytes=size)


def make_socket(file: Path) -> None:
    # Bound by its name alone: the whole path may be longer than a socket allows.
    with contextlib.chdir(file.parent), socket.socket(socket.AF_UNIX) as made:
        made.bind(file.name)


def make_device(file: Path) -> None:
    try:
        os.mknod(file, stat.S_IFCHR | 0o600, os.makedev(1, 5))  # as /dev/zero
    except PermissionError:
        pytest.skip("only root makes devices")


def test_the_bytes_of_a_file_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"12345")
    assert read(str(tmp_path), entry("a.jpg", 5), Settings()) == b"12345"


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda file: file.with_name("b.jpg").touch(), "missing"),
        (lambda file: file.touch(), "empty"),
        (lambda file: file.mkdir(), "not_a_file"),
        (os.mkfifo, "not_a_file"),
        (lambda file: file.symlink_to("/etc/hostname"), "outside_root"),
        (lambda file: file.symlink_to("/dev/zero"), "outside_root"),
        (lambda file: file.symlink_to("nowhere"), "missing"),
        (lambda file: file.symlink_to("a.jpg"), "unreadable"),
        (make_socket, "not_a_file"),
        (make_device, "not_a_file"),
        (lambda file: file.write_bytes(b"123456"), "changed"),
        (lambda file: file.write_bytes(b"1" * 101), "too_many_bytes"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_coded_reason(
    tmp_path: Path, make: Callable[[Path], object], code: str
) -> None:
    make(tmp_path / "a.jpg")
    with pytest.raises(Unusable) as raised:
        read(str(tmp_path), entry("a.jpg", 5 if code == "changed" else None), Settings(max_bytes=100))
    assert raised.value.code == code


def test_a_path_may_not_leave_the_root(tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    (tmp_path / "images").mkdir()
    with pytest.raises(Unusable, match="outside_root"):
        read(str(tmp_path / "images"), entry("../secret.jpg"), Settings())


def test_a_link_may_lead_anywhere_below_the_image_root(tmp_path: Path) -> None:
    (tmp_path / "all").mkdir()
    (tmp_path / "all" / "a.jpg").write_bytes(b"12345")
    (tmp_path / "some").mkdir()
    (tmp_path / "some" / "a.jpg").symlink_to("../all/a.jpg")
    assert read(str(tmp_path / "some"), entry("a.jpg"), Settings(image_root=tmp_path)) == b"12345"


def test_a_root_that_is_not_mounted_is_refused_and_blames_no_image() -> None:
    with pytest.raises(Refusal, match="SMOOTHVOTE_IMAGE_ROOT"):
        find_root("/nowhere/at/all", Settings())


def test_a_relative_root_is_below_the_image_root(tmp_path: Path) -> None:
    (tmp_path / "val").mkdir()
    assert find_root("val", Settings(image_root=tmp_path)) == str(tmp_path / "val")


@pytest.mark.parametrize("url", ["http://169.254.169.254/latest", "s3://bucket/images", "memory://images"])
def test_a_worker_reads_no_url_that_its_settings_do_not_allow(url: str) -> None:
    with pytest.raises(Refusal, match="SMOOTHVOTE_URL_SCHEMES"):
        find_root(url, Settings())


def test_a_relative_root_needs_the_image_root_of_the_submitter(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="submitted with SMOOTHVOTE_IMAGE_ROOT set; set it to the same"):
        find_root("photos-that-are-not-here", Settings())
    with pytest.raises(Refusal, match="mount them there, or set SMOOTHVOTE_IMAGE_ROOT"):
        find_root("photos", Settings(image_root=tmp_path))
    with pytest.raises(Refusal, match="mount them there, or set SMOOTHVOTE_IMAGE_ROOT"):
        find_root(str(tmp_path / "photos"), Settings())


# -- faults of the machine ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("empty", [False, True])
def test_a_folder_that_goes_away_is_the_machines_fault(tmp_path: Path, empty: bool) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.jpg").write_bytes(b"12345")
    root = find_root(str(tmp_path / "images"), Settings())
    shutil.rmtree(root)
    if empty:
        Path(root).mkdir()  # as a mount point with nothing mounted
    with pytest.raises(Refusal, match="does not see the images at") as raised:
        read(root, entry("a.jpg"), Settings())
    assert "\n" not in str(raised.value)


def test_running_out_of_file_handles_is_the_machines_fault(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"12345")
    script = """
        import os, resource, sys
        from db.errors import Refusal
        from db.settings import Settings
        from db.store import Entry
        from worker.files import read
        entry = Entry(path="a.jpg", label=None, bytes=None)
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        held = []
        try:
            while True:
                held.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            pass
        try:
            read(sys.argv[1], entry, Settings())
        except Refusal as reason:
            print(reason)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), tmp_path], cwd=Path(__file__).parent.parent,
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout == f"this machine cannot read below {tmp_path}: Too many open files\n", done.stderr


@pytest.mark.parametrize("number", sorted(MACHINE_ERRORS))
def test_a_failing_mount_is_the_machines_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    (tmp_path / "a.jpg").write_bytes(b"12345")
    # A test cannot make a mount fail in each of these ways, but it can raise the error that the system would.
    with pytest.raises(Refusal, match="this machine cannot read below"):
        read_failing(tmp_path, number, monkeypatch)


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES])
def test_one_bad_file_is_not_the_machines_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    (tmp_path / "a.jpg").write_bytes(b"12345")
    with pytest.raises(Unusable, match="unreadable"):
        read_failing(tmp_path, number, monkeypatch)


def read_failing(root: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", fail)
        read(str(root), entry("a.jpg"), Settings())
