"""Keeping to a receiver's limits of size, visibly: what is cut says so, and what is left out is counted."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final, TypeVar

CUT: Final = "\n[cut: the receiver takes no more]\n"
Body = TypeVar("Body")


def cut_bytes(text: str, most: int) -> str:
    """The text, cut at a character where it is longer than so many bytes of UTF-8."""
    if len(text.encode()) <= most:
        return text
    return text.encode()[: most - len(CUT.encode())].decode("utf-8", "ignore") + CUT


def size_of(body: Any) -> int:
    """Bytes of a body as it is sent."""
    return len(encoded(body))


def encoded(body: Any) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def most_that_fit(
    count: int, most: int, build: Callable[[int], Body], fits: Callable[[Body], bool]
) -> tuple[Body, int]:
    """The body with as many of ``count`` findings as fit, at most ``most``; and how many were left out."""
    low, high = 0, min(count, most)
    best, shown = build(high), high
    if fits(best):
        return best, count - high
    best, shown = build(0), 0
    while low < high:
        middle = (low + high + 1) // 2
        body = build(middle)
        if fits(body):
            best, shown, low = body, middle, middle
        else:
            high = middle - 1
    return best, count - shown
