"""Files are written whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from pathlib import Path

import pytest

from finops_policy import files
from finops_policy.errors import EvidenceError
from finops_policy.files import make_folder, write_atomic
from tests.unit.evidence_kit import largest_file, unprivileged


def test_content_and_mode(tmp_path: Path) -> None:
    write_atomic(tmp_path / "open", b"one")
    write_atomic(tmp_path / "closed", b"two", 0o600)
    assert (tmp_path / "open").read_bytes() == b"one"
    assert (tmp_path / "open").stat().st_mode & 0o700 == 0o600
    assert (tmp_path / "closed").stat().st_mode & 0o777 == 0o600


def test_replaces_what_was_there_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    write_atomic(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_is_replaced_and_its_target_left_alone(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"mine")
    link = tmp_path / "link"
    link.symlink_to(target)
    write_atomic(link, b"new")
    assert target.read_bytes() == b"mine"
    assert not link.is_symlink()


def test_a_full_disk_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with largest_file(1000), pytest.raises(EvidenceError) as caught:
        write_atomic(path, b"x" * 5000)
    assert str(path) in caught.value.message
    assert "File too large" in caught.value.message
    assert "ulimit" in caught.value.hint
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("where", "reason"), [("file/below", "Not a directory"), ("nowhere/file", "No such file")])
def test_where_nothing_can_be_written(tmp_path: Path, where: str, reason: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(EvidenceError, match=reason) as caught:
        write_atomic(tmp_path / where, b"data")
    assert caught.value.hint


def test_a_folder_of_that_name(tmp_path: Path) -> None:
    with pytest.raises(EvidenceError, match="Is a directory"):
        write_atomic(tmp_path, b"data")
    assert list(tmp_path.parent.glob(".*.tmp")) == []


def test_a_folder_without_permission() -> None:
    with tempfile.TemporaryDirectory() as name, unprivileged(Path(name)):
        folder = Path(name)
        folder.chmod(0o500)
        with pytest.raises(EvidenceError, match="Permission denied") as caught:
            write_atomic(folder / "file", b"data")
        folder.chmod(0o700)
    assert "permissions" in caught.value.hint


def test_interrupted_while_it_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(temporary: Path, path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "publish", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(tmp_path / "file", b"data")
    assert list(tmp_path.iterdir()) == []


def test_folders_are_for_their_owner(tmp_path: Path) -> None:
    make_folder(tmp_path / "folder")
    assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o700
    make_folder(tmp_path / "folder", exist_ok=True)
    with pytest.raises(EvidenceError, match="File exists"):
        make_folder(tmp_path / "folder")
    (tmp_path / "file").touch()
    with pytest.raises(EvidenceError, match="File exists"):
        make_folder(tmp_path / "file", exist_ok=True)


def test_a_file_system_that_cannot_flush_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.fsync

    def flush(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", flush)
    write_atomic(tmp_path / "file", b"data")
    assert (tmp_path / "file").read_bytes() == b"data"


def test_a_disk_that_breaks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(EvidenceError, match="Input/output error"):
        write_atomic(tmp_path / "file", b"data")
    assert list(tmp_path.iterdir()) == []
