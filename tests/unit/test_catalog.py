"""The library and the workspace: who wins, what is refused, and where each problem is said to be."""

from __future__ import annotations

import datetime as dt
import errno
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from finops_policy.catalog import Catalog
from finops_policy.customer import ENABLED, Organization, Role
from finops_policy.digests import digest
from finops_policy.errors import InvalidFilesError, UsageError
from finops_policy.marks import Diagnostic, Mark
from finops_policy.model import Posture, Setting, Strength
from tests.unit.builders import (
    CUSTOMER,
    FRAMEWORK,
    PACK,
    POLICY,
    PRICES,
    PROFILE,
    WAIVERS,
    waiver_text,
    write_files,
    write_workspace,
)

LOADERS: dict[str, Callable[[Catalog, str], object]] = {
    "pack": Catalog.pack,
    "profile": Catalog.profile,
    "framework": Catalog.framework,
    "customer": Catalog.customer,
}
OWN = {"pack": "own-pack", "profile": "own-profile", "framework": "own-rules", "customer": "own-customer"}


def problems(catalog: Catalog, load: Callable[[Catalog], object]) -> list[Diagnostic]:
    with pytest.raises(InvalidFilesError) as caught:
        load(catalog)
    return list(caught.value.diagnostics)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return write_workspace(tmp_path)


# --- Names: who is there, and who wins --------------------------------------------------------------------------------


def test_the_built_in_library_serves_where_there_is_no_workspace(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "nowhere")
    assert catalog.packs() == ["budget-guardrails", "idle-resources", "oversized-instances", "required-tags"]
    assert catalog.profiles() == ["fedramp", "hipaa", "sox", "startup"]
    assert catalog.frameworks() == ["fedramp-moderate", "hipaa-security-rule", "sox-itgc"]
    assert "acme" in catalog.customers()
    pack = catalog.pack("idle-resources")
    assert pack.policies["ec2-idle"].resource == "aws.ec2"
    assert pack.mark.path == "policies/packs/idle-resources/pack.yaml"
    assert catalog.customer("acme").mark.path == "customers/acme/customer.yaml"
    assert catalog.prices()


def test_the_workspaces_own_names_stand_beside_the_built_in_ones(workspace: Path) -> None:
    catalog, builtin = Catalog(workspace), Catalog(workspace / "nowhere")
    assert catalog.packs() == sorted([*builtin.packs(), "own-pack"])
    assert catalog.profiles() == sorted([*builtin.profiles(), "own-profile"])
    assert catalog.frameworks() == sorted([*builtin.frameworks(), "own-rules"])
    assert catalog.customers() == sorted([*builtin.customers(), "own-customer"])
    assert set(catalog.all_packs()) == set(catalog.packs())


@pytest.mark.parametrize(
    ("kind", "name", "path", "text"),
    [
        ("pack", "idle-resources", "packs/idle-resources/pack.yaml", PACK),
        ("profile", "hipaa", "profiles/hipaa.yaml", PROFILE),
        ("framework", "sox-itgc", "frameworks/sox-itgc.yaml", FRAMEWORK),
        ("customer", "acme", "customers/acme/customer.yaml", CUSTOMER),
    ],
)
def test_the_workspace_wins_by_name(tmp_path: Path, kind: str, name: str, path: str, text: str) -> None:
    builtin = LOADERS[kind](Catalog(tmp_path), name)
    write_files(tmp_path, {path: text.format(name=name)})
    own = LOADERS[kind](Catalog(tmp_path), name)
    assert builtin.title != own.title == f"Title of {name}"  # type: ignore[attr-defined]
    assert own.mark.path == path  # type: ignore[attr-defined]


def test_a_pack_of_the_workspace_replaces_the_whole_built_in_one(tmp_path: Path) -> None:
    write_files(tmp_path, {"packs/idle-resources/pack.yaml": PACK.format(name="idle-resources")})
    assert Catalog(tmp_path).pack("idle-resources").policies == {}, "policies of two packs are never mixed"


def test_the_workspaces_price_book_wins(workspace: Path) -> None:
    assert {price.currency for price in Catalog(workspace).prices()} == {"EUR"}
    assert {price.currency for price in Catalog(workspace / "nowhere").prices()} == {"USD"}


