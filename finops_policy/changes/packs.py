"""PURE: what differs between two versions of a pack, field by field."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from finops_policy.changes.filters import Difference, Reach, compare_all, text
from finops_policy.changes.model import Change, Effect, Kind, Section, joined, path_of
from finops_policy.changes.remediation import compare_remediation
from finops_policy.marks import PLACEHOLDER, Mark
from finops_policy.model import Pack, Parameter, ParameterValue, Policy

TEXTS = "what people read; nothing is found or done differently"

Values = Mapping[str, ParameterValue]


def compare_packs(old: Pack, new: Pack) -> list[Change]:
    """Nothing where the two are the same. The version alone is no change: it says that there is one."""
    found = [
        *_text_fields(old, new),
        *_parameters(old, new),
        *(change for name in sorted({*old.policies, *new.policies}) for change in _policy(name, old, new)),
    ]
    if not found and old.digest != new.digest and old.version == new.version:
        why = "descriptions and units; nothing is found or done differently"
        found = [_change(new, "", "other text", None, None, Effect.NEUTRAL, why, new.mark)]
    return found


def setting_effect(pack: Pack, name: str, old: ParameterValue, new: ParameterValue) -> tuple[Effect, str]:
    """What it does to a pack's policies when a parameter has another value."""
    before, after = {**defaults(pack), name: old}, {**defaults(pack), name: new}
    effects = {}
    for policy in pack.policies.values():
        differences = [each for each in _of_policy(policy, before, after) if text(each.old) != text(each.new)]
        if differences:
            effects[policy.name] = joined(effect_of(each)[0] for each in differences)
    effect = joined(effects.values())
    if not effects:
        return Effect.NEUTRAL, "no policy uses it"
    if effect is not Effect.UNCLEAR:
        return effect, f"through {_named(effects)}"
    told = [f"{each} for {_named(name for name in effects if effects[name] is each)}" for each in Effect
            if each in effects.values() and each is not Effect.NEUTRAL]  # fmt: skip
    return effect, "; ".join(told)


def defaults(pack: Pack) -> dict[str, ParameterValue]:
    return {parameter.name: parameter.default for parameter in pack.parameters.values()}


