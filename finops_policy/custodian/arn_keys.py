"""Where c7n's own filters find a resource's ARN: for waivers in compiled policies.

c7n makes an ARN in Python, of a type's metadata; a filter needs it as a key, which may be JMESPath. What is made here
gives the same ARN as ``account``, odd ones too: an id that begins with "arn" is taken for the whole ARN. The partition
is that of the region that c7n runs in, for buckets and global types as well, where c7n itself would write aws. A type
whose manager makes its ARNs in a way of its own has no key, unless it is written down here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from finops_policy.custodian.knowledge import knowledge
from finops_policy.waiver_filters import ArnKey

_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OWN: Final = {
    "Account.get_arns": ArnKey("join('', ['arn:{partition}:iam::', account_id, ':root'])"),
    "LogGroup.get_arns": ArnKey("arn", extra=2),  # followed by :*
    "S3.get_arns": ArnKey("join('', ['arn:{partition}:s3:::', Name])"),
}
"""Qualified name of a manager's method -> what it does."""
_STOCK: Final = ("QueryResourceManager.get_arns", "QueryResourceManager.generate_arn")


def arn_keys(resource_types: Iterable[str]) -> dict[str, ArnKey]:
    """Resource type, as policies write it -> key; without those that have none. c7n is not imported."""
    known = knowledge()
    types = {each: known.type_of(each) for each in set(resource_types)}
    return {name: type_.arn_key for name, type_ in types.items() if type_ is not None and type_.arn_key is not None}


def key_of(manager: Any) -> ArnKey | None:
    """The key of a type, of its c7n manager class; None where there is no ARN, or it cannot be put into a filter."""
    method = getattr(getattr(manager, "get_arns", None), "__qualname__", "")
    if method in _OWN:
        return _OWN[method]
    if not hasattr(manager, "has_arn") or not manager.has_arn():
        return None
    made = getattr(getattr(manager.generate_arn, "fget", manager.generate_arn), "__qualname__", "")
    model = manager.resource_type
    if method != _STOCK[0]:
        return None
    if model.arn:
        return ArnKey(str(model.arn))
    return None if made != _STOCK[1] else ArnKey(_generated(model))


def _generated(model: Any) -> str:
    """As c7n's ``generate_arn``, but for the partition of global types."""
    service = str(model.arn_service or model.service)
    region = "" if model.global_resource or service == "s3" else "{region}"
    head = f"arn:{{partition}}:{service}:{region}:{{account_id}}:"
    separator = str(model.arn_separator) if model.arn_type else ""
    named = f"{head}{model.arn_type or ''}"
    path = str(model.id)
    name = path if "." in path or _IDENTIFIER.fullmatch(path) else f'"{path}"'
    made = f"join('', ['{named}{separator}', {name}])"
    if service == "ec2":  # ids that AWS gives, such as i-0a1b2c3d
        return made
    if separator:
        made = f"starts_with({name}, '{separator}') && join('', ['{named}', {name}]) || {made}"
    return f"starts_with({name}, 'arn') && {name} || {made}"
