"""Output formats of the linter: one file a format, one line each in :data:`FORMATS`.

Each module has ``render(report) -> str``: a whole document with a line break at its end. The same report gives the same
text. Modules are imported when they are asked for.
"""

from __future__ import annotations

from typing import Final

FORMATS: Final = {
    "text": "finops_policy.lint.formats.text",
    "json": "finops_policy.lint.formats.json_",
    "sarif": "finops_policy.lint.formats.sarif",
    "github": "finops_policy.lint.formats.github",
    "gitlab": "finops_policy.lint.formats.gitlab",
    "junit": "finops_policy.lint.formats.junit",
}
"""Name on the command line -> module."""