def test_only_names_that_can_be_used_are_listed(tmp_path: Path) -> None:
    write_files(
        tmp_path,
        {
            "packs/My Pack/pack.yaml": PACK.format(name="my-pack"),
            "packs/empty/README.md": "no pack.yaml in here",
            "packs/pack.yaml": "a file, not a folder",
            "profiles/Loud.yaml": PROFILE.format(name="loud"),
            "profiles/.hidden.yaml": "an editor's",
            "profiles/notes.md": "no profile",
            "profiles/folder.yaml/x": "no file",
            f"profiles/{'a' * 51}.yaml": "longer than a name may be",
            f"profiles/{'a' * 50}.yaml": "just as long as a name may be",
            "customers/new/waivers.yaml": WAIVERS + waiver_text(),
        },
    )
    catalog, builtin = Catalog(tmp_path), Catalog(tmp_path / "nowhere")
    assert catalog.packs() == builtin.packs()
    assert catalog.profiles() == sorted([*builtin.profiles(), "a" * 50])
    assert catalog.customers() == builtin.customers()


def test_a_file_where_a_folder_belongs_is_no_workspace_of_that_kind(tmp_path: Path) -> None:
    write_files(tmp_path, {"packs": "a file", "customers/acme": "a file too"})
    catalog = Catalog(tmp_path)
    assert "required-tags" in catalog.packs()
    assert catalog.customer("acme").title == "Acme Health"


# --- Names that do not exist ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "wrong", "right"),
    [
        ("pack", "idle-resource", "idle-resources"),
        ("profile", "hippa", "hipaa"),
        ("framework", "hipaa-securty-rule", "hipaa-security-rule"),
        ("customer", "acne", "acme"),
        ("pack", "own-pak", "own-pack"),
        ("customer", "own-custmer", "own-customer"),
    ],
)
def test_an_unknown_name_is_a_usage_error_that_names_the_nearest(
    workspace: Path, kind: str, wrong: str, right: str
) -> None:
    with pytest.raises(UsageError) as caught:
        LOADERS[kind](Catalog(workspace), wrong)
    assert caught.value.message == f"There is no {kind} named {wrong!r}."
    assert caught.value.hint.startswith("Did you mean ")
    assert right in caught.value.hint


def test_an_unknown_customer_has_no_waivers_either(workspace: Path) -> None:
    with pytest.raises(UsageError, match="no customer named 'own-custmer'"):
        Catalog(workspace).waivers("own-custmer")


HOSTILE = [
    "",
    " ",
    ".",
    "..",
    "../outside",
    "..\\outside",
    "./own-pack",
    "own-pack/",
    "own-pack/../own-pack",
    "own-pack\n",
    "own-pack\0",
    " own-pack",
    "own_pack",
    "OWN-PACK",
    "own--pack",
    "-own-pack",
    "own-pack-",
    "own-päck",
    "own-p\u0430ck",  # a Cyrillic a
    "own\u2010pack",
    "١٢٣",
    "%2e%2e",
    "~",
    "$HOME",
    "*",
    "a" * 51,
    "a" * 5000,
]


@pytest.mark.parametrize("kind", LOADERS)
@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_that_is_no_name_never_reaches_the_file_system(tmp_path: Path, kind: str, name: str) -> None:
    for folder in ("outside", "work/packs/outside"):
        write_workspace(tmp_path / folder)
        write_files(tmp_path / folder, {"pack.yaml": PACK, "customer.yaml": CUSTOMER})
    for folder in ("profiles", "frameworks"):
        write_files(tmp_path, {f"work/{folder}/../outside.yaml": PROFILE.format(name="outside")})
    write_workspace(tmp_path / "work")
    with pytest.raises(UsageError):
        LOADERS[kind](Catalog(tmp_path / "work"), name)


def test_an_absolute_path_is_no_name(tmp_path: Path) -> None:
    write_workspace(tmp_path)
    catalog = Catalog(tmp_path / "elsewhere")
    for load, path in (
        (catalog.pack, "packs/own-pack"),
        (catalog.profile, "profiles/own-profile"),
        (catalog.customer, "customers/own-customer"),
        (catalog.waivers, "customers/own-customer"),
    ):
        with pytest.raises(UsageError):
            load(str(tmp_path / path))


# --- What the files say -----------------------------------------------------------------------------------------------


def test_a_pack_as_written(workspace: Path) -> None:
    pack = Catalog(workspace).pack("own-pack")
    assert (pack.name, pack.version, pack.title, pack.owner) == ("own-pack", "1.0.0", "Title of own-pack", "finops")
    parameter = pack.parameters["idle_days"]
    assert parameter.default == 14
    assert parameter.schema == {"type": "integer", "minimum": 1, "maximum": 455}, "only what constrains the value"
    assert parameter.description == "Days looked back"
    assert parameter.mark == Mark("packs/own-pack/pack.yaml", 8, 3)
    policy = pack.policies["own-policy"]
    assert policy.scope == ({"State.Name": "running"},)
    assert policy.violation == ({"type": "instance-age", "days": "${idle_days}"},)
    assert (policy.remediation, policy.savings_method) == ({}, "")
    assert policy.marks["violation", 0, "days"] == Mark("packs/own-pack/own-policy.yaml", 11, 32)


