"""Errors: their exit codes, what they carry, and the nearest known name."""

from __future__ import annotations

import pytest

from finops_policy.errors import (
    CredentialsError,
    EvidenceError,
    ExitCode,
    FinopsPolicyError,
    InvalidFilesError,
    SandboxError,
    UsageError,
    did_you_mean,
)
from finops_policy.marks import Diagnostic, Mark


def test_exit_codes_are_a_promise() -> None:
    assert {code.name: int(code) for code in ExitCode} == {
        "CLEAN": 0,
        "ERROR": 1,
        "USAGE": 2,
        "FINDINGS": 3,
        "INCOMPLETE": 4,
        "INTERRUPTED": 130,
    }


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (FinopsPolicyError, ExitCode.ERROR),
        (UsageError, ExitCode.USAGE),
        (CredentialsError, ExitCode.ERROR),
        (EvidenceError, ExitCode.ERROR),
        (SandboxError, ExitCode.ERROR),
    ],
)
def test_an_error_says_what_how_to_mend_it_and_how_to_exit(kind: type[FinopsPolicyError], code: ExitCode) -> None:
    error = kind("It broke.", hint="Mend it.")
    assert (str(error), error.message, error.hint, error.exit_code) == ("It broke.", "It broke.", "Mend it.", code)
    assert kind("It broke.").hint == ""
    assert isinstance(error, FinopsPolicyError)


@pytest.mark.parametrize(
    ("count", "message"),
    [(1, "1 problem in the files read"), (2, "2 problems in the files read"), (0, "0 problems in the files read")],
)
def test_invalid_files_carry_every_diagnostic_in_order(count: int, message: str) -> None:
    found = [Diagnostic("rule", f"Wrong {number}.", Mark("f.yaml", number, 1)) for number in range(count)]
    error = InvalidFilesError(found)
    assert (error.message, error.exit_code) == (message, ExitCode.ERROR)
    assert error.diagnostics == tuple(found)
    found.clear()
    assert len(error.diagnostics) == count


@pytest.mark.parametrize(
    ("diagnostic", "text"),
    [
        (Diagnostic("r", "Wrong.", Mark("f.yaml", 3, 7)), "f.yaml:3:7: Wrong. [r]"),
        (Diagnostic("r", "Wrong.", Mark("f.yaml")), "f.yaml: Wrong. [r]"),
        (
            Diagnostic("r", "Wrong.", Mark("f.yaml", 3, 7), "Mend it.", (Mark("g.yaml", 1, 2), Mark("h.yaml"))),
            "f.yaml:3:7: Wrong. [r] (see g.yaml:1:2) (see h.yaml)\n    Mend it.",
        ),
    ],
)
def test_a_diagnostic_as_text(diagnostic: Diagnostic, text: str) -> None:
    assert str(diagnostic) == text


def test_marks_sort_by_place_in_the_file_and_not_as_text() -> None:
    marks = [Mark("b"), Mark("a", 10, 1), Mark("a", 9, 12), Mark("a", 9, 2), Mark("a")]
    assert sorted(marks) == [Mark("a"), Mark("a", 9, 2), Mark("a", 9, 12), Mark("a", 10, 1), Mark("b")]


@pytest.mark.parametrize(
    ("word", "known", "sentence"),
    [
        ("hippa", ["sox", "hipaa"], "Did you mean hipaa?"),
        ("idle_dayz", ["idle_days", "idle_day", "x"], "Did you mean idle_day or idle_days?"),
        ("zzz", ["b", "a", "b"], "Known: a, b."),
        (
            "zzz",
            [f"name-{number:02}" for number in range(12)],
            f"Known: {', '.join(f'name-{n:02}' for n in range(12))}.",
        ),
        ("zzz", [f"name-{number:02}" for number in range(13)], ""),
        ("zzz", [], ""),
        ("", ["a"], "Known: a."),
        ("a", ["a"], "Did you mean a?"),
        ("name", [f"name{number}" for number in range(5)], "Did you mean name4 or name3 or name2?"),
    ],
)
def test_the_nearest_known_names(word: str, known: list[str], sentence: str) -> None:
    assert did_you_mean(word, known) == sentence
    assert did_you_mean(word, reversed(known)) == sentence, "whatever order they come in"


def test_a_word_of_any_length_is_compared_in_no_time() -> None:
    assert did_you_mean("a" * 1_000_000, ["acme", "b"]) == "Known: acme, b."
