"""Functions: reserved concurrency and deletion, through c7n against moto."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import pytest
from moto.backends import get_backend

from finops_policy.errors import FinopsPolicyError
from finops_policy.remediation.recipes.lambda_ import RECIPES
from finops_policy.remediation.recipes.recipe import State, Undoable
from tests.remediation.recipe_kit import ACCOUNT, REGION, Stage, check_through, check_undo

TYPE, NAME = "aws.lambda", "report"
CONCURRENCY = RECIPES[TYPE, "set-concurrency"]


def _make(stage: Stage, reserved: int | None = None) -> str:
    trust = '{"Statement": []}'
    role = stage.client("iam").create_role(RoleName="r", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("a.py", "def h(event, context): return 1")
    client = stage.client("lambda")
    made = client.create_function(
        FunctionName=NAME,
        Runtime="python3.11",
        Role=role,
        Handler="a.h",
        Code={"ZipFile": code.getvalue()},
        Environment={"Variables": {"PASSWORD": "hunter2"}},
        Tags={"owner": "web"},
    )
    if reserved is not None:
        client.put_function_concurrency(FunctionName=NAME, ReservedConcurrentExecutions=reserved)
    return str(made["FunctionArn"])


def _reserved(stage: Stage) -> Any:
    return stage.client("lambda").get_function_concurrency(FunctionName=NAME).get("ReservedConcurrentExecutions")


@pytest.mark.parametrize(
    ("reserved", "action", "wanted"),
    [
        (None, {"value": 0}, 0),
        (5, {"value": 0}, 0),
        (5, {"value": None}, None),
        (0, {"value": 7}, 7),
        (5, {"value": "MemorySize", "expr": True}, 128),
    ],
)
def test_a_reservation_is_set_and_set_back(
    stage: Stage, reserved: int | None, action: dict[str, Any], wanted: int | None
) -> None:
    _make(stage, reserved)
    action = {"type": "set-concurrency", **action}
    before, subject, _ = check_through(CONCURRENCY, stage, TYPE, NAME, action)
    assert before == {"reserved": reserved, "wanted": wanted}
    assert _reserved(stage) == wanted
    assert check_undo(CONCURRENCY, stage, subject, action, before, {}) == {}
    assert _reserved(stage) == reserved


def test_a_value_that_is_no_number_is_told(stage: Stage) -> None:
    _make(stage)
    action = {"type": "set-concurrency", "value": "Handler", "expr": True}
    with pytest.raises(FinopsPolicyError, match=r"'a\.h' is no concurrency for report"):
        CONCURRENCY.before(stage.site, stage.subject(TYPE, NAME), stage.resource(TYPE, NAME), action)


def test_undo_says_what_it_would_do() -> None:
    def undo(reserved: int | None, wanted: int | None) -> Any:
        return CONCURRENCY.undo_of({"reserved": reserved, "wanted": wanted}, {"type": "set-concurrency"})

    assert undo(None, 0).permissions == ("lambda:DeleteFunctionConcurrency", "lambda:GetFunctionConcurrency")
    assert undo(5, 0).permissions == ("lambda:GetFunctionConcurrency", "lambda:PutFunctionConcurrency")
    assert "reserve 5 again" in undo(5, 0).how
    assert (len(undo(5, 0).lost), len(undo(5, 9).lost)) == (1, 0)
    assert undo(5, 0).possible is Undoable.YES


def test_a_reservation_that_moto_does_not_keep_is_not_reached(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    _make(stage)
    action = {"type": "set-concurrency", "value": 0}
    subject, resource = stage.subject(TYPE, NAME), stage.resource(TYPE, NAME)
    before = CONCURRENCY.before(stage.site, subject, resource, action)
    monkeypatch.setattr(get_backend("lambda")[ACCOUNT][REGION], "put_function_concurrency", lambda *_a, **_k: "0")
    stage.act(TYPE, resource, action)
    seen = CONCURRENCY.seen(stage.site, subject, action, before)
    assert (seen.state, seen.says) == (State.NOT_REACHED, "it reserves nothing, not 0")


def test_a_function_that_is_gone_is_unknown(stage: Stage) -> None:
    _make(stage)
    action = {"type": "set-concurrency", "value": 0}
    subject = stage.subject(TYPE, NAME)
    before = CONCURRENCY.before(stage.site, subject, stage.resource(TYPE, NAME), action)
    stage.client("lambda").delete_function(FunctionName=NAME)
    assert CONCURRENCY.seen(stage.site, subject, action, before).state is State.UNKNOWN
    assert CONCURRENCY.undone(stage.site, subject, action, before, {}).state is State.UNKNOWN


def test_a_deleted_function_does_not_come_back_and_no_secret_is_kept(stage: Stage) -> None:
    _make(stage)
    recipe, action = RECIPES[TYPE, "delete"], {"type": "delete"}
    before, subject, _ = check_through(recipe, stage, TYPE, NAME, action)
    assert (before["tags"], before["handler"]) == ({"owner": "web"}, "a.h")
    assert "hunter2" not in str(before)
    assert stage.found(TYPE) == []
    assert recipe.undo_of(before, action).possible is Undoable.NO
    assert recipe.undone(stage.site, subject, action, before, {}).state is State.NOT_REACHED
    with pytest.raises(FinopsPolicyError, match="cannot be brought back"):
        recipe.undo(stage.site, subject, action, before, {})


def test_who_calls_it_depends_on_it(stage: Stage) -> None:
    _make(stage)
    client = stage.client("lambda")
    queue = stage.client("sqs").create_queue(QueueName="jobs")["QueueUrl"]
    [arn] = stage.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"].values()
    client.create_event_source_mapping(FunctionName=NAME, EventSourceArn=arn)
    client.create_function_url_config(FunctionName=NAME, AuthType="NONE")
    rule = f"arn:aws:events:{REGION}:{ACCOUNT}:rule/nightly"
    client.add_permission(
        FunctionName=NAME,
        StatementId="1",
        Action="lambda:InvokeFunction",
        Principal="events.amazonaws.com",
        SourceArn=rule,
    )
    found = CONCURRENCY.dependants(stage.site, stage.subject(TYPE, NAME), stage.resource(TYPE, NAME))
    kinds = {each.kind: each for each in found.found}
    assert {kind: each.id for kind, each in kinds.items() if kind != "function-url"} == {
        "event-source": arn,
        "caller": rule,
    }
    assert kinds["function-url"].id.startswith("https://")
    assert "events.amazonaws.com" in kinds["caller"].effect
    assert found.unknown == ()


def test_a_function_that_nobody_calls_has_no_dependants(stage: Stage) -> None:
    _make(stage)
    found = CONCURRENCY.dependants(stage.site, stage.subject(TYPE, NAME), stage.resource(TYPE, NAME))
    assert (found.found, found.unknown) == ((), ())
