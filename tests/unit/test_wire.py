"""What botocore answers stays the same; it only comes faster, and in less memory."""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import botocore.session
import pytest
from botocore.awsrequest import AWSResponse
from botocore.utils import parse_timestamp as botocores
from hypothesis import given, settings
from hypothesis import strategies as st
from urllib3 import HTTPResponse

from finops_policy import aws, wire

MOMENTS = st.datetimes(dt.datetime(1, 1, 2), dt.datetime(9999, 12, 30))  # noqa: DTZ001 - the zone is in the text
ENDINGS = st.sampled_from(["Z", ".5Z", ".123Z", ".123456Z", ".1234567Z", "", "+00:00", "+0000", "-05:30", " GMT", "z"])
ISO = st.builds(lambda moment, ending: f"{moment:%Y-%m-%dT%H:%M:%S}".zfill(19) + ending, MOMENTS, ENDINGS)
RFC_822 = MOMENTS.map(lambda moment: f"{moment:%a, %d %b %Y %H:%M:%S GMT}")
ODD = st.sampled_from(
    [
        "2020-02-30T00:00:00Z",
        "2020-01-01T24:00:00Z",
        "2020-01-01T00:00:60Z",
        "0000-01-01T00:00:00Z",
        "2020-W01-1T00:00:00Z",
        "2020-01-01T00:00:00,5Z",
        "２０２０-01-01T00:00:00Z",
        "2020-01-01T00:00:00Z\n",
        "20200101T000000Z",
        "2020-01-01",
        "1577934245",
        "1.5e9",
        "nan",
        "",
        "yesterday",
        None,
        True,
        [],
        {},
        float("nan"),
        float("inf"),
        -1,
        1e18,
        10**400,
    ]
)
NUMBERS = st.floats(-62e9, 253e9) | st.integers(-62_000_000_000, 253_000_000_000)


@pytest.fixture(autouse=True, scope="module", params=["UTC", "America/New_York"])
def _zone(request: pytest.FixtureRequest) -> Iterator[None]:
    """botocore reads seconds since 1970 in the zone of the machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", request.param)
        time.tzset()
        yield
    time.tzset()


def read(parse: Any, value: Any) -> tuple[str, Any]:
    try:
        moment = parse(value)
    except Exception as error:  # noqa: BLE001 - whatever botocore raises is to be raised
        return "raised", type(error)
    if moment.tzinfo is None:
        return "without a zone", moment
    return "moment", moment.astimezone(dt.UTC)


@settings(max_examples=300, deadline=None)
@given(ISO | RFC_822 | ODD | NUMBERS | st.text(max_size=30))
def test_timestamps_are_those_that_botocore_reads(value: Any) -> None:
    assert read(wire.parse_timestamp, value) == read(botocores, value)


@pytest.mark.parametrize("value", ["2026-11-24T08:00:00.000Z", 1795507200, 1795507200.0])
def test_what_aws_writes_comes_back_in_utc(value: Any) -> None:
    moment = wire.parse_timestamp(value)
    assert moment == dt.datetime(2026, 11, 24, 8, tzinfo=dt.UTC)
    assert moment.tzinfo is dt.UTC


def session(tuned: bool) -> Any:
    core = botocore.session.Session()
    core.set_credentials("x", "x", "x")
    if tuned:
        wire.tune(core)
    return core


def answered(tuned: bool, service: str, operation: str, body: bytes, **request: Any) -> Any:
    """What a client makes of an answer from the wire."""
    client = session(tuned).create_client(service, "us-east-1")

    def answer(**_event: Any) -> AWSResponse:
        return AWSResponse("https://offline.invalid", 200, {}, HTTPResponse(BytesIO(body), preload_content=False))

    client.meta.events.register("before-send", answer)
    parsed = getattr(client, operation)(**request)
    parsed["ResponseMetadata"].pop("HTTPHeaders")
    return parsed


INSTANCE = (
    "<item><instancesSet><item><instanceId>i-{0}</instanceId><vpcId>vpc-0a1b2c3d4e5f</vpcId><launchTime>"
    "2026-11-0{0}T08:00:00.000Z</launchTime><keyName/><tagSet><item><key>Owner</key><value>web</value></item></tagSet>"
    "<groupSet><item><groupName>app</groupName></item><item><groupName>db</groupName></item></groupSet>"
    "</item></instancesSet></item>"
)
INSTANCES = (
    '<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><reservationSet>'
    + "".join(INSTANCE.format(number) for number in (1, 2))
    + "</reservationSet></DescribeInstancesResponse>"
).encode()


def test_an_answer_is_the_same_and_keeps_each_text_once() -> None:
    stock, tuned = (answered(tuned, "ec2", "describe_instances", INSTANCES) for tuned in (False, True))
    assert tuned == stock
    first, second = (each["Instances"][0] for each in tuned["Reservations"])
    assert (first["KeyName"], first["SecurityGroups"][1]) == ("", {"GroupName": "db"})
    assert first["VpcId"] is second["VpcId"]
    assert first["Tags"][0]["Value"] is second["Tags"][0]["Value"]
    assert first["Tags"] is not second["Tags"]


def test_answers_of_numbers_are_the_same() -> None:
    series = {"Id": "m0", "Label": "CPU", "Timestamps": [1795507200, 1795510800.25, None], "Values": [1.5, 2, None]}
    messages = [{"Code": "x", "Value": "y"}, None]
    body = json.dumps({"MetricDataResults": [series, {}], "Messages": messages}).encode()
    window = {"StartTime": dt.datetime.now(dt.UTC), "EndTime": dt.datetime.now(dt.UTC), "MetricDataQueries": []}
    stock, tuned = (answered(each, "cloudwatch", "get_metric_data", body, **window) for each in (False, True))
    assert tuned == stock
    assert tuned["MetricDataResults"][0]["Timestamps"][0] == dt.datetime.fromtimestamp(1795507200, dt.UTC)


def test_service_models_are_read_once_for_all_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    session(tuned=True).create_client("ec2", "us-east-1")
    monkeypatch.setattr("botocore.loaders.JSONFileLoader.load_file", lambda *_: pytest.fail("read again"))
    session(tuned=True).create_client("ec2", "eu-west-1")


def test_models_of_ones_own_are_found(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        folder = str(tmp_path_factory.mktemp(name))
        monkeypatch.setenv("AWS_DATA_PATH", folder)
        assert folder in session(tuned=True).get_component("data_loader").search_paths


def test_every_session_is_tuned() -> None:
    core = aws.session("us-east-1")._session
    assert core.get_component("data_loader") is session(tuned=True).get_component("data_loader")


def test_the_methods_of_clients_are_made_once_per_service() -> None:
    keys = aws.Credentials("access", "secret", "token")
    one, two = (aws.session(region, keys).client("sts") for region in ("us-east-1", "eu-west-1"))
    assert type(one) is not type(two)
    assert type(one).assume_role is type(two).assume_role
    assert (one.meta.region_name, two.meta.region_name) == ("us-east-1", "eu-west-1")
    untuned = botocore.session.get_session()
    alone = untuned.create_client("sts", "us-east-1", aws_access_key_id="access", aws_secret_access_key="secret")
    assert type(alone).assume_role is not type(one).assume_role, "sessions that are not tuned are left alone"
    assert dir(alone) == dir(one)
