"""A workspace as a Git commit has it, laid out in a temporary folder to be read.

Blobs are read as they are stored, not checked out: nothing of the user's checkout or index is touched, no hook, filter
or attribute of the repository has a say, and nothing is fetched. Of the workspace only files that may be ours are laid
out. A link is, where it stays within the workspace; what is left out is listed.

Limits: files that Git keeps elsewhere (LFS, submodules) are not there.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from finops_policy.errors import FinopsPolicyError, UsageError, did_you_mean

if TYPE_CHECKING:
    from finops_policy.catalog import Catalog

SECONDS: Final = 60
"""How long one Git command may take."""
SUFFIXES: Final = (".yaml", ".yml", ".json", ".md")

_OBJECT = re.compile(r"[0-9a-f]{40,64}")
_UNSAFE = re.compile(r"[\x00-\x1f\x7f]|\.\.")
_FILES, _LINK = (b"100644", b"100755"), b"120000"
_LOCAL: Final = (
    *("GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_CEILING_DIRECTORIES", "GIT_COMMON_DIR", "GIT_DIR", "GIT_GRAFT_FILE"),
    *("GIT_INDEX_FILE", "GIT_NAMESPACE", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX", "GIT_SHALLOW_FILE", "GIT_WORK_TREE"),
)
"""What a Git hook sets for the repository it is run in; the workspace may lie in another."""
_QUIET: Final = {
    "LC_ALL": "C",
    "GIT_ALLOW_PROTOCOL": "",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
}
"""No network, no writing, no questions, and messages in words that are known."""


class RevisionError(FinopsPolicyError):
    """Git is missing, does not answer, or lacks what it should have."""


@dataclass(frozen=True, slots=True)
class Revision:
    """A workspace at a commit; the working tree where ``ref`` and ``commit`` are empty.

    ``exists`` is false where the commit has no such folder: the workspace is then empty. ``left_out`` are links that
    lead out of the workspace, and submodules.
    """

    ref: str
    commit: str
    workspace: Path
    exists: bool = True
    left_out: tuple[str, ...] = ()

    @property
    def catalog(self) -> Catalog:
        """A workspace that holds ``policies/packs`` is a library itself, and is read with no other."""
        from finops_policy.catalog import Catalog

        own = (self.workspace / "policies" / "packs").is_dir()
        return Catalog(self.workspace, library=self.workspace if own else None)


def working_tree(workspace: Path) -> Revision:
    return Revision("", "", workspace)


@contextmanager
def at(ref: str, workspace: Path) -> Iterator[Revision]:
    """The workspace at ``ref``, as long as the block lasts.

    Raises :class:`UsageError` where there is no repository or no such revision, :class:`RevisionError` where Git fails.
    """
    prefix = _prefix(workspace)
    commit = _commit(ref, workspace)
    tree = _git(workspace, "rev-parse", "--verify", "--quiet", f"{commit}:{prefix}")
    exists = tree.returncode == 0
    with tempfile.TemporaryDirectory(prefix="finops-policy-") as folder:
        root = Path(folder).resolve()
        left_out = _lay_out(_text(tree.stdout), workspace, root) if exists else ()
        yield Revision(ref, commit, root, exists, left_out)


def _prefix(workspace: Path) -> str:
    """The workspace's path within its repository, with a slash at its end; empty for the repository itself."""
    done = _git(workspace, "rev-parse", "--show-prefix")
    if done.returncode == 0:
        return os.fsdecode(done.stdout).removesuffix("\n")
    said = _text(done.stderr)
    if "not a git repository" in said:
        raise UsageError(
            f"{workspace.absolute()} is not in a Git repository.",
            hint="Run it within a clone, or name the workspace with --workspace.",
        )
    if "dubious ownership" in said:
        raise RevisionError(
            f"Git does not trust the repository of {workspace.absolute()}: it belongs to another user.",
            hint=f"If you do: git config --global --add safe.directory {workspace.absolute()}",
        )
    raise _failed("find the repository", said)


def _commit(ref: str, workspace: Path) -> str:
    """The id of the commit that ``ref`` names. A ref is never taken for an option, a range or an exclusion."""
    if not ref or ref.startswith(("-", "^")) or _UNSAFE.search(ref):
        raise UsageError(
            f"{ref!r} is not the name of a revision.", hint="Name a branch, a tag or a commit, such as origin/main."
        )
    done = _git(workspace, "rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}")
    commit = _text(done.stdout)
    if done.returncode == 0 and _OBJECT.fullmatch(commit):
        return commit
    raise UsageError(f"There is no revision {ref!r} in this repository.", hint=_hint(ref, workspace))


