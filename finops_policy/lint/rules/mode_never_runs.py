"""Lambda functions that nothing starts, or that are started for resources of another type.

From c7n's ``mu``, which makes the rules and schedules, and its ``cwe``, which reads resources' ids from events.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from finops_policy.lint import modes
from finops_policy.lint.rule import Level, Rule
from finops_policy.lint.subject import LintedPolicy, Subject
from finops_policy.marks import Diagnostic

_STATES: Final = {
    "ec2-instance-state": ("instances", ("aws.ec2", "aws.ec2-instance-ami", "aws.ssm-managed-instance")),
    "asg-instance-state": ("Auto Scaling groups", ("aws.asg",)),
}
"""Mode -> whose ids its events carry, and the types that have those ids."""


def _check(subject: Subject) -> Iterator[Diagnostic]:
    for policy in subject.policies:
        if modes.settings(policy):
            yield from _of(policy)


def _of(policy: LintedPolicy) -> Iterator[Diagnostic]:
    mode, kind = modes.settings(policy), policy.mode
    place = policy.mark("mode", "type")
    if kind == "periodic" and not mode.get("schedule") and not mode.get("pattern"):
        message = "mode periodic has no `schedule`: nothing starts the function"
        yield Diagnostic(RULE.id, message, place, 'Add a schedule, such as `schedule: "rate(1 day)"`.')
    if kind == "schedule" and not mode.get("scheduler-role"):
        message = "mode schedule has no `scheduler-role`: the schedule cannot be made"
        yield Diagnostic(RULE.id, message, place, "Add the ARN of a role that EventBridge Scheduler may assume.")
    if kind in _STATES:
        whose, types = _STATES[kind]
        if not mode.get("events") and not mode.get("pattern"):
            message = f"mode {kind} lists no `events`: nothing starts the function"
            yield Diagnostic(RULE.id, message, place, "Add the events that it is for.")
        if policy.type and policy.type.name not in types:
            message = f"the events of mode {kind} are about {whose}: no resource of {policy.type.name} is found"
            yield Diagnostic(RULE.id, message, place, f"Use `resource: {types[0]}`, or another mode.")


RULE = Rule(
    "mode-never-runs",
    Level.WARNING,
    "A policy's Lambda function is never started, or for resources of another type.",
    "Deployment fails, or the function is there and does nothing: nobody notices what it should have found.",
    _check,
)
