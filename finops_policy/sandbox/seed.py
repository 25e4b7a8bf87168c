"""Put the estate into moto's backends: resources, their hourly datapoints, budgets, roles and the caller.

Every resource seeds moto's random numbers with its own address, so its id depends on nothing but that: two sandboxes
give the same ids, and an edit of the estate leaves the ids of everything else alone. Datapoints are a function of the
resource, the metric and the hours before the start.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import random
from collections.abc import Iterator, Sequence

from moto.budgets.models import budgets_backends
from moto.cloudwatch.models import MetricDatum, cloudwatch_backends
from moto.iam.models import iam_backends
from moto.moto_api._internal import mock_random

from finops_policy.sandbox.estate import (
    ACCESS_KEY_ID,
    CALLER_ACCOUNT,
    CALLER_USER,
    EXTERNAL_ID,
    HUB_ROLE,
    SECRET_ACCESS_KEY,
    AccountEstate,
    BudgetItem,
    Item,
)
from finops_policy.sandbox.makers import KINDS, Place
from finops_policy.sandbox.organization import seed_organization

METRIC_HOURS = 30 * 24


def seed(estate: Sequence[AccountEstate], now: dt.datetime) -> None:
    """``now`` is aware; ages count back from it."""
    _seed_caller()
    seed_organization()
    for account in estate:
        if account.role:
            _seed_role(account)
        for budget in account.budgets:
            budgets_backends[account.id]["aws"].create_budget(account.id, _budget(budget), _notifications(budget))
        for region, items in account.regions.items():
            place = Place(account.id, region, now.astimezone(dt.UTC).replace(tzinfo=None))
            for item in items:
                mock_random.seed(f"{account.id}/{region}/{item.kind}/{item.name}")
                place.ids[item.kind, item.name] = KINDS[item.kind].make(place, item, **item.options)
                cloudwatch_backends[account.id][region].metric_data.extend(_datapoints(place, item))
    mock_random.seed("sandbox")


def _seed_caller() -> None:
    """An IAM user with a known access key: moto finds the account of a request by its key."""
    mock_random.seed("caller")
    iam = iam_backends[CALLER_ACCOUNT]["aws"]
    user = iam.create_user("us-east-1", CALLER_USER)
    key = user.create_access_key(prefix="AKIA")
    key.access_key_id, key.secret_access_key = ACCESS_KEY_ID, SECRET_ACCESS_KEY
    iam.access_keys[ACCESS_KEY_ID] = key
    iam.create_role(
        HUB_ROLE, json.dumps(_trust()), "/", None, "May be assumed before the role of an account", [], "3600"
    )


def _seed_role(account: AccountEstate) -> None:
    mock_random.seed(f"{account.id}/role")
    trust = _trust(Condition={"StringEquals": {"sts:ExternalId": EXTERNAL_ID}})
    iam = iam_backends[account.id]["aws"]
    iam.create_role(account.role, json.dumps(trust), "/", None, "Reads what finops-policy judges", [], "3600")
    iam.create_account_alias(account.name)


def _trust(**conditions: object) -> dict[str, object]:
    caller = {"AWS": f"arn:aws:iam::{CALLER_ACCOUNT}:root"}
    statement = {"Effect": "Allow", "Principal": caller, "Action": "sts:AssumeRole", **conditions}
    return {"Version": "2012-10-17", "Statement": statement}


def _datapoints(place: Place, item: Item) -> Iterator[MetricDatum]:
    """One datapoint an hour for as long as the resource exists, 30 days at most: a daily wave with some noise."""
    kind = KINDS[item.kind]
    dimensions = [{"Name": kind.dimension, "Value": place.ids[item.kind, item.name]}]
    for metric, (low, high) in item.metrics.items():
        noise = random.Random(f"{place.account}/{place.region}/{item.name}/{metric}")  # noqa: S311 - not a secret
        for hour in range(min(METRIC_HOURS, int(item.age * 24))):
            wave = (1 + math.cos(2 * math.pi * hour / 24)) / 2
            value = low + (high - low) * (0.8 * wave + 0.2 * noise.random())
            yield MetricDatum(kind.namespace, metric, round(value, 2), dimensions, place.now - dt.timedelta(hours=hour))


def _usd(amount: float) -> dict[str, str]:
    return {"Amount": f"{amount:.2f}", "Unit": "USD"}


def _budget(budget: BudgetItem) -> dict[str, object]:
    """As the Budgets API returns it; what AWS has not calculated yet is absent, as it is there."""
    spend = {"ActualSpend": budget.actual, "ForecastedSpend": budget.forecast}
    return {
        "BudgetName": budget.name,
        "BudgetType": "COST",
        "TimeUnit": "MONTHLY",
        "BudgetLimit": _usd(budget.limit),
        "CalculatedSpend": {key: _usd(amount) for key, amount in spend.items() if amount is not None},
    }


def _notifications(budget: BudgetItem) -> list[dict[str, object]]:
    return [
        {
            "Notification": {
                "NotificationType": kind,
                "ComparisonOperator": "GREATER_THAN",
                "Threshold": 80.0 if kind == "ACTUAL" else 100.0,
                "ThresholdType": "PERCENTAGE",
                "NotificationState": "OK",
            },
            "Subscribers": [{"SubscriptionType": "EMAIL", "Address": "finops@acme-health.example"}],
        }
        for kind in budget.notifications
    ]
