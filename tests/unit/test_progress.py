"""What a run's progress says, of few targets and of many."""

from __future__ import annotations

import pytest

from finops_policy.cli import progress
from finops_policy.cli.progress import Lines, Sofar
from finops_policy.model import Coverage, FailureKind, Status, Target


def cells(account: str, *, findings: int = 0, failed: bool = False) -> tuple[Coverage, ...]:
    if failed:
        return (Coverage(account, "us-east-1", "p", Status.FAILED, FailureKind.TIMEOUT, "late", "wait"),)
    return (Coverage(account, "us-east-1", "p", Status.EVALUATED, population=9, noncompliant=findings),)


def told(capsys: pytest.CaptureFixture[str], targets: int, broken: int) -> list[str]:
    lines = Lines()
    lines.started(targets, targets)
    for number in range(targets):
        account = f"{number:012d}"
        lines.finished(
            Target(account, "us-east-1", f"team-{number}"), cells(account, findings=2, failed=number == broken)
        )
    return capsys.readouterr().err.splitlines()


def test_each_of_few_targets_has_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys, 3, broken=1) == [
        "Checking 3 targets, 3 cells.",
        "[1/3] team-0 us-east-1: 9 judged, 2 noncompliant",
        "[2/3] team-1 us-east-1: 0 judged, 0 noncompliant; NOT CHECKED: 1 of 1 (timeout)",
        "[3/3] team-2 us-east-1: 9 judged, 2 noncompliant",
    ]


def test_of_many_targets_every_gap_is_told_and_the_others_are_summed_up(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress.time, "monotonic", lambda: 0.0)
    said = told(capsys, 3000, broken=1234)
    assert "[1,235/3,000] team-1234 us-east-1: 0 judged, 0 noncompliant; NOT CHECKED: 1 of 1 (timeout)" in said
    assert "[1,230/3,000] 2,460 findings, 0 gaps, about 1 s left" in said
    assert said[-1] == "[3,000/3,000] 5,998 findings, 1 gaps"
    assert len(said) == 1 + 1 + 100


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(1, "about 3 s left"), (40, "about 2 min left"), (3600, "about 3.0 h left"), (0.001, "about 1 s left")],
)
def test_the_time_left_is_reckoned_from_what_is_done(
    seconds: float, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sofar = Sofar(targets=4, began=100.0)
    assert sofar.left == "", "nothing is known before the first"
    sofar.add(cells("1" * 12))
    monkeypatch.setattr(progress.time, "monotonic", lambda: 100.0 + seconds)
    assert sofar.left == words


def test_a_hostile_account_name_stays_text(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines()
    lines.started(1, 1)
    lines.finished(Target("1" * 12, "us-east-1", "x\x1b[31m"), cells("1" * 12))
    assert "x\\x1b[31m us-east-1" in capsys.readouterr().err
