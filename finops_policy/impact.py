"""What a change of policies would have done to the resources of a run: which are newly hit, which released.

Each policy that differs is asked, through c7n, about what the run recorded; ``custodian.recorded`` says how. The policy
as it ran is asked first: where it does not come to the verdict on record, too little is known, and the resource is
unknown. A waiver counts as of the run's day, by the waivers of the new state.

Limits: resources that no policy of the run looked at are not in its evidence. Money is what the run put on record, at
list prices: what another policy would save of a resource is known only where it saves all that the resource costs.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import yaml

from finops_policy.changes.filters import Reach, compare_all, text
from finops_policy.changes.impact import Hit, Impact, PolicyImpact, Unknown
from finops_policy.compiler import load_policies, policies_path
from finops_policy.custodian.memory import Memory
from finops_policy.custodian.recorded import Recorded, Said
from finops_policy.errors import EvidenceError
from finops_policy.evidence.layout import measure
from finops_policy.evidence.parquet import read_coverage, read_evaluations
from finops_policy.evidence.store import RunRecord, read_run
from finops_policy.model import CompiledPolicy, Coverage, Evaluation, Status, Target, Verdict, Waiver
from finops_policy.money import Money
from finops_policy.project import Project
from finops_policy.redaction import WITHHELD
from finops_policy.savings import Claim, Savings, add_up
from finops_policy.waivers import covers_as_recorded, in_force

PARTLY: Final = frozenset({"next_size_down"})
"""Savings methods that save less than the resource costs: how much was recorded for findings alone."""
OUTSIDE: Final = "outside"
UNREPRODUCED: Final = "the recorded verdict does not follow from what was recorded"
_VERIFY: Final = "Run `finops-policy verify` on the bundle: it names what is not as it was sealed."

Watch = Callable[[int, int], None]
"""Hears how many targets are done, of how many."""


@dataclass(frozen=True, slots=True)
class Run:
    """A sealed run, and the policies as they were compiled for it."""

    folder: Path
    record: RunRecord
    compiled: Mapping[str, tuple[CompiledPolicy, ...]]

    def policies(self, account_id: str) -> dict[str, CompiledPolicy]:
        judged = set(self.record.data["policies"])
        found = self.compiled.get(account_id, self.compiled[""])
        return {policy.name: policy for policy in found if policy.name in judged}


def read(folder: Path) -> Run:
    """Raises :class:`EvidenceError` for a bundle that is not as it was sealed."""
    record = read_run(folder)
    name = ""
    try:
        for name, recorded in record.data["files"].items():
            if measure(folder / name) != recorded:
                raise ValueError("it has changed")
        accounts = {path.stem for path in (folder / "compiled" / "accounts").glob("*.yaml")}
        compiled = {}
        for account_id in ("", *sorted(accounts)):
            name = f"compiled/{policies_path(account_id)}"
            loaded = yaml.load((folder / name).read_bytes(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
            compiled[account_id] = load_policies(loaded["policies"])
    except (OSError, ValueError, LookupError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise EvidenceError(f"{folder / name} is not as it was sealed: {error}", hint=_VERIFY) from error
    return Run(folder, record, compiled)


def assess(run: Run, base: Project | None, head: Project, watch: Watch) -> Impact:
    """``base`` is None where the customer cannot be compiled there: then all that differs from the run counts."""
    return _Assessment(run, base, head).assess(watch)


class _Assessment:
    def __init__(self, run: Run, base: Project | None, head: Project) -> None:
        self._run, self._base, self._head = run, base, head
        self._recorded = Recorded(head.customer.partition)
        self._impacts: dict[str, PolicyImpact] = {}
        self._notes: dict[str, None] = {}
        self._cells = {(each.account_id, each.region, each.policy): each for each in read_coverage(run.folder)}
        self._rewaived = _rewaived(base.waivers, head.waivers) if base else frozenset[str]()

    def assess(self, watch: Watch) -> Impact:
        data = self._run.record.data
        targets = [Target(**each) for each in data["targets"]]
        self._tell_accounts(targets)
        pairs = {account: self._changed(account) for account in sorted({each.account_id for each in targets})}
        for cell in self._cells.values():
            if cell.policy in pairs.get(cell.account_id, {}) and cell.status in (Status.FAILED, Status.SKIPPED):
                self._impacts[cell.policy].unchecked += 1
        done = 0
        if self._impacts:
            for (account, region), evaluations in groupby(read_evaluations(self._run.folder), _place):
                self._target(Target(account, region), evaluations, pairs.get(account, {}))
                done += 1
                watch(done, len(targets))
        policies = tuple(sorted(self._impacts.values(), key=lambda each: (each.pack, each.policy)))
        amounts = [hit.money for each in policies for hit in (*each.hit, *each.released) if hit.money]
        return Impact(
            run_id=data["run_id"],
            finished_at=data["finished_at"],
            customer=self._head.customer.name,
            profile=self._head.profile.name,
            sandbox=data["sandbox"],
            policies=policies,
            hit=_sum((each.policy, hit) for each in policies for hit in each.hit),
            released=_sum((each.policy, hit) for each in policies for hit in each.released),
            currency=min((each.currency for each in amounts if each.currency), default=""),
            notes=tuple(self._notes),
        )

    # --- what differs ------------------------------------------------------------------------------------------------

    def _tell_accounts(self, targets: Sequence[Target]) -> None:
        """Accounts on one side only: of those nothing is compared."""
        customer = self._head.customer
        if self._run.record.data["profile"]["name"] != self._head.profile.name:
            ran = self._run.record.data["profile"]["name"]
            self._note(f"The run judged profile {ran}, and this is profile {self._head.profile.name}.")
        if customer.organization:
            return
        judged, listed = {each.account_id for each in targets}, {each.id for each in customer.accounts}
        for account_id in sorted(listed - judged):
            self._note(f"Account {account_id} was not in the run: nothing is known of it.")
        for account_id in sorted(judged - listed):
            self._note(f"Account {account_id} is not looked at any more: what the run found there is not counted.")

    def _note(self, text_: str) -> None:
        self._notes[text_] = None

    def _changed(self, account_id: str) -> dict[str, _Pair]:
        """Those that differ between base and head, by name, as they ran and as they are now."""
        customer = self._head.customer
        if not customer.organization and account_id not in {each.id for each in customer.accounts}:
            return {}
        ran = self._run.policies(account_id)
        after = {each.name: each for each in self._head.compiled.policies(account_id)}
        before = {each.name: each for each in self._base.compiled.policies(account_id)} if self._base else ran
        found = {}
        for name in sorted({*before, *after}):
            was, now = before.get(name), after.get(name)
            if _behaviour(was) == _behaviour(now) and name not in self._rewaived:
                continue
            impact = self._impact(_Pair(was, now))
            if was is not None and name not in ran:
                _add(impact.notes, "The run left this policy out: nothing is known of it.")
                continue
            if was is not None and _behaviour(was) != _behaviour(ran[name]):
                _add(impact.notes, "The run judged another version than the base has: hits are against the run's.")
            self._tell_scope(impact, ran.get(name), now)
            found[name] = _Pair(ran.get(name), now)
        return found

    def _impact(self, pair: _Pair) -> PolicyImpact:
        policy = pair.there
        made = PolicyImpact(policy.pack, policy.name, policy.resource, policy.savings_method, pair.kind)
        found = self._impacts.setdefault(policy.name, made)
        if pair.kind != "waivers":  # in one account only the waivers may differ, in another the policy
            found.kind = pair.kind
        return found

    def _tell_scope(self, impact: PolicyImpact, was: CompiledPolicy | None, now: CompiledPolicy | None) -> None:
        only = "were recorded only where another policy looked at them: there may be more hits."
        if now is not None and (was is None or was.resource != now.resource):
            _add(impact.notes, f"Resources that this policy would judge {only}")
        elif now is not None and was is not None:
            differences = compare_all(_scope(was), _scope(now), lambda value: value)
            if any(each.reach in (Reach.MORE, Reach.UNCLEAR) for each in differences):
                _add(impact.notes, f"The scope may be wider. Resources outside of the old one {only}")

    # --- one target --------------------------------------------------------------------------------------------------

    def _target(
        self,
        target: Target,
        evaluations: Iterable[Evaluation],
        changed: Mapping[str, _Pair],
    ) -> None:
        types = {each.resource for pair in changed.values() for each in (pair.was, pair.now) if each}
        ran = self._run.policies(target.account_id)
        memories: dict[str, dict[tuple[str, str], Memory]] = {kind: {} for kind in types}
        for each in evaluations:
            if each.resource_type in types and each.policy in ran:
                known = memories[each.resource_type]
                key = (each.resource_id, each.arn)
                if key not in known:
                    path = self._recorded.id_path(each.resource_type)
                    known[key] = Memory(each.resource_type, each.resource_id, path, each.arn, each.tags)
                known[key].add(each, ran[each.policy].judged["filters"])
        for name, pair in changed.items():
            for part in pair.parts():
                self._policy(self._impacts[name], target, part, memories[part.there.resource])

    def _policy(
        self, impact: PolicyImpact, target: Target, pair: _Pair, memories: Mapping[tuple[str, str], Memory]
    ) -> None:
        cell: Coverage | None = self._cells.get((target.account_id, target.region, impact.policy))
        checked = cell is None or cell.status is Status.EVALUATED
        others = checked and pair.now is not None and pair.scope_differs
        for memory in memories.values():
            if impact.policy in memory.evaluations or others:
                self._resource(impact, target, pair, memory)

    def _resource(self, impact: PolicyImpact, target: Target, pair: _Pair, memory: Memory) -> None:
        evaluation = memory.evaluations.get(impact.policy) if pair.was else None
        moment = (evaluation or next(iter(memory.evaluations.values()))).evaluated_at
        before = str(evaluation.verdict) if evaluation else OUTSIDE
        after, reason = self._after(target, pair, memory, evaluation, moment)
        if after == Verdict.NONCOMPLIANT:
            after, reason = self._waived(impact.policy, target, memory, moment.date()) or (after, reason)
        place = (target.account_id, target.region)
        hit, found = after == Verdict.NONCOMPLIANT, before == Verdict.NONCOMPLIANT
        if after == Verdict.UNKNOWN and before != Verdict.UNKNOWN:
            impact.unknown.append(Unknown(*place, memory.resource_id, memory.arn, reason))
        elif hit is found:
            impact.same += 1 if evaluation else 0
        else:
            recorded = evaluation.money if evaluation else None
            money = _saved(memory, evaluation, impact.savings_method) if hit else recorded
            which = (memory.resource_type, memory.resource_id, memory.arn)
            (impact.hit if hit else impact.released).append(Hit(*place, *which, before, after, reason, money))

    def _waived(self, policy: str, target: Target, memory: Memory, day: dt.date) -> tuple[str, str] | None:
        """What the new state's waivers make of a finding, and why; None where they make nothing of it."""
        of = (policy, memory.arn, memory.tags, target.account_id, target.region, WITHHELD)
        found = [(each, covers_as_recorded(each, *of)) for each in self._head.waivers if in_force(each, day)]
        if waiver := next((each for each, covered in found if covered), None):
            return str(Verdict.WAIVED), f"waiver {waiver.id}"
        if waiver := next((each for each, covered in found if covered is None), None):
            return str(Verdict.UNKNOWN), f"whether waiver {waiver.id} covers it: its tag {waiver.tag_key} is withheld"
        return None

    def _after(
        self, target: Target, pair: _Pair, memory: Memory, evaluation: Evaluation | None, moment: dt.datetime
    ) -> tuple[str, str]:
        """What is said now, as a verdict or ``outside``, and why."""
        was, now = pair.was, pair.now
        if now is None:
            return OUTSIDE, "the policy does not judge it any more"
        if evaluation and pair.kind == "waivers":
            matched = evaluation.verdict in (Verdict.NONCOMPLIANT, Verdict.WAIVED)
            return (str(Verdict.NONCOMPLIANT) if matched else str(evaluation.verdict)), ""
        if was is not None:
            again = self._recorded.judge(was, target, memory, moment)
            if again.said not in _EXPECTED[evaluation.verdict if evaluation else None]:
                return str(Verdict.UNKNOWN), again.reason if again.said is Said.UNRECORDED else UNREPRODUCED
        prediction = self._recorded.judge(now, target, memory, moment)
        said = Said.UNKNOWN if prediction.said is Said.UNRECORDED else prediction.said
        return str(said), prediction.reason