def test_a_policy_may_have_a_remediation_and_savings(tmp_path: Path) -> None:
    text = POLICY.format(name="own-policy") + (
        "remediation: {actions: [stop], undo: [start], destructive: false}\nsavings: {method: on_demand_hours}\n"
    )
    policy = Catalog(write_workspace(tmp_path, policy=text)).pack("own-pack").policies["own-policy"]
    assert policy.remediation == {"actions": ["stop"], "undo": ["start"], "destructive": False}
    assert policy.savings_method == "on_demand_hours"


def test_policies_come_in_the_order_of_their_names(tmp_path: Path) -> None:
    """Whatever order the file system has them in, or the same input would not give the same bytes."""
    names = [f"p{number}" for number in range(10)]
    write_workspace(tmp_path)
    for name in (*names[5:], *names[:5]):
        write_files(tmp_path, {f"packs/own-pack/{name}.yaml": POLICY.format(name=name)})
    assert list(Catalog(tmp_path).pack("own-pack").policies) == ["own-policy", *names]


def test_a_profile_as_written(workspace: Path) -> None:
    profile = Catalog(workspace).profile("own-profile")
    path = "profiles/own-profile.yaml"
    (choice,) = profile.packs
    assert (choice.name, choice.versions, choice.posture) == ("own-pack", "~=1.0", Posture.NOTIFY)
    assert choice.mark == Mark(path, 7, 3)
    assert profile.settings == {"own-pack": {"idle_days": Setting(21, Mark(path, 10, 5))}}
    assert profile.frameworks == {"own-rules": "~=1.0"}
    assert profile.framework_marks == {"own-rules": Mark(path, 12, 3)}
    assert (profile.retention_years, profile.retention_source) == (6, "the law")
    assert profile.redacted_tags == ()


def test_a_profile_may_redact_and_reports_where_it_states_no_posture(tmp_path: Path) -> None:
    text = (
        PROFILE.format(name="own-profile").replace(", posture: notify", "") + 'redaction: {tag_keys: ["*mail*", PHI]}\n'
    )
    profile = Catalog(write_workspace(tmp_path, profile=text)).profile("own-profile")
    assert profile.packs[0].posture is Posture.REPORT
    assert profile.redacted_tags == ("*mail*", "PHI")


def test_a_profiles_settings_may_be_final_and_may_be_lists(tmp_path: Path) -> None:
    text = PROFILE.format(name="own-profile").replace(
        "    idle_days: 21\n", "    a: {value: [x, y], final: true}\n    b: {value: false}\n    c: [1, 2]\n"
    )
    write_workspace(tmp_path, profile=text)
    found = Catalog(tmp_path).profile("own-profile").settings["own-pack"]
    assert {name: (each.value, each.final) for name, each in found.items()} == {
        "a": (("x", "y"), True),
        "b": (False, False),
        "c": ((1, 2), False),
    }


def test_a_customer_as_written(workspace: Path) -> None:
    customer = Catalog(workspace).customer("own-customer")
    path = "customers/own-customer/customer.yaml"
    prod, dev = customer.accounts
    assert (prod.id, prod.name, prod.regions, prod.settings) == (
        "111122223333",
        "prod",
        ("us-east-1", "eu-west-1"),
        {},
    )
    assert dev.regions == ("eu-central-1",), "an account's own regions replace the customer's"
    assert dev.settings == {"own-pack": {"idle_days": Setting(7, Mark(path, 14, 9))}}
    assert dev.mark == Mark(path, 9, 5)
    assert (customer.profile, customer.partition, customer.role) == ("own-profile", "aws", None)


def test_a_customer_may_set_values_for_all_accounts(tmp_path: Path) -> None:
    text = CUSTOMER.format(name="own-customer") + "parameters:\n  own-pack: {idle_days: 9}\n"
    customer = Catalog(write_workspace(tmp_path, customer=text)).customer("own-customer")
    assert customer.settings == {
        "own-pack": {"idle_days": Setting(9, Mark("customers/own-customer/customer.yaml", 16, 14))}
    }


