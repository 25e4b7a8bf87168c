"""Writes the pages that follow from the code: docs/cli.md, docs/lint/README.md, docs/policies/, docs/iam-policy.json,
docs/iam-remediation-policy.json.

``python docs/generate.py`` writes them; with ``--check`` nothing is written, and the exit code is 1 when a page is not
what would be written. The same checkout gives the same bytes: help is laid out by click itself at a fixed width,
without the colours and boxes that depend on a terminal.
"""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from finops_policy.catalog import Catalog
from finops_policy.cli import cli
from finops_policy.custodian.library import is_global, load_types
from finops_policy.lint.rules import RULES
from finops_policy.marks import PLACEHOLDER
from finops_policy.model import CompiledPolicy, Framework, Pack, Parameter, Policy, Profile
from finops_policy.project import load
from finops_policy.remediation.items import steps_of
from finops_policy.remediation.marking import mark_action, remediation_of, unmark_action
from finops_policy.remediation.recipes import recipe_of

ROOT = Path(__file__).resolve().parent.parent
DOCS = Path("docs")
WIDTH = 96
UNDECLARED = {
    # Tags of classic load balancers are read through the tagging API.
    "aws.elb": {"tag:GetResources"},
    # Sharing of images; Auto Scaling groups that name a launch template.
    "aws.ami": {"ec2:DescribeImageAttribute", "ec2:DescribeLaunchTemplateVersions"},
    "aws.ebs-snapshot": {"ec2:DescribeLaunchTemplateVersions"},
}
"""Resource type -> actions that Cloud Custodian calls for it and does not declare."""
BESIDE_ACTING = (
    "application-autoscaling:DescribeScalableTargets", "application-autoscaling:DescribeScalingPolicies",
    "application-autoscaling:PutScalingPolicy", "application-autoscaling:RegisterScalableTarget",
    "autoscaling:DescribeAutoScalingGroups", "autoscaling:DescribeAutoScalingInstances", "dynamodb:BatchWriteItem",
    "dynamodb:DeleteItem", "dynamodb:DescribeContinuousBackups", "dynamodb:DescribeTimeToLive", "dynamodb:GetItem",
    "dynamodb:ListBackups", "dynamodb:PutItem", "dynamodb:Query", "dynamodb:RestoreTableFromBackup",
    "dynamodb:Scan", "dynamodb:TagResource", "dynamodb:UntagResource", "dynamodb:UpdateContinuousBackups",
    "dynamodb:UpdateItem", "dynamodb:UpdateTable", "dynamodb:UpdateTimeToLive", "ec2:AssociateAddress",
    "ec2:AttachVolume", "ec2:CreateNatGateway", "ec2:CreateTags", "ec2:CreateVolume", "ec2:DeleteTags",
    "ec2:DescribeInstanceAttribute", "ec2:DescribeInstanceCreditSpecifications", "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeRouteTables", "ec2:DescribeVolumesModifications", "ec2:ModifyInstanceAttribute",
    "ec2:ModifyVolume", "ec2:ReplaceRoute", "ec2:RunInstances", "ec2:StartInstances", "ec2:StopInstances",
    "elasticloadbalancing:DescribeListeners", "elasticloadbalancing:DescribeTargetGroups",
    "elasticloadbalancing:DescribeTargetHealth", "kms:CreateGrant", "kms:Decrypt", "kms:DescribeKey",
    "kms:GenerateDataKeyWithoutPlaintext", "lambda:DeleteFunctionConcurrency", "lambda:GetFunctionConcurrency",
    "lambda:GetFunctionUrlConfig", "lambda:GetPolicy", "lambda:ListEventSourceMappings", "lambda:ListTags",
    "lambda:PutFunctionConcurrency", "logs:DeleteRetentionPolicy", "logs:DescribeMetricFilters",
    "logs:DescribeSubscriptionFilters", "logs:PutRetentionPolicy", "rds:DescribeDBInstances",
    "rds:DescribeDBProxies", "rds:DescribeDBProxyTargets", "rds:DescribeDBSnapshots", "rds:ListTagsForResource",
    "rds:ModifyDBInstance", "rds:RestoreDBInstanceFromDBSnapshot", "rds:StartDBInstance",
    "route53:ListHostedZones", "route53:ListResourceRecordSets", "tag:GetResources", "tag:TagResources",
    "tag:UntagResources",
)  # fmt: skip
"""Actions that recipes call to see what was, who depends on it, what became of it, and to take it back."""


