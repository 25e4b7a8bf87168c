"""docs/iam-remediation-policy.json allows what a plan of the built-in policies says that it needs."""

from __future__ import annotations

import json

from finops_policy import aws
from finops_policy.catalog import Catalog
from finops_policy.project import load
from finops_policy.remediation.planning import APPROVABLE, actionable, make_plan
from finops_policy.remediation.recipes import recipe_of
from finops_policy.remediation.visiting import Doors
from finops_policy.sandbox.process import Sandbox
from tests.cli.conftest import FullRun
from tests.cli.kit import ROOT


def test_the_policy_for_remediation_allows_what_plans_need(in_sandbox: Sandbox, full_run: FullRun) -> None:
    catalog = Catalog(ROOT)
    project = load(catalog, "acme", "hipaa")
    caller = aws.caller("us-east-1")
    plan = make_plan(
        project,
        full_run.bundle,
        Doors(project, catalog.prices(), caller),
        caller,
        policies=actionable(project, APPROVABLE),
        sandboxed=True,
        said=lambda _: None,
    )
    assert {step.name for item in plan.items for step in item.steps} > {"stop", "terminate", "backup-image", "release"}
    assert all(recipe_of(item.resource_type, step.name) for item in plan.items for step in item.steps)
    assert not [each.reason for each in plan.held if "nobody knows" in each.reason]
    document = json.loads((ROOT / "docs" / "iam-remediation-policy.json").read_text())
    allowed = {action for statement in document["Statement"] for action in statement["Action"]}
    needed = {
        action for item in plan.items for step in item.steps for action in (*step.permissions, *step.undo.permissions)
    }
    assert needed <= allowed, sorted(needed - allowed)