def test_a_framework_as_written(tmp_path: Path) -> None:
    text = FRAMEWORK.format(name="own-rules").replace(
        "{title: Official", "{url: https://example.com/law, title: Official"
    )
    text += "  - {id: C-2, title: People are trained, group: G, kind: required, manual: Attest the training}\n"
    framework = Catalog(write_workspace(tmp_path, framework=text)).framework("own-rules")
    assert (framework.source, framework.source_url, framework.licence, framework.complete) == (
        "Official journal",
        "https://example.com/law",
        "public domain",
        True,
    )
    first, second = framework.controls
    (mapping,) = first.mappings
    assert (first.id, first.title, first.group, first.kind, first.manual) == (
        "C-1",
        "Resources are watched",
        "G",
        "",
        "",
    )
    assert (mapping.policy, mapping.strength, mapping.mark.line) == ("own-pack/own-policy", Strength.DIRECT, 14)
    assert (second.kind, second.manual, second.mappings) == ("required", "Attest the training", ())
    assert Catalog(tmp_path).framework("sox-itgc").complete is True
    plain = Catalog(write_workspace(tmp_path)).framework("own-rules")
    assert plain.source_url == ""


def test_a_customers_role_and_partition(tmp_path: Path) -> None:
    text = CUSTOMER.format(name="own-customer") + "partition: aws-us-gov\nrole: {name: path/reader, external_id: x-1}\n"
    customer = Catalog(write_workspace(tmp_path, customer=text)).customer("own-customer")
    assert customer.role == Role("path/reader", "x-1")
    assert customer.role.arn(customer.partition, "111122223333") == "arn:aws-us-gov:iam::111122223333:role/path/reader"


def test_everything_a_role_may_say(tmp_path: Path) -> None:
    hubs = ["arn:aws:iam::999900001111:role/hub", "arn:aws:iam::888800001111:role/x/hub"]
    role = f"{{name: reader, session_name: nightly, session_tags: {{team: finops}}, via: [{', '.join(hubs)}]}}"
    text = CUSTOMER.format(name="own-customer").replace("name: dev", "name: dev\n    role: {name: dev-reader}")
    customer = Catalog(write_workspace(tmp_path, customer=text + f"role: {role}\n")).customer("own-customer")
    prod, dev = customer.accounts
    assert customer.role_of(prod) == Role("reader", "", "nightly", {"team": "finops"}, tuple(hubs))
    assert customer.role_of(dev) == Role("dev-reader"), "nothing of the customer's role is kept"
    assert Role("/deep/reader").arn("aws-cn", "111122223333") == "arn:aws-cn:iam::111122223333:role/deep/reader"
    assert Role(hubs[1]).arn("aws", "111122223333") == hubs[1]


def test_regions_may_be_those_enabled(tmp_path: Path) -> None:
    text = CUSTOMER.format(name="own-customer").replace("regions: [us-east-1, eu-west-1]", "regions: enabled")
    customer = Catalog(write_workspace(tmp_path, customer=text)).customer("own-customer")
    assert customer.regions == (ENABLED,)
    assert [each.regions for each in customer.accounts] == [(ENABLED,), ("eu-central-1",)]
    text = CUSTOMER.format(name="own-customer").replace("regions: [eu-central-1]", "regions: enabled")
    customer = Catalog(write_workspace(tmp_path, customer=text)).customer("own-customer")
    assert [each.regions for each in customer.accounts] == [("us-east-1", "eu-west-1"), (ENABLED,)]


ORGANIZATION = """\
organization:
  include: [r-ab12, ou-ab12-11112222]
  exclude: [ou-ab12-33334444]
  tags: {finops: "yes", stage: "*"}
"""


def test_an_organization_may_stand_for_the_accounts_or_beside_them(tmp_path: Path) -> None:
    text = CUSTOMER.format(name="own-customer")
    beside = Catalog(write_workspace(tmp_path, customer=text + ORGANIZATION)).customer("own-customer")
    mark = Mark("customers/own-customer/customer.yaml", 15, 1)
    assert beside.organization == Organization(
        ("r-ab12", "ou-ab12-11112222"), ("ou-ab12-33334444",), {"finops": "yes", "stage": "*"}, mark
    )
    assert len(beside.accounts) == 2
    alone = Catalog(write_workspace(tmp_path, customer=text.partition("accounts:")[0] + "organization: {}\n"))
    customer = alone.customer("own-customer")
    assert customer.accounts == ()
    assert customer.organization == Organization((), (), {}, Mark(mark.path, 7, 1))


