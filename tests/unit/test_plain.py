"""Plain Cloud Custodian files and accounts files of c7n-org: what they come to, and where their mistakes are."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from finops_policy import plain
from finops_policy.compiler import DEFAULT, load_policies
from finops_policy.custodian.loading import CARRIED, distinct, expand, faults, load
from finops_policy.custodian.loading import problems as told_by_c7n
from finops_policy.customer import ENABLED, Role
from finops_policy.engine.run import check_with_c7n
from finops_policy.errors import InvalidFilesError, UsageError
from finops_policy.failures import known_regions
from finops_policy.model import Severity
from finops_policy.plain_accounts import choose, comma_expand, meant, partition_of, read_accounts
from finops_policy.project import Project

PROD, DEV, DATA = "111122223333", "444455556666", "777788889999"
POLICY = "policies: [{name: p, resource: ec2, filters: [{InstanceType: m5.large}]}]\n"
ACCOUNTS = f"""\
vars: {{days: 14, word: shared}}
accounts:
  - account_id: "{PROD}"
    name: prod
    role: reader
    external_id: secret-id
    regions: [eu-west-1, us-east-1]
    tags: [env:prod, team:a]
    owner: ann
  - account_id: "{DEV}"
    name: dev
    role: arn:aws:iam::{DEV}:role/path/reader
    regions: [all]
    tags: [env:dev, team:a]
    vars: {{word: own}}
  - account_id: "{DATA}"
    role: ["arn:aws:iam::999900001111:role/hub", "arn:aws:iam::{DATA}:role/reader"]
    regions: ["us-east-1,us-west-2", " us-east-1"]
