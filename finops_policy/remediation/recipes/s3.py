"""Buckets: lifecycle rules.

Undo puts the rules from before back as they were. S3 does not say which objects the rules took meanwhile.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from finops_policy.errors import FinopsPolicyError
from finops_policy.remediation.recipes import common
from finops_policy.remediation.recipes.common import NoDependants, code_of, differences
from finops_policy.remediation.recipes.recipe import Recipe, Seen, Site, State, Subject, Undo, Undoable

Values = Mapping[str, Any]

NO_RULES = "NoSuchLifecycleConfiguration"
TAKING = {
    "Expiration": "objects that rule {0} expires meanwhile: they are deleted, unless the bucket keeps versions",
    "NoncurrentVersionExpiration": "old versions that rule {0} expires meanwhile: they are deleted for good",
    "AbortIncompleteMultipartUpload": "unfinished uploads that rule {0} aborts meanwhile",
    "Transitions": "the storage class of objects that rule {0} moves meanwhile: they stay where they are moved to",
    "NoncurrentVersionTransitions": "the storage class of old versions that rule {0} moves meanwhile",
}
"""What a part of a rule takes, in words; ``{0}`` is the rule's ID."""


def lifecycle_of(site: Site, bucket: str) -> dict[str, Any] | None:
    """``rules`` by ID, dates as ISO text, and ``minimum``, the smallest size that moves; None when the bucket is gone.

    A bucket of another region answers as well: botocore follows S3 there.
    """
    from botocore.exceptions import ClientError

    try:
        answer = site.client("s3").get_bucket_lifecycle_configuration(Bucket=bucket)
    except ClientError as error:
        if code_of(error) == NO_RULES:
            return {"rules": [], "minimum": None}
        if common.is_gone(error):
            return None
        raise
    rules = [_plain(each) for each in answer.get("Rules") or []]
    return {"rules": sorted(rules, key=lambda each: str(each.get("ID"))), "minimum": _minimum(answer)}


class ConfigureLifecycle(NoDependants):
    """c7n adds and replaces rules by their ID, and leaves the others as they are."""

    def before(self, site: Site, subject: Subject, resource: Values, action: Values) -> dict[str, Any]:
        found = lifecycle_of(site, subject.resource_id)
        if found is None:
            raise FinopsPolicyError(f"the bucket {subject.resource_id} does not exist any more")
        return found

    def undo_of(self, before: Values, action: Values) -> Undo:
        count = len(before["rules"])
        how = f"put the {count} lifecycle rule{'s' if count != 1 else ''} of before back" if count else ""
        sentences = tuple(sentence for rule in action["rules"] for sentence in _taken(rule))
        return Undo(
            Undoable.PARTLY if sentences else Undoable.YES,
            how or "delete the lifecycle rules, as there were none",
            sentences,
            ("s3:GetLifecycleConfiguration", "s3:PutLifecycleConfiguration"),
        )

    def seen(self, site: Site, subject: Subject, action: Values, before: Values) -> Seen:
        now = lifecycle_of(site, subject.resource_id)
        if now is None:
            return Seen(State.UNKNOWN, "the bucket does not exist any more")
        found, wanted = _by_id(now["rules"]), _by_id(action["rules"])
        missing = [each for each, rule in wanted.items() if not _holds(rule, found.get(each))]
        if missing:
            return Seen(State.NOT_REACHED, f"not as asked for: {common.joined(missing)}", {"rules": now["rules"]})
        others = {key: rule for key, rule in _by_id(before["rules"]).items() if key not in wanted}
        if changed := differences(others, found):
            return Seen(State.UNKNOWN, f"other rules have changed as well: {common.joined(changed)}", now)
        return Seen(State.REACHED, "", {"rules": now["rules"]})

    def undo(self, site: Site, subject: Subject, action: Values, before: Values, made: Values) -> dict[str, Any]:
        client = site.client("s3")
        if before["rules"]:
            client.put_bucket_lifecycle_configuration(
                Bucket=subject.resource_id,
                LifecycleConfiguration={"Rules": [dict(each) for each in before["rules"]]},
                **common.without({"TransitionDefaultMinimumObjectSize": before["minimum"]}),
            )
        else:
            client.delete_bucket_lifecycle(Bucket=subject.resource_id)
        return {}

    def undone(self, site: Site, subject: Subject, action: Values, before: Values, made: Values) -> Seen:
        now = lifecycle_of(site, subject.resource_id)
        if now is None:
            return Seen(State.UNKNOWN, "the bucket does not exist any more")
        after = {"rules": now["rules"]}
        old, new = _by_id(before["rules"]), _by_id(now["rules"])
        if other := sorted({*differences(old, new), *differences(new, old)}):
            return Seen(State.NOT_REACHED, f"not as before: {common.joined(other)}", after)
        if before["rules"] and now["minimum"] != before["minimum"]:
            return Seen(State.NOT_REACHED, f"the smallest size that moves is {now['minimum']}", after)
        return Seen(State.REACHED, "", after)


def _taken(rule: Values) -> list[str]:
    if rule["Status"] != "Enabled":
        return []
    return [words.format(rule["ID"]) for part, words in TAKING.items() if _takes(part, rule.get(part))]


def _takes(part: str, value: Any) -> bool:
    return bool(value) and not (part == "Expiration" and set(value) <= {"ExpiredObjectDeleteMarker"})


def _by_id(rules: Sequence[Values]) -> dict[str, Any]:
    return {str(each.get("ID")): each for each in rules}


def _holds(wanted: Values, found: Values | None) -> bool:
    """Whether S3 shows what the action asks of one rule."""
    if wanted["Status"] == "absent":
        return found is None
    return found is not None and not differences(_plain(wanted), found)


def _plain(value: Any, key: str = "") -> Any:
    """As JSON. A date that a rule names is one day at midnight UTC, however it is written."""
    if isinstance(value, Mapping):
        return {name: _plain(each, name) for name, each in sorted(value.items())}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).isoformat()
    if key == "Date" and isinstance(value, str):
        day = dt.datetime.fromisoformat(value)
        return (day if day.tzinfo else day.replace(tzinfo=dt.UTC)).astimezone(dt.UTC).isoformat()
    return value


def _minimum(answer: Values) -> str | None:
    found = answer.get("TransitionDefaultMinimumObjectSize")
    return None if found is None else str(found)


RECIPES: Mapping[tuple[str, str], Recipe] = {("aws.s3", "configure-lifecycle"): ConfigureLifecycle()}
