"""What CloudWatch keeps, sends and answers, for the rules on ``metrics`` filters.

The figures are from AWS's documentation; each table names the page. What is not in a table is not judged.
"""

from __future__ import annotations

import datetime as dt
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from finops_policy.lint.subject import LintedPolicy, Use
from finops_policy.lint.values import EQUAL, GREATER, LESS

DAY: Final = 86_400
MOST_POINTS: Final = 1_440
HIGH_RESOLUTION: Final = (1, 5, 10, 20, 30)
"""Periods under a minute, in seconds."""
KEPT: Final = ((63, 3_600, "an hour"), (15, 300, "five minutes"), (0.125, 60, "a minute"))
"""Days back from which on CloudWatch answers only for periods that are a multiple of so many seconds. These, and the
two above: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricStatistics.html"""

_COUNT = frozenset({"Sum", "SampleCount"})
_SUM = frozenset({"Sum"})
_AVERAGE = frozenset({"Average"})
_GAUGE = frozenset({"Average", "Maximum", "Minimum"})
USEFUL: Final[Mapping[str, Mapping[str, frozenset[str]]]] = {
    # https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-metrics-and-dimensions.html
    # "The SampleCount statistic represents this metric": each request sends 1.
    "AWS/ApiGateway": {"Count": _COUNT},
    # https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-cloudwatch-metrics.html
    # "The most useful", or "the only meaningful, statistic is Sum"; of many "Minimum, Maximum, and Average all return
    # 1".
    "AWS/ApplicationELB": dict.fromkeys(
        (
            "ActiveConnectionCount", "ClientTLSNegotiationErrorCount", "GrpcRequestCount", "HTTPCode_ELB_3XX_Count",
            "HTTPCode_ELB_4XX_Count", "HTTPCode_ELB_500_Count", "HTTPCode_ELB_502_Count", "HTTPCode_ELB_503_Count",
            "HTTPCode_ELB_504_Count", "HTTPCode_ELB_5XX_Count", "HTTP_Fixed_Response_Count", "HTTP_Redirect_Count",
            "HTTP_Redirect_Url_Limit_Exceeded_Count", "IPv6ProcessedBytes", "IPv6RequestCount", "NewConnectionCount",
            "ProcessedBytes", "RejectedConnectionCount", "RequestCount", "RuleEvaluations",
        ),
        _COUNT,
    ),
    # https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/programming-cloudwatch-metrics.html
    # "Only one statistic, Average or Sum, is applicable for each metric."
    "AWS/CloudFront": {
        **dict.fromkeys(("BytesDownloaded", "BytesUploaded", "Requests"), _SUM),
        **dict.fromkeys(("4xxErrorRate", "5xxErrorRate", "TotalErrorRate"), _AVERAGE),
    },
    # https://docs.aws.amazon.com/elasticloadbalancing/latest/classic/elb-cloudwatch-metrics.html
    # "The most useful statistic is Sum. Note that Minimum, Maximum, and Average all return 1", or are "reported per
    # load balancer node and are not typically useful"; of SurgeQueueLength, "Sum is not useful".
    "AWS/ELB": {
        **dict.fromkeys(
            (
                "BackendConnectionErrors", "HTTPCode_Backend_2XX", "HTTPCode_Backend_3XX", "HTTPCode_Backend_4XX",
                "HTTPCode_Backend_5XX", "HTTPCode_ELB_4XX", "HTTPCode_ELB_5XX", "RequestCount", "SpilloverCount",
            ),
            _COUNT,
        ),
        "SurgeQueueLength": _GAUGE,
    },
    # https://docs.aws.amazon.com/elasticloadbalancing/latest/network/load-balancer-cloudwatch-metrics.html and
    # https://docs.aws.amazon.com/elasticloadbalancing/latest/gateway/cloudwatch-metrics.html
    # "The most useful statistics are Average, Maximum, and Minimum": a count of what is open at a moment.
    **{name: {"ActiveFlowCount": _GAUGE} for name in ("AWS/GatewayELB", "AWS/NetworkELB")},
    # https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
    # "View these metrics with the Sum statistic." Averages of the others are rates; of Invocations it is always 1.
    "AWS/Lambda": {"Invocations": _COUNT},
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CloudWatch-Logs-Monitoring-CloudWatch-Metrics.html
    # "Valid Statistic: Sum"
    "AWS/Logs": dict.fromkeys(
        (
            "DeliveryErrors", "DeliveryThrottling", "ForwardedBytes", "ForwardedLogEvents", "IncomingBytes",
            "IncomingLogEvents",
        ),
        _SUM,
    ),
    # https://docs.aws.amazon.com/vpc/latest/userguide/metrics-dimensions-nat-gateway.html
    # "The most useful statistic is Max": a count of what is open at a moment, so that a sum counts one many times.
    "AWS/NATGateway": {"ActiveConnectionCount": _GAUGE},
    # https://docs.aws.amazon.com/AmazonS3/latest/userguide/metrics-dimensions.html
    # "Valid statistics: Average"
    "AWS/S3": dict.fromkeys(("BucketSizeBytes", "NumberOfObjects"), _AVERAGE),
    # https://docs.aws.amazon.com/sns/latest/dg/sns-monitoring-using-cloudwatch.html
    # "Valid Statistics: Sum"
    "AWS/SNS": dict.fromkeys(("NumberOfMessagesPublished", "NumberOfNotificationsDelivered"), _SUM),
}  # fmt: skip
"""Namespace -> metric -> the statistics that say something."""

