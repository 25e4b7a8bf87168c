"""Whatever the bytes, ``parse`` answers with a document or with diagnostics, soon; and it reads what PyYAML reads.

Short by default; ``FINOPS_POLICY_FUZZ=20000 pytest tests/unit/test_sources_fuzz.py`` digs deeper.
"""

from __future__ import annotations

import datetime as dt
import math
import os
from typing import Any

import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from finops_policy.errors import InvalidFilesError
from finops_policy.sources import Document, parse

FUZZ = settings(
    max_examples=int(os.environ.get("FINOPS_POLICY_FUZZ", "200")),
    deadline=dt.timedelta(seconds=2),
    suppress_health_check=[HealthCheck.too_slow],
)

# Pieces that make YAML happen often: indicators, anchors, merges, odd scalars, indentation, breaks.
# fmt: off
PIECES = st.sampled_from([
    "a", "b", ":", "-", "?", "!", "!!", "&", "*", "&a", "*a", "&b", "*b", "|", ">", "|+", ">-", "'", '"', "#", ",", "[",
    "]", "{", "}", "@", "`", "%", "---", "...", "~", "=", "<<", "yes", "no", "on", "1", "0", "0x", "0b_", "08", "1:1",
    "1:60.5", "1_0", ".inf", "-.nan", "1e9", "1.e+999", "2026-12-31", "!!int", "!!float", "!!bool", "!!set", "!!str",
    "!!python/none", "%YAML", "%TAG", "\\x", "\\u0", "é", "😀", " ", "  ", "\n", "\n  ", "\n- ", "\n? ", "\t", "\r\n",
    ": ", ", ", "a: ", "<<: *a", "- &a {", "\0", "\x1b", "\x85", "\u2028", "\ufeff",
])
# fmt: on
YAMLISH = st.lists(PIECES, max_size=40).map("".join)

KEYS = st.text(max_size=8)
SCALARS = st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False)
TREES = st.recursive(
    SCALARS | st.text(max_size=20), lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4)
)


def answer(raw: bytes) -> Document | None:
    try:
        document = parse(raw, "f.yaml")
    except InvalidFilesError as error:
        found = error.diagnostics
    else:
        check_marks(document, document.data, ())
        return document
    breaks = raw.count(b"\n") + raw.count(b"\r")
    assert found
    assert list(found) == sorted(found, key=lambda one: one.mark)
    assert all(one.message and 0 <= one.mark.line <= breaks + 2 for one in found)
    return None


def check_marks(document: Document, data: Any, steps: tuple[str | int, ...]) -> None:
    """Every value has a mark, every key too, all data is plain, no float is NaN or infinite."""
    assert steps in document.marks
    assert type(data) in (dict, list, str, int, float, bool, type(None))
    if isinstance(data, float):
        assert math.isfinite(data)
    if isinstance(data, dict):
        for key, value in data.items():
            assert type(key) is str
            assert (*steps, key) in document.key_marks
            check_marks(document, value, (*steps, key))
    if isinstance(data, list):
        for index, value in enumerate(data):
            check_marks(document, value, (*steps, index))


class Reference(yaml.CSafeLoader):
    """PyYAML itself, but for timestamps, which stay text."""


Reference.add_constructor("tag:yaml.org,2002:timestamp", lambda loader, node: node.value)


@FUZZ
@given(st.binary(max_size=200))
def test_bytes(raw: bytes) -> None:
    answer(raw)


@FUZZ
@given(st.text(max_size=200))
def test_text(text: str) -> None:
    answer(text.encode(errors="surrogatepass"))


@FUZZ
@given(YAMLISH)
def test_yamlish_text_reads_as_in_pyyaml(text: str) -> None:
    document = answer(text.encode())
    if document is not None:
        expected = yaml.load(text, Reference)
        assert document.data == expected
        assert repr(document.data) == repr(expected), "types and the order of keys too"


@FUZZ
@given(TREES, st.booleans())
def test_what_pyyaml_writes_is_read_back(tree: Any, flow: bool) -> None:
    text = yaml.safe_dump(tree, default_flow_style=flow, allow_unicode=False)
    assume(tree is not None and "\\" not in text and len(text) < 10_000)
    document = answer(text.encode())
    assert document is not None
    assert document.data == tree


@FUZZ
@given(st.text(st.characters(exclude_categories=["Cc", "Cf", "Cn", "Cs", "Zl", "Zp"], exclude_characters="'")))
def test_columns_are_characters(before: str) -> None:
    document = answer(f"['{before}', here]".encode())
    assert document is not None
    assert document.mark(1).column == len(before) + 6


def test_the_fuzzer_reaches_documents() -> None:
    """Were every example refused, the comparison with PyYAML would prove nothing."""
    reached = 0

    @settings(FUZZ, max_examples=200, database=None, derandomize=True)
    @given(YAMLISH)
    def count(text: str) -> None:
        nonlocal reached
        reached += answer(text.encode()) is not None

    count()
    assert reached > 20
