"""Which files are linted, and what each of them is.

In folders only files are taken that are ours, or hold Cloud Custodian policies: a repository has other YAML too, and
templates of it. A file that is named is taken for what it should be. Hidden files and folders, those of :data:`SKIPPED`
and links to folders are not looked into unless they are named. What may hold policies and cannot be read is told.
"""

from __future__ import annotations

import codecs
import json
import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from yaml import YAMLError, safe_load

from finops_policy.errors import InvalidFilesError, UsageError
from finops_policy.lint.subject import PLAIN, Source
from finops_policy.marks import Diagnostic, Mark
from finops_policy.sources import MAX_BYTES, Document, Steps, parse, read_bytes, shown

SUFFIXES: Final = (".yaml", ".yml", ".json")
SKIPPED: Final = frozenset({"node_modules", "__pycache__", "venv", "build", "dist", "evidence"})
KINDS: Final = {
    "Pack": "pack",
    "Policy": "policy",
    "Profile": "profile",
    "Framework": "framework",
    "Customer": "customer",
    "Waivers": "waiver",
    "PriceBook": "pricebook",
}
"""``kind`` in a file of ours -> its schema."""
PLACES: Final = {
    "packs/*/pack.yaml": "pack",
    "packs/*/*.yaml": "policy",
    "profiles/*.yaml": "profile",
    "frameworks/*.yaml": "framework",
    "customers/*/customer.yaml": "customer",
    "customers/*/waivers.yaml": "waiver",
}
"""Where files of a workspace are read from -> what each must be."""
ACCOUNTS: Final = "c7n-org-accounts"
OTHER: Final = ""

_OURS = re.compile(r"""^["']?apiVersion["']?\s*:\s*["']?finops-policy/""", re.MULTILINE)
_KIND = re.compile(r"""^["']?kind["']?\s*:\s*["']?(\w+)""", re.MULTILINE)
_PLAIN = re.compile(r"""^policies\s*:|["']policies["']\s*:""", re.MULTILINE)
_ACCOUNTS = re.compile(r"""^accounts\s*:|["']accounts["']\s*:""", re.MULTILINE)
_MEMBERS: Final = {PLAIN: "resource", ACCOUNTS: "account_id"}
"""What each item of such a file has: other programs have lists of these names too."""


def find(paths: Sequence[Path], excluded: Callable[[Path], bool]) -> Iterator[tuple[Path, bool]]:
    """Every file to look at, once whatever its names, in order, and whether it was named: then it is not ``excluded``.

    A folder that cannot be listed stands for what is in it. Raises :class:`UsageError` for a path that is not there.
    """
    for path in paths:
        if not path.exists():
            raise _absent(path)
    named = {os.path.realpath(path) for path in paths if not path.is_dir()}
    seen: set[str] = set()
    for path in paths:
        for file in _below(path) if path.is_dir() else (path,):
            real = os.path.realpath(file)
            if real not in seen and (real in named or excluded(path) or not excluded(file)):
                seen.add(real)
                yield file, real in named


def by_profile(document: Document) -> bool:
    """Whether c7n-org accounts are entered by profiles of an AWS configuration instead of roles."""
    accounts = document.data.get("accounts") if isinstance(document.data, dict) else None
    return any(isinstance(each, dict) and "profile" in each for each in accounts or ())


def _absent(path: Path) -> UsageError:
    hint = "Check the path for a typing error."
    if str(path) == "-":
        hint = "Standard input is not read: policies are judged together with the files beside them. Name a file."
    return UsageError(f"There is no file or folder {str(path)!r}.", hint=hint)


def _below(top: Path) -> Iterator[Path]:
    closed: list[Path] = []
    for place, folders, names in os.walk(top, onerror=lambda error: closed.append(Path(error.filename))):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in SKIPPED)
        for name in sorted(names):
            if name.endswith(SUFFIXES) and not name.startswith("."):
                yield Path(place, name)
    yield from closed


def label(path: Path) -> str:
    """The path as people would type it here: relative to the current folder where it lies below."""
    place = Path(os.path.realpath(path)) if ".." in path.parts else path.absolute()
    try:
        return place.relative_to(Path.cwd()).as_posix()
    except ValueError:
        return path.as_posix()


