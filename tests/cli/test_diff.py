"""``diff``: what a change of a workspace means, and what it would have done to the resources of a run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.shell_completion import ShellComplete
from jsonschema import Draft202012Validator

from finops_policy.catalog import Catalog
from finops_policy.cli import cli
from finops_policy.evidence.parquet import read_evaluations
from finops_policy.impact import PARTLY, UNREPRODUCED, assess, read
from finops_policy.model import CompiledPolicy, Verdict
from finops_policy.project import load
from tests.cli.conftest import FullRun, Invoke
from tests.cli.kit import ROOT, finops

Write = Callable[..., None]
IDLE, OVERSIZED, TAGS = "packs/idle-resources", "packs/oversized-instances", "packs/required-tags"
QUIET = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com", *arguments]
    done = subprocess.run(command, cwd=folder, env={**os.environ, **QUIET}, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def workspace(place: Path) -> Path:
    """The library as somebody's own workspace, in a repository of which it is one folder; and the current folder."""
    folder = place / "finops"
    for name in ("packs", "profiles", "frameworks"):
        shutil.copytree(ROOT / "policies" / name, folder / name)
    shutil.copytree(ROOT / "customers", folder / "customers")
    git(place, "init", "--quiet", "--initial-branch", "main")
    git(place, "add", "--all")
    git(place, "commit", "--quiet", "--message", "base")
    os.chdir(folder)
    return folder


@pytest.fixture
def edit(workspace: Path) -> Write:
    """Replaces text that must be in a file once."""

    def edit(name: str, old: str, new: str) -> None:
        path = workspace / name
        text = path.read_text()
        assert text.count(old) == 1, (name, old, text.count(old))
        path.write_text(text.replace(old, new))

    return edit


def default(edit: Write, pack: str, parameter: str, old: str, new: str) -> None:
    """Sets a parameter's default."""
    head = f"\n  {parameter}:\n"
    rest = Path(pack, "pack.yaml").read_text().split(head)[1]
    block = head + rest[: rest.index("default: ")] + "default: "
    edit(f"{pack}/pack.yaml", f"{block}{old}\n", f"{block}{new}\n")


# --- without impact ---------------------------------------------------------------------------------------------------


def test_no_change_is_said(workspace: Path, invoke: Invoke) -> None:
    said = invoke("diff", "main")
    assert (said.code, said.err) == (0, "")
    assert "**No change** of packs" in said.out


def test_markdown_names_the_change_its_effect_and_the_version(workspace: Path, edit: Write, invoke: Invoke) -> None:
    default(edit, IDLE, "idle_cpu_percent", "5", "10")
    said = invoke("diff", "HEAD")
    assert said.code == 0
    assert "1 change of 1 thing: **1 tighten**." in said.out
    assert "### Pack `idle-resources`" in said.out
    assert "**Version `1.1.0` stays:** minor is needed (`parameter idle_cpu_percent default changed`)." in said.out
    assert "| parameter `idle_cpu_percent` `default` | `5` | `10` | tightens | through ec2-idle" in said.out
    assert invoke("diff", "HEAD").out == said.out


def test_json_goes_to_a_file_and_fits_its_schema(workspace: Path, edit: Write, invoke: Invoke) -> None:
    edit(f"{IDLE}/ec2-idle.yaml", "severity: medium", "severity: low")
    said = invoke("diff", "HEAD", "--format", "json", "--output", "out/diff.json")
    assert (said.code, said.out, said.err) == (0, "out/diff.json\n", "")
    made = json.loads(Path("out/diff.json").read_text())
    Draft202012Validator(json.loads((ROOT / "schemas/diff.schema.json").read_text())).validate(made)
    assert made["base"]["commit"] == git(workspace, "rev-parse", "HEAD")
    assert made["head"] == {"ref": "", "commit": "", "exists": True}
    assert made["counts"] == {"tightens": 0, "loosens": 1, "unclear": 0, "neutral": 0}
    assert made["changes"][0]["place"]["path"] == f"{IDLE}/ec2-idle.yaml"
    assert made["impact"] is None


def test_two_revisions_are_compared_without_the_files_as_they_are(workspace: Path, edit: Write, invoke: Invoke) -> None:
    edit(f"{IDLE}/ec2-idle.yaml", "severity: medium", "severity: low")
    git(workspace, "commit", "--all", "--quiet", "--message", "lower")
    shutil.rmtree("packs")
    said = invoke("diff", "HEAD~1", "HEAD")
    assert "1 change of 1 thing: **1 loosen**." in said.out
    back = invoke("diff", "HEAD", "HEAD~1")
    assert "1 change of 1 thing: **1 tighten**." in back.out