@dataclass(frozen=True, slots=True)
class Library:
    """Everything built in. ``compiled`` holds every policy by name; its parameters' values do not matter here."""

    packs: Mapping[str, Pack]
    compiled: Mapping[str, CompiledPolicy]
    profiles: tuple[Profile, ...]
    frameworks: tuple[Framework, ...]


def pages() -> dict[Path, str]:
    """Path relative to the project -> text of every generated page."""
    catalog = Catalog(ROOT / DOCS)  # a workspace without anything of its own: the built-in library alone
    library = Library(
        packs=catalog.all_packs(),
        compiled={
            policy.name: policy
            for profile in catalog.profiles()
            for policy in load(catalog, "acme", profile).compiled.policies()
        },
        profiles=tuple(catalog.profile(name) for name in catalog.profiles()),
        frameworks=tuple(catalog.framework(name) for name in catalog.frameworks()),
    )
    found = {
        DOCS / "cli.md": _cli_page(),
        DOCS / "lint" / "README.md": _rules_page(),
        DOCS / "policies" / "README.md": _index_page(library),
    }
    needed: set[str] = set()
    for pack in library.packs.values():
        for policy in pack.policies.values():
            actions = _actions(library.compiled[policy.name])
            needed |= actions
            found[DOCS / "policies" / f"{policy.name}.md"] = _policy_page(policy, pack, library, sorted(actions))
    found[DOCS / "iam-policy.json"] = _iam_policy(needed)
    found[DOCS / "iam-remediation-policy.json"] = _acting_policy(library.compiled.values(), needed)
    return found


def stale(wanted: Mapping[Path, str]) -> list[Path]:
    """Pages that are missing, differ, or describe a policy that is gone."""
    differing = [path for path, text in wanted.items() if not _is(ROOT / path, text)]
    there = {path.relative_to(ROOT) for path in (ROOT / DOCS / "policies").glob("*.md")}
    return sorted([*differing, *(there - wanted.keys())])