ALWAYS_SENT: Final[Mapping[str, frozenset[str]]] = {
    # https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/viewing_metrics_with_cloudwatch.html
    "AWS/EC2": frozenset({
        "CPUCreditBalance", "CPUCreditUsage", "CPUUtilization", "NetworkIn", "NetworkOut", "NetworkPacketsIn",
        "NetworkPacketsOut", "StatusCheckFailed", "StatusCheckFailed_Instance", "StatusCheckFailed_System",
    }),
    # https://docs.aws.amazon.com/AmazonElastiCache/latest/dg/CacheMetrics.html
    "AWS/ElastiCache": frozenset({"CPUUtilization", "CurrConnections", "CurrItems", "EngineCPUUtilization",
                                  "FreeableMemory", "NetworkBytesIn", "NetworkBytesOut", "NewConnections"}),
    # https://docs.aws.amazon.com/opensearch-service/latest/developerguide/managedomains-cloudwatchmetrics.html
    "AWS/ES": frozenset({"CPUUtilization", "ClusterUsedSpace", "FreeStorageSpace", "JVMMemoryPressure", "Nodes",
                         "SearchableDocuments"}),
    # https://docs.aws.amazon.com/vpc/latest/userguide/metrics-dimensions-nat-gateway.html
    "AWS/NATGateway": frozenset({
        "ActiveConnectionCount", "BytesInFromDestination", "BytesInFromSource", "BytesOutToDestination",
        "BytesOutToSource", "ConnectionAttemptCount", "ConnectionEstablishedCount", "PacketsInFromDestination",
        "PacketsInFromSource", "PacketsOutToDestination", "PacketsOutToSource",
    }),
    # https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-metrics.html
    "AWS/RDS": frozenset({
        "CPUCreditBalance", "CPUCreditUsage", "CPUUtilization", "DatabaseConnections", "FreeStorageSpace",
        "FreeableMemory", "NetworkReceiveThroughput", "NetworkTransmitThroughput", "ReadIOPS", "ReadThroughput",
        "SwapUsage", "WriteIOPS", "WriteThroughput",
    }),
    # https://docs.aws.amazon.com/redshift/latest/mgmt/metrics-listing.html
    "AWS/Redshift": frozenset({"CPUUtilization", "DatabaseConnections", "HealthStatus", "PercentageDiskSpaceUsed"}),
}  # fmt: skip
"""What AWS sends of whatever runs, used or not: no datapoints means that it did not run, and is no zero."""

CREATED: Final[Mapping[str, str]] = {
    "aws.apigwv2": "CreatedDate",
    "aws.app-elb": "CreatedTime",
    "aws.asg": "CreatedTime",
    "aws.cache-cluster": "CacheClusterCreateTime",
    "aws.client-vpn-endpoint": "CreationTime",
    "aws.cloudwatch-synthetics": "Timeline.Created",
    "aws.codebuild": "created",
    "aws.distribution": "LastModifiedTime",
    "aws.dynamodb-table": "CreationDateTime",
    "aws.ebs": "CreateTime",
    "aws.ec2": "LaunchTime",
    "aws.ecr": "createdAt",
    "aws.ecs-service": "createdAt",
    "aws.efs": "CreationTime",
    "aws.eks": "createdAt",
    "aws.elasticache-group": "ReplicationGroupCreateTime",
    "aws.elb": "CreatedTime",
    "aws.emr": "Status.Timeline.CreationDateTime",
    "aws.firehose": "CreateTimestamp",
    "aws.fsx": "CreationTime",
    "aws.kinesis": "StreamCreationTimestamp",
    "aws.kinesis-video": "CreationTime",
    "aws.lambda": "LastModified",
    "aws.log-group": "creationTime",
    "aws.message-broker": "Created",
    "aws.nat-gateway": "CreateTime",
    "aws.rds": "InstanceCreateTime",
    "aws.rds-cluster": "ClusterCreateTime",
    "aws.redshift": "ClusterCreateTime",
    "aws.rest-api": "createdDate",
    "aws.s3": "CreationDate",
    "aws.s3-directory": "CreationDate",
    "aws.sqs": "CreatedTimestamp",
    "aws.streaming-distribution": "LastModifiedTime",
    "aws.transit-attachment": "CreationTime",
    "aws.vpc-endpoint": "CreationTimestamp",
}
"""The date that is nearest to a resource's creation, of the types that have metrics and tell one. A test looks for each
in what AWS answers."""

