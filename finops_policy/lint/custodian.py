"""What Cloud Custodian has against the policies: its schema first, then its own validation where that may say more.

Policies with values that JSON does not have (dates, keys that are no text) are checked by c7n itself, as it reads them.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import groupby
from typing import Any, Final

from finops_policy.custodian.certainty import certain
from finops_policy.custodian.conformity import faults, stray_keys, unknown_resource
from finops_policy.custodian.faults import Fault
from finops_policy.custodian.knowledge import Knowledge, ResourceType
from finops_policy.lint.subject import LintedPolicy, Source
from finops_policy.marks import Diagnostic, Fix
from finops_policy.sources import Steps, shown

ODD = frozenset({"control-character", "non-string-key", "not-a-number", "yaml-tag"})
"""What a reader of YAML finds odd and Cloud Custodian may accept: then c7n is asked, with what it reads itself."""
OTHERS: Final = frozenset({"azure", "gcp", "k8s", "openstack", "awscc", "tencentcloud", "oci", "terraform"})
"""c7n's providers that nobody here knows anything of."""
_FEW: Final = 3
_REFUSED: Final = "and Cloud Custodian refuses the policy"


def problems(policies: Iterable[LintedPolicy], knowledge: Knowledge) -> Iterator[Diagnostic]:
    """All that c7n refuses, and dates that it would not take for the text they look like.

    Type by type: a schema that is compiled takes memory.
    """
    known = list(policies)
    read: dict[tuple[str, Steps], Any] = {}
    for source, group in groupby(known, key=lambda policy: policy.source):
        read |= {(source.label, steps): each for steps, each in _as_c7n_reads(source, list(group)).items()}
    for policy in sorted(known, key=lambda policy: policy.type.name if policy.type else ""):
        if not unchecked(policy):
            yield from _problems(policy, knowledge, read.get((policy.source.label, policy.steps)))


def unchecked(policy: LintedPolicy) -> str:
    """Why nobody here can check a policy; empty where it is checked."""
    provider = policy.resource.partition(".")[0]
    return f"{policy.name or 'a policy'}: only AWS is checked, not {provider}" if provider in OTHERS else ""


def _problems(policy: LintedPolicy, knowledge: Knowledge, read: Any) -> Iterator[Diagnostic]:
    resource = policy.document.get("resource")
    if policy.type is None:
        found = [unknown_resource(policy.resource, knowledge)] if isinstance(resource, str) else []
        found += stray_keys(policy.document, knowledge)
    elif read is not None:
        yield from _of_odd(policy, policy.type, knowledge, read)
        return
    else:
        found = _refused(policy.document, policy.type, knowledge)
    for fault in found:
        if fault.steps != ("name",) or isinstance(policy.document.get("name"), str):  # what is no text is told already
            yield _diagnostic(policy, fault)


def _refused(document: Mapping[str, Any], type_: ResourceType, knowledge: Knowledge) -> list[Fault]:
    found = faults(document, type_, knowledge)
    if found or certain(document, type_):
        return found
    from finops_policy.custodian.refusals import refusals

    return refusals(document)


def _diagnostic(policy: LintedPolicy, fault: Fault) -> Diagnostic:
    mark = policy.key_mark(*fault.steps) if fault.of_key else policy.mark(*fault.steps)
    return Diagnostic(fault.rule, fault.sentence, mark, fault.hint)


# --- values that JSON does not have -----------------------------------------------------------------------------------


def _as_c7n_reads(source: Source, policies: Sequence[LintedPolicy]) -> dict[Steps, Any]:
    """The policies of a file that holds what JSON does not have; nothing for other files."""
    odd = source.document is not None and any(problem.rule in ODD for problem in source.document.problems)
    if not odd and not any(_dates(policy) for policy in policies):
        return {}
    from finops_policy.custodian.refusals import stock_policies

    return {("policies", index): item for index, item in enumerate(stock_policies(source.text))}


