"""Files are written whole or not at all.

A reader, or the next run after a crash, sees the old content or the new one, never a part of it: data goes to a
temporary file in the same folder, is flushed to the disk, and takes its name in one step. The limit is the file system:
one that lies about fsync can lose the newest file when the power fails.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from finops_policy.errors import EvidenceError

TEMPORARY_PREFIX, TEMPORARY_SUFFIX = ".", ".tmp"

_HINTS = {
    errno.ENOSPC: "Free some space on that disk, or choose a folder on another one.",
    errno.EDQUOT: "Your disk quota is used up: free some space, or choose a folder on another disk.",
    errno.EFBIG: "The file would pass a size limit: raise it (`ulimit -f`), or choose a folder on another file system.",
    errno.EROFS: "That file system is read-only: choose another folder.",
    errno.EACCES: "Choose a folder you may use, or change its permissions (see `ls -ld`).",
    errno.EPERM: "Choose a folder you may use, or change its permissions (see `ls -ld`).",
    errno.ENOENT: "Check the path for a typing error, and make the folder if it should be there.",
    errno.ENOTDIR: "A part of that path is a file: choose another path.",
    errno.EEXIST: "Something else has that name already: choose another path, or move it away.",
    errno.EISDIR: "That name is taken by a folder: choose another path, or move it away.",
    errno.ELOOP: "The path leads through a symbolic link where none is allowed: name the real file.",
}


def failure(doing: str, path: Path, error: OSError) -> EvidenceError:
    """What the user is told when the operating system refuses: ``doing`` is a verb such as "write"."""
    reason = error.strerror or str(error)
    hint = _HINTS.get(error.errno or 0, "Check the path and the disk, then try again.")
    return EvidenceError(f"Cannot {doing} {path}: {reason}", hint=hint)


def write_atomic(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write ``data`` to ``path`` as :func:`replacing` does."""
    with replacing(path, mode) as file:
        file.write(data)


def write_output(path: Path, data: bytes) -> None:
    """Write to where a user says: whole or not at all, its folder made. A pipe or a device, such as /dev/stdout, stays
    one, and so does a link. Raises :class:`EvidenceError`."""
    if path.exists() and not path.is_file():
        try:
            path.write_bytes(data)
        except OSError as error:
            raise failure("write", path, error) from error
        return
    target = Path(os.path.realpath(path))
    make_folders(target.parent)
    write_atomic(target, data)


@contextmanager
def replacing(path: Path, mode: int = 0o644) -> Iterator[IO[bytes]]:
    """A file that takes the place of ``path`` when the block ends without an exception: whole or not at all.

    The folder must exist; the process's umask applies to ``mode``. Raises :class:`EvidenceError` naming the path and
    the reason; whatever was at ``path`` is then still there, untouched, and the temporary file is gone.
    """
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}{TEMPORARY_SUFFIX}")
    try:
        try:
            with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
                yield file
            publish(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise failure("write", path, error) from error


def make_folder(path: Path, *, exist_ok: bool = False) -> None:
    """Make a folder that its owner alone may enter (mode 0700), and flush its name to the disk.

    Raises :class:`EvidenceError`; a file of that name is an error whatever ``exist_ok`` says.
    """
    try:
        path.mkdir(mode=0o700, exist_ok=exist_ok)
        _sync(path.parent)
    except OSError as error:
        raise failure("make the folder", path, error) from error


def make_folders(path: Path) -> None:
    """Make a folder for output, and those above it, as open as the umask says. Raises :class:`EvidenceError`."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise failure("make the folder", path, error) from error


def publish(temporary: Path, path: Path) -> None:
    """Flush a finished temporary file to the disk and give it its name in the same folder's file system.

    Raises plain :class:`OSError`: the caller knows what it was writing.
    """
    _sync(temporary)
    temporary.replace(path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network file systems cannot flush a folder
            raise
    finally:
        os.close(descriptor)