def test_plain_policies_and_waivers_are_compared_too(workspace: Path, edit: Write, invoke: Invoke) -> None:
    Path("ec2.yml").write_text("policies:\n  - name: 'stop @all <b>'\n    resource: ec2\n    actions: [stop]\n")
    edit("customers/acme/waivers.yaml", "expires: 2027-09-30", "expires: 2027-12-31")
    said = invoke("diff", "main")
    assert "| policy `stop @all <b>` **added** | - | `ec2` | tightens |" in said.out
    assert "| waiver `W-2026-014` `expires` | `2027-09-30` | `2027-12-31` | loosens |" in said.out


def test_the_development_checkout_is_its_own_library(tmp_path: Path, invoke: Invoke) -> None:
    shutil.copytree(ROOT / "policies", tmp_path / "policies")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "--quiet", "--message", "base")
    shutil.rmtree(tmp_path / "policies/packs/budget-guardrails")
    said = invoke("diff", "HEAD", "--workspace", tmp_path)
    assert "### Pack `budget-guardrails`" in said.out
    assert "**removed**" in said.out


def test_a_broken_pack_is_not_compared_and_said_so(workspace: Path, invoke: Invoke) -> None:
    Path(IDLE, "pack.yaml").write_text("kind: [")
    said = invoke("diff", "HEAD")
    assert said.code == 0
    assert "**Not compared:** 1 part" in said.out
    assert "**No change** of what can be compared." in said.out
    assert "`pack idle-resources at the working tree: packs/idle-resources/pack.yaml:2:1:" in said.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere",), "There is no revision 'nowhere'"),
        (("main", "nowhere"), "There is no revision 'nowhere'"),
        (("--", "--upload-pack=x"), "is not the name of a revision"),
        (("main...HEAD",), "is not the name of a revision"),
        (("--upload-pack=x",), "No such option"),
        ((), "Missing argument"),
        (("main", "--impact", "latest"), "--impact needs --customer."),
        (("main", "--customer", "acme"), "belong to --impact"),
        (("main", "--profile", "sox"), "belong to --impact"),
        (("main", "--impact", "latest", "--customer", "acme", "--store", "nowhere"), "There is no evidence store"),
    ],
)
def test_what_cannot_be_done_is_told(arguments: tuple[str, ...], message: str, workspace: Path, invoke: Invoke) -> None:
    said = invoke("diff", *arguments)
    assert said.code == (1 if "store" in message else 2)
    assert message in " ".join(said.err.replace("│", " ").split())
    assert said.out == ""


def test_outside_of_a_repository(place: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(place.parent))
    said = invoke("diff", "HEAD")
    assert said.code == 2
    assert "is not in a Git repository" in said.err


def test_an_output_that_cannot_be_is_told(workspace: Path, invoke: Invoke) -> None:
    Path("file").write_text("mine")
    assert invoke("diff", "HEAD", "--output", "file/below/x.md").code == 1
    assert invoke("diff", "HEAD", "--output", "packs").code == 2


def test_customers_complete(workspace: Path) -> None:
    found = ShellComplete(cli, {}, "finops-policy", "X").get_completions(["diff", "main", "--customer"], "ac")
    assert [each.value for each in found] == ["acme"]


# --- impact, against a real second run --------------------------------------------------------------------------------

Key = tuple[str, str, str, str, str]


