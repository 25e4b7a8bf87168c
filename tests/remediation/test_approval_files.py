"""Approvals on the disk: whole or not at all, beside each other, and every refused attempt on record."""

from __future__ import annotations

import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from finops_policy.errors import EvidenceError, UsageError
from finops_policy.evidence.store import LocalStore
from finops_policy.library import library_root
from finops_policy.remediation.approval_files import (
    APPROVALS,
    ATTEMPTS,
    find_plan,
    read_attempts,
    read_envelopes,
    record_attempts,
    write_envelope,
)
from finops_policy.remediation.approvals import Approval, AttemptKind, Decision, Rejected, judge_approvals
from finops_policy.remediation.deciding import (
    RefusedError,
    Signatory,
    attempts_recorded,
    by_key,
    decide,
    draft,
    open_plan,
)
from finops_policy.remediation.model import Plan, Requester
from finops_policy.remediation.plan_file import PLAN_NAME, plan_bytes, write_plan
from tests.remediation.approval_kit import FINANCE, HOUR, NOW, ONE, TWO, Desk, email, item, plan

REJECTED = Rejected(AttemptKind.FORGED, "the signature does not fit", "a@b.example", "ab", "x.dsse.json", "cd" * 32)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def of(tmp_path: Path) -> Plan:
    return write_plan(plan(item(ONE, "900"), item(TWO, "1")), tmp_path)


def signatory(desk: Desk, who: str) -> Signatory:
    return by_key(desk.customer, desk.keys[who].path)


def say(desk: Desk, folder: Path, of: Plan, who: str, *items: str, no: bool = False) -> Path:
    """What ``approve`` does once everybody agrees."""
    signing = signatory(desk, who)
    decision = Decision.REFUSE if no else Decision.APPROVE
    said = draft(of, desk.customer, signing, decision, items or None, "It is idle.", NOW)
    return decide(said, signing, folder, of, desk.customer, NOW)


def kinds(folder: Path) -> list[str]:
    return [each["kind"] for each in read_attempts(folder)]


# --- Where plans lie --------------------------------------------------------------------------------------------------


def test_plans_are_found_by_path_id_and_latest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalStore(tmp_path)
    ids = ["20261123T070000Z-0123abcd", "20261124T070000Z-0123abcd"]
    for name in ids:
        folder = tmp_path / "customer=acme" / "plans" / name
        folder.mkdir(parents=True)
        write_plan(plan(plan_id=name), folder)
    (folder.parent / "20261125T070000Z-0123abcd").mkdir()
    assert find_plan(store, "acme", "latest") == folder / PLAN_NAME
    assert find_plan(store, "acme", ids[0]) == folder.parent / ids[0] / PLAN_NAME
    assert find_plan(store, "acme", str(folder)) == folder / PLAN_NAME
    monkeypatch.chdir(folder)
    assert find_plan(store, "acme", PLAN_NAME) == Path(PLAN_NAME)
    (folder / "other.json").write_bytes((folder / PLAN_NAME).read_bytes())
    for place in ("other.json", "20261125T070000Z-0123abcd", "../x", "..", "x*", "", "/nowhere", "a\0b"):
        with pytest.raises(UsageError):
            find_plan(store, "acme", place)
    for customer in ("globex", "../acme"):
        with pytest.raises(UsageError):
            find_plan(store, customer, "latest")


# --- Writing ----------------------------------------------------------------------------------------------------------


def test_a_decision_is_written_and_counts(desk: Desk, tmp_path: Path, of: Plan) -> None:
    path = say(desk, tmp_path, of, "samuel")
    assert path.parent == tmp_path / APPROVALS
    assert path.name.startswith("20261124T080000Z-engineering-")
    assert path.name.endswith(".dsse.json")
    say(desk, tmp_path, of, "ingrid", ONE)
    judged = judge_approvals(of, read_envelopes(tmp_path), desk.customer, NOW)
    assert (judged.approved, judged.rejected) == ((ONE,), ())
    assert not (tmp_path / ATTEMPTS).exists()