def _is(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text("utf-8") == text


# --- the command line -------------------------------------------------------------------------------------------------


def _cli_page() -> str:
    parts = [
        "# Command line\n",
        "Generated from `--help` by `docs/generate.py`; do not edit. Data goes to stdout, everything else to stderr.",
        "Exit codes are explained in [semantics](semantics.md#exit-codes).\n",
    ]
    for context in _contexts(cli, None, "finops-policy"):
        depth = "#" * (2 + context.command_path.count(" "))
        parts.append(f"{depth} {context.command_path}\n\n```text\n{_help(context).rstrip()}\n```\n")
    return "\n".join(parts)


def _contexts(command: click.Command, parent: click.Context | None, name: str) -> Iterator[click.Context]:
    context = click.Context(command, parent=parent, info_name=name, **command.context_settings)
    yield context
    if isinstance(command, click.Group):
        for each in command.list_commands(context):
            child = command.get_command(context, each)
            if child is None:
                raise LookupError(f"{context.command_path} lists {each}, and has no such command")
            yield from _contexts(child, context, each)


def _help(context: click.Context) -> str:
    """What ``--help`` says, laid out by click's own classes whatever the command's class does."""
    command, formatter = context.command, click.HelpFormatter(width=WIDTH)
    click.Command.format_usage(command, context, formatter)
    click.Command.format_help_text(command, context, formatter)
    click.Command.format_options(command, context, formatter)
    if isinstance(command, click.Group):
        click.Group.format_commands(command, context, formatter)
    click.Command.format_epilog(command, context, formatter)
    return formatter.getvalue()


# --- rules of the linter ----------------------------------------------------------------------------------------------


def _rules_page() -> str:
    lines = [
        "# Rules of the linter",
        "",
        "Generated from the rules by `docs/generate.py`; do not edit. [Lint](../lint.md) says what levels mean, how to",
        "change them, and how to keep a rule silent. `finops-policy lint --explain RULE` prints a rule's page.",
        "",
        "| Rule | Level | What it finds |",
        "|---|---|---|",
    ]
    rules = sorted(RULES.values(), key=lambda rule: rule.id)
    lines += [f"| [{each.id}]({each.id}.md) | {each.level} | {_code(each.summary)} |" for each in rules]
    return "\n".join(lines) + "\n"


# --- policies ---------------------------------------------------------------------------------------------------------


def _index_page(library: Library) -> str:
    lines = [
        "# Policies",
        "",
        "Generated from `policies/` by `docs/generate.py`; do not edit. Each page shows a policy's filters,",
        "parameters, controls and the IAM actions it needs; [iam-policy.json](../iam-policy.json) allows all of them.",
    ]
    for pack in library.packs.values():
        lines += ["", f"## {pack.name} {pack.version}", "", f"{pack.title}.", ""]
        lines += ["| Policy | Resource | Severity | What holds when a resource is compliant |", "|---|---|---|---|"]
        lines += [
            f"| [{each.name}]({each.name}.md) | `{each.resource}` | {each.severity} | {_cell(each.title)} |"
            for each in pack.policies.values()
        ]
    return "\n".join(lines) + "\n"


def _policy_page(policy: Policy, pack: Pack, library: Library, actions: list[str]) -> str:
    sections = _sections(pack.name, policy.name)
    where = "once per account, in its first region" if is_global(policy.resource) else "in every account and region"
    method = policy.savings_method
    money = f"[`{method}`](../semantics.md#savings-methods)" if method else "none: its findings carry no money"
    source = f"../../policies/packs/{pack.name}/{policy.name}.yaml"
    fixtures = f"../../tests/policies/{pack.name}/{policy.name}"
    lines = [
        f"# {policy.name}",
        "",
        f"**{policy.title}.** {policy.rationale.strip()}",
        "",
        "| | |",
        "|---|---|",
        f"| Pack | {pack.name} {pack.version} |",
        f"| Resource | `{policy.resource}`, judged {where} |",
        f"| Severity | {policy.severity} |",
        f"| Savings method | {money} |",
        f"| Source | [{policy.name}.yaml]({source}), [fixtures]({fixtures}) |",
        "",
        "## Scope: the population",
        "",
        *(_yaml(sections["scope"]) if policy.scope else ["Every resource of the type."]),
        "",
        "## Violation: its noncompliant members",
        "",
        *_yaml(sections["violation"]),
        "",
        "## Parameters",
        "",
        *_parameters(policy, pack, library.profiles),
        "",
        "## Controls",
        "",
        *_controls(f"{pack.name}/{policy.name}", library.frameworks),
        "",
        "## Remediation",
        "",
        *_remediation(sections),
        "",
        "## IAM actions",
        "",
        *(f"- `{action}`" for action in actions),
    ]
    return "\n".join(lines) + "\n"


def _sections(pack: str, policy: str) -> dict[str, list[str]]:
    """Top-level key -> its lines as written, with the comments inside it."""
    text = (ROOT / "policies" / "packs" / pack / f"{policy}.yaml").read_text("utf-8")
    sections: dict[str, list[str]] = {}
    current: list[str] = []
    for line in text.splitlines():
        if line.startswith("#"):
            current = []
        elif line and not line[0].isspace():
            current = sections[line.partition(":")[0]] = []
        current.append(line)
    return sections


def _yaml(lines: list[str]) -> list[str]:
    return ["```yaml", *lines, "```"]


def _remediation(sections: Mapping[str, list[str]]) -> list[str]:
    if "remediation" not in sections:
        return ["None is declared."]
    return [
        "What mends a finding. [Posture, caps and approvals](../remediation.md) decide whether it happens.",
        "",
        *_yaml(sections["remediation"]),
    ]


def _parameters(policy: Policy, pack: Pack, profiles: tuple[Profile, ...]) -> list[str]:
    used = [pack.parameters[name] for name in _placeholders([*policy.scope, *policy.violation, policy.remediation])]
    if not used:
        return ["None."]
    rows = [
        f"| `{each.name}` | {_shown(each.default)} | {_cell(_allowed(each))} | {_set_by(pack, each, profiles)} | "
        f"{_cell(each.description)} |"
        for each in used
    ]
    return ["| Name | Default | Allowed | Set by profiles | Meaning |", "|---|---|---|---|---|", *rows]


def _placeholders(value: Any) -> list[str]:
    """Names of the parameters in a value, in the order of their first use."""
    if isinstance(value, Mapping):
        found = [name for item in value.values() for name in _placeholders(item)]
    elif isinstance(value, list | tuple):
        found = [name for item in value for name in _placeholders(item)]
    else:
        match = PLACEHOLDER.fullmatch(value) if isinstance(value, str) else None
        found = [match[1]] if match else []
    return list(dict.fromkeys(found))


def _allowed(parameter: Parameter) -> str:
    schema = parameter.schema
    if "enum" in schema:
        return "one of " + ", ".join(map(str, schema["enum"]))
    low, high = schema.get("minimum"), schema.get("maximum")
    bounds = {(True, True): f"{low} to {high}", (True, False): f"from {low}", (False, True): f"to {high}"}
    kind = "list" if schema["type"] == "array" else str(schema["type"])
    return " ".join(filter(None, [kind, bounds.get((low is not None, high is not None), "")]))


def _set_by(pack: Pack, parameter: Parameter, profiles: tuple[Profile, ...]) -> str:
    told = []
    for profile in profiles:
        setting = profile.settings.get(pack.name, {}).get(parameter.name)
        if setting is not None:
            told.append(f"{profile.name} {_shown(setting.value)}{' (final)' if setting.final else ''}")
    return ", ".join(told) or "-"


def _shown(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return f"`{_code(text)}`"


def _controls(name: str, frameworks: tuple[Framework, ...]) -> list[str]:
    rows = [
        f"| {framework.name} | {control.id} | {mapping.strength} | {_cell(mapping.rationale)} |"
        for framework in frameworks
        for control in framework.controls
        for mapping in control.mappings
        if mapping.policy == name
    ]
    if not rows:
        return ["No framework maps it to a control."]
    return ["| Framework | Control | Strength | Why |", "|---|---|---|---|", *rows]


def _cell(text: str) -> str:
    return _code(text).replace("<", "&lt;")


def _code(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


# --- permissions ------------------------------------------------------------------------------------------------------


def _actions(policy: CompiledPolicy) -> set[str]:
    """The IAM actions that judging needs: what Cloud Custodian declares, and what it calls without declaring it."""
    from c7n.config import Config
    from c7n.policy import Policy as CustodianPolicy

    load_types([policy.resource])
    loaded = CustodianPolicy(copy.deepcopy(dict(policy.document)), Config.empty(account_id="000000000000"))
    loaded.validate()
    declared = set(loaded.get_permissions()) | UNDECLARED.get(policy.resource, set())
    if "cloudwatch:GetMetricStatistics" in declared:
        declared.add("cloudwatch:GetMetricData")  # how we read metrics in batches
    return declared


def _iam_policy(actions: set[str]) -> str:
    """What the policies need, and apart from it what ``regions: enabled`` needs."""
    statements = [
        {"Sid": sid, "Effect": "Allow", "Action": sorted(allowed), "Resource": "*"}
        for sid, allowed in (("FinopsPolicyReader", actions), ("FinopsPolicyRegions", {"ec2:DescribeRegions"}))
    ]
    return json.dumps({"Version": "2012-10-17", "Statement": statements}, indent=2) + "\n"


def _acting_policy(policies: Iterable[CompiledPolicy], reading: set[str]) -> str:
    """What remediation needs beside reading: to look at what it does, to mark, to act, and to take back."""
    acting: set[str] = set()
    for policy in policies:
        if not remediation_of(policy):
            continue
        for action in [*steps_of(policy), mark_action(policy), unmark_action(policy)]:
            own = getattr(recipe_of(policy.resource, action["type"]), "permissions", None)
            acting |= set(own if own is not None else _declared_by(policy, action))
    allowed = reading | acting | set(BESIDE_ACTING)
    # An instance made anew gets the profile it had.
    passing = {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}}
    statements = [
        {"Sid": "FinopsPolicyRemediator", "Effect": "Allow", "Action": sorted(allowed), "Resource": "*"},
        {
            "Sid": "FinopsPolicyProfiles",
            "Effect": "Allow",
            "Action": ["iam:PassRole"],
            "Resource": "*",
            "Condition": passing,
        },
    ]
    return json.dumps({"Version": "2012-10-17", "Statement": statements}, indent=2) + "\n"


def _declared_by(policy: CompiledPolicy, action: Mapping[str, Any]) -> set[str]:
    from c7n.config import Config
    from c7n.policy import Policy as CustodianPolicy

    load_types([policy.resource])
    document = {"name": policy.name, "resource": policy.resource, "actions": [dict(action)]}
    [loaded] = CustodianPolicy(document, Config.empty(account_id="000000000000")).resource_manager.actions
    return set(loaded.get_permissions())


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["--check"]):
        sys.stderr.write("Usage: python docs/generate.py [--check]\n")
        return 2
    wanted = pages()
    changed = stale(wanted)
    for path in changed:
        if arguments:
            sys.stderr.write(f"{path} is not up to date: run python docs/generate.py\n")
        elif path in wanted:
            (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
            (ROOT / path).write_text(wanted[path], "utf-8")
        else:
            (ROOT / path).unlink()
    return 1 if arguments and changed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
