"""What c7n's own code has against a policy that its schema has accepted, and which part of the policy it is about.

c7n's ``validate`` is asked as ``custodian validate`` asks it, but part by part, so that the one that refuses is known;
and where one key of that part makes all the difference, it is that key.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

from finops_policy.custodian.faults import Fault, Steps
from finops_policy.custodian.library import load_types, quiet, schema_errors

RULE: Final = "custodian-validation"
HINT: Final = "Cloud Custodian's own validation says so; `custodian schema` shows what the part may say."
_DUMP: Final = re.compile(r"(?: in)?:? ?\{'| Failed validating '")
"""Where c7n's words end and the policy as Python prints it begins."""
_OWNER: Final = re.compile(r"^policy: ?\S+ ", re.IGNORECASE)
_MOST: Final = 400
_SHORT: Final = 54
_BARE: Final = ("name", "resource")
_FEW: Final = 10
_MANY: Final = 30
_TIMES: Final = ("tz", "start", "end")

Refused = dict[Steps, str]
"""The way to a part -> c7n's words."""


def refusals(document: Mapping[str, Any]) -> list[Fault]:
    """All parts that c7n refuses; what it only says as a whole is said of the whole policy."""
    quiet()
    load_types([_full(str(document["resource"]))])
    refused = _refused(document)
    narrow = _narrowed if len(refused) <= _FEW else lambda _, steps, __: steps
    return [Fault(narrow(document, steps, refused), RULE, said, HINT) for steps, said in refused.items()]


def _refused(document: Mapping[str, Any]) -> Refused:
    made: list[Any] = []
    if said := _said(lambda: made.append(_policy(document))):
        return _unmade(document) or {(): said}
    found: Refused = {}
    for steps, check in _parts(made[0]):
        if said := _said(check):
            found.setdefault(steps if steps and steps[0] in document else (), said)
    return found


def _policy(document: Mapping[str, Any]) -> Any:
    from c7n.config import Config
    from c7n.policy import Policy

    config = Config.empty(dryrun=True, account_id="na", region="na")
    return Policy(_with_short_name(copy.deepcopy(dict(document))), config, _no_session)


def _with_short_name(data: dict[str, Any]) -> dict[str, Any]:
    """The rule ``policy-name-length`` tells of a name that is too long for a Lambda function: c7n would say no more."""
    mode, name = data.get("mode"), data.get("name")
    if isinstance(mode, dict) and isinstance(name, str):
        mode.pop("function-prefix", None)
        data["name"] = name[:_SHORT].rstrip("-")
    return data


def _unmade(document: Mapping[str, Any]) -> Refused:
    """The parts that c7n cannot even make, each tried alone."""
    bare = {key: document[key] for key in _BARE}
    tried = {steps: _said(partial(_policy, {**bare, **part})) for steps, part in _pieces(document)}
    return {steps: said for steps, said in tried.items() if said}


def _pieces(document: Mapping[str, Any]) -> Iterator[tuple[Steps, Mapping[str, Any]]]:
    for key, value in document.items():
        if key in ("filters", "actions") and isinstance(value, list):
            yield from _items(value, (key,))
        elif key not in _BARE:
            yield (key,), {key: value}


def _items(items: Sequence[Any], steps: Steps) -> Iterator[tuple[Steps, Mapping[str, Any]]]:
    for index, item in enumerate(items):
        groups = item.items() if isinstance(item, Mapping) and steps[0] == "filters" else ()
        inner = [(key, each) for key, each in groups if key in ("and", "or", "not") and isinstance(each, list)]
        for key, each in inner:
            yield from _items(each, (*steps, index, key))
        if not inner:
            yield (*steps, index), {str(steps[0]): [item]}


def _parts(policy: Any) -> Iterator[tuple[Steps, Callable[[], object]]]:
    manager, conditions = policy.resource_manager, policy.conditions
    if isinstance(conditions.filters, list):
        for index, item in enumerate(conditions.filters):
            yield ("conditions", index), partial(conditions.filter_registry.factory, item, conditions)
    else:
        yield ("conditions",), conditions.validate
    yield ("mode",), lambda: policy.get_execution_mode().validate()
    for key in _TIMES:
        yield (key,), partial(_check_time, policy, key)
    yield (), manager.validate
    yield from _filters(manager.filters, ("filters",))
    for index, action in enumerate(manager.actions):
        if not _lacks_op(action):
            yield ("actions", index), partial(_check, action)


def _check(element: Any) -> None:
    """`custodian validate` goes on to list what is deprecated, and an element may fail at that."""
    element.validate()
    element.get_deprecations()


def _check_time(policy: Any, key: str) -> None:
    probe = copy.copy(policy)
    probe.data = {name: policy.data.get(name) for name in ("name", key)}
    probe.validate_policy_start_stop()


