"""Report formats: one file a format, one line each in :data:`FORMATS`.

A renderer takes the report's data (schemas/report.schema.json) and writes one whole document to a binary stream. It
neither opens files nor reads the clock, so the same data give the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO, Any, TypeAlias

from finops_policy.formats import html, json_

Renderer: TypeAlias = Callable[[Mapping[str, Any], IO[bytes]], None]


@dataclass(frozen=True, slots=True)
class Format:
    """A report format: its name on the command line, the file it is written to, and its renderer."""

    name: str
    file_name: str
    render: Renderer


FORMATS: Mapping[str, Format] = {
    each.name: each
    for each in (
        Format("html", "report.html", html.render),
        Format("json", "report.json", json_.render),
    )
}
