"""From a run's findings to a plan: what would be done to which resource, and how it would be undone.

A finding of a run is a hint, not a fact: every resource is looked at again before it is planned. What is not planned is
held, with its reason, and stands in the plan too.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import secrets
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from finops_policy import aws
from finops_policy.custodian import acting
from finops_policy.digests import digest
from finops_policy.evidence.parquet import ask
from finops_policy.evidence.store import read_run
from finops_policy.evidence.tables import COVERAGE, EVALUATIONS
from finops_policy.failures import Failure, OutOfTimeError, explain
from finops_policy.model import CompiledPolicy, Posture, Target, Verdict
from finops_policy.project import Project
from finops_policy.redaction import redact_facts, redact_tags
from finops_policy.remediation import limits
from finops_policy.remediation.marking import Marked, mark_action, mark_of, remediation_of, unmark_action
from finops_policy.remediation.model import Held, Item, Plan, PlannedPolicy, Requester, Step
from finops_policy.remediation.recipes import BACKUPS, copy_before, recipe_of
from finops_policy.remediation.recipes.recipe import Dependants, Recipe, Subject, Undoable
from finops_policy.remediation.visiting import Doors, Look, Visit
from finops_policy.remediation_settings import caps_of

APPROVABLE = frozenset({Posture.MARK, Posture.APPROVE, Posture.AUTO})
"""Postures whose policies a plan may act on: with an approval that is more than a mark, and more than none."""
UNATTENDED = frozenset({Posture.MARK, Posture.AUTO})
"""Postures whose policies a run with --remediate acts on, with nobody's approval."""
VALID = dt.timedelta(days=14)
OWNER = "owner"
ENDS = frozenset({"delete", "terminate", "release"})
"""Actions after which there is no resource to take a mark from."""


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
    said: Callable[[str], None],
) -> Plan:
    """The plan about the findings of the sealed run at ``run``. ``unattended`` plans what needs nobody's approval.

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
    for number, (target, findings) in enumerate(by_target.items(), 1):
        said(f"Looking at {len(findings)} findings in {target} ({number}/{len(by_target)}).")
        planned += planner.target(doors.open(target), target, findings)
    held = [each for each in planned if isinstance(each, Held)]
    single, twice = _once_a_resource([each for each in planned if isinstance(each, Item)])
    items, over = _within_caps(project, single, found.populations)
    used = {each.policy for each in items}
    return Plan(
        plan_id=f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}",
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
    sums = "SELECT policy, CAST(sum(population) AS BIGINT) FROM parts GROUP BY policy"
    populations: dict[str, int] = defaultdict(int)
    for policy, count in ask(run, COVERAGE, sums):
        populations[policy] += count
    return Found(tuple(findings), dict(populations), waived, unknown)


def actionable(project: Project, postures: frozenset[Posture]) -> frozenset[str]:
    """Policies that say what mends a finding, and whose posture is one of these."""
    return frozenset(
        each.name for each in project.compiled.policies() if remediation_of(each) and posture_of(each) in postures
    )


def posture_of(policy: CompiledPolicy) -> Posture:
    return Posture(policy.document["metadata"].get("posture", Posture.REPORT))


def policy_digest(policy: CompiledPolicy) -> str:
    """Of what decides and what is done; waivers may come and go, they are asked when it is applied."""
    return digest(policy.judged)


def item_id(policy: str, target: Target, resource_id: str) -> str:
    text = "\n".join((policy, target.account_id, target.region, resource_id))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


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
            return "it cannot be undone completely: that needs an approved plan"
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
                return _held(
                    finding, "its mark is due, and it cannot be undone completely: that needs an approved plan"
                )
        recipes = [recipe_of(policy.resource, action["type"]) for action in actions]
        for action, recipe in zip(actions, recipes, strict=True):
            if recipe is None:
                return _held(finding, f"nobody knows how to prove {action['type']} on {policy.resource}: do it by hand")
        item = self._item(visit, policy, finding, look, actions, [each for each in recipes if each])
        marking = actions[0]["type"] == "mark-for-op"
        if self._unattended and not marking and (item.dependants.found or item.dependants.unknown):
            first = next((f"{each.kind} {each.id}" for each in item.dependants.found), "whether anything is unknown")
            return _held(finding, f"something may depend on it ({first}): that needs an approved plan")
        return item

    def _item(
        self,
        visit: Visit,
        policy: CompiledPolicy,
        finding: Finding,
        look: Look,
        actions: Sequence[Mapping[str, Any]],
        recipes: Sequence[Recipe],
    ) -> Item:
        judged = look.judgement
        identity = item_id(policy.name, finding.target, finding.resource_id)
        subject = Subject(policy.resource, judged.resource_id, judged.arn, identity)
        steps: list[Step] = []
        dependants = Dependants()
        for action, recipe in zip(actions, recipes, strict=True):
            before = without_withheld(recipe.before(visit.site, subject, judged.resource, action), self._withheld)
            needs = permissions_of(visit, policy, action, recipe)
            undo = recipe.undo_of(before, action)
            copy = copy_before(policy.resource, action)
            if copy and copy not in [step.name for step in steps]:
                undo = replace(undo, possible=Undoable.NO, how=f"no {copy} is made before it to make it anew from")
            steps.append(Step(action, before, undo, needs))
            if action["type"] != "mark-for-op":
                more = recipe.dependants(visit.site, subject, judged.resource)
                dependants = Dependants(
                    tuple(dict.fromkeys((*dependants.found, *more.found))),
                    tuple(dict.fromkeys((*dependants.unknown, *more.unknown))),
                )
        tags = redact_tags(judged.tags, self._withheld)
        marking = actions[0]["type"] == "mark-for-op"
        return Item(
            id=identity,
            policy=policy.name,
            policy_digest=policy_digest(policy),
            account_id=finding.target.account_id,
            account_name=finding.target.account_name,
            region=finding.target.region,
            resource_type=policy.resource,
            resource_id=judged.resource_id,
            arn=judged.arn,
            owner=next((value for key, value in sorted(tags.items()) if key.casefold() == OWNER), ""),
            facts=redact_facts(judged.facts, judged.tags, self._withheld),
            steps=tuple(steps),
            destructive=bool(remediation_of(policy)["destructive"]) and not marking,
            dependants=dependants,
            money=None if marking else look.money,
        )


def without_withheld(before: Mapping[str, Any], globs: tuple[str, ...]) -> dict[str, Any]:
    """What a recipe read, without the tag values that the profile withholds."""
    kept = dict(before)
    if isinstance(kept.get("tags"), Mapping):
        kept["tags"] = dict(redact_tags(kept["tags"], globs))
    return kept


def steps_of(policy: CompiledPolicy) -> list[dict[str, Any]]:
    """A policy's actions in their long form, after the copy that is made first, if any; a mark goes last."""
    remediation = remediation_of(policy)
    actions = [acting.long_form(each) for each in remediation["actions"]]
    backup = [{"type": BACKUPS[remediation["backup"]]}] if "backup" in remediation else []
    unmark = [unmark_action(policy)] if posture_of(policy) is Posture.MARK and actions[-1]["type"] not in ENDS else []
    return [*backup, *actions, *unmark]


