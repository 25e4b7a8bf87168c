"""One customer under one profile: what is loaded, and which targets and policies a command means."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from finops_policy.catalog import Catalog
from finops_policy.compiler import compile_set
from finops_policy.customer import ENABLED, Account, Customer, Organization
from finops_policy.errors import InvalidFilesError, UsageError
from finops_policy.marks import Mark
from finops_policy.model import Target
from finops_policy.project import Outlook, load, outlook, select_policies, select_targets
from tests.unit.builders import (
    CUSTOMER,
    DEV,
    FRAMEWORK,
    PROD,
    PROFILE,
    WAIVERS,
    account,
    customer,
    pack,
    policy,
    profile,
    waiver_text,
    write_files,
    write_workspace,
)

US, EU, CENTRAL = "us-east-1", "eu-west-1", "eu-central-1"

# --- Loading ----------------------------------------------------------------------------------------------------------


def test_the_customers_own_profile_serves_where_none_is_given(tmp_path: Path) -> None:
    project = load(Catalog(write_workspace(tmp_path)), "own-customer", None)
    assert (project.customer.name, project.profile.name) == ("own-customer", "own-profile")
    assert [each.name for each in project.frameworks] == ["own-rules"]
    assert [each.id for each in project.waivers] == ["W-1"]
    assert project.malformed == ()
    assert (project.compiled.customer, project.compiled.profile) == ("own-customer", "own-profile")
    assert [each.qualified_name for each in project.compiled.policies()] == ["own-pack/own-policy"]
    assert {"own-pack", "idle-resources"} <= set(project.packs)


def test_the_profile_given_wins(tmp_path: Path) -> None:
    text = CUSTOMER.format(name="own-customer").partition("    parameters:")[0]
    project = load(Catalog(write_workspace(tmp_path, customer=text)), "own-customer", "sox")
    assert project.profile.name == "sox"
    assert [each.name for each in project.frameworks] == ["sox-itgc"]


def test_a_customer_without_a_profile_needs_one_given(tmp_path: Path) -> None:
    text = CUSTOMER.format(name="own-customer").replace("profile: own-profile\n", "")
    catalog = Catalog(write_workspace(tmp_path, customer=text))
    with pytest.raises(UsageError) as caught:
        load(catalog, "own-customer", None)
    assert caught.value.message == "Customer own-customer names no profile."
    assert caught.value.hint == "Give --profile: one of fedramp, hipaa, own-profile, sox, startup."
    assert load(catalog, "own-customer", "own-profile").profile.name == "own-profile"


@pytest.mark.parametrize(
    ("customer_name", "profile_name", "message"),
    [
        ("own-custmer", None, "There is no customer named 'own-custmer'."),
        ("../own-customer", None, "There is no customer named '../own-customer'."),
        ("", None, "There is no customer named ''."),
        ("own-customer", "own-profle", "There is no profile named 'own-profle'."),
        ("own-customer", "", "There is no profile named ''."),  # an unset variable of the shell
        ("own-customer", "../own-profile", "There is no profile named '../own-profile'."),
    ],
)
def test_unknown_names(tmp_path: Path, customer_name: str, profile_name: str | None, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        load(Catalog(write_workspace(tmp_path)), customer_name, profile_name)
    assert caught.value.message == message
    assert caught.value.hint


def test_a_profile_that_names_an_unknown_framework_is_told_at_its_line_beside_other_mistakes(tmp_path: Path) -> None:
    text = PROFILE.format(name="own-profile").replace("own-rules", "own-ruels").replace("idle_days", "idle_dyas")
    with pytest.raises(InvalidFilesError) as caught:
        load(Catalog(write_workspace(tmp_path, profile=text)), "own-customer", None)
    assert [(each.rule, each.mark) for each in caught.value.diagnostics] == [
        ("unknown-framework", Mark("profiles/own-profile.yaml", 12, 3)),
        ("unknown-parameter", Mark("profiles/own-profile.yaml", 10, 5)),
    ]


def test_a_mistake_between_files_names_the_lines_of_both(tmp_path: Path) -> None:
    framework_text = FRAMEWORK.format(name="own-rules").replace("own-pack/own-policy", "own-pack/own-polciy")
    text = CUSTOMER.format(name="own-customer").replace("idle_days: 7", "idle_days: true")
    with pytest.raises(InvalidFilesError) as caught:
        load(Catalog(write_workspace(tmp_path, framework=framework_text, customer=text)), "own-customer", None)
    assert [str(each).splitlines()[0] for each in caught.value.diagnostics] == [
        (
            "frameworks/own-rules.yaml:14:9: Control C-1 names a policy 'own-pack/own-polciy' that does not exist. "
            "[unknown-policy] (see packs/own-pack/pack.yaml:1:1)"
        ),
        (
            "customers/own-customer/customer.yaml:14:9: own-pack.idle_days: must be a whole number: got true "
            "[parameter-type] (see packs/own-pack/pack.yaml:8:3)"
        ),
    ]


def test_malformed_waivers_are_kept_aside_and_stop_nothing(tmp_path: Path) -> None:
    text = WAIVERS + waiver_text() + waiver_text("W-2", approved_by="dana@example.com")
    project = load(Catalog(write_workspace(tmp_path, waivers=text)), "own-customer", None)
    assert [each.id for each in project.waivers] == ["W-1"]
    assert [each.rule for each in project.malformed] == ["self-approved"]
    project = load(Catalog(write_workspace(tmp_path, waivers="[")), "own-customer", None)
    assert project.waivers == ()
    assert len(project.malformed) == 1


def test_a_broken_pack_stops_everything(tmp_path: Path) -> None:
    write_files(write_workspace(tmp_path), {"packs/unused/pack.yaml": "["})
    with pytest.raises(InvalidFilesError):
        load(Catalog(tmp_path), "own-customer", None)


# --- Targets ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def clinic() -> Customer:
    return customer(
        account(PROD, regions=[US, EU]), account(DEV, regions=[CENTRAL]), account("777788889999", regions=[EU, US])
    )


def targets(clinic: Customer, accounts: tuple[str, ...] = (), regions: tuple[str, ...] = ()) -> list[str]:
    found = select_targets(clinic, accounts, regions)
    assert all(each.account_name == f"name-{each.account_id}" for each in found)
    assert len(set(found)) == len(found)
    return [str(each) for each in found]


def test_all_targets_keep_the_customers_order(clinic: Customer) -> None:
    """The first region of an account is where its global types are judged."""
    assert targets(clinic) == [
        f"{PROD}/{US}",
        f"{PROD}/{EU}",
        f"{DEV}/{CENTRAL}",
        f"777788889999/{EU}",
        f"777788889999/{US}",
    ]


@pytest.mark.parametrize(
    ("accounts", "regions", "expected"),
    [
        ((DEV,), (), [f"{DEV}/{CENTRAL}"]),
        ((f"name-{DEV}",), (), [f"{DEV}/{CENTRAL}"]),
        ((f"name-{PROD}", PROD, PROD), (), [f"{PROD}/{US}", f"{PROD}/{EU}"]),
        ((), (EU,), [f"{PROD}/{EU}", f"777788889999/{EU}"]),
        (("777788889999", PROD), (US,), [f"{PROD}/{US}", f"777788889999/{US}"]),
        ((), (US, CENTRAL, US), [f"{PROD}/{US}", f"{DEV}/{CENTRAL}", f"777788889999/{US}"]),
    ],
)
def test_targets_are_chosen_by_account_and_region(
    clinic: Customer, accounts: tuple[str, ...], regions: tuple[str, ...], expected: list[str]
) -> None:
    assert targets(clinic, accounts, regions) == expected


@pytest.mark.parametrize(
    ("accounts", "regions", "message"),
    [
        (("11112222333",), (), "Customer clinic has no account '11112222333'."),
        ((PROD, ""), (), "Customer clinic has no account ''."),
        (("name-*",), (), "Customer clinic has no account 'name-*'."),
        ((), ("eu-wset-1",), "Customer clinic has no region 'eu-wset-1'."),
        ((DEV,), (US, ""), "Customer clinic has no region ''."),
        ((DEV,), (US,), "No account has any of the regions chosen."),
    ],
)
def test_a_target_that_does_not_exist_is_never_left_out_silently(
    clinic: Customer, accounts: tuple[str, ...], regions: tuple[str, ...], message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        select_targets(clinic, accounts, regions)
    assert caught.value.message == message
    assert caught.value.hint


def test_targets_carry_the_accounts_name() -> None:
    one = customer(replace(account(PROD), name="prod"))
    assert select_targets(one, (), ()) == (Target(PROD, US, "prod"),)


# --- Policies ---------------------------------------------------------------------------------------------------------

COMPILED = compile_set(
    profile({"idle": "~=1.0", "tags": "~=1.0"}),
    customer(),
    {
        "idle": pack("idle", policies=[policy("ec2-idle"), policy("rds-idle")]),
        "tags": pack("tags", policies=[policy("ec2-tags")]),
    },
    (),
)


@pytest.mark.parametrize(
    ("globs", "expected"),
    [
        ((), {"ec2-idle", "rds-idle", "ec2-tags"}),
        (("*",), {"ec2-idle", "rds-idle", "ec2-tags"}),
        (("ec2-idle",), {"ec2-idle"}),
        (("ec2-*",), {"ec2-idle", "ec2-tags"}),
        (("idle/*",), {"ec2-idle", "rds-idle"}),
        (("*/ec2-*",), {"ec2-idle", "ec2-tags"}),
        (("[er]*-idle",), {"ec2-idle", "rds-idle"}),
        (("rds-idle", "tags/*"), {"rds-idle", "ec2-tags"}),
    ],
)
def test_policies_are_chosen_by_globs(globs: tuple[str, ...], expected: set[str]) -> None:
    assert select_policies(COMPILED, globs) == expected


@pytest.mark.parametrize(
    "globs", [("ec2-idel",), ("EC2-*",), ("",), ("idle",), ("ec2-idle", "nothing-*"), ("idle/ec2-tags",)]
)
def test_a_glob_that_matches_nothing_is_an_error(globs: tuple[str, ...]) -> None:
    with pytest.raises(UsageError) as caught:
        select_policies(COMPILED, globs)
    assert caught.value.message == f"No policy matches {globs[-1]!r}."
    assert "ec2-" in caught.value.hint


# --- Without asking AWS -----------------------------------------------------------------------------------------------


def organized(*accounts: Account, regions: tuple[str, ...] = (US,)) -> Customer:
    organization = Organization(("ou-ab12-11112222",), ("ou-ab12-33334444",), {"finops": "yes", "x": "*"}, Mark("c"))
    return replace(customer(account()), accounts=accounts, regions=regions, organization=organization)


def test_an_outlook_knows_all_targets_where_everything_is_listed() -> None:
    listed = customer(account(PROD, regions=(US, EU)), account(DEV, regions=(US,)))
    assert outlook(listed, (DEV,), ()) == Outlook(select_targets(listed, (DEV,), ()), ())
    with pytest.raises(UsageError, match="has no region"):
        outlook(listed, (), ("mars-1",))


def test_an_outlook_says_which_accounts_are_asked_for_their_regions() -> None:
    listed = customer(account(PROD, regions=(ENABLED,)), account(DEV, regions=(US, EU)))
    found = outlook(listed, (), (EU,))
    assert [(each.account_id, each.region) for each in found.targets] == [(PROD, ENABLED), (DEV, EU)]
    assert found.asked == (f"ec2:DescribeRegions, for the enabled regions of name-{PROD}",)
    assert outlook(listed, (DEV,), ()).asked == (), "only of the accounts chosen"
    with pytest.raises(UsageError, match="has no account 'nobody'"):
        outlook(listed, ("nobody",), ())


def test_an_outlook_says_what_is_asked_of_an_organization() -> None:
    found = outlook(organized(account(DEV)), (), ())
    scope = "the accounts under ou-ab12-11112222, not under ou-ab12-33334444, tagged finops=yes, x=*"
    assert found.asked == (f"AWS Organizations, for {scope}",)
    assert [each.account_id for each in found.targets] == [DEV]
    assert outlook(organized(account(DEV)), ("whom-aws-may-know",), ()).targets == ()
    found = outlook(organized(regions=(ENABLED,)), (), ())
    assert (found.targets, found.asked[1:]) == ((), ("ec2:DescribeRegions, for the enabled regions of each account",))
