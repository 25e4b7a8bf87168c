"""The JSON report: the report's data as they are, as schemas/report.schema.json describes them.

ASCII only, so that escapes and direction marks in a tag cannot reach the terminal or editor it is looked at in. NaN and
infinities are refused (``ValueError``), since JSON has none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import IO, Any

from finops_policy.formats.data import Written

_PLACE = '\n  "findings": ['
"""Where the findings go: no text of the report can look like it, for a line break in a text is escaped."""


def render(data: Mapping[str, Any], out: IO[bytes]) -> None:
    """Writes ``data`` indented, in its own order, with a newline at the end; findings are written one at a time."""
    before, place, after = _dumps({**data, "findings": []}).partition(_PLACE)
    out.write((before + place).encode("ascii"))
    separator = ""
    for finding in data["findings"]:
        out.write(f"{separator}\n{_dumps([finding])[2:-2]}".replace("\n", "\n  ").encode("ascii"))
        separator = ","
    out.write(("\n  " if separator else "").encode("ascii") + after.encode("ascii") + b"\n")


def _dumps(value: Any) -> str:
    return json.dumps(value, indent=2, allow_nan=False, default=Written.read)
