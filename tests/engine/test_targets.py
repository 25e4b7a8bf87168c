"""What a run covers: accounts discovered or listed, their regions, and the credentials that open each."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError

from finops_policy import aws
from finops_policy.customer import ENABLED, Account, Customer, Organization, Role
from finops_policy.engine.targets import Found, find_targets
from finops_policy.errors import DiscoveryError, InvalidFilesError, UsageError
from finops_policy.failures import Failure
from finops_policy.marks import Mark
from finops_policy.model import FailureKind, Setting, Target
from finops_policy.roles import Roles

CALLER = aws.Identity("999900001111", "arn:aws:iam::999900001111:user/finops-runner")
PROD, DEV, DATA, LEGACY, CLOSED = "111122223333", "444455556666", "777788889999", "222233334444", "333344445555"
HUB = f"arn:aws:iam::{CALLER.account_id}:role/finops-policy-hub"
ROLE = Role("finops-policy-reader", "acme-7f3c")
MARK = Mark("customers/acme/customer.yaml", 7, 1)
HOUR, MINUTE = dt.timedelta(hours=1), dt.timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Call:
    operation: str
    asked: dict[str, Any]
    endpoint: str
    access_key: str


@dataclass
class Wire:
    """Every call that is made. ``answer`` may take one over: it answers, or raises, or leaves it to AWS with None."""

    calls: list[Call] = field(default_factory=list)
    answer: Callable[[Call], Any] = lambda _call: None

    def of(self, operation: str) -> list[dict[str, Any]]:
        return [call.asked for call in self.calls if call.operation == operation]


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    made = Wire()
    send = BaseClient._make_api_call

    def record(client: Any, operation: str, asked: dict[str, Any]) -> Any:
        keys = client._request_signer._credentials
        call = Call(operation, dict(asked), client.meta.endpoint_url, keys.access_key if keys else "")
        made.calls.append(call)
        answer = made.answer(call)
        return send(client, operation, asked) if answer is None else answer

    monkeypatch.setattr(BaseClient, "_make_api_call", record)
    return made


@pytest.fixture
def keys_of_a_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")


def refused(
    operation: str, code: str = "AccessDeniedException", said: str = "You don't have permissions."
) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": said}}, operation)


def account(account_id: str, *regions: str, name: str = "", role: Role | None = None) -> Account:
    return Account(account_id, name or f"name-{account_id}", regions or ("us-east-1",), {}, MARK, role)


def acme(*accounts: Account, role: Role | None = ROLE, partition: str = "aws") -> Customer:
    return Customer("acme", "Acme", "hipaa", partition, role, accounts, {}, "", MARK, ("us-east-1",))


def organized(
    *accounts: Account, include: tuple[str, ...] = (), exclude: tuple[str, ...] = (), **tags: str
) -> Customer:
    return replace(acme(*accounts), organization=Organization(include, exclude, tags, MARK))


def find(customer: Customer, accounts: tuple[str, ...] = (), regions: tuple[str, ...] = ()) -> Found:
    return find_targets(customer, accounts, regions, CALLER, Roles(customer, CALLER), lambda _text: None)


def names(found: Found) -> list[str]:
    return [target.account_name for target in found.targets]


def left_out(found: Found) -> dict[str, str]:
    return {each.name: each.reason for each in found.left_out}


# --- Discovery --------------------------------------------------------------------------------------------------------

EVERYONE = ["acme-prod", "acme-legacy", "acme-dev", "acme-data", "acme-management"]
OUT_OF_WORKLOADS = "it is under ou-acme-workloads, which customer.yaml excludes"
SUSPENDED = {"acme-closed": "its state in AWS Organizations is SUSPENDED"}


@pytest.mark.usefixtures("in_sandbox")
def test_a_whole_organization_by_account_id_in_one_call(wire: Wire) -> None:
    found = find(organized())
    assert names(found) == EVERYONE
    assert [each.id for each in found.customer.accounts] == sorted(each.id for each in found.customer.accounts)
    assert left_out(found) == SUSPENDED
    assert str(found.left_out[0]) == f"{CLOSED} acme-closed is left out: its state in AWS Organizations is SUSPENDED"
    assert [call.operation for call in wire.calls] == ["ListAccounts"]


@pytest.mark.parametrize(
    ("include", "exclude", "judged", "reasons"),
    [
        (("ou-acme-workloads",), (), ["acme-prod", "acme-dev", "acme-data"], {}),
        (("ou-acme-production", "ou-acme-development"), (), ["acme-prod", "acme-dev"], {}),
        (("ou-acme-workloads", "ou-acme-production"), (), ["acme-prod", "acme-dev", "acme-data"], {}),
        (("ou-acme-acquired",), (), ["acme-legacy"], SUSPENDED),
        (("r-acme",), (), EVERYONE, SUSPENDED),
        (
            ("ou-acme-workloads",),
            ("ou-acme-development",),
            ["acme-prod", "acme-data"],
            {"acme-dev": "it is under ou-acme-development, which customer.yaml excludes"},
        ),
        (
            (),
            ("ou-acme-workloads",),
            ["acme-legacy", "acme-management"],
            SUSPENDED | dict.fromkeys(("acme-prod", "acme-dev", "acme-data"), OUT_OF_WORKLOADS),
        ),
        (
            ("ou-acme-production", "r-acme"),
            ("ou-acme-workloads",),
            ["acme-prod", "acme-legacy", "acme-management"],
            SUSPENDED | dict.fromkeys(("acme-dev", "acme-data"), OUT_OF_WORKLOADS),
        ),
        (("ou-acme-production",), ("ou-acme-acquired",), ["acme-prod"], {}),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, tuple) else "",
)
@pytest.mark.usefixtures("in_sandbox")
def test_units_in_and_out_with_those_below_them(
    include: tuple[str, ...], exclude: tuple[str, ...], judged: list[str], reasons: dict[str, str]
) -> None:
    found = find(organized(include=include, exclude=exclude))
    assert (names(found), left_out(found)) == (judged, reasons)


@pytest.mark.usefixtures("in_sandbox")
def test_every_tag_must_be_there() -> None:
    found = find(organized(include=("r-acme",), finops="yes", stage="dev"))
    assert names(found) == ["acme-dev"]
    assert left_out(found) == SUSPENDED | {
        "acme-prod": "its tag stage is 'prod', not 'dev'",
        "acme-legacy": "it has no tag finops",
        "acme-data": "it has no tag stage",
        "acme-management": "it has no tag finops",
    }
    assert names(find(organized(finops="yes", stage="*"))) == ["acme-prod", "acme-dev"]


@pytest.mark.usefixtures("in_sandbox")
def test_what_a_customer_lists_wins_but_a_closed_account_stays_out() -> None:
    settings = {"idle-resources": {"idle_days": Setting(7, MARK)}}
    own = replace(account(DEV, "eu-west-1", name="development"), settings=settings)
    customer = organized(
        own, account("123456789012", name="outside"), account(CLOSED, name="old"), include=("ou-acme-workloads",),
        exclude=("ou-acme-development",), finops="yes",
    )  # fmt: skip
    found = find(replace(customer, organization=replace(customer.organization, include=())))  # type: ignore[type-var]
    assert [(each.account_name, each.region) for each in found.targets] == [
        ("development", "eu-west-1"),
        ("outside", "us-east-1"),
        ("acme-prod", "us-east-1"),
        ("acme-data", "us-east-1"),
    ]
    assert found.customer.accounts[0].settings == settings
    assert left_out(found)["old"] == SUSPENDED["acme-closed"]


@pytest.mark.parametrize("sort", ["include", "exclude"])
@pytest.mark.usefixtures("in_sandbox")
def test_a_unit_that_does_not_exist_is_told_at_its_place(sort: str) -> None:
    with pytest.raises(InvalidFilesError) as caught:
        find(organized(**{sort: ("ou-acme-workload",)}))  # type: ignore[arg-type]
    (problem,) = caught.value.diagnostics
    assert (problem.rule, problem.mark) == ("unknown-ou", MARK)
    assert problem.message == "The organization has no ou-acme-workload."


@pytest.mark.parametrize(
    ("operation", "asked", "customer"),
    [
        ("ListAccounts", {}, organized()),
        ("ListRoots", {}, organized(exclude=("ou-acme-acquired",))),
        ("ListAccountsForParent", {"ParentId": "ou-acme-development"}, organized(include=("ou-acme-workloads",))),
        ("ListOrganizationalUnitsForParent", {"ParentId": "ou-acme-production"}, organized(include=("r-acme",))),
        ("ListTagsForResource", {"ResourceId": DATA}, organized(finops="yes")),
    ],
)
@pytest.mark.usefixtures("in_sandbox")
def test_what_cannot_be_read_ends_the_discovery_and_names_the_permission(
    wire: Wire, operation: str, asked: dict[str, str], customer: Customer
) -> None:
    def deny(call: Call) -> None:
        if call.operation == operation and call.asked.items() >= asked.items():
            raise refused(operation)

    wire.answer = deny
    with pytest.raises(DiscoveryError) as caught:
        find(customer)
    assert caught.value.hint.startswith(f"Allow organizations:{operation} to {CALLER.arn}, which must be in")
    for value in asked.values():
        assert f" of {value}: " in caught.value.message


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        ("AWSOrganizationsNotInUseException", "Call from the organization's management account"),
        ("TooManyRequestsException", "Run again"),
        ("ExpiredTokenException", "Renew the credentials"),
    ],
)
@pytest.mark.usefixtures("in_sandbox")
def test_an_organization_that_does_not_answer_is_no_empty_one(wire: Wire, code: str, hint: str) -> None:
    def fail(call: Call) -> None:
        raise refused(call.operation, code, "no")

    wire.answer = fail
    with pytest.raises(DiscoveryError) as caught:
        find(organized())
    assert code in caught.value.message
    assert caught.value.hint.startswith(hint)


def pages(*pages: list[dict[str, str]]) -> Callable[[Call], Any]:
    def answer(call: Call) -> Any:
        if call.operation != "ListAccounts":
            return None
        number = int(call.asked.get("NextToken", 0))
        more = {"NextToken": str(number + 1)} if number + 1 < len(pages) else {}
        return {"Accounts": pages[number], **more}

    return answer


@pytest.mark.usefixtures("in_sandbox")
def test_every_page_counts_even_after_an_empty_one(wire: Wire) -> None:
    wire.answer = pages([{"Id": "2" * 12, "Name": "b", "Status": "ACTIVE"}], [], [{"Id": "1" * 12, "State": "ACTIVE"}])
    assert find(organized()).targets == (
        Target("1" * 12, "us-east-1", "1" * 12),
        Target("2" * 12, "us-east-1", "b"),
    )


@pytest.mark.usefixtures("in_sandbox")
def test_only_an_active_account_is_judged_whatever_the_old_field_says(wire: Wire) -> None:
    states = [
        {"Status": "PENDING_CLOSURE"},
        {"State": "PENDING_ACTIVATION"},
        {"State": "CLOSED", "Status": "SUSPENDED"},
        {"State": "ACTIVE", "Status": "SUSPENDED"},
        {},
    ]
    wire.answer = pages([{"Id": str(number) * 12, "Name": str(number)} | state for number, state in enumerate(states)])
    found = find(organized())
    assert names(found) == ["3", "4"], "what AWS says nothing of is judged, and fails where it cannot be entered"
    assert [each.reason.split()[-1] for each in found.left_out] == ["PENDING_CLOSURE", "PENDING_ACTIVATION", "CLOSED"]


@pytest.mark.usefixtures("in_sandbox")
def test_names_are_any_text_not_unique_and_cut(wire: Wire) -> None:
    hostile = "<script>\x1b[31m{{7*7}}"
    rows = [("1", hostile), ("2", hostile), ("3", "x" * 4000)]
    wire.answer = pages([{"Id": digit * 12, "Name": name, "State": "ACTIVE"} for digit, name in rows])
    assert names(find(organized())) == [hostile, hostile, "x" * 50]
    assert [each.account_id for each in find(organized(), (hostile,)).targets] == ["1" * 12, "2" * 12]


@pytest.mark.usefixtures("in_sandbox")
def test_an_organization_without_any_account_to_judge_is_an_error_with_the_reasons() -> None:
    with pytest.raises(UsageError) as caught:
        find(organized(finops="yes", stage="nothing"))
    assert "acme-prod is left out: its tag stage is 'prod', not 'nothing'" in caught.value.message


@pytest.mark.usefixtures("in_sandbox")
def test_accounts_left_out_are_said_by_reason(wire: Wire) -> None:
    rows = [(f"{number:012}", f"a{number}", "CLOSED" if number % 2 else "SUSPENDED") for number in range(1, 14)]
    active = {"Id": "9" * 12, "Name": "z", "State": "ACTIVE"}
    wire.answer = pages([active, *({"Id": each, "Name": name, "State": state} for each, name, state in rows)])
    customer, heard = organized(), list[str]()
    found = find_targets(customer, (), (), CALLER, Roles(customer, CALLER), heard.append)
    closed, suspended = heard[1:]
    assert closed == (
        "Left out: 000000000001 a1, 000000000003 a3, 000000000005 a5, 000000000007 a7, 000000000009 a9 and 2 more: "
        "its state in AWS Organizations is CLOSED"
    )
    assert suspended.startswith("Left out: 000000000002 a2, ")
    assert " and 1 more: " in suspended
    assert len(found.left_out) == 13


# --- Selection --------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("in_sandbox")
def test_accounts_are_chosen_by_id_or_name_once_they_are_known(wire: Wire) -> None:
    found = find(replace(organized(), regions=(ENABLED,)), ("acme-dev", DATA))
    assert set(names(found)) == {"acme-dev", "acme-data"}
    assert left_out(found) == {}, "of those chosen"
    assert len(wire.of("DescribeRegions")) == 2, "the others are not asked"
    with pytest.raises(UsageError) as caught:
        find(organized(), ("acme-managment",))
    assert caught.value.message == "Customer acme has no account 'acme-managment'."
    assert caught.value.hint.startswith("Did you mean acme-management")


@pytest.mark.usefixtures("in_sandbox")
def test_a_chosen_account_that_is_left_out_says_why() -> None:
    found = find(organized(), ("acme-dev", CLOSED))
    assert (names(found), left_out(found)) == (["acme-dev"], SUSPENDED)
    with pytest.raises(UsageError) as caught:
        find(organized(), ("acme-closed",))
    assert caught.value.message.endswith(f"{CLOSED} acme-closed is left out: {SUSPENDED['acme-closed']}")


# --- Enabled regions --------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("in_sandbox")
def test_enabled_regions_are_asked_of_each_account_and_begin_at_home(wire: Wire) -> None:
    listed = account(PROD, "eu-west-1", name="listed")
    found = find(acme(listed, account(DEV, ENABLED, name="dev"), account(DATA, ENABLED, name="data")))
    regions = {name: [each.region for each in found.targets if each.account_name == name] for name in set(names(found))}
    assert regions["listed"] == ["eu-west-1"]
    assert len(regions["dev"]) == 17
    assert (regions["dev"][0], sorted(regions["dev"][1:])) == ("us-east-1", regions["dev"][1:])
    assert set(regions["data"]) - set(regions["dev"]) == {"eu-central-2"}
    assert wire.of("DescribeRegions") == [{}, {}], "without AllRegions, which names those not enabled too"
    assert found.customer.accounts[2].regions == tuple(regions["data"])
    assert found.refused == {}


@pytest.mark.usefixtures("in_sandbox")
def test_a_region_chosen_leaves_out_accounts_that_have_not_enabled_it() -> None:
    customer = acme(account(DEV, ENABLED, name="dev"), account(DATA, ENABLED, name="data"))
    found = find(customer, (), ("eu-central-2",))
    assert found.targets == (Target(DATA, "eu-central-2", "data"),)
    assert left_out(found) == {"dev": "none of the regions chosen is enabled in it"}
    with pytest.raises(UsageError) as caught:
        find(customer, (), ("eu-central-3",))
    assert caught.value.message == "Customer acme has no region 'eu-central-3'."
    assert "eu-central-2" in caught.value.hint
    with pytest.raises(UsageError, match="No account has any of the regions chosen"):
        find(acme(account(DEV, "us-east-1"), account(DATA, "eu-west-1")), (DEV,), ("eu-west-1",))


@pytest.mark.usefixtures("in_sandbox")
def test_an_account_whose_regions_cannot_be_listed_stays_a_target_and_spares_the_others() -> None:
    customer = acme(account(LEGACY, ENABLED, name="legacy"), account(DEV, ENABLED, name="dev"))
    found = find(customer)
    assert [each for each in found.targets if each.account_id == LEGACY] == [Target(LEGACY, "us-east-1", "legacy")]
    assert found.refused.keys() == {LEGACY}
    assert found.refused[LEGACY].kind is FailureKind.OWN_PERMISSION
    assert names(found).count("dev") == 17
    assert find(customer, (), ("eu-west-1",)).targets == (
        Target(LEGACY, "eu-west-1", "legacy"),
        Target(DEV, "eu-west-1", "dev"),
    )


@pytest.mark.usefixtures("in_sandbox")
def test_an_account_that_may_not_list_its_regions_names_the_permission(wire: Wire) -> None:
    said = "You are not authorized to perform: ec2:DescribeRegions"

    def deny(call: Call) -> Any:
        if call.operation == "DescribeRegions":
            raise refused(call.operation, "UnauthorizedOperation", said)
        return None

    wire.answer = deny
    assert find(acme(account(DEV, ENABLED))).refused[DEV].next_step == "Allow ec2:DescribeRegions in the role's policy."
    wire.answer = lambda call: {"Regions": []} if call.operation == "DescribeRegions" else None
    assert find(acme(account(DEV, ENABLED))).refused[DEV].message == "AWS lists no enabled region"


# --- Roles ------------------------------------------------------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.now = dt.datetime.now(dt.UTC)

    def __call__(self) -> dt.datetime:
        return self.now


def keys(found: aws.Credentials | Failure | None) -> str:
    assert isinstance(found, aws.Credentials), found
    return found.access_key


@pytest.mark.usefixtures("in_sandbox")
def test_a_role_is_assumed_once_however_many_threads_ask(wire: Wire) -> None:
    customer = acme(account(PROD), account(DEV), account(LEGACY))
    roles = Roles(customer, CALLER)
    with ThreadPoolExecutor(12) as pool:
        found = list(pool.map(lambda each: roles.enter(each, MINUTE), customer.accounts * 8))
    assert len({keys(each) for each in found if not isinstance(each, Failure)}) == 2
    assert sum(isinstance(each, Failure) for each in found) == 8
    assert sorted(each["RoleArn"].split(":")[4] for each in wire.of("AssumeRole")) == sorted([PROD, DEV, LEGACY])
    assert wire.calls[0].asked["ExternalId"] == "acme-7f3c"
    assert {call.operation for call in wire.calls} == {"AssumeRole"}, "the answer says the account"


@pytest.mark.usefixtures("in_sandbox")
def test_credentials_are_renewed_before_they_would_end(wire: Wire) -> None:
    clock, dev = Clock(), account(DEV)
    roles = Roles(acme(dev), CALLER, clock)
    first = roles.enter(dev, 10 * MINUTE)
    assert isinstance(first, aws.Credentials)
    assert first.expires_at is not None
    assert abs(first.expires_at - clock.now - HOUR) < MINUTE
    clock.now = first.expires_at - 11 * MINUTE
    assert keys(roles.enter(dev, 10 * MINUTE)) == first.access_key
    clock.now = first.expires_at - 9 * MINUTE
    second = roles.enter(dev, 10 * MINUTE)
    assert keys(second) != first.access_key
    assert len(wire.of("AssumeRole")) == 2


@pytest.mark.usefixtures("in_sandbox")
def test_a_wish_longer_than_a_session_does_not_assume_the_role_each_time(wire: Wire) -> None:
    clock, dev = Clock(), account(DEV)
    roles = Roles(acme(dev), CALLER, clock)
    first = keys(roles.enter(dev, 5 * HOUR))
    clock.now += 5 * MINUTE
    assert keys(roles.enter(dev, 5 * HOUR)) == first
    clock.now += 5 * MINUTE
    assert keys(roles.enter(dev, 5 * HOUR)) != first


@pytest.mark.usefixtures("in_sandbox")
def test_a_renewal_that_fails_leaves_what_still_lasts(wire: Wire) -> None:
    clock, dev = Clock(), account(DEV)
    roles = Roles(acme(dev), CALLER, clock)
    first = keys(roles.enter(dev, MINUTE))

    def fail(call: Call) -> None:
        raise refused(call.operation, "Throttling", "slow down")

    wire.answer = fail
    clock.now += HOUR - 2 * MINUTE
    assert keys(roles.enter(dev, 10 * MINUTE)) == first
    clock.now += 3 * MINUTE
    last = roles.enter(dev, MINUTE)
    assert isinstance(last, Failure)
    assert last.kind is FailureKind.THROTTLED
    made = len(wire.calls)
    assert roles.enter(dev, MINUTE) == last
    assert len(wire.calls) == made, "a failure is not asked for again"


@pytest.mark.usefixtures("in_sandbox")
def test_a_chained_role_is_assumed_once_for_all_accounts_and_opens_theirs(wire: Wire) -> None:
    role = replace(ROLE, via=(HUB,), session_name="nightly", session_tags={"team": "finops"})
    customer = acme(account(PROD), account(DEV), account(DATA), role=role)
    clock = Clock()
    roles = Roles(customer, CALLER, clock)
    for each in customer.accounts * 2:
        keys(roles.enter(each, MINUTE))
    hub, *own = [call for call in wire.calls if call.operation == "AssumeRole"]
    assert hub.asked == {"RoleArn": HUB, "RoleSessionName": "nightly"}
    assert [call.asked["RoleArn"].split(":")[4] for call in own] == [PROD, DEV, DATA]
    assert own[0].asked == {
        "RoleArn": f"arn:aws:iam::{PROD}:role/finops-policy-reader",
        "RoleSessionName": "nightly",
        "ExternalId": "acme-7f3c",
        "Tags": [{"Key": "team", "Value": "finops"}],
    }, "no duration: an hour is the default, and the most that chaining allows"
    assert hub.access_key == "AKIASANDBOXFINOPSRUN"
    (through,) = {call.access_key for call in own}
    assert through != hub.access_key
    clock.now += HOUR - 3 * MINUTE  # too little is left of the hub's session as well
    keys(roles.enter(customer.accounts[0], 10 * MINUTE))
    keys(roles.enter(customer.accounts[1], 10 * MINUTE))
    assert [each["RoleArn"] for each in wire.of("AssumeRole")].count(HUB) == 2
    assert len({call.access_key for call in wire.calls[-2:]} - {through}) == 1, "and the new one opens the accounts"


@pytest.mark.usefixtures("in_sandbox")
def test_roles_are_chained_in_their_order(wire: Wire) -> None:
    prod = account(PROD, role=replace(ROLE, via=(HUB, f"{HUB}-of-dev")))
    assert isinstance(Roles(acme(prod), CALLER).enter(prod, MINUTE), Failure)
    assert [each["RoleArn"] for each in wire.of("AssumeRole")] == [HUB, f"{HUB}-of-dev"]


@pytest.mark.usefixtures("in_sandbox")
def test_a_hub_that_cannot_be_entered_is_asked_once_and_fails_every_account(wire: Wire) -> None:
    customer = acme(account(PROD), account(DEV), role=replace(ROLE, via=(f"{HUB}-gone",)))
    roles = Roles(customer, CALLER)
    failures = [roles.enter(each, MINUTE) for each in customer.accounts]
    assert all(isinstance(each, Failure) and f"{HUB}-gone" in each.message for each in failures)
    assert len(wire.of("AssumeRole")) == 1


@pytest.mark.usefixtures("in_sandbox")
def test_an_accounts_own_role_wins() -> None:
    dev = account(DEV, role=Role("finops-policy-reader"))
    customer = acme(dev, account(PROD))
    assert isinstance(Roles(customer, CALLER).enter(dev, MINUTE), Failure), "nothing of the customer's role is kept"
    keys(Roles(customer, CALLER).enter(customer.accounts[1], MINUTE))


def test_without_a_role_only_the_callers_own_account_opens() -> None:
    own, other = account(CALLER.account_id), account(PROD)
    roles = Roles(acme(own, other, role=None), CALLER)
    assert roles.enter(own, MINUTE) is None
    refusal = roles.enter(other, MINUTE)
    assert isinstance(refusal, Failure)
    assert refusal.kind is FailureKind.CREDENTIALS
    assert refusal.message == f"asked for account {PROD}, but AWS says {CALLER.arn} is in account {CALLER.account_id}"


def assumed(call: Call) -> dict[str, Any]:
    """What STS answers, without asking it."""
    partition, _, _, account_id, _ = call.asked["RoleArn"].removeprefix("arn:").split(":", 4)
    arn = f"arn:{partition}:sts::{account_id}:assumed-role/reader/finops-policy"
    keys = {"AccessKeyId": "ASIA", "SecretAccessKey": "s", "SessionToken": "t"}
    expires = dt.datetime.now(dt.UTC) + HOUR
    return {"AssumedRoleUser": {"Arn": arn}, "Credentials": {**keys, "Expiration": expires}}


@pytest.mark.usefixtures("keys_of_a_caller")
def test_a_role_that_leads_to_another_account_is_refused(wire: Wire) -> None:
    wire.answer = assumed
    prod = account(PROD, role=Role(f"arn:aws:iam::{DEV}:role/reader"))
    refusal = Roles(acme(prod), CALLER).enter(prod, MINUTE)
    assert isinstance(refusal, Failure)
    assert refusal.kind is FailureKind.CREDENTIALS
    assert f"asked for account {PROD}, but AWS says arn:aws:sts::{DEV}:assumed-role/reader" in refusal.message


@pytest.mark.parametrize(
    ("partition", "regions", "role_arn", "endpoint"),
    [
        ("aws", ("eu-west-1", "us-east-1"), f"arn:aws:iam::{PROD}:role/x/reader", "sts.eu-west-1.amazonaws.com"),
        ("aws", ("af-south-1", "eu-west-3"), f"arn:aws:iam::{PROD}:role/x/reader", "sts.eu-west-3.amazonaws.com"),
        ("aws", ("af-south-1",), f"arn:aws:iam::{PROD}:role/x/reader", "sts.us-east-1.amazonaws.com"),
        ("aws", (ENABLED,), f"arn:aws:iam::{PROD}:role/x/reader", "sts.us-east-1.amazonaws.com"),
        ("aws-us-gov", (ENABLED,), f"arn:aws-us-gov:iam::{PROD}:role/x/reader", "sts.us-gov-west-1.amazonaws.com"),
        ("aws-us-gov", ("us-gov-east-1",), f"arn:aws-us-gov:iam::{PROD}:role/x/reader", "sts.us-gov-east-1.amazonaws"),
        ("aws-cn", (ENABLED,), f"arn:aws-cn:iam::{PROD}:role/x/reader", "sts.cn-north-1.amazonaws.com.cn"),
        ("aws-cn", ("cn-northwest-1",), f"arn:aws-cn:iam::{PROD}:role/x/reader", "sts.cn-northwest-1.amazonaws.com.cn"),
    ],
)
@pytest.mark.usefixtures("keys_of_a_caller")
def test_sts_is_asked_in_the_partition_near_the_account(
    wire: Wire, partition: str, regions: tuple[str, ...], role_arn: str, endpoint: str
) -> None:
    wire.answer = assumed
    prod = account(PROD, *regions)
    keys(Roles(acme(prod, role=Role("x/reader"), partition=partition), CALLER).enter(prod, MINUTE))
    (call,) = wire.calls
    assert (call.operation, call.asked["RoleArn"]) == ("AssumeRole", role_arn)
    assert call.endpoint.startswith(f"https://{endpoint}")


@pytest.mark.parametrize(
    ("partition", "home", "organizations"),
    [
        ("aws", "us-east-1", "https://organizations.us-east-1.amazonaws.com"),
        ("aws-us-gov", "us-gov-west-1", "https://organizations.us-gov-west-1.amazonaws.com"),
        ("aws-cn", "cn-north-1", "https://organizations.cn-northwest-1.amazonaws.com.cn"),
    ],
)
@pytest.mark.usefixtures("keys_of_a_caller")
def test_discovery_and_regions_are_asked_in_the_partition(
    wire: Wire, partition: str, home: str, organizations: str
) -> None:
    answers: dict[str, Callable[[Call], Any]] = {
        "ListAccounts": lambda _call: {"Accounts": [{"Id": PROD, "Name": "prod", "State": "ACTIVE"}]},
        "AssumeRole": assumed,
        "DescribeRegions": lambda _call: {"Regions": [{"RegionName": "a-region-1"}, {"RegionName": home}]},
    }
    wire.answer = lambda call: answers[call.operation](call)
    found = find(replace(organized(), partition=partition, regions=(ENABLED,)))
    assert [each.region for each in found.targets] == [home, "a-region-1"]
    listing, _, regions = wire.calls
    assert listing.endpoint == organizations
    assert regions.endpoint.startswith(f"https://ec2.{home}.amazonaws.com")
