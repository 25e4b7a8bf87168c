"""Log groups: retention, delete.

A shorter retention deletes the older events for good, and AWS does not say how many; a longer one loses nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from finops_policy.errors import FinopsPolicyError
from finops_policy.remediation.recipes import common
from finops_policy.remediation.recipes.common import GONE, NoDependants, described
from finops_policy.remediation.recipes.recipe import (
    Dependant,
    Dependants,
    Recipe,
    Seen,
    Site,
    State,
    Subject,
    Undo,
    Undoable,
)

Values = Mapping[str, Any]


def group_of(site: Site, name: str) -> dict[str, Any] | None:
    """None when it is gone. AWS finds log groups by how their names begin."""
    found = described(site.client("logs"), "describe_log_groups", "logGroups", logGroupNamePrefix=name)
    return next((each for each in found if each["logGroupName"] == name), None)


class Retention(NoDependants):
    """Another retention. ``days`` is None where events never expire."""

    def before(self, site: Site, subject: Subject, resource: Values, action: Values) -> dict[str, Any]:
        return {"days": resource.get("retentionInDays"), "created": resource.get("creationTime")}

    def undo_of(self, before: Values, action: Values) -> Undo:
        old, new = before["days"], action["days"]
        if old is None:
            how, permission = "delete the retention policy: events never expire again", "logs:DeleteRetentionPolicy"
        else:
            how, permission = f"set the retention to {old} days again", "logs:PutRetentionPolicy"
            if old < new:
                how += "; AWS then deletes the events that are older"
        shorter = old is None or new < old
        lost = (f"events older than {new} days: AWS deletes them for good, soon after the change",) if shorter else ()
        return Undo(
            Undoable.PARTLY if shorter else Undoable.YES,
            how,
            lost,
            tuple(sorted({"logs:DescribeLogGroups", permission})),
        )

    def seen(self, site: Site, subject: Subject, action: Values, before: Values) -> Seen:
        return self._reached(site, subject, before, action["days"])

    def undo(self, site: Site, subject: Subject, action: Values, before: Values, made: Values) -> dict[str, Any]:
        client, name = site.client("logs"), subject.resource_id
        if before["days"] is None:
            client.delete_retention_policy(logGroupName=name)
        else:
            client.put_retention_policy(logGroupName=name, retentionInDays=before["days"])
        return {}

    def undone(self, site: Site, subject: Subject, action: Values, before: Values, made: Values) -> Seen:
        return self._reached(site, subject, before, before["days"])

    def _reached(self, site: Site, subject: Subject, before: Values, wanted: int | None) -> Seen:
        group = group_of(site, subject.resource_id)
        if group is None or group.get("creationTime") != before["created"]:
            return Seen(State.UNKNOWN, "the log group does not exist any more")
        after = {"days": group.get("retentionInDays")}
        if after["days"] == wanted:
            return Seen(State.REACHED, "", after)
        return Seen(State.NOT_REACHED, f"events expire after {_words(after['days'])}, not {_words(wanted)}", after)


def _words(days: int | None) -> str:
    return "no time at all" if days is None else f"{days} days"


class Delete:
    """Nothing brings events back. A group of the same name can be made again, empty."""

    def before(self, site: Site, subject: Subject, resource: Values, action: Values) -> dict[str, Any]:
        return {
            "created": resource.get("creationTime"),
            "days": resource.get("retentionInDays"),
            "class": resource.get("logGroupClass"),
            "kms_key": resource.get("kmsKeyId"),
            "tags": common.tags_of(resource),
        }

    def undo_of(self, before: Values, action: Values) -> Undo:
        return Undo(
            Undoable.NO,
            "nothing brings the events back; export them to S3 first if anybody may want them",
            ("every event in the log group", "its metric filters and subscription filters"),
        )

    def dependants(self, site: Site, subject: Subject, resource: Values) -> Dependants:
        inquiry = common.Inquiry()
        inquiry.ask("subscription filters", lambda: _subscriptions(site, subject.resource_id))
        inquiry.ask("metric filters", lambda: _metrics(site, subject.resource_id))
        inquiry.ask("stacks", lambda: common.stack_of(resource))
        return inquiry.answer()

    def seen(self, site: Site, subject: Subject, action: Values, before: Values) -> Seen:
        group = group_of(site, subject.resource_id)
        if group is None:
            return GONE
        if group.get("creationTime") != before["created"]:
            return Seen(State.REACHED, "it does not exist any more; a new log group has its name")
        return Seen(State.NOT_REACHED, "it is still there")

    def undo(self, site: Site, subject: Subject, action: Values, before: Values, made: Values) -> dict[str, Any]:
        raise FinopsPolicyError(f"{subject.resource_id} cannot be brought back: AWS keeps no deleted events")

    def undone(self, site: Site, subject: Subject, action: Values, before: Values, made: Values) -> Seen:
        state = State.NOT_REACHED if self.seen(site, subject, action, before).state is State.REACHED else State.REACHED
        return Seen(state, "nothing brings it back" if state is State.NOT_REACHED else "it was never deleted")


def _subscriptions(site: Site, name: str) -> Iterator[Dependant]:
    client = site.client("logs")
    for each in described(client, "describe_subscription_filters", "subscriptionFilters", logGroupName=name):
        yield Dependant("subscription-filter", each["filterName"], f"{each['destinationArn']} would get no more events")


def _metrics(site: Site, name: str) -> Iterator[Dependant]:
    for each in described(site.client("logs"), "describe_metric_filters", "metricFilters", logGroupName=name):
        metrics = [f"{to['metricNamespace']}/{to['metricName']}" for to in each.get("metricTransformations") or []]
        yield Dependant(
            "metric-filter", each["filterName"], f"nothing would feed {common.joined(metrics)}, nor alarms on it"
        )


RECIPES: Mapping[tuple[str, str], Recipe] = {
    ("aws.log-group", "retention"): Retention(),
    ("aws.log-group", "delete"): Delete(),
}
