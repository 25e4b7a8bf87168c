"""Money: exact to the last digit, unknown with a reason where something is missing, and counted once per resource."""

from __future__ import annotations

import datetime as dt
import itertools
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finops_policy.catalog import Catalog
from finops_policy.model import Verdict
from finops_policy.money import Money, Price
from finops_policy.savings import METHODS, NOT_COUNTED, SIZES, Claim, PriceBook, Total, Unpriced, add_up, price
from finops_policy.validation import schema
from tests.unit.builders import DEV, PROD

US, EU = "us-east-1", "eu-west-1"


def listed(key: str, amount: str, region: str = US, **changes: Any) -> Price:
    made = Price(key, region, "hour", Decimal(amount), "USD", "the list", dt.date(2025, 6, 1), verified=True)
    return replace(made, **changes)


BOOK = PriceBook(
    [
        listed("ec2/m5.large", "0.096"),
        listed("ec2/m5.xlarge", "0.192"),
        listed("ec2/m5.4xlarge", "0.768"),
        listed("ebs/gp3", "0.08"),
        listed("ebs-snapshot/standard", "0.05"),
        listed("eip/idle", "0.005"),
        listed("nat-gateway/hour", "0.045"),
        listed("elb/hour", "0.025"),
        listed("alb/hour", "0.0225"),
        listed("nlb/hour", "0.0226"),
        listed("gwlb/hour", "0.0125"),
        listed("rds/postgres/db.m5.large", "0.178"),
        listed("rds/postgres/db.m5.xlarge", "0.356"),
        listed("rds/mysql/db.m5.large", "0.171"),
        listed("dynamodb/rcu", "0.00013"),
        listed("dynamodb/wcu", "0.00065"),
    ]
)


def priced(
    method: str, resource: dict[str, Any], book: PriceBook = BOOK, verdict: Verdict = Verdict.NONCOMPLIANT
) -> Money:
    found = price(method, resource, US, book, verdict)
    assert found is not None
    return found


def postgres(size: str = "db.m5.xlarge", **changes: Any) -> dict[str, Any]:
    return {"Engine": "postgres", "DBInstanceClass": size, "MultiAZ": False, **changes}


# --- What a resource costs --------------------------------------------------------------------------------------------

EXAMPLES: list[tuple[str, dict[str, Any], str, str]] = [
    ("on_demand_hours", {"InstanceType": "m5.large"}, "70.08", "70.08"),
    ("next_size_down", {"InstanceType": "m5.xlarge"}, "140.16", "70.08"),
    ("next_size_down", postgres(), "259.88", "129.94"),
    ("next_size_down", postgres(MultiAZ=True), "519.76", "259.88"),
    ("volume_storage", {"VolumeType": "gp3", "Size": 500}, "40", "40"),
    ("snapshot_storage", {"VolumeSize": 33}, "1.65", "1.65"),
    (
        "image_storage",
        {
            "BlockDeviceMappings": [
                {"Ebs": {"VolumeSize": 8}},
                {"VirtualName": "ephemeral0"},
                {"Ebs": {"VolumeSize": 100}},
            ]
        },
        "5.4",
        "5.4",
    ),
    ("address_hours", {"PublicIp": "198.51.100.7"}, "3.65", "3.65"),
    ("nat_gateway_hours", {}, "32.85", "32.85"),
    ("load_balancer_hours", {"LoadBalancerName": "classic ones have no type"}, "18.25", "18.25"),
    ("load_balancer_hours", {"Type": "application"}, "16.425", "16.425"),
    ("load_balancer_hours", {"Type": "network"}, "16.498", "16.498"),
    ("load_balancer_hours", {"Type": "gateway"}, "9.125", "9.125"),
    ("db_instance_hours", postgres("db.m5.large"), "129.94", "129.94"),
    ("db_instance_hours", postgres("db.m5.large", MultiAZ=True), "259.88", "259.88"),
    ("db_instance_hours", {"Engine": "mysql", "DBInstanceClass": "db.m5.large"}, "124.83", "124.83"),
    (
        "provisioned_capacity",
        {"ProvisionedThroughput": {"ReadCapacityUnits": 10, "WriteCapacityUnits": 5}},
        "3.3215",
        "3.3215",
    ),
]


