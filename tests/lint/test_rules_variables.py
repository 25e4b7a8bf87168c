"""The rules on variables: what becomes of braces is asked of Cloud Custodian itself."""

from __future__ import annotations

import re
import tracemalloc
from contextlib import suppress
from pathlib import Path

import c7n
import pytest
from c7n.varfmt import VarFormat
from hypothesis import example, given, settings
from hypothesis import strategies as st

from finops_policy.lint import variables
from tests.lint.kit import linted
from tests.lint.rules_kit import policy, together, told

SOURCE = Path(c7n.__file__).parent


def test_the_names_are_those_of_c7n() -> None:
    found = policy().get_variables()
    assert set(found) == variables.FILLED | variables.KEPT
    assert {name for name, value in found.items() if value == f"{{{name}}}"} == variables.KEPT


def test_names_that_c7n_fills_in_later_are_known() -> None:
    """Whatever a class of c7n gives to its own statements."""
    found = set()
    for path in SOURCE.rglob("*.py"):
        for body in re.findall(r"def get_std_format_args.*?return \{(.*?)\}", path.read_text(), re.DOTALL):
            found |= set(re.findall(r"'(\w+)':", body))
    assert {"account_id", "bucket_name", "queue_arn"} <= found
    assert found <= variables.FILLED | variables.KEPT | variables.LATER


_PIECES = st.sampled_from([
    "{", "}", "{{", "}}", "{account_id}", "{now:%Y}", "{now:+3d}", "{unknown}", "{policy}", "{policy[name]}",
    "{policy.name}", "{policy[n][0]:c}", "{region:d}", "{region:>5}", "{op}", "{event.x}", "{mine}", "{mine:d}",
    "{2,3}", "{3}", "{}", "{a: b}", '{"a": 1}', "{account_id: x}", "{account_id!r}", "{account_id!x}",
    "{account_id[0]}", "{account_id[x]}", "account_id", "$", "x", ":", "[", "]", "!", ".", "%", " ",
])  # fmt: skip


@given(st.lists(_PIECES, max_size=6).map("".join))
@example("{account_id:d} {unknown}")
@example("{unknown} }")
@example("{policy[n][0]:c}")
@example("{account_id:{region}}")
@settings(max_examples=1500, deadline=None)
def test_texts_are_filled_in_left_alone_or_fatal_as_in_c7n(text: str) -> None:
    made = policy(n=[2_000_000])
    try:
        VarFormat().format(text, **made.get_variables({"mine": "text"}))
        truth = "filled"
    except (KeyError, IndexError):
        truth = "left"
    except Exception:  # noqa: BLE001 - whatever it is, c7n does not catch it
        truth = "fatal"
    try:
        found = "filled" if variables.is_filled(text, made.data, {"mine"}) else "left"
    except variables.ERRORS:
        found = "fatal"
    assert found == truth


def test_c7n_fills_in_every_text_and_no_key() -> None:
    made = policy(comments="{region}", metadata={"a": ["{region}"]}, filters=[{"tag:{region}": "{region}-{unknown}"}])
    made.expand_variables(made.get_variables())
    assert made.data["comments"] == "us-east-1"
    assert made.data["metadata"] == {"a": ["us-east-1"]}
    assert made.data["filters"] == [{"tag:{region}": "{region}-{unknown}"}]
    broken = policy(comments="one } too many")
    with pytest.raises(ValueError, match="Single '}'"):
        broken.expand_variables(broken.get_variables())


@given(st.text("{}[]:!.ab09$%", max_size=40))
@settings(max_examples=500, deadline=None)
def test_any_text_is_read(text: str) -> None:
    assert all(str(group) for group in variables.groups(text))
    with suppress(*variables.ERRORS):
        variables.is_filled(text, {"name": "a"}, ())


def test_a_large_width_costs_nothing() -> None:
    text = "{account_id:>30000000}" + "{policy!r}" * 1000
    tracemalloc.start()
    try:
        assert variables.is_filled(text, {"name": "a" * 10_000}, ())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3_000_000


def test_names_of_an_accounts_file_are_known(tmp_path: Path) -> None:
    text = "policies: [{name: a, resource: ec2, filters: [{'tag:a': '{one}-{two}-{three}'}]}]"
    accounts = (
        "vars: {one: 1}\n"
        "accounts:\n"
        "  - {account_id: '000000000000', name: a, role: r, vars: {two: 2}}\n"
        "  - {account_id: '000000000001', name: b, role: r, vars: [x]}\n"
    )
    [found] = told(together(tmp_path, policies=text, accounts=accounts), "unresolved-variable")
    assert "{three}" in found.message
    assert len(told(together(tmp_path, policies=text), "unresolved-variable")) == 3


def test_the_place_for_anchors_is_no_place_for_variables(tmp_path: Path) -> None:
    text = "vars: {mine: x}\npolicies: [{name: a, resource: ec2, filters: [{'tag:a': '{mine}'}]}]"
    [found] = told(linted(tmp_path, text), "unresolved-variable")
    assert "anchors" in found.hint
