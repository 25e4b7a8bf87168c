"""What c7n's execution modes of AWS do, as its ``policy`` and ``mu`` modules have it. A test holds this against c7n."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from finops_policy.lint.subject import LintedPolicy

POLLING: Final = frozenset({"pull", "periodic", "schedule", "config-poll-rule"})
"""Those that list all resources of the type. No event is there for filters and actions to look at."""
LAMBDA: Final = frozenset({"periodic", "schedule", "config-poll-rule", "config-rule", "cloudtrail", "guard-duty",
                           "ec2-instance-state", "asg-instance-state", "phd", "hub-finding", "hub-action"})  # fmt: skip
PREFIX: Final = "custodian-"
LONGEST: Final = 64
"""Characters that AWS allows in a Lambda function's name."""


def settings(policy: LintedPolicy) -> Mapping[str, Any]:
    """What ``mode`` says; empty where it is none of AWS that runs in Lambda."""
    mode = policy.document.get("mode")
    return mode if policy.type and isinstance(mode, Mapping) and policy.mode in LAMBDA else {}


def function(policy: LintedPolicy) -> str:
    """The name of the policy's Lambda function; empty where it has none."""
    mode, name = settings(policy), policy.document.get("name")
    prefix = mode.get("function-prefix", PREFIX)
    return f"{prefix}{name}" if mode and isinstance(prefix, str) and isinstance(name, str) else ""