def _hint(ref: str, workspace: Path) -> str:
    if _text(_git(workspace, "rev-parse", "--is-shallow-repository").stdout) == "true":
        return "This clone is shallow: fetch the whole history (`git fetch --unshallow`, or `fetch-depth: 0` in CI)."
    names = _text(_git(workspace, "for-each-ref", "--format=%(refname:short)").stdout).split()
    if near := did_you_mean(ref, names):
        return near
    return "Fetch it first, or check the name (`git branch --all` lists branches)."


def _lay_out(tree: str, workspace: Path, root: Path) -> tuple[str, ...]:
    """Writes the files of a tree below ``root``; answers what was left out."""
    listed = _git(workspace, "ls-tree", "-r", "-z", "--full-tree", tree)
    if listed.returncode:
        raise _failed("list the workspace's files", _text(listed.stderr))
    files: list[tuple[str, Path]] = []
    links: list[tuple[str, Path]] = []
    left_out = []
    for entry in filter(None, listed.stdout.split(b"\0")):
        facts, _, raw = entry.partition(b"\t")
        mode, _, blob = facts.split(b" ")
        name = os.fsdecode(raw)
        if any(part in ("", ".", "..") or part.casefold() == ".git" for part in name.split("/")):
            left_out.append(name)
        elif mode == _LINK:
            links.append((blob.decode(), root / name))
        elif mode not in _FILES:
            left_out.append(name)
        elif name.endswith(SUFFIXES):
            files.append((blob.decode(), root / name))
    try:
        # Folders first, files next, links last: nothing is ever written through a link.
        for folder in {path.parent for _, path in (*files, *links)}:
            folder.mkdir(parents=True, exist_ok=True)
        for (_, path), content in zip(files, _blobs([blob for blob, _ in files], workspace), strict=True):
            with path.open("xb") as file:
                file.write(content)
        for (_, path), target in zip(links, _blobs([blob for blob, _ in links], workspace), strict=True):
            path.symlink_to(os.fsdecode(target))
    except (OSError, ValueError) as error:
        raise RevisionError(f"The revision cannot be laid out in {root}: {error}", hint="Check the disk.") from error
    for _, path in links:
        if not (inside := _inside(path, root)) or not path.exists():
            left_out += [] if inside else [path.relative_to(root).as_posix()]
            path.unlink()
    return tuple(sorted(left_out))


def _inside(link: Path, root: Path) -> bool:
    """Whether a link, and every link behind it, stays within ``root``."""
    try:
        return link.resolve().is_relative_to(root)
    except (OSError, RuntimeError):  # it goes round in circles
        return False


def _blobs(ids: list[str], workspace: Path) -> Iterator[bytes]:
    """The contents of blobs, in order."""
    if not ids:
        return
    with tempfile.TemporaryFile() as asked, tempfile.TemporaryFile() as answers:
        asked.write("".join(f"{each}\n" for each in ids).encode())
        asked.seek(0)
        done = _git(workspace, "cat-file", "--batch", stdin=asked, stdout=answers)
        answers.seek(0)
        for each in ids:
            head = answers.readline().split()
            if done.returncode or len(head) != 3 or head[0] != each.encode():
                raise RevisionError(
                    f"Git has no content of {each}: {_text(done.stderr) or 'this clone is partial'}",
                    hint="Fetch the whole repository: clone it without --filter.",
                )
            yield answers.read(int(head[2]))
            answers.read(1)


def _git(
    workspace: Path, *arguments: str, stdin: IO[bytes] | None = None, stdout: IO[bytes] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Runs Git in the workspace. What it says of itself is the caller's to judge."""
    kept = {name: value for name, value in os.environ.items() if name not in _LOCAL}
    try:
        return subprocess.run(  # noqa: S603 - no shell, and no argument that a user typed can be an option
            ["git", "-C", str(workspace.absolute()), *arguments],  # noqa: S607 - the user's own
            env={**kept, **_QUIET},
            stdin=stdin or subprocess.DEVNULL,
            stdout=stdout or subprocess.PIPE,
            stderr=subprocess.PIPE,
            timeout=SECONDS,
            check=False,
        )
    except FileNotFoundError as error:
        raise RevisionError("Git is not installed, or not on the PATH.", hint="Install git.") from error
    except OSError as error:
        raise RevisionError(
            f"Git cannot be run: {error.strerror or error}", hint="Check the git on the PATH."
        ) from error
    except subprocess.TimeoutExpired as error:
        raise RevisionError(
            f"`git {arguments[0]}` did not answer within {SECONDS} seconds.",
            hint="Check the disk, and that `git status` works in the workspace; then try again.",
        ) from error


def _text(data: bytes) -> str:
    return data.decode(errors="replace").strip()


def _failed(doing: str, said: str) -> RevisionError:
    reason = (said.splitlines() or ["it says nothing"])[0]
    return RevisionError(f"Git cannot {doing}: {reason}", hint="Check that `git status` works in the workspace.")
