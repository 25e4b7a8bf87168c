"""From sealed runs to people told: once, and again when it matters; a channel that fails stops no other."""

from __future__ import annotations

import datetime as dt
import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from finops_policy.channels import Audience, Escalation, Notifications, Owners
from finops_policy.errors import EvidenceError, ExitCode, UsageError
from finops_policy.ledger import finding_id
from finops_policy.model import Severity, Status, Target, Verdict
from finops_policy.notify.journal import FILE, Journal
from finops_policy.notify.model import Report, Result
from finops_policy.notify.service import notify
from finops_policy.realised import Resource
from tests.notify.kit import (
    NOW,
    Posted,
    Receiver,
    Store,
    at,
    cell,
    channel,
    compliant,
    customer,
    finding,
    policy,
    receiver,
    settings,
)

RECORD = json.loads((Path(__file__).parents[2] / "schemas" / "notification.schema.json").read_text())
HOOK = channel("webhook", "hook", url="$HOOK", secret="$SECRET")
SOON = {"base": 0.001, "attempts": 2}


@pytest.fixture(autouse=True)
def _secrets(http: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK", http.url)
    monkeypatch.setenv("SECRET", "hush")


def tell(run: Path, day: float = 0, of: Notifications | None = None, **changes: Any) -> Report:
    return notify(customer(of or settings(HOOK)), run, patience=at(day, **SOON), **changes)


def told(http: Receiver) -> list[tuple[str, list[tuple[str, str]]]]:
    """Recipient, and resource and reason of each finding, of everything posted since the last time."""
    found = [
        (
            each.json["digest"]["recipient"],
            [(one["resource"].rpartition("/")[2].lstrip("i-0"), one["why"]) for one in each.json["findings"]],
        )
        for each in http.posted
    ]
    http.posted.clear()
    return found


def lines(store: Store) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (store.folder / FILE).read_text().splitlines()]


# --- What is told, and to whom ----------------------------------------------------------------------------------------


def test_an_owner_gets_one_digest(store: Store, http: Receiver) -> None:
    run = store.run(0, [finding(1), finding(2, "bob@acme.example"), finding(3), finding(4, owner=""), compliant(5)])
    report = tell(run)
    assert told(http) == [
        ("ann@acme.example", [("1", "new"), ("3", "new")]),
        ("bob@acme.example", [("2", "new")]),
        ("finops@acme.example", [("4", "new")]),
    ]
    assert report.exit_code is ExitCode.CLEAN
    for each in lines(store):
        Draft202012Validator(RECORD).validate(each)
    assert [each["recipient"] for each in lines(store)] == [
        "ann@acme.example",
        "bob@acme.example",
        "finops@acme.example",
    ]


def test_a_finding_has_the_id_that_the_ledger_gives_it(store: Store, http: Receiver) -> None:
    made = finding(1)
    tell(store.run(0, [made]))
    resource = Resource(made.account_id, made.region, made.resource_type, made.resource_id, made.arn)
    assert list(lines(store)[0]["findings"]) == [finding_id("ec2-idle", resource)]
    assert http.posted[0].json["findings"][0]["fingerprint"] == finding_id("ec2-idle", resource)


def test_waived_and_unknown_are_not_told(store: Store, http: Receiver) -> None:
    verdicts = [Verdict.WAIVED, Verdict.UNKNOWN, Verdict.COMPLIANT]
    run = store.run(0, [finding(number, verdict=verdict) for number, verdict in enumerate(verdicts)])
    assert tell(run).deliveries == ()
    assert http.posted == []


def test_only_postures_from_notify_on_are_told_account_by_account(store: Store, http: Receiver) -> None:
    names = ("report", "notify", "mark", "approve", "auto")
    dev = Target("444455556666", "eu-west-1", "acme-dev")
    own = {"account_id": dev.account_id, "region": dev.region}
    run = store.run(
        0,
        [finding(number, policy=name) for number, name in enumerate(names, 1)]
        + [finding(number + 10, policy=name, **own) for number, name in enumerate(names, 1)],
        policies=[policy(name, name) for name in names],
        accounts={dev.account_id: [policy(name, "report") for name in names]},
        targets=(Target("111122223333", "us-east-1"), dev),
        cells=[],
    )
    tell(run)
    assert told(http) == [("ann@acme.example", [("2", "new"), ("3", "new"), ("4", "new"), ("5", "new")])]


