"""From a run's findings to a plan: what would be done to which resource, and how it would be undone.

A finding of a run is a hint, not a fact: every resource is looked at again before it is planned. What is not planned is
held, with its reason, and stands in the plan too.
"""

from __future__ import annotations

import datetime as dt
import secrets
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from finops_policy import aws
from finops_policy.digests import digest
from finops_policy.evidence.parquet import ask
from finops_policy.evidence.store import read_run
from finops_policy.evidence.tables import COVERAGE, EVALUATIONS
from finops_policy.failures import Failure, OutOfTimeError, explain
from finops_policy.model import CompiledPolicy, Posture, Target, Verdict
from finops_policy.project import Project
from finops_policy.remediation import limits
from finops_policy.remediation.approval_files import UNATTENDED_SUFFIX
from finops_policy.remediation.items import UnknownActionError, is_mark, make_item, posture_of, resource_of, steps_of
from finops_policy.remediation.marking import Marked, mark_action, mark_of, remediation_of
from finops_policy.remediation.model import Held, Item, Plan, PlannedPolicy, Requester
from finops_policy.remediation.recipes.recipe import Undoable
from finops_policy.remediation.totals import worst_undo
from finops_policy.remediation.visiting import Doors, Look, Visit

APPROVABLE = frozenset({Posture.MARK, Posture.APPROVE, Posture.AUTO})
"""Postures whose policies a plan may act on: with an approval that is more than a mark, and more than none."""
UNATTENDED = frozenset({Posture.MARK, Posture.AUTO})
"""Postures whose policies a run with --remediate acts on, with nobody's approval."""
VALID = dt.timedelta(days=14)
_NOT_WHOLE = "it cannot be undone completely: that needs an approved plan"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a run found, as evidence has it."""

    target: Target
    policy: str
    resource_id: str
    arn: str


@dataclass(frozen=True, slots=True)
class Found:
    """What a run says of the policies asked for. ``populations`` are of all its targets, by policy."""

    findings: tuple[Finding, ...]
    populations: Mapping[str, int]
    waived: int
    unknown: int


def make_plan(
    project: Project,
    run: Path,
    doors: Doors,
    caller: aws.Identity,
    *,
    email: str = "",
    policies: frozenset[str],
    unattended: bool = False,
    sandboxed: bool = False,
    undone: Mapping[str, str] | None = None,
    left_out: Mapping[str, str] | None = None,
    said: Callable[[str], None],
) -> Plan:
    """The plan about the findings of the sealed run at ``run``. ``unattended`` plans what needs nobody's approval, save
    what somebody took back: ``undone`` is item id -> the run that did. ``left_out`` says of other policies why nothing
    is planned about their findings.

    Reads AWS, and changes nothing there. Raises :class:`EvidenceError` when the run cannot be read.
    """
    record = read_run(run)
    now = dt.datetime.now(dt.UTC)
    names = {Target(each["account_id"], each["region"]): each["account_name"] for each in record.data["targets"]}
    found = read_findings(run, policies, names)
    planner = _Planner(project, unattended, now)
    by_target: dict[Target, list[Finding]] = defaultdict(list)
    for finding in found.findings:
        by_target[finding.target].append(finding)
    planned: list[Item | Held] = []
    taken_back = undone or {} if unattended else {}
    for number, (target, findings) in enumerate(by_target.items(), 1):
        said(f"Looking at {len(findings)} findings in {target} ({number}/{len(by_target)}).")
        planned += planner.target(doors.open(target), target, findings)
    held = [each for each in planned if isinstance(each, Held)]
    if left_out:
        others = read_findings(run, frozenset(left_out), names).findings
        held += [_held(each, left_out[each.policy]) for each in others]
    found_items = [each for each in planned if isinstance(each, Item)]
    held += [
        _not_planned(each, f"run {taken_back[each.id]} took it back: that needs an approved plan")
        for each in found_items
        if each.id in taken_back
    ]
    single, twice = _once_a_resource([each for each in found_items if each.id not in taken_back])
    reasons = limits.over_caps(project, single, found.populations)
    over = [_not_planned(each, reasons[each.id]) for each in single if each.id in reasons]
    items = [each for each in single if each.id not in reasons]
    used = {each.policy for each in items}
    return Plan(
        plan_id=f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}{UNATTENDED_SUFFIX if unattended else ''}",
        customer=project.customer.name,
        profile=project.profile.name,
        sandbox=sandboxed,
        created_at=now,
        valid_until=now + VALID,
        requested_by=Requester(caller.arn, email),
        run_id=record.data["run_id"],
        run_digest=record.digest,
        lock_digest=digest(project.compiled.lock),
        policies={
            each.name: _described(each, found.populations) for each in project.compiled.policies() if each.name in used
        },
        items=tuple(sorted(items, key=lambda each: (each.destructive, each.account_id, each.region, each.policy))),
        held=tuple(held + twice + over),
        waived=found.waived,
        unknown=found.unknown,
    )


def read_findings(run: Path, policies: frozenset[str], names: Mapping[Target, str]) -> Found:
    """``names``: a target without its account's name -> that name."""
    chosen = f"policy IN {tuple(sorted(policies))!r}".replace(",)", ")")
    query = (
        f"SELECT account_id, region, policy, resource_id, arn, verdict FROM parts WHERE {chosen} "  # noqa: S608 - names fit a pattern
        f"AND verdict <> '{Verdict.COMPLIANT}' ORDER BY file_index, file_row_number"
    )
    findings, waived, unknown = [], 0, 0
    for account_id, region, policy, resource_id, arn, verdict in ask(run, EVALUATIONS, query) if policies else ():
        waived += verdict == Verdict.WAIVED
        unknown += verdict == Verdict.UNKNOWN
        if verdict == Verdict.NONCOMPLIANT:
            target = Target(account_id, region, names.get(Target(account_id, region), ""))
            findings.append(Finding(target, policy, resource_id, arn))
    return Found(tuple(findings), populations(run), waived, unknown)


