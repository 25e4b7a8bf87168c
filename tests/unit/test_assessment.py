"""Verdicts: satisfied is earned, anything found outranks any gap, and what was not checked is never called clean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from finops_policy.assessment import Assessment, Tally, assess, tally_by_policy
from finops_policy.model import ControlVerdict, Coverage, FailureKind, Status, Strength
from tests.unit.builders import DEV, PROD, control, framework, mapping

DIRECT, PARTIAL, SUPPORTING = Strength.DIRECT, Strength.PARTIAL, Strength.SUPPORTING
COUNTS = ("population", "compliant", "noncompliant", "waived", "unknown")


def cell(
    policy: str,
    compliant: int = 0,
    *,
    noncompliant: int = 0,
    waived: int = 0,
    unknown: int = 0,
    status: Status = Status.EVALUATED,
    account: str = PROD,
) -> Coverage:
    return Coverage(
        account,
        "us-east-1",
        policy,
        status,
        FailureKind.THROTTLED if status is Status.FAILED else None,
        population=compliant + noncompliant + waived + unknown,
        compliant=compliant,
        noncompliant=noncompliant,
        waived=waived,
        unknown=unknown,
    )


def failed(policy: str, status: Status = Status.FAILED, account: str = DEV) -> Coverage:
    return cell(policy, status=status, account=account)


def judge(mappings: Sequence[tuple[str, Strength]], cells: Sequence[Coverage], manual: str = "") -> Assessment:
    """One control mapped to policies of ``pack``; the run has the policies that have cells."""
    one = control(*(mapping(f"pack/{name}", strength) for name, strength in mappings), manual=manual)
    (found,) = assess(framework(one), tally_by_policy(cells), {each.policy: "pack" for each in cells})
    assert found.control is one
    assert found.reason
    assert found.reason.endswith(".")
    return found


# --- Each verdict can be reached --------------------------------------------------------------------------------------

A, P, S = ("a", DIRECT), ("p", PARTIAL), ("s", SUPPORTING)


@pytest.mark.parametrize(
    ("mappings", "cells", "manual", "verdict", "reason"),
    [
        ([A], [cell("a", 3)], "", "satisfied", "All 3 members comply."),
        ([A, P, S], [cell("a", 1), cell("p", 1), cell("s")], "", "satisfied", "All 2 members comply."),
        ([A], [cell("a", 3)], "Attest it", "satisfied", "All 3 members comply."),
        ([A], [cell("a", 3), failed("a", Status.NOT_APPLICABLE)], "", "satisfied", "All 3 members comply."),
        ([A], [cell("a", 3), failed("x")], "", "satisfied", "All 3 members comply."),
        (
            [A],
            [cell("a", 3, waived=1)],
            "",
            "satisfied-with-waivers",
            "3 of 4 members comply; 1 finding waived.",
        ),
        (
            [A, P],
            [cell("a", waived=2), cell("p", 1)],
            "",
            "satisfied-with-waivers",
            "1 of 3 members comply; 2 findings waived.",
        ),
        ([A], [cell("a", 9, noncompliant=1)], "", "not-satisfied", "1 noncompliant evaluation in pack/a."),
        (
            [A, P, S],
            [cell("a", 9, noncompliant=1), cell("p", noncompliant=4), cell("s", noncompliant=4)],
            "",
            "not-satisfied",
            "5 noncompliant evaluations in pack/a, pack/p.",
        ),
        (
            [P, A],
            [cell("p", noncompliant=1, unknown=1, waived=1), failed("p")],
            "Attest it",
            "not-satisfied",
            "1 noncompliant evaluation in pack/p.",
        ),
        (
            [S, A],
            [cell("s", noncompliant=2), cell("a", 3)],
            "",
            "partially-assessed",
            "Nothing was found against it, but 2 noncompliant evaluations in pack/s (supporting evidence).",
        ),
        (
            [A],
            [cell("a", 3), failed("a"), failed("a", Status.SKIPPED), failed("a", Status.NOT_APPLICABLE)],
            "",
            "partially-assessed",
            "Nothing was found, but 2 of 3 checks could not be made.",
        ),
        (
            [A],
            [cell("a", 3, unknown=2)],
            "",
            "partially-assessed",
            "Nothing was found, but 2 of 5 members are unknown.",
        ),
        (
            [A, P],
            [cell("a", 3)],
            "",
            "partially-assessed",
            "Nothing was found, but 1 of 2 mapped policies are not part of this run.",
        ),
        (
            [P, S],
            [cell("p", 3), cell("s", 1)],
            "",
            "partially-assessed",
            "Nothing was found, but its policies speak to it only in part.",
        ),
        (
            [P],
            [cell("p", 3, waived=1)],
            "",
            "partially-assessed",
            "Nothing but 1 waived finding was found, but its policies speak to it only in part.",
        ),
        (
            [A, P],
            [cell("a"), cell("p", 3)],
            "",
            "partially-assessed",
            "Nothing was found, but no resource is in scope of pack/a.",
        ),
        (
            [A, P],
            [cell("a"), failed("a"), cell("p", 3)],
            "",
            "partially-assessed",
            "Nothing was found, but 1 of 3 checks could not be made.",
        ),
        ([A], [cell("a")], "", "no-population", "No resource is in scope of its policies."),
        (
            [S],
            [cell("s"), failed("s", Status.NOT_APPLICABLE)],
            "",
            "no-population",
            "No resource is in scope of its policies.",
        ),
        ([A], [], "", "not-assessed", "Its policies are not part of this run."),
        ([], [cell("a", 3)], "", "not-assessed", "No policy speaks to it."),
        ([A], [failed("a"), failed("a", Status.SKIPPED)], "", "not-assessed", "None of its checks could be made."),
        (
            [A],
            [failed("a"), failed("a", Status.NOT_APPLICABLE)],
            "",
            "not-assessed",
            "None of its checks could be made.",
        ),
        (
            [],
            [],
            "Attest it",
            "manual",
            "Needs a person's attestation; no policy of this run speaks to it.",
        ),
        (
            [A],
            [cell("x", 3)],
            "Attest it",
            "manual",
            "Needs a person's attestation; no policy of this run speaks to it.",
        ),
    ],
)
def test_each_verdict_and_why(
    mappings: list[tuple[str, Strength]], cells: list[Coverage], manual: str, verdict: str, reason: str
) -> None:
    found = judge(mappings, cells, manual)
    assert (found.verdict, found.reason) == (ControlVerdict(verdict), reason)


def test_a_policy_of_the_same_name_in_another_pack_says_nothing() -> None:
    one = control(mapping("pack/a"))
    for packs in ({"a": "other"}, {"b": "pack"}, {}):
        (found,) = assess(framework(one), tally_by_policy([cell("a", 3)]), packs)
        assert found.verdict is ControlVerdict.NOT_ASSESSED
        assert [(each.in_run, each.tally) for each in found.mapped] == [(False, Tally())]


def test_every_control_is_judged_in_the_frameworks_order() -> None:
    rules = framework(control(mapping("pack/a"), name="Z"), control(name="A"), control(name="M", manual="Attest it"))
    found = assess(rules, tally_by_policy([cell("a", 1)]), {"a": "pack"})
    assert [(each.control.id, each.verdict.value) for each in found] == [
        ("Z", "satisfied"),
        ("A", "not-assessed"),
        ("M", "manual"),
    ]


def test_the_evidence_behind_a_verdict_is_kept() -> None:
    found = judge([A, ("gone", PARTIAL)], [cell("a", 2, unknown=1), failed("a")])
    first, second = found.mapped
    assert (first.mapping.policy, first.in_run) == ("pack/a", True)
    assert first.tally == Tally(population=3, compliant=2, unknown=1, checks=2, unchecked=1)
    assert (second.mapping.policy, second.in_run, second.tally) == ("pack/gone", False, Tally())


# --- Anything a run can find ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """What a control is mapped to, and the cells of the run."""

    mappings: list[tuple[str, Strength]]
    cells: list[Coverage]
    manual: str

    def of_mapped(self) -> list[Coverage]:
        names = {name for name, _ in self.mappings}
        return [each for each in self.cells if each.policy in names]

    def missing(self) -> set[str]:
        return {name for name, _ in self.mappings} - {each.policy for each in self.cells}


@st.composite
def cases(draw: st.DrawFn) -> Case:
    names = draw(st.lists(st.sampled_from("abcd"), unique=True, max_size=3))
    mappings = [(name, draw(st.sampled_from(Strength))) for name in names]
    few = st.sampled_from([0, 0, 0, 1, 4])
    cells = []
    for name in draw(st.lists(st.sampled_from("abcd"), unique=True, max_size=4)):
        for number in range(draw(st.integers(1, 3))):
            status = draw(st.sampled_from([Status.EVALUATED] * 5 + list(Status)))
            counts: dict[str, Any] = {}
            if status is Status.EVALUATED:
                counts = {each: draw(few) for each in ("compliant", "noncompliant", "waived", "unknown")}
            cells.append(cell(name, **counts, status=status, account=f"{number:012}"))
    return Case(mappings, cells, draw(st.sampled_from(["", "Attest it"])))


CHECKED = (Status.EVALUATED, Status.NOT_APPLICABLE)


@settings(max_examples=200, deadline=None)
@given(cases())
def test_satisfied_is_earned(case: Case) -> None:
    found = judge(case.mappings, case.cells, case.manual).verdict
    if found in (ControlVerdict.SATISFIED, ControlVerdict.SATISFIED_WITH_WAIVERS):
        assert any(strength is DIRECT for _, strength in case.mappings)
        assert not case.missing()
        assert all(each.status in CHECKED for each in case.of_mapped())
        assert sum(each.population for each in case.of_mapped()) > 0
        assert not any(each.noncompliant or each.unknown for each in case.of_mapped())
        assert any(each.waived for each in case.of_mapped()) is (found is ControlVerdict.SATISFIED_WITH_WAIVERS)


@settings(max_examples=200, deadline=None)
@given(cases())
def test_not_satisfied_exactly_when_a_policy_that_does_more_than_support_it_finds_something(case: Case) -> None:
    found = judge(case.mappings, case.cells, case.manual).verdict
    telling = {name for name, strength in case.mappings if strength is not SUPPORTING}
    against = any(each.noncompliant for each in case.cells if each.policy in telling)
    assert (found is ControlVerdict.NOT_SATISFIED) is against


@settings(max_examples=200, deadline=None)
@given(cases())
def test_the_other_verdicts_mean_what_they_say(case: Case) -> None:
    found, cells = judge(case.mappings, case.cells, case.manual).verdict, case.of_mapped()
    checks = [each for each in cells if each.status is not Status.NOT_APPLICABLE]
    if found is ControlVerdict.NO_POPULATION:
        assert all(each.status in CHECKED and each.population == 0 for each in cells)
        assert not case.missing()
    if found is ControlVerdict.MANUAL:
        assert case.manual
        assert not cells
    if found is ControlVerdict.NOT_ASSESSED:
        assert all(each.status in (Status.FAILED, Status.SKIPPED) for each in checks)
        assert checks or not case.manual
    if found is ControlVerdict.PARTIALLY_ASSESSED:
        assert any(each.status is Status.EVALUATED for each in cells) or case.missing()


@settings(max_examples=200, deadline=None)
@given(cases(), st.sampled_from([Status.FAILED, Status.SKIPPED]), st.data())
def test_a_check_that_fails_never_makes_a_verdict_better(case: Case, status: Status, data: st.DataObject) -> None:
    assume(case.of_mapped())
    name = data.draw(st.sampled_from([each.policy for each in case.of_mapped()]))
    before = judge(case.mappings, case.cells, case.manual).verdict
    after = judge(case.mappings, [*case.cells, failed(name, status)], case.manual).verdict
    assert after not in (
        ControlVerdict.SATISFIED,
        ControlVerdict.SATISFIED_WITH_WAIVERS,
        ControlVerdict.NO_POPULATION,
        ControlVerdict.MANUAL,
    )
    assert (after is ControlVerdict.NOT_SATISFIED) is (before is ControlVerdict.NOT_SATISFIED)


@settings(max_examples=200, deadline=None)
@given(cases(), st.randoms())
def test_neither_the_order_of_cells_nor_of_mappings_matters(case: Case, random: Any) -> None:
    before = judge(case.mappings, case.cells, case.manual).verdict
    mappings, cells = list(case.mappings), list(case.cells)
    random.shuffle(mappings)
    random.shuffle(cells)
    assert judge(mappings, cells, case.manual).verdict is before


# --- Tallies ----------------------------------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(cases())
def test_a_tally_is_the_sum_of_its_cells(case: Case) -> None:
    tallies = tally_by_policy(iter(case.cells))
    assert set(tallies) == {each.policy for each in case.cells}
    for name, tally in tallies.items():
        cells = [each for each in case.cells if each.policy == name]
        for count in COUNTS:
            assert getattr(tally, count) == sum(getattr(each, count) for each in cells)
        assert tally.checks == sum(each.status is not Status.NOT_APPLICABLE for each in cells)
        assert tally.unchecked == sum(each.status in (Status.FAILED, Status.SKIPPED) for each in cells)
        assert tally.population == tally.compliant + tally.noncompliant + tally.waived + tally.unknown
        assert all(type(getattr(tally, each.name)) is int for each in fields(tally)), "no bool slips into the JSON"


def test_no_cells_no_tallies() -> None:
    assert tally_by_policy([]) == {}
