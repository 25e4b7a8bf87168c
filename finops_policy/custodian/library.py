"""c7n's own knowledge: which resource types exist, which are global, whether a policy fits their schema.

Importing c7n costs 0.4 to 0.9 s, so every import of it is inside a function.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

GLOBAL_TYPES = frozenset({"aws.s3"})
"""Types that every region lists whole, although c7n does not call them global."""


def version() -> str:
    from c7n.version import version as c7n_version

    return str(c7n_version)


def quiet() -> None:
    """c7n logs what we report ourselves, and worse: its loggers are shared between policies."""
    for name in ("custodian", "c7n"):
        logger = logging.getLogger(name)
        logger.addHandler(logging.NullHandler())
        logger.propagate = False


def load_types(resource_types: Iterable[str]) -> tuple[str, ...]:
    """Loads resource types into this process; answers the ones that c7n does not have."""
    from c7n.resources import load_resources

    return tuple(load_resources(tuple(sorted(set(resource_types)))) or ())


@cache
def is_global(resource_type: str) -> bool:
    """Whether a type is judged once per account rather than once per region."""
    return resource_type in GLOBAL_TYPES or bool(
        getattr(manager_class(resource_type).resource_type, "global_resource", False)
    )


def manager_class(resource_type: str) -> Any:
    from c7n.provider import clouds

    load_types([resource_type])
    cloud, _, name = resource_type.partition(".")
    return clouds[cloud].resources.get(name)


def schema_errors(document: Mapping[str, Any]) -> list[Any]:
    """What c7n's schema has against a policy, as jsonschema's errors. Its type must exist."""
    return list(_validator(document["resource"]).iter_errors(dict(document)))


@cache
def _validator(resource_type: str) -> Any:
    """One validator per resource type: c7n's whole schema tries every type against every policy, and is slow."""
    from c7n import schema
    from jsonschema import Draft7Validator

    load_types([resource_type])
    generated = schema.generate((resource_type,))
    # c7n files aliases under the type's own name: network-addr is elastic-ip.
    cloud, _, _ = resource_type.partition(".")
    reference = f"#/definitions/resources/{cloud}.{manager_class(resource_type).type}/policy"
    return Draft7Validator({"$ref": reference, "definitions": generated["definitions"]})