@pytest.mark.parametrize(("method", "resource", "cost", "savings"), EXAMPLES)
def test_cost_and_savings(method: str, resource: dict[str, Any], cost: str, savings: str) -> None:
    before = repr(resource)
    found = priced(method, resource)
    assert (found.cost, found.savings) == (Decimal(cost), Decimal(savings))
    assert (found.currency, found.method, found.reason) == ("USD", method, "")
    assert (found.source, found.as_of, found.verified) == ("the list", dt.date(2025, 6, 1), True)
    assert repr(resource) == before


@pytest.mark.parametrize("verdict", [Verdict.COMPLIANT, Verdict.WAIVED, Verdict.UNKNOWN])
@pytest.mark.parametrize(("method", "resource", "cost", "savings"), EXAMPLES)
def test_only_a_finding_saves_anything(
    method: str, resource: dict[str, Any], cost: str, savings: str, verdict: Verdict
) -> None:
    found = priced(method, resource, verdict=verdict)
    assert (found.cost, found.savings, found.reason) == (Decimal(cost), None, NOT_COUNTED[verdict]), savings


def test_every_method_a_policy_may_name_is_there_and_has_an_example() -> None:
    allowed = schema("policy")["properties"]["savings"]["properties"]["method"]["enum"]
    assert set(METHODS) == set(allowed) == {method for method, *_ in EXAMPLES}


def test_a_table_billed_per_request_is_unpriced_and_not_free() -> None:
    table = {
        "BillingModeSummary": {"BillingMode": "PAY_PER_REQUEST"},
        "ProvisionedThroughput": {"ReadCapacityUnits": 0, "WriteCapacityUnits": 0},
    }
    unknown(priced("provisioned_capacity", table), "billed per request: only its storage costs, which is not priced")


def test_a_policy_without_a_method_has_no_money() -> None:
    assert price("", {"InstanceType": "m5.large"}, US, BOOK, Verdict.NONCOMPLIANT) is None


def test_figures_of_several_prices_name_every_source_and_the_oldest_date() -> None:
    book = PriceBook(
        [
            listed("dynamodb/rcu", "1", source="a list", as_of=dt.date(2026, 1, 1)),
            listed("dynamodb/wcu", "1", source="a letter", as_of=dt.date(2024, 1, 1), verified=False),
        ]
    )
    throughput = {"ReadCapacityUnits": 1, "WriteCapacityUnits": 1}
    found = priced("provisioned_capacity", {"ProvisionedThroughput": throughput}, book)
    assert (found.source, found.as_of, found.verified) == ("a list, a letter", dt.date(2024, 1, 1), False)


# --- What is missing is unknown, never zero ---------------------------------------------------------------------------


def unknown(found: Money, reason: str) -> None:
    assert (found.cost, found.savings) == (None, None)
    assert found.reason == reason
    assert not found.verified


@pytest.mark.parametrize(("method", "resource", "cost", "savings"), EXAMPLES)
def test_without_a_price_a_figure_is_unknown(method: str, resource: dict[str, Any], cost: str, savings: str) -> None:
    for book, region in ((PriceBook([]), US), (BOOK, EU)):
        found = price(method, resource, region, book, Verdict.NONCOMPLIANT)
        assert found is not None
        assert (found.cost, found.savings) == (None, None), f"not {cost}, {savings} or zero"
        assert found.currency == "USD"
        assert found.reason.startswith("no price of ")
        assert found.reason.endswith(f" in {region}")