def populations(run: Path) -> dict[str, int]:
    """Policy -> how many resources a run judged by it, in all targets."""
    sums = "SELECT policy, CAST(sum(population) AS BIGINT) FROM parts GROUP BY policy"
    found: dict[str, int] = defaultdict(int)
    for policy, count in ask(run, COVERAGE, sums):
        found[policy] += count
    return dict(found)


def left_out(project: Project, policies: frozenset[str]) -> dict[str, str]:
    """Policy -> why no plan acts on its findings."""
    return {
        each.name: f"the profile's posture is {posture_of(each)}"
        if remediation_of(each)
        else "its policy does not say what mends it"
        for each in project.compiled.policies()
        if each.name in policies
    }


def actionable(project: Project, postures: frozenset[Posture]) -> frozenset[str]:
    """Policies that say what mends a finding, and whose posture is one of these."""
    return frozenset(
        each.name for each in project.compiled.policies() if remediation_of(each) and posture_of(each) in postures
    )


class _Planner:
    """Plans the findings of one target after the other."""

    def __init__(self, project: Project, unattended: bool, now: dt.datetime) -> None:
        self._withheld = project.profile.redacted_tags
        self._unattended = unattended
        self._today = now.date()

    def target(self, visit: Visit | Failure, target: Target, findings: Sequence[Finding]) -> Iterator[Item | Held]:
        by_policy: dict[str, list[Finding]] = defaultdict(list)
        for finding in findings:
            by_policy[finding.policy].append(finding)
        for name, some in by_policy.items():
            if isinstance(visit, Failure):
                yield from (_held(each, f"{target} cannot be entered: {visit.message}") for each in some)
            elif name not in visit.policies:
                yield from (_held(each, "the profile has this policy no more") for each in some)
            else:
                yield from self._policy(visit, visit.policies[name], some)

    def _policy(self, visit: Visit, policy: CompiledPolicy, findings: Sequence[Finding]) -> Iterator[Item | Held]:
        try:
            looks = visit.look(policy, frozenset(each.resource_id for each in findings))
        except (Exception, OutOfTimeError) as error:  # noqa: BLE001 - what cannot be looked at is held, and says why
            reason = f"it cannot be looked at again: {explain(error).message}"
            yield from (_held(each, reason) for each in findings)
            return
        for finding in findings:
            look = looks.get(finding.resource_id)
            if look is None:
                yield _held(finding, "it is gone since the run, or the policy is not about it any more")
            elif reason := self._hindrance(policy, look):
                yield _held(finding, reason)
            else:
                try:
                    yield self._planned(visit, policy, finding, look)
                except (Exception, OutOfTimeError) as error:  # noqa: BLE001 - as above
                    yield _held(finding, f"what undoing it needs cannot be read: {explain(error).message}")

    def _hindrance(self, policy: CompiledPolicy, look: Look) -> str:
        """Why a resource is not acted on, whoever would agree."""
        judged, remediation = look.judgement, remediation_of(policy)
        if look.waiver:
            return f"waiver {look.waiver.id} covers it"
        if judged.verdict is Verdict.UNKNOWN:
            return f"whether it is noncompliant is unknown now: {judged.reason}"
        if judged.verdict is not Verdict.NONCOMPLIANT:
            return "it is compliant now"
        if look.lapsed and remediation["destructive"]:
            return f"held for review: waiver {look.lapsed.id} covered it and does not apply any more"
        if self._unattended and remediation["destructive"] and posture_of(policy) is Posture.AUTO:
            return _NOT_WHOLE
        return ""

    def _planned(self, visit: Visit, policy: CompiledPolicy, finding: Finding, look: Look) -> Item | Held:
        actions = steps_of(policy)
        if self._unattended and posture_of(policy) is Posture.MARK:
            mark = mark_of(visit, policy, look, self._today)
            if mark.state is Marked.WAITING:
                return _held(finding, f"marked, and not due yet: {mark.says}")
            if mark.state is Marked.NOT:
                actions = [mark_action(policy)]
            elif remediation_of(policy)["destructive"]:
                return _held(finding, f"its mark is due, and {_NOT_WHOLE}")
        try:
            item = make_item(visit, policy, look, actions, self._withheld)
        except UnknownActionError as unknown:
            return _held(finding, str(unknown))
        if self._unattended and not is_mark(item) and (reason := _unattended_hindrance(item)):
            return _held(finding, reason)
        return item