def test_how_long_a_decision_lasts(desk: Desk, of: Plan) -> None:
    signing = signatory(desk, "samuel")

    def made(decision: Decision = Decision.APPROVE, hours: int | None = None, plan: Plan = of) -> Approval:
        return draft(plan, desk.customer, signing, decision, [TWO, ONE, TWO], " It is idle. ", NOW, hours)

    assert made().expires == NOW + 72 * HOUR
    assert made(hours=5).expires == NOW + 5 * HOUR
    assert made(plan=replace(of, valid_until=NOW + HOUR)).expires == NOW + HOUR
    assert made(Decision.REFUSE).expires == of.valid_until
    assert (made().items, made().comment) == ((ONE, TWO), "It is idle.")
    with pytest.raises(UsageError, match="72 hours, not 73"):
        made(hours=73)
    with pytest.raises(RefusedError, match="expired-plan"):
        made(plan=replace(of, valid_until=NOW))


@pytest.mark.parametrize("comment", ["", " \n", "a" * 2001])
def test_a_comment_must_say_something(desk: Desk, of: Plan, comment: str) -> None:
    with pytest.raises(UsageError, match="A comment has 1 to 2000 characters"):
        draft(of, desk.customer, signatory(desk, "samuel"), Decision.APPROVE, None, comment, NOW)


HOSTILE = [
    "\x1b[2J\x1b]0;x\x07",
    "=cmd()|'/c calc'!A1",
    "<script>alert(1)</script>",
    "\u202egnp.exe",
    "{{7*7}}",
    "\udce4\0",
]


@pytest.mark.parametrize("comment", HOSTILE)
def test_a_hostile_comment_is_signed_as_text(desk: Desk, tmp_path: Path, of: Plan, comment: str) -> None:
    signing = signatory(desk, "samuel")
    said = draft(of, desk.customer, signing, Decision.APPROVE, None, comment, NOW)
    decide(said, signing, tmp_path, of, desk.customer, NOW)
    [given] = judge_approvals(of, read_envelopes(tmp_path), desk.customer, NOW).given
    assert given.approval.comment == comment.replace("\udce4", "\\udce4")


@pytest.mark.parametrize(
    ("who", "change", "kind"),
    [
        ("samuel", {"requested_by": Requester("", email("samuel"))}, "requester"),
        ("samuel", {"customer": "globex"}, "wrong-customer"),
    ],
)
def test_what_would_not_count_is_not_written(
    desk: Desk, tmp_path: Path, who: str, change: dict[str, object], kind: str
) -> None:
    of = write_plan(plan(**change), tmp_path)
    with pytest.raises(RefusedError) as caught, attempts_recorded(tmp_path, of):
        say(desk, tmp_path, of, who)
    assert caught.value.exit_code == 1
    assert caught.value.hint
    assert kinds(tmp_path) == [kind]
    assert read_envelopes(tmp_path) == []


def test_a_repeated_decision_is_refused_each_time(desk: Desk, tmp_path: Path, of: Plan) -> None:
    say(desk, tmp_path, of, "samuel")
    for times in (1, 2):
        with pytest.raises(RefusedError, match="repeated"), attempts_recorded(tmp_path, of):
            say(desk, tmp_path, of, "samuel", ONE)
        assert kinds(tmp_path) == ["repeated"] * times
    assert len(read_envelopes(tmp_path)) == 1


def test_an_approval_that_grew_old_is_nobodys_attempt(desk: Desk, tmp_path: Path, of: Plan) -> None:
    say(desk, tmp_path, of, "samuel")
    later, signing = NOW + 73 * HOUR, signatory(desk, "samuel")
    said = draft(of, desk.customer, signing, Decision.APPROVE, None, "Still idle.", later)
    decide(said, signing, tmp_path, of, desk.customer, later)
    assert (len(read_envelopes(tmp_path)), kinds(tmp_path)) == (2, [])


