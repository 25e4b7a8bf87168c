"""Policies loaded, expanded and checked by c7n itself, as ``custodian run`` and c7n-org do it.

Variables such as ``{account_id}``, ``{region}`` and an accounts file's own are expanded once, by c7n, when a policy is
loaded for a target. Expanding earlier as well would take ``{{text}}`` for a variable the second time. What c7n needs
for that, and actions, which never run, ride in ``metadata`` under :data:`CARRIED`, where c7n does not look.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from finops_policy.custodian import conformity
from finops_policy.custodian.conformity import unknown_resource
from finops_policy.custodian.faults import Fault, Steps
from finops_policy.custodian.knowledge import Knowledge, ResourceType, knowledge
from finops_policy.custodian.library import load_types

CARRIED = "finops-policy"
"""Key of a compiled document's metadata: ``vars`` (name -> value), ``account`` (as c7n-org shows it to conditions) and
``actions`` (as written)."""

HINT = "Check it against `custodian schema`."
_NAME = re.compile(r"\{([A-Za-z_]\w*)\}")
_REFUSALS = (ValueError, TypeError, KeyError, AttributeError, AssertionError)
"""What c7n raises, beside its own error, on values that it did not expect."""


def load(document: Mapping[str, Any], config: Any, session_factory: Any) -> Any:
    """The document as a c7n policy, as ``custodian run`` and c7n-org make it: expanded, then validated."""
    policy = expand(document, config, session_factory)
    policy.validate()
    return policy


def expand(document: Mapping[str, Any], config: Any, session_factory: Any) -> Any:
    """The document as a c7n policy with its variables expanded by c7n, not yet validated."""
    from c7n.policy import Policy

    data = copy.deepcopy(dict(document))  # c7n writes into the document it is given
    carried = data.get("metadata", {}).pop(CARRIED, {})
    policy = Policy(data, config, session_factory=session_factory)
    if "account" in carried:
        policy.conditions.env_vars["account"] = carried["account"]
    if _has_braces(data):  # without any, expanding changes nothing and loads the policy twice
        policy.expand_variables(policy.get_variables(carried.get("vars", {})))
    return policy


def problems(documents: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """What c7n has against policies: (policy name, sentence), nothing when all fit."""
    return [(each["name"], fault.sentence) for each in distinct(documents) for fault in faults(each)]


def distinct(documents: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The documents without those that differ from another only in values, of equal types, of their variables.

    Thousands of accounts may have values of their own, and checking takes 10 ms. What this lets through, such as a word
    that c7n does not know, fails the cell when the policy is loaded for its target.
    """
    found: dict[str, Mapping[str, Any]] = {}
    for document in documents:
        carried = document.get("metadata", {}).get(CARRIED, {})
        types = {name: type(value).__name__ for name, value in carried.get("vars", {}).items()}
        rest = {key: value for key, value in document.items() if key != "metadata"}
        found.setdefault(json.dumps([rest, types], sort_keys=True), document)
    return list(found.values())


def faults(document: Mapping[str, Any]) -> list[Fault]:
    """All that c7n's schema has against a policy once its variables are expanded, else what its own validation has."""
    known = knowledge()
    type_ = known.type_of(document["resource"])
    return [unknown_resource(document["resource"], known)] if type_ is None else _faults(document, type_, known)


def _faults(document: Mapping[str, Any], type_: ResourceType, known: Knowledge) -> list[Fault]:
    """The schema is for the expanded policy: a number may be a variable, and has its type only then."""
    from c7n.config import Config
    from c7n.exceptions import PolicyValidationError

    load_types([document["resource"]])
    try:
        policy = expand(document, Config.empty(account_id="000000000000", region="us-east-1"), _no_session)
        found = list(_undefined(document, policy))
        expanded = json.loads(json.dumps(policy.data, default=str))
        places = {each.steps for each in found}
        found += [each for each in conformity.faults(expanded, type_, known) if each.steps not in places]
        if not found:
            policy.validate()
    except PermissionError:
        return []  # validated when it runs, where there is a session
    except (PolicyValidationError, *_REFUSALS) as error:
        sentence = " ".join(str(error).split())[:300]
        return conformity.faults(document, type_, known) or [Fault((), "c7n", sentence, HINT)]
    return found


def _undefined(document: Mapping[str, Any], policy: Any) -> Iterator[Fault]:
    """Names in braces that c7n left as text although they decide what is matched."""
    known = set(policy.get_variables({}))
    for section in ("filters", "conditions", "query"):
        for steps, text in _texts(document.get(section), (section,)):
            if _at(policy.data, steps) != text:
                continue
            for name in _NAME.findall(text):
                if name not in known:
                    hint = f"Set {name} under `vars` in the accounts file, or write {{{{{name}}}}} for the text itself."
                    yield Fault(steps, "unknown-variable", f"{{{name}}} is no variable, and would stay as it is", hint)


def _texts(value: Any, steps: Steps) -> Iterator[tuple[Steps, str]]:
    if isinstance(value, str):
        yield steps, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _texts(item, (*steps, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _texts(item, (*steps, index))


def _at(value: Any, steps: Steps) -> Any:
    for step in steps:
        value = value[step]
    return value


def _has_braces(value: Any) -> bool:
    return any("{" in text or "}" in text for _, text in _texts(value, ()))


def _no_session(*_args: Any, **_settings: Any) -> Any:
    raise PermissionError("validating a policy must not call AWS")