def _unattended_hindrance(item: Item) -> str:
    """What nobody may do without asking: what cannot be undone whole, by the recipes' word and not the policy's alone,
    and what something may depend on."""
    if worst_undo(item) is not Undoable.YES:
        return _NOT_WHOLE
    if item.dependants.found or item.dependants.unknown:
        first = next((f"{each.kind} {each.id}" for each in item.dependants.found), "whether anything is unknown")
        return f"something may depend on it ({first}): that needs an approved plan"
    return ""


def _held(finding: Finding, reason: str) -> Held:
    target = finding.target
    return Held(finding.policy, target.account_id, target.region, finding.resource_id, finding.arn, reason)


def _described(policy: CompiledPolicy, populations: Mapping[str, int]) -> PlannedPolicy:
    return PlannedPolicy(
        policy.name,
        policy.pack,
        policy.pack_version,
        policy.title,
        policy.resource,
        policy.severity,
        posture_of(policy),
        populations.get(policy.name, 0),
    )


def _once_a_resource(items: Sequence[Item]) -> tuple[list[Item], list[Held]]:
    """Two policies may find one resource, and after the first act it is not what the second was planned for: the larger
    savings that are known win. A mark is no act."""
    first: dict[tuple[str, ...], Item] = {}
    for item in sorted((each for each in items if not is_mark(each)), key=lambda each: -(each.savings or 0)):
        first.setdefault(resource_of(item), item)
    kept, held = [], []
    for item in items:
        if is_mark(item) or (winner := first[resource_of(item)]) is item:
            kept.append(item)
        else:
            held.append(_not_planned(item, f"{winner.policy} acts on it: plan again afterwards"))
    return kept, held


def _not_planned(item: Item, reason: str) -> Held:
    return Held(item.policy, item.account_id, item.region, item.resource_id, item.arn, reason)
