"""Rules that need more than one file: what their pages say holds in a workspace, and what is told where.

A block of such a page begins with a comment that names its file. It takes the place of that file in ``workspace/``, a
small workspace in which nothing is wrong.
"""

from __future__ import annotations

import datetime as dt
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from finops_policy.errors import InvalidFilesError
from finops_policy.evidence.parquet import write_coverage, write_evaluations
from finops_policy.evidence.signing import SigningKey
from finops_policy.evidence.store import LocalStore
from finops_policy.lint.linter import lint
from finops_policy.lint.report import Report
from finops_policy.lint.rules import RULES
from finops_policy.lint.rules.waiver_unmatched import SERVICES
from finops_policy.lint.settings import Settings
from finops_policy.lint.settings import read as read_settings
from finops_policy.model import Coverage, Evaluation, Status, Target
from tests.lint.kit import TODAY, linted, rules
from tests.lint.test_rules import PAGES, UNTESTABLE
from tests.unit.evidence_kit import NOW, evaluation, record

WORKSPACE = Path(__file__).parent / "workspace"
_BLOCK = re.compile(r"```yaml\n(# (\S+\.yaml)\n.*?)```", re.DOTALL)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return Path(shutil.copytree(WORKSPACE, tmp_path / "workspace"))


def report_on(workspace: Path, today: dt.date = TODAY) -> Report:
    return lint([workspace], workspace, Settings(), today=today)


def told(report: Report, rule: str) -> list[str]:
    return [str(each.diagnostic) for each in report.active if each.diagnostic.rule == rule]


# --- pages ------------------------------------------------------------------------------------------------------------


def examples(rule: str, section: str) -> list[tuple[str, str]]:
    """File and text of every block."""
    page = (PAGES / f"{rule}.md").read_text()
    found = re.search(rf"^## {section}\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    return [(name, text) for text, name in _BLOCK.findall(found[1])] if found else []


SHOWN = sorted(
    page.stem for page in PAGES.glob("*.md") if UNTESTABLE in page.read_text() and examples(page.stem, "Avoid")
)


def test_nothing_is_wrong_with_the_workspace(workspace: Path) -> None:
    report = report_on(workspace)
    assert told_all(report) == []
    assert report.policies == 1
    assert len(report.sources) == 6


def told_all(report: Report) -> list[str]:
    return [str(each.diagnostic) for each in report.told]


def test_the_rules_on_workspaces_have_examples() -> None:
    assert {"name", "waiver-unmatched", "direct-without-test", "dropped-control", "self-approved"} <= set(SHOWN)


@pytest.mark.parametrize("rule", SHOWN)
def test_the_examples_of_a_page_hold_in_a_workspace(rule: str, workspace: Path) -> None:
    better = Path(shutil.copytree(workspace, workspace.parent / "better"))
    write(workspace, examples(rule, "Avoid"))
    assert rule in rules(report_on(workspace))
    write(better, examples(rule, "Prefer"))
    assert rules(report_on(better)) == set()


def write(workspace: Path, files: Sequence[tuple[str, str]]) -> None:
    for name, text in files:
        path = workspace / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


# --- waivers ----------------------------------------------------------------------------------------------------------

WAIVERS = "customers/shop/waivers.yaml"
ARN = "arn:aws:ec2:eu-west-1:123456789012:instance/i-0a1b2c3d"


def change(workspace: Path, name: str, old: str, new: str) -> None:
    path = workspace / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("arn", "why"),
    [
        ("arn:aws:rds:eu-west-1:123456789012:db:x", "ec2-old judges aws.ec2, whose ARNs say ec2"),
        ("arn:aws-cn:ec2:eu-west-1:123456789012:instance/*", "shop is in the partition aws"),
        ("arn:aws:ec2:eu-west-1:999999999999:instance/*", "shop has no account 999999999999"),
        ("arn:aws:ec2:*:999999999999:instance/*", "shop has no account 999999999999"),
        ("arn:aws:*:*:99999999????:instance/*", "shop has no account 99999999????"),
        ("arn:aws:ec2:us-east-1:123456789012:instance/*", "shop is not judged in us-east-1"),
        ("arn:aws:ec2:us-*:123456789012:instance/*", "shop is not judged in us-*"),
        ("arn:aws:ec2:eu-central-1:123456789012:instance/*", "shop is not judged in eu-central-1"),
    ],
)
def test_a_waiver_that_matches_nothing_says_why(workspace: Path, arn: str, why: str) -> None:
    change(workspace, WAIVERS, ARN, arn)
    [only] = told(report_on(workspace), "waiver-unmatched")
    assert f"{WAIVERS}:6:15: waiver `W-1` matches nothing: {why} [" in only


