"""What Cloud Custodian's own code refuses although its schema accepts it."""

from __future__ import annotations

from finops_policy.lint.rule import Level, Rule

RULE = Rule(
    "custodian-validation",
    Level.ERROR,
    "Cloud Custodian refuses the policy once it looks closer than its schema.",
    "`custodian run` ends before the first resource is looked at.",
)