def test_one_digest_for_all_and_a_least_severity(store: Store, http: Receiver) -> None:
    run = store.run(0, [finding(1, severity=Severity.LOW), finding(2, "bob@acme.example", severity=Severity.HIGH)])
    tell(run, of=settings(replace(HOOK, to=Audience.ALL, min_severity=Severity.MEDIUM)))
    assert told(http) == [("", [("2", "new")])]


# --- Once, and again --------------------------------------------------------------------------------------------------


def test_nothing_is_told_twice_until_it_is_time(store: Store, http: Receiver) -> None:
    for day, expected in [(0, "new"), (1, ""), (6, ""), (7, "repeated"), (8, ""), (14, "repeated")]:
        run = store.run(day, [finding(1)])
        tell(run, day)
        tell(run, day + 0.1)
        assert told(http) == ([("ann@acme.example", [("1", expected)])] if expected else []), day


def test_a_new_finding_is_told_without_the_old_ones(store: Store, http: Receiver) -> None:
    tell(store.run(0, [finding(1)]))
    told(http)
    tell(store.run(1, [finding(1), finding(2)]), 1)
    assert told(http) == [("ann@acme.example", [("2", "new")])]


def test_what_became_worse_is_told_again(store: Store, http: Receiver) -> None:
    tell(store.run(0, [finding(1)]))
    tell(store.run(1, [finding(1, severity=Severity.LOW)]), 1)
    told(http)
    tell(store.run(2, [finding(1, severity=Severity.HIGH)]), 2)
    assert told(http) == [("ann@acme.example", [("1", "worse")])]


def test_what_came_back_is_told_again(store: Store, http: Receiver) -> None:
    tell(store.run(0, [finding(1)]))
    tell(store.run(1, [compliant(1)]), 1)
    told(http)
    tell(store.run(2, [finding(1)]), 2)
    assert told(http) == [("ann@acme.example", [("1", "reopened")])]


@pytest.mark.parametrize("between", ["failed", "unknown", "narrowed"])
def test_a_run_that_could_not_say_breaks_nothing(store: Store, http: Receiver, between: str) -> None:
    tell(store.run(0, [finding(1)]))
    told(http)
    gap: dict[str, Any] = {
        "failed": {"evaluations": [], "cells": [cell(status=Status.FAILED)]},
        "unknown": {"evaluations": [finding(1, verdict=Verdict.UNKNOWN)]},
        "narrowed": {"evaluations": [], "cells": []},
    }[between]
    tell(store.run(1, **gap), 1)
    tell(store.run(2, [finding(1)]), 2)
    assert told(http) == []
    tell(store.run(7, [finding(1)]), 7)
    assert http.posted[0].json["findings"][0]["days"] == 7


def test_another_recipient_is_told_anew(store: Store, http: Receiver) -> None:
    tell(store.run(0, [finding(1)]))
    told(http)
    tell(store.run(1, [finding(1, "bob@acme.example")]), 1)
    assert told(http) == [("bob@acme.example", [("1", "new")])]


# --- Escalation -------------------------------------------------------------------------------------------------------


def test_what_stays_too_long_goes_to_somebody_else_as_well(store: Store, http: Receiver) -> None:
    steps = (Escalation(30, Severity.MEDIUM, "boss@acme.example", "hook"),)
    of = settings(HOOK, escalation=steps, repeat_days=365)
    low = {"severity": Severity.LOW}
    tell(store.run(0, [finding(1), finding(2, **low)]), 0, of)
    tell(store.run(29, [finding(1), finding(2, **low), finding(3)]), 29, of)
    told(http)
    tell(store.run(30, [finding(1), finding(2, **low), finding(3)]), 30, of)
    assert [each.json["digest"]["kind"] for each in http.posted] == ["owner", "escalation"]
    assert told(http) == [
        ("ann@acme.example", [("1", "escalated")]),
        ("boss@acme.example", [("1", "escalated")]),
    ]
    tell(store.run(31, [finding(1), finding(2, **low), finding(3)]), 31, of)
    assert told(http) == []