"""


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path


def project(folder: Path, policies: str = POLICY, accounts: str = ACCOUNTS, **choice: tuple[str, ...]) -> Project:
    return chosen(folder, policies, accounts, **choice)


def chosen(folder: Path, text: str, listed: str = ACCOUNTS, **choice: tuple[str, ...]) -> Project:
    files = [written(folder, "policies.yml", text)]
    return plain.load(files, written(folder, "accounts.yml", listed), plain.Choice(**choice), "custodian")


def problems(folder: Path, policies: str = POLICY, accounts: str = ACCOUNTS, **choice: tuple[str, ...]) -> list[str]:
    with pytest.raises(InvalidFilesError) as caught:
        project(folder, policies, accounts, **choice)
    prefix = f"{folder}/"
    return [
        f"{each.mark} {each.rule}: {each.message} {each.hint}".removeprefix(prefix) for each in caught.value.diagnostics
    ]


# --- accounts files ---------------------------------------------------------------------------------------------------


def test_accounts_are_read_as_c7n_org_means_them(tmp_path: Path) -> None:
    prod, dev, data = read_accounts(written(tmp_path, "a.yml", ACCOUNTS)).listed
    assert (prod.account.id, prod.account.name, prod.account.regions) == (PROD, "prod", ("eu-west-1", "us-east-1"))
    assert prod.account.role == Role("reader", "secret-id")
    assert prod.account.role.arn("aws", PROD) == f"arn:aws:iam::{PROD}:role/reader"
    assert dev.account.role is not None
    assert dev.account.role.arn("aws", DEV) == f"arn:aws:iam::{DEV}:role/path/reader"
    assert dev.account.regions == (ENABLED,)
    assert data.account.name == DATA
    assert data.account.role == Role(f"arn:aws:iam::{DATA}:role/reader", via=("arn:aws:iam::999900001111:role/hub",))
    assert data.account.regions == ("us-east-1", "us-west-2")
    assert [each.variables["word"] for each in (prod, dev, data)] == ["shared", "own", "shared"]
    assert dev.variables["days"] == 14


def test_conditions_see_the_account_without_its_secret(tmp_path: Path) -> None:
    shown = read_accounts(written(tmp_path, "a.yml", ACCOUNTS)).listed[0].shown
    assert shown["owner"] == "ann"
    assert shown["role"] == f"arn:aws:iam::{PROD}:role/reader"
    assert shown["vars"] == {"days": 14, "word": "shared"}
    assert "secret-id" not in json.dumps(shown)


def test_an_account_without_regions_has_those_of_c7n_org(tmp_path: Path) -> None:
    file = read_accounts(written(tmp_path, "a.yml", f'accounts: [{{account_id: "{PROD}", role: reader}}]'))
    assert file.listed[0].account.regions == ("us-east-1", "us-west-2")


@pytest.mark.parametrize(
    ("names", "tags", "found"),
    [
        ((), (), [PROD, DEV, DATA]),
        (("dev", DATA), (), [DEV, DATA]),
        ((), ("team:a",), [PROD, DEV]),
        ((), ("team:a", "env:dev"), [DEV]),
        (("prod",), ("team:a",), [PROD]),
    ],
)
def test_accounts_are_chosen_by_name_and_every_tag(
    names: tuple[str, ...], tags: tuple[str, ...], found: list[str], tmp_path: Path
) -> None:
    file = read_accounts(written(tmp_path, "a.yml", ACCOUNTS))
    assert [each.account.id for each in choose(file, names, tags, ())] == found


@pytest.mark.parametrize(
    ("names", "tags", "says", "hint"),
    [
        (("pord",), (), "has no account 'pord'", "Did you mean prod?"),
        ((), ("env:prd",), "has the tag 'env:prd'", "Did you mean env:prod"),
        ((), ("env:dev", "env:prod"), "has all of the tags env:dev, env:prod", "must have every tag"),
        (("prod",), ("env:dev",), "among those named", "must have every tag"),
    ],
)
def test_a_choice_of_nothing_is_refused(
    names: tuple[str, ...], tags: tuple[str, ...], says: str, hint: str, tmp_path: Path
) -> None:
    file = read_accounts(written(tmp_path, "a.yml", ACCOUNTS))
    with pytest.raises(UsageError) as caught:
        choose(file, names, tags, ())
    assert says in caught.value.message
    assert hint in caught.value.hint


def test_a_name_that_two_accounts_have_chooses_neither(tmp_path: Path) -> None:
    file = read_accounts(written(tmp_path, "a.yml", ACCOUNTS.replace("name: dev", "name: prod")))
    with pytest.raises(UsageError) as caught:
        choose(file, ("prod",), (), ())
    assert f"2 accounts named 'prod': {PROD}, {DEV}." in caught.value.message
    assert [each.account.id for each in choose(file, (DEV,), (), ())] == [DEV]


def test_regions_given_take_the_place_of_the_accounts_own(tmp_path: Path) -> None:
    file = read_accounts(written(tmp_path, "a.yml", ACCOUNTS))
    assert {each.account.regions for each in choose(file, (), (), ("eu-north-1",))} == {("eu-north-1",)}
    assert {each.account.regions for each in choose(file, (), (), ("all",))} == {(ENABLED,)}


@pytest.mark.parametrize("region", ["Ohio", "us_east_1", "us-east-1;", "a"])
def test_a_region_that_is_none_is_refused(region: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no region"):
        choose(read_accounts(written(tmp_path, "a.yml", ACCOUNTS)), (), (), (region,))


@pytest.mark.parametrize(
    ("region", "near"),
    [
        ("us-east1", "us-east-1"),
        ("us-esat-1", "us-east-1"),
        ("su-east-1", "us-east-1"),
        ("us-gvo-west-1", "us-gov-west-1"),
        ("us-east-1", ""),
        ("all", ""),
        ("us-east-9", ""),
        ("eu-northwest-1", ""),
        ("us-gov-central-1", ""),
        ("eusc-de-east-2", ""),
        ("zz-zzzzzzzzz-1", ""),
    ],
)
def test_a_region_is_misspelt_or_new(region: str, near: str, tmp_path: Path) -> None:
    said = meant(region, known_regions())
    assert (said.startswith("Did you mean ") and near in said) if near else said == ""
    if near:
        with pytest.raises(UsageError, match="There is no region"):
            project(tmp_path, regions=(f"us-west-2,{region}",))


def test_commas_separate() -> None:
    assert comma_expand(["a, b,,", "c", "a"]) == ("a", "b", "c")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("subscriptions: [{subscription_id: x}]", "1:1 cloud: `subscriptions` are of Azure"),
        ("accounts: []", "1:11 schema: `accounts` must have at least 1 item"),
        ("accounts:\n- {account_id: 111122223333, role: reader}", "2:16 schema: `account_id` must be text"),
        ('accounts:\n- {account_id: "11112222333", role: reader}', "2:16 schema: `account_id` does not have the right"),
        (f'accounts:\n- {{account_id: "{PROD}"}}', "2:3 schema: `role` is missing"),
        (f'accounts:\n- {{account_id: "{PROD}", profile: me}}', "2:32 profile: An account is entered by its role"),
        (f'accounts:\n- {{account_id: "{PROD}", role: [reader]}}', "2:39 schema: item 1 of `role`"),
        (f'accounts:\n- {{account_id: "{PROD}", role: reader, regions: [Ohio]}}', "2:56 schema: item 1 of `regions`"),
        (f'accounts:\n- {{account_id: "{PROD}", role: "arn:aws:iam::{DEV}:role/r"}}', "2:38 role-account: The role"),
        (
            f'accounts:\n- {{account_id: "{PROD}", role: reader, regions: [us-east-1, "eu-west-1, us-esat-1"]}}',
            "2:67 unknown-region: There is no region 'us-esat-1'. Did you mean ",
        ),
        (f'accounts:\n- {{account_id: "{PROD}", role: reader, external_id: x}}', "2:59 schema: `external_id` must"),
        (f'accounts:\n- {{account_id: "{PROD}", role: reader, tags: [prod]}}', "2:53 schema: item 1 of `tags`"),
        ("- just\n- a list", "1:1 schema: the file must be a mapping"),
        ("account: []", "1:1 schema: `account` is not a key"),
    ],
)
def test_mistakes_in_an_accounts_file_are_told_at_their_place(text: str, told: str, tmp_path: Path) -> None:
    assert any(each.startswith(f"accounts.yml:{told}") for each in problems(tmp_path, accounts=text))


def test_an_account_listed_twice_is_refused(tmp_path: Path) -> None:
    twice = f'accounts:\n- {{account_id: "{PROD}", role: one}}\n- {{account_id: "{PROD}", role: two}}\n'
    assert problems(tmp_path, accounts=twice)[0].startswith(f"accounts.yml:3:16 duplicate: Account {PROD}")


def test_partitions(tmp_path: Path) -> None:
    gov = f'accounts: [{{account_id: "{PROD}", role: reader, regions: [us-gov-west-1]}}]'
    china = f'accounts: [{{account_id: "{PROD}", role: "arn:aws-cn:iam::{PROD}:role/r", regions: [all]}}]'
    assert project(tmp_path, accounts=gov).customer.partition == "aws-us-gov"
    assert project(tmp_path, accounts=china).customer.partition == "aws-cn"
    assert partition_of(project(tmp_path).customer.accounts) == "aws"
    secret = f'accounts: [{{account_id: "{PROD}", role: reader, regions: [us-isob-east-1]}}]'
    assert "partition: aws-isob is no partition known here." in problems(tmp_path, accounts=secret)[0]
    both = f'{ACCOUNTS}  - {{account_id: "000000000001", role: reader, regions: [cn-north-1]}}\n'
    assert " partition: Account 000000000001 is in the partition aws-cn" in problems(tmp_path, accounts=both)[0]


# --- policy files -----------------------------------------------------------------------------------------------------

FULL = """\
vars: {anchors: &large {InstanceType: m5.large}}
policies:
  - name: EC2_Large
    resource: ec2
    description: "No large instances.\\nThey cost a lot."
    metadata: {severity: HIGH, team: a}
    filters: [*large]
    actions: [stop, {type: tag, key: k, value: v}]
  - name: volumes
    resource: aws.ebs
    metadata: {title: Volumes}