@pytest.mark.parametrize(
    "arn",
    [
        "arn:aws:ec2:eu-central-1:210987654321:instance/*",
        "arn:aws:ec2:eu-*:*:instance/*",
        "arn:aws:ec2:*:instance/*",
        "arn:aws:ec2:eu-west-1:*",
        "arn:aws:ec2:*",
        "arn:aws*",
        "arn:*:eu-west-1:*",
        "arn:*:999999999999:*",
        "arn:aws:e*:123456789012:instance/*",
        "arn:aws:ec2:eu-west-?:12345678901?:instance/i-[1]*",
        "arn:aws:ec2:eu-west-1:12345*:instance/*",
    ],
)
def test_a_waiver_that_may_match_is_left_alone(workspace: Path, arn: str) -> None:
    change(workspace, WAIVERS, ARN, f'"{arn}"')
    assert told_all(report_on(workspace)) == []


def test_a_waiver_of_a_policy_outside_of_the_profile(workspace: Path) -> None:
    change(workspace, WAIVERS, "policy: ec2-old", "policy: rds-idle")
    [only] = told(report_on(workspace), "waiver-unmatched")
    assert f"{WAIVERS}:5:13: waiver `W-1` matches nothing: profile basic of shop has no policy rds-idle [" in only


def test_accounts_and_regions_that_are_not_known_before_a_run_are_not_judged(workspace: Path) -> None:
    change(workspace, WAIVERS, ARN, ARN.replace("123456789012", "999999999999"))
    change(workspace, "customers/shop/customer.yaml", "accounts:", "organization: {}\naccounts:")
    assert told_all(report_on(workspace)) == []
    change(workspace, WAIVERS, "eu-west-1", "us-east-1")
    assert len(told(report_on(workspace), "waiver-unmatched")) == 1
    change(workspace, "customers/shop/customer.yaml", "regions: [eu-west-1]", "regions: enabled")
    assert told_all(report_on(workspace)) == []


def test_only_waivers_that_apply_are_compared(workspace: Path) -> None:
    """What has expired, cannot be read or names no policy is told once, by another rule."""
    wrong = ARN.replace("123456789012", "999999999999")
    change(workspace, WAIVERS, ARN, wrong)
    for old, new, rule in (
        ("2027-03-31", "2026-10-02", "waiver-expired"),
        ("2026-10-02", "[2026]", "schema"),
        ("[2026]", "2027-03-31", "waiver-unmatched"),
        ("policy: ec2-old", "policy: ec2-olde", "unknown-policy"),
    ):
        change(workspace, WAIVERS, old, new)
        assert rules(report_on(workspace)) == {rule}


def test_a_waivers_file_that_is_no_customers_is_not_compared(workspace: Path) -> None:
    change(workspace, WAIVERS, "123456789012", "999999999999")
    write(workspace, [("other/shop/waivers.yaml", (workspace / WAIVERS).read_text())])
    [only] = told(report_on(workspace), "waiver-unmatched")
    assert f"{WAIVERS}:6:15: " in only


def test_the_services_of_arns_are_those_that_cloud_custodian_makes() -> None:
    from tests.lint.rules_kit import managers, policy

    made = {}
    for name in SERVICES:
        plain = name.removeprefix("aws.")
        assert managers()[plain].type == plain
        made[name] = policy(resource=plain).resource_manager.generate_arn("x").split(":")[2]
    # Load balancers bring ARNs of their own; accounts are judged by that of their root.
    assert {**made, "aws.app-elb": "elasticloadbalancing", "aws.account": "iam"} == SERVICES


# --- waivers and evidence ---------------------------------------------------------------------------------------------

TARGETS = (Target("123456789012", "eu-west-1"), Target("210987654321", "eu-central-1"))


def made_run(
    workspace: Path,
    found: Sequence[Evaluation],
    statuses: Sequence[Status] = (Status.EVALUATED, Status.EVALUATED),
    **changes: object,
) -> Path:
    """A sealed run of the customer in the workspace's store."""
    store = LocalStore(workspace / "evidence")
    writer = store.create("shop", f"20261123T080000Z-{len(list(workspace.rglob('run.json'))):08x}")
    for target, status in zip(TARGETS, statuses, strict=True):
        rows = [each for each in found if each.account_id == target.account_id]
        write_evaluations(writer.part("evaluations", target), writer.run_id, "shop", rows)
        cell = Coverage(target.account_id, target.region, "ec2-old", status)
        write_coverage(writer.part("coverage", target), writer.run_id, [cell])
    key, _ = SigningKey.load_or_create(workspace.parent / "signing.pem")
    writer.seal({**record("shop"), "started_at": NOW - dt.timedelta(days=1), **changes}, key)
    return writer.folder


def instance(name: str, target: Target = TARGETS[0], policy: str = "ec2-old") -> Evaluation:
    arn = f"arn:aws:ec2:{target.region}:{target.account_id}:instance/{name}"
    return evaluation(account_id=target.account_id, region=target.region, policy=policy, arn=arn)


