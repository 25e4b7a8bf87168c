"""Which actions of Cloud Custodian destroy data or capacity for good, and which keep a copy of it.

By what the actions do, in c7n's own source. Left out are those that only take something away by and by (a shorter
retention, a lifecycle rule), stop it, or change its configuration.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from finops_policy.marks import PLACEHOLDER

if TYPE_CHECKING:
    from finops_policy.lint.subject import LintedPolicy, Use

DEFAULT_TAG: Final = "maid_status"
"""Of marks; a test holds it against c7n."""
DESTRUCTIVE: Final = frozenset({
    "cancel", "delete", "delete-environment", "delete-inline-policies", "delete-integration", "delete-listener",
    "delete-ssh-keys", "deregister", "release", "remove-keys", "schedule-deletion", "terminate", "trim-versions",
})  # fmt: skip
"""Whatever the resource type."""
HARMLESS: Final = frozenset({
    ("aws.batch-definition", "deregister"),
    ("aws.datalake-location", "deregister"),
    ("aws.ssm-session-manager", "terminate"),
})  # fmt: skip
"""What these take away can be made again, or was for a moment only."""
SCHEDULED: Final = frozenset({
    ("aws.kms-key", "schedule-deletion"),
    ("aws.secrets-manager", "delete"),
})  # fmt: skip
"""AWS waits for days with these, and can be asked to stop."""
_SETTINGS: Final[Mapping[tuple[str, str], tuple[str, bool, bool]]] = {
    ("aws.iam-user", "delete-ssh-keys"): ("disable", False, False),
    ("aws.iam-user", "remove-keys"): ("disable", False, False),
    ("aws.s3", "delete"): ("remove-contents", True, True),
    ("aws.ecs-task-definition", "delete"): ("force", False, True),
}
"""Actions that destroy with one setting only: its name, its default, and the value that destroys."""


@dataclass(frozen=True, slots=True)
class Backup:
    """How a copy is kept: by ``actions`` that come before, or by the destructive action itself, where its ``setting``
    is ``kept``. Texts count as true."""

    actions: tuple[str, ...] = ()
    setting: str = ""
    kept: bool = False

    def made_by(self, use: Use) -> bool:
        return self.setting != "" and bool(use.data.get(self.setting)) is self.kept


_FINAL: Final = "skip-snapshot"
BACKUPS: Final[Mapping[tuple[str, str], Backup]] = {
    ("aws.cache-cluster", "delete"): Backup(("snapshot",), _FINAL),
    ("aws.dynamodb-table", "delete"): Backup(("backup",)),
    ("aws.ebs", "delete"): Backup(("snapshot",)),
    ("aws.ec2", "terminate"): Backup(("snapshot",)),
    ("aws.elasticache-group", "delete"): Backup((), "snapshot", kept=True),
    ("aws.fsx", "delete"): Backup(("backup",), _FINAL),
    ("aws.memorydb", "delete"): Backup((), "FinalSnapshotName", kept=True),
    ("aws.rds", "delete"): Backup(("snapshot",), _FINAL),
    ("aws.rds-cluster", "delete"): Backup(("snapshot",), _FINAL),
    ("aws.redshift", "delete"): Backup(("snapshot",), _FINAL),
}
"""Of types that are not here, no action keeps a copy."""
BACKED_UP: Final = frozenset({"consecutive-aws-backups", "consecutive-backups", "consecutive-snapshots", "snapshots"})
"""Filters that ask for copies that are there already."""


def destructive(policy: LintedPolicy) -> Iterator[Use]:
    """The actions that destroy, in the order written."""
    for use in policy.actions:
        if policy.type and use.element and use.type in DESTRUCTIVE and (policy.type.name, use.type) not in HARMLESS:
            name, default, destroys = _SETTINGS.get((policy.type.name, use.type), ("", False, False))
            if not name or bool(use.data.get(name, default)) is destroys:
                yield use


def declared(policy: LintedPolicy) -> bool:
    """Whether a policy of a pack says that its remediation is destructive."""
    return policy.written is not None and policy.written.remediation.get("destructive") is True


def risky(policy: LintedPolicy) -> Use | None:
    """The first action that destroys; of a remediation that says it is destructive, the first of all."""
    return next(destructive(policy), None) or next(iter(policy.actions if declared(policy) else ()), None)


def marked(use: Use) -> tuple[str, str]:
    """The tag and the action of a mark, as it is set or asked for."""
    return str(use.data.get("tag", DEFAULT_TAG)), str(use.data.get("op", ""))


def grace_days(policy: LintedPolicy) -> Any:
    """Of a policy of a pack; a parameter stands for its default, and as it is written where nobody knows that."""
    value = policy.written.remediation.get("grace_days", 0) if policy.written else 0
    match = PLACEHOLDER.fullmatch(value) if isinstance(value, str) else None
    known = policy.pack.parameters if policy.pack else {}
    return known[match[1]].default if match and match[1] in known else value