def test_nobody_approves_a_plan_that_was_another_when_it_was_approved(desk: Desk, tmp_path: Path, of: Plan) -> None:
    say(desk, tmp_path, of, "ingrid")
    other = write_plan(replace(of, items=(item(ONE, "1"), item(TWO, "1"))), tmp_path)
    with pytest.raises(RefusedError, match="plan-changed"), attempts_recorded(tmp_path, other):
        say(desk, tmp_path, other, "samuel")
    assert kinds(tmp_path) == ["plan-changed", "plan-changed"], "the old approval, and the attempt"
    say(desk, tmp_path, other, "samuel", no=True)
    assert judge_approvals(other, read_envelopes(tmp_path), desk.customer, NOW).approved == ()


def test_a_plan_that_is_none_or_of_somebody_else_is_recorded(desk: Desk, tmp_path: Path, of: Plan) -> None:
    assert open_plan(tmp_path / PLAN_NAME, desk.customer) == of
    data = plan_bytes(of)
    (tmp_path / PLAN_NAME).write_bytes(data.replace(b'"sandbox"', b' "sandbox"'))
    for _ in range(2):
        with pytest.raises(RefusedError, match="plan-unreadable"), attempts_recorded(tmp_path):
            open_plan(tmp_path / PLAN_NAME, desk.customer)
    assert kinds(tmp_path) == ["plan-unreadable"], "one file, one line"
    write_plan(replace(of, customer="globex"), tmp_path)
    with pytest.raises(RefusedError, match="wrong-customer"), attempts_recorded(tmp_path):
        open_plan(tmp_path / PLAN_NAME, desk.customer)
    assert kinds(tmp_path) == ["plan-unreadable", "wrong-customer"]


def test_a_key_that_is_nobodys(desk: Desk, tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="unregistered-key") as caught:
        signatory(desk, "mallory")
    assert "approve --register" in caught.value.hint
    with pytest.raises(UsageError, match="no private key"):
        by_key(desk.customer, tmp_path / "not-there.pem")
    assert list(tmp_path.iterdir()) == [], "no key is made by approving"


# --- Reading what lies there ------------------------------------------------------------------------------------------


def test_only_whole_files_of_the_right_name_are_approvals(desk: Desk, tmp_path: Path, of: Plan) -> None:
    path = say(desk, tmp_path, of, "samuel")
    folder = path.parent
    whole = path.read_bytes()
    (folder / ".0011.tmp").write_bytes(whole[:100])
    (folder / ".hidden.dsse.json").write_bytes(whole)
    (folder / "notes.txt").write_text("remember the milk")
    assert [name for name, _ in read_envelopes(tmp_path)] == [path.name]
    (folder / "half.dsse.json").write_bytes(whole[:100])
    (folder / "link.dsse.json").symlink_to(path)
    (folder / "folder.dsse.json").mkdir()
    with (folder / "large.dsse.json").open("wb") as file:
        file.truncate(1 << 30)
    assert dict(read_envelopes(tmp_path))["large.dsse.json"] == b"", "nobody reads a gigabyte"
    judged = judge_approvals(of, read_envelopes(tmp_path), desk.customer, NOW)
    assert {each.file.partition(".")[0]: each.kind.value for each in judged.rejected} == dict.fromkeys(
        ["half", "link", "folder", "large"], "malformed"
    )
    assert [each.file for each in judged.given] == [path.name]