def test_a_waiver_whose_resource_is_gone_is_told_from_the_last_run(workspace: Path) -> None:
    made_run(workspace, [instance("i-other"), instance("i-0a1b2c3d", policy="ec2-idle")])
    [only] = told(report_on(workspace), "waiver-unmatched")
    assert f"{WAIVERS}:6:15: waiver `W-1` matches nothing that ec2-old judged in the run of 2026-11-23" in only


@pytest.mark.parametrize("arn", [ARN, ARN[:-3] + "*", "arn:aws:ec2:*:instance/i-0a*", "arn:aws:ec2:*"])
def test_a_waiver_whose_resource_was_judged_is_left_alone(workspace: Path, arn: str) -> None:
    change(workspace, WAIVERS, ARN, arn)
    made_run(workspace, [instance("i-other"), instance("i-0a1b2c3d")])
    assert told_all(report_on(workspace)) == []


@pytest.mark.parametrize("arn", [ARN, "arn:aws:ec2:*:123456789012:instance/i-0a*", "arn:aws:ec2:*:instance/i-0a*"])
@pytest.mark.parametrize("gap", [Status.FAILED, Status.SKIPPED, Status.NOT_APPLICABLE])
def test_where_the_run_has_a_gap_it_tells_nothing(workspace: Path, arn: str, gap: Status) -> None:
    """A cell that does not apply is no gap; neither does it say that a resource is not there."""
    change(workspace, WAIVERS, ARN, arn)
    made_run(workspace, [], statuses=(gap, Status.EVALUATED))
    somewhere_else = gap is Status.NOT_APPLICABLE and arn.startswith("arn:aws:ec2:*:instance")
    assert len(told(report_on(workspace), "waiver-unmatched")) == somewhere_else


def test_a_gap_elsewhere_does_not_matter_to_one_account(workspace: Path) -> None:
    made_run(workspace, [], statuses=(Status.EVALUATED, Status.FAILED))
    assert len(told(report_on(workspace), "waiver-unmatched")) == 1
    change(workspace, WAIVERS, "eu-west-1:123456789012", "eu-*:*")
    assert told_all(report_on(workspace)) == []


def test_a_run_without_some_accounts_does_not_tell_of_all(workspace: Path) -> None:
    left_out = [{"account_id": "333344445555", "name": "shop-old", "reason": "it is suspended"}]
    made_run(workspace, [], left_out=left_out)
    assert len(told(report_on(workspace), "waiver-unmatched")) == 1
    change(workspace, WAIVERS, "eu-west-1:123456789012", "*")
    assert told_all(report_on(workspace)) == []


def test_a_run_that_was_narrowed_is_passed_over_for_the_one_before(workspace: Path) -> None:
    narrow = {"accounts": [], "regions": ["eu-west-1"], "policies": []}
    made_run(workspace, [instance("i-0a1b2c3d")])
    made_run(workspace, [], selection=narrow)
    assert told_all(report_on(workspace)) == []
    made_run(workspace, [])
    assert len(told(report_on(workspace), "waiver-unmatched")) == 1


def test_a_store_without_a_run_of_the_customer_tells_nothing(workspace: Path) -> None:
    (workspace / "evidence").mkdir()
    assert told_all(report_on(workspace)) == []
    LocalStore(workspace / "evidence").create("shop", "20261123T080000Z-00000000")
    assert told_all(report_on(workspace)) == []


@pytest.mark.parametrize("damaged", ["run.json", "coverage/*.parquet", "evaluations/*.parquet"])
def test_evidence_that_cannot_be_read_is_told(workspace: Path, damaged: str) -> None:
    folder = made_run(workspace, [])
    for path in folder.glob(damaged):
        path.write_bytes(b"[1]")
    report = report_on(workspace)
    [only] = told(report, "waiver-evidence")
    assert rules(report) == {"waiver-evidence"}
    assert f"{WAIVERS}:4:3: which waivers match is not known: " in only


# --- frameworks -------------------------------------------------------------------------------------------------------

FRAMEWORK = "frameworks/house.yaml"


@pytest.mark.parametrize("fixture", ["match", "no-match", "absent"])
def test_a_direct_mapping_needs_every_fixture(workspace: Path, fixture: str) -> None:
    (workspace / f"tests/policies/old-instances/ec2-old/{fixture}.yaml").unlink()
    [only] = told(report_on(workspace), "direct-without-test")
    assert f"{FRAMEWORK}:15:19: old-instances/ec2-old is mapped as direct, and has no fixture {fixture} [" in only


def test_built_in_policies_need_no_fixtures_in_a_workspace(workspace: Path) -> None:
    change(workspace, FRAMEWORK, "old-instances/ec2-old", "idle-resources/ec2-idle")
    assert told_all(report_on(workspace)) == []


