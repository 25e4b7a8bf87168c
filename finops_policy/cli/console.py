"""What people see: tables on stdout, everything else on stderr, colours only where a terminal asks for them.

Text from AWS or from files may hold anything; it is printed as text, with control and direction characters spelled out.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Literal

from rich.console import Console
from rich.text import Text

from finops_policy.errors import FinopsPolicyError, InvalidFilesError
from finops_policy.marks import Diagnostic
from finops_policy.spelling import plain

WIDTH_WITHOUT_TERMINAL = 100


def stdout() -> Console:
    return _console(stderr=False)


def stderr() -> Console:
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream and stream.isatty() else WIDTH_WITHOUT_TERMINAL
    colours: Literal["auto"] | None = None if os.environ.get("NO_COLOR") else "auto"  # None: nothing bold either
    return Console(stderr=stderr, width=width, color_system=colours, highlight=False, emoji=False, markup=False)


def tell_error(error: FinopsPolicyError) -> None:
    """An error, and every diagnostic it carries, each with its next step."""
    console = stderr()
    if isinstance(error, InvalidFilesError):
        tell_diagnostics(error.diagnostics)
    console.print(Text.assemble(("Error: ", "bold red"), plain(error.message)), soft_wrap=True)
    if error.hint:
        console.print(Text(plain(error.hint)), soft_wrap=True)


def tell_diagnostics(diagnostics: Sequence[Diagnostic]) -> None:
    """One paragraph per problem: place, sentence, rule, the other place, and how to mend it."""
    console = stderr()
    for each in sorted(diagnostics, key=lambda one: one.mark):
        line = Text.assemble((str(each.mark), "bold"), ": ", plain(each.message), (f" [{each.rule}]", "dim"))
        console.print(line, soft_wrap=True)
        for mark in each.related:
            console.print(Text(f"    see {mark}"), soft_wrap=True)
        if each.hint:
            console.print(Text(f"    {plain(each.hint)}"), soft_wrap=True)
