"""c7n's registries and schemas as plain data, for ``knowledge`` to keep. Loads c7n with every type of AWS."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from finops_policy.custodian.arn_keys import key_of
from finops_policy.custodian.library import load_types


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """``names``: what a policy's ``resource`` may say -> type; ``common``: definitions that all types share."""

    names: Mapping[str, str]
    common: Mapping[str, Any]
    types: Mapping[str, Mapping[str, Any]]


def vocabulary() -> Vocabulary:
    from c7n import schema
    from c7n.provider import clouds
    from c7n.resources.resource_map import ResourceMap

    load_types(name for name in ResourceMap if name.startswith("aws."))
    definitions = json.loads(json.dumps(schema.generate()["definitions"]))
    own = {name: _mended_groups(raw) for name, raw in definitions.pop("resources").items()}
    common = _mended_groups(definitions)
    names: dict[str, str] = {}
    types = {}
    for short, manager in sorted(clouds["aws"].resources.items()):
        name = f"aws.{short}"
        mine = own[name]["policy"]["allOf"][1]["properties"]["resource"]["enum"]
        names |= dict.fromkeys(mine, name)
        types[name] = {
            "names": mine,
            "filters": _elements(manager.filter_registry, name, "filters", common, own),
            "actions": _elements(manager.action_registry, name, "actions", common, own),
            "validate": _method(manager.validate),
            "definitions": own[name],
            "metrics_namespace": _namespace(manager),
            "arn_key": asdict(key) if (key := key_of(manager)) else None,
        }
    for known in ResourceMap:  # names that lead to a type of another name
        cloud, _, short = known.partition(".")
        if cloud == "aws" and known not in names and (manager := clouds["aws"].resources.get(short)):
            names[known] = f"aws.{manager.type}"
    return Vocabulary(names, common, types)


def _elements(
    registry: Any, type_name: str, section: str, common: Mapping[str, Any], own: Mapping[str, Any]
) -> dict[str, Any]:
    """Name -> the fields of an ``Element`` that are not as usual."""
    words = registry.keys()
    return {
        name: {
            field: value
            for field, value in {
                "reference": _reference(element, type_name, section, common, own),
                "kind": _kind(element),
                "validate": _validation(element),
                "init": _method(element.__init__),
                "alias": name not in words,
                "deprecations": [_deprecation(each) for each in getattr(element, "deprecations", ())],
            }.items()
            if value
        }
        for key, element in registry.items()
        for name in dict.fromkeys([key, *(element.type_aliases or ())])
    }


def _validation(element: Any) -> str:
    """The name of its validation. What c7n checks of the class itself is known once and for all."""
    from c7n.filters.core import AgeFilter
    from c7n.filters.related import RelatedResourceFilter

    if element.validate is AgeFilter.validate and element.date_attribute:
        return ""
    if issubclass(element, RelatedResourceFilter) and None in (element.RelatedIdsExpression, element.RelatedResource):
        return f"{element.__qualname__}, incomplete"
    return _method(element.validate)


def _method(method: Any) -> str:
    name = str(method.__qualname__)
    return "" if name in _USUAL else name


def _reference(element: Any, type_name: str, section: str, common: Mapping[str, Any], own: Mapping[str, Any]) -> str:
    """Where c7n's schema has the element; empty for groups, which have none of their own."""
    places = (
        (own[type_name][section], element.type, f"resources/{type_name}/{section}"),
        (common[section], f"aws.{element.type}", section),
        (common[section], element.type, section),
    )
    for known, name, path in places:
        if name in known:
            return f"#/definitions/{path}/{name}"
    return ""


def _kind(element: Any) -> str:
    from c7n.filters.core import AgeFilter, BooleanGroupFilter, ValueFilter
    from c7n.filters.metrics import MetricsFilter
    from c7n.tags import Tag, TagActionFilter, TagDelayedAction

    kinds = {
        BooleanGroupFilter: "group",
        MetricsFilter: "metrics",
        AgeFilter: "age",
        TagActionFilter: "marked-for-op",
        TagDelayedAction: "mark-for-op",
        Tag: "tag",
        ValueFilter: "value",
    }
    return next((kind for base, kind in kinds.items() if issubclass(element, base)), "")


def _deprecation(each: Any) -> dict[str, Any]:
    """``when`` says in which case it applies: the element is called by an alias, has a field, lacks all of some fields,
    or always."""
    from c7n import deprecated

    match each:
        case deprecated.DeprecatedAlias():
            when, names = "alias", [each.name]
        case deprecated.DeprecatedField():
            when, names = "field", [each.name]
        case deprecated.DeprecatedOptionality():
            when, names = "missing", list(each.fields)
        case _:
            when, names = "always", []
    return {"when": when, "names": names, "text": str(each), "removal": each.remove_text}


def _namespace(manager: Any) -> str:
    """The CloudWatch namespace that c7n's metrics filter takes by default."""
    from c7n.filters.metrics import MetricsFilter

    element = manager.filter_registry.get("metrics")
    if element is None or not issubclass(element, MetricsFilter):
        return ""
    model = manager.resource_type
    own = getattr(model, "metrics_namespace", None)
    return str(own or element.DEFAULT_NAMESPACE.get(getattr(model, "service", ""), ""))


_GROUPS: Final = ("actions", "filters", "filters_common")
_USUAL: Final = ("Element.validate", "ResourceManager.validate", "Filter.__init__", "Action.__init__")
_NAMED: Final = ("properties", "patternProperties", "definitions", "dependencies")
_LISTED: Final = ("allOf", "anyOf", "oneOf")
_SINGLE: Final = ("additionalProperties", "additionalItems", "contains", "not", "propertyNames", "items")


def mended(schema: Any) -> Any:
    """A schema of c7n's as jsonschema in Python takes it, without what other validators refuse.

    ``additionalProperties: "False"`` is text, and so true; what is no schema among ``properties`` never applies.
    """
    if isinstance(schema, str):
        return bool(schema)
    if not isinstance(schema, dict):
        return schema
    made = dict(schema)
    for keyword in _NAMED:
        if isinstance(made.get(keyword), dict):
            known = ((key, mended(each)) for key, each in made[keyword].items())
            made[keyword] = {key: each for key, each in known if isinstance(each, dict | bool)}
    for keyword in _LISTED:
        if isinstance(made.get(keyword), list):
            made[keyword] = [mended(each) for each in made[keyword]]
    for keyword in _SINGLE:
        if keyword in made:
            each = made[keyword]
            made[keyword] = [mended(item) for item in each] if isinstance(each, list) else mended(each)
    return made


def _mended_groups(definitions: Mapping[str, Any]) -> dict[str, Any]:
    """Definitions, some of which are groups of definitions."""
    return {
        name: {key: mended(each) for key, each in raw.items()} if name in _GROUPS else mended(raw)
        for name, raw in definitions.items()
    }