def test_a_unit_both_in_and_out_is_told_with_both_places(tmp_path: Path) -> None:
    text = CUSTOMER.format(name="own-customer") + ORGANIZATION.replace("33334444", "11112222")
    with pytest.raises(InvalidFilesError) as caught:
        Catalog(write_workspace(tmp_path, customer=text)).customer("own-customer")
    (problem,) = caught.value.diagnostics
    assert (problem.message, problem.mark.line, problem.mark.column) == (
        "ou-ab12-11112222 is both included and excluded.",
        17,
        13,
    )
    assert [(mark.line, mark.column) for mark in problem.related] == [(16, 21)]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("accounts:", "acounts:", "`acounts` is not a key"),
        (
            "profile: own-profile\n",
            "profile: own-profile\nrole: {name: x, session_name: a}\n",
            "`session_name` does not",
        ),
        ("profile: own-profile\n", "profile: own-profile\nrole: {name: x, session_name: a b}\n", "`session_name` does"),
        (
            "profile: own-profile\n",
            f"profile: own-profile\nrole: {{name: x, session_name: {'a' * 65}}}\n",
            "`session_n",
        ),
        ("profile: own-profile\n", "profile: own-profile\nrole: {name: x, external_id: 'a b'}\n", "`external_id` does"),
        ("profile: own-profile\n", "profile: own-profile\nrole: {name: x, via: [hub]}\n", "item 1 of `via` does not"),
        ("profile: own-profile\n", "profile: own-profile\nrole: {name: x, session_tags: {a: 1}}\n", "`a` must be text"),
        ("regions: [us-east-1, eu-west-1]", "regions: all", '`regions` must be "enabled"'),
        (
            "profile: own-profile\n",
            "profile: own-profile\norganization: {include: [ou-1]}\n",
            "item 1 of `include` does",
        ),
        ("profile: own-profile\n", "profile: own-profile\norganization: {tags: {a: yes}}\n", "`a` must be text"),
        ("profile: own-profile\n", "profile: own-profile\norganization: {tags: {}}\n", "`tags` must have at least 1"),
    ],
)
def test_what_a_customer_cannot_say(tmp_path: Path, old: str, new: str, says: str) -> None:
    text = CUSTOMER.format(name="own-customer")
    assert old in text
    with pytest.raises(InvalidFilesError) as caught:
        Catalog(write_workspace(tmp_path, customer=text.replace(old, new))).customer("own-customer")
    assert any(says in each.message for each in caught.value.diagnostics)


def test_a_customer_needs_accounts_or_an_organization(tmp_path: Path) -> None:
    text = CUSTOMER.format(name="own-customer").partition("accounts:")[0]
    with pytest.raises(InvalidFilesError) as caught:
        Catalog(write_workspace(tmp_path, customer=text)).customer("own-customer")
    (problem,) = caught.value.diagnostics
    assert problem.message == "`accounts` is missing"
    assert "or `organization: {}`, whose accounts are discovered" in problem.hint


def test_prices_keep_every_digit_and_their_own_source(workspace: Path) -> None:
    us, eu, disk = Catalog(workspace).prices()
    assert (us.key, us.region, us.unit, us.amount) == ("ec2/m5.large", "us-east-1", "hour", Decimal("0.0960000001"))
    assert (us.source, us.as_of, us.verified) == ("our own contract", dt.date(2026, 1, 31), False)
    assert (eu.region, eu.amount) == ("eu-west-1", Decimal("0.107"))
    assert (disk.source, disk.as_of, disk.verified) == ("a letter", dt.date(2025, 12, 1), True)


# --- Digests ----------------------------------------------------------------------------------------------------------


def test_layout_does_not_change_a_digest(tmp_path: Path) -> None:
    plain = Catalog(write_workspace(tmp_path / "plain"))

    def laid_out(text: str) -> bytes:
        lines = [f"# a comment\n{line}   # and another" if line.strip() else line for line in text.splitlines()]
        return b"\xef\xbb\xbf" + "\n\n".join(lines).replace("\n", "\r\n").encode()

    other = Catalog(
        write_workspace(
            tmp_path / "other",
            pack=laid_out(PACK.format(name="own-pack")),
            policy=laid_out(POLICY.format(name="own-policy")),
            profile=laid_out(PROFILE.format(name="own-profile")),
            framework=laid_out(FRAMEWORK.format(name="own-rules")),
            customer=laid_out(CUSTOMER.format(name="own-customer")),
        )
    )
    for kind, name in OWN.items():
        assert LOADERS[kind](plain, name).digest == LOADERS[kind](other, name).digest, kind  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("kind", "changed", "before", "after"),
    [
        ("pack", "pack", "default: 14", "default: 15"),
        ("pack", "policy", "instance-age", "instance-uptime"),
        ("profile", "profile", "idle_days: 21", "idle_days: 22"),
        ("framework", "framework", "direct", "partial"),
        ("customer", "customer", "idle_days: 7", "idle_days: 8"),
    ],
)
def test_content_changes_a_digest(tmp_path: Path, kind: str, changed: str, before: str, after: str) -> None:
    workspace = write_workspace(tmp_path)
    first = LOADERS[kind](Catalog(workspace), OWN[kind]).digest  # type: ignore[attr-defined]
    path = next(
        path for path in workspace.rglob("*.yaml") if f"kind: {changed.title()}\n" in path.read_text(encoding="utf-8")
    )
    text = path.read_text(encoding="utf-8")
    assert text.count(before) == 1
    write_files(workspace, {str(path.relative_to(workspace)): text.replace(before, after)})
    assert LOADERS[kind](Catalog(workspace), OWN[kind]).digest != first  # type: ignore[attr-defined]


