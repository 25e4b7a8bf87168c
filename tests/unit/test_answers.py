"""Answers that are none, refusals that are answers, and messages that hold secrets."""

from __future__ import annotations

from typing import Any

import botocore.session
import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError
from botocore.parsers import ResponseParserError

from finops_policy import aws
from finops_policy.answers import FailedCalls, refuse_unreadable
from finops_policy.failures import absent_service, explain, tells_something
from finops_policy.model import FailureKind

SESSION = botocore.session.get_session()


def operation(service: str, name: str) -> Any:
    return SESSION.get_service_model(service).operation_model(name)


def refused(code: str, status: int = 400, message: str = "no") -> ClientError:
    said = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(said, "DescribeThings")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("service", "name", "body"),
    [
        ("ec2", "DescribeVolumes", b"<html><body>proxy</body></html>"),
        ("ec2", "DescribeVolumes", b'<?xml version="1.0"?>\n<!-- x -->\n<Error/>'),
        ("rds", "DescribeDBInstances", b"<Other/>"),
        ("s3", "ListBuckets", b"<!DOCTYPE html>\n<HTML/>"),
        ("s3", "ListBuckets", b""),
        ("dynamodb", "ListTables", b'{"TableNames": ["a", '),
        ("dynamodb", "ListTables", b'{"message": "proxy says hi"}'),
        ("dynamodb", "ListTables", b"[]"),
        ("dynamodb", "ListTables", b"null"),
        ("lambda", "ListFunctions", b""),
        ("pinpoint", "GetApps", b'{"Item": ['),
    ],
)
def test_what_is_no_answer_is_refused(service: str, name: str, body: bytes) -> None:
    with pytest.raises(ResponseParserError, match=f"{name} was answered with"):
        refuse_unreadable(operation(service, name), {"status_code": 200, "body": body})


@pytest.mark.parametrize(
    ("service", "name", "body"),
    [
        ("ec2", "DescribeVolumes", b'<?xml version="1.0" encoding="UTF-8"?>\n<DescribeVolumesResponse/>'),
        ("rds", "DescribeDBInstances", b'<DescribeDBInstancesResponse xmlns="http://x"/>'),
        ("s3", "ListBuckets", b"<ListAllMyBucketsResult/>"),
        ("s3", "GetBucketLocation", b'<LocationConstraint xmlns="http://x"/>'),
        ("s3", "GetBucketPolicy", b'{"Version": "2012-10-17"}'),
        ("s3", "HeadBucket", b""),
        ("s3", "GetObject", b"anything"),
        ("dynamodb", "ListTables", b"{}"),
        ("kinesis", "SubscribeToShard", b"\0\0"),
        ("dynamodb", "TagResource", b""),
    ],
)
def test_what_is_an_answer_passes(service: str, name: str, body: bytes) -> None:
    refuse_unreadable(operation(service, name), {"status_code": 200, "body": body})


def test_an_error_is_read_as_one() -> None:
    refuse_unreadable(operation("ec2", "DescribeVolumes"), {"status_code": 503, "body": b"<html/>"})


@pytest.mark.parametrize(
    "code", ["NoSuchBucketPolicy", "ServerSideEncryptionConfigurationNotFoundError", "ResourceNotFoundException"]
)
def test_that_there_is_nothing_is_an_answer(code: str) -> None:
    assert tells_something(refused(code))
    assert tells_something(refused("404", 404))


@pytest.mark.parametrize("code", ["AccessDenied", "ForbiddenException", "DecryptionFailure", "Whatever", "Throttling"])
def test_any_other_refusal_is_a_failure(code: str) -> None:
    assert not tells_something(refused(code))


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (refused("ThrottledException"), FailureKind.THROTTLED),
        (refused("Unheard", 429), FailureKind.THROTTLED),
        (refused("RequestTimeout"), FailureKind.TIMEOUT),
        (refused("Unheard", 503), FailureKind.TIMEOUT),
        (refused("Unheard", 403), FailureKind.OWN_PERMISSION),
        (refused("ForbiddenException", 403), FailureKind.OWN_PERMISSION),
        (refused("RequestTimeTooSkewed", 403), FailureKind.CREDENTIALS),
        (refused("Unheard"), FailureKind.BUG),
    ],
)
def test_codes_have_their_kind(error: ClientError, kind: FailureKind) -> None:
    assert explain(error).kind is kind


@pytest.mark.parametrize("code", ["SignatureDoesNotMatch", "InvalidSignatureException", "IncompleteSignature"])
def test_a_refused_signature_does_not_tell_the_session_token(code: str) -> None:
    failure = explain(refused(code, 403, "canonical string: x-amz-security-token:HUSH host;x-amz-date"))
    assert failure.kind is FailureKind.CREDENTIALS
    assert "HUSH" not in repr(failure)


def test_only_an_endpoint_that_is_not_reached_may_be_absent() -> None:
    url = "https://lightsail.me-south-1.amazonaws.com/"
    assert explain(EndpointConnectionError(endpoint_url=url)).absent
    assert not explain(ReadTimeoutError(endpoint_url=url)).absent


@pytest.mark.parametrize("service", ["health", "account", "organizations", "shield", "support", "ce"])
def test_services_that_live_in_one_region_are_never_absent(service: str) -> None:
    assert absent_service(f"https://{service}.us-east-1.amazonaws.com/") == ""


def failed(calls: FailedCalls, number: int, error: Exception) -> None:
    context: dict[str, Any] = {}
    params = {"headers": {}, "method": "POST", "url": "u", "query_string": "", "body": str(number), "context": context}
    calls._asked(params, context)
    calls._broken(error, context)


def test_the_oldest_failure_since_a_moment_is_found() -> None:
    calls = FailedCalls()
    errors = [refused(f"Code{number}") for number in range(5)]
    for number, error in enumerate(errors):
        failed(calls, number, error)
    assert [calls.first_since(count) for count in range(6)] == [*errors, None]
    failed(calls, 0, again := refused("Again"))
    assert calls.first_since(0) is errors[1]
    assert calls.first_since(5) is again


def test_a_call_that_was_repeated_with_success_has_not_failed() -> None:
    session = aws.session("us-east-1", aws.Credentials("a", "b", "c"))
    answers = iter([refused("Throttling"), {"Account": "1"}])

    def answer(**_event: Any) -> Any:
        found = next(answers)
        status = 400 if isinstance(found, ClientError) else 200
        parsed = found.response if isinstance(found, ClientError) else found
        return AWSResponse("https://x.invalid", status, {}, None), parsed

    session.events.register("before-call", answer)
    client = session.client("sts")
    with pytest.raises(ClientError):
        client.get_caller_identity()
    assert isinstance(session.failed_calls.first_since(0), ClientError)
    client.get_caller_identity()
    assert session.failed_calls.first_since(0) is None