@pytest.mark.parametrize(
    ("method", "resource", "absent"),
    [
        ("on_demand_hours", {}, "InstanceType"),
        ("on_demand_hours", {"InstanceType": None}, "InstanceType"),
        ("next_size_down", {}, "InstanceType"),
        ("next_size_down", {"DBInstanceClass": "db.m5.large"}, "Engine"),
        ("volume_storage", {"VolumeType": "gp3"}, "Size"),
        ("volume_storage", {"Size": 8}, "VolumeType"),
        ("snapshot_storage", {"VolumeSize": None}, "VolumeSize"),
        ("image_storage", {}, "BlockDeviceMappings"),
        (
            "image_storage",
            {"BlockDeviceMappings": [{"Ebs": {"VolumeSize": 8}}, {"Ebs": {"Encrypted": True}}]},
            "VolumeSize",
        ),
        ("db_instance_hours", {"Engine": "postgres"}, "DBInstanceClass"),
        ("provisioned_capacity", {}, "ProvisionedThroughput.ReadCapacityUnits"),
        ("provisioned_capacity", {"ProvisionedThroughput": None}, "ProvisionedThroughput.ReadCapacityUnits"),
        (
            "provisioned_capacity",
            {"ProvisionedThroughput": {"ReadCapacityUnits": 5}},
            "ProvisionedThroughput.WriteCapacityUnits",
        ),
    ],
)
def test_without_an_attribute_a_figure_is_unknown(method: str, resource: dict[str, Any], absent: str) -> None:
    unknown(priced(method, resource), f"attribute absent: {absent}")


def test_an_image_without_disks_is_unknown() -> None:
    unknown(
        priced("image_storage", {"BlockDeviceMappings": [{"VirtualName": "x"}]}), "the image names no snapshot sizes"
    )


def test_an_unknown_kind_of_load_balancer_is_unknown() -> None:
    unknown(priced("load_balancer_hours", {"Type": "quantum"}), "no price of quantum/hour in us-east-1")


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"Platform": "windows"}, "windows"),
        ({"PlatformDetails": "Red Hat Enterprise Linux"}, "Red Hat Enterprise Linux"),
        ({"PlatformDetails": "Windows", "Platform": "windows"}, "Windows"),
        ({"InstanceLifecycle": "spot"}, "spot"),
        ({"Placement": {"Tenancy": "dedicated"}}, "dedicated"),
    ],
)
@pytest.mark.parametrize("method", ["on_demand_hours", "next_size_down"])
def test_an_instance_that_is_not_billed_as_linux_on_demand_is_unknown(
    method: str, changes: dict[str, Any], kind: str
) -> None:
    unknown(priced(method, {"InstanceType": "m5.xlarge", **changes}), f"no price of {kind} instances")


def test_the_usual_kind_of_instance_is_priced_however_aws_spells_it() -> None:
    usual = {
        "PlatformDetails": "Linux/UNIX",
        "Placement": {"Tenancy": "default"},
        "Platform": "",
        "InstanceLifecycle": None,
    }
    assert priced("on_demand_hours", {"InstanceType": "m5.large", **usual}).cost == Decimal("70.08")
    assert priced("on_demand_hours", {"InstanceType": "m5.large", "Placement": None}).cost == Decimal("70.08")


# --- The next size down -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "smaller"),
    [
        ("ec2/m5.xlarge", "ec2/m5.large"),
        ("ec2/m5.4xlarge", "ec2/m5.xlarge"),  # nobody sells a 2xlarge of this family
        ("rds/postgres/db.m5.xlarge", "rds/postgres/db.m5.large"),
    ],
)
def test_the_next_size_down_is_the_nearest_that_the_family_has(key: str, smaller: str) -> None:
    assert BOOK.smaller(key, US).key == smaller


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("ec2/m5.large", "no price of a size below ec2/m5.large in us-east-1"),
        ("ec2/m5.metal", "size of ec2/m5.metal is not known"),
        ("ec2/m5.96xlarge", "size of ec2/m5.96xlarge is not known"),
        ("ec2/m5", "size of ec2/m5 is not known"),
        ("ec2/m5.", "size of ec2/m5. is not known"),
        ("ec2/xlarge", "size of ec2/xlarge is not known"),
        ("ec2/m5a.xlarge", "no price of a size below ec2/m5a.xlarge in us-east-1"),
        ("rds/mysql/db.m5.xlarge", ""),
    ],
)
def test_there_is_not_always_a_next_size_down(key: str, reason: str) -> None:
    if reason:
        with pytest.raises(Unpriced) as caught:
            BOOK.smaller(key, US)
        assert str(caught.value) == reason
    else:
        assert BOOK.smaller(key, US).key == "rds/mysql/db.m5.large", "of its own engine, not of another"