@dataclass
class Judged:
    """What ``diff --impact`` predicted of every policy, and what a real run of the changed workspace found."""

    document: dict[str, Any]
    before: dict[Key, str]
    after: dict[Key, str]
    predicted: dict[str, set[Key]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for which in ("hit", "released", "unknown"):
            self.predicted[which] = {
                (policy["policy"], *(each[name] for name in ("account_id", "region", "resource_id", "arn")))
                for policy in self.document["impact"]["policies"]
                for each in policy[which]
            }

    def policies(self) -> dict[str, dict[str, Any]]:
        return {each["policy"]: each for each in self.document["impact"]["policies"]}

    def real(self, *, hit: bool) -> set[Key]:
        bad = {key for key, verdict in self.before.items() if verdict == Verdict.NONCOMPLIANT}
        bad_now = {key for key, verdict in self.after.items() if verdict == Verdict.NONCOMPLIANT}
        return bad_now - bad if hit else bad - bad_now

    def check(self) -> None:
        """Every prediction is true, and everything that happened was predicted, or said to be unknown."""
        assert self.predicted["hit"] <= self.real(hit=True)
        assert self.predicted["released"] <= self.real(hit=False)
        told = set.union(*self.predicted.values())
        recorded = {key[1:] for key in self.before}
        missed = {key for key in self.real(hit=True) | self.real(hit=False) if key not in told}
        assert {key for key in missed if key[1:] in recorded} == set()
        for name in {key[0] for key in missed}:
            assert any("there may be more hits" in note for note in self.policies()[name]["notes"])


def verdicts(bundle: Path) -> dict[Key, str]:
    return {
        (each.policy, each.account_id, each.region, each.resource_id, each.arn): str(each.verdict)
        for each in read_evaluations(bundle)
    }


@pytest.fixture
def judged(workspace: Path, full_run: FullRun, tmp_path: Path, invoke: Invoke) -> Callable[[], Judged]:
    """Predicts what the workspace as it is now would do, then runs it."""

    def judge() -> Judged:
        said = invoke("diff", "main", "--impact", "latest", "--customer", "acme", "--store", full_run.store,
                      "--format", "json")  # fmt: skip
        assert said.code == 0, said.err
        store = tmp_path / "second"
        run = finops("run", "--customer", "acme", "--sandbox", "--store", store, "--allow-incomplete", "--fail-on",
                     "never", cwd=workspace, env={"XDG_CONFIG_HOME": str(tmp_path / "config")})  # fmt: skip
        assert run.code == 0, run.err
        [bundle] = store.glob("customer=acme/month=*/run=*")
        return Judged(json.loads(said.out), verdicts(full_run.bundle), verdicts(bundle))

    return judge


def test_predictions_of_thresholds_and_parameters_come_true(edit: Write, judged: Callable[[], Judged]) -> None:
    default(edit, IDLE, "idle_cpu_percent", "5", "15")
    default(edit, IDLE, "idle_network_bytes", "5000000", "900000000")
    default(edit, IDLE, "stopped_days", "30", "300")
    default(edit, IDLE, "ami_days", "365", "4000")
    default(edit, IDLE, "idle_db_connections", "0", "30")
    default(edit, OVERSIZED, "oversized_cpu_percent", "40", "8")
    default(edit, OVERSIZED, "free_storage_percent", "60", "90")
    default(edit, OVERSIZED, "smallest_sizes", "[nano, micro, small]", "[nano, micro, small, medium, large]")
    default(edit, TAGS, "allowed_environments", "[prod, staging, dev, sandbox]", "[prod]")
    default(edit, TAGS, "cost_center_key", "tag:CostCenter", "tag:Team")
    default(edit, "packs/budget-guardrails", "latest_forecast_percent", "100", "50")
    edit("customers/acme/customer.yaml", "snapshot_days: 400", "snapshot_days: 4000")
    edit("customers/acme/customer.yaml", "idle_days: 7", "idle_days: 14")
    found = judged()
    found.check()
    assert len(found.predicted["hit"]) > 30
    assert len(found.predicted["released"]) > 10
    assert found.policies()["ec2-oversized"]["released"]
    assert found.policies()["rds-idle"]["hit"] or found.policies()["rds-idle"]["unknown"]


def test_predictions_of_filters_and_scopes_come_true(edit: Write, judged: Callable[[], Judged]) -> None:
    edit(f"{TAGS}/ec2-required-tags.yaml", "value: [pending, running, stopping, stopped]", "value: [running]")
    edit(f"{TAGS}/rds-required-tags.yaml", "scope: []", 'scope:\n  - "tag:Environment": prod')
    edit(f"{TAGS}/s3-required-tags.yaml", 'key: "${owner_key}", value_type: normalize, value: empty',
         'key: "tag:Team", value: absent')  # fmt: skip
    edit(f"{TAGS}/ebs-required-tags.yaml", 'key: "${owner_key}", value_type: normalize, value: empty',
         'key: "tag:Owner", op: glob, value: "*a*"')  # fmt: skip
    edit(f"{IDLE}/ebs-unattached.yaml", "  - State: available\n", "")
    edit(f"{IDLE}/nat-gateway-idle.yaml", "  - State: available\n", "  - not:\n      - State: deleted\n")
    edit(f"{IDLE}/rds-idle.yaml", "  - DBClusterIdentifier: absent\n", "")
    edit(f"{IDLE}/eip-unassociated.yaml", "AssociationId: absent", "AssociationId: present")
    edit(f"{IDLE}/log-group-retention.yaml", "      - retentionInDays: absent\n", "")
    edit(
        f"{IDLE}/ebs-snapshot-old.yaml", "- {type: unused, value: true}", "- not:\n      - {type: unused, value: true}"
    )
    edit(f"{IDLE}/ec2-stopped.yaml", 'op: ge, value: "${stopped_days}"', 'op: lt, value: "${stopped_days}"')
    edit(f"{IDLE}/lambda-idle.yaml", "value: 1,\n     op: less-than", "value: 100000,\n     op: less-than")
    edit(f"{IDLE}/app-elb-idle.yaml", "  - Type: application\n", "  - Type: network\n")
    edit(f"{OVERSIZED}/ec2-oversized.yaml", "op: less-than", "op: greater-than")
    edit("packs/budget-guardrails/budget-overspent.yaml", "op: gt, value_type: expr", "op: le, value_type: expr")
    found = judged()
    found.check()
    assert len(found.predicted["hit"]) > 60
    assert len(found.predicted["released"]) > 30
    policies = found.policies()
    assert all("VolumeReadOps" in each["reason"] for each in policies["ebs-unattached"]["unknown"])
    assert policies["ebs-unattached"]["unknown"]
    assert any("there may be more hits" in note for note in policies["rds-idle"]["notes"])
    assert all(policy["unchecked_targets"] == 2 for policy in policies.values())


# --- impact, without a second run -------------------------------------------------------------------------------------


@pytest.fixture
def impact(workspace: Path, full_run: FullRun, invoke: Invoke) -> Callable[..., dict[str, Any]]:
    def impact(*arguments: object, base: str = "main") -> dict[str, Any]:
        said = invoke("diff", base, "--impact", full_run.bundle.name.removeprefix("run="), "--customer", "acme",
                      "--store", full_run.store, "--format", "json", *arguments)  # fmt: skip
        assert said.code == 0, said.err
        made: dict[str, Any] = json.loads(said.out)
        Draft202012Validator(json.loads((ROOT / "schemas/diff.schema.json").read_text())).validate(made)
        found: dict[str, Any] = made["impact"]
        return found

    return impact


def recorded(full_run: FullRun, policy: str, verdict: Verdict) -> list[Any]:
    return [each for each in read_evaluations(full_run.bundle) if each.policy == policy and each.verdict is verdict]


def test_texts_have_no_impact(edit: Write, impact: Callable[..., dict[str, Any]]) -> None:
    edit(f"{IDLE}/ec2-idle.yaml", "severity: medium", "severity: low")
    assert impact()["policies"] == []


def test_what_a_removed_policy_found_is_released_with_its_money(
    impact: Callable[..., dict[str, Any]], full_run: FullRun
) -> None:
    Path(IDLE, "eip-unassociated.yaml").unlink()
    [policy] = (found := impact())["policies"]
    were = recorded(full_run, "eip-unassociated", Verdict.NONCOMPLIANT)
    assert policy["change"] == "removed"
    assert {each["resource_id"] for each in policy["released"]} == {each.resource_id for each in were}
    assert len(policy["released"]) == len(were) > 3
    total = sum((each.money.savings for each in were if each.money), Decimal())
    assert Decimal(found["released"]["monthly_savings"]) == total > 0
    assert (found["currency"], found["released"]["unpriced"]) == ("USD", 0)
    assert found["released"]["price_sources"]
    assert (found["hit"]["resources"], found["hit"]["monthly_savings"]) == (0, None)


def test_a_new_policy_is_judged_on_what_others_looked_at(
    edit: Write, impact: Callable[..., dict[str, Any]], full_run: FullRun
) -> None:
    text = Path(IDLE, "eip-unassociated.yaml").read_text().replace("eip-unassociated", "eip-again")
    Path(IDLE, "eip-again.yaml").write_text(text)
    [policy] = (found := impact())["policies"]
    were = recorded(full_run, "eip-unassociated", Verdict.NONCOMPLIANT)
    assert policy["change"] == "added"
    assert {each["resource_id"] for each in policy["hit"]} == {each.resource_id for each in were}
    assert {each["before"] for each in policy["hit"]} == {"outside"}
    assert "there may be more hits" in policy["notes"][0]
    assert Decimal(found["hit"]["monthly_savings"]) > 0


def test_money_that_saves_only_a_part_is_not_guessed(edit: Write, impact: Callable[..., dict[str, Any]]) -> None:
    edit(f"{OVERSIZED}/ec2-oversized.yaml", "op: less-than", "op: greater-than")
    found = impact()
    [policy] = found["policies"]
    assert policy["hit"]
    assert {each["monthly_savings"] for each in policy["hit"]} == {None}
    assert {each["unpriced"] for each in policy["hit"]} == {"how much of the cost it saves was not recorded"}
    assert (found["hit"]["monthly_savings"], found["hit"]["unpriced"]) == (None, len(policy["hit"]))


def test_a_finding_saves_all_that_the_resource_costs_but_for_the_methods_known_to_save_less(full_run: FullRun) -> None:
    """What new hits are priced by."""
    priced = [each.money for each in read_evaluations(full_run.bundle) if each.money and each.money.savings is not None]
    assert {each.method for each in priced if each.savings != each.cost} == PARTLY
    assert len({each.method for each in priced}) > 6


def test_a_verdict_that_does_not_follow_from_the_record_makes_the_answer_unknown(
    workspace: Path, edit: Write, full_run: FullRun
) -> None:
    """As if c7n had judged otherwise then: the policy that is said to have run is turned round."""
    run = read(full_run.bundle)
    turned = {
        account: tuple(
            replace(each, document={**each.document, "filters": [*scope(each), {"not": violation(each)}]})
            if each.name == "eip-unassociated" else each for each in policies
        )
        for account, policies in run.compiled.items()
    }  # fmt: skip
    head = load(Catalog(workspace), "acme", None)
    [policy] = assess(replace(run, compiled=turned), None, head, lambda _done, _total: None).policies
    members = [each for each in read_evaluations(full_run.bundle) if each.policy == "eip-unassociated"]
    assert {each.reason for each in policy.unknown} == {UNREPRODUCED}
    assert len(policy.unknown) == len(members) > 10
    assert (policy.hit, policy.released, policy.same) == ([], [], 0)


def scope(policy: CompiledPolicy) -> list[Any]:
    return list(policy.document["filters"][: policy.scope_length])


def violation(policy: CompiledPolicy) -> list[Any]:
    return list(policy.document["filters"][policy.scope_length :])


def test_waivers_count_as_they_are_now(edit: Write, impact: Callable[..., dict[str, Any]], full_run: FullRun) -> None:
    [waived] = recorded(full_run, "rds-idle", Verdict.WAIVED)
    edit("customers/acme/waivers.yaml", "db:billing-archive", "db:another")
    edit("customers/acme/waivers.yaml", "policy: log-group-retention", "policy: eip-unassociated")
    edit("customers/acme/waivers.yaml", "arn:aws:logs:us-east-1:111122223333:log-group:/pacs/ingest", "arn:aws:ec2:*")
    edit("customers/acme/waivers.yaml", "created: 2025-10-06", "created: 2026-11-01")
    edit("customers/acme/waivers.yaml", "expires: 2026-03-31", "expires: 2027-10-31")
    policies = {each["policy"]: each for each in impact()["policies"]}
    assert {each["change"] for each in policies.values()} == {"waivers"}
    [hit] = policies["rds-idle"]["hit"]
    assert (hit["resource_id"], hit["before"], hit["after"]) == (waived.resource_id, "waived", "noncompliant")
    released = policies["eip-unassociated"]["released"]
    assert {(each["after"], each["reason"]) for each in released} == {("waived", "waiver W-2025-007")}
    assert len(released) == len(recorded(full_run, "eip-unassociated", Verdict.NONCOMPLIANT))


def test_a_waived_resource_stays_waived(edit: Write, impact: Callable[..., dict[str, Any]], full_run: FullRun) -> None:
    [waived] = recorded(full_run, "rds-idle", Verdict.WAIVED)
    default(edit, IDLE, "idle_db_connections", "0", "1000000")
    [policy] = [each for each in impact()["policies"] if each["policy"] == "rds-idle"]
    told = {each["resource_id"] for which in ("hit", "released", "unknown") for each in policy[which]}
    assert policy["hit"]
    assert waived.resource_id not in told


@pytest.fixture
def small(workspace: Path, tmp_path: Path, invoke: Invoke) -> Callable[[str], Callable[[], dict[str, Any]]]:
    """Runs one policy on one target, and answers with what judges it anew."""

    def run(policy: str) -> Callable[[], dict[str, Any]]:
        store, env = tmp_path / "small", {"XDG_CONFIG_HOME": str(tmp_path / "config")}
        chosen = ("--account", "acme-dev", "--region", "us-east-1", "--policy", policy)
        ran = finops("run", "--customer", "acme", "--sandbox", *chosen, "--store", store, "--fail-on", "never",
                     cwd=workspace, env=env)  # fmt: skip
        assert ran.code == 0, ran.err

        def judge() -> dict[str, Any]:
            said = invoke(
                "diff", "main", "--impact", "latest", "--customer", "acme", "--store", store, "--format", "json"
            )
            found: dict[str, Any] = json.loads(said.out)["impact"]
            return found

        return judge

    return run


def test_what_the_profile_withholds_is_unknown(
    workspace: Path, edit: Write, small: Callable[[str], Callable[[], dict[str, Any]]]
) -> None:
    edit("profiles/hipaa.yaml", "tag_keys: [", 'tag_keys: ["Owner", ')
    git(workspace, "commit", "--all", "--quiet", "--message", "withhold owners")
    judge = small("s3-required-tags")
    owner = 'key: "${owner_key}", value_type: normalize, value: empty'
    edit(f"{TAGS}/s3-required-tags.yaml", owner, 'key: "tag:Owner", value: present')
    [policy] = judge()["policies"]
    reasons = {each["reason"] for each in policy["unknown"]}
    assert reasons == {"the value of tag:Owner is withheld by the profile"}, (
        "the old filter asks whether the value is blank"
    )
    edit("profiles/hipaa.yaml", 'tag_keys: ["Owner", ', "tag_keys: [")
    assert judge()["policies"][0]["unknown"] == policy["unknown"], "what was withheld stays unknown"


def test_another_resource_type_releases_the_one_and_looks_at_the_other(
    edit: Write, impact: Callable[..., dict[str, Any]]
) -> None:
    edit(f"{TAGS}/ebs-required-tags.yaml", "resource: aws.ebs", "resource: aws.rds")
    [policy] = impact()["policies"]
    assert {each["resource_type"] for each in policy["released"]} == {"aws.ebs"}
    assert {each["resource_type"] for each in policy["hit"]} == {"aws.rds"}
    assert "there may be more hits" in policy["notes"][0]


def test_accounts_that_come_and_go_are_said_and_not_counted(edit: Write, impact: Callable[..., dict[str, Any]]) -> None:
    edit(
        "customers/acme/customer.yaml", '{id: "777788889999", name: acme-data}', '{id: "123456789012", name: acme-new}'
    )
    Path(IDLE, "eip-unassociated.yaml").unlink()
    found = impact()
    assert "Account 123456789012 was not in the run: nothing is known of it." in found["notes"]
    assert any(note.startswith("Account 777788889999 is not looked at any more") for note in found["notes"])
    [policy] = found["policies"]
    assert "777788889999" not in {each["account_id"] for each in policy["released"]}


def test_a_base_that_does_not_compile_leaves_the_run_to_compare_with(
    workspace: Path, edit: Write, impact: Callable[..., dict[str, Any]]
) -> None:
    edit(f"{IDLE}/ec2-idle.yaml", "severity: medium", "severity: terrible")
    git(workspace, "commit", "--all", "--quiet", "--message", "broken")
    edit(f"{IDLE}/ec2-idle.yaml", "severity: terrible", "severity: medium")
    default(edit, IDLE, "idle_db_connections", "0", "30")
    found = impact(base="HEAD")
    assert found["notes"][0].startswith(
        "At the base the customer cannot be compiled (packs/idle-resources/ec2-idle.yaml:"
    )
    assert [each["policy"] for each in found["policies"]] == ["rds-idle"]


def test_a_run_of_another_version_than_the_base_is_said_to_be(
    workspace: Path, edit: Write, impact: Callable[..., dict[str, Any]]
) -> None:
    default(edit, IDLE, "idle_db_connections", "0", "10")
    git(workspace, "commit", "--all", "--quiet", "--message", "merged since the run")
    default(edit, IDLE, "idle_db_connections", "10", "30")
    [policy] = impact(base="HEAD")["policies"]
    assert policy["notes"] == ["The run judged another version than the base has: hits are against the run's."]


def test_a_policy_that_the_run_left_out_is_said_to_be_unknown(
    edit: Write, small: Callable[[str], Callable[[], dict[str, Any]]]
) -> None:
    judge = small("rds-idle")
    edit(f"{IDLE}/ec2-stopped.yaml", "op: ge", "op: gt")
    [policy] = judge()["policies"]
    assert policy["policy"] == "ec2-stopped"
    assert policy["notes"] == ["The run left this policy out: nothing is known of it."]
    assert [policy[which] for which in ("hit", "released", "unknown")] == [[], [], []]


def test_markdown_tells_the_impact(workspace: Path, edit: Write, invoke: Invoke, full_run: FullRun) -> None:
    default(edit, IDLE, "idle_db_connections", "0", "30")
    arguments = ("diff", "main", "--impact", "latest", "--customer", "acme", "--store", full_run.store)
    said = invoke(*arguments)
    assert said.code == 0
    assert said.err == "Judging anew what the run recorded.\n"
    assert "### Impact on `acme`, profile `hipaa`" in said.out
    assert "list-price estimate" in said.out
    assert "#### Impact of `rds-idle`" in said.out
    quiet = invoke(*arguments, "--quiet")
    assert (quiet.out, quiet.err) == (said.out, "")


def test_a_damaged_bundle_is_refused(workspace: Path, invoke: Invoke, full_run: FullRun, tmp_path: Path) -> None:
    store = tmp_path / "copy"
    shutil.copytree(full_run.store, store)
    [part, *_] = sorted(store.glob("customer=acme/month=*/run=*/evaluations/*.parquet"))
    part.chmod(0o600)
    part.write_bytes(part.read_bytes()[:-1] + b"x")
    said = invoke("diff", "main", "--impact", "latest", "--customer", "acme", "--store", store)
    assert said.code == 1
    assert f"{part.name} is not as it was sealed" in said.err.replace("\n", "")
    assert "finops-policy verify" in said.err


def test_a_policy_that_c7n_refuses_is_told_at_its_file(
    workspace: Path, edit: Write, invoke: Invoke, full_run: FullRun
) -> None:
    edit(f"{IDLE}/eip-unassociated.yaml", "- AssociationId: absent", "- {type: no-such-filter}")
    said = invoke("diff", "main", "--impact", "latest", "--customer", "acme", "--store", full_run.store)
    assert said.code == 1
    assert said.err.startswith(f"{IDLE}/eip-unassociated.yaml:")
    assert "no-such-filter" in said.err
    assert said.out == ""


def test_the_store_is_only_read(
    workspace: Path, edit: Write, impact: Callable[..., dict[str, Any]], full_run: FullRun
) -> None:
    before = {path: path.stat().st_mtime_ns for path in full_run.store.rglob("*")}
    default(edit, IDLE, "idle_db_connections", "0", "30")
    impact()
    assert {path: path.stat().st_mtime_ns for path in full_run.store.rglob("*")} == before


def test_secrets_that_are_taken_out_are_not_published(tmp_path: Path) -> None:
    from finops_policy.masking import masked_value

    webhook = "https://hooks.slack.com/services/" + "T0A1B2C3D/B4E5F6G7H/" + "Zq8sK3mV9xW2pL6nR4tY1uB7"
    assert "Zq8sK3mV9xW2" not in str(masked_value({"to": [webhook]}))
    file = tmp_path / "policies.yml"
    action = "{{type: notify, to: [{}], transport: {{type: sns, topic: t}}}}"
    text = f"policies:\n  - name: a\n    resource: ec2\n    actions: [{action}]\n"
    for command in (["init", "-q"], ["config", "user.email", "a@example.com"], ["config", "user.name", "a"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    file.write_text(text.format(webhook))
    subprocess.run(["git", "add", "."], cwd=tmp_path, check=True)
    subprocess.run(["git", "commit", "-qm", "one"], cwd=tmp_path, check=True)
    file.write_text(text.format("owner@example.com"))
    for form in ("markdown", "json"):
        command = [sys.executable, "-m", "finops_policy", "diff", "HEAD", "--format", form]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        assert "owner@example.com" in done.stdout
        assert "Zq8sK3mV9xW2" not in done.stdout
