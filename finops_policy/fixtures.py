"""Policy fixtures: resources in a file, and what the policy must say of each.

A fixture is YAML with ``policy`` (pack/name), optional ``parameters`` and ``responses`` (``service:Operation`` ->
answer), ``resources`` and ``expect`` (resource id -> compliant, noncompliant, unknown or out-of-scope). A value
``now-30d`` or ``now-6h`` stands for that moment before now; with ``:date`` behind it for its ISO text.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finops_policy.catalog import Catalog
from finops_policy.compiler import compile_set
from finops_policy.custodian.offline import judge_offline
from finops_policy.customer import Account, Customer
from finops_policy.errors import InvalidFilesError, UsageError
from finops_policy.marks import Diagnostic, Mark
from finops_policy.model import CompiledPolicy, Pack, PackChoice, ParameterValue, Posture, Profile, Setting
from finops_policy.sources import Document, read

MOMENT = re.compile(r"now-(\d+)([dhm])(:date)?")
UNITS = {"d": "days", "h": "hours", "m": "minutes"}
OUT_OF_SCOPE = "out-of-scope"
ANSWERS = ("compliant", "noncompliant", "unknown", OUT_OF_SCOPE)
FORMS = {"policy": str, "resources": list, "expect": dict, "parameters": dict, "responses": dict, "description": str}


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A resource that the policy judged otherwise than expected."""

    resource_id: str
    expected: str
    got: str
    reason: str
    mark: Mark


def find(paths: list[Path]) -> list[Path]:
    """The fixture files at or below ``paths``, sorted; raises :class:`UsageError` when there are none."""
    found = sorted({file for path in paths for file in ([path] if path.is_file() else path.rglob("*.yaml"))})
    if not found:
        raise UsageError(
            f"There is no fixture in {', '.join(map(str, paths))}.", hint="Give a folder of YAML fixtures."
        )
    return found


def check(path: Path, catalog: Catalog) -> list[Mismatch]:
    """Runs one fixture; empty when every resource was judged as expected, and none is missing.

    Raises ``InvalidFilesError`` for a file that is no fixture, and what c7n raises for a filter that breaks.
    """
    document = read(path, str(path))
    _validate(document)
    data = document.data
    pack_name, _, policy_name = data["policy"].partition("/")
    policy = _compile(catalog.pack(pack_name), policy_name, data.get("parameters", {}), document)
    now = dt.datetime.now(dt.UTC)
    judged = judge_offline(policy, _dated(data["resources"], now), _dated(data.get("responses", {}), now))
    got = {each.resource_id: (each.verdict.value, each.reason) for each in judged}
    mismatches = []
    for resource_id, expected in data["expect"].items():
        verdict, reason = got.pop(str(resource_id), (OUT_OF_SCOPE, ""))
        if verdict != expected:
            mark = document.mark("expect", resource_id)
            mismatches.append(Mismatch(str(resource_id), expected, verdict, reason, mark))
    mismatches += [
        Mismatch(resource_id, "nothing", verdict, reason, document.mark("expect"))
        for resource_id, (verdict, reason) in got.items()
    ]
    return mismatches


def _validate(document: Document) -> None:
    data = document.data
    problems = []
    if not isinstance(data, dict) or not {"policy", "resources", "expect"} <= set(data) <= set(FORMS):
        message = "A fixture has policy, resources and expect, and may have parameters, responses and description."
        problems.append(Diagnostic("fixture", message, document.mark()))
    elif wrong := [key for key, form in FORMS.items() if not isinstance(data.get(key, form()), form)]:
        problems += [Diagnostic("fixture", f"`{key}` has the wrong form.", document.mark(key)) for key in wrong]
    elif not data["expect"]:
        problems.append(Diagnostic("fixture", "A fixture expects something.", document.mark("expect")))
    else:
        for resource_id, answer in data["expect"].items():
            if answer not in ANSWERS:
                message = f"{answer!r} is not one of {', '.join(ANSWERS)}."
                problems.append(Diagnostic("fixture", message, document.mark("expect", resource_id)))
    if problems:
        raise InvalidFilesError(problems)


def _compile(
    pack: Pack, policy_name: str, parameters: Mapping[str, ParameterValue], document: Document
) -> CompiledPolicy:
    """The policy as a profile of this pack alone compiles it."""
    mark = document.mark()
    values = {
        name: Setting(tuple(value) if isinstance(value, list) else value, document.mark("parameters", name))
        for name, value in parameters.items()
    }
    choice = PackChoice(pack.name, f"=={pack.version}", Posture.REPORT, mark)
    settings = {pack.name: values} if values else {}
    profile = Profile("fixture", "1.0.0", "fixture", (choice,), settings, {}, {}, (), 1, "fixture", "", mark)
    account = Account("123456789012", "offline", ("us-east-1",), {}, mark)
    customer = Customer("fixture", "fixture", "fixture", "aws", None, (account,), {}, "", mark)
    compiled = compile_set(profile, customer, {pack.name: pack}, ())
    for policy in compiled.policies():
        if policy.name == policy_name:
            return policy
    raise InvalidFilesError(
        [Diagnostic("fixture", f"Pack {pack.name} has no policy {policy_name!r}.", document.mark("policy"))]
    )


def _dated(value: Any, now: dt.datetime) -> Any:
    if isinstance(value, dict):
        return {key: _dated(item, now) for key, item in value.items()}
    if isinstance(value, list):
        return [_dated(item, now) for item in value]
    if isinstance(value, str) and (match := MOMENT.fullmatch(value)):
        moment = now - dt.timedelta(**{UNITS[match[2]]: int(match[1])})
        return moment.isoformat() if match[3] else moment
    return value
