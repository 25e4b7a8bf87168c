"""DynamoDB tables: backup, deletion and update, through c7n against moto.

moto restores keys, indexes, items and capacity, as AWS does, and nothing else.
"""

from __future__ import annotations

from typing import Any

import pytest
from moto.backends import get_backend

from finops_policy.errors import FinopsPolicyError
from finops_policy.remediation.recipes.dynamodb import RECIPES
from finops_policy.remediation.recipes.dynamodb_values import billing_update
from finops_policy.remediation.recipes.recipe import State, Undoable
from tests.remediation.recipe_kit import ACCOUNT, REGION, Stage, check_through, check_undo, redacted

TYPE, NAME = "aws.dynamodb-table", "orders"
BACKUP, DELETE, UPDATE = (RECIPES[TYPE, each] for each in ("backup", "delete", "update"))
DELETION: dict[str, Any] = {"type": "delete"}
BACKING_UP: dict[str, Any] = {"type": "backup", "prefix": "finops-policy"}
PROVISIONED = {
    "ProvisionedThroughput": {"ReadCapacityUnits": 5, "WriteCapacityUnits": 6},
    "GlobalSecondaryIndexes": [
        {
            "IndexName": "by-day",
            "KeySchema": [{"AttributeName": "day", "KeyType": "HASH"}],
            "Projection": {"ProjectionType": "ALL"},
            "ProvisionedThroughput": {"ReadCapacityUnits": 2, "WriteCapacityUnits": 3},
        }
    ],
    "AttributeDefinitions": [
        {"AttributeName": "id", "AttributeType": "S"},
        {"AttributeName": "day", "AttributeType": "S"},
    ],
}
ON_DEMAND = {
    "BillingMode": "PAY_PER_REQUEST",
    "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
}


def _make(stage: Stage, **how: Any) -> Any:
    client = stage.client("dynamodb")
    client.create_table(
        TableName=NAME,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        Tags=[{"Key": "owner", "Value": "web"}, {"Key": "secret", "Value": "hush"}],
        **(how or PROVISIONED),
    )
    client.put_item(TableName=NAME, Item={"id": {"S": "1"}, "day": {"S": "monday"}})
    return client


def _rich(stage: Stage) -> Any:
    """A table with everything that a backup does not hold."""
    client = _make(
        stage,
        **PROVISIONED,
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
        SSESpecification={"Enabled": True},
    )
    client.update_time_to_live(TableName=NAME, TimeToLiveSpecification={"Enabled": True, "AttributeName": "ends"})
    client.update_continuous_backups(
        TableName=NAME, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
    )
    scaled = {
        "ServiceNamespace": "dynamodb",
        "ResourceId": f"table/{NAME}",
        "ScalableDimension": "dynamodb:table:ReadCapacityUnits",
    }
    scaling = stage.client("application-autoscaling")
    scaling.register_scalable_target(**scaled, MinCapacity=1, MaxCapacity=9)
    scaling.put_scaling_policy(
        **scaled,
        PolicyName="half",
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration={
            "TargetValue": 50.0,
            "PredefinedMetricSpecification": {"PredefinedMetricType": "DynamoDBReadCapacityUtilization"},
        },
    )
    return client


def _forget_scaling(stage: Stage) -> None:
    """AWS forgets it with the table; moto does not."""
    scaling = stage.client("application-autoscaling")
    scaling.deregister_scalable_target(
        ServiceNamespace="dynamodb",
        ResourceId=f"table/{NAME}",
        ScalableDimension="dynamodb:table:ReadCapacityUnits",
    )


def _backend() -> Any:
    return get_backend("dynamodb")[ACCOUNT][REGION]