def test_a_break_starts_the_age_anew(store: Store, http: Receiver) -> None:
    of = settings(HOOK, escalation=(Escalation(30, Severity.INFO, "boss@acme.example", "hook"),))
    store.run(0, [finding(1)])
    store.run(10, [compliant(1)])
    store.run(11, [finding(1)])
    tell(store.run(31, [finding(1)]), 31, of)
    assert told(http) == [("ann@acme.example", [("1", "new")])]


def test_runs_of_the_sandbox_say_nothing_of_real_ages(store: Store, http: Receiver) -> None:
    replace(store, sandbox=True).run(-40, [finding(1)])
    tell(store.run(0, [finding(1)]))
    assert http.posted[0].json["findings"][0]["days"] == 0


def test_a_run_that_cannot_be_read_makes_ages_at_least(store: Store, http: Receiver) -> None:
    store.run(-9, [finding(1)])
    damaged = store.run(-5, [finding(1)])
    for part in (damaged / "evaluations").iterdir():
        part.write_bytes(b"nonsense")
    store.run(-2, [finding(1)])
    report = tell(store.run(0, [finding(1)]))
    assert http.posted[0].json["findings"][0]["age"] == "at least 2 days"
    (note,) = report.notes
    assert note.endswith("findings may be older than is said.")


# --- Channels that fail -----------------------------------------------------------------------------------------------


def test_a_channel_that_fails_stops_no_other_and_is_due_the_next_time(store: Store, http: Receiver) -> None:
    broken = channel("slack", "broken", url="$NOT_SET")
    with receiver() as other:
        other.answers((500, {}, b"down"))
        second = channel("webhook", "second", url=other.url, secret="$SECRET")
        run = store.run(0, [finding(1)])
        report = tell(run, of=settings(broken, second, HOOK))
        assert [each.result for each in report.deliveries] == [Result.FAILED, Result.FAILED, Result.DELIVERED]
        assert report.exit_code is ExitCode.INCOMPLETE
        assert [each["reason"] for each in lines(store)] == [
            "the environment variable NOT_SET is not set",
            "127.0.0.1 answered HTTP 500: down",
            "",
        ]
        assert [len(each["attempts"]) for each in lines(store)] == [1, 2, 1]
        assert [bool(each["findings"]) for each in lines(store)] == [False, False, True]
        for each in lines(store):
            Draft202012Validator(RECORD).validate(each)
        other.answers((200, {}, b"ok"))
        other.posted.clear()
        told(http)
        again = tell(run, 0.1, settings(broken, second, HOOK))
        assert [(each.channel, each.result) for each in again.deliveries] == [
            ("broken", Result.FAILED),
            ("second", Result.DELIVERED),
        ]
        assert told(http) == []


def test_a_channel_that_is_down_is_not_tried_for_everybody(store: Store, http: Receiver) -> None:
    run = store.run(0, [finding(number, f"owner-{number}@acme.example") for number in range(6)])
    with receiver() as other:
        second = channel("webhook", "second", url=other.url, secret="$SECRET")
        http.answers((503, {}, b""))
        report = tell(run, of=settings(HOOK, second))
        assert len(http.posted) == 3 * 2
        assert len(other.posted) == 6
    first = [each for each in report.deliveries if each.channel == "hook"]
    assert [each.result for each in first] == [Result.FAILED] * 3 + [Result.SKIPPED] * 3
    assert {each.reason for each in first[3:]} == {"the channel did not answer 3 times in a row"}
    assert report.exit_code is ExitCode.INCOMPLETE
    http.answers((404, {}, b""))
    http.posted.clear()
    tell(run, 0.1)
    assert len(http.posted) == 6


