"""Every action that can be planned, proven and taken back, by resource type (``*``: any) and c7n action."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from finops_policy.remediation.recipes import (
    dynamodb,
    ebs,
    ec2,
    ec2_image,
    ec2_terminate,
    lambda_,
    logs,
    rds,
    rds_modify,
    s3,
)
from finops_policy.remediation.recipes.recipe import Recipe

RECIPES: Final[Mapping[tuple[str, str], Recipe]] = {
    ("aws.dynamodb-table", "backup"): dynamodb.Backup(),
    ("aws.dynamodb-table", "delete"): dynamodb.Delete(),
    ("aws.dynamodb-table", "update"): dynamodb.Update(),
    ("aws.ebs", "delete"): ebs.Delete(),
    ("aws.ebs", "modify"): ebs.Modify(),
    ("aws.ebs", "snapshot"): ebs.Snapshot(),
    ("aws.ec2", "backup-image"): ec2_image.BackupImage(),
    ("aws.ec2", "resize"): ec2.Resize(),
    ("aws.ec2", "snapshot"): ec2.Snapshot(),
    ("aws.ec2", "stop"): ec2.Stop(),
    ("aws.ec2", "terminate"): ec2_terminate.Terminate(),
    ("aws.lambda", "delete"): lambda_.Delete(),
    ("aws.lambda", "set-concurrency"): lambda_.SetConcurrency(),
    ("aws.log-group", "delete"): logs.Delete(),
    ("aws.log-group", "retention"): logs.Retention(),
    ("aws.rds", "delete"): rds.Delete(),
    ("aws.rds", "modify-db"): rds_modify.Modify(),
    ("aws.rds", "resize"): rds_modify.Resize(),
    ("aws.rds", "retention"): rds_modify.Retention(),
    ("aws.rds", "snapshot"): rds.Snapshot(),
    ("aws.rds", "stop"): rds.Stop(),
    ("aws.s3", "configure-lifecycle"): s3.ConfigureLifecycle(),
}
BACKUPS: Final[Mapping[str, str]] = {"image": "backup-image"}
"""``backup`` of a policy's remediation -> the step that makes the copy, which is ours and not c7n's."""

COPIES: Final[Mapping[tuple[str, str], str]] = {
    ("aws.dynamodb-table", "delete"): "backup",
    ("aws.ebs", "delete"): "snapshot",
    ("aws.ec2", "terminate"): "backup-image",
}
"""Actions that are taken back from a copy -> the step that makes it. Without that step before, they cannot be."""


def recipe_of(resource_type: str, action: str) -> Recipe | None:
    """None where nobody knows how to prove the action: it is not taken."""
    return RECIPES.get((resource_type, action)) or RECIPES.get(("*", action))
