"""What AWS's errors mean: the kind of a failure, its message, and the next step.

botocore's region table tells a service that a region does not have from a network that does not carry; a table that is
older than the service is only asked once the endpoint could not be reached.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from finops_policy.model import FailureKind

DENIED_CODES = {
    "AccessDenied",
    "AccessDeniedException",
    "AccessDeniedFault",
    "AllAccessDisabled",
    "AuthorizationError",
    "Client.UnauthorizedOperation",
    "ForbiddenException",
    "InsufficientPrivilegesException",
    "KMSAccessDeniedException",
    "NotAuthorized",
    "NotAuthorizedException",
    "OperationNotPermittedException",
    "UnauthorizedAccess",
    "UnauthorizedException",
    "UnauthorizedOperation",
}
SIGNATURE_CODES = {"IncompleteSignature", "InvalidSignatureException", "SignatureDoesNotMatch"}
"""AWS repeats the request it saw in their messages, session token included."""
CREDENTIAL_CODES = SIGNATURE_CODES | {
    "AuthFailure",
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidToken",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "RequestExpired",
    "RequestTimeTooSkewed",
    "UnrecognizedClientException",
}
THROTTLE_CODES = {
    "BandwidthLimitExceeded",
    "EC2ThrottledException",
    "LimitExceededException",
    "PriorRequestNotComplete",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "ServiceUnavailable",
    "SlowDown",
    "ThrottledException",
    "Throttling",
    "ThrottlingException",
    "TransactionInProgressException",
    "TooManyRequestsException",
}
TIMEOUT_CODES = {
    "InternalError",
    "InternalFailure",
    "InternalServiceError",
    "RequestTimeout",
    "RequestTimeoutException",
}
NOT_AUTHORIZED = re.compile(r"not authorized to perform:? (?P<action>[a-z0-9-]+:[A-Za-z0-9*]+)")
RESOURCE_POLICY = re.compile(
    r"(resource-based|VPC endpoint|service control|resource control|session) policy|permissions boundary"
)
NOTHING_THERE = re.compile(r"NoSuch|NotFound|DoesNotExist|NotExist|NonExistent")
REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d")


@dataclass(frozen=True, slots=True)
class Failure:
    """Why AWS could not be asked, and what to do about it. ``absent``: by AWS's own table there is nothing to ask."""

    kind: FailureKind
    message: str
    next_step: str
    absent: bool = False


class OutOfTimeError(BaseException):
    """A target's time budget is used up. No ``Exception``: c7n swallows those in places, and would go on."""


def call_errors() -> tuple[type[Exception], ...]:
    """What a call to AWS may raise: refusals, and everything that went wrong on the way."""
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    return (BotoCoreError, ClientError, ResponseParserError)


def explain(error: BaseException) -> Failure:
    """Names the kind of a failure, its message, and the next step; anything unknown is a bug and says so."""
    from botocore import exceptions as botocore_errors
    from botocore.parsers import ResponseParserError, XMLParseError

    message = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, botocore_errors.ClientError):
        return _explain_answer(error, message)
    if isinstance(
        error,
        botocore_errors.NoCredentialsError
        | botocore_errors.PartialCredentialsError
        | botocore_errors.CredentialRetrievalError
        | botocore_errors.SSOError
        | botocore_errors.TokenRetrievalError
        | botocore_errors.ProfileNotFound,
    ):
        step = "Sign in (for example `aws sso login`), or set AWS_PROFILE; `aws sts get-caller-identity` must work."
        return Failure(FailureKind.CREDENTIALS, message, step)
    if isinstance(error, OutOfTimeError):
        return Failure(FailureKind.TIMEOUT, message, "Run again with a longer --target-timeout.")
    if isinstance(error, botocore_errors.EndpointConnectionError) and (
        absent := absent_service(str(error.kwargs.get("endpoint_url") or ""))
    ):
        return Failure(FailureKind.SERVICE_ABSENT, absent, "Nothing: no such resource can be there.", absent=True)
    if isinstance(error, botocore_errors.HTTPClientError | botocore_errors.ConnectionError):
        step = "Check the network path (proxy, DNS, firewall); if it stays slow, AWS's health; then run again."
        return Failure(FailureKind.TIMEOUT, message, step)
    if isinstance(error, TimeoutError):
        return Failure(FailureKind.TIMEOUT, message, "Run again; if it stays slow, check the network and AWS's health.")
    if isinstance(error, ResponseParserError | XMLParseError):
        step = "The answer was cut short or is not AWS's: check proxies on the way, and run again."
        why = message.partition(" Further retries")[0]  # what follows is the answer itself, credentials included
        return Failure(FailureKind.TIMEOUT, f"the answer cannot be read: {why}"[:500], step)
    if isinstance(error, botocore_errors.PaginationError):
        return Failure(FailureKind.TIMEOUT, message, "AWS failed to answer: check its health, and run again.")
    return Failure(FailureKind.BUG, f"{type(error).__name__}: {message}", "Report it with the output of -vv.")


