"""A waiver written into a file: it is read back, and every other byte stays."""

from __future__ import annotations

import dataclasses
import datetime as dt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finops_policy import sources
from finops_policy.errors import InvalidFilesError, UsageError
from finops_policy.waiver_file import NEW, Entry, ids_in, next_id, with_entry

HEAD = "apiVersion: finops-policy/v1\nkind: Waivers\n"
OLD = """\
  - id: W-2026-001  # the first
    policy: ec2-idle
    resource: arn:aws:ec2:us-east-1:111122223333:instance/i-1
    reason: >-
      Kept for the audit
      of last year.
    owner: platform
    requested_by: dana
    approved_by: ingrid
    ticket: FIN-1
    expires: 2026-12-31
"""
ENTRY = Entry(
    id="W-2026-002",
    policy="rds-idle",
    resource="arn:aws:rds:us-east-1:111122223333:db:x",
    reason="Closed years: stay # queryable",
    owner="billing",
    ticket="FIN-2",
    requested_by="dana",
    approved_by="ingrid",
    created=dt.date(2026, 11, 24),
    expires=dt.date(2027, 2, 22),
)
WRITTEN = """\
  - id: W-2026-002
    policy: rds-idle
    resource: arn:aws:rds:us-east-1:111122223333:db:x
    reason: 'Closed years: stay # queryable'
    owner: billing
    requested_by: dana
    approved_by: ingrid
    ticket: FIN-2
    created: 2026-11-24
    expires: 2027-02-22
"""


def added(text: str, entry: Entry = ENTRY) -> str:
    made, waiver = with_entry(text.encode(), "waivers.yaml", entry)
    assert waiver.id == entry.id
    assert (waiver.created, waiver.starts, waiver.expires) == (entry.created, entry.created, entry.expires)
    return made.decode()


def dedented(text: str) -> str:
    return "".join(line.removeprefix("  ") for line in text.splitlines(keepends=True))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (f"{HEAD}waivers:\n{OLD}", f"{HEAD}waivers:\n{OLD}{WRITTEN}"),
        (f"{HEAD}waivers:\n{OLD}".rstrip("\n"), f"{HEAD}waivers:\n{OLD}{WRITTEN}"),
        (f"# top\n{HEAD}waivers:  # list\n\n{OLD}\n\n# the end\n",
         f"# top\n{HEAD}waivers:  # list\n\n{OLD}{WRITTEN}\n\n# the end\n"),
        (f"{HEAD}waivers:\n{OLD}    # of the first\n  # of nobody\n",
         f"{HEAD}waivers:\n{OLD}    # of the first\n{WRITTEN}  # of nobody\n"),
        (f"waivers:\n{OLD}{HEAD}", f"waivers:\n{OLD}{WRITTEN}{HEAD}"),
        (f"waivers:\n{OLD}\n# kind\n{HEAD}", f"waivers:\n{OLD}{WRITTEN}\n# kind\n{HEAD}"),
        (f"---\n{HEAD}waivers:\n{OLD}...\n", f"---\n{HEAD}waivers:\n{OLD}{WRITTEN}...\n"),
        (f"{HEAD}waivers:\n{dedented(OLD)}", f"{HEAD}waivers:\n{dedented(OLD)}{dedented(WRITTEN)}"),
        (f"{HEAD}waivers: []\n", f"{HEAD}waivers:\n{WRITTEN}"),
        (f"{HEAD}waivers: [ ]  # none yet\n# end\n", f"{HEAD}waivers:  # none yet\n{WRITTEN}# end\n"),
        (f"{HEAD}waivers:\n", f"{HEAD}waivers:\n{WRITTEN}"),
        (f"{HEAD}waivers:", f"{HEAD}waivers:\n{WRITTEN}"),
        (f"waivers:\n# none\n{HEAD}", f"waivers:\n{WRITTEN}# none\n{HEAD}"),
        (f"\ufeff{HEAD}waivers:\n{OLD}", f"\ufeff{HEAD}waivers:\n{OLD}{WRITTEN}"),
        (f'"waivers":\n{OLD}{HEAD}', f'"waivers":\n{OLD}{WRITTEN}{HEAD}'),
    ],
)  # fmt: skip
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_rest_of_the_file_stays_byte_for_byte(before: str, after: str, end: str) -> None:
    assert added(before.replace("\n", end)).replace("\r\n", "\n") == after
    if end == "\r\n" and end in before.replace("\n", end):
        assert "\n" not in added(before.replace("\n", end)).replace("\r\n", "")


