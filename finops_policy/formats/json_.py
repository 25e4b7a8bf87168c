"""The JSON report: the report's data as they are, as schemas/report.schema.json describes them.

ASCII only, so that escapes and direction marks in a tag cannot reach the terminal or editor it is looked at in. NaN and
infinities are refused (``ValueError``), since JSON has none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import IO, Any


def render(data: Mapping[str, Any], out: IO[bytes]) -> None:
    """Writes ``data`` indented, in its own order, with a newline at the end."""
    out.write(json.dumps(data, indent=2, allow_nan=False).encode("ascii") + b"\n")