def _explain_answer(error: Any, message: str) -> Failure:
    answer: Mapping[str, str] = error.response.get("Error", {})
    code, said = answer.get("Code", ""), answer.get("Message", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in SIGNATURE_CODES:
        message = f"{code}: the request's signature is not the one AWS computes"
    if code in DENIED_CODES:
        return _explain_denial(said, message, error.operation_name)
    if code in CREDENTIAL_CODES:
        return Failure(FailureKind.CREDENTIALS, message, "Renew the credentials and run again.")
    if code in THROTTLE_CODES or status == 429:
        return Failure(FailureKind.THROTTLED, message, "Run again, with fewer --workers.")
    if code in ("OptInRequired", "RegionDisabledException", "SubscriptionRequiredException"):
        return Failure(FailureKind.SERVICE_ABSENT, message, "Enable the service or region, or leave it out.")
    if code in TIMEOUT_CODES or status >= 500:
        return Failure(FailureKind.TIMEOUT, message, "AWS failed to answer: check its health, and run again.")
    if code.isdigit():  # the HTTP status, where botocore could not read the error itself
        step = "The answer was cut short or is not AWS's: check proxies on the way, and run again."
        return Failure(FailureKind.TIMEOUT, message, step)
    if status in (401, 403):
        return _explain_denial(said, message, error.operation_name)
    return Failure(FailureKind.BUG, message, "AWS answered with another error: see the message, and run again.")


def _explain_denial(said: str, message: str, operation: str) -> Failure:
    action = NOT_AUTHORIZED.search(said)
    if action and action["action"] == "sts:AssumeRole":
        step = (
            "Let the caller assume the role (sts:AssumeRole), and let the role's trust policy name the caller "
            "and its external id."
        )
        return Failure(FailureKind.OWN_PERMISSION, message, step)
    if found := RESOURCE_POLICY.search(said):
        step = f"A {found[0]} denies it: ask its owner to allow {action['action'] if action else 'the call'}."
        return Failure(FailureKind.RESOURCE_POLICY, message, step)
    allow = action["action"] if action else f"the call {operation} (AWS did not name the action)"
    return Failure(FailureKind.OWN_PERMISSION, message, f"Allow {allow} in the role's policy.")


def tells_something(error: Any) -> bool:
    """Whether a refusal (a ``ClientError``) is an answer: that there is no such bucket policy, tag set, and so on."""
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status == 404 or bool(NOTHING_THERE.search(error.response.get("Error", {}).get("Code", "")))


def absent_service(url: str) -> str:
    """A sentence when botocore's region table knows the endpoint's service as a regional one, and not in the endpoint's
    region. Services that AWS runs in one place for all regions are never called absent: the table says little of them.
    """
    labels = (urlsplit(url).hostname or "").split(".")
    place = next((index for index, label in enumerate(labels) if REGION.fullmatch(label)), None)
    if not place:
        return ""
    service, region = ".".join(labels[:place]), labels[place]
    known = _regions(service)
    if not known or region in known or region not in known_regions():
        return ""
    from botocore import __version__

    return f"{service} is not offered in {region}, says the region table of botocore {__version__}"


@cache
def known_regions() -> frozenset[str]:
    """The regions of all partitions that botocore's table has. AWS may have newer ones: of those it says nothing."""
    return frozenset(region for partition in _partitions() for region in partition["regions"])


@cache
def _regions(service: str) -> frozenset[str]:
    """The regions, of all partitions, that have a service by its endpoint's name; none where the table is not clear."""
    found: set[str] = set()
    for partition in _partitions():
        entry = partition["services"].get(service, {})
        endpoints = entry.get("endpoints", {})
        if "partitionEndpoint" in entry or any(name.endswith("-global") for name in endpoints):
            return frozenset()
        found |= {each.get("credentialScope", {}).get("region", name) for name, each in endpoints.items()}
        found |= set(endpoints)
    return frozenset(found)


def _partitions() -> list[dict[str, Any]]:
    import botocore.session

    table = botocore.session.get_session().get_component("data_loader").load_data("endpoints")
    found: list[dict[str, Any]] = table["partitions"]
    return found
