"""What a schema has against a file: Cloud Custodian's for policies, ours for everything else."""

from __future__ import annotations

from finops_policy.lint.rule import Level, Rule

RULE = Rule(
    "schema",
    Level.ERROR,
    "A key or a value is not what its schema asks for.",
    "Cloud Custodian, or finops-policy, refuses the whole file.",
)
