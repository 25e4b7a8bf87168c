"""Controls that plain policies name and their framework does not have.

``metadata: {controls: [sox-itgc/OP-02]}`` names a control by its framework and its id there. A first part that is no
framework of the workspace, nor nearly one, belongs to somebody else's scheme.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches

from finops_policy.errors import did_you_mean
from finops_policy.lint.rule import Level, Rule
from finops_policy.lint.subject import LintedPolicy, Subject
from finops_policy.marks import Diagnostic
from finops_policy.sources import Steps, shown


def _check(subject: Subject) -> Iterator[Diagnostic]:
    named = [(policy, *each) for policy in subject.policies for each in _named(policy)]
    if not named:
        return
    frameworks = subject.catalog.frameworks()
    controls: dict[str, Collection[str]] = {}
    for policy, steps, name in named:
        framework, _, control = name.partition("/")
        if framework not in frameworks:
            if get_close_matches(framework, frameworks, cutoff=0.8):
                message = f"there is no framework {shown(framework)}"
                yield Diagnostic(RULE.id, message, policy.mark(*steps), did_you_mean(framework, frameworks))
        elif framework in subject.frameworks:
            if framework not in controls:
                controls[framework] = {each.id for each in subject.frameworks[framework].controls}
            if control not in controls[framework]:
                message = f"{framework} has no control {shown(control)}"
                yield Diagnostic(RULE.id, message, policy.mark(*steps), did_you_mean(control, controls[framework]))


def _named(policy: LintedPolicy) -> Iterator[tuple[Steps, str]]:
    metadata = policy.document.get("metadata")
    written = metadata.get("controls") if isinstance(metadata, Mapping) else None
    several = isinstance(written, list)
    for index, name in enumerate(written if isinstance(written, list) else [written]):
        if isinstance(name, str) and "/" in name:
            yield ("metadata", "controls", *((index,) if several else ())), name


RULE = Rule(
    "unknown-control",
    Level.WARNING,
    "A policy names a control that its framework does not have.",
    "Whoever reads the policy believes that it covers a requirement, and nothing leads from the requirement to it.",
    _check,
)
