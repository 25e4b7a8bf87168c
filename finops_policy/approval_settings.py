"""``approvers`` and ``approval`` of a customer.yaml, once they are known to fit their schema, as dataclasses.

What a schema cannot say is checked here: that a person, a key and an identity are each listed once, that a key is one
that only its holder can sign with, and that no item is left without a rule.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from finops_policy.customer import ApprovalRule, ApprovalRules, Approver, ApproverRole
from finops_policy.errors import InvalidFilesError
from finops_policy.marks import Diagnostic, Mark
from finops_policy.sources import Document

KEY_PREFIX: Final = "ed25519:"
_PRIME: Final = 2**255 - 19
_OF_ORDER_8: Final = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_WEAK: Final = frozenset({0, 1, _PRIME - 1, _OF_ORDER_8, _PRIME - _OF_ORDER_8})
"""y of the points of small order: under such a key anybody can make a signature that fits. All zeros is one."""


def approvers_of(document: Document, raw: Sequence[Mapping[str, Any]]) -> tuple[Approver, ...]:
    """Raises :class:`InvalidFilesError` with the places of all people, keys and identities that clash, and of keys that
    are none."""
    people = tuple(
        Approver(
            name=each["name"],
            email=each["email"],
            role=ApproverRole(each["role"]),
            keys=tuple(key.removeprefix(KEY_PREFIX) for key in each.get("keys", ())),
            identities=tuple(each.get("identities", ())),
            mark=document.mark("approvers", index),
        )
        for index, each in enumerate(raw)
    )
    keys = [
        (key, document.mark("approvers", index, "keys", place))
        for index, each in enumerate(people)
        for place, key in enumerate(each.keys)
    ]
    problems = [
        *_repeated("Approver", ((each.email.casefold(), each.email, each.mark) for each in people)),
        *_repeated("The key", ((key, KEY_PREFIX + key, mark) for key, mark in keys)),
        *(problem for key, mark in keys for problem in _not_a_key(key, mark)),
        *_shared(people, document),
    ]
    if problems:
        raise InvalidFilesError(problems)
    return people


def rules_of(document: Document, raw: Mapping[str, Any] | None) -> ApprovalRules:
    """Raises :class:`InvalidFilesError` when nothing would have to approve what no condition holds for."""
    if raw is None:
        return ApprovalRules()
    rules = tuple(
        ApprovalRule(
            needs=frozenset(map(ApproverRole, each["needs"])),
            over=Decimal(each["over"]) if "over" in each else None,
            destructive=each.get("destructive", False),
        )
        for each in raw["rules"]
    )
    if all(each.over is not None or each.destructive for each in rules):
        message = "Every rule has a condition: nobody would have to approve what none of them holds for."
        hint = "Add a rule without conditions, such as `- {needs: [engineering]}`."
        raise InvalidFilesError([Diagnostic("approval", message, document.key_mark("approval", "rules"), hint)])
    return ApprovalRules(rules, raw.get("valid_hours", ApprovalRules().valid_hours))


def _repeated(what: str, items: Iterable[tuple[str, str, Mark]]) -> Iterator[Diagnostic]:
    """``items`` are what is compared, how it is called, and where."""
    first: dict[str, Mark] = {}
    for same, name, mark in items:
        if same in first:
            yield Diagnostic("duplicate", f"{what} {name} is listed twice.", mark, "Keep one.", (first[same],))
        first.setdefault(same, mark)


def _not_a_key(key: str, mark: Mark) -> Iterator[Diagnostic]:
    raw = base64.b64decode(key)
    y = int.from_bytes(raw, "little") & (2**255 - 1)
    if len(raw) != 32 or base64.b64encode(raw).decode() != key or y >= _PRIME or y in _WEAK:
        message = f"{KEY_PREFIX}{key} is not an ed25519 public key that can be trusted."
        yield Diagnostic("approver-key", message, mark, "Put what `finops-policy approve --register` prints here.")


def _shared(people: Sequence[Approver], document: Document) -> Iterator[Diagnostic]:
    """Globs of two people that one ARN could match: it would not be clear who that is."""
    places = [(who, place, glob) for who, each in enumerate(people) for place, glob in enumerate(each.identities)]
    for later, (who, place, glob) in enumerate(places):
        for other, there, earlier in places[:later]:
            if who != other and _overlap(glob, earlier):
                message = f"{earlier} and {glob} can be one identity, of two people."
                mark = document.mark("approvers", who, "identities", place)
                related = document.mark("approvers", other, "identities", there)
                yield Diagnostic("duplicate", message, mark, "Let an identity be one person's alone.", (related,))
                break


def _overlap(one: str, other: str) -> bool:
    """Whether any text matches both globs; ``*`` and ``?`` do not match a slash."""
    waiting, seen = [(0, 0)], set[tuple[int, int]]()
    while waiting:
        place = waiting.pop()
        if place in seen:
            continue
        seen.add(place)
        left, right = place
        a, b = one[left : left + 1], other[right : right + 1]
        if not a and not b:
            return True
        if a == "*":
            waiting += [(left + 1, right), *([(left, right + 1)] if b not in {"", "/"} else [])]
        elif b == "*":
            waiting += [(left, right + 1), *([(left + 1, right)] if a not in {"", "/"} else [])]
        elif a == b or (a == "?" and b not in {"", "/"}) or (b == "?" and a not in {"", "/"}):
            waiting.append((left + 1, right + 1))
    return False