def test_an_approval_that_cannot_be_read_might_be_a_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / APPROVALS).mkdir()
    (tmp_path / APPROVALS / "x.dsse.json").write_bytes(b"{}")

    def denied(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", denied)
    with pytest.raises(EvidenceError, match=r"Cannot read .*x\.dsse\.json: Permission denied"):
        read_envelopes(tmp_path)


def test_where_nothing_can_be_written_nothing_is_said_to_be(
    desk: Desk, tmp_path: Path, of: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read-only file system, also for root: neither the approval nor the attempt, and both are told."""

    def read_only(path: Path, *_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "mkdir", read_only)
        with pytest.raises(EvidenceError, match="Read-only file system"):
            say(desk, tmp_path, of, "samuel")
    assert not (tmp_path / APPROVALS).exists()
    (tmp_path / ATTEMPTS).symlink_to("/dev/zero")
    with pytest.raises(RefusedError) as caught, attempts_recorded(tmp_path, of):
        raise RefusedError(REJECTED)
    assert "The attempt could not be recorded" in caught.value.hint


# --- Attempts ---------------------------------------------------------------------------------------------------------


def test_an_attempt_is_a_line(tmp_path: Path, of: Plan) -> None:
    assert record_attempts(tmp_path, of, [REJECTED], NOW) == 1
    assert record_attempts(tmp_path, of, [REJECTED], NOW + HOUR) == 0, "the same envelope for the same reason"
    assert record_attempts(tmp_path, of, [replace(REJECTED, kind=AttemptKind.ROLE)], NOW) == 1
    assert record_attempts(tmp_path, None, [replace(REJECTED, digest="")] * 2, NOW) == 2, "no file: each is its own"
    lines = (tmp_path / ATTEMPTS).read_text("utf-8").splitlines()
    assert len(lines) == 4
    first = json.loads(lines[0])
    assert first == {
        "at": "2026-11-24T08:00:00Z",
        "kind": "forged",
        "message": "the signature does not fit",
        "approver": "a@b.example",
        "key_id": "ab",
        "file": "x.dsse.json",
        "sha256": "cd" * 32,
        "plan_id": of.plan_id,
        "plan_digest": of.digest,
    }
    schema = json.loads(library_root().joinpath("schemas", "approval.schema.json").read_text("utf-8"))
    for line in lines:
        Draft202012Validator(schema["$defs"]["attempt"]).validate(json.loads(line))


def test_a_line_that_was_cut_off_costs_no_other(tmp_path: Path, of: Plan) -> None:
    record_attempts(tmp_path, of, [REJECTED], NOW)
    path = tmp_path / ATTEMPTS
    path.write_bytes(path.read_bytes() + b'{"at":"2026-11')
    record_attempts(tmp_path, of, [replace(REJECTED, kind=AttemptKind.ROLE, message="a\nb")], NOW)
    assert kinds(tmp_path) == ["forged", "role"]


# --- At once ----------------------------------------------------------------------------------------------------------


def _approve(keys: str, folder: str, who: str, items: tuple[str, ...]) -> str:
    desk = Desk(Path(keys))
    of = open_plan(Path(folder) / PLAN_NAME, desk.customer)
    try:
        with attempts_recorded(Path(folder), of):
            return say(desk, Path(folder), of, who, *items).name
    except RefusedError as error:
        return str(error.rejected.kind)


def test_two_approvers_at_once(desk: Desk, tmp_path: Path, of: Plan) -> None:
    """Nobody overwrites anybody, and of the same decision one is written."""
    keys = str(desk.keys["samuel"].path.parent)
    jobs = [(keys, str(tmp_path), who, ()) for who in ("samuel", "ingrid", "noor", "lucia") for _ in range(4)]
    with ProcessPoolExecutor(4, multiprocessing.get_context("spawn")) as pool:  # a fork would copy other tests' threads
        answers = list(pool.map(_approve, *zip(*jobs, strict=True)))
    written = {each for each in answers if each != "repeated"}
    assert (len(written), answers.count("repeated")) == (4, 12)
    assert {name for name, _ in read_envelopes(tmp_path)} == written
    judged = judge_approvals(of, read_envelopes(tmp_path), desk.customer, NOW)
    assert (judged.approved, judged.rejected) == ((ONE, TWO), ())
    assert kinds(tmp_path) == ["repeated"] * 12


def test_a_name_that_is_taken_is_not_overwritten(desk: Desk, tmp_path: Path, of: Plan) -> None:
    said = desk.said(of, "ingrid", role=FINANCE)
    (tmp_path / APPROVALS).mkdir()
    path = write_envelope(tmp_path, said, b"one")
    with pytest.raises(EvidenceError, match="there already"):
        write_envelope(tmp_path, said, b"one")
    assert path.read_bytes() == b"one"
