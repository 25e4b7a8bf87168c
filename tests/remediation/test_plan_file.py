"""Plans as files: the same plan to the byte, whatever is in it, and no other text that says the same."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from finops_policy.errors import EvidenceError
from finops_policy.library import library_root
from finops_policy.model import Fact
from finops_policy.money import Money
from finops_policy.remediation.model import Held, Plan, Step
from finops_policy.remediation.plan_file import PLAN_NAME, parse_plan, plan_bytes, read_plan, write_plan
from finops_policy.remediation.recipes.recipe import Dependant, Dependants, Undo, Undoable
from tests.remediation.approval_kit import DESTRUCTIVE, ONE, THREE, TWO, item, plan

HOSTILE = (
    "<script>alert(1)</script>",
    "=cmd()",
    "{{7*7}}",
    "\x1b[31mred",
    "\u202egnp.exe",
    'a"b\\c\n\u2028d',
    "\U0001f4b8",
)


def full() -> Plan:
    """A plan in which every field is something."""
    unpriced = item(TWO, None, **DESTRUCTIVE)
    return plan(item(ONE), unpriced, item(THREE, money=None), held=(Held("p", "1" * 12, "r", "i", "arn", "why"),))


FULL = full()
DATA = plan_bytes(FULL)


def test_a_plan_comes_back_as_it_went(tmp_path: Path) -> None:
    written = write_plan(replace(FULL, digest=""), tmp_path)
    assert (tmp_path / PLAN_NAME).read_bytes() == DATA
    assert written.digest == hashlib.sha256(DATA).hexdigest() == FULL.digest
    for place in (tmp_path, tmp_path / PLAN_NAME):
        found = read_plan(place)
        assert found == written
        assert found.digest == written.digest
    assert {type(each.savings) for each in found.items} == {Decimal, type(None)}
    assert found.created_at.tzinfo == dt.UTC


def test_the_schema_takes_it_and_nothing_more() -> None:
    schema = json.loads(library_root().joinpath("schemas", "plan.schema.json").read_text("utf-8"))
    Draft202012Validator.check_schema(schema)
    checked = Draft202012Validator(schema)
    assert not list(checked.iter_errors(json.loads(DATA)))
    for place in _objects(json.loads(DATA)):
        changed = json.loads(DATA)
        _at(changed, place)["surplus"] = 1
        free = {"before", "action"} & set(map(str, place))
        assert bool(list(checked.iter_errors(changed))) is (not free), place
    for name in json.loads(DATA):
        lacking = {key: value for key, value in json.loads(DATA).items() if key != name}
        assert list(checked.iter_errors(lacking)), name


def _objects(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where objects are, but for those whose keys are names."""
    if isinstance(value, list):
        return [found for number, each in enumerate(value[:1]) for found in _objects(each, (*place, number))]
    if not isinstance(value, dict):
        return []
    own = [] if place and place[-1] == "policies" else [place]
    return own + [found for key, each in value.items() for found in _objects(each, (*place, key))]


def _at(value: Any, place: tuple[Any, ...]) -> Any:
    for each in place:
        value = value[each]
    return value


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, len(DATA) - 1), st.integers(1, 255))
def test_a_changed_byte_is_refused_or_is_another_plan(at: int, by: int) -> None:
    changed = bytearray(DATA)
    changed[at] ^= by
    _refused_or_another(bytes(changed))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, len(DATA) - 1), st.binary(min_size=0, max_size=2), st.integers(0, 3))
def test_bytes_put_in_or_taken_away_as_well(at: int, new: bytes, away: int) -> None:
    changed = DATA[:at] + new + DATA[at + away :]
    if changed != DATA:
        _refused_or_another(changed)


def _refused_or_another(data: bytes) -> None:
    try:
        found = parse_plan(data, "plan.json")
    except EvidenceError:
        return
    assert found.digest != FULL.digest


