"""Lifecycle rules of buckets, through c7n against moto."""

from __future__ import annotations

from typing import Any

import pytest
from moto.backends import get_backend

from finops_policy.errors import FinopsPolicyError
from finops_policy.remediation.recipes.recipe import State, Undoable
from finops_policy.remediation.recipes.s3 import RECIPES
from tests.remediation.recipe_kit import ACCOUNT, Stage, check_through, check_undo

TYPE, NAME = "aws.s3", "reports"
RECIPE = RECIPES[TYPE, "configure-lifecycle"]
OLD = [
    {"ID": "keep", "Status": "Enabled", "Filter": {"Prefix": "a/"}, "Expiration": {"Days": 10}},
    {
        "ID": "dated",
        "Status": "Enabled",
        "Filter": {"Prefix": "b/"},
        "Expiration": {"Date": "2030-01-01T00:00:00+00:00"},
    },
    {
        "ID": "cold",
        "Status": "Disabled",
        "Filter": {"And": {"Prefix": "c/", "Tags": [{"Key": "k", "Value": "v"}]}},
        "Transitions": [{"Days": 30, "StorageClass": "GLACIER"}],
        "NoncurrentVersionExpiration": {"NoncurrentDays": 5},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 3},
    },
]
ACTION = {
    "type": "configure-lifecycle",
    "rules": [
        {"ID": "new", "Status": "Enabled", "Filter": {"Prefix": "n/"}, "Expiration": {"Date": "2031-02-03"}},
        {"ID": "keep", "Status": "Enabled", "Filter": {"Prefix": "a/"}, "Expiration": {"Days": 20}},
        {"ID": "cold", "Status": "absent"},
    ],
}


def _make(stage: Stage, rules: list[dict[str, Any]]) -> None:
    s3 = stage.client("s3")
    s3.create_bucket(Bucket=NAME)
    if rules:
        s3.put_bucket_lifecycle_configuration(Bucket=NAME, LifecycleConfiguration={"Rules": rules})


def _rules(stage: Stage) -> Any:
    return stage.client("s3").get_bucket_lifecycle_configuration(Bucket=NAME)["Rules"]


def _by_id(rules: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rules, key=lambda each: str(each["ID"]))


def test_rules_are_put_back_exactly(stage: Stage) -> None:
    _make(stage, OLD)
    old = _rules(stage)
    before, subject, seen = check_through(RECIPE, stage, TYPE, NAME, ACTION)
    assert {each["ID"] for each in _rules(stage)} == {"new", "keep", "dated"}
    assert [each["ID"] for each in seen.after["rules"]] == ["dated", "keep", "new"]
    assert check_undo(RECIPE, stage, subject, ACTION, before, {}) == {}
    assert _by_id(_rules(stage)) == _by_id(old)
    undo = RECIPE.undo_of(before, ACTION)
    assert undo.how == "put the 3 lifecycle rules of before back"


def test_where_there_were_no_rules_there_are_none_again(stage: Stage) -> None:
    _make(stage, [])
    before, subject, _ = check_through(RECIPE, stage, TYPE, NAME, {**ACTION, "rules": ACTION["rules"][:1]})
    assert before == {"rules": [], "minimum": None}
    check_undo(RECIPE, stage, subject, ACTION, before, {})
    with pytest.raises(stage.client("s3").exceptions.ClientError, match="NoSuchLifecycleConfiguration"):
        _rules(stage)
    assert RECIPE.undo_of(before, ACTION).how == "delete the lifecycle rules, as there were none"


def test_only_rules_that_take_something_lose_something() -> None:
    before: dict[str, Any] = {"rules": [], "minimum": None}

    def undo(**rule: Any) -> tuple[Undoable, int]:
        found = RECIPE.undo_of(before, {"rules": [{"ID": "r", "Status": "Enabled", **rule}]})
        return found.possible, len(found.lost)

    assert undo(Expiration={"Days": 1}) == (Undoable.PARTLY, 1)
    assert undo(Expiration={"ExpiredObjectDeleteMarker": True}) == (Undoable.YES, 0)
    assert undo(Transitions=[{"Days": 1, "StorageClass": "GLACIER"}], Expiration={"Days": 9}) == (Undoable.PARTLY, 2)
    assert undo(Expiration={"Days": 1}, Status="Disabled") == (Undoable.YES, 0)
    assert undo(Status="absent") == (Undoable.YES, 0)


def test_rules_that_moto_does_not_keep_are_not_reached(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    _make(stage, OLD)
    subject, resource = stage.subject(TYPE, NAME), stage.resource(TYPE, NAME)
    before = RECIPE.before(stage.site, subject, resource, ACTION)
    monkeypatch.setattr(get_backend("s3")[ACCOUNT]["aws"], "put_bucket_lifecycle", lambda *_a, **_k: None)
    stage.act(TYPE, resource, ACTION)
    seen = RECIPE.seen(stage.site, subject, ACTION, before)
    assert (seen.state, seen.says) == (State.NOT_REACHED, "not as asked for: new, keep and cold")


def test_another_rule_that_changed_meanwhile_makes_it_unknown(stage: Stage) -> None:
    _make(stage, OLD)
    before, subject, _ = check_through(RECIPE, stage, TYPE, NAME, ACTION)
    others = [each for each in _rules(stage) if each["ID"] != "dated"]
    stage.client("s3").put_bucket_lifecycle_configuration(Bucket=NAME, LifecycleConfiguration={"Rules": others})
    seen = RECIPE.seen(stage.site, subject, ACTION, before)
    assert (seen.state, seen.says) == (State.UNKNOWN, "other rules have changed as well: dated")


def test_a_bucket_that_is_gone_is_unknown(stage: Stage) -> None:
    _make(stage, [])
    subject = stage.subject(TYPE, NAME)
    before = RECIPE.before(stage.site, subject, stage.resource(TYPE, NAME), ACTION)
    stage.client("s3").delete_bucket(Bucket=NAME)
    assert RECIPE.seen(stage.site, subject, ACTION, before).state is State.UNKNOWN
    assert RECIPE.undone(stage.site, subject, ACTION, before, {}).state is State.UNKNOWN
    with pytest.raises(FinopsPolicyError, match="does not exist any more"):
        RECIPE.before(stage.site, subject, {}, ACTION)