def test_the_smallest_size_saves_nothing_known() -> None:
    unknown(
        priced("next_size_down", {"InstanceType": "m5.large"}), "no price of a size below ec2/m5.large in us-east-1"
    )


def test_a_size_without_a_price_here_is_not_skipped() -> None:
    """Elsewhere there is a 2xlarge: to save down to the xlarge would be to promise too much."""
    book = PriceBook(
        [
            listed("ec2/m5.4xlarge", "0.768"),
            listed("ec2/m5.xlarge", "0.192"),
            listed("ec2/m5.2xlarge", "0.428", region=EU),
        ]
    )
    found = price("next_size_down", {"InstanceType": "m5.4xlarge"}, US, book, Verdict.NONCOMPLIANT)
    assert found is not None
    unknown(found, "no price of ec2/m5.2xlarge in us-east-1")


def test_sizes_rise() -> None:
    assert len(set(SIZES)) == len(SIZES)
    counts = [int(size.removesuffix("xlarge") or 1) for size in SIZES if size.endswith("xlarge")]
    assert counts == sorted(counts)
    assert SIZES[:5] == ("nano", "micro", "small", "medium", "large")


@pytest.mark.parametrize(
    "family",
    [
        "t3: nano micro small medium large xlarge 2xlarge",
        "m4: large xlarge 2xlarge 4xlarge 10xlarge 16xlarge",
        "c5: large xlarge 2xlarge 4xlarge 9xlarge 12xlarge 18xlarge 24xlarge",
        "i3en: large xlarge 2xlarge 3xlarge 6xlarge 12xlarge 24xlarge",
        "x1e: xlarge 2xlarge 4xlarge 8xlarge 16xlarge 32xlarge",
        "m7i: large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 48xlarge",
    ],
)
def test_every_size_of_a_family_has_a_next_size_down(family: str) -> None:
    name, _, sizes = family.partition(": ")
    keys = [f"ec2/{name}.{size}" for size in sizes.split()]
    book = PriceBook(listed(key, "1") for key in reversed(keys))
    assert [book.smaller(key, US).key for key in keys[1:]] == keys[:-1]


def test_each_shipped_size_costs_more_than_the_next_size_down(tmp_path: Path) -> None:
    prices = Catalog(tmp_path).prices()
    book, compared = PriceBook(prices), 0
    for each in prices:
        if each.key.startswith(("ec2/", "rds/")):
            try:
                smaller = book.smaller(each.key, each.region)
            except Unpriced:
                continue
            compared += 1
            assert smaller.amount < each.amount, f"{each.key} in {each.region}"
    assert compared > 50


# --- Exactness --------------------------------------------------------------------------------------------------------

AMOUNTS = st.decimals(min_value=0, max_value=10_000, places=10)


def rounded(exact: Fraction) -> Decimal:
    """To four places, half up, by integers alone."""
    return Decimal(int(exact * 10_000 + Fraction(1, 2))).scaleb(-4)


@settings(deadline=None)
@given(AMOUNTS, st.integers(0, 10**7))
def test_storage_is_exact(amount: Decimal, size: int) -> None:
    book = PriceBook([listed("ebs/gp3", str(amount))])
    found = priced("volume_storage", {"VolumeType": "gp3", "Size": size}, book)
    assert found.cost == found.savings == rounded(Fraction(amount) * size)


