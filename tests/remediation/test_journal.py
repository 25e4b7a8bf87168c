"""The journal: whole lines that are on the disk, a torn end cut off, and what is no journal told with its line."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from finops_policy.errors import EvidenceError
from finops_policy.remediation.journal import JOURNAL, Journal, Log, read_journal
from finops_policy.remediation.model import Outcome
from tests.unit.evidence_kit import largest_file

ENDED = {"outcome": "done", "reason": "", "error": "", "after": {"state": "stopped"}, "made": {"snapshots": ["s-1"]}}


def filled(path: Path) -> Log:
    with Journal(path) as journal:
        journal.write("started", by="arn:aws:iam::1:user/x")
        journal.write("intent", item="a", step=0, action={"type": "stop"}, before={"state": "running"})
        journal.write("acted", item="a", step=0, error="denied")
        journal.write("outcome", item="a", step=0, **ENDED | {"error": "denied"})
        journal.write("held", item="b", reason="waived since the plan")
        journal.write("canary")
        journal.write("stopped", reason="enough")
        return journal.log


def test_what_was_written_is_what_is_read(tmp_path: Path) -> None:
    written = filled(tmp_path / JOURNAL)
    read = read_journal(tmp_path)
    assert read == written
    step = read.step("a", 0)
    assert (step.before, step.acted, step.error) == ({"state": "running"}, True, "denied")
    assert (step.outcome, step.after, step.made) == (Outcome.DONE, {"state": "stopped"}, {"snapshots": ["s-1"]})
    assert read.held["b"][0] == "waived since the plan"
    assert (read.stopped, read.canary) == ("enough", True)
    with Journal(tmp_path / JOURNAL) as again:
        assert again.log == read


def test_every_line_is_on_the_disk_before_the_next_thing_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[bytes] = []
    monkeypatch.setattr(os, "fsync", lambda _handle: synced.append((tmp_path / JOURNAL).read_bytes()))
    with Journal(tmp_path / JOURNAL) as journal:
        journal.write("canary")
        journal.write("stopped", reason="x")
    assert [each.count(b"\n") for each in synced] == [1, 2]


def test_a_line_torn_anywhere_is_cut_off_and_what_is_whole_stays(tmp_path: Path) -> None:
    filled(tmp_path / JOURNAL)
    data = (tmp_path / JOURNAL).read_bytes()
    for length in range(0, len(data), 5):
        path = tmp_path / "torn"
        path.write_bytes(data[:length])
        with Journal(path) as journal:
            journal.write("canary")
        lines = path.read_bytes().splitlines(keepends=True)
        assert lines[:-1] == data[:length].splitlines(keepends=True)[: data[:length].count(b"\n")]
        assert json.loads(lines[-1])["event"] == "canary"


@pytest.mark.parametrize(
    "line",
    [
        b"{}",
        b"null",
        b"\xff",
        b"[1]",
        b'{"event": "outcome", "item": "a", "step": 0, "outcome": "perfect"}',
        b'{"event": "held", "item": "a"}',
        b'{"event": "intent", "item": [], "step": 0, "before": {}}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_line_of_a_journal_is_told_with_its_number(tmp_path: Path, line: bytes) -> None:
    filled(tmp_path / JOURNAL)
    data = (tmp_path / JOURNAL).read_bytes()
    (tmp_path / JOURNAL).write_bytes(data + line + b"\n" + data)
    for reading in (lambda: read_journal(tmp_path), lambda: Journal(tmp_path / JOURNAL).__enter__()):
        with pytest.raises(EvidenceError, match=rf"{JOURNAL}:8 ") as raised:
            reading()
        assert "CloudTrail" in str(raised.value.hint)
    assert (tmp_path / JOURNAL).read_bytes() == data + line + b"\n" + data, "and nothing is cut off of it"


def test_a_full_disk_is_told_and_leaves_a_journal_to_go_on_from(tmp_path: Path) -> None:
    filled(tmp_path / JOURNAL)
    data = (tmp_path / JOURNAL).read_bytes()
    with Journal(tmp_path / JOURNAL) as journal, largest_file(len(data) + 40):
        with pytest.raises(EvidenceError, match=JOURNAL):
            journal.write("held", item="c", reason="x" * 100)
        assert "c" not in journal.log.held, "what is not on the disk is not known"
    with Journal(tmp_path / JOURNAL) as journal:
        assert "c" not in journal.log.held
    assert (tmp_path / JOURNAL).read_bytes() == data


def test_no_journal_is_told(tmp_path: Path) -> None:
    with pytest.raises(EvidenceError, match=JOURNAL):
        read_journal(tmp_path)
    with pytest.raises(EvidenceError, match=JOURNAL), Journal(tmp_path / "none" / JOURNAL):
        pass


words = st.one_of(st.text(max_size=30), st.sampled_from(["\n", "\u2028", "\x85", "\x1b[2J", '"}\n{"event":"canary"}']))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(words, st.dictionaries(words, st.one_of(words, st.integers(), st.none()), max_size=3))
def test_any_text_stays_in_its_line(tmp_path: Path, text: str, before: dict[str, Any]) -> None:
    path = tmp_path / JOURNAL
    path.unlink(missing_ok=True)
    with Journal(path) as journal:
        journal.write("intent", item="a", step=0, action={}, before=before)
        journal.write("outcome", item="a", step=0, **ENDED | {"reason": text})
    assert path.read_bytes().count(b"\n") == 2
    assert read_journal(tmp_path) == journal.log
    assert not read_journal(tmp_path).canary