_ZERO: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    **dict.fromkeys(EQUAL[1:], operator.eq),
    **dict.fromkeys(LESS[:2], operator.lt),
    **dict.fromkeys(LESS[2:], operator.le),
}


MOST_AGES: Final = 100
"""Filters on age that are looked at; with more, no policy is told that it has none."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A metrics filter as Cloud Custodian runs it, with its defaults. ``period`` counts seconds."""

    use: Use
    namespace: str
    name: str
    statistic: str
    days: float
    period: int
    op: str
    value: float

    @property
    def low(self) -> bool:
        """Whether it asks for little: zero would match."""
        return self.op in _ZERO and _ZERO[self.op](0, self.value)


def metrics(policy: LintedPolicy) -> Iterator[Metric]:
    """The metrics filters that can be judged, those inside of ``not`` left out: they ask for the opposite."""
    for use in policy.filters:
        if use.kind == "metrics" and "not" not in use.groups:
            metric = _metric(policy, use)
            if metric:
                yield metric


def _metric(policy: LintedPolicy, use: Use) -> Metric | None:
    data = use.data
    name, days, value = data.get("name"), data.get("days", 14), data.get("value")
    statistic, op = data.get("statistics", "Average"), data.get("op", "less-than")
    namespace = data.get("namespace") or _namespace(policy, use)
    if value is None or not (_is_number(days) and _is_number(value) and abs(days) < 10_000):
        return None
    period = data.get("period", dt.timedelta(days).total_seconds())
    if not _is_number(period) or not all(isinstance(each, str) for each in (name, statistic, op, namespace)):
        return None
    return Metric(use, namespace, str(name), statistic, days, int(period), op, value)


def _namespace(policy: LintedPolicy, use: Use) -> str:
    if policy.type is None:
        return ""
    if use.type == "shield-metrics":
        return "AWS/DDoSProtection"
    return policy.type.metrics_namespace


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


# --- ages -----------------------------------------------------------------------------------------------------------


def on_age(policy: LintedPolicy) -> list[Use]:
    """The filters that may ask for an age."""
    return [
        use
        for use in policy.filters
        if use.kind in ("age", "marked-for-op") or use.data.get("value_type") in ("age", "date")
    ]


def least_ages(policy: LintedPolicy, use: Use, aged: list[Use]) -> Iterator[float | None]:
    """Days that resources must be old to be matched together with ``use``, by the filters ``aged``; None where one asks
    for some age, and nobody here knows for which."""
    if len(aged) > MOST_AGES:
        yield None
    for other in aged[:MOST_AGES]:
        groups = _below(use, other)
        if groups == ("not",) and _alone(policy, other):
            yield from _age(other, LESS)
        elif groups is not None and all(group == "and" for group in groups):
            yield from _age(other, GREATER)


def _below(use: Use, other: Use) -> tuple[str, ...] | None:
    """The groups that only ``other`` is in, innermost last; None where the two are not parts of one "and"."""
    shared = 0
    while shared < min(len(use.steps), len(other.steps)) and use.steps[shared] == other.steps[shared]:
        shared += 1
    around = [step for step in use.steps[:shared] if isinstance(step, str)]
    if around and around[-1] in ("or", "not"):
        return None
    return tuple(str(step) for step in other.steps[shared:] if isinstance(step, str))


def _alone(policy: LintedPolicy, use: Use) -> bool:
    """Whether it is the only filter of its group."""
    around: Any = policy.document
    for step in use.steps[:-1]:
        around = around[step]
    return len(around) == 1


def _age(use: Use, direction: tuple[str, ...]) -> Iterator[float | None]:
    data = use.data
    if use.kind == "marked-for-op" and direction is GREATER:
        yield None  # it was marked some days ago
    elif use.kind == "age" and use.type != "image-age":
        if data.get("op", "greater-than") in direction:
            units = [data.get(unit, 0) for unit in ("days", "hours", "minutes")]
            known = all(map(_is_number, units))
            yield units[0] + units[1] / 24 + units[2] / 1440 if known else None
    elif use.type == "value" and data.get("value_type") == "age" and data.get("op") in direction:
        yield data["value"] if _is_number(data.get("value")) else None
    elif use.type == "value" and data.get("value_type") == "date":
        yield None