def resolved(value: Any, values: Values) -> Any:
    """What is written, with the parameters' values in it; an unknown parameter stays as it is written."""
    if isinstance(value, Mapping):
        return {key: resolved(item, values) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [resolved(item, values) for item in value]
    if isinstance(value, str) and (match := PLACEHOLDER.fullmatch(value)) and match[1] in values:
        found = values[match[1]]
        return list(found) if isinstance(found, tuple) else found
    return value


def effect_of(difference: Difference) -> tuple[Effect, str]:
    """Of a difference in a policy's ``scope``, ``violation`` or ``remediation``: more resources found, or looked at,
    is tighter."""
    if difference.steps[0] == "scope" and difference.reach in (Reach.MORE, Reach.FEWER):
        tail = f", so {difference.reach} resources are looked at"
    else:
        tail = ""
    effects = {Reach.MORE: Effect.TIGHTENS, Reach.FEWER: Effect.LOOSENS, Reach.SAME: Effect.NEUTRAL}
    return effects.get(difference.reach, Effect.UNCLEAR), difference.why + tail


def _named(names: Iterable[str]) -> str:
    listed = sorted(names)
    return ", ".join(listed[:3]) + (f" and {len(listed) - 3} more" if len(listed) > 3 else "")


def _change(
    pack: Pack,
    item: str,
    field: str,
    old: Any,
    new: Any,
    effect: Effect,
    why: str,
    mark: Mark,
    kind: Kind = Kind.CHANGED,
) -> Change:
    return Change(Section.PACK, pack.name, item, field, kind, old, new, effect, why, mark)


def _text_fields(old: Pack, new: Pack) -> Iterator[Change]:
    for field in ("title", "owner"):
        before, after = getattr(old, field), getattr(new, field)
        if before != after:
            yield _change(new, "", field, before, after, Effect.NEUTRAL, TEXTS, new.mark)


# --- parameters -------------------------------------------------------------------------------------------------------


def _parameters(old: Pack, new: Pack) -> Iterator[Change]:
    for name in sorted({*old.parameters, *new.parameters}):
        before, after = old.parameters.get(name), new.parameters.get(name)
        item = f"parameter {name}"
        if before is None and after is not None:
            why = "the policies that use it say what it does"
            yield _change(new, item, "", None, after.default, Effect.NEUTRAL, why, after.mark, Kind.ADDED)
        elif after is None and before is not None:
            why = "profiles and customers that set it are refused"
            yield _change(new, item, "", before.default, None, Effect.UNCLEAR, why, before.mark, Kind.REMOVED)
        elif before is not None and after is not None:
            yield from _parameter(new, item, before, after)


def _parameter(pack: Pack, item: str, old: Parameter, new: Parameter) -> Iterator[Change]:
    if text(old.default) != text(new.default):
        effect, why = setting_effect(pack, new.name, old.default, new.default)
        why += ", where no profile or customer sets it"
        yield _change(pack, item, "default", old.default, new.default, effect, why, new.mark)
    for key in sorted({*old.schema, *new.schema}):
        before, after = old.schema.get(key), new.schema.get(key)
        if text(before) != text(after):
            why = "the values that are allowed; those in use stay"
            yield _change(pack, item, key, before, after, Effect.NEUTRAL, why, new.mark)
    if old.description != new.description:
        yield _change(pack, item, "description", old.description, new.description, Effect.NEUTRAL, TEXTS, new.mark)


# --- policies ---------------------------------------------------------------------------------------------------------


def _policy(name: str, old: Pack, new: Pack) -> Iterator[Change]:
    before, after = old.policies.get(name), new.policies.get(name)
    item = f"policy {name}"
    if before is None and after is not None:
        why = f"{after.resource} is judged by one policy more"
        yield _change(new, item, "", None, after.title, Effect.TIGHTENS, why, after.mark, Kind.ADDED)
    elif after is None and before is not None:
        why = f"{before.resource} is judged by one policy less"
        yield _change(new, item, "", before.title, None, Effect.LOOSENS, why, before.mark, Kind.REMOVED)
    elif before is not None and after is not None:
        yield from _changed(new, item, before, after, {**defaults(old), **defaults(new)})


def _changed(pack: Pack, item: str, old: Policy, new: Policy, values: Values) -> Iterator[Change]:
    def change(field: str, before: Any, after: Any, effect: Effect, why: str) -> Change:
        return _change(pack, item, field, before, after, effect, why, new.mark)

    if old.resource != new.resource:
        yield change("resource", old.resource, new.resource, Effect.UNCLEAR, "it judges other resources")
    if old.severity is not new.severity:
        up = new.severity.rank > old.severity.rank
        effect = Effect.TIGHTENS if up else Effect.LOOSENS
        why = f"a finding counts {'more' if up else 'less'}, for --fail-on too"
        yield change("severity", str(old.severity), str(new.severity), effect, why)
    for each in _differences(old, new, values):
        effect, why = effect_of(each)
        yield change(path_of(each.steps), each.old, each.new, effect, why)
    for field in ("title", "rationale"):
        if getattr(old, field) != getattr(new, field):
            yield change(field, getattr(old, field), getattr(new, field), Effect.NEUTRAL, TEXTS)
    if old.savings_method != new.savings_method:
        why = "figures of money change; nothing is found or done differently"
        yield change("savings.method", old.savings_method or None, new.savings_method or None, Effect.NEUTRAL, why)


def _of_policy(policy: Policy, before: Values, after: Values) -> list[Difference]:
    """The differences that other values of parameters make."""
    return _differences(_with(policy, before), _with(policy, after), {})


def _with(policy: Policy, values: Values) -> Policy:
    return replace(
        policy,
        scope=tuple(resolved(policy.scope, values)),
        violation=tuple(resolved(policy.violation, values)),
        remediation=resolved(policy.remediation, values),
    )


def _differences(old: Policy, new: Policy, values: Values) -> list[Difference]:
    resolve = partial(resolved, values=values)
    found = {
        "scope": compare_all(old.scope, new.scope, resolve),
        "violation": compare_all(old.violation, new.violation, resolve),
        "remediation": compare_remediation(old.remediation, new.remediation, resolve),
    }
    return [replace(each, steps=(section, *each.steps)) for section, some in found.items() for each in some]
