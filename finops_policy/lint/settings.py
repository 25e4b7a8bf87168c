"""``finops-policy.toml``: levels of rules, what is left out, and what makes the command fail.

Limits: tomllib keeps no places, so mistakes are shown where their key is first mentioned at the beginning of a line.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

from finops_policy.errors import InvalidFilesError, did_you_mean
from finops_policy.lint.files import label
from finops_policy.lint.rule import Level, Rule
from finops_policy.marks import Diagnostic, Mark
from finops_policy.sources import MAX_BYTES, read_bytes

FILE_NAME: Final = "finops-policy.toml"
RULE: Final = "settings"
_KEYS: Final = ("fail_on", "exclude", "rules")
_LIMITS: Final = {"note": Level.NOTE, "warning": Level.WARNING, "error": Level.ERROR, "never": Level.OFF}
"""What ``fail_on`` may be -> the level that fails; nothing is ``off``."""
_PLACE = re.compile(r"\(at line (\d+), column (\d+)\)")


@dataclass(frozen=True)
class Settings:
    """``levels`` holds what the file says, rule id -> level; ``fail_on`` is None where it says nothing, and ``off`` for
    never. ``exclude`` are globs over paths relative to ``folder``, in which ``*`` stands for slashes too."""

    levels: Mapping[str, Level] = field(default_factory=dict)
    exclude: tuple[str, ...] = ()
    fail_on: Level | None = None
    folder: Path = Path()

    def level(self, rule: Rule) -> Level:
        return self.levels.get(rule.id, rule.level)

    def excludes(self, path: Path) -> bool:
        """Whether a file is left out, or a folder that it is in."""
        if not self.exclude:
            return False
        place = path.parent.resolve() / path.name  # a link is left out by its own name
        try:
            inside = place.relative_to(self.folder.resolve())
        except ValueError:
            return False
        # With `./` before it, `**/legacy` and `./legacy` match what lies at the top, too.
        names = [name for each in (inside, *inside.parents) for name in (each.as_posix(), f"./{each.as_posix()}")]
        return any(fnmatchcase(name, pattern.rstrip("/")) for pattern in self.exclude for name in names[:-2])


def find(workspace: Path) -> Path | None:
    """The settings of a workspace: in it, or in the nearest folder above up to the repository's root."""
    start = workspace.resolve()
    for folder in (start, *start.parents):
        if (folder / FILE_NAME).is_file():
            return workspace / FILE_NAME if folder == start else folder / FILE_NAME
        if (folder / ".git").exists():
            break
    return None


def read(path: Path, rules: Iterable[Rule], folder: Path | None = None) -> Settings:
    """``folder`` is what ``exclude`` is relative to, by default the file's own.

    Raises :class:`InvalidFilesError` with everything that is wrong with the file.
    """
    import tomllib

    name = label(path)
    raw = read_bytes(path, name)
    try:
        if len(raw) > MAX_BYTES:
            raise ValueError("the file is larger than 1 MiB")
        text = raw.removeprefix(codecs.BOM_UTF8).decode()
        data = tomllib.loads(text)
    except ValueError as error:
        place = _PLACE.search(str(error))
        mark = Mark(name, int(place[1]), int(place[2])) if place else Mark(name)
        message = f"this is not TOML: {_PLACE.sub('', str(error)).strip()}"
        raise InvalidFilesError([Diagnostic(RULE, message, mark, "See docs/lint.md for an example.")]) from error
    return _Reading(name, text, {rule.id for rule in rules}).settings(data, folder or path.parent)


class _Reading:
    def __init__(self, name: str, text: str, rules: set[str]) -> None:
        self._name = name
        self._lines = text.split("\n")
        self._rules = rules
        self._problems: list[Diagnostic] = []

    def settings(self, data: Mapping[str, Any], folder: Path) -> Settings:
        self._known(data, ("lint",))
        lint = self._table(data, "lint")
        self._known(lint, _KEYS)
        levels = {}
        for rule, level in self._table(lint, "rules").items():
            if rule not in self._rules:
                self._tell(rule, f"there is no rule `{rule}`", did_you_mean(rule, self._rules))
            elif level in list(Level):
                levels[rule] = Level(level)
            else:
                self._tell_choice(rule, level, list(Level))
        fail_on = lint.get("fail_on")
        limit = _LIMITS.get(fail_on) if isinstance(fail_on, str) else None
        if fail_on is not None and limit is None:
            self._tell_choice("fail_on", fail_on, _LIMITS)
        exclude = lint.get("exclude", [])
        if not isinstance(exclude, list) or not all(isinstance(each, str) for each in exclude):
            self._tell("exclude", "`exclude` must be a list of texts", 'Write `exclude = ["legacy/*"]`.')
        if self._problems:
            raise InvalidFilesError(self._problems)
        return Settings(levels, tuple(exclude), limit, folder)

    def _table(self, data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
        found = data.get(key, {})
        if isinstance(found, dict):
            return found
        table = key if key == "lint" else f"lint.{key}"
        self._tell(key, f"`{key}` must be a table", f"Write `[{table}]` on a line of its own.")
        return {}

    def _known(self, data: Mapping[str, Any], keys: tuple[str, ...]) -> None:
        for key in data:
            if key not in keys:
                hint = did_you_mean(key, keys) if key not in _KEYS else "Write it below `[lint]`."
                self._tell(key, f"there is no setting `{key}` here", hint)

    def _tell_choice(self, key: str, value: Any, choices: Iterable[str]) -> None:
        hint = did_you_mean(value, choices) if isinstance(value, str) else ""
        self._tell(key, f"`{key}` must be one of {', '.join(choices)}", hint)

    def _tell(self, key: str, message: str, hint: str) -> None:
        pattern = re.compile(rf"""^\s*\[?\s*(?:[\w.-]*\.)?["']?({re.escape(key)})["']?\s*[\].=]""")
        found = ((number, pattern.match(line)) for number, line in enumerate(self._lines, 1))
        place = next(((number, match.start(1) + 1) for number, match in found if match), (0, 0))
        self._problems.append(Diagnostic(RULE, message, Mark(self._name, *place), hint))
