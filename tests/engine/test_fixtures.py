"""Every policy against its fixtures, through c7n's real filters; and the fixture runner itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from finops_policy.catalog import Catalog
from finops_policy.custodian.offline import UnrecordedCallError
from finops_policy.errors import InvalidFilesError, UsageError
from finops_policy.fixtures import check, find

ROOT = Path(__file__).parents[2]
FIXTURES = ROOT / "tests" / "policies"
CATALOG = Catalog(ROOT)
POLICIES = [f"{pack.name}/{policy}" for pack in CATALOG.all_packs().values() for policy in pack.policies]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("kind", ["match", "no-match", "absent"])
def test_policy_judges_its_fixture_as_expected(policy: str, kind: str) -> None:
    assert check(FIXTURES / policy / f"{kind}.yaml", CATALOG) == []


@pytest.mark.parametrize("policy", POLICIES)
def test_match_expects_a_finding_and_no_match_expects_none(policy: str) -> None:
    expected = {kind: _expectations(FIXTURES / policy / f"{kind}.yaml") for kind in ("match", "no-match")}
    assert "noncompliant" in expected["match"]
    assert "compliant" in expected["no-match"]
    assert "noncompliant" not in expected["no-match"]


def _expectations(path: Path) -> set[str]:
    from finops_policy.sources import read

    data = read(path, str(path)).data
    return set(data["expect"].values())


def test_every_fixture_belongs_to_a_policy() -> None:
    folders = {f"{file.parent.parent.name}/{file.parent.name}" for file in FIXTURES.rglob("*.yaml")}
    assert folders == set(POLICIES)


FIXTURE = """
policy: idle-resources/eip-unassociated
resources:
  - {AllocationId: eipalloc-1, PublicIp: 192.0.2.1, Domain: vpc, Tags: []}
  - {AllocationId: eipalloc-2, PublicIp: 192.0.2.2, Domain: vpc, AssociationId: eipassoc-2, Tags: []}
expect: {eipalloc-1: noncompliant, eipalloc-2: compliant}
"""


def _fixture(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "fixture.yaml"
    path.write_text(text)
    return path


def test_a_wrong_expectation_is_a_mismatch_at_its_line(tmp_path: Path) -> None:
    path = _fixture(tmp_path, FIXTURE.replace("eipalloc-1: noncompliant", "eipalloc-1: compliant"))
    [mismatch] = check(path, CATALOG)
    assert (mismatch.resource_id, mismatch.expected, mismatch.got) == ("eipalloc-1", "compliant", "noncompliant")
    assert mismatch.mark.line == 6


def test_a_member_that_nobody_expected_is_a_mismatch(tmp_path: Path) -> None:
    [mismatch] = check(_fixture(tmp_path, FIXTURE.replace(", eipalloc-2: compliant", "")), CATALOG)
    assert (mismatch.resource_id, mismatch.expected, mismatch.got) == ("eipalloc-2", "nothing", "compliant")


def test_a_call_without_a_recorded_answer_is_refused(tmp_path: Path) -> None:
    text = """
policy: idle-resources/rds-idle
resources:
  - {DBInstanceIdentifier: db, DBInstanceStatus: available, DBInstanceClass: db.m5.large, InstanceCreateTime: now-90d}
expect: {db: unknown}
"""
    with pytest.raises(UnrecordedCallError, match="no answer to cloudwatch:GetMetricStatistics is recorded"):
        check(_fixture(tmp_path, text), CATALOG)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("eip-unassociated", "eip-unasociated", "has no policy 'eip-unasociated'"),
        ("expect:", "expects:", "A fixture has policy, resources and expect"),
        ("eipalloc-2: compliant", "eipalloc-2: fine", "'fine' is not one of"),
        ("expect: {eipalloc-1: noncompliant, eipalloc-2: compliant}", "expect: {}", "expects something"),
        ("resources:", "parameters: 3\nresources:", "`parameters` has the wrong form"),
        ("idle-resources/eip-unassociated", "[1]", "`policy` has the wrong form"),
    ],
)
def test_a_malformed_fixture_is_told_at_its_place(tmp_path: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(InvalidFilesError) as caught:
        check(_fixture(tmp_path, FIXTURE.replace(old, new)), CATALOG)
    assert said in caught.value.diagnostics[0].message
    assert caught.value.diagnostics[0].mark.line > 0


def test_a_fixture_of_an_unknown_pack_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="idle-resource'") as caught:
        check(_fixture(tmp_path, FIXTURE.replace("idle-resources/", "idle-resource/")), CATALOG)
    assert "idle-resources" in caught.value.hint


def test_find_wants_at_least_one_fixture(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There is no fixture"):
        find([tmp_path])
    path = _fixture(tmp_path, FIXTURE)
    assert find([tmp_path]) == find([path]) == [path]
