"""Compiling: pure, the same bytes everywhere, and every mistake told at once with both places."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from finops_policy.catalog import Catalog
from finops_policy.compiler import (
    DEFAULT,
    LOCK_NAME,
    CompiledSet,
    compile_set,
    dump_policies,
    dump_yaml,
    in_range,
    load_policies,
    policies_path,
)
from finops_policy.customer import Customer
from finops_policy.digests import digest
from finops_policy.errors import InvalidFilesError
from finops_policy.marks import Diagnostic, Mark
from finops_policy.model import Framework, Pack, ParameterValue, Posture, Profile, Severity, Strength
from finops_policy.project import load
from tests.unit.builders import (
    CUSTOMER,
    DEV,
    PROD,
    account,
    control,
    customer,
    framework,
    mapping,
    pack,
    parameter,
    policy,
    profile,
    settings,
    write_files,
    write_workspace,
)

IDLE = pack(
    "idle",
    policies=[policy("ec2-idle", scope=[{"State.Name": "running"}], violation=[{"type": "age", "days": "${days}"}])],
    parameters=[parameter("days", 14, minimum=1, maximum=455)],
)
TAGS = pack(
    "tags",
    policies=[policy("ec2-tags", violation=[{"type": "tags", "keys": "${keys}"}])],
    parameters=[parameter("keys", ("Owner",), items={"type": "string"})],
    version="1.4.2",
)
RULES = framework(control(mapping("idle/ec2-idle"), mapping("tags/ec2-tags", Strength.PARTIAL)))


def compiled(
    by: Profile | None = None,
    of: Customer | None = None,
    packs: Sequence[Pack] = (IDLE, TAGS),
    frameworks: Sequence[Framework] = (RULES,),
) -> CompiledSet:
    by = by or profile({"idle": "~=1.0", "tags": ">=1.2,<2"}, frameworks={"rules": "~=1.0"})
    return compile_set(by, of or customer(), {each.name: each for each in packs}, frameworks)


def refused(**inputs: Any) -> tuple[Diagnostic, ...]:
    with pytest.raises(InvalidFilesError) as caught:
        compiled(**inputs)
    assert len(set(caught.value.diagnostics)) == len(caught.value.diagnostics), "told once each"
    assert all(each.hint for each in caught.value.diagnostics), "each says how to mend it"
    return caught.value.diagnostics


def only(found: Sequence[Diagnostic], rule: str) -> Diagnostic:
    (one,) = found
    assert one.rule == rule
    return one


# --- What comes out ---------------------------------------------------------------------------------------------------


def test_a_policy_becomes_a_plain_document_of_cloud_custodian() -> None:
    remediation = {"actions": ["stop"], "undo": ["start"], "grace_days": "${days}", "destructive": False}
    idle = pack(
        "idle",
        policies=[
            policy(
                "ec2-idle",
                scope=["first", {"State.Name": "running"}],
                violation=[{"or": [{"days": "${days}"}, "x"]}],
                remediation=remediation,
                savings_method="on_demand_hours",
                severity=Severity.HIGH,
            )
        ],
        parameters=[parameter("days", 14)],
        version="1.2.3",
    )
    (found,) = compiled(profile({"idle": "~=1.2"}), packs=[idle], frameworks=[]).policies()
    assert (found.qualified_name, found.pack_version, found.severity) == ("idle/ec2-idle", "1.2.3", Severity.HIGH)
    assert (found.savings_method, found.scope_length) == ("on_demand_hours", 2)
    document = copy.deepcopy(dict(found.document))
    stated = document["metadata"].pop("digest")
    assert stated == digest(document)
    assert document == {
        "name": "ec2-idle",
        "resource": "aws.ec2",
        "description": "Title of ec2-idle",
        "metadata": {
            "pack": "idle",
            "pack_version": "1.2.3",
            "title": "Title of ec2-idle",
            "rationale": "Why ec2-idle matters to whoever pays.",
            "severity": "high",
            "scope_length": 2,
            "posture": "notify",
            "savings_method": "on_demand_hours",
            "remediation": {**remediation, "grace_days": 14},
        },
        "filters": ["first", {"State.Name": "running"}, {"or": [{"days": 14}, "x"]}],
    }


def test_what_a_policy_lacks_is_not_in_its_metadata() -> None:
    found = compiled().policies()[0]
    assert not {"savings_method", "remediation"} & set(found.document["metadata"])
    assert found.savings_method == ""


def test_nothing_that_acts_is_compiled() -> None:
    acting = pack("idle", policies=[policy("p", remediation={"actions": ["stop"], "destructive": False})])
    (found,) = compiled(profile({"idle": "~=1.0"}), packs=[acting], frameworks=[]).policies()
    assert "actions" not in found.document
    assert "mode" not in found.document


def test_policies_come_in_the_order_of_the_profile() -> None:
    for order in (["idle", "tags"], ["tags", "idle"]):
        found = compiled(profile(dict.fromkeys(order, "~=1.0")), frameworks=[])
        assert [each.pack for each in found.policies()] == order
        assert [each["name"] for each in found.lock["packs"]] == order


@pytest.mark.parametrize(
    "value", [7, True, False, 2.5, "text", "7", "true", "2026-01-01", "${", "", ("a", "b"), (1, 2), ()], ids=repr
)
def test_a_parameters_type_survives(value: ParameterValue) -> None:
    used = [{"type": "x", "value": "${it}", "nested": [{"deep": ["${it}", "stays"]}]}]
    one = pack("idle", policies=[policy("p", violation=used)], parameters=[parameter("it", value)])
    out = compiled(profile({"idle": "~=1.0"}), packs=[one], frameworks=[])
    plain = list(value) if isinstance(value, tuple) else value
    for reader in (yaml.SafeLoader, yaml.CSafeLoader):
        (document,) = yaml.load(out.files()["policies.yaml"], reader)["policies"]
        (found,) = document["filters"]
        assert found == {"type": "x", "value": plain, "nested": [{"deep": [plain, "stays"]}]}
        assert type(found["value"]) is type(plain)


def test_packs_the_profile_leaves_out_are_not_compiled() -> None:
    out = compiled(profile({"tags": "~=1.0"}), frameworks=[])
    assert [each.qualified_name for each in out.policies()] == ["tags/ec2-tags"]
    assert [each["name"] for each in out.lock["packs"]] == ["tags"]


# --- Layers -----------------------------------------------------------------------------------------------------------


def days(found: CompiledSet, account_id: str = DEFAULT) -> ParameterValue:
    value: ParameterValue = found.policies(account_id)[0].document["filters"][1]["days"]
    return value


@pytest.mark.parametrize("count", range(4))
def test_the_later_layer_wins_and_says_so(count: int) -> None:
    """Layers are added one by one: pack, profile, customer, account."""
    values = [settings(layer, idle={"days": 20 + at}) for at, layer in enumerate(("profile", "customer", "account"))]
    given_ = [values[at] if at < count else {} for at in range(3)]
    found = compiled(
        profile({"idle": "~=1.0"}, values=given_[0]),
        customer(account(PROD, values=given_[2]), account(DEV), values=given_[1]),
        frameworks=[],
    )
    expected = 14 if count == 0 else 19 + count
    assert days(found, PROD) == expected
    assert days(found) == min(expected, 21), "an account's value is its own"
    (origin,) = [each for each in found.origins if each.account_id == (PROD if count == 3 else DEFAULT)]
    layer = ("pack", "profile", "customer", "account")[count]
    assert (origin.layer, origin.value) == (layer, expected)
    assert origin.mark == (Mark(f"{layer}-days", 5, 5) if count else Mark("parameter-days", 3, 3))


def test_an_account_of_its_own_gets_a_file_of_its_own_and_no_other_account_does() -> None:
    found = compiled(
        of=customer(account(PROD), account(DEV, values=settings("account", idle={"days": 3})), account("777788889999"))
    )
    assert sorted(found.files()) == [f"accounts/{DEV}.yaml", LOCK_NAME, "policies.yaml"]
    assert [days(found, each) for each in (PROD, DEV, "777788889999", "000000000000")] == [14, 3, 14, 14]
    assert found.files() == {
        **compiled(of=customer(account(PROD))).files(),
        f"accounts/{DEV}.yaml": found.files()[f"accounts/{DEV}.yaml"],
        LOCK_NAME: found.files()[LOCK_NAME],
    }, "the file of everybody else is not touched"
    assert found.policies(DEV)[1] == found.policies(PROD)[1], "what the account does not set stays"


def test_an_account_that_sets_nothing_gets_no_file() -> None:
    found = compiled(of=customer(account(PROD, values={}), account(DEV, values={"idle": {}})))
    assert sorted(found.files()) == [LOCK_NAME, "policies.yaml"]
    assert {each.account_id for each in found.origins} == {DEFAULT}


def test_every_parameter_has_one_origin_per_variant() -> None:
    found = compiled(of=customer(account(PROD), account(DEV, values=settings("account", idle={"days": 3}))))
    keys = [(each.account_id, each.pack, each.parameter) for each in found.origins]
    assert keys == [
        (account_id, *parameter_)
        for account_id in (DEFAULT, DEV)
        for parameter_ in (("idle", "days"), ("tags", "keys"))
    ]


def test_a_final_value_holds_for_every_account() -> None:
    found = compiled(
        profile({"idle": "~=1.0"}, values=settings("profile", final=True, idle={"days": 30})), frameworks=[]
    )
    assert days(found) == 30


# --- Pure and deterministic -------------------------------------------------------------------------------------------


def test_two_compiles_give_the_same_bytes() -> None:
    assert compiled().files() == compiled().files()


def test_compiling_neither_changes_its_input_nor_shares_it() -> None:
    inner = {"type": "x", "list": [{"deep": "${days}"}]}
    one = pack(
        "idle",
        policies=[policy("p", violation=[inner], remediation={"actions": [inner], "destructive": False})],
        parameters=[parameter("days", 14)],
    )
    before = copy.deepcopy(one)
    first = compiled(profile({"idle": "~=1.0"}), packs=[one], frameworks=[])
    bytes_ = first.files()
    assert one == before

    def spoil(value: Any) -> None:
        for item in list(value.values() if isinstance(value, dict) else value):
            if isinstance(item, dict | list):
                spoil(item)
        value.clear()

    spoil(first.policies()[0].document)
    spoil(first.lock)
    assert one == before
    assert compiled(profile({"idle": "~=1.0"}), packs=[one], frameworks=[]).files() == bytes_


def test_frameworks_and_packs_may_come_in_any_order() -> None:
    other = framework(control(mapping("idle/ec2-idle")), name="laws")
    by = profile({"idle": "~=1.0", "tags": "~=1.0"}, frameworks={"rules": "~=1.0", "laws": "~=1.0"})
    forth = compiled(by, packs=[IDLE, TAGS], frameworks=[RULES, other])
    back = compiled(by, packs=[TAGS, IDLE], frameworks=[other, RULES])
    assert forth.files() == back.files()


SCRIPT = """
import sys
from pathlib import Path
from finops_policy.catalog import Catalog
from finops_policy.project import load
for name, profile in (("own-customer", None), ("acme", "hipaa")):
    for path, data in load(Catalog(Path(sys.argv[1])), name, profile).compiled.files().items():
        sys.stdout.buffer.write(path.encode() + b"\\n" + data)
