"""Renders templates in Jinja2's sandbox; as a process, with limits, for templates that a customer wrote.

As ``python -m`` it reads ``{"templates": {part: text}, "values": {...}}`` from stdin and writes ``{part: {"text",
"error"}}``. Limits of the process: :data:`CPU_SECONDS`, and :data:`MEMORY` bytes on Linux; the caller has
a time limit of its own. Limit of a text: :data:`LONGEST` characters.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

CPU_SECONDS: Final = 5
MEMORY: Final = 512 * 1024 * 1024
LONGEST: Final = 8_000_000


@dataclass(frozen=True, slots=True)
class Rendered:
    """A text, or why there is none."""

    text: str
    error: str = ""


def render_all(templates: Mapping[str, str], values: Mapping[str, Any]) -> dict[str, Rendered]:
    """Each part on its own: one that fails takes no other along. The part ``html`` is escaped."""
    return {part: _render(text, values, part == "html") for part, text in templates.items()}


def _render(template: str, values: Mapping[str, Any], html: bool) -> Rendered:
    from jinja2 import StrictUndefined, TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        autoescape=html, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    parts, size = [], 0
    try:
        for piece in environment.from_string(template).generate(**values):
            size += len(piece)
            if size > LONGEST:
                return Rendered("", f"its text is longer than {LONGEST:,} characters")
            parts.append(piece)
    except TemplateError as error:
        line = getattr(error, "lineno", None)
        return Rendered("", f"{f'line {line}: ' if line else ''}{error}")
    except MemoryError:
        return Rendered("", "it took too much memory")
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        return Rendered("", f"{type(error).__name__}: {error}")
    return Rendered("".join(parts))


def main() -> None:
    """The process."""
    import resource

    asked = json.load(sys.stdin)
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    made = render_all(asked["templates"], asked["values"])
    json.dump({part: {"text": each.text, "error": each.error[:300]} for part, each in made.items()}, sys.stdout)


if __name__ == "__main__":
    main()
