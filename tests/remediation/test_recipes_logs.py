"""Log groups: retention and deletion, through c7n against moto."""

from __future__ import annotations

import pytest
from moto.backends import get_backend

from finops_policy.errors import FinopsPolicyError
from finops_policy.remediation.recipes.logs import RECIPES
from finops_policy.remediation.recipes.recipe import State, Undoable
from tests.remediation.recipe_kit import ACCOUNT, REGION, Stage, check_through, check_undo

TYPE = "aws.log-group"
NAME = "/app/web"


def _make(stage: Stage, days: int | None = None) -> None:
    logs = stage.client("logs")
    logs.create_log_group(logGroupName=NAME, tags={"owner": "web"})
    logs.create_log_group(logGroupName=f"{NAME}-2")
    if days:
        logs.put_retention_policy(logGroupName=NAME, retentionInDays=days)


def _days(stage: Stage) -> int | None:
    found = stage.client("logs").describe_log_groups(logGroupNamePrefix=NAME)["logGroups"]
    [group] = [each for each in found if each["logGroupName"] == NAME]
    days: int | None = group.get("retentionInDays")
    return days


@pytest.mark.parametrize("days", [None, 7, 365])
def test_a_retention_is_set_and_set_back(stage: Stage, days: int | None) -> None:
    _make(stage, days)
    action = {"type": "retention", "days": 30}
    before, subject, seen = check_through(RECIPES[TYPE, "retention"], stage, TYPE, NAME, action)
    assert before["days"] == days
    assert (_days(stage), seen.after) == (30, {"days": 30})
    assert check_undo(RECIPES[TYPE, "retention"], stage, subject, action, before, {}) == {}
    assert _days(stage) == days


def test_only_a_shorter_retention_loses_events() -> None:
    def undo(old: int | None, new: int) -> tuple[Undoable, str, tuple[str, ...], tuple[str, ...]]:
        found = RECIPES[TYPE, "retention"].undo_of({"days": old, "created": 1}, {"type": "retention", "days": new})
        return found.possible, found.how, found.lost, found.permissions

    never, shorter, longer = undo(None, 30), undo(365, 30), undo(7, 30)
    assert (never[0], shorter[0], longer[0]) == (Undoable.PARTLY, Undoable.PARTLY, Undoable.YES)
    assert "older than 30 days" in never[2][0]
    assert "older than 30 days" in shorter[2][0]
    assert longer[2] == ()
    assert never[3] == ("logs:DeleteRetentionPolicy", "logs:DescribeLogGroups")
    assert longer[3] == ("logs:DescribeLogGroups", "logs:PutRetentionPolicy")
    assert "never expire" in never[1]
    assert "deletes the events that are older" in longer[1]


def test_a_retention_that_moto_does_not_keep_is_not_reached(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    _make(stage)
    action = {"type": "retention", "days": 30}
    resource, subject = stage.resource(TYPE, NAME), stage.subject(TYPE, NAME)
    recipe = RECIPES[TYPE, "retention"]
    before = recipe.before(stage.site, subject, resource, action)
    monkeypatch.setattr(get_backend("logs")[ACCOUNT][REGION], "put_retention_policy", lambda *_a, **_k: None)
    stage.act(TYPE, resource, action)
    seen = recipe.seen(stage.site, subject, action, before)
    assert (seen.state, seen.says) == (State.NOT_REACHED, "events expire after no time at all, not 30 days")


def test_a_group_that_is_gone_or_made_anew_is_unknown(stage: Stage) -> None:
    _make(stage)
    action = {"type": "retention", "days": 30}
    subject, recipe = stage.subject(TYPE, NAME), RECIPES[TYPE, "retention"]
    before = recipe.before(stage.site, subject, stage.resource(TYPE, NAME), action)
    assert recipe.seen(stage.site, subject, action, {**before, "created": 1}).state is State.UNKNOWN
    stage.client("logs").delete_log_group(logGroupName=NAME)
    for seen in (
        recipe.seen(stage.site, subject, action, before),
        recipe.undone(stage.site, subject, action, before, {}),
    ):
        assert (seen.state, seen.says) == (State.UNKNOWN, "the log group does not exist any more")


def test_a_deleted_group_does_not_come_back(stage: Stage) -> None:
    _make(stage)
    action, recipe = {"type": "delete"}, RECIPES[TYPE, "delete"]
    before, subject, seen = check_through(recipe, stage, TYPE, NAME, action)
    assert before["tags"] == {"owner": "web"}
    assert seen.says == "it does not exist any more"
    assert [each.id for each in stage.found(TYPE)] == [f"{NAME}-2"]
    assert recipe.undo_of(before, action).possible is Undoable.NO
    assert recipe.undone(stage.site, subject, action, before, {}).state is State.NOT_REACHED
    with pytest.raises(FinopsPolicyError, match="cannot be brought back"):
        recipe.undo(stage.site, subject, action, before, {})
    stage.client("logs").create_log_group(logGroupName=NAME)
    seen = recipe.seen(stage.site, subject, action, {**before, "created": 1})
    assert (seen.state, "new log group" in seen.says) == (State.REACHED, True)


def test_filters_of_a_group_depend_on_it(stage: Stage) -> None:
    _make(stage)
    logs = stage.client("logs")
    logs.put_metric_filter(
        logGroupName=NAME,
        filterName="errors",
        filterPattern="ERROR",
        metricTransformations=[{"metricName": "Errors", "metricNamespace": "App", "metricValue": "1"}],
    )
    found = RECIPES[TYPE, "delete"].dependants(stage.site, stage.subject(TYPE, NAME), stage.resource(TYPE, NAME))
    assert [(each.kind, each.id) for each in found.found] == [("metric-filter", "errors")]
    assert "App/Errors" in found.found[0].effect
    assert found.unknown == ()


def test_filters_that_nobody_may_ask_for_are_unknown(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    _make(stage)
    subject, resource = stage.subject(TYPE, NAME), stage.resource(TYPE, NAME)

    def refuse(*_args: object, **_kwargs: object) -> None:
        from moto.core.exceptions import JsonRESTError

        raise JsonRESTError("AccessDeniedException", "no")

    monkeypatch.setattr(get_backend("logs")[ACCOUNT][REGION], "describe_subscription_filters", refuse)
    found = RECIPES[TYPE, "delete"].dependants(stage.site, subject, resource)
    assert found.found == ()
    assert [each.split(":")[0] for each in found.unknown] == ["subscription filters are unknown"]