@dataclass(frozen=True, slots=True)
class _Pair:
    """A policy as it was, and as it is now; one of them may be missing."""

    was: CompiledPolicy | None
    now: CompiledPolicy | None

    @property
    def there(self) -> CompiledPolicy:
        return self.now or self.was  # type: ignore[return-value] # never both missing

    @property
    def kind(self) -> str:
        if self.was is None or self.now is None:
            return "added" if self.was is None else "removed"
        return "waivers" if _behaviour(self.was) == _behaviour(self.now) else "changed"

    @property
    def scope_differs(self) -> bool:
        return self.was is None or self.now is None or text(_scope(self.was)) != text(_scope(self.now))

    def parts(self) -> tuple[_Pair, ...]:
        """A policy that judges another type of resource has left the one, and come to the other."""
        if self.was and self.now and self.was.resource != self.now.resource:
            return (_Pair(self.was, None), _Pair(None, self.now))
        return (self,)


_EXPECTED: Final[Mapping[Verdict | None, tuple[Said, ...]]] = {
    Verdict.NONCOMPLIANT: (Said.NONCOMPLIANT,),
    Verdict.WAIVED: (Said.NONCOMPLIANT,),
    Verdict.COMPLIANT: (Said.COMPLIANT,),
    Verdict.UNKNOWN: (Said.UNKNOWN, Said.UNRECORDED),
    None: (Said.OUTSIDE,),
}
"""Recorded verdict, or none -> what the policy that ran must come to again."""


