"""The packs that are linted, as they are and as the base revision had them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from finops_policy.errors import InvalidFilesError
from finops_policy.lint.subject import Source, Subject

if TYPE_CHECKING:
    from finops_policy.marks import Mark
    from finops_policy.model import Pack
    from finops_policy.revisions import Revision


@dataclass(frozen=True, slots=True)
class Versioned:
    """``mark`` is where the version stands now."""

    base: Revision
    before: Pack
    after: Pack
    mark: Mark


def versioned(subject: Subject) -> Iterator[Versioned]:
    """The packs that can be read on both sides, and whose content differs. One that is new has no version to raise."""
    base = subject.base
    for source in subject.of_kind("pack") if base else ():
        if base and (found := _of(source, base, subject)):
            yield found


def _of(source: Source, base: Revision, subject: Subject) -> Versioned | None:
    from finops_policy.catalog import Place, read_pack

    folder = source.path.resolve().parent
    workspace = subject.workspace.resolve()
    if not folder.is_relative_to(workspace) or source.document is None:
        return None
    place = folder.relative_to(workspace)
    if not (base.workspace / place / "pack.yaml").is_file():
        return None
    try:
        before = read_pack(Place(base.workspace / place, place.as_posix()), folder.name)
        after = read_pack(Place(folder, place.as_posix()), folder.name)
    except InvalidFilesError:
        return None  # told where the file is read
    if before.digest == after.digest:
        return None
    return Versioned(base, before, after, source.document.mark("version"))