@settings(deadline=None)
@given(AMOUNTS, AMOUNTS, st.booleans())
def test_a_size_down_is_exact(large: Decimal, small: Decimal, twice: bool) -> None:
    book = PriceBook(
        [listed("rds/postgres/db.m5.xlarge", str(large)), listed("rds/postgres/db.m5.large", str(min(large, small)))]
    )
    found = priced("next_size_down", postgres(MultiAZ=twice), book)
    hours = 730 * (2 if twice else 1)
    assert found.cost == rounded(Fraction(large) * hours)
    assert found.savings == rounded((Fraction(large) - Fraction(min(large, small))) * hours)


@pytest.mark.parametrize(("amount", "cost"), [("0.00005", "0.0001"), ("0.00004999", "0.0000"), ("0.00015", "0.0002")])
def test_half_a_unit_is_rounded_up(amount: str, cost: str) -> None:
    found = priced("volume_storage", {"VolumeType": "gp3", "Size": 1}, PriceBook([listed("ebs/gp3", amount)]))
    assert str(found.cost) == cost


# --- Adding up --------------------------------------------------------------------------------------------------------


def claim(resource: str, saving: str | None, policy: str = "ec2-idle", **changes: Any) -> Claim:
    """One with an ARN made of ``resource``; without a ``saving``, the price of it is missing."""
    made = Claim(
        account_id=PROD,
        policy=policy,
        resource_type="aws.ec2",
        resource_id=resource,
        arn=f"arn:aws:x:::{resource}",
        savings=None if saving is None else Decimal(saving),
        reason="no price" if saving is None else "",
        source="the list",
        as_of=dt.date(2025, 6, 1),
        verified=True,
    )
    return made._replace(**changes)


def test_nothing_adds_up_to_nothing() -> None:
    for nothing in ([], [[]]):
        found = add_up(nothing)
        assert found.total == Total(Decimal(), 0, 0)
        assert (found.policies, found.by_policy, found.by_account, found.unpriced) == ({}, {}, {}, {})
        assert (found.overlapping, found.sources, found.oldest, found.unverified) == (0, frozenset(), None, 0)


def test_savings_of_different_resources_add_up() -> None:
    found = add_up([iter([claim("a", "0.1"), claim("b", "0.2"), claim("c", "0.0001", "other")])])
    assert found.total == Total(Decimal("0.3001"), 3, 0)
    assert found.by_policy == {"ec2-idle": Decimal("0.3"), "other": Decimal("0.0001")}
    assert found.policies == {"ec2-idle": Total(Decimal("0.3"), 2, 0), "other": Total(Decimal("0.0001"), 1, 0)}
    assert found.overlapping == 0


def test_two_policies_on_one_resource_count_once_and_the_larger_one_wins() -> None:
    small, large = claim("a", "10", "ec2-oversized"), claim("a", "25", "ec2-idle")
    for order in itertools.permutations([small, large, claim("b", "1", "ec2-oversized")]):
        found = add_up([order])
        assert found.total == Total(Decimal(26), 2, 0)
        assert found.by_policy == {"ec2-idle": 25, "ec2-oversized": 1}
        assert found.overlapping == 1


def test_a_policy_by_itself_knows_nothing_of_the_others() -> None:
    found = add_up([[claim("a", "10", "small"), claim("a", "25", "large"), claim("a", "7", "small")]])
    assert found.policies == {"small": Total(Decimal(10), 1, 0), "large": Total(Decimal(25), 1, 0)}
    assert (found.by_policy, found.overlapping) == ({"large": 25}, 2)


def test_of_two_equal_savings_the_first_is_counted() -> None:
    found = add_up([[claim("a", "10", name) for name in ("one", "two", "three")]])
    assert (found.total.amount, found.by_policy, found.overlapping) == (10, {"one": 10}, 2)


def test_a_resource_of_another_target_is_another() -> None:
    found = add_up([[claim("a", "1")], [claim("a", "1", "two")], [claim("a", "1", account_id=DEV)]])
    assert (found.total.amount, found.by_account, found.overlapping) == (3, {PROD: 2, DEV: 1}, 0)