"""


def elsewhere(workspace: Path, cwd: Path, **environment: str) -> bytes:
    """The bytes another process compiles; ``-P`` keeps its folder out of the import path."""
    cwd.mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHON"))}
    done = subprocess.run(
        [sys.executable, "-P", "-W", "error", "-c", SCRIPT, str(workspace)],
        cwd=cwd,
        env=kept | environment,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def test_the_same_bytes_in_another_process_locale_time_zone_and_folder(tmp_path: Path) -> None:
    text = CUSTOMER.format(name="own-customer").replace("Title of own-customer", "Ärzte \U0001f3e5 مستشفى")
    workspace = write_workspace(tmp_path / "one", customer=text)
    copy_ = write_workspace(tmp_path / "elsewhere" / "two", customer=text)
    here = b"".join(
        path.encode() + b"\n" + data
        for name, by in (("own-customer", None), ("acme", "hipaa"))
        for path, data in load(Catalog(workspace), name, by).compiled.files().items()
    )
    assert "Ärzte \U0001f3e5 مستشفى".encode() in here
    assert str(tmp_path).encode() not in here
    one = elsewhere(workspace, tmp_path / "a", PYTHONHASHSEED="1", LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    two = elsewhere(
        copy_, tmp_path / "b", PYTHONHASHSEED="4242", LANG="C.UTF-8", TZ="Pacific/Kiritimati", PYTHONOPTIMIZE="2"
    )
    assert one == here
    assert two == here


@pytest.mark.parametrize("by", ["fedramp", "hipaa", "sox", "startup"])
def test_every_shipped_profile_compiles(tmp_path: Path, by: str) -> None:
    found = load(Catalog(tmp_path), "acme", by).compiled
    assert len(found.policies()) >= 18
    assert not any(b"${" in data for data in found.files().values()), "no placeholder is left"
    names = [each.name for each in found.policies()]
    assert len(set(names)) == len(names)


# --- The lock ---------------------------------------------------------------------------------------------------------


def test_the_lock_pins_versions_and_digests() -> None:
    found = compiled(of=customer(account(DEV, values=settings("account", idle={"days": 3}))))
    assert found.lock == yaml.safe_load(found.files()[LOCK_NAME])
    assert found.lock == {
        "apiVersion": "finops-policy/v1",
        "kind": "Lock",
        "customer": {"name": "clinic", "title": "The Clinic", "digest": "digest-customer"},
        "profile": {
            "name": "hospital",
            "version": "2.1.0",
            "title": "Hospitals",
            "digest": "digest-profile",
            "retention": {"years": 6, "source": "45 CFR 164.316(b)(2)(i)"},
        },
        "packs": [
            {"name": "idle", "version": "1.0.0", "digest": "digest-idle"},
            {"name": "tags", "version": "1.4.2", "digest": "digest-tags"},
        ],
        "frameworks": [{"name": "rules", "version": "1.0.0", "digest": "digest-rules"}],
        "policies": {
            "policies.yaml": digest([each.document for each in found.policies()]),
            f"accounts/{DEV}.yaml": digest([each.document for each in found.policies(DEV)]),
        },
    }
    assert len(set(found.lock["policies"].values())) == 2


@pytest.mark.parametrize(
    ("path", "before", "after"),
    [
        ("packs/own-pack/pack.yaml", "default: 14", "default: 15"),
        ("packs/own-pack/pack.yaml", "version: 1.0.0", "version: 1.0.1"),
        ("packs/own-pack/own-policy.yaml", "running", "stopped"),
        ("profiles/own-profile.yaml", "idle_days: 21", "idle_days: 22"),
        ("customers/own-customer/customer.yaml", "idle_days: 7", "idle_days: 8"),
        ("frameworks/own-rules.yaml", "strength: direct", "strength: partial"),
    ],
)
def test_any_change_changes_the_lock_and_undoing_it_brings_the_lock_back(
    tmp_path: Path, path: str, before: str, after: str
) -> None:
    def lock() -> bytes:
        return load(Catalog(workspace), "own-customer", None).compiled.files()[LOCK_NAME]

    workspace = write_workspace(tmp_path)
    first, text = lock(), (workspace / path).read_text(encoding="utf-8")
    assert text.count(before) == 1
    write_files(workspace, {path: text.replace(before, after)})
    assert lock() != first
    write_files(workspace, {path: "# a comment changes nothing\r\n" + text.replace("\n", "\r\n")})
    assert lock() == first


# --- Back from the files ----------------------------------------------------------------------------------------------


def test_compiled_files_hold_everything_to_run_from() -> None:
    found = compiled(of=customer(account(DEV, values=settings("account", idle={"days": 3}))))
    for account_id in (DEFAULT, DEV):
        documents = yaml.safe_load(found.files()[policies_path(account_id)])["policies"]
        assert load_policies(documents) == found.policies(account_id)


TEXT = st.text(  # what a file may hold: the reader refuses control characters, line separators and byte order marks
    st.characters(
        exclude_categories=["Cs", "Cc"],
        include_characters="\t\n\r",
        exclude_characters="\u2028\u2029\ufeff\ufffe\uffff",
    ),
    max_size=80,
)
SCALARS = TEXT | st.integers() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=8
)


@hypothesis(deadline=None)
@given(TEXT, st.lists(VALUES.filter(lambda value: "${" not in repr(value)), min_size=1, max_size=3))
def test_any_policy_comes_back_from_its_yaml(title: str, filters: list[Any]) -> None:
    one = pack("idle", policies=[policy("p", title=title, rationale=title * 90, violation=filters)])
    found = compiled(profile({"idle": "~=1.0"}), packs=[one], frameworks=[]).policies()
    for reader in (yaml.SafeLoader, yaml.CSafeLoader):
        assert load_policies(yaml.load(dump_policies(found), reader)["policies"]) == found


def test_shared_values_are_written_out() -> None:
    shared = {"a": [1]}
    assert dump_yaml({"one": shared, "two": shared}) == b"one:\n  a:\n  - 1\ntwo:\n  a:\n  - 1\n"


# --- Mistakes: packs, versions, frameworks ----------------------------------------------------------------------------


def test_an_unknown_pack() -> None:
    found = only(refused(by=profile({"idel": "~=1.0"}), frameworks=[]), "unknown-pack")
    assert found.message == "Profile hospital names a pack 'idel' that does not exist."
    assert (found.mark, found.hint) == (Mark("choice-idel", 4, 4), "Did you mean idle?")


@pytest.mark.parametrize("versions", ["~=2.0", "<1.4", "==1.4.1", "~=1.5", "banana", "^1.0", "1.4.2", "", " ", ","])
def test_a_pack_out_of_range_names_the_profile_and_the_pack(versions: str) -> None:
    found = only(refused(by=profile({"tags": versions}), frameworks=[]), "version-range")
    assert found.message == f"Pack tags is at 1.4.2, which {versions!r} does not accept."
    assert (found.mark, found.related) == (Mark("choice-tags", 4, 4), (Mark("tags/pack.yaml", 1, 1),))


@pytest.mark.parametrize("versions", ["~=2.0", "banana", ""])
def test_a_framework_out_of_range_names_the_profile_and_the_framework(versions: str) -> None:
    by = profile({"idle": "~=1.0", "tags": "~=1.0"}, frameworks={"rules": versions})
    found = only(refused(by=by), "version-range")
    assert found.message == f"Framework rules is at 1.0.0, which {versions!r} does not accept."
    assert found.mark == Mark("framework-choice-rules", 6, 6)
    assert found.related == (Mark("frameworks/rules.yaml", 1, 1),)


@pytest.mark.parametrize(
    ("version", "versions", "inside"),
    [
        ("1.0.0", "~=1.0", True),
        ("1.9.9", "~=1.0", True),
        ("2.0.0", "~=1.0", False),
        ("1.0.9", "~=1.0.0", True),
        ("1.1.0", "~=1.0.0", False),
        ("1.10.0", ">=1.9", True),
        ("1.10.0", ">=1.2, <2", True),
        ("1.2.0", "!=1.2.0", False),
        ("1.2.0", "==1.*", True),
        ("1.2.0", "===1.2.0", True),
        ("1.2.0", "=>1.0", False),
        ("1.2.0", ">=1.0 <2", False),
        ("1.2.0", "*", False),
        ("1.2.0", "latest", False),
        ("1.2.0", "", False),
        ("1.2.0", " , ", False),
    ],
)
def test_ranges(version: str, versions: str, inside: bool) -> None:
    assert in_range(version, versions) is inside


def test_an_unknown_framework() -> None:
    found = only(
        refused(by=profile({"idle": "~=1.0"}, frameworks={"ruels": "~=1.0"}), frameworks=[]), "unknown-framework"
    )
    assert found.message == "Profile hospital names a framework 'ruels' that does not exist."
    assert found.mark == Mark("framework-choice-ruels", 6, 6)


@pytest.mark.parametrize(
    ("name", "related", "hint"),
    [
        ("idle/ec2-idel", (Mark("idle/pack.yaml", 1, 1),), "Did you mean idle/ec2-idle?"),
        ("tags/ec2-idle", (Mark("tags/pack.yaml", 1, 1),), "idle/ec2-idle"),
        ("idel/ec2-idle", (), "Did you mean idle/ec2-idle?"),
    ],
)
def test_a_control_mapped_to_a_policy_that_does_not_exist(name: str, related: tuple[Mark, ...], hint: str) -> None:
    found = only(refused(frameworks=[framework(control(mapping(name)))]), "unknown-policy")
    assert found.message == f"Control C-1 names a policy {name!r} that does not exist."
    assert (found.mark, found.related) == (Mark(f"mapping-{name}", 8, 8), related)
    assert hint in found.hint


def test_a_control_may_be_mapped_to_a_pack_the_profile_leaves_out() -> None:
    by = profile({"idle": "~=1.0"}, frameworks={"rules": "~=1.0"})
    assert compiled(by).policies(), "the control is then not, or partially, assessed"


def test_one_policy_name_in_two_packs() -> None:
    other = pack("other", policies=[replace(policy("ec2-idle"), mark=Mark("other/ec2-idle.yaml", 1, 1))])
    by = profile({"idle": "~=1.0", "other": "~=1.0"})
    found = only(refused(by=by, packs=[IDLE, other], frameworks=[]), "duplicate")
    assert found.message == "Policy name 'ec2-idle' is used by two packs of this profile."
    assert (found.mark, found.related) == (Mark("other/ec2-idle.yaml", 1, 1), (Mark("ec2-idle.yaml", 1, 1),))


def test_one_policy_name_in_two_packs_is_fine_where_only_one_is_used() -> None:
    other = pack("other", policies=[policy("ec2-idle")])
    out = compiled(profile({"other": "~=1.0"}), packs=[IDLE, other], frameworks=[])
    assert [each.qualified_name for each in out.policies()] == ["other/ec2-idle"]


# --- Mistakes: parameters ---------------------------------------------------------------------------------------------

LAYERS = ("profile", "customer", "account")


def layered(layer: str, *, final: bool = False, **values: Mapping[str, ParameterValue]) -> dict[str, Any]:
    """The inputs of a compile in which one layer alone sets ``values``."""
    found = settings(layer, final=final, **values)
    return {
        "by": profile({"idle": "~=1.0"}, values=found if layer == "profile" else None),
        "of": customer(
            account(values=found if layer == "account" else None), values=found if layer == "customer" else None
        ),
        "frameworks": [],
    }


@pytest.mark.parametrize("layer", LAYERS)
def test_a_setting_for_an_unknown_pack(layer: str) -> None:
    found = only(refused(**layered(layer, idel={"days": 3})), "unknown-pack")
    assert found.message == f"The {layer} sets a parameter of pack 'idel', which does not exist."
    assert (found.mark, found.hint) == (Mark(f"{layer}-days", 5, 5), "Did you mean idle?")


@pytest.mark.parametrize("layer", LAYERS)
def test_a_setting_for_a_pack_the_profile_leaves_out(layer: str) -> None:
    found = only(refused(**layered(layer, tags={"keys": ("Team",)})), "unused-parameter")
    assert found.message == f"The {layer} sets a parameter of pack tags, which profile hospital leaves out."
    assert (found.mark, found.related) == (Mark(f"{layer}-keys", 5, 5), (Mark("profiles/hospital.yaml", 1, 1),))


@pytest.mark.parametrize("layer", LAYERS)
def test_a_setting_the_pack_does_not_know(layer: str) -> None:
    found = only(refused(**layered(layer, idle={"day": 3})), "unknown-parameter")
    assert found.message == "Pack idle has no parameter 'day'."
    assert (found.mark, found.related) == (Mark(f"{layer}-day", 5, 5), (Mark("idle/pack.yaml", 1, 1),))
    assert found.hint == "Did you mean days?"


WRONG: list[tuple[ParameterValue, dict[str, Any], ParameterValue, str]] = [
    (14, {}, True, "must be a whole number: got true"),
    (14, {}, "7", "must be a whole number: got the text `7`"),
    (14, {}, 7.5, "must be a whole number: got 7.5"),
    (14, {}, (7,), "must be a whole number: got a list"),
    (14, {"minimum": 1}, 0, "must be at least 1: got 0"),
    (14, {"maximum": 455}, 456, "must be at most 455: got 456"),
    (1.5, {}, False, "must be a number: got false"),
    (True, {}, 1, "must be true/false: got 1"),
    (True, {}, "true", "must be true/false: got the text `true`"),
    ("a", {}, 1, "must be text: got 1"),
    ("a", {"enum": ["a", "b"]}, "c", "must be one of a, b: got the text `c`"),
    ("a", {"pattern": "^[a-z]$"}, "a\n", "does not have the right form: got the text `a\\n`"),
    ((1,), {"items": {"type": "integer"}}, (1, True), "is wrong: item 2 of the list must be a whole number: got true"),
    (("a",), {}, "a", "must be a list: got the text `a`"),
    (("a",), {"minItems": 1}, (), "must have at least 1 item: got 0"),
]


@pytest.mark.parametrize("layer", ["pack", *LAYERS])
@pytest.mark.parametrize(("default", "schema", "value", "sentence"), WRONG)
def test_a_value_of_the_wrong_type(
    layer: str, default: ParameterValue, schema: dict[str, Any], value: ParameterValue, sentence: str
) -> None:
    made = parameter("days", default, **schema)
    if layer == "pack":
        made = replace(made, default=value)
    idle = pack("idle", policies=[policy("p", violation=[{"x": "${days}"}])], parameters=[made])
    inputs = layered(layer, idle={"days": value}) if layer != "pack" else layered("none")
    found = only(refused(**inputs, packs=[idle]), "parameter-type")
    if layer == "pack":
        assert found.message == f"Default of days: {sentence}"
        assert (found.mark, found.related) == (Mark("parameter-days", 3, 3), ())
    else:
        assert found.message == f"idle.days: {sentence}"
        assert (found.mark, found.related) == (Mark(f"{layer}-days", 5, 5), (Mark("parameter-days", 3, 3),))
    assert found.hint == "What days means"


def test_a_parameter_no_policy_uses() -> None:
    idle = replace(IDLE, parameters={**IDLE.parameters, "spare": parameter("spare", 1)})
    found = only(refused(by=profile({"idle": "~=1.0"}), packs=[idle], frameworks=[]), "unused-parameter")
    assert found.message == "No policy of pack idle uses parameter 'spare'."
    assert (found.mark, found.hint) == (Mark("parameter-spare", 3, 3), "Use it as ${spare}, or remove it.")


@pytest.mark.parametrize("where", ["scope", "violation", "remediation"])
def test_a_parameter_used_anywhere_is_used(where: str) -> None:
    inside: Any = {"actions": [{"days": "${days}"}]} if where == "remediation" else [{"days": "${days}"}]
    idle = pack("idle", policies=[policy("p", **{where: inside})], parameters=[parameter("days", 14)])
    assert compiled(profile({"idle": "~=1.0"}), packs=[idle], frameworks=[])


@pytest.mark.parametrize("layer", ["customer", "account"])
def test_a_final_value_that_a_later_layer_changes(layer: str) -> None:
    values = settings(layer, idle={"days": 7})
    by = profile({"idle": "~=1.0"}, values=settings("profile", final=True, idle={"days": 30}))
    accounts = [account(each, values=values if layer == "account" and each == DEV else None) for each in (PROD, DEV)]
    of = customer(*accounts, values=values if layer == "customer" else None)
    found = only(refused(by=by, of=of, frameworks=[]), "final-parameter")
    assert found.message == "idle.days is final (30) and cannot be changed to 7."
    assert (found.mark, found.related) == (Mark(f"{layer}-days", 5, 5), (Mark("profile-days", 5, 5),))


def test_a_value_that_is_not_final_may_be_changed() -> None:
    by = profile({"idle": "~=1.0"}, values=settings("profile", idle={"days": 30}))
    assert days(compiled(by, customer(values=settings("customer", idle={"days": 7})), frameworks=[])) == 7


# --- Mistakes: placeholders -------------------------------------------------------------------------------------------


def placeholder(value: Any, section: str = "violation") -> tuple[Diagnostic, Mapping[Any, Mark]]:
    inside = value if section == "remediation" else [value]
    one = (
        policy("p", scope=[{"x": "${days}"}], **{section: inside}) if section != "scope" else policy("p", scope=inside)
    )
    used = policy("q", violation=[{"x": "${days}"}])
    idle = pack("idle", policies=[one, used], parameters=[parameter("days", 14)])
    (found,) = refused(by=profile({"idle": "~=1.0"}), packs=[idle], frameworks=[])
    return found, one.marks


@pytest.mark.parametrize(
    "text", ["a ${days}", "${days}d", "${days}${days}", "${Days}", "${}", "${ days }", "${days}\n", "${", "${a.b}"]
)
@pytest.mark.parametrize("section", ["scope", "violation"])
def test_a_placeholder_that_is_not_the_whole_value(text: str, section: str) -> None:
    found, marks = placeholder({"type": "x", "list": [1, {"deep": text}]}, section)
    assert found.rule == "placeholder"
    assert found.message == f"{text!r} is not a placeholder: ${{name}} must be the whole value."
    assert found.mark == marks[section, 0, "list", 1, "deep"]


@pytest.mark.parametrize("key", ["${days}", "tag:${days}"])
def test_a_placeholder_in_a_key_would_stay_and_is_told(key: str) -> None:
    found, marks = placeholder({"or": [{key: "absent"}]})
    assert (found.rule, found.mark) == ("placeholder", marks["violation", 0, "or", 0, key])
    assert repr(key) in found.message


def test_an_unknown_placeholder_names_the_policy_and_the_pack() -> None:
    found, marks = placeholder({"type": "x", "days": "${day}"})
    assert (found.rule, found.message) == ("unknown-parameter", "Pack idle has no parameter 'day'.")
    assert (found.mark, found.related) == (marks["violation", 0, "days"], (Mark("idle/pack.yaml", 1, 1),))
    assert found.hint == "Did you mean days?"


def test_a_placeholder_in_remediation_is_checked_too() -> None:
    found, marks = placeholder({"actions": [{"type": "mark", "days": "${day}"}], "destructive": False}, "remediation")
    assert (found.rule, found.mark) == ("unknown-parameter", marks["remediation", "actions", 0, "days"])


def test_a_parameters_own_value_is_not_read_as_a_placeholder() -> None:
    idle = pack(
        "idle",
        policies=[policy("p", violation=[{"x": "${text}", "y": "${days}"}])],
        parameters=[parameter("text", "${days}"), parameter("days", 14)],
    )
    (found,) = compiled(profile({"idle": "~=1.0"}), packs=[idle], frameworks=[]).policies()
    assert found.document["filters"] == [{"x": "${days}", "y": 14}], "substitution is not repeated"


# --- All of them at once ----------------------------------------------------------------------------------------------


def test_every_mistake_is_told_in_one_error() -> None:
    broken = pack(
        "broken",
        policies=[
            policy("ec2-idle", scope=["a ${days}"], violation=[{"${x}": "${dys}"}]),
            policy("ec2-tags", remediation={"actions": ["${gone}"]}),
        ],
        parameters=[replace(parameter("days", 14), default=True), parameter("spare", 1)],
    )
    by = profile(
        {"idle": "~=2.0", "broken": "banana", "gone": "~=1.0"},
        frameworks={"rules": "<1", "lost": "~=1.0"},
        values={
            **settings("profile", idle={"days": 0}),
            **settings("profile", tags={"keys": ("a",)}),
            **settings("profile", final=True, broken={"days": 1}),
        },
    )
    of = customer(
        account(PROD, values=settings("prod", broken={"days": 2}, idle={"dayz": 1})),
        account(DEV, values=settings("dev", broken={"days": "x"}, nowhere={"a": 1})),
        values=settings("customer", idle={"days": 1000}),
    )
    rules = framework(control(mapping("idle/none"), mapping("idle/ec2-idle")))
    found = refused(by=by, of=of, packs=[IDLE, TAGS, broken], frameworks=[rules])
    assert sorted((each.rule, each.mark.path) for each in found) == [
        ("duplicate", "ec2-idle.yaml"),
        ("final-parameter", "dev-days"),
        ("final-parameter", "prod-days"),
        ("parameter-type", "customer-days"),
        ("parameter-type", "dev-days"),
        ("parameter-type", "parameter-days"),
        ("parameter-type", "profile-days"),
        ("placeholder", "ec2-idle.yaml"),
        ("placeholder", "ec2-idle.yaml"),
        ("unknown-framework", "framework-choice-lost"),
        ("unknown-pack", "choice-gone"),
        ("unknown-pack", "dev-a"),
        ("unknown-parameter", "ec2-idle.yaml"),
        ("unknown-parameter", "ec2-tags.yaml"),
        ("unknown-parameter", "prod-dayz"),
        ("unknown-policy", "mapping-idle/none"),
        ("unused-parameter", "parameter-days"),
        ("unused-parameter", "parameter-spare"),
        ("unused-parameter", "profile-keys"),
        ("version-range", "choice-broken"),
        ("version-range", "choice-idle"),
        ("version-range", "framework-choice-rules"),
    ]


def test_a_mistake_of_the_customer_is_told_once_however_many_accounts_there_are() -> None:
    by = profile({"idle": "~=1.0"}, values=settings("profile", final=True, idle={"days": 30}))
    of = customer(*(account(f"{number:012}") for number in range(5)), values=settings("customer", idle={"days": 0}))
    assert sorted(each.rule for each in refused(by=by, of=of, frameworks=[])) == ["final-parameter", "parameter-type"]


def test_a_posture_is_the_profiles() -> None:
    by = profile({"idle": "~=1.0"})
    by = replace(by, packs=(replace(by.packs[0], posture=Posture.AUTO),))
    assert compiled(by, frameworks=[]).policies()[0].document["metadata"]["posture"] == "auto"
