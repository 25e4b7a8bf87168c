"""What recipes share: asking AWS so that "there is none" is an answer, tags in either form, and dependants."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from finops_policy.failures import NOTHING_THERE, call_errors, explain
from finops_policy.redaction import WITHHELD
from finops_policy.remediation.recipes.recipe import (
    Dependant,
    Dependants,
    Seen,
    Site,
    State,
    Subject,
)

T = TypeVar("T")

ITEM_TAG = "finops-policy:item"
"""Key of the tag that copies carry; its value is the item's id."""
GONE = Seen(State.REACHED, "it does not exist any more")
MOST_TAGS = 50
RESERVED = "aws:"
"""Prefix of tag keys that only AWS may write."""


def code_of(error: BaseException) -> str:
    """AWS's error code, empty where an error has none."""
    response = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))


def is_gone(error: BaseException) -> bool:
    """Whether AWS says that there is no such thing."""
    return bool(NOTHING_THERE.search(code_of(error)))


def described(client: Any, operation: str, key: str, **params: Any) -> list[dict[str, Any]]:
    """All members of an answer, page by page; none where AWS says that what was named does not exist.

    ``operation`` is a client's method, ``key`` the member of its answer that holds the list. Other errors pass through.
    """
    from botocore.exceptions import ClientError

    try:
        if not client.can_paginate(operation):
            return list(getattr(client, operation)(**params).get(key) or [])
        pages = client.get_paginator(operation).paginate(**params)
        return [each for page in pages for each in page.get(key) or []]
    except ClientError as error:
        if is_gone(error):
            return []
        raise


def one(client: Any, operation: str, key: str, **params: Any) -> dict[str, Any] | None:
    """The first member of an answer, None where there is none."""
    found = described(client, operation, key, **params)
    return found[0] if found else None


def unless_gone(call: Callable[..., Any], **params: Any) -> Any:
    """The call's answer, None where AWS says that what was named does not exist."""
    from botocore.exceptions import ClientError

    try:
        return call(**params)
    except ClientError as error:
        if is_gone(error):
            return None
        raise


def without(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values that are there: AWS leaves out what does not apply, and refuses it as None."""
    return {key: value for key, value in values.items() if value is not None}


def differences(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """The keys of ``wanted`` whose value is another in ``found``, sorted."""
    return sorted(key for key, value in wanted.items() if found.get(key) != value)


# --- tags -------------------------------------------------------------------------------------------------------------


def tags_of(resource: Mapping[str, Any]) -> dict[str, str]:
    """A resource's tags as key -> value, sorted by key, whichever form and spelling AWS or c7n gave them."""
    tags: Any = next((resource[key] for key in ("Tags", "tags", "TagList", "TagSet") if resource.get(key)), [])
    if isinstance(tags, Mapping):
        return {str(key): str(value) for key, value in sorted(tags.items())}
    pairs = {str(tag.get("Key", tag.get("key"))): str(tag.get("Value", tag.get("value", "")) or "") for tag in tags}
    return dict(sorted(pairs.items()))


def as_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """``[{"Key": ..., "Value": ...}]``, as most of AWS wants tags."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def writable(tags: Mapping[str, str]) -> dict[str, str]:
    """The tags that may be written back: neither AWS's own nor those whose value the plan does not hold."""
    return {key: value for key, value in tags.items() if value != WITHHELD and not key.startswith(RESERVED)}


def withheld(tags: Mapping[str, str]) -> tuple[str, ...]:
    """The keys whose values the profile withholds, so that no plan has them."""
    return tuple(key for key, value in sorted(tags.items()) if value == WITHHELD)


def lost_tags(tags: Mapping[str, str]) -> tuple[str, ...]:
    """Sentences on the tags that an undo cannot write back."""
    found = []
    if secret := withheld(tags):
        found.append(f"the values of the tags {', '.join(secret)}: the profile withholds them, so the plan has none")
    if reserved := [key for key in sorted(tags) if key.startswith(RESERVED)]:
        found.append(f"the tags {', '.join(reserved)}: only AWS may write them")
    return tuple(found)


def tag_specifications(kind: str, tags: Mapping[str, str]) -> list[dict[str, Any]]:
    """``TagSpecifications`` of EC2, empty where there is nothing to write: EC2 refuses an empty list of tags."""
    return [{"ResourceType": kind, "Tags": as_list(tags)}] if tags else []


# --- dependants -------------------------------------------------------------------------------------------------------


class Inquiry:
    """Collects dependants. A question that AWS does not answer becomes an unknown with its reason."""

    def __init__(self) -> None:
        self._found: list[Dependant] = []
        self._unknown: list[str] = []

    def ask(self, what: str, question: Callable[[], Iterable[Dependant]]) -> None:
        """``what`` names in the plural what is asked for, such as "images made of its snapshots"."""
        try:
            self._found += list(question())
        except call_errors() as error:
            self.cannot_ask(what, explain(error).message)

    def cannot_ask(self, what: str, why: str) -> None:
        self._unknown.append(f"{what} are unknown: {why}")

    def answer(self) -> Dependants:
        return Dependants(tuple(self._found), tuple(self._unknown))


class NoDependants:
    """For actions that nothing else minds."""

    def dependants(self, site: Site, subject: Subject, resource: Mapping[str, Any]) -> Dependants:
        del site, subject, resource
        return Dependants()


def joined(words: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


# --- what stands for a copy -------------------------------------------------------------------------------------------


def token(subject: Subject, purpose: str) -> str:
    """A ``ClientToken`` of at most 64 characters that is the same at every attempt, so that AWS makes a thing once."""
    return hashlib.sha256(f"{purpose}\n{subject.item_id}\n{subject.arn}".encode()).hexdigest()


def item_filter(subject: Subject) -> dict[str, Any]:
    """A ``Filters`` member of EC2's that finds what was made for the subject's item."""
    return {"Name": f"tag:{ITEM_TAG}", "Values": [subject.item_id]}


def stack_of(resource: Mapping[str, Any]) -> list[Dependant]:
    """The CloudFormation stack that a resource belongs to, by the tag that only AWS writes."""
    name = tags_of(resource).get("aws:cloudformation:stack-name")
    if not name:
        return []
    return [Dependant("stack", name, "CloudFormation manages the resource there; the stack would no longer fit it")]


def marked(tags: Mapping[str, str], subject: Subject) -> dict[str, str]:
    """The tags and the item's, by which a copy is found again; a resource has 50 at most, and its own come first."""
    own = {key: value for key, value in tags.items() if key != ITEM_TAG}
    return own if len(own) >= MOST_TAGS else {**own, ITEM_TAG: subject.item_id}


# --- what is asked once -----------------------------------------------------------------------------------------------

_ANSWERS: WeakKeyDictionary[Any, dict[str, Any]] = WeakKeyDictionary()


def once(site: Site, question: str, ask: Callable[[], T]) -> T:
    """The answer for a site's session, asked for once: what is the same for every resource of a target, such as who is
    registered with which load balancer. A failure is not kept."""
    answers = _ANSWERS.setdefault(site.session, {})
    if question not in answers:
        answers[question] = ask()
    found: T = answers[question]
    return found