def test_a_digest_that_cannot_be_packed_stops_no_other(
    store: Store, http: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    from finops_policy.notify.senders.slack import Slack

    def broken(*_arguments: Any) -> Any:
        raise KeyError("surprise")

    monkeypatch.setattr(Slack, "pack", broken)
    report = tell(store.run(0, [finding(1)]), of=settings(channel("slack", url="$HOOK"), HOOK))
    assert [each.result for each in report.deliveries] == [Result.FAILED, Result.DELIVERED]
    assert "KeyError: 'surprise'" in report.deliveries[0].reason


def test_a_digest_keeps_its_id_until_it_is_delivered(store: Store, http: Receiver) -> None:
    http.answers((404, {}, b""), (200, {}, b"ok"))
    run = store.run(0, [finding(1)])
    tell(run)
    tell(run, 0.1)
    first, second = [each.headers["x-finops-policy-id"] for each in http.posted]
    assert first == second
    tell(store.run(8, [finding(1)]), 8)
    assert http.posted[2].headers["x-finops-policy-id"] != first


def test_who_has_no_address_is_told_in_the_record(store: Store, http: Receiver) -> None:
    mail = channel("email-smtp", "mail", host="127.0.0.1", port=1, security="none", **{"from": "f@acme.example"})
    of = settings(mail, HOOK, owners=Owners())
    report = tell(store.run(0, [finding(1, "<!channel>"), finding(2, owner="")]), of=of)
    assert report.exit_code is ExitCode.INCOMPLETE
    without, hook = lines(store)
    assert without["result"] == "skipped"
    assert without["reason"].startswith("nobody's address is known: it has no owner tag")
    assert without["attempts"] == []
    assert hook["result"] == "delivered"
    assert told(http) == [("", [("1", "new"), ("2", "new")])]


def test_no_secret_is_recorded(store: Store, http: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    http.script = lambda posted: (400, {}, f"{posted.path} {http.url} hush".encode())
    tell(store.run(0, [finding(1)]))
    assert "hush" not in (store.folder / FILE).read_text()
    assert http.url not in (store.folder / FILE).read_text()


# --- The record -------------------------------------------------------------------------------------------------------


def test_a_crash_between_delivery_and_record_repeats_one_digest(
    store: Store, http: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = store.run(0, [finding(1), finding(2, "bob@acme.example")])
    calls = []

    def crash(*arguments: Any) -> None:
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        append(*arguments)

    append = Journal(store.folder).append
    monkeypatch.setattr(Journal, "append", lambda _journal, *arguments: crash(*arguments))
    with pytest.raises(KeyboardInterrupt):
        tell(run)
    monkeypatch.undo()
    monkeypatch.setenv("HOOK", http.url)
    monkeypatch.setenv("SECRET", "hush")
    ids = [each.headers["x-finops-policy-id"] for each in http.posted]
    told(http)
    tell(run, 0.1)
    assert [each.headers["x-finops-policy-id"] for each in http.posted] == ids[1:]
    assert told(http) == [("bob@acme.example", [("2", "new")])]


@pytest.mark.parametrize(
    "torn", [b'{"schema":"finops-pol', b"\xff\xfe\n", b"[]\n", b"null\n", b'{"schema":"other/v9"}\n']
)
def test_a_line_that_cannot_be_read_is_passed_over_and_told(store: Store, http: Receiver, torn: bytes) -> None:
    run = store.run(0, [finding(1)])
    tell(run)
    with (store.folder / FILE).open("ab") as file:
        file.write(torn)
    told(http)
    report = tell(store.run(1, [finding(1), finding(2)]), 1)
    assert told(http) == [("ann@acme.example", [("2", "new")])]
    (note,) = report.notes
    assert note.startswith("1 line of ")
    assert tell(store.run(2, [finding(1), finding(2)]), 2).deliveries == ()


def test_two_at_once_tell_it_once(store: Store, http: Receiver) -> None:
    run = store.run(0, [finding(1)])
    ready = threading.Event()

    def slowly(_posted: Posted) -> tuple[int, dict[str, str], bytes]:
        ready.wait(0.3)
        return 200, {}, b"ok"

    http.script = slowly
    both = [threading.Thread(target=tell, args=(run,)) for _ in range(2)]
    for each in both:
        each.start()
    for each in both:
        each.join(10)
    assert len(http.posted) == 1


def test_verify_does_not_mind_the_record(store: Store) -> None:
    from finops_policy.evidence.verify import verify

    tell(store.run(0, [finding(1)]))
    assert verify(store.folder, store.key.public).problems == ()


# --- What is refused --------------------------------------------------------------------------------------------------


def test_a_dry_run_sends_and_writes_nothing(store: Store, http: Receiver) -> None:
    run = store.run(0, [finding(1)])
    report = tell(run, dry_run=True)
    (delivery,) = report.deliveries
    assert (delivery.result, report.exit_code) == (Result.SKIPPED, ExitCode.CLEAN)
    assert json.loads(report.previews[delivery.digest_id])["count"] == 1
    assert http.posted == []
    assert not (store.folder / FILE).exists()


def test_a_run_of_the_sandbox_is_not_told_to_people(store: Store, http: Receiver) -> None:
    run = replace(store, sandbox=True).run(0, [finding(1)])
    with pytest.raises(UsageError, match="its findings are made up"):
        tell(run)
    tell(run, sandbox=True)
    assert http.posted[0].json["run"]["sandbox"] is True


def test_a_damaged_run_is_told_to_nobody(store: Store, http: Receiver) -> None:
    run = store.run(0, [finding(1)])
    (run / "compiled" / "policies.yaml").write_bytes(b"policies: []\n")
    with pytest.raises(EvidenceError, match="not as it was sealed, so nobody is told"):
        tell(run)
    assert http.posted == []


def test_unknown_names_are_refused(store: Store, tmp_path: Path) -> None:
    run = store.run(0, [finding(1)])
    with pytest.raises(UsageError, match="no channel 'hok'"):
        tell(run, channels=["hok"])
    with pytest.raises(UsageError, match="acme has no notifications"):
        notify(customer(None), run)
    with pytest.raises(UsageError, match="is a run of acme, not of other"):
        notify(customer(settings(HOOK), "other"), run)
    with pytest.raises(UsageError, match="is no run of a store"):
        tell(tmp_path)


def test_channels_may_be_narrowed_and_are_heard_of(store: Store, http: Receiver) -> None:
    heard: list[str] = []
    second = replace(HOOK, name="second")
    report = tell(
        store.run(0, [finding(1)]),
        of=settings(HOOK, second),
        channels=["second"],
        progress=lambda delivery: heard.append(delivery.channel),
    )
    assert [each.channel for each in report.deliveries] == heard == ["second"]
    assert len(http.posted) == 1


def test_templates_of_the_workspace_are_used_and_their_failure_recorded(
    store: Store, http: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "customers" / "acme" / "templates"
    folder.mkdir(parents=True)
    (folder / "intro.txt.j2").write_text("Look at {{ count }}, <!channel>!")
    (folder / "subject.txt.j2").write_text("{{ gone }}")
    monkeypatch.setenv("HOOK", http.url)
    run = store.run(0, [finding(1)])
    tell(run, of=settings(channel("slack", url="$HOOK")), workspace=tmp_path)
    texts = [each["text"]["text"] for each in http.posted[0].json["blocks"]]
    assert texts[0].startswith("[Acme Health] 1 finding")
    assert texts[1] == "Look at 1, &lt;!channel&gt;!"
    (line,) = lines(store)
    assert line["notes"] == ["The template subject.txt.j2 failed, so the built-in one was used: 'gone' is undefined"]
    assert dt.datetime.fromisoformat(line["at"]) >= NOW
