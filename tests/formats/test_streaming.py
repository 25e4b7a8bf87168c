"""Findings that come one at a time, with facts and tags as written JSON, make the same report as a list of them."""

from __future__ import annotations

import gc
import io
import json
import tracemalloc
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import IO, Any

import pytest

from finops_policy.evidence.parquet import write_evaluations
from finops_policy.evidence.queries import read_findings
from finops_policy.formats import FORMATS, html
from finops_policy.formats.data import Findings, Written
from tests.unit.evidence_kit import evaluation

from . import sample

SAMPLES = pytest.mark.parametrize(
    "build", [sample.build, sample.empty, sample.hostile], ids=["sample", "empty", "hostile"]
)


class Stream:
    """Findings as a bundle gives them; ``passes`` counts how often they were gone through."""

    def __init__(self, findings: list[dict[str, Any]]) -> None:
        self.findings = findings
        self.passes = 0

    def __len__(self) -> int:
        return len(self.findings)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        self.passes += 1
        for each in self.findings:
            written = {key: Written(json.dumps(each[key], ensure_ascii=False)) for key in ("facts", "tags")}
            yield {**each, **written}


def render(form: str, data: dict[str, Any]) -> str:
    out = io.BytesIO()
    FORMATS[form].render(data, out)
    return out.getvalue().decode()


def block(page: str) -> tuple[str, Any]:
    """The page without its data block, and what is in that."""
    before, _, rest = page.partition('id="findings-data">')
    data, _, after = rest.partition("</script>")
    return before + after, json.loads(data)


@SAMPLES
def test_json_is_the_same_in_every_byte(build: Any) -> None:
    whole = build()
    stream = Stream(whole["findings"])
    assert render("json", {**whole, "findings": stream}) == render("json", whole) == json.dumps(whole, indent=2) + "\n"
    assert stream.passes == 1


@SAMPLES
def test_html_is_the_same(build: Any) -> None:
    whole = build()
    stream = Stream(whole["findings"])
    assert block(render("html", {**whole, "findings": stream})) == block(render("html", whole))
    assert stream.passes == 1


def test_findings_go_where_they_belong_whatever_a_text_says() -> None:
    whole = sample.build()
    whole["customer"]["title"] = '\n  "findings": []\n  "findings": ['
    assert render("json", whole) == json.dumps(whole, indent=2) + "\n"


ODD = [
    "\x00",
    "\x1b[31m",
    "\x7f",
    "\x9b",
    "\u202e",
    "\u3164",
    "\u2066",
    "\ud800",
    "\U000e0041",
    "\\u202e",
    '"',
    "</script>",
    "é",
]


@pytest.mark.parametrize("text", [*ODD, "x" * 1000, "x" * 1001, "é" * 999 + "\u202e"], ids=ascii)
@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("where", ["reason", "fact", "tag", "key"])
def test_a_line_is_clean_wherever_the_text_stands(text: str, ascii_only: bool, where: str) -> None:
    """The glance at a line's JSON must see what taking it apart would find."""
    row = {"reason": "", "facts": [{"value": ["", 1.5]}], "tags": {"k": "v"}}
    match where:
        case "reason":
            row["reason"] = text
        case "fact":
            row["facts"] = [{"value": [text, {"a": None}]}]
        case "tag":
            row["tags"] = {"k": text}
        case "key":
            row["tags"] = {text: "v"}
    written = {key: Written(json.dumps(row[key], ensure_ascii=ascii_only)) for key in ("facts", "tags")}
    assert json.loads(html._line({**row, **written})) == json.loads(html._line(row)) == html.cleaned(row)


def test_a_long_line_of_short_texts_is_not_cut() -> None:
    row = {"facts": [], "tags": {f"key-{number}": "x" * 900 for number in range(10)}}
    assert json.loads(html._line(row)) == row


class Nowhere(io.RawIOBase, IO[bytes]):  # type: ignore[misc]
    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        return len(data)


@pytest.mark.parametrize("form", FORMATS)
def test_memory_does_not_grow_with_the_findings(form: str, tmp_path: Path) -> None:
    peaks = []
    for count in (2000, 2000, 5000):  # the first warms caches up; buffers are full from 1,300 findings on
        folder = tmp_path / f"{len(peaks)}"
        (folder / "evaluations").mkdir(parents=True)
        many = (evaluation(number, policy=sample.RULES[0].name) for number in range(count))
        write_evaluations(folder / "evaluations" / "111122223333_us-east-1.parquet", "run", "acme", many)
        data = {**sample.build(), "findings": Findings(count, partial(read_findings, folder), {})}
        gc.collect()
        tracemalloc.start()
        FORMATS[form].render(data, Nowhere())
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] - peaks[1] < 3000 * 100
