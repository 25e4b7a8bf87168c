"""The rule ``deprecated`` against Cloud Custodian's own reports."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from c7n import deprecated
from c7n.filters.core import BooleanGroupFilter

from finops_policy.lint import fixing
from finops_policy.lint.rules.deprecated import NEW_NAMES
from tests.lint.corpus import examples, verdict
from tests.lint.kit import linted
from tests.lint.rules_kit import found_by, managers, one_a_line, policy, told


def _flagged(filters: Any) -> Iterator[Any]:
    """Filters or actions that c7n's report names, without those that another rule tells."""
    for each in filters:
        if isinstance(each, BooleanGroupFilter):
            yield from _flagged(each.filters)
        elif [found for found in each.get_deprecations() if "optional field" not in str(found)]:
            yield each


def test_c7n_and_the_rule_call_the_same_deprecated() -> None:
    """Over c7n's own examples. Old names as one word are told here only."""
    flagged = 0
    for each in examples():
        if verdict(each.text):
            continue
        expected = 0
        for document in yaml.safe_load(each.text)["policies"]:
            made = policy(**document)
            made.validate()
            report = deprecated.report(made)
            manager = made.resource_manager
            assert not report.mode
            assert not report.resource
            assert not report.conditions
            expected += len(report.policy_fields) + len([*_flagged(manager.filters), *_flagged(manager.actions)])
        found = found_by(each.text, "deprecated")
        text = each.text.split("\n")
        words = [one for one in found if re.match(r"\s*- *(mark|unmark|untag)\b", text[one.mark.line - 1])]
        assert len(found) - len(words) == expected, each.text
        flagged += expected
    assert flagged > 20


def test_every_element_is_called_deprecated_where_c7n_does_so() -> None:
    """Of every type: by each of its names, bare and with each of its fields."""
    told_by_c7n = set()
    documents: list[Mapping[str, Any]] = []
    for name, manager in managers().items():
        for section, registry in (("filters", manager.filter_registry), ("actions", manager.action_registry)):
            for key, each in registry.items():
                owns = each.get_deprecations.__qualname__ != "Element.get_deprecations"
                if issubclass(each, BooleanGroupFilter) or not (owns or getattr(each, "deprecations", ())):
                    continue
                fields = [{field: 1} for field in each.schema["properties"] if field != "type"]
                for word in dict.fromkeys((key, *(each.type_aliases or ()))):
                    for data in ({"type": word}, *({"type": word, **field} for field in fields)):
                        found = [one for one in each(data, None).get_deprecations() if "optional field" not in str(one)]
                        if found:
                            told_by_c7n.add(len(documents))
                        documents.append({"name": "a", "resource": name, section: [data]})
    found = set()
    for start in range(0, len(documents), 2000):
        part = found_by(one_a_line(documents[start : start + 2000]), "deprecated")
        found |= {start + each.mark.line - 2 for each in part}
    assert found == told_by_c7n
    assert len(found) > 200


def test_a_name_is_corrected_exactly_where_both_lead_to_the_same_code() -> None:
    same, other = set(), set()
    for name, manager in managers().items():
        for old, new in NEW_NAMES.items():
            if old in manager.action_registry:
                leads = manager.action_registry.get(old) is manager.action_registry.get(new)
                (same if leads else other).add((name, old))
    documents = sorted(same | other)
    text = "policies:\n" + "".join(f"- {{name: a, resource: {name}, actions: [{old}]}}\n" for name, old in documents)
    corrected = {documents[each.mark.line - 2] for each in found_by(text, "deprecated") if each.fix}
    assert corrected == {(name, old) for name, old in same if name != "asg"}  # which c7n does not call deprecated
    assert len(other) > 5


def test_a_correction_writes_the_new_name_and_nothing_else(tmp_path: Path) -> None:
    text = """\
policies:
  - name: a  # unmark
    resource: ec2
    actions:
      - unmark   # a comment
      - {type: 'untag', tags: [unmark]}
      - type: "mark"
        key: mark
        value: x
"""
    report = linted(tmp_path, text)
    assert len(told(report, "deprecated")) == 3
    fixing.apply(report)
    expected = text.replace("- unmark ", "- remove-tag ").replace("'untag'", "'remove-tag'").replace('"mark"', '"tag"')
    written = (tmp_path / "policies.yaml").read_text()
    assert written == expected
    assert not told(linted(tmp_path, written), "deprecated")