def _same(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    return [key for key in before if key != "created" and before[key] != now[key]]


def _backed_up(stage: Stage) -> dict[str, Any]:
    _, _, seen = check_through(BACKUP, stage, TYPE, NAME, BACKING_UP)
    return dict(seen.made)


def test_a_backup_is_made_and_stays(stage: Stage) -> None:
    client = _make(stage)
    old = client.create_backup(TableName=NAME, BackupName=f"finops-policy-{NAME}-old")["BackupDetails"]["BackupArn"]
    before, subject, seen = check_through(BACKUP, stage, TYPE, NAME, BACKING_UP)
    [made] = seen.made["backups"]
    assert before["_backups"] == [old]
    assert made != old
    assert seen.after["backup"].startswith(f"finops-policy-{NAME}-")
    assert BACKUP.undo(stage.site, subject, BACKING_UP, before, seen.made) == {}
    assert BACKUP.undone(stage.site, subject, BACKING_UP, before, seen.made).state is State.REACHED
    assert len(client.list_backups(TableName=NAME)["BackupSummaries"]) == 2
    assert BACKUP.undo_of(before, BACKING_UP).permissions == ()


def test_a_backup_counts_when_it_is_available_and_ours(stage: Stage) -> None:
    client = _make(stage)
    subject = stage.subject(TYPE, NAME)
    before = BACKUP.before(stage.site, subject, stage.resource(TYPE, NAME), BACKING_UP)
    client.create_backup(TableName=NAME, BackupName="somebody-elses")
    assert BACKUP.seen(stage.site, subject, BACKING_UP, before).state is State.NOT_REACHED
    stage.act(TYPE, stage.resource(TYPE, NAME), BACKING_UP)
    [backup] = [each for each in _backend().backups.values() if each.name != "somebody-elses"]
    backup.status = "CREATING"
    seen = BACKUP.seen(stage.site, subject, BACKING_UP, before)
    assert (seen.state, dict(seen.made)) == (State.PENDING, {"backups": [backup.arn]})


def test_a_deleted_table_comes_back_with_everything(stage: Stage) -> None:
    client = _rich(stage)
    made = _backed_up(stage)
    before, subject, _ = check_through(DELETE, stage, TYPE, NAME, DELETION)
    assert stage.found(TYPE) == []
    _forget_scaling(stage)
    assert before["ttl"] == "ends"
    assert before["recovery_days"] == 35
    assert before["stream"] == "NEW_IMAGE"
    assert before["_capacity"] == {"": [5, 6], "by-day": [2, 3]}

    # what only a restore sets, and moto's does not
    before["kms_key"] = before["kms_manager"] = None
    first = check_undo(DELETE, stage, subject, DELETION, before, made)
    assert first == {"tables": [subject.arn]}
    now = DELETE.before(stage.site, subject, stage.resource(TYPE, NAME), DELETION)
    assert _same({**before, "kms_key": None}, now) == []
    assert client.scan(TableName=NAME)["Items"] == [{"id": {"S": "1"}, "day": {"S": "monday"}}]
    assert stage.calls.by_operation["dynamodb:RestoreTableFromBackup"] == 1


@pytest.mark.parametrize("manager", ["AWS", "CUSTOMER"])
def test_a_restore_asks_for_the_key(stage: Stage, monkeypatch: pytest.MonkeyPatch, manager: str) -> None:
    _rich(stage)
    made = _backed_up(stage)
    before, subject, _ = check_through(DELETE, stage, TYPE, NAME, DELETION)
    asked: list[dict[str, Any]] = []
    client = stage.client("dynamodb")
    monkeypatch.setattr(stage.site.session, "client", _recording(stage, client, asked))
    DELETE.undo(stage.site, subject, DELETION, {**before, "kms_manager": manager}, made)
    key = {"KMSMasterKeyId": before["kms_key"]} if manager == "CUSTOMER" else {}
    assert asked == [{"Enabled": True, "SSEType": "KMS", **key}]
    seen = DELETE.undone(stage.site, subject, DELETION, before, made)
    assert (seen.state, seen.says) == (State.UNKNOWN, "it is there, but differs in kms_key")


def _recording(stage: Stage, client: Any, asked: list[dict[str, Any]]) -> Any:
    original, restore = stage.site.session.client, client.restore_table_from_backup

    class Recording:
        def restore_table_from_backup(self, **params: Any) -> Any:
            asked.append(params["SSESpecificationOverride"])
            return restore(**params)

        def __getattr__(self, name: str) -> Any:
            return getattr(client, name)

    return lambda service, *args, **more: Recording() if service == "dynamodb" else original(service, *args, **more)


def test_a_table_on_demand_comes_back_on_demand(stage: Stage) -> None:
    _make(stage, **ON_DEMAND)
    made = _backed_up(stage)
    before, subject, _ = check_through(DELETE, stage, TYPE, NAME, DELETION)
    assert (before["billing_mode"], before["capacity"]) == ("PAY_PER_REQUEST", {})
    check_undo(DELETE, stage, subject, DELETION, before, made)
    now = DELETE.before(stage.site, subject, stage.resource(TYPE, NAME), DELETION)
    assert _same(before, now) == []


def test_deletion_protection_that_force_took_away_comes_back(stage: Stage) -> None:
    _make(stage, **PROVISIONED, DeletionProtectionEnabled=True)
    made, action = _backed_up(stage), {"type": "delete", "force": True}
    before, subject, _ = check_through(DELETE, stage, TYPE, NAME, action)
    check_undo(DELETE, stage, subject, action, before, made)
    assert stage.resource(TYPE, NAME)["DeletionProtectionEnabled"] is True


def test_a_protected_table_is_not_deleted(stage: Stage) -> None:
    _make(stage, **PROVISIONED, DeletionProtectionEnabled=True)
    subject, resource = stage.subject(TYPE, NAME), stage.resource(TYPE, NAME)
    before = DELETE.before(stage.site, subject, resource, DELETION)
    stage.act(TYPE, resource, DELETION)
    seen = DELETE.seen(stage.site, subject, DELETION, before)
    assert (seen.state, seen.says) == (State.NOT_REACHED, "it is still there, active")
    assert DELETE.undone(stage.site, subject, DELETION, before, {}).state is State.REACHED


def test_a_table_that_is_busy_is_pending_and_left_alone(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    from moto.dynamodb.models.table import Table

    _make(stage)
    made = _backed_up(stage)
    before, subject, _ = check_through(DELETE, stage, TYPE, NAME, DELETION)
    original = Table.describe

    def busy(self: Any, base_key: str = "TableDescription") -> Any:
        found = original(self, base_key)
        found[base_key]["TableStatus"] = "CREATING"
        return found

    with monkeypatch.context() as patch:
        patch.setattr(Table, "describe", busy)
        DELETE.undo(stage.site, subject, DELETION, before, made)
        seen = DELETE.undone(stage.site, subject, DELETION, before, made)
        assert (seen.state, seen.says) == (State.PENDING, "it is creating")
        assert stage.calls.by_operation["dynamodb:TagResource"] == 0
    assert DELETE.undone(stage.site, subject, DELETION, before, made).state is State.NOT_REACHED
    DELETE.undo(stage.site, subject, DELETION, before, made)
    assert DELETE.undone(stage.site, subject, DELETION, before, made).state is State.REACHED
    assert stage.calls.by_operation["dynamodb:RestoreTableFromBackup"] == 1


def test_withheld_tags_are_never_written(stage: Stage) -> None:
    client = _make(stage)
    made = _backed_up(stage)
    before, subject, _ = check_through(DELETE, stage, TYPE, NAME, DELETION)
    before = redacted(before, "secret")
    assert any("secret" in each for each in DELETE.undo_of(before, DELETION).lost)
    check_undo(DELETE, stage, subject, DELETION, before, made)
    assert client.list_tags_of_resource(ResourceArn=subject.arn)["Tags"] == [{"Key": "owner", "Value": "web"}]


def test_without_a_backup_nothing_comes_back(stage: Stage) -> None:
    _make(stage)
    before, subject, _ = check_through(DELETE, stage, TYPE, NAME, DELETION)
    with pytest.raises(FinopsPolicyError, match="no step before its deletion made a backup"):
        DELETE.undo(stage.site, subject, DELETION, before, {})
    assert DELETE.undone(stage.site, subject, DELETION, before, {}).state is State.NOT_REACHED


def test_another_table_of_the_name_is_never_touched(stage: Stage) -> None:
    client = _make(stage)
    made = _backed_up(stage)
    before, subject, _ = check_through(DELETE, stage, TYPE, NAME, DELETION)
    _make(stage, **ON_DEMAND)
    seen = DELETE.seen(stage.site, subject, DELETION, before)
    assert (seen.state, "another table" in seen.says) == (State.REACHED, True)
    assert DELETE.undone(stage.site, subject, DELETION, before, made).state is State.UNKNOWN
    with pytest.raises(FinopsPolicyError, match="another table has its name"):
        DELETE.undo(stage.site, subject, DELETION, before, made)
    assert client.describe_table(TableName=NAME)["Table"]["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"


def test_what_may_not_be_read_is_unknown_and_lost(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    from moto.core.exceptions import JsonRESTError

    def refuse(*_args: Any, **_kwargs: Any) -> None:
        raise JsonRESTError("AccessDeniedException", "no")

    _make(stage)
    made = _backed_up(stage)
    with monkeypatch.context() as patch:
        patch.setattr(_backend(), "describe_time_to_live", refuse)
        patch.setattr(get_backend("application-autoscaling")[ACCOUNT][REGION], "describe_scalable_targets", refuse)
        before, subject, _ = check_through(DELETE, stage, TYPE, NAME, DELETION)
    assert before["ttl"] == before["autoscaling"] == {"unknown": "AccessDeniedException"}
    lost = " ".join(DELETE.undo_of(before, DELETION).lost)
    assert "expiry of items, if it has any" in lost
    assert "automatic scaling, if it has any" in lost
    check_undo(DELETE, stage, subject, DELETION, before, made)
    with monkeypatch.context() as patch:
        patch.setattr(_backend(), "describe_time_to_live", refuse)
        seen = DELETE.undone(stage.site, subject, DELETION, {**before, "ttl": None}, made)
    assert (seen.state, seen.says) == (State.UNKNOWN, "it is there; not to be read: ttl")


def test_undo_of_a_deletion_says_what_is_lost(stage: Stage) -> None:
    _rich(stage)
    before = DELETE.before(stage.site, stage.subject(TYPE, NAME), stage.resource(TYPE, NAME), DELETION)
    undo = DELETE.undo_of(before, DELETION)
    assert undo.possible is Undoable.PARTLY
    assert any("stream has another ARN" in each for each in undo.lost)
    assert {"dynamodb:RestoreTableFromBackup", "kms:CreateGrant", "application-autoscaling:PutScalingPolicy"} <= set(
        undo.permissions
    )


def test_functions_that_read_its_stream_depend_on_it(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    _rich(stage)
    subject, resource = stage.subject(TYPE, NAME), stage.resource(TYPE, NAME)
    assert DELETE.dependants(stage.site, subject, resource).found == ()
    replica = {**resource, "Replicas": [{"RegionName": "eu-west-1"}]}
    assert [each.kind for each in DELETE.dependants(stage.site, subject, replica).found] == ["replica"]
    mapping = {"FunctionArn": "arn:aws:lambda:us-east-1:1:function:f", "UUID": "u"}
    monkeypatch.setattr(
        "finops_policy.remediation.recipes.dynamodb.described", lambda *_a, **params: [mapping | params]
    )
    [found] = DELETE.dependants(stage.site, subject, resource).found
    assert (found.kind, found.id) == ("function", mapping["FunctionArn"])


@pytest.mark.parametrize(
    ("how", "action"),
    [
        (PROVISIONED, {"BillingMode": "PAY_PER_REQUEST"}),
        (PROVISIONED, {"ProvisionedThroughput": {"ReadCapacityUnits": 1, "WriteCapacityUnits": 1}}),
        (PROVISIONED, {"DeletionProtectionEnabled": True}),
        (
            ON_DEMAND,
            {
                "BillingMode": "PROVISIONED",
                "ProvisionedThroughput": {"ReadCapacityUnits": 1, "WriteCapacityUnits": 1},
            },
        ),
    ],
)
def test_an_update_is_made_and_taken_back(stage: Stage, how: dict[str, Any], action: dict[str, Any]) -> None:
    _make(stage, **how)
    action = {"type": "update", **action}
    before, subject, _ = check_through(UPDATE, stage, TYPE, NAME, action)
    assert check_undo(UPDATE, stage, subject, action, before, {}) == {}
    assert UPDATE.before(stage.site, subject, stage.resource(TYPE, NAME), action) == before
    undo = UPDATE.undo_of(before, action)
    assert (undo.possible, undo.how.startswith("update the table back: ")) == (Undoable.YES, True)


def test_an_update_that_is_on_its_way_is_pending(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    from moto.dynamodb.models.table import Table

    _make(stage)
    action = {"type": "update", "DeletionProtectionEnabled": True}
    subject = stage.subject(TYPE, NAME)
    before = UPDATE.before(stage.site, subject, stage.resource(TYPE, NAME), action)
    original = Table.describe

    def busy(self: Any, base_key: str = "TableDescription") -> Any:
        found = original(self, base_key)
        found[base_key]["TableStatus"] = "UPDATING"
        return found

    monkeypatch.setattr(Table, "describe", busy)
    assert UPDATE.seen(stage.site, subject, action, before).state is State.PENDING
    UPDATE.undo(stage.site, subject, action, before, {})
    assert stage.calls.by_operation["dynamodb:UpdateTable"] == 0


def test_capacity_of_indexes_is_given_back_with_the_tables() -> None:
    before = {"billing_mode": "PROVISIONED", "capacity": {"": [5, 6], "by-day": [2, 3], "by-id": [1, 1]}}
    index = {"IndexName": "by-day", "ProvisionedThroughput": {"ReadCapacityUnits": 2, "WriteCapacityUnits": 3}}
    now = {"billing_mode": "PROVISIONED", "capacity": {"": [5, 6], "by-day": [9, 9], "by-id": [1, 1]}}
    assert billing_update(before, now) == {"GlobalSecondaryIndexUpdates": [{"Update": index}]}
    all_of_it = billing_update(before, {"billing_mode": "PAY_PER_REQUEST", "capacity": {}})
    assert all_of_it["BillingMode"] == "PROVISIONED"
    assert all_of_it["ProvisionedThroughput"] == {"ReadCapacityUnits": 5, "WriteCapacityUnits": 6}
    assert [each["Update"]["IndexName"] for each in all_of_it["GlobalSecondaryIndexUpdates"]] == ["by-day", "by-id"]


@pytest.mark.parametrize("recipe", [UPDATE, DELETE])
def test_success_without_effect_and_a_table_that_is_gone(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, recipe: Any
) -> None:
    client = _make(stage)
    action = {"type": "update", "DeletionProtectionEnabled": True} if recipe is UPDATE else DELETION
    subject, resource = stage.subject(TYPE, NAME), stage.resource(TYPE, NAME)
    before = recipe.before(stage.site, subject, resource, action)
    with monkeypatch.context() as patch:
        for name in ("update_table", "delete_table"):
            patch.setattr(_backend(), name, lambda *_a, **_k: _backend().get_table(NAME))
        stage.act(TYPE, resource, action)
        assert recipe.seen(stage.site, subject, action, before).state is State.NOT_REACHED
    client.delete_table(TableName=NAME)
    seen = recipe.seen(stage.site, subject, action, before)
    assert seen.state is (State.UNKNOWN if recipe is UPDATE else State.REACHED)