def test_a_digest_tells_types_and_order_of_items_apart_but_not_order_of_keys() -> None:
    assert digest({"a": 1, "b": [1, 2]}) == digest({"b": [1, 2], "a": 1})
    values: list[object] = [
        1,
        "1",
        True,
        "true",
        None,
        "",
        [],
        {},
        [1, 2],
        [2, 1],
        {"a": 1},
        {"a": "1"},
        "é",
        "e\u0301",
    ]
    assert len({digest(value) for value in values}) == len(values)
    assert digest({"a": "é"}) == "b3a092a6af48807fa9482b2ee140105575daa26d5b24b3c0e60a7e2dee6683b1", (
        "recorded in evidence: it may never change"
    )


# --- Broken files -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "changed"),
    [
        ("pack", "pack"),
        ("pack", "policy"),
        ("profile", "profile"),
        ("framework", "framework"),
        ("customer", "customer"),
    ],
)
def test_broken_yaml_says_where(tmp_path: Path, kind: str, changed: str) -> None:
    catalog = Catalog(write_workspace(tmp_path, **{changed: 'kind: Pack\nname: "never closed\n'}))
    (problem,) = problems(catalog, lambda each: LOADERS[kind](each, OWN[kind]))
    assert problem.mark.line == 2
    assert problem.mark.path.startswith(("packs/", "profiles/", "frameworks/", "customers/"))
    assert problem.message == "the quote opened here is never closed"


def test_a_broken_price_book_is_an_error_and_not_the_built_in_one(tmp_path: Path) -> None:
    catalog = Catalog(write_workspace(tmp_path, prices=PRICES.replace('"0.107"', "0.107")))
    (problem,) = problems(catalog, Catalog.prices)
    assert problem.mark == Mark("pricebook.yaml", 7, 85)


@pytest.mark.parametrize(
    ("kind", "changed", "text", "inside"),
    [
        ("pack", "pack", PACK, "other-pack"),
        ("pack", "policy", POLICY, "other-policy"),
        ("profile", "profile", PROFILE, "other"),
        ("framework", "framework", FRAMEWORK, "other"),
        ("customer", "customer", CUSTOMER, "other"),
    ],
)
def test_a_file_named_other_than_its_content(tmp_path: Path, kind: str, changed: str, text: str, inside: str) -> None:
    catalog = Catalog(write_workspace(tmp_path, **{changed: text.format(name=inside)}))
    (problem,) = problems(catalog, lambda each: LOADERS[kind](each, OWN[kind]))
    outside = "own-policy" if changed == "policy" else OWN[kind]
    assert problem.rule == "name"
    assert problem.message == f"The {changed} calls itself {inside!r}, its file or folder says {outside!r}."
    assert (problem.mark.line, problem.mark.column) == (3, 7)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    catalog = Catalog(write_workspace(tmp_path, profile=PACK.format(name="own-profile")))
    (problem,) = problems(catalog, lambda each: each.profile("own-profile"))
    assert "must be Profile here" in problem.message


def test_every_problem_of_a_pack_is_told_at_once(tmp_path: Path) -> None:
    write_workspace(tmp_path, pack=PACK.format(name="own-pack").replace("1.0.0", "1.0"), policy="kind: Policy\n")
    write_files(
        tmp_path,
        {"packs/own-pack/a.yaml": "[", "packs/own-pack/b.yaml": POLICY.format(name="c"), "packs/own-pack/x": "["},
    )
    found = problems(Catalog(tmp_path), lambda each: each.pack("own-pack"))
    assert {each.mark.path.removeprefix("packs/own-pack/") for each in found} == {
        "pack.yaml",
        "own-policy.yaml",
        "a.yaml",
        "b.yaml",
    }