def _filters(filters: Any, steps: Steps) -> Iterator[tuple[Steps, Callable[[], object]]]:
    from c7n.filters.core import BooleanGroupFilter

    for index, each in enumerate(filters):
        if isinstance(each, BooleanGroupFilter):
            yield from _filters(each.filters, (*steps, index, each.type))
        elif not _lacks_op(each):
            yield (*steps, index), partial(_check, each)


def _lacks_op(element: Any) -> bool:
    """Whether the rule ``mark-unknown-op`` tells what c7n has against a mark."""
    from c7n.tags import TagActionFilter, TagDelayedAction

    marks = isinstance(element, TagActionFilter | TagDelayedAction)
    return marks and element.data.get("op") not in element.manager.action_registry.keys()  # noqa: SIM118 - no mapping


def _narrowed(document: Mapping[str, Any], steps: Steps, refused: Refused) -> Steps:
    """The innermost part of a refused one without which, and only without which, c7n would accept it."""
    if refused[steps].startswith("Missing "):  # which no key that is there is to blame for
        return steps
    others = refused.keys() - {steps}
    while True:
        guilty = [
            key
            for key in _keys(_at(document, steps))
            if key not in (("type",) if steps else _BARE) and _refused(_without(document, steps, key)).keys() <= others
        ]
        if len(guilty) != 1:
            return steps
        steps = (*steps, guilty[0])


def _keys(part: Any) -> Sequence[Any]:
    """What can be taken out of a part; of many nothing is, for c7n would have to be asked as often."""
    found = list(part) if isinstance(part, Mapping) else range(len(part)) if isinstance(part, list) else ()
    return found if len(found) <= _MANY else ()


def _without(document: Mapping[str, Any], steps: Steps, key: Any) -> Mapping[str, Any]:
    made = copy.deepcopy(dict(document))
    del _at(made, steps)[key]
    return made


def _at(part: Any, steps: Steps) -> Any:
    for step in steps:
        part = part[step]
    return part


def _said(check: Callable[[], object]) -> str:
    """c7n's words; empty when it accepts, or would have to ask AWS."""
    try:
        check()
    except PermissionError:
        return ""
    except Exception as error:  # noqa: BLE001 - like `custodian validate`: whatever a part raises is its refusal
        return _words(error)
    return ""


def _words(error: Exception) -> str:
    form, *values = error.args or ("",)
    said = form % tuple(values) if values and isinstance(form, str) and form.count("%s") == len(values) else str(error)
    words = _DUMP.split(" ".join(said.split()), maxsplit=1)[0]
    if isinstance(error, KeyError | AttributeError | TypeError):
        return f"Cloud Custodian fails on it: {type(error).__name__} {words}"[:_MOST].rstrip()
    return _OWNER.sub("", words)[:_MOST] or type(error).__name__


def _full(resource: str) -> str:
    return resource if "." in resource else f"aws.{resource}"


def _no_session(*_args: Any, **_settings: Any) -> Any:
    raise PermissionError("validating a policy must not call AWS")


def stock_policies(text: str) -> list[Any]:
    """The policies of a file with the values that c7n gets; empty where it holds no list of them.

    Raises :class:`yaml.YAMLError`, or what else PyYAML raises, where c7n cannot read the file.
    """
    import yaml

    data = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - a safe loader
    items = data.get("policies") if isinstance(data, dict) else None
    return items if isinstance(items, list) else []


def stock_faults(item: Any) -> list[Fault]:
    """What c7n has against a policy of such values; nothing where its type is not known."""
    resource = item.get("resource") if isinstance(item, dict) else None
    name = _full(resource) if isinstance(resource, str) else ""
    if not name.startswith("aws.") or load_types([name]):
        return []
    document = {**item, "resource": name}
    errors: list[Fault] = []
    if said := _said(lambda: errors.extend(map(_of_schema, schema_errors(document) if unfit(document) else ()))):
        return [Fault((), RULE, said, HINT)]
    return errors or refusals(item)


def _of_schema(error: Any) -> Fault:
    """In jsonschema's words: values that JSON does not have are rare, and mostly dates, which are told otherwise."""
    from c7n.schema import specific_error
    from jsonschema.exceptions import best_match

    deepest = specific_error(error)
    if deepest is error:
        deepest = best_match([error]) or error
    return Fault(tuple(deepest.absolute_path), "schema", deepest.message[:300], HINT)


def unfit(document: Mapping[str, Any]) -> bool:
    """Whether c7n's schema refuses a policy of a known type: by its first error, which text in braces may excuse."""
    from c7n.schema import is_c7n_placeholder, specific_error

    errors = schema_errors({**document, "resource": _full(document["resource"])})
    for error in map(specific_error, errors[:1]):
        return not (error.validator == "type" and is_c7n_placeholder(error.instance))
    return False