"""


def test_a_file_becomes_a_pack_and_each_policy_all_violation(tmp_path: Path) -> None:
    made = project(tmp_path, FULL)
    large, volumes = made.compiled.policies()
    assert (large.qualified_name, large.resource, large.severity) == ("policies/EC2_Large", "aws.ec2", Severity.HIGH)
    assert (large.title, large.rationale) == ("No large instances.", "No large instances.\nThey cost a lot.")
    assert (volumes.title, volumes.rationale, volumes.severity) == ("Volumes", "", Severity.MEDIUM)
    assert {large.scope_length, volumes.scope_length} == {0}
    assert large.document["filters"] == [{"InstanceType": "m5.large"}]
    assert large.document["metadata"]["team"] == "a"
    assert made.packs["policies"].version == "0.0.0"
    assert set(made.compiled.lock) == {"apiVersion", "kind", "customer", "profile", "packs", "frameworks", "policies"}


def test_what_is_compiled_has_no_actions(tmp_path: Path) -> None:
    made = project(tmp_path, FULL)
    assert plain.acting(made) == 1
    written = yaml.safe_load(made.compiled.files()["policies.yaml"])["policies"]
    assert load_policies(written) == made.compiled.policies()
    assert not any("actions" in policy for policy in written)
    carried = made.compiled.policies()[0].document["metadata"][CARRIED]
    assert carried["actions"] == ["stop", {"type": "tag", "key": "k", "value": "v"}]


def test_a_folder_stands_for_its_files(tmp_path: Path) -> None:
    for name in ("b/ec2.yml", "a/EC2.yaml", "ec2.json", ".hidden/x.yml", "b/.x.yml", "readme.txt", "9.yml"):
        policy = {"name": f"p{len(name)}-{name[0].replace('.', 'dot')}", "resource": "ec2"}
        written(tmp_path / "all", name, json.dumps({"policies": [policy]}))
    paths = [tmp_path / "all", tmp_path / "all" / "b" / "ec2.yml"]
    made = plain.load(paths, None, plain.Choice(regions=("us-east-1",)), "custodian")
    assert set(made.packs) == {"file-9", "a-ec2", "b-ec2", "ec2"}


def test_files_of_one_name_have_packs_of_their_own(tmp_path: Path) -> None:
    paths = [
        written(tmp_path, f"{folder}/{name}.yml", POLICY.replace("name: p", f"name: p{folder}-{name}"))
        for folder, name in (("a", "x-2"), ("b", "x"), ("c", "x"), ("d", "x"))
    ]
    made = plain.load(paths, None, plain.Choice(regions=("us-east-1",)), "custodian")
    assert list(made.packs) == ["x-2", "x", "x-3", "x-4"]


def test_without_accounts_the_one_account_is_named_later(tmp_path: Path) -> None:
    path = written(tmp_path, "p.yml", POLICY)
    made = plain.load([path], None, plain.Choice(regions=("eu-west-1", "us-east-1")), "mine")
    assert made.customer.accounts[0].regions == ("eu-west-1", "us-east-1")
    assert [(each.id, each.role) for each in plain.in_account(made, PROD).customer.accounts] == [(PROD, None)]


@pytest.mark.parametrize("name", ["Acme", "a_b", "../up", "", "a" * 51])
def test_a_customer_name_that_is_no_folder_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot name a customer"):
        plain.load([written(tmp_path, "p.yml", POLICY)], None, plain.Choice(regions=("us-east-1",)), name)


def test_files_without_any_policy_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="hold no policy"):
        project(tmp_path, "policies: []")


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("{name: p, resource: aws.ec3}", "2:25 unknown-resource: c7n has no resource type `aws.ec3` Did you mean"),
        ("{name: p, resource: gcp.instance}", "2:25 cloud: `gcp.instance` is no resource type of AWS"),
        ("{name: p, resource: [ec2]}", "2:25 schema: `resource` must be text"),
        ("{name: a.b, resource: ec2}", "2:12 schema: `name` does not have the right form"),
        ("{resource: ec2}", "2:5 schema: `name` is missing"),
        (
            "{name: p, resource: ec2, fliters: []}",
            "2:30 schema: `fliters` is not a key of a policy Did you mean filters?",
        ),
        (
            "{name: p, resource: ec2, filters: [{type: valeu}]}",
            "2:47 unknown-filter: aws.ec2 has no filter `valeu` Did you mean value?",
        ),
        ("{name: p, resource: ec2, filters: [nope]}", "2:40 unknown-filter: aws.ec2 has no filter `nope`"),
        (
            "{name: p, resource: ec2, actions: [stpo]}",
            "2:40 unknown-action: aws.ec2 has no action `stpo` Did you mean stop?",
        ),
        (
            "{name: p, resource: ec2, filters: [{type: instance-age, days: x}]}",
            "2:67 schema: `days` must be a number: got the text `x`",
        ),
        ("{name: p, resource: ec2, filters: [{A: '{kind}'}]}", "2:44 unknown-variable: {kind} is no variable"),
        ("{name: p, resource: ec2, filters: [{A: 'x}'}]}", "2:5 c7n: Cloud Custodian refuses it: Single '}'"),
        (
            "{name: p, resource: ec2, filters: [{type: instance-age, days: '{word}'}]}",
            "2:67 schema: `days` must be a number: got the text `shared`",
        ),
        ("{name: p, resource: ec2, actions: [{type: mark-for-op, op: nope}]}", "2:5 c7n: Cloud Custodian refuses it:"),
        (
            "{name: p, resource: ec2, metadata: {severity: Hgih}}",
            "2:51 severity: `Hgih` is no severity. Did you mean high",
        ),
        ("{name: p, resource: ec2, metadata: {severity: [high]}}", "2:51 severity: `['high']` is no severity."),
        ("{name: p, resource: ec2, metadata: {severity: }}", "2:51 severity: `None` is no severity. Known: critical"),
    ],
)
def test_mistakes_in_a_policy_file_are_told_at_their_place(lines: str, told: str, tmp_path: Path) -> None:
    assert problems(tmp_path, f"policies:\n  - {lines}\n")[0].startswith(f"policies.yml:{told}")


@pytest.mark.parametrize("text", ["policies: 3", "policies:", "- a", "other: []", "policies: [x]", "policies: [{}]"])
def test_a_file_of_another_form_is_refused(text: str, tmp_path: Path) -> None:
    assert problems(tmp_path, text)


def test_one_name_in_two_files_is_refused_at_both(tmp_path: Path) -> None:
    one, two = written(tmp_path, "one.yml", POLICY), written(tmp_path, "two.yml", "\n" + POLICY)
    with pytest.raises(InvalidFilesError) as caught:
        plain.load([one, two], None, plain.Choice(regions=("us-east-1",)), "custodian")
    [found] = caught.value.diagnostics
    assert (found.mark.path, found.mark.line, found.related[0].path) == (str(two), 2, str(one))


def test_a_mistake_that_one_account_makes_is_found(tmp_path: Path) -> None:
    policy = "policies: [{name: p, resource: ec2, filters: [{type: instance-age, days: '{days}'}]}]"
    project(tmp_path, policy)
    [told] = problems(tmp_path, policy, ACCOUNTS.replace("{word: own}", "{days: soon}"))
    assert "`days` must be a number: got the text `soon`" in told


# --- variables --------------------------------------------------------------------------------------------------------

VARIED = """\
policies:
  - {name: fixed, resource: ec2}
  - {name: worded, resource: ec2, filters: [{A: "{word}"}]}
  - {name: aged, resource: ec2, filters: [{type: instance-age, days: "{days}"}]}