def _of_odd(policy: LintedPolicy, type_: ResourceType, knowledge: Knowledge, read: Any) -> Iterator[Diagnostic]:
    """Whatever else is wrong is told as of any policy; a date, where c7n refuses it and would take it as text."""
    from finops_policy.custodian.refusals import stock_faults

    dates = _dates(policy)
    stock = stock_faults(read)
    found = _refused(policy.document, type_, knowledge) if stock else []
    guilty = _guilty(policy, read, dates, stock) if stock and dates else []
    for fault in found:
        yield _diagnostic(policy, fault)
    for steps in dates:
        yield _date(policy, steps, refused=steps in guilty)
    if stock and not found and not guilty:
        yield from _odd_values(policy) or [_diagnostic(policy, fault) for fault in stock]


def _guilty(policy: LintedPolicy, read: Any, dates: list[Steps], stock: list[Fault]) -> list[Steps]:
    """The dates that c7n would take as text. Those of a part that is refused; of few it is asked one by one."""
    from finops_policy.custodian.refusals import stock_faults

    others = stock_faults(_with_text(read, policy, dates))
    parts = {_part(fault.steps) for fault in stock if fault not in others}
    suspects = [steps for steps in dates if _part(steps) in parts or () in parts]
    if len(suspects) > _FEW:
        return suspects
    return [
        steps
        for steps in suspects
        if stock_faults(_with_text(read, policy, [each for each in dates if each != steps])) != others
    ]


def _part(steps: Steps) -> Steps:
    return steps[:2] if steps[:1] in (("filters",), ("actions",), ("conditions",)) else steps[:1]


def _dates(policy: LintedPolicy) -> list[Steps]:
    """Ways, from the policy, to what YAML takes for dates where Cloud Custodian has a say."""
    if not policy.file.timestamps or policy.written:
        return []
    depth = len(policy.steps)
    return [
        steps[depth:]
        for steps in policy.file.timestamps
        if steps[:depth] == policy.steps and steps[depth : depth + 1] != ("metadata",)
    ]


def _with_text(read: Any, policy: LintedPolicy, dates: Iterable[Steps]) -> Any:
    """The policy as c7n reads it, with text in the place of dates."""
    made = copy.deepcopy(read)
    for steps in dates:
        part = made
        with suppress(LookupError, TypeError):  # behind a key that is no text
            for step in steps[:-1]:
                part = part[step]
            part[steps[-1]] = _text(policy, steps)
    return made


def _date(policy: LintedPolicy, steps: Steps, *, refused: bool) -> Diagnostic:
    mark = policy.mark(*steps)
    written = _text(policy, steps)
    fix = Fix(written, f'"{written}"') if policy.source.at(mark).startswith(written) else None
    hint = "Put it in quotes."
    if kind := _value_type(policy, steps):
        fix, hint = None, f"With `value_type: {kind}` Cloud Custodian compares with a number of days."
    said = _REFUSED if refused else "not as text"
    return Diagnostic(
        "schema" if refused else "yaml-date",
        f"{shown(written)} is read as a date, {said}",
        mark,
        hint,
        fix=fix,
    )


def _value_type(policy: LintedPolicy, steps: Steps) -> str:
    """The kind of comparison that a date is the value of, where it is none with dates."""
    around: Any = policy.document
    for step in steps[:-1]:
        around = around[step]
    kind = around.get("value_type", "") if isinstance(around, Mapping) and steps[-1] == "value" else ""
    return "" if kind == "date" else shown(str(kind)).strip("`") if kind else ""


def _text(policy: LintedPolicy, steps: Steps) -> str:
    value: Any = policy.document
    for step in steps:
        value = value[step]
    return str(value)


def _odd_values(policy: LintedPolicy) -> list[Diagnostic]:
    """What YAML reads otherwise than it looks, inside of a policy: the only thing that can be wrong with it."""
    start = policy.file.marks[policy.steps]
    end = policy.file.marks.get((*policy.steps[:-1], int(policy.steps[-1]) + 1))
    return [
        replace(problem, message=f"{problem.message}, {_REFUSED}")
        for problem in policy.file.problems
        if problem.rule in ODD and start <= problem.mark and (end is None or problem.mark < end)
    ]