@pytest.mark.parametrize("other", [{"arn": "arn:aws:x:::b"}, {"arn": "", "resource_id": "b"}])
def test_resources_are_told_apart(other: dict[str, Any]) -> None:
    one = claim("a", "1", arn="" if other["arn"] == "" else "arn:aws:x:::a")
    assert add_up([[one, claim("a", "1", "two", **other)]]).total.amount == 2


def test_without_an_arn_resources_of_two_types_are_two() -> None:
    table = claim("orders", "1", arn="", resource_type="aws.dynamodb-table")
    group = claim("orders", "2", arn="", resource_type="aws.log-group")
    again = claim("orders", "5", "another", arn="", resource_type="aws.log-group")
    assert add_up([[table, group, again]]).total.amount == 6


def test_an_id_that_is_spelled_as_another_resources_arn_is_another_resource() -> None:
    odd = claim("arn:aws:x:::a", "2", arn="", resource_type="")
    assert add_up([[claim("a", "1"), odd]]).total.counted == 2


def test_what_is_not_priced_is_counted_by_reason_and_is_no_zero() -> None:
    some = [claim(f"r{at}", None, reason=reason) for at, reason in enumerate(("x", "y", "x"))]
    found = add_up([[*some, claim("z", "3", "other")]])
    assert found.unpriced == {"x": 2, "y": 1}
    assert found.total == Total(Decimal(3), 1, 3)
    assert found.policies == {"ec2-idle": Total(Decimal(), 0, 3), "other": Total(Decimal(3), 1, 0)}


def test_an_unpriced_finding_does_not_hide_a_priced_one_of_the_same_resource() -> None:
    for order in ([claim("a", None), claim("a", "3", "two")], [claim("a", "3", "two"), claim("a", None)]):
        found = add_up([order])
        assert (found.total, found.overlapping) == (Total(Decimal(3), 1, 1), 0)


def test_a_saving_of_zero_is_known() -> None:
    found = add_up([[claim("a", "0")]])
    assert (found.total, found.by_policy) == (Total(Decimal(), 1, 0), {"ec2-idle": 0})


def test_the_oldest_price_and_the_unverified_ones_are_of_what_was_counted() -> None:
    def dated(resource: str, saving: str, year: int, source: str, verified: bool) -> Claim:
        return claim(resource, saving, as_of=dt.date(year, 1, 1), source=source, verified=verified)

    counted = [dated("a", "2", 2025, "list", False), dated("b", "1", 2024, "", True), dated("c", "1", 2024, "x", False)]
    found = add_up([[counted[0], dated("a", "1", 2001, "old", False), *counted[1:]]])
    assert (found.oldest, found.unverified, found.sources) == (dt.date(2024, 1, 1), 2, {"list", "x"})


CLAIMS = st.lists(
    st.lists(
        st.builds(
            lambda resource, cents, policy: claim(
                resource, None if cents is None else str(Decimal(cents).scaleb(-4)), policy
            ),
            st.sampled_from("abc"),
            st.none() | st.integers(0, 10**9),
            st.sampled_from(["one", "two", "three"]),
        ),
        max_size=8,
    ),
    max_size=3,
)


@settings(deadline=None)
@given(CLAIMS, st.randoms())
def test_totals_are_the_sum_of_what_was_counted_in_any_order(targets: list[list[Claim]], random: Any) -> None:
    found = add_up(targets)
    best: dict[tuple[int, str], Decimal] = {}
    for number, target in enumerate(targets):
        for each in target:
            if each.savings is not None:
                best[number, each.arn] = max(each.savings, best.get((number, each.arn), each.savings))
    assert found.total.amount == sum(best.values()) == sum(found.by_policy.values()) == sum(found.by_account.values())
    assert found.total.counted == len(best)
    assert (
        found.total.unpriced == sum(found.unpriced.values()) == sum(each.unpriced for each in found.policies.values())
    )
    assert found.total.counted + found.overlapping + found.total.unpriced == sum(map(len, targets))
    shuffled = [random.sample(target, len(target)) for target in targets]
    again = add_up(shuffled)
    assert (again.total, again.unpriced, again.policies) == (found.total, found.unpriced, found.policies)