"""


def test_only_accounts_that_differ_have_a_variant_and_share_the_rest(tmp_path: Path) -> None:
    made = project(tmp_path, VARIED).compiled
    assert set(made.variants) == {DEFAULT, DEV}
    for name, same in (("fixed", True), ("worded", False), ("aged", True)):
        usual, own = (next(each for each in made.policies(which) if each.name == name) for which in (PROD, DEV))
        assert (usual is own) is same
    assert made.policies(DEV)[1].document["metadata"][CARRIED] == {"vars": {"word": "own"}}
    assert set(made.files()) == {"policies.yaml", f"accounts/{DEV}.yaml", "finops-policy.lock"}


@pytest.mark.parametrize(
    "choice",
    [{"accounts": ("prod",)}, {"tags": ("env:dev",)}, {"regions": ("eu-west-2",)}, {"policies": ("fixed",)}],
)
def test_what_is_compiled_does_not_depend_on_what_is_chosen(choice: dict[str, tuple[str, ...]], tmp_path: Path) -> None:
    assert chosen(tmp_path, VARIED, **choice).compiled.files() == project(tmp_path, VARIED).compiled.files()


def test_only_what_is_chosen_is_checked(tmp_path: Path) -> None:
    worded, accounts = VARIED.replace("{word}", "{own}"), ACCOUNTS.replace("{word: own}", "{own: x}")
    check_with_c7n(chosen(tmp_path, worded, accounts, accounts=("dev",)))
    others = chosen(tmp_path, worded, accounts, policies=("fixed", "policies/a*"))
    check_with_c7n(others, {"fixed", "aged"})
    with pytest.raises(InvalidFilesError):
        check_with_c7n(others)
    for choice in ({}, {"accounts": ("prod",)}, {"policies": ("worded",)}):
        with pytest.raises(InvalidFilesError) as caught:
            chosen(tmp_path, worded, accounts, **choice)
        assert [each.rule for each in caught.value.diagnostics] == ["unknown-variable"]


def test_conditions_on_the_account_make_variants(tmp_path: Path) -> None:
    looks = "policies: [{name: p, resource: ec2, conditions: [{type: value, key: account.name, value: prod}]}]"
    made = project(tmp_path, looks).compiled
    assert {made.policies(each)[0].document["metadata"][CARRIED]["account"]["account_id"] for each in (PROD, DEV)} == {
        PROD,
        DEV,
    }
    by_id = "policies: [{name: p, resource: ec2, conditions: [{account_id: '1'}]}]"
    assert set(project(tmp_path, by_id).compiled.variants) == {DEFAULT}


def _config(region: str, account_id: str) -> Any:
    from c7n.config import Config

    return Config.empty(account_id=account_id, region=region, output_dir="null://", log_group="null://")


def _session(*_: Any, **__: Any) -> Any:
    raise AssertionError("nothing may be called")


TRICKY = {
    "name": "p",
    "resource": "aws.ec2",
    "filters": [
        {"type": "value", "key": "A", "value": "{account_id}/{region}/{word}/{nested[key]}"},
        {"type": "value", "key": "B", "op": "regex", "value": "^[a-z]{{2}}$"},
        {"type": "value", "key": "C", "op": "regex", "value": "^[a-z]{2}$"},
        {"type": "value", "key": "D", "op": "in", "value": "{many}"},
        {"type": "value", "key": "E", "value": "{{region}}"},
        {"type": "value", "key": "F", "value": "{unknown} {word}"},
        {"type": "value", "key": "G", "value": "{now:%Y}"},
        {"type": "instance-age", "days": "{days}"},
    ],
}
VARIABLES = {"word": "w", "nested": {"key": "n"}, "many": ["a", "b"], "days": 14, "region": "mars", "brace": "}{"}


def test_variables_come_out_as_c7n_itself_expands_them() -> None:
    from c7n.policy import Policy

    from finops_policy.custodian.library import load_types

    load_types(["aws.ec2"])
    theirs = Policy(copy.deepcopy(TRICKY), _config("eu-west-1", PROD), session_factory=_session)
    theirs.expand_variables(theirs.get_variables(dict(VARIABLES)))
    carried = {**TRICKY, "metadata": {CARRIED: {"vars": VARIABLES}}}
    ours = expand(carried, _config("eu-west-1", PROD), _session)
    assert ours.data["filters"] == theirs.data["filters"]
    values = [each.get("value", each.get("days")) for each in ours.data["filters"]]
    assert values[0] == f"{PROD}/eu-west-1/w/n"
    assert values[1:4] == ["^[a-z]{2}$", "^[a-z]{2}$", ["a", "b"]]
    assert values[4:6] == ["{region}", "{unknown} {word}"]
    assert values[7] == 14
    assert [type(each) for each in ours.resource_manager.filters] == [
        type(each) for each in theirs.resource_manager.filters
    ]
    assert ours.resource_manager.filters[7].data["days"] == 14
    assert carried["metadata"][CARRIED]["vars"] is VARIABLES
    assert VARIABLES["region"] == "mars"


def test_a_policy_without_variables_is_loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from c7n.policy import Policy

    loads: list[str] = []
    real = Policy.load_resource_manager
    monkeypatch.setattr(Policy, "load_resource_manager", lambda self: loads.append(self.name) or real(self))
    load({"name": "p", "resource": "aws.ec2", "filters": [{"A": "b"}]}, _config("us-east-1", PROD), _session)
    assert loads == ["p"]


@pytest.mark.parametrize(("owner", "holds"), [("ann", True), ("bob", False)])
def test_conditions_look_at_the_account(owner: str, holds: bool) -> None:
    document = {
        "name": "p",
        "resource": "aws.ec2",
        "conditions": [{"type": "value", "key": "account.owner", "value": "ann"}],
        "metadata": {CARRIED: {"account": {"owner": owner}}},
    }
    assert load(document, _config("us-east-1", PROD), _session).is_runnable() is holds


def test_names_that_c7n_knows_at_run_time_are_no_mistakes() -> None:
    filters = [{"A": "{account_id}"}, {"B": "{region}"}, {"C": "{now}"}, {"D": "{event}"}, {"E": "{{mine}}"}]
    assert faults({"name": "p", "resource": "aws.ec2", "filters": filters}) == []
    found = faults({"name": "p", "resource": "aws.ec2", "filters": [{"A": "{mine}"}]})
    assert [(each.rule, each.steps) for each in found] == [("unknown-variable", ("filters", 0, "A"))]


def test_braces_in_a_variable_are_only_text(tmp_path: Path) -> None:
    accounts = ACCOUNTS.replace("word: shared", "word: '}{{'")
    document = project(tmp_path, VARIED, accounts).compiled.policies(PROD)[1].document
    assert expand(document, _config("us-east-1", PROD), _session).data["filters"] == [{"A": "}{{"}]


def test_policies_that_differ_in_values_of_one_type_are_checked_once() -> None:
    def carrying(**variables: object) -> dict[str, Any]:
        return {"name": "p", "resource": "aws.ec2", "metadata": {CARRIED: {"vars": variables}}}

    documents = [carrying(a=1), carrying(a=2), carrying(a="x"), carrying(a=1, b=2), {**carrying(a=1), "filters": []}]
    assert distinct(documents) == [documents[0], *documents[2:]]


def test_the_engines_own_check_knows_the_variables(tmp_path: Path) -> None:
    made = project(tmp_path, VARIED)
    assert told_by_c7n(policy.document for policies in made.compiled.variants.values() for policy in policies) == []
    aged = {**made.compiled.policies()[2].document, "metadata": {}}
    assert told_by_c7n([aged]) == [("aged", "{days} is no variable, and would stay as it is")]
