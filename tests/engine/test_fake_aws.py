"""The benchmarks' fake AWS answers what botocore expects; on it, stock Custodian and we match the same resources."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from bench import sides
from bench.estate import Estate, account_ids, instance_id, level
from bench.fake_aws import ACCESS_KEY, Fake, running
from finops_policy.catalog import Catalog
from finops_policy.project import load

ROOT = Path(__file__).parents[2]
BINARIES = Path(sys.executable).parent
LONG = os.environ.get("FINOPS_POLICY_LONG") == "1"
SIZE = 203
A, B, DENIED = account_ids(3)
NOW = dt.datetime.now(dt.UTC).replace(second=0, microsecond=0)


@pytest.fixture(scope="module")
def fake() -> Iterator[Fake]:
    with running(instances=SIZE, accounts=25, deny_accounts=DENIED) as started:
        yield started


@pytest.fixture(autouse=True)
def _forgotten(fake: Fake) -> None:
    fake.reset()


def _client(fake: Fake, service: str, account: str = A, region: str = "us-east-1") -> Any:
    return boto3.client(
        service,
        region_name=region,
        endpoint_url=fake.url,
        aws_access_key_id=f"ASIA{account}FAKE",
        aws_secret_access_key="secret",
        config=Config(retries={"max_attempts": 0}),
    )


def _instances(
    fake: Fake, account: str = A, region: str = "us-east-1", size: int | None = None
) -> list[dict[str, Any]]:
    pages = _client(fake, "ec2", account, region).get_paginator("describe_instances")
    found = pages.paginate(PaginationConfig={"PageSize": size} if size else {})
    return [each for page in found for group in page["Reservations"] for each in group["Instances"]]


def _statistics(fake: Fake, resource: str, statistic: str = "Maximum", days: int = 14, period: int = 86400) -> Any:
    kind = "ExtendedStatistics" if statistic.startswith("p") else "Statistics"
    return _client(fake, "cloudwatch").get_metric_statistics(
        Namespace="AWS/EC2",
        MetricName="CPUUtilization",
        Dimensions=[{"Name": "InstanceId", "Value": resource}],
        StartTime=NOW - dt.timedelta(days=days),
        EndTime=NOW,
        Period=period,
        **{kind: [statistic]},
    )["Datapoints"]


def _keys(value: object) -> int:
    """How many keys a document has, nested ones too."""
    if isinstance(value, dict):
        return sum(1 + _keys(each) for each in value.values())
    return sum(map(_keys, value)) if isinstance(value, list) else 0


def _query(number: int, resource: str, period: int = 86400) -> dict[str, Any]:
    dimensions = [{"Name": "InstanceId", "Value": resource}]
    metric = {"Namespace": "AWS/EC2", "MetricName": "CPUUtilization", "Dimensions": dimensions}
    return {"Id": f"m{number}", "MetricStat": {"Metric": metric, "Period": period, "Stat": "Maximum"}}


def test_an_assumed_role_is_answered_for_its_account(fake: Fake) -> None:
    caller = boto3.client(
        "sts", "us-east-1", endpoint_url=fake.url, aws_access_key_id=ACCESS_KEY, aws_secret_access_key="secret"
    )
    keys = caller.assume_role(RoleArn=f"arn:aws:iam::{B}:role/path/reader", RoleSessionName="test")
    assert keys["AssumedRoleUser"]["Arn"] == f"arn:aws:sts::{B}:assumed-role/reader/test"
    given = keys["Credentials"]
    entered = boto3.client(
        "sts",
        "us-east-1",
        endpoint_url=fake.url,
        aws_access_key_id=given["AccessKeyId"],
        aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["SessionToken"],
    )
    assert entered.get_caller_identity()["Account"] == B
    assert caller.get_caller_identity()["Account"] not in (A, B)
    assert fake.assumed() == {B: 1}


def test_a_denied_account_is_refused(fake: Fake) -> None:
    with pytest.raises(ClientError, match="not authorized to perform: sts:AssumeRole") as refused:
        _client(fake, "sts").assume_role(RoleArn=f"arn:aws:iam::{DENIED}:role/reader", RoleSessionName="test")
    assert refused.value.response["Error"]["Code"] == "AccessDenied"


def test_listings_come_whole_in_pages(fake: Fake) -> None:
    at_once, small = _instances(fake), _instances(fake, size=100)
    assert len(at_once) == len({each["InstanceId"] for each in at_once}) == SIZE
    assert small == at_once
    assert fake.calls() == {"ec2:DescribeInstances": 1 + 3}
    volumes = _client(fake, "ec2").get_paginator("describe_volumes").paginate().build_full_result()["Volumes"]
    mapped = [each["BlockDeviceMappings"][0]["Ebs"]["VolumeId"] for each in at_once]
    assert mapped == [each["VolumeId"] for each in volumes]


def test_a_page_holds_a_thousand_at_most() -> None:
    with running(instances=1003) as large:
        pages = _client(large, "ec2").get_paginator("describe_volumes").paginate(MaxResults=5000)
        assert [len(page["Volumes"]) for page in pages] == [1000, 3]


def test_instances_are_as_detailed_as_real_ones_and_differ(fake: Fake) -> None:
    found = _instances(fake)
    assert 60 <= min(map(_keys, found)) <= 120
    assert {each["State"]["Name"] for each in found} == {"running", "stopped", "terminated"}
    assert len({each["LaunchTime"] for each in found}) == 10
    tags = [{tag["Key"] for tag in each["Tags"]} for each in found]
    for key in ("owner", "cost-center", "environment"):
        assert 0 < sum(key in each for each in tags) < len(found)


def test_accounts_and_regions_have_estates_of_their_own(fake: Fake) -> None:
    estates = [_instances(fake, A), _instances(fake, B), _instances(fake, A, "eu-west-1")]
    ids = [{each["InstanceId"] for each in estate} for estate in estates]
    assert len(set.union(*ids)) == 3 * SIZE
    owners = {each["NetworkInterfaces"][0]["OwnerId"] for each in estates[1]}
    assert owners == {B}


def test_the_same_seed_is_the_same_estate_in_another_process(fake: Fake) -> None:
    with running(instances=SIZE) as again, running(instances=SIZE, seed="2") as other:
        assert _instances(again, B) == _instances(fake, B)
        assert {each["InstanceId"] for each in _instances(other, B)}.isdisjoint(
            each["InstanceId"] for each in _instances(fake, B)
        )


def test_metrics_differ_between_instances_and_are_missing_for_what_does_not_run(fake: Fake) -> None:
    found = _instances(fake)[:120]
    peaks: dict[str, list[float | None]] = {}
    for each in found:
        points = _statistics(fake, each["InstanceId"])
        assert len(points) in (0, 14)
        peak = max((point["Maximum"] for point in points), default=None)
        peaks.setdefault(each["State"]["Name"], []).append(peak)
    assert set(peaks["stopped"]) == {None}
    running_ones = [peak for peak in peaks["running"] if peak is not None]
    assert 0 < sum(peak < 5 for peak in running_ones) < len(running_ones)


@pytest.mark.parametrize("period", [86400, 3600])
def test_both_metric_calls_tell_the_same(fake: Fake, period: int) -> None:
    ids = [each["InstanceId"] for each in _instances(fake)[:20]]
    answer = _client(fake, "cloudwatch").get_metric_data(
        MetricDataQueries=[_query(number, each, period) for number, each in enumerate(ids)],
        StartTime=NOW - dt.timedelta(days=14),
        EndTime=NOW,
    )
    for number, each in enumerate(ids):
        single = {point["Timestamp"]: point["Maximum"] for point in _statistics(fake, each, period=period)}
        batched = answer["MetricDataResults"][number]
        assert batched["Id"] == f"m{number}"
        assert dict(zip(batched["Timestamps"], batched["Values"], strict=True)) == single


def test_percentiles_come_as_extended_statistics(fake: Fake) -> None:
    running_one = next(each["InstanceId"] for each in _instances(fake) if _statistics(fake, each["InstanceId"]))
    [point] = _statistics(fake, running_one, "p99", days=1)
    assert set(point["ExtendedStatistics"]) == {"p99"}


def test_metric_calls_have_the_limits_of_aws(fake: Fake) -> None:
    client, estate = _client(fake, "cloudwatch"), Estate(501)
    ids = [instance_id(estate.draws(A, "us-east-1", "instance", number)) for number in range(501)]
    window = {"StartTime": NOW - dt.timedelta(days=15), "EndTime": NOW}
    with pytest.raises(ClientError, match="exceeds the limit of 1,440"):
        _statistics(fake, ids[0], days=14, period=300)
    with pytest.raises(ClientError, match="501 queries"):
        client.get_metric_data(MetricDataQueries=[_query(at, each) for at, each in enumerate(ids)], **window)
    asked = [_query(at, each, 3600) for at, each in enumerate(ids[:500])]  # 360 datapoints each
    pages = list(client.get_paginator("get_metric_data").paginate(MetricDataQueries=asked, **window))
    assert len(pages) > 1
    told = [each["Id"] for page in pages for each in page["MetricDataResults"]]
    assert told == [each["Id"] for each in asked]
    assert all(sum(len(each["Values"]) for each in page["MetricDataResults"]) <= 100_800 for page in pages)


def test_the_organization_lists_its_accounts(fake: Fake) -> None:
    pages = _client(fake, "organizations").get_paginator("list_accounts").paginate()
    assert [each["Id"] for page in pages for each in page["Accounts"]] == account_ids(25)
    regions = _client(fake, "ec2").describe_regions()["Regions"]
    assert "eu-west-1" in {each["RegionName"] for each in regions}


def test_what_it_cannot_answer_is_refused_and_counted(fake: Fake) -> None:
    for service, operation in (("ec2", "describe_vpcs"), ("s3", "list_buckets"), ("cloudwatch", "list_metrics")):
        with pytest.raises(ClientError, match="the fake AWS does not know"):
            getattr(_client(fake, service), operation)()
    assert fake.calls() == {"unknown": 3}
    with pytest.raises(ClientError, match="knows no"):
        _client(fake, "ec2").describe_instances(InstanceIds=["i-1"])


def test_a_metric_is_told_from_the_id_alone() -> None:
    estate = Estate(10)
    ids = [instance_id(estate.draws(A, "us-east-1", "instance", number)) for number in range(200)]
    assert {level("1", each, "CPUUtilization") is None for each in ids} == {True, False}
    assert level("1", "i-too-short", "CPUUtilization") is None


# --- The stock comparison -------------------------------------------------------------------------------------------


def _chosen() -> list[dict[str, object]]:
    """Every policy of the benchmark if time is no matter; else of those that ask for metrics only three."""
    quick = {"ec2-large-by-percentile", "ec2-silent-ownerless", "ebs-unattached"}
    everything = sides.policies()
    return [each for each in everything if LONG or "metrics" not in str(each) or each["name"] in quick]


def test_the_benchmarks_policies_match_what_stock_custodian_matches(tmp_path: Path) -> None:
    with running(instances=1000) as fake:
        work = sides.work(tmp_path, accounts=1, regions=1, documents=_chosen())
        stock = sides.custodian(fake, work, cached=True, binaries=BINARIES)
        assert stock.measured.code == 0, stock.measured.err[-2000:]
        found = sides.ours(fake, work)
    assert found.measured.code in (0, 4), found.measured.err[-2000:]
    assert sides.differences(stock.matches, found.matches, work.cells()) == []
    assert all(0 < len(ids) < 1000 for ids in stock.matches.values())
    assert found.assumed[A] <= 2


def test_the_shipped_policies_match_what_stock_custodian_matches(tmp_path: Path) -> None:
    project = load(Catalog(ROOT), "acme", "hipaa")
    account = "111122223333"
    compiled = [each for each in project.compiled.policies(account) if each.resource in ("aws.ec2", "aws.ebs")]
    with running(instances=1000) as fake:
        work = sides.work(tmp_path, accounts=1, regions=1, documents=[each.document for each in compiled])
        work = replace(work, account_ids=(account,))
        stock = sides.custodian(fake, work, cached=True, binaries=BINARIES)
        assert stock.measured.code == 0, stock.measured.err[-2000:]
        only = [part for each in compiled for part in ("--policy", each.name)]
        store = tmp_path / "store"
        command = [sys.executable, "-m", "finops_policy", "run", "--customer", "acme", "--account", account, *only]
        command += ["--region", "us-east-1", "--fail-on", "never", "--store", str(store), "--workspace", str(ROOT)]
        env = sides.environment(fake, tmp_path / "home")
        done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 4), done.stderr[-2000:]
    found = sides.evidence(store)
    assert len(work.cells()) == len(compiled) >= 5
    assert sides.differences(stock.matches, found, work.cells()) == []
    assert sum(map(len, stock.matches.values())) > 100