def test_every_broken_pack_is_told_at_once(tmp_path: Path) -> None:
    write_files(
        tmp_path, {"packs/one/pack.yaml": "[", "packs/two/pack.yaml": "{", "packs/idle-resources/pack.yaml": ""}
    )
    found = problems(Catalog(tmp_path), Catalog.all_packs)
    assert [each.mark.path for each in found] == [
        "packs/idle-resources/pack.yaml",
        "packs/one/pack.yaml",
        "packs/two/pack.yaml",
    ]


def test_an_account_listed_twice_names_both_places(tmp_path: Path) -> None:
    text = CUSTOMER.format(name="own-customer").replace("444455556666", "111122223333")
    catalog = Catalog(write_workspace(tmp_path, customer=text))
    (problem,) = problems(catalog, lambda each: each.customer("own-customer"))
    path = "customers/own-customer/customer.yaml"
    assert problem.message == "Account 111122223333 is listed twice."
    assert (problem.mark, problem.related) == (Mark(path, 9, 5), (Mark(path, 8, 5),))


def test_an_account_id_that_yaml_reads_as_a_number_is_refused(tmp_path: Path) -> None:
    text = CUSTOMER.format(name="own-customer").replace('"444455556666"', "044455556666")
    (problem,) = problems(Catalog(write_workspace(tmp_path, customer=text)), lambda each: each.customer("own-customer"))
    assert (problem.mark.line, problem.hint[:17]) == (9, "Put it in quotes.")


def test_a_framework_that_contradicts_itself(tmp_path: Path) -> None:
    text = FRAMEWORK.format(name="own-rules")
    mapping = "      - {policy: own-pack/own-policy, strength: partial, rationale: And once more.}\n"
    second = "  - {id: C-1, title: Again, group: H}\n"
    catalog = Catalog(write_workspace(tmp_path, framework=text + mapping + second))
    found = problems(catalog, lambda each: each.framework("own-rules"))
    path = "frameworks/own-rules.yaml"
    assert sorted(each.rule for each in found) == ["duplicate", "duplicate", "unknown-group"]
    assert all(each.hint for each in found)
    assert {(each.message, each.mark, each.related) for each in found} == {
        ("Control C-1 is listed twice.", Mark(path, 16, 5), (Mark(path, 10, 5),)),
        ("Control C-1 is in group 'H', which is not listed.", Mark(path, 16, 36), (Mark(path, 8, 1),)),
        (
            "The mapping of control C-1 to own-pack/own-policy is listed twice.",
            Mark(path, 15, 9),
            (Mark(path, 14, 9),),
        ),
    }


def test_a_price_given_twice_names_both_places(tmp_path: Path) -> None:
    again = '  - {key: ec2/m5.large, unit: hour, regions: {eu-west-1: "0.2"}}\n'
    (problem,) = problems(Catalog(write_workspace(tmp_path, prices=PRICES + again)), Catalog.prices)
    assert problem.message == "The price of ec2/m5.large in eu-west-1 is listed twice."
    assert (problem.mark, problem.related) == (Mark("pricebook.yaml", 14, 47), (Mark("pricebook.yaml", 7, 74),))


def test_a_folder_that_may_not_be_read_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: Path) -> bool:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    catalog = Catalog(write_workspace(tmp_path))
    monkeypatch.setattr(Path, "is_file", denied)
    (problem,) = problems(catalog, lambda each: each.customer("own-customer"))
    assert (problem.rule, problem.message) == ("file-unreadable", "it cannot be read: permission denied")
    assert problem.hint
    assert problem.mark.path == "customers/own-customer/customer.yaml"
    monkeypatch.setattr(Path, "is_dir", denied)
    (problem,) = problems(catalog, Catalog.packs)
    assert problem.mark.path == "packs"


# --- Waivers ----------------------------------------------------------------------------------------------------------


def waivers(tmp_path: Path, text: str | bytes) -> tuple[list[str], list[Diagnostic]]:
    """Ids of the waivers that may apply, and what is told of the others."""
    found, told = Catalog(write_workspace(tmp_path, waivers=text)).waivers("own-customer")
    assert all(each.mark.path == "customers/own-customer/waivers.yaml" for each in (*found, *told))
    return [each.id for each in found], told