@pytest.mark.parametrize(
    "edit",
    [
        lambda text: text + "\n",
        lambda text: text.rstrip("\n"),
        lambda text: text.replace('"sandbox": false', '"sandbox":false'),
        lambda text: "\ufeff" + text,
        lambda text: json.dumps(json.loads(text)),
        lambda text: json.dumps(json.loads(text), indent=4, sort_keys=True) + "\n",
        lambda text: text.replace('"plan_id":', '"plan_id": "x",\n  "plan_id":', 1),
        lambda text: text.replace("07:00:00Z", "07:00:00+00:00", 1),
        lambda text: text.replace("Start", "\\u0053tart", 1),
    ],
)
def test_the_same_plan_in_other_words_is_refused(edit: Callable[[str], str]) -> None:
    changed = edit(DATA.decode())
    assert changed != DATA.decode(), "the edit does nothing"
    with pytest.raises(EvidenceError):
        parse_plan(changed.encode(), "plan.json")


def _with(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda document: document.update(changes)


def _item_with(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda document: document["items"][0].update(changes)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_with(schema="finops-policy/plan/v2"), "schema"),
        (_with(created_at="2026-11-24T08:00:00"), "not a plan"),
        (_with(items={}), "items"),
        (_with(policies={}), "does not describe"),
        (_item_with(id=TWO), "two items with one id"),
        (_item_with(id="../../x"), "id"),
        (_item_with(money={"currency": "USD"}), "money"),
        (_item_with(steps=[]), "steps"),
        (_item_with(account_id="1"), "account_id"),
    ],
)
def test_what_is_no_plan_is_refused(change: Callable[[dict[str, Any]], None], told: str) -> None:
    document = json.loads(DATA)
    change(document)
    text = json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    with pytest.raises(EvidenceError, match=told) as raised:
        parse_plan(text.encode(), "here/plan.json")
    assert "here/plan.json" in str(raised.value)
    assert raised.value.hint == "Make a new plan: finops-policy plan --customer CUSTOMER."


@pytest.mark.parametrize("data", [b"", b"null", b"[]", b"{", b"\xff\xfe", b"[" * 100_000, b'{"schema": NaN}', b"1e999"])
def test_what_is_no_json_of_a_plan_is_refused(data: bytes) -> None:
    with pytest.raises(EvidenceError):
        parse_plan(data, "plan.json")


def test_a_plan_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(EvidenceError, match=r"plan\.json"):
        read_plan(tmp_path / PLAN_NAME)


words = st.one_of(st.text(max_size=20), st.sampled_from(HOSTILE))
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), words),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(words, inner, max_size=3)),
    max_leaves=6,
)
money = st.builds(
    Money,
    currency=st.just("USD"),
    method=words,
    cost=st.one_of(st.none(), st.decimals(0, 10**9, places=4)),
    savings=st.one_of(st.none(), st.decimals(0, 10**9, places=4)),
    source=words,
    as_of=st.one_of(st.none(), st.dates()),
    reason=words,
)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(words, st.dictionaries(words, values, max_size=3), st.one_of(st.none(), money), st.lists(words, max_size=2))
def test_any_text_and_value_comes_back(
    text: str, before: dict[str, Any], priced: Money | None, lost: list[str]
) -> None:
    step = Step({"type": "stop"}, before, Undo(Undoable.PARTLY, text, tuple(lost), ()), (text,))
    changed = item(
        account_name=text,
        resource_id=text or "x",
        arn=text,
        owner=text,
        facts=(Fact("value", text, text, "eq", before.get(text), True),),
        steps=(step,),
        dependants=Dependants((Dependant(text or "x", text or "y", text),), tuple(lost)),
        money=priced,
    )
    made = plan(changed, held=(Held("p", "1" * 12, "r", text, text, text or "x"),))
    data = plan_bytes(made)
    found = parse_plan(data, "plan.json")
    assert plan_bytes(found) == data
    assert found.digest == made.digest
    assert json.loads(data)["items"][0]["steps"][0]["before"].keys() == {_clean(key) for key in before}


def _clean(text: str) -> str:
    from finops_policy.evidence.canonical import clean

    return clean(text)
