"""The state of a workspace, as read from its files. What cannot be read is told, and compared with nothing.

Plain Cloud Custodian policies are looked for in every YAML and JSON file of the workspace, outside of folders that are
hidden, are made by programs, or hold tests.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

from finops_policy.changes.model import PlainPolicy, Problem, Section, Snapshot
from finops_policy.errors import InvalidFilesError
from finops_policy.marks import Mark
from finops_policy.model import Waiver
from finops_policy.revisions import Revision
from finops_policy.sources import parse, read_bytes

SUFFIXES: Final = (".yaml", ".yml", ".json")
SKIPPED: Final = frozenset({"build", "dist", "evidence", "node_modules", "test", "tests", "venv", "__pycache__"})
_HOLDS = re.compile(rb"""^["']?policies["']?[ \t]*:|"policies"\s*:""", re.MULTILINE)

Value = TypeVar("Value")


def snapshot(revision: Revision) -> Snapshot:
    """Everything that is compared. Raises nothing for what the files hold."""
    catalog = revision.catalog
    files = dict(_policy_files(revision.workspace))
    problems: list[Problem] = []
    unread: set[tuple[Section, str]] = set()

    def loaded(section: Section, names: Iterable[str], load: Callable[[str], Value]) -> dict[str, Value]:
        found = {}
        for name in names:
            try:
                found[name] = load(name)
            except InvalidFilesError as error:
                unread.add((section, name))
                raw = files.get(name, b"") if section is Section.PLAIN else b""
                problems.append(_told(f"{section} {name}", error, raw))
        return found

    packs = loaded(Section.PACK, catalog.packs(), catalog.pack)
    profiles = loaded(Section.PROFILE, catalog.profiles(), catalog.profile)
    frameworks = loaded(Section.FRAMEWORK, catalog.frameworks(), catalog.framework)
    customers = loaded(Section.CUSTOMER, catalog.customers(), catalog.customer)
    waivers: dict[str, tuple[Waiver, ...]] = {}
    for name in customers:
        applying, malformed = catalog.waivers(name)
        waivers[name] = tuple(applying)
        problems += [Problem(f"A waiver of {name}", f"{each.mark}: {each.message}") for each in malformed]
    plain = loaded(Section.PLAIN, files, lambda name: list(_policies(name, files[name])))
    left_out = "it is a link that leads out of the workspace, or a submodule"
    problems += [Problem(name, left_out) for name in revision.left_out]
    return Snapshot(
        packs=packs,
        profiles=profiles,
        frameworks=frameworks,
        customers=customers,
        waivers=waivers,
        plain=tuple(policy for policies in plain.values() for policy in policies),
        unread=frozenset(unread),
        problems=tuple(problems),
    )


def _told(what: str, error: InvalidFilesError, raw: bytes) -> Problem:
    """The first problem of what cannot be read, and how many more there are: ``lint`` tells them all."""
    first = error.diagnostics[0]
    more = f" (and {len(error.diagnostics) - 1} more)" if len(error.diagnostics) > 1 else ""
    return Problem(what, f"{first.mark}: {first.message}{more}", hashlib.sha256(raw).hexdigest() if raw else "")


def _policy_files(workspace: Path) -> Iterator[tuple[str, bytes]]:
    """Path within the workspace -> bytes of each file that may hold plain policies."""
    for place, folders, names in os.walk(workspace):
        folders[:] = sorted(each for each in folders if not each.startswith(".") and each not in SKIPPED)
        for name in sorted(names):
            path = Path(place, name)
            if not name.endswith(SUFFIXES) or name.startswith("."):
                continue
            try:
                raw = read_bytes(path, name)
            except InvalidFilesError:
                continue  # a pipe, or a link that leads nowhere: no policy file of anybody's
            if _HOLDS.search(raw):
                yield path.relative_to(workspace).as_posix(), raw


def _policies(path: str, raw: bytes) -> Iterator[PlainPolicy]:
    """Raises :class:`InvalidFilesError` for a file that holds policies and cannot be read."""
    data, mark = _data(path, raw)
    policies = data.get("policies") if isinstance(data, dict) else None
    seen = Counter[str]()
    for index, document in enumerate(policies if isinstance(policies, list) else ()):
        if isinstance(document, dict) and isinstance(document.get("name"), str) and "resource" in document:
            name = document["name"]
            yield PlainPolicy(path, name, seen[name], document, mark("policies", index))
            seen[name] += 1


def _data(path: str, raw: bytes) -> tuple[Any, Callable[..., Mark]]:
    try:
        document = parse(raw, path, lenient=True)
    except InvalidFilesError:
        if path.endswith(".json"):  # such as with tabs, which YAML does not allow
            try:
                return json.loads(raw), lambda *_steps: Mark(path)
            except (ValueError, RecursionError):
                pass
        raise
    return document.data, document.mark