def load(path: Path, *, named: bool) -> tuple[Source, list[Diagnostic]]:
    """The file, and what is wrong with it as YAML. ``kind`` is empty for a file that is none of ours."""
    name = label(path)
    mode = _mode(path)
    if not named and not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        return Source(path, name, OTHER, "", None), []  # nobody keeps policies in pipes and devices
    try:
        if stat.S_ISDIR(mode):  # one that was named, or could be listed, would not come here
            hint = "Check its permissions, or leave it out with `exclude` in finops-policy.toml."
            raise InvalidFilesError([Diagnostic("file-unreadable", "the folder cannot be read", Mark(name), hint)])
        raw = read_bytes(path, name)
    except InvalidFilesError as error:
        return Source(path, name, PLAIN, "", None), list(error.diagnostics)
    text = _text(raw)
    guess = _guess(text[:MAX_BYTES], path)
    if not guess and not named:
        return Source(path, name, OTHER, "", None), []
    try:
        document = parse(raw, name, lenient=True)
    except InvalidFilesError as error:
        if not named and not _meant(text, guess):
            return Source(path, name, OTHER, "", None), []
        source = Source(path, name, guess or PLAIN, text, None)
        return source, [_inside(diagnostic, source) for diagnostic in error.diagnostics]
    kind = _kind(document.data, guess) or (PLAIN if named else OTHER)
    if kind == PLAIN and (problems := list(_unread(text, document))):
        return Source(path, name, kind, text, None), problems
    return Source(path, name, kind, text, document), list(document.problems) if kind else []


def _inside(diagnostic: Diagnostic, source: Source) -> Diagnostic:
    """Where YAML misses something at the end of the file, the end of its last line."""
    last = Mark(source.label, len(source.lines), len(source.lines[-1]) + 1)
    related = (mark for mark in diagnostic.related if mark.line <= last.line)
    return replace(diagnostic, mark=min(diagnostic.mark, last, key=lambda mark: mark.line), related=tuple(related))


def _unread(text: str, document: Document) -> Iterator[Diagnostic]:
    """Why Cloud Custodian cannot read a file of policies that can be read here; nothing where it can. It makes dates
    and numbers of what looks like them, and keeps no more tags."""
    if not document.problems and not document.timestamps:
        return
    from finops_policy.custodian.refusals import stock_policies

    try:
        stock_policies(text)
    except (YAMLError, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        dates = [steps for steps in document.timestamps if not _is_date(_at(document.data, steps))]
        yield from document.problems
        for steps in dates:
            message = f"{shown(_at(document.data, steps))} looks like a date, and is none"
            yield Diagnostic("yaml-syntax", message, document.mark(*steps), "Put it in quotes.")
        if not document.problems and not dates:
            yield Diagnostic("yaml-syntax", f"Cloud Custodian cannot read the file: {error}", Mark(document.path))


def _is_date(text: str) -> bool:
    try:
        safe_load(text)
    except ValueError:
        return False
    return True


def _at(value: Any, steps: Steps) -> Any:
    for step in steps:
        value = value[step]
    return value


def _mode(path: Path) -> int:
    """Of a file, a folder or something else; 0 where nothing is. What may not be looked at passes for a file: opening
    it will tell."""
    try:
        return path.stat().st_mode
    except PermissionError:
        return stat.S_IFREG
    except OSError:
        return 0


def _text(raw: bytes) -> str:
    """To look at: what cannot be decoded is replaced, and is told by who parses it."""
    utf_16 = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return raw.removeprefix(codecs.BOM_UTF8).decode("utf-16" if utf_16 else "utf-8", errors="replace")


def _guess(text: str, path: Path) -> str:
    """Patterns are slow, and most files of a repository hold none of these words."""
    if "finops-policy/" in text and _OURS.search(text):
        found = _KIND.search(text)
        meant = next((kind for place, kind in PLACES.items() if path.absolute().match(place)), "policy")
        return KINDS.get(found.group(1), meant) if found else meant
    if "policies" in text and _PLAIN.search(text):
        return PLAIN
    return ACCOUNTS if "accounts" in text and _ACCOUNTS.search(text) else OTHER


def _kind(data: Any, guess: str) -> str:
    """By what the file says, now that it can be read."""
    if not isinstance(data, dict):
        return OTHER
    if str(data.get("apiVersion", "")).startswith("finops-policy/"):
        return KINDS.get(str(data.get("kind")), guess)
    if "policies" in data:
        return PLAIN if data["policies"] == [] or _any_has(data["policies"], _MEMBERS[PLAIN]) else OTHER
    return ACCOUNTS if _any_has(data.get("accounts"), _MEMBERS[ACCOUNTS]) else OTHER


def _meant(text: str, guess: str) -> bool:
    """Whether a file that is broken, and was not named, is one of those all the same."""
    if guess not in _MEMBERS:
        return True
    try:
        return bool(_kind(json.loads(text), guess))
    except (ValueError, RecursionError):
        return bool(re.search(rf"""(?:^|[\s,{{])["']?{_MEMBERS[guess]}["']?\s*:""", text, re.MULTILINE))


def _any_has(items: Any, key: str) -> bool:
    return isinstance(items, list) and any(isinstance(each, dict) and key in each for each in items)
