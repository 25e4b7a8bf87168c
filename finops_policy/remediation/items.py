"""One planned item: what would be done to one resource, as it is now.

Plans are made of these, and applying makes each anew just before: whatever then differs from what people agreed to,
because the resource, the policy or the plan's file changed, holds it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from finops_policy.custodian import acting
from finops_policy.digests import digest
from finops_policy.model import CompiledPolicy, Posture, Target
from finops_policy.redaction import WITHHELD, redact_facts, redact_tags
from finops_policy.remediation.marking import PREFIX, mark_action, remediation_of, unmark_action
from finops_policy.remediation.model import Item, Step
from finops_policy.remediation.recipes import BACKUPS, copy_before, recipe_of
from finops_policy.remediation.recipes.recipe import Dependants, Recipe, Subject, Undoable
from finops_policy.remediation.visiting import Look, Visit


class UnknownActionError(Exception):
    """There is no recipe for an action; its text says so to people."""


OWNER = "owner"
MARK = "mark-for-op"
ENDS = frozenset({"delete", "terminate", "release"})
"""Actions after which there is no resource to take a mark from."""


def posture_of(policy: CompiledPolicy) -> Posture:
    return Posture(policy.document["metadata"].get("posture", Posture.REPORT))


def policy_digest(policy: CompiledPolicy) -> str:
    """Of what decides and what is done; waivers may come and go, they are asked when it is applied."""
    return digest(policy.judged)


def item_id(policy: str, target: Target, resource_id: str) -> str:
    text = "\n".join((policy, target.account_id, target.region, resource_id))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


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


def resource_of(item: Item) -> tuple[str, ...]:
    return item.account_id, item.region, item.resource_type, item.resource_id


def without_withheld(before: Mapping[str, Any], globs: tuple[str, ...]) -> dict[str, Any]:
    """What a recipe read, without the tag values that the profile withholds."""
    kept = dict(before)
    if isinstance(kept.get("tags"), Mapping):
        kept["tags"] = dict(redact_tags(kept["tags"], globs))
    return kept


def make_item(
    visit: Visit,
    policy: CompiledPolicy,
    look: Look,
    actions: Sequence[Mapping[str, Any]],
    withheld: tuple[str, ...],
) -> Item:
    """Raises :class:`UnknownActionError` for an action without a recipe, and what recipes and botocore raise."""
    target, recipes = visit.target, [known_recipe(policy.resource, action["type"]) for action in actions]
    judged = look.judgement
    identity = item_id(policy.name, target, judged.resource_id)
    subject = Subject(policy.resource, judged.resource_id, judged.arn, identity)
    steps: list[Step] = []
    dependants = Dependants()
    for action, recipe in zip(actions, recipes, strict=True):
        before = without_withheld(recipe.before(visit.site, subject, judged.resource, action), withheld)
        needs = permissions_of(visit, policy, action, recipe)
        undo = recipe.undo_of(before, action)
        copy = copy_before(policy.resource, action)
        if copy and copy not in [step.name for step in steps]:
            undo = replace(undo, possible=Undoable.NO, how=f"no {copy} is made before it to make it anew from")
        steps.append(Step(action, before, undo, needs))
        if action["type"] != MARK:
            more = recipe.dependants(visit.site, subject, judged.resource)
            dependants = Dependants(
                tuple(dict.fromkeys((*dependants.found, *more.found))),
                tuple(dict.fromkeys((*dependants.unknown, *more.unknown))),
            )
    tags = redact_tags(judged.tags, withheld)
    marking = actions[0]["type"] == MARK
    return Item(
        id=identity,
        policy=policy.name,
        policy_digest=policy_digest(policy),
        account_id=target.account_id,
        account_name=target.account_name,
        region=target.region,
        resource_type=policy.resource,
        resource_id=judged.resource_id,
        arn=judged.arn,
        owner=next((value for key, value in sorted(tags.items()) if key.casefold() == OWNER), ""),
        facts=redact_facts(judged.facts, judged.tags, withheld),
        steps=tuple(steps),
        destructive=bool(remediation_of(policy)["destructive"]) and not marking,
        dependants=dependants,
        money=None if marking else look.money,
    )


def known_recipe(resource_type: str, action: str) -> Recipe:
    """Raises :class:`UnknownActionError`."""
    recipe = recipe_of(resource_type, action)
    if recipe is None:
        raise UnknownActionError(f"nobody knows how to prove {action} on {resource_type}: do it by hand")
    return recipe


def is_mark(item: Item) -> bool:
    """A mark is no act: it counts for no cap, and claims no savings."""
    return item.steps[0].name == MARK


def is_unmark(step: Step) -> bool:
    """Whether a step only takes one of our own marks away."""
    tags = step.action.get("tags", ())
    return step.name == "remove-tag" and bool(tags) and all(str(each).startswith(PREFIX) for each in tags)


def expected_actions(item: Item, policy: CompiledPolicy) -> list[dict[str, Any]]:
    """What the policy lets be done about the item: its steps, or its mark where its posture is to mark first."""
    if is_mark(item) and posture_of(policy) is Posture.MARK:
        return [mark_action(policy)]
    return steps_of(policy)


def difference(planned: Item, now: Item) -> str:
    """How the item that would be planned now differs from the one that was: empty when people agreed to just that."""
    if [step.action for step in planned.steps] != [step.action for step in now.steps]:
        return "the plan does not do what the policy says: make a new one"
    told = [each for one, other in zip(planned.steps, now.steps, strict=True) for each in _changed(one, other)]
    if told:
        return f"changed since the plan: {'; '.join(dict.fromkeys(told))}"
    for name in ("id", "arn", "resource_type", "destructive"):
        if getattr(planned, name) != getattr(now, name):
            return f"the plan says another {name.replace('_', ' ')}: make a new one"
    if [step.undo for step in planned.steps] != [step.undo for step in now.steps]:
        return "how it is undone is not as the plan says: make a new one"
    new = [each for each in now.dependants.found if each not in planned.dependants.found]
    if new:
        return f"since the plan something depends on it: {new[0].kind} {new[0].id}: {new[0].effect}"
    unknown = [each for each in now.dependants.unknown if each not in planned.dependants.unknown]
    if unknown:
        return f"whether something depends on it is unknown now: {unknown[0]}"
    if planned.savings != now.savings:
        return f"it saves {_amount(now)} a month, and the plan says {_amount(planned)}: make a new one"
    return ""


def _amount(item: Item) -> str:
    if item.money is None:
        return "nothing that is claimed"
    return "an unknown amount" if item.savings is None else f"{item.savings:,.2f} {item.money.currency}"


def _changed(planned: Step, now: Step) -> list[str]:
    before = now.before
    if isinstance(planned.before.get("tags"), Mapping) and isinstance(before.get("tags"), Mapping):
        hidden = {key for key, value in planned.before["tags"].items() if value == WITHHELD}
        before = {
            **before,
            "tags": {key: WITHHELD if key in hidden else value for key, value in before["tags"].items()},
        }
    return [
        f"{key} was {_shown(planned.before.get(key))} and is {_shown(before.get(key))}"
        for key in sorted({*planned.before, *before})
        if not key.startswith("_") and planned.before.get(key) != before.get(key)
    ]


def _shown(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
