"""PURE: what a resource costs a month and what mending a finding would save, from a price book of list prices.

A month is 730 hours. Whatever cannot be priced (an attribute or a price is missing) is unknown with its reason, never
zero. Limits: on-demand list prices only; discounts, reservations, free tiers, data transfer and I/O are not counted.
Snapshots are priced at their volume's full size although AWS bills changed blocks: an upper bound, and labelled so.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, NamedTuple

from finops_policy.model import Verdict
from finops_policy.money import Money, Price

HOURS_PER_MONTH = Decimal(730)
CENT_FRACTION = Decimal("0.0001")
SIZES = (
    *("nano", "micro", "small", "medium", "large", "xlarge"),
    *(f"{count}xlarge" for count in (2, 3, 4, 6, 8, 9, 10, 12, 16, 18, 24, 32, 48)),
)
"""Sizes of an instance family in rising order; a family has only some of them."""


class Unpriced(Exception):  # noqa: N818 - a reason, not an error
    """Why a figure cannot be worked out; caught in :func:`price`."""


class PriceBook:
    """Looks prices up by key and region."""

    def __init__(self, prices: Iterable[Price]) -> None:
        self._prices = {(price.key, price.region): price for price in prices}
        self._keys = {key for key, _ in self._prices}
        self.currency = next((price.currency for price in self._prices.values()), "USD")

    def get(self, key: str, region: str) -> Price:
        try:
            return self._prices[key, region]
        except KeyError:
            raise Unpriced(f"no price of {key} in {region}") from None

    def smaller(self, key: str, region: str) -> Price:
        """The price of the next size down in the family: ec2/m5.xlarge -> ec2/m5.large.

        A size that is priced anywhere exists: where only this region's price is missing, it is unknown, not skipped.
        """
        family, _, size = key.rpartition(".")
        if size not in SIZES:
            raise Unpriced(f"size of {key} is not known")
        for smaller in reversed(SIZES[: SIZES.index(size)]):
            if f"{family}.{smaller}" in self._keys:
                return self.get(f"{family}.{smaller}", region)
        raise Unpriced(f"no price of a size below {key} in {region}")


@dataclass(frozen=True, slots=True)
class Line:
    """One priced quantity of a resource: units a month times the unit price. ``saved`` is the price per unit saved."""

    price: Price
    units: Decimal
    saved: Decimal


Method = Callable[[Mapping[str, Any], str, PriceBook], Iterator[Line]]


def _need(resource: Mapping[str, Any], *keys: str) -> Any:
    value: Any = resource
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    if value is None:
        raise Unpriced(f"attribute absent: {'.'.join(keys)}")
    return value


def _whole(price: Price, units: Decimal) -> Line:
    return Line(price, units, price.amount)


def _ec2_key(resource: Mapping[str, Any]) -> str:
    """The book has Linux on demand and shared hardware; Windows, Spot or dedicated instances have other prices."""
    platform = resource.get("PlatformDetails") or resource.get("Platform")
    tenancy = (resource.get("Placement") or {}).get("Tenancy")
    for kind in (platform, resource.get("InstanceLifecycle"), tenancy):
        if kind and kind not in ("Linux/UNIX", "default"):
            raise Unpriced(f"no price of {kind} instances")
    return f"ec2/{_need(resource, 'InstanceType')}"


def _on_demand_hours(resource: Mapping[str, Any], region: str, book: PriceBook) -> Iterator[Line]:
    yield _whole(book.get(_ec2_key(resource), region), HOURS_PER_MONTH)


def _next_size_down(resource: Mapping[str, Any], region: str, book: PriceBook) -> Iterator[Line]:
    key = _db_key(resource) if "DBInstanceClass" in resource else _ec2_key(resource)
    current, smaller = book.get(key, region), book.smaller(key, region)
    yield Line(current, HOURS_PER_MONTH * _db_copies(resource), current.amount - smaller.amount)


def _volume_storage(resource: Mapping[str, Any], region: str, book: PriceBook) -> Iterator[Line]:
    yield _whole(book.get(f"ebs/{_need(resource, 'VolumeType')}", region), Decimal(_need(resource, "Size")))


def _snapshot_storage(resource: Mapping[str, Any], region: str, book: PriceBook) -> Iterator[Line]:
    if (tier := resource.get("StorageTier") or "standard") != "standard":
        raise Unpriced(f"no price of the {tier} tier")
    yield _whole(book.get("ebs-snapshot/standard", region), Decimal(_need(resource, "VolumeSize")))


def _image_storage(resource: Mapping[str, Any], region: str, book: PriceBook) -> Iterator[Line]:
    disks = [each["Ebs"] for each in _need(resource, "BlockDeviceMappings") if "Ebs" in each]
    sizes = [_need(disk, "VolumeSize") for disk in disks]
    if not sizes:
        raise Unpriced("the image names no snapshot sizes")
    yield _whole(book.get("ebs-snapshot/standard", region), Decimal(sum(sizes)))


def _flat(key: str) -> Method:
    def method(_resource: Mapping[str, Any], region: str, book: PriceBook) -> Iterator[Line]:
        yield _whole(book.get(key, region), HOURS_PER_MONTH)

    return method


def _load_balancer_hours(resource: Mapping[str, Any], region: str, book: PriceBook) -> Iterator[Line]:
    kinds = {"application": "alb", "network": "nlb", "gateway": "gwlb"}
    kind = resource.get("Type", "classic")
    key = "elb" if kind == "classic" else kinds.get(kind, kind)
    yield _whole(book.get(f"{key}/hour", region), HOURS_PER_MONTH)


def _db_key(resource: Mapping[str, Any]) -> str:
    return f"rds/{_need(resource, 'Engine')}/{_need(resource, 'DBInstanceClass')}"


def _db_copies(resource: Mapping[str, Any]) -> int:
    return 2 if resource.get("MultiAZ") else 1


def _db_instance_hours(resource: Mapping[str, Any], region: str, book: PriceBook) -> Iterator[Line]:
    yield _whole(book.get(_db_key(resource), region), HOURS_PER_MONTH * _db_copies(resource))


def _provisioned_capacity(resource: Mapping[str, Any], region: str, book: PriceBook) -> Iterator[Line]:
    if (resource.get("BillingModeSummary") or {}).get("BillingMode") == "PAY_PER_REQUEST":
        raise Unpriced("billed per request: only its storage costs, which is not priced")
    if (kind := (resource.get("TableClassSummary") or {}).get("TableClass") or "STANDARD") != "STANDARD":
        raise Unpriced(f"no price of table class {kind}")
    for key, attribute in (("dynamodb/rcu", "ReadCapacityUnits"), ("dynamodb/wcu", "WriteCapacityUnits")):
        units = Decimal(_need(resource, "ProvisionedThroughput", attribute))
        yield _whole(book.get(key, region), HOURS_PER_MONTH * units)


NOT_COUNTED = {
    Verdict.COMPLIANT: "nothing to save: compliant",
    Verdict.WAIVED: "not counted: waived",
    Verdict.UNKNOWN: "unknown: the resource could not be judged",
}
"""Why an evaluation saves nothing, although its resource is priced."""

METHODS: dict[str, Method] = {
    "on_demand_hours": _on_demand_hours,
    "next_size_down": _next_size_down,
    "volume_storage": _volume_storage,
    "snapshot_storage": _snapshot_storage,
    "image_storage": _image_storage,
    "address_hours": _flat("eip/idle"),
    "nat_gateway_hours": _flat("nat-gateway/hour"),
    "load_balancer_hours": _load_balancer_hours,
    "db_instance_hours": _db_instance_hours,
    "provisioned_capacity": _provisioned_capacity,
}


def price(method: str, resource: Mapping[str, Any], region: str, book: PriceBook, verdict: Verdict) -> Money | None:
    """What ``resource`` costs, and what is saved if it is noncompliant; ``None`` for a policy without a method."""
    if not method:
        return None
    try:
        lines = list(METHODS[method](resource, region, book))
    except Unpriced as reason:
        return Money(book.currency, method, reason=str(reason))
    noncompliant = verdict is Verdict.NONCOMPLIANT
    return Money(
        currency=book.currency,
        method=method,
        cost=_round(sum((line.price.amount * line.units for line in lines), Decimal())),
        savings=_round(sum((line.saved * line.units for line in lines), Decimal())) if noncompliant else None,
        source=", ".join(dict.fromkeys(line.price.source for line in lines)),
        as_of=min(line.price.as_of for line in lines),
        verified=all(line.price.verified for line in lines),
        reason=NOT_COUNTED.get(verdict, ""),
    )


def _round(amount: Decimal) -> Decimal:
    return amount.quantize(CENT_FRACTION, ROUND_HALF_UP)


class Claim(NamedTuple):
    """What a noncompliant evaluation claims to save a month; without ``savings``, ``reason`` says why it is unknown."""

    account_id: str
    policy: str
    resource_type: str
    resource_id: str
    arn: str
    savings: Decimal | None
    reason: str
    source: str
    as_of: dt.date | None
    verified: bool

    @property
    def resource(self) -> tuple[str, ...]:
        """Which resource of its target: without an ARN only the type tells a table from a log group of that name."""
        return (self.arn,) if self.arn else (self.resource_type, self.resource_id)


@dataclass(frozen=True, slots=True)
class Total:
    """Savings over many claims: the ``amount`` of the ``counted`` ones; the ``unpriced`` ones are not in it."""

    amount: Decimal = Decimal()
    counted: int = 0
    unpriced: int = 0


@dataclass(frozen=True, slots=True)
class Savings:
    """Savings over a whole run. ``policies`` has every policy by itself, whatever others claim; all else is of what was
    counted. ``overlapping`` claims were left out because another policy's on the same resource saves as much or more;
    ``unpriced`` maps reasons to claims."""

    total: Total
    policies: Mapping[str, Total]
    by_policy: Mapping[str, Decimal]
    by_account: Mapping[str, Decimal]
    overlapping: int
    unpriced: Mapping[str, int]
    sources: frozenset[str]
    oldest: dt.date | None
    unverified: int


def add_up(targets: Iterable[Iterable[Claim]]) -> Savings:
    """Adds up what the noncompliant evaluations of each target claim, holding one target at a time: two policies on one
    resource count once, the larger one, and of equals the first."""
    amounts: dict[str, Decimal] = defaultdict(Decimal)
    counted: Counter[str] = Counter()
    unpriced: Counter[tuple[str, str]] = Counter()
    by_policy: dict[str, Decimal] = defaultdict(Decimal)
    by_account: dict[str, Decimal] = defaultdict(Decimal)
    unverified = overlapping = number = 0
    origins: set[tuple[str, dt.date | None]] = set()
    for target in targets:
        best: dict[tuple[str, ...], tuple[Decimal, Claim]] = {}
        alone: dict[tuple[str, ...], Decimal] = {}
        priced = 0
        for claim in target:
            saving = claim.savings
            if saving is None:
                unpriced[claim.policy, claim.reason] += 1
                continue
            priced += 1
            resource = claim.resource
            if resource not in best or saving > best[resource][0]:
                best[resource] = (saving, claim)
            own = (claim.policy, *resource)
            alone[own] = max(saving, alone.get(own, saving))
        for (policy, *_), saving in alone.items():
            amounts[policy] += saving
            counted[policy] += 1
        for saving, claim in best.values():
            by_policy[claim.policy] += saving
            by_account[claim.account_id] += saving
            origins.add((claim.source, claim.as_of))
            unverified += not claim.verified
        number += len(best)
        overlapping += priced - len(best)
    reasons, missing = Counter[str](), Counter[str]()
    for (policy, reason), count in unpriced.items():
        reasons[reason] += count
        missing[policy] += count
    return Savings(
        total=Total(sum(by_account.values(), Decimal()), number, missing.total()),
        policies={name: Total(amounts[name], counted[name], missing[name]) for name in {**counted, **missing}},
        by_policy=dict(by_policy),
        by_account=dict(by_account),
        overlapping=overlapping,
        unpriced=dict(reasons),
        sources=frozenset(source for source, _ in origins if source),
        oldest=min((as_of for _, as_of in origins if as_of), default=None),
        unverified=unverified,
    )