def test_a_waiver_as_written(workspace: Path) -> None:
    (waiver,), told = Catalog(workspace).waivers("own-customer")
    assert told == []
    assert (waiver.id, waiver.policy, waiver.expires) == ("W-1", "own-policy", dt.date(2026, 12, 31))
    assert (waiver.requested_by, waiver.approved_by, waiver.ticket) == (
        "dana@example.com",
        "ingrid@example.com",
        "FIN-1",
    )
    assert waiver.mark == Mark("customers/own-customer/waivers.yaml", 4, 5)


def test_an_expired_waiver_is_still_read(tmp_path: Path) -> None:
    assert waivers(tmp_path, WAIVERS + waiver_text(expires="2001-01-01")) == (["W-1"], [])


def test_without_a_waivers_file_nothing_is_waived(tmp_path: Path) -> None:
    workspace = write_workspace(tmp_path)
    (workspace / "customers/own-customer/waivers.yaml").unlink()
    assert Catalog(workspace).waivers("own-customer") == ([], [])


def test_a_customer_of_the_workspace_does_not_inherit_waivers_of_a_built_in_one(tmp_path: Path) -> None:
    assert Catalog(tmp_path).waivers("acme")[0]
    write_files(tmp_path, {"customers/acme/customer.yaml": CUSTOMER.format(name="acme")})
    assert Catalog(tmp_path).waivers("acme") == ([], [])


@pytest.mark.parametrize("approver", ["dana@example.com", "Dana@Example.COM", '"  dana@example.com "'])
def test_nobody_waives_their_own_finding(tmp_path: Path, approver: str) -> None:
    text = WAIVERS + waiver_text() + waiver_text("W-2", approved_by=approver) + waiver_text("W-3")
    ids, (problem,) = waivers(tmp_path, text)
    assert ids == ["W-1", "W-3"]
    assert problem.rule == "self-approved"
    assert problem.message == "Waiver W-2 is approved by the person who requested it; it does not apply."
    assert problem.mark.line == 13


def test_the_second_waiver_of_an_id_does_not_apply(tmp_path: Path) -> None:
    text = WAIVERS + waiver_text() + waiver_text("W-1", policy="another")
    ids, (problem,) = waivers(tmp_path, text)
    assert ids == ["W-1"]
    assert (problem.rule, problem.mark.line, problem.related[0].line) == ("duplicate", 13, 4)
    assert "does not apply" in problem.message


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"expires": "2026-02-30"}, 12),
        ({"expires": "never"}, 12),
        ({"expires": "20261231"}, 12),
        ({"expires": "2026-12-31T00:00:00Z"}, 12),
        ({"expires": ""}, 12),
        ({"resource": '"*"'}, 6),
        ({"resource": "i-1"}, 6),
        ({"reason": "because"}, 7),
        ({"approved_by": '""'}, 10),
        ({"approved": "yes"}, 13),
    ],
)
def test_a_malformed_waiver_does_not_apply_and_is_told(tmp_path: Path, changes: dict[str, str], line: int) -> None:
    ids, told = waivers(tmp_path, WAIVERS + waiver_text(**changes))
    assert ids == []
    assert {problem.mark.line for problem in told} == {line}


def test_a_malformed_waiver_does_not_take_the_others_with_it(tmp_path: Path) -> None:
    text = WAIVERS + waiver_text() + waiver_text("W-2", expires="soon") + waiver_text("W-3")
    ids, (problem,) = waivers(tmp_path, text)
    assert ids == ["W-1", "W-3"]
    assert "soon" in problem.message


@pytest.mark.parametrize(
    "text", ["kind: Waivers\n", "apiVersion: finops-policy/v1\nkind: Waivers\nwaivers: 3\n", "- 1\n"]
)
def test_a_file_that_is_no_list_of_waivers_waives_nothing(tmp_path: Path, text: str) -> None:
    ids, told = waivers(tmp_path, text)
    assert not ids
    assert told


def test_a_waiver_without_an_end_does_not_apply(tmp_path: Path) -> None:
    text = WAIVERS + waiver_text().replace("    expires: 2026-12-31\n", "")
    ids, (problem,) = waivers(tmp_path, text)
    assert ids == []
    assert problem.message == "`expires` is missing in item 1 of `waivers`"


def test_a_waivers_file_of_broken_yaml_waives_nothing_and_is_told(tmp_path: Path) -> None:
    ids, (problem,) = waivers(tmp_path, WAIVERS + waiver_text() + "  - {id: W-2\n")
    assert ids == []
    assert problem.mark.line


def test_a_waivers_file_of_another_encoding_waives_nothing_and_is_told(tmp_path: Path) -> None:
    ids, (problem,) = waivers(tmp_path, (WAIVERS + waiver_text()).encode("utf-16"))
    assert ids == []
    assert problem.rule == "encoding"
