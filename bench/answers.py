"""What the fake AWS answers: one function per operation, from a :class:`Call` to a body.

Limits: listings know neither filters nor ids, and refuse them rather than ignore them; of GetMetricData only plain
metrics, no expressions; datapoints begin at StartTime, whatever the period.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from bench.estate import REGIONS, SHAPES, Estate, account_ids, level

PAGE = 1000
MANAGEMENT_ACCOUNT = "999988887777"
MAX_QUERIES = 500
MAX_DATAPOINTS = 100_800
MAX_STATISTICS = 1440
SAMPLE_SECONDS = 300
STANDARD = frozenset({"Average", "Sum", "Maximum", "Minimum", "SampleCount"})


class RefusedError(Exception):
    """AWS says no: an error code, a message, an HTTP status."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


@dataclass(frozen=True, slots=True)
class Call:
    """One request. ``values``: the form's fields, or the JSON document."""

    account: str
    region: str
    service: str
    operation: str
    values: Mapping[str, Any]


class Answers:
    """Answers calls on an estate. ``assumed`` counts the roles handed out, by account."""

    def __init__(self, estate: Estate, accounts: int, denied: frozenset[str] = frozenset()) -> None:
        self._estate = estate
        self._accounts = account_ids(accounts)
        self._denied = denied
        self.assumed: Counter[str] = Counter()
        self._operations: dict[tuple[str, str], Callable[[Call], bytes]] = {
            ("sts", "AssumeRole"): self._assume_role,
            ("sts", "GetCallerIdentity"): self._caller_identity,
            ("iam", "ListAccountAliases"): self._account_aliases,
            ("ec2", "DescribeInstances"): self._instances,
            ("ec2", "DescribeVolumes"): self._volumes,
            ("ec2", "DescribeRegions"): self._regions,
            ("monitoring", "GetMetricStatistics"): self._metric_statistics,
            ("monitoring", "GetMetricData"): self._metric_data,
            ("organizations", "DescribeOrganization"): self._organization,
            ("organizations", "ListRoots"): self._roots,
            ("organizations", "ListAccounts"): self._all_accounts,
            ("organizations", "ListAccountsForParent"): self._all_accounts,
            ("organizations", "ListOrganizationalUnitsForParent"): lambda _call: b'{"OrganizationalUnits": []}',
            ("organizations", "ListTagsForResource"): lambda _call: b'{"Tags": []}',
        }

    def knows(self, call: Call) -> bool:
        return (call.service, call.operation) in self._operations

    def answer(self, call: Call) -> bytes:
        """Raises :class:`RefusedError`."""
        if not self.knows(call):
            message = f"the fake AWS does not know {call.service}:{call.operation}"
            raise RefusedError("InvalidAction", message)
        return self._operations[call.service, call.operation](call)

    # --- STS, IAM, Organizations ------------------------------------------------------------------------------------

    def _assume_role(self, call: Call) -> bytes:
        arn = str(call.values["RoleArn"])
        account, role = arn.split(":")[4], arn.rpartition("/")[2]
        self.assumed[account] += 1
        if account in self._denied:
            message = f"User: {_caller(call.account)} is not authorized to perform: sts:AssumeRole on resource: {arn}"
            raise RefusedError("AccessDenied", message, 403)
        session = call.values["RoleSessionName"]
        body = (
            f"<Credentials><AccessKeyId>ASIA{account}FAKE</AccessKeyId><SecretAccessKey>secret</SecretAccessKey>"
            f"<SessionToken>token-{account}</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>"
            f"<AssumedRoleUser><AssumedRoleId>AROAFAKE:{session}</AssumedRoleId>"
            f"<Arn>arn:aws:sts::{account}:assumed-role/{role}/{session}</Arn></AssumedRoleUser>"
        )
        return _query("AssumeRole", body)

    def _caller_identity(self, call: Call) -> bytes:
        account = f"<Account>{call.account}</Account>"
        return _query("GetCallerIdentity", f"<Arn>{_caller(call.account)}</Arn><UserId>AIDAFAKE</UserId>{account}")

    def _account_aliases(self, call: Call) -> bytes:
        alias = f"<member>account-{call.account}</member>"
        return _query("ListAccountAliases", f"<AccountAliases>{alias}</AccountAliases><IsTruncated>false</IsTruncated>")

    def _organization(self, call: Call) -> bytes:
        found = {"Id": "o-fake", "MasterAccountId": call.account, "FeatureSet": "ALL"}
        return json.dumps({"Organization": found}).encode()

    def _roots(self, call: Call) -> bytes:
        root = {"Id": "r-fake", "Arn": f"arn:aws:organizations::{call.account}:root/o-fake/r-fake", "Name": "Root"}
        return json.dumps({"Roots": [root]}).encode()

    def _all_accounts(self, call: Call) -> bytes:
        start = int(call.values.get("NextToken", 0))
        page = self._accounts[start : start + 20]
        listed = [
            {
                "Id": each,
                "Arn": f"arn:aws:organizations::{call.account}:account/o-fake/{each}",
                "Email": f"{each}@example.com",
                "Name": f"account-{each}",
                "Status": "ACTIVE",
                "State": "ACTIVE",
                "JoinedMethod": "CREATED",
            }
            for each in page
        ]
        more = {"NextToken": str(start + 20)} if start + 20 < len(self._accounts) else {}
        return json.dumps({"Accounts": listed, **more}).encode()

    # --- EC2 --------------------------------------------------------------------------------------------------------

    def _instances(self, call: Call) -> bytes:
        return self._listing(call, "instance", "reservationSet")

    def _volumes(self, call: Call) -> bytes:
        return self._listing(call, "volume", "volumeSet")

    def _listing(self, call: Call, kind: str, tag: str) -> bytes:
        unknown = set(call.values) - {"Action", "Version", "MaxResults", "NextToken"}
        if unknown:
            raise RefusedError("InvalidParameterValue", f"the fake AWS lists everything: it knows no {sorted(unknown)}")
        start, size = int(call.values.get("NextToken", 0)), min(int(call.values.get("MaxResults", PAGE)), PAGE)
        items = self._estate.page(kind, call.account, call.region, start, size)
        end = start + size
        token = f"<nextToken>{end}</nextToken>" if end < self._estate.instances else ""
        return _ec2(call.operation, b"<%b>%b</%b>%b" % (tag.encode(), items, tag.encode(), token.encode()))

    def _regions(self, call: Call) -> bytes:
        items = "".join(
            f"<item><regionName>{each}</regionName><regionEndpoint>ec2.{each}.amazonaws.com</regionEndpoint>"
            "<optInStatus>opt-in-not-required</optInStatus></item>"
            for each in REGIONS
        )
        return _ec2(call.operation, f"<regionInfo>{items}</regionInfo>".encode())

    # --- CloudWatch -------------------------------------------------------------------------------------------------

    def _metric_statistics(self, call: Call) -> bytes:
        asked = call.values
        times = _times(asked["StartTime"], asked["EndTime"], int(asked["Period"]))
        if len(times) > MAX_STATISTICS:
            message = f"You have requested up to {len(times)} datapoints, which exceeds the limit of 1,440."
            raise RefusedError("InvalidParameterCombination", message)
        peak = self._peak(call, asked)
        points: list[str] = []
        if peak is not None:
            shapes = [_datapoint(asked, peak * shape) for shape in SHAPES]
            points = [f'{{"Timestamp":{time},{shapes[at % len(shapes)]}}}' for at, time in enumerate(times)]
        return f'{{"Label":"{asked["MetricName"]}","Datapoints":[{",".join(reversed(points))}]}}'.encode()

    def _metric_data(self, call: Call) -> bytes:
        queries = call.values["MetricDataQueries"]
        if len(queries) > MAX_QUERIES:
            raise RefusedError("ValidationError", f"{len(queries)} queries are more than {MAX_QUERIES}")
        descending = call.values.get("ScanBy", "TimestampDescending") == "TimestampDescending"
        room, position, results = int(call.values.get("MaxDatapoints", MAX_DATAPOINTS)), 0, []
        position = int(call.values.get("NextToken", 0))
        while position < len(queries):
            result, count = self._series(call, queries[position], descending)
            if results and count > room:
                break
            results.append(result)
            room -= count
            position += 1
        token = f',"NextToken":"{position}"' if position < len(queries) else ""
        return f'{{"MetricDataResults":[{",".join(results)}],"Messages":[]{token}}}'.encode()

    def _series(self, call: Call, query: Mapping[str, Any], descending: bool) -> tuple[str, int]:
        if "MetricStat" not in query:
            raise RefusedError("ValidationError", "the fake AWS knows no expressions")
        wanted = query["MetricStat"]
        period = int(wanted["Period"])
        times = _times(call.values["StartTime"], call.values["EndTime"], period)
        peak = self._peak(call, wanted["Metric"])
        values: list[str] = []
        if peak is not None:
            metric = wanted["Metric"]["MetricName"]
            shapes = [str(_value(metric, wanted["Stat"], period, peak * shape)) for shape in SHAPES]
            values = (shapes * (len(times) // len(shapes) + 1))[: len(times)]
        told = times if values else ()
        if descending:
            told, values = told[::-1], values[::-1]
        head = f'{{"Id":"{query["Id"]}","Label":"{wanted["Metric"]["MetricName"]}","StatusCode":"Complete"'
        return f'{head},"Timestamps":[{",".join(told)}],"Values":[{",".join(values)}]}}', len(values)

    def _peak(self, call: Call, asked: Mapping[str, Any]) -> float | None:
        """The metric's peak, drawn per account and region: a caller in the wrong one reads other numbers."""
        [dimension] = asked["Dimensions"]
        place = f"{self._estate.seed}/{call.account}/{call.region}"
        return level(place, dimension["Value"], asked["MetricName"])


@lru_cache(maxsize=256)
def _times(start: float, end: float, period: int) -> tuple[str, ...]:
    first = math.floor(start / 60) * 60
    return tuple(f"{time}.0" for time in range(first, math.ceil(end), period))


def _datapoint(asked: Mapping[str, Any], value: float) -> str:
    def of(statistic: str) -> float:
        return _value(asked["MetricName"], statistic, int(asked["Period"]), value)

    plain = [f'"{each}":{of(each)}' for each in asked.get("Statistics", ())]
    extended = [f'"{each}":{of(each)}' for each in asked.get("ExtendedStatistics", ())]
    if extended:
        plain.append(f'"ExtendedStatistics":{{{",".join(extended)}}}')
    return ",".join([*plain, '"Unit":"None"'])


def _value(metric: str, statistic: str, period: int, average: float) -> float:
    samples = max(1, period // SAMPLE_SECONDS)
    factors = {"Average": 1.0, "Maximum": 1.3, "Minimum": 0.5, "Sum": samples}
    if statistic == "SampleCount":
        return float(samples)
    if statistic in STANDARD:
        value = average * factors[statistic]
    elif statistic.startswith("p"):
        value = average * (0.5 + 0.8 * float(statistic[1:]) / 100)
    else:
        raise RefusedError("InvalidParameterValue", f"{statistic} is no statistic")
    return round(min(value, 100.0) if metric == "CPUUtilization" and statistic != "Sum" else value, 4)


def _caller(account: str) -> str:
    return f"arn:aws:iam::{account}:user/fake"


def _query(operation: str, body: str) -> bytes:
    return (
        f"<{operation}Response><{operation}Result>{body}</{operation}Result>"
        f"<ResponseMetadata><RequestId>fake</RequestId></ResponseMetadata></{operation}Response>"
    ).encode()


def _ec2(operation: str, body: bytes) -> bytes:
    name = operation.encode()
    return (
        b'<%bResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>fake</requestId>%b</%bResponse>'
        % (
            name,
            body,
            name,
        )
    )
