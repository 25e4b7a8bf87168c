"""Names that Cloud Custodian does not have."""

from __future__ import annotations

from finops_policy.lint.rule import Level, Rule

_WHY = "Cloud Custodian refuses the policy, and with it every other one of the file."

RULES = (
    Rule("unknown-resource", Level.ERROR, "Cloud Custodian has no such resource type.", _WHY),
    Rule("unknown-filter", Level.ERROR, "The resource type has no such filter.", _WHY),
    Rule("unknown-action", Level.ERROR, "The resource type has no such action.", _WHY),
    Rule("unknown-condition", Level.ERROR, "There is no such condition.", _WHY),
    Rule("unknown-mode", Level.ERROR, "There is no such execution mode.", _WHY),
)