def test_this_project_needs_fixtures_for_what_it_builds_in(workspace: Path) -> None:
    change(workspace, FRAMEWORK, "old-instances/ec2-old", "idle-resources/ec2-idle")
    write(workspace, [("policies/packs/idle-resources/ec2-idle.yaml", "x: 1")])
    assert len(told(report_on(workspace), "direct-without-test")) == 1


@pytest.mark.parametrize("policy", ["../customers/shop/customer", "a/../b", "/", "old-instances/", "[]", "3", "{}"])
def test_no_odd_name_of_a_policy_reaches_the_file_system(workspace: Path, policy: str) -> None:
    change(workspace, FRAMEWORK, "old-instances/ec2-old", policy)
    assert rules(report_on(workspace)) == {"schema"}


def test_controls_that_vanish_are_counted(workspace: Path) -> None:
    text = (workspace / FRAMEWORK).read_text().replace("name: house", "name: fedramp-moderate")
    write(workspace, [("frameworks/fedramp-moderate.yaml", text), ("drafts/fedramp-moderate.yaml", text)])
    [only] = told(report_on(workspace), "dropped-control")
    assert (
        "fedramp-moderate.yaml:9:1: the built-in fedramp-moderate has controls that are not here: AC-1, AC-2, " in only
    )
    assert " and 282 more [" in only


def test_a_framework_that_lists_all_controls_drops_none(workspace: Path) -> None:
    from finops_policy.library import library_root

    text = library_root().joinpath("policies", "frameworks", "sox-itgc.yaml").read_text()
    write(workspace, [("frameworks/sox-itgc.yaml", text)])
    assert told_all(report_on(workspace)) == []


def test_controls_of_the_workspaces_frameworks_are_known(workspace: Path) -> None:
    policies = "policies:\n  - {name: a, resource: ec2, metadata: {controls: [house/A-1, house/A-2, hause/A-1]}}\n"
    write(workspace, [("plain.yaml", policies)])
    first, second = told(report_on(workspace), "unknown-control")
    assert "plain.yaml:2:63: house has no control `A-2` [" in first
    assert "plain.yaml:2:74: there is no framework `hause` [" in second
    change(workspace, FRAMEWORK, "group: A\n", "group: 3\n")
    assert told(report_on(workspace), "unknown-control") == [second], "what a broken framework has is not known"


# --- files that cannot be shown on a page -----------------------------------------------------------------------------


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    report = lint([tmp_path / "pipe.yaml"], tmp_path, Settings(), today=TODAY)
    assert rules(report) == {"file-unreadable"}


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"# " + b"x" * 2**20, "file-too-large"),
        (b"policies: [" + b"0," * 100_001 + b"]", "file-too-large"),
        ("policies: []  # Büro".encode("latin-1"), "encoding"),
        ("policies: []".encode("utf-16"), "encoding"),
    ],
)
def test_a_file_of_another_size_or_encoding_is_told(tmp_path: Path, content: bytes, rule: str) -> None:
    assert rules(linted(tmp_path, content)) == {rule}


def test_a_mistake_in_the_settings_is_told(tmp_path: Path) -> None:
    path = tmp_path / "finops-policy.toml"
    path.write_text('[lint.rules]\nmark-without-dely = "error"\n')
    with pytest.raises(InvalidFilesError) as caught:
        read_settings(path, RULES.values())
    [only] = caught.value.diagnostics
    assert (only.rule, only.mark.line) == ("settings", 2)
    assert "mark-without-delay" in only.hint


def test_the_examples_of_the_guide_hold(tmp_path: Path) -> None:
    guide = (PAGES.parent / "lint.md").read_text()
    [settings] = re.findall(r"```toml\n(.*?)```", guide, re.DOTALL)
    [policies] = re.findall(r"```yaml\n(.*?)```", guide, re.DOTALL)
    (tmp_path / "finops-policy.toml").write_text(settings)
    found = read_settings(tmp_path / "finops-policy.toml", RULES.values())
    assert len(found.levels) == 3
    report = linted(tmp_path, policies)
    assert told_active(report) == []
    assert report.suppressed == 2


# --- this project's own files -----------------------------------------------------------------------------------------


def test_this_projects_own_files_are_clean(tmp_path: Path) -> None:
    """What is suppressed has its reason beside it. Evidence of runs made here is left out."""
    root = PAGES.parents[1]
    for name in ("policies", "customers", "tests/policies"):
        shutil.copytree(root / name, tmp_path / name)
    report = lint([tmp_path], tmp_path, Settings(), today=TODAY)
    assert told_active(report) == []
    assert report.policies == 26
    assert report.unchecked == ()


def told_active(report: Report) -> list[str]:
    return [str(each.diagnostic) for each in report.active]
