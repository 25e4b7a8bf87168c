"""On a terminal: bars, colours and width, and what takes them away."""

from __future__ import annotations

import re
from pathlib import Path

from finops_policy.sandbox.process import Sandbox
from tests.cli.conftest import Invoke
from tests.cli.kit import ANSI, SGR, on_terminal

RUN = ("run", "--customer", "acme", "--account", "acme-legacy", "--account", "acme-dev", "--workers", 1)
FEW = ("--policy", "s3*", "--policy", "dynamodb-table-required-tags")


def test_the_bar_shows_targets_findings_and_gaps_and_leaves_the_screen(sandbox_server: Sandbox, place: Path) -> None:
    screen = on_terminal(*RUN, *FEW, cwd=place, env=sandbox_server.environment())
    assert screen.code == 4
    assert re.search(r"Targets .*\b4/4\b", ANSI.sub("", screen.err))
    assert re.search(r"Targets .*\b4/4 .* findings, 4 gaps", ANSI.sub("", screen.err))
    assert "acme-dev us-east-1: " in screen.err
    assert screen.err.endswith("\x1b[?25h\r\x1b[1A\x1b[2K"), "the bar goes, the cursor is back"
    assert SGR.search(screen.out), "colours"
    assert "Targets" not in screen.out
    assert {len(line) <= 80 for line in _visible(screen.out) if not line.startswith("Evidence: ")} == {True}
    assert {len(line) <= 80 for line in _visible(screen.err) if "signing key" not in line} == {True}


def test_no_color_takes_colours_and_weights_away(sandbox_server: Sandbox, place: Path) -> None:
    screen = on_terminal(*RUN, *FEW, cwd=place, env={**sandbox_server.environment(), "NO_COLOR": "1"})
    assert screen.code == 4
    assert not SGR.search(screen.out + screen.err)
    assert not ANSI.search(screen.out)
    assert "dynamodb-table-required-tags" in screen.out
    assert re.search(r"Targets .*\b4/4 .* findings, 4 gaps", ANSI.sub("", screen.err))


def test_a_dumb_terminal_gets_text_only(sandbox_server: Sandbox, place: Path) -> None:
    screen = on_terminal(*RUN, *FEW, cwd=place, env={**sandbox_server.environment(), "TERM": "dumb"})
    assert screen.code == 4
    assert "\x1b" not in screen.out + screen.err
    assert "acme-dev us-east-1: " in screen.err


def test_a_wide_terminal_has_headings_in_full(sandbox_server: Sandbox, place: Path) -> None:
    screen = on_terminal(*RUN, *FEW, cwd=place, env=sandbox_server.environment(), columns=130)
    head = next(line for line in _visible(screen.out) if "policy" in line)
    assert "noncompliant" in head
    assert "USD a month" in head


def test_an_error_is_red_on_a_terminal_only(place: Path, invoke: Invoke) -> None:
    screen = on_terminal("explain", "--customer", "acem", cwd=place, env={})
    assert screen.code == 2
    assert screen.err.startswith("\x1b[1;31mError: \x1b[0mThere is no customer named 'acem'.")
    assert invoke("explain", "--customer", "acem").err.startswith("Error: There is no customer named 'acem'.")


def _visible(text: str) -> list[str]:
    """Lines as they end up: what was drawn over on the same line is gone."""
    return [ANSI.sub("", line).rsplit("\r", 1)[-1].rstrip() for line in text.splitlines()]