def permissions_of(visit: Visit, policy: CompiledPolicy, action: Mapping[str, Any], recipe: Recipe) -> tuple[str, ...]:
    own: tuple[str, ...] | None = getattr(recipe, "permissions", None)
    return own if own is not None else acting.permissions(visit.account, policy, action)


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
    savings win. A mark is no act."""
    first: dict[tuple[str, ...], Item] = {}
    for item in sorted(filter(_acts, items), key=lambda each: -(each.savings or 0)):
        first.setdefault(resource_of(item), item)
    kept, held = [], []
    for item in items:
        if not _acts(item) or (winner := first[resource_of(item)]) is item:
            kept.append(item)
        else:
            held.append(_not_planned(item, f"{winner.policy} acts on it: plan again afterwards"))
    return kept, held


def resource_of(item: Item) -> tuple[str, ...]:
    return item.account_id, item.region, item.resource_type, item.resource_id


def _within_caps(
    project: Project, items: Sequence[Item], populations: Mapping[str, int]
) -> tuple[list[Item], list[Held]]:
    """What may be acted on, and what is held since a policy, or all together, are over a cap. Marks are no acts."""
    settings = project.customer.remediation
    reasons: dict[str, str] = {}
    for policy in project.compiled.policies():
        mine = [each for each in items if each.policy == policy.name and _acts(each)]
        caps = limits.tightened(caps_of(remediation_of(policy).get("max", {})), settings.max)
        if mine and (reason := limits.over(caps, _savings(mine), populations.get(policy.name))):
            reasons[policy.name] = f"over the cap of {policy.name}: {reason}"
    kept = [each for each in items if each.policy not in reasons or not _acts(each)]
    if reason := limits.over(settings.total, _savings(each for each in kept if _acts(each)), None):
        reasons |= {each.policy: f"over the cap of all together: {reason}" for each in kept if _acts(each)}
        kept = [each for each in kept if not _acts(each)]
    ids = {each.id for each in kept}
    return kept, [_not_planned(each, reasons[each.policy]) for each in items if each.id not in ids]


def _not_planned(item: Item, reason: str) -> Held:
    return Held(item.policy, item.account_id, item.region, item.resource_id, item.arn, reason)


def _acts(item: Item) -> bool:
    return item.steps[0].name != "mark-for-op"


def _savings(items: Iterable[Item]) -> Iterator[Any]:
    """A policy without a savings method claims nothing, which is known; a price that is missing is not."""
    return (each.savings if each.money else limits.NOTHING for each in items)
