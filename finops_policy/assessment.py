"""PURE: evaluations and coverage -> a verdict per control.

A control is ``satisfied`` only if at least one mapping is direct, every mapped policy was evaluated on every target in
scope, the population was not empty, and nothing was found. Findings outrank gaps: one known violation is enough to
say ``not-satisfied``, whatever else could not be read. A finding of a policy that only supports the control is no
violation of it, but keeps it from being ``satisfied``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from finops_policy.model import Control, ControlMapping, ControlVerdict, Coverage, Framework, Status, Strength


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts over the cells of one policy, or of many.

    ``checks`` counts the cells that apply, ``unchecked`` the failed and skipped ones among them.
    """

    population: int = 0
    compliant: int = 0
    noncompliant: int = 0
    waived: int = 0
    unknown: int = 0
    checks: int = 0
    unchecked: int = 0

    def plus(self, cell: Coverage) -> Tally:
        unchecked = cell.status in (Status.FAILED, Status.SKIPPED)
        return Tally(
            self.population + cell.population,
            self.compliant + cell.compliant,
            self.noncompliant + cell.noncompliant,
            self.waived + cell.waived,
            self.unknown + cell.unknown,
            self.checks + (cell.status is not Status.NOT_APPLICABLE),
            self.unchecked + unchecked,
        )


@dataclass(frozen=True, slots=True)
class MappedPolicy:
    """What a mapped policy found; ``in_run`` is false where the run had no such policy."""

    mapping: ControlMapping
    in_run: bool
    tally: Tally


@dataclass(frozen=True, slots=True)
class Assessment:
    """One control judged, with the sentence that says why."""

    control: Control
    verdict: ControlVerdict
    reason: str
    mapped: tuple[MappedPolicy, ...] = field(default=())


def tally_by_policy(cells: Iterable[Coverage]) -> dict[str, Tally]:
    """Policy name -> counts over its cells."""
    tallies: dict[str, Tally] = {}
    for cell in cells:
        tallies[cell.policy] = tallies.get(cell.policy, Tally()).plus(cell)
    return tallies


def assess(framework: Framework, tallies: Mapping[str, Tally], packs: Mapping[str, str]) -> tuple[Assessment, ...]:
    """Judges every control. ``packs`` maps each policy of the run to its pack: a mapping names ``pack/policy``."""
    return tuple(_assess(control, tallies, packs) for control in framework.controls)


def _assess(control: Control, tallies: Mapping[str, Tally], packs: Mapping[str, str]) -> Assessment:
    mapped = []
    for mapping in control.mappings:
        pack, _, policy = mapping.policy.partition("/")
        in_run = packs.get(policy) == pack and policy in tallies
        mapped.append(MappedPolicy(mapping, in_run, tallies[policy] if in_run else Tally()))
    verdict, reason = _judge(control, mapped)
    return Assessment(control, verdict, reason, tuple(mapped))


def _judge(control: Control, mapped: list[MappedPolicy]) -> tuple[ControlVerdict, str]:
    ran = [each for each in mapped if each.in_run]
    if not ran:
        if control.manual:
            return ControlVerdict.MANUAL, "Needs a person's attestation; no policy of this run speaks to it."
        if mapped:
            return ControlVerdict.NOT_ASSESSED, "Its policies are not part of this run."
        return ControlVerdict.NOT_ASSESSED, "No policy speaks to it."

    against = [each for each in ran if each.tally.noncompliant and each.mapping.strength is not Strength.SUPPORTING]
    if against:
        return ControlVerdict.NOT_SATISFIED, f"{_findings(against)}."

    unchecked, checks = sum(each.tally.unchecked for each in ran), sum(each.tally.checks for each in ran)
    if unchecked and unchecked == checks:
        return ControlVerdict.NOT_ASSESSED, "None of its checks could be made."
    unknown, population = sum(each.tally.unknown for each in ran), sum(each.tally.population for each in ran)
    absent = len(mapped) - len(ran)
    gaps = []
    if beside := [each for each in ran if each.tally.noncompliant]:
        gaps.append(f"{_findings(beside)} (supporting evidence)")
    if unchecked:
        gaps.append(f"{unchecked} of {checks} checks could not be made")
    if unknown:
        gaps.append(f"{unknown} of {population} members are unknown")
    if absent:
        gaps.append(f"{absent} of {len(mapped)} mapped policies are not part of this run")
    if population == 0 and not gaps:
        return ControlVerdict.NO_POPULATION, "No resource is in scope of its policies."
    direct = [each for each in ran if each.mapping.strength is Strength.DIRECT]
    if not direct:
        gaps.append("its policies speak to it only in part")
    elif not gaps and not any(each.tally.population for each in direct):
        gaps.append(f"no resource is in scope of {', '.join(each.mapping.policy for each in direct)}")
    waived = sum(each.tally.waived for each in ran)
    if gaps:
        found = f"Nothing but {waived} waived finding{_s(waived)}" if waived else "Nothing"
        return (
            ControlVerdict.PARTIALLY_ASSESSED,
            f"{found} was found{' against it' if beside else ''}, but {'; '.join(gaps)}.",
        )
    if waived:
        return (
            ControlVerdict.SATISFIED_WITH_WAIVERS,
            f"{population - waived} of {population} members comply; {waived} finding{_s(waived)} waived.",
        )
    return ControlVerdict.SATISFIED, f"All {population} members comply."


def _findings(mapped: list[MappedPolicy]) -> str:
    count = sum(each.tally.noncompliant for each in mapped)
    return f"{count} noncompliant evaluation{_s(count)} in {', '.join(each.mapping.policy for each in mapped)}"


def _s(number: int) -> str:
    return "" if number == 1 else "s"
