"""Text of files as it may be shown: nothing in it moves the cursor, turns the line around, or breaks a document."""

from __future__ import annotations

import unicodedata
from typing import Final

_INVISIBLE: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
_NO_CHARACTERS: Final = frozenset("\ufffe\uffff")
"""XML may not hold them."""


def spell(character: str) -> str:
    """The character, or its escape where it is a control or direction character."""
    if " " <= character <= "~":
        return character
    if character == "\t":
        return "\\t"
    if unicodedata.category(character) not in _INVISIBLE and character not in _NO_CHARACTERS:
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def plain(text: str) -> str:
    """Text on one line, without control characters."""
    return text if text.isascii() and text.isprintable() else "".join(map(spell, text))


def cells(text: str) -> int:
    """Columns that spelled text takes on a terminal."""
    return len(text) if text.isascii() else sum(map(_cells, text))


def _cells(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1