def _place(evaluation: Evaluation) -> tuple[str, str]:
    return evaluation.account_id, evaluation.region


def _add(notes: list[str], note: str) -> None:
    if note not in notes:
        notes.append(note)


def _behaviour(policy: CompiledPolicy | None) -> str:
    """What decides verdicts, of all that a policy says."""
    return text([policy.resource, policy.scope_length, policy.judged["filters"]]) if policy else ""


def _scope(policy: CompiledPolicy) -> list[Any]:
    return list(policy.document["filters"][: policy.scope_length])


def _rewaived(old: Iterable[Waiver], new: Iterable[Waiver]) -> frozenset[str]:
    """Policies whose findings are accepted otherwise."""

    def told(waivers: Iterable[Waiver]) -> set[tuple[Any, ...]]:
        return {
            (
                each.policy, each.id, each.resource, each.tag_key, each.tag_value, each.account, each.region,
                each.starts, each.expires,
            )
            for each in waivers
        }  # fmt: skip

    return frozenset(str(policy) for policy, *_ in told(old) ^ told(new))


def _saved(memory: Memory, evaluation: Evaluation | None, method: str) -> Money | None:
    """What mending the finding would save: all that the resource costs, where the method saves all of it."""
    if not method:
        return None
    known = [evaluation] if evaluation else list(memory.evaluations.values())
    of_method = [each.money for each in known if each.money and each.money.method == method]
    if method in PARTLY:
        return Money("", method, reason="how much of the cost it saves was not recorded")
    for each in of_method:
        if each.cost is not None:
            return Money(each.currency, method, each.cost, each.cost, each.source, each.as_of, each.verified)
    return of_method[0] if of_method else Money("", method, reason="its cost was not recorded")


def _sum(hits: Iterable[tuple[str, Hit]]) -> Savings:
    """Each resource once: with two policies on it the larger amount."""
    claims = [
        ((hit.account_id, hit.region), _claim(policy, hit, hit.money)) for policy, hit in hits if hit.money is not None
    ]
    claims.sort(key=lambda each: each[0])
    return add_up((claim for _, claim in group) for _, group in groupby(claims, key=lambda each: each[0]))


def _claim(policy: str, hit: Hit, money: Money) -> Claim:
    resource = (hit.resource_type, hit.resource_id, hit.arn)
    return Claim(
        hit.account_id, policy, *resource, money.savings, money.reason, money.source, money.as_of, money.verified
    )