def test_a_text_that_keeps_its_last_lines_keeps_them() -> None:
    kept = (
        OLD.replace("    reason: >-\n      Kept for the audit\n      of last year.\n", "")
        + "    reason: |+\n      Kept: audit.\n\n\n"
    )
    made = added(f"{HEAD}waivers:\n{kept}")
    assert made == f"{HEAD}waivers:\n{kept}{WRITTEN}"


def test_a_new_file_is_made_of_nothing() -> None:
    assert added(NEW.decode()) == f"{HEAD}waivers:\n{WRITTEN}"


def test_entries_that_are_broken_already_do_not_stand_in_the_way() -> None:
    broken = OLD.replace("expires: 2026-12-31", "expires: some day").replace("approved_by: ingrid", "approved_by: dana")
    assert added(f"{HEAD}waivers:\n{broken}") == f"{HEAD}waivers:\n{broken}{WRITTEN}"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"resource": "rn:aws:ec2"}, "`resource` does not have the right form"),
        ({"resource": ""}, "`resource` is missing"),
        ({"approved_by": "DANA "}, "is approved by the person who requested it"),
        ({"reason": "short"}, "`reason` must have at least 10 characters"),
        ({"id": "W-2026-001"}, "is used twice"),
        ({"id": "W 1"}, "`id`"),
        ({"account": "12"}, "`account`"),
        ({"region": "*"}, "`region`"),
    ],
)
def test_an_entry_that_would_not_apply_is_refused_with_its_own_problem_alone(change: dict[str, str], told: str) -> None:
    other = OLD.replace("W-2026-001", "W-0").replace("approved_by: ingrid", "approved_by: dana")
    text = f"{HEAD}waivers:\n{OLD}{other}"
    with pytest.raises(InvalidFilesError) as caught:
        added(text, dataclasses.replace(ENTRY, **change))  # type: ignore[arg-type]
    [only] = caught.value.diagnostics
    assert told in only.message


@pytest.mark.parametrize(
    "text", [f"{HEAD}waivers: [{{id: W-1}}]\n", f"{HEAD}waivers: [\n]\n", HEAD, f"{HEAD}waivers: {{}}\n", "- a\n"]
)
def test_where_there_is_no_place_for_it_nothing_is_made(text: str) -> None:
    with pytest.raises(UsageError):
        added(text)


@pytest.mark.parametrize("text", [f"{HEAD}waivers: [\n", "a: &x [*x]\n", f"{HEAD}waivers: []\nwaivers: []\n", "\x01"])
def test_a_file_that_cannot_be_read_is_told(text: str) -> None:
    with pytest.raises(InvalidFilesError):
        added(text)


words = st.text(st.characters(blacklist_categories=["Cs", "Cc"], blacklist_characters="\ufeff\ufffe\uffff\u2028\u2029"))


@settings(deadline=None, max_examples=150)
@given(words.map(lambda text: f"{text} because of the audit"), words, words)
def test_any_text_is_read_back_as_it_was_said(reason: str, key: str, value: str) -> None:
    entry = dataclasses.replace(ENTRY, reason=reason, tag=(key[:100] or "k", value[:200]))
    made, waiver = with_entry(f"{HEAD}waivers:\n{OLD}# end\n".encode(), "waivers.yaml", entry)
    assert (waiver.reason, waiver.tag_key, waiver.tag_value) == (reason, key[:100] or "k", value[:200])
    assert made.startswith(f"{HEAD}waivers:\n{OLD}".encode())
    assert made.endswith(b"# end\n")
    assert len(sources.parse(made, "x").data["waivers"]) == 2


@pytest.mark.parametrize(
    ("taken", "next_one"),
    [
        ([], "W-2026-001"),
        (["W-2026-009", "W-2026-010", "W-2025-999", "X-2026-500", "W-2026-1a"], "W-2026-011"),
        (["W-2026-999"], "W-2026-1000"),
    ],
)
def test_the_next_free_id(taken: list[str], next_one: str) -> None:
    assert next_id(taken, 2026) == next_one


def test_ids_of_broken_entries_are_taken_too() -> None:
    text = f"{HEAD}waivers:\n{OLD}  - {{id: W-9}}\n  - 3\n  - [a]\n"
    assert ids_in(text.encode(), "waivers.yaml") == {"W-2026-001", "W-9"}
