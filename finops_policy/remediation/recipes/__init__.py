"""Every action that can be planned, proven and taken back, by resource type (``*``: any) and c7n action."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from finops_policy.remediation.recipes import (
    addresses,
    asg,
    balancers,
    dynamodb,
    ebs,
    ec2,
    ec2_image,
    ec2_terminate,
    gateways,
    lambda_,
    logs,
    rds,
    s3,
    tags,
)
from finops_policy.remediation.recipes.recipe import Recipe

RECIPES: Final[Mapping[tuple[str, str], Recipe]] = {
    **addresses.RECIPES,
    **asg.RECIPES,
    **balancers.RECIPES,
    **dynamodb.RECIPES,
    **ebs.RECIPES,
    **ec2.RECIPES,
    **ec2_image.RECIPES,
    **ec2_terminate.RECIPES,
    **gateways.RECIPES,
    **lambda_.RECIPES,
    **logs.RECIPES,
    **rds.RECIPES,
    **s3.RECIPES,
    **tags.RECIPES,
}
BACKUPS: Final[Mapping[str, str]] = {"image": "backup-image"}
"""``backup`` of a policy's remediation -> the step that makes the copy, which is ours and not c7n's."""
COPYING: Final = frozenset({"backup", "backup-image", "snapshot"})
"""Steps that keep a copy, and leave the resource as it is."""
_COPIES: Final[Mapping[tuple[str, str], str]] = {
    ("aws.dynamodb-table", "delete"): "backup",
    ("aws.ebs", "delete"): "snapshot",
    ("aws.ec2", "terminate"): "backup-image",
    ("aws.rds", "delete"): "snapshot",
}


def recipe_of(resource_type: str, action: str) -> Recipe | None:
    """None where nobody knows how to prove the action: it is not taken."""
    return RECIPES.get((resource_type, action)) or RECIPES.get(("*", action))


def copy_before(resource_type: str, action: Mapping[str, Any]) -> str:
    """The step that must come before an action so that it can be taken back; empty where none must: a database makes
    its own last snapshot, unless it is told to skip that."""
    copy = _COPIES.get((resource_type, action["type"]), "")
    return "" if resource_type == "aws.rds" and not action.get("skip-snapshot") else copy
