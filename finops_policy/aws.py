"""Sessions, identities, assumed roles, and what AWS's errors mean.

One session per target keeps its clients: building a client costs more than most calls. Credentials of an assumed role
last an hour and are passed to workers as values; refreshing them is not done here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from finops_policy.errors import CredentialsError
from finops_policy.model import FailureKind

ROLE_SESSION_NAME = "finops-policy"
DENIED_CODES = {
    "AccessDenied",
    "AccessDeniedException",
    "AuthorizationError",
    "UnauthorizedOperation",
    "UnauthorizedAccess",
    "Client.UnauthorizedOperation",
}
CREDENTIAL_CODES = {
    "AuthFailure",
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidToken",
    "RequestExpired",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}
THROTTLE_CODES = {
    "BandwidthLimitExceeded",
    "LimitExceededException",
    "PriorRequestNotComplete",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "ServiceUnavailable",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
}
NOT_AUTHORIZED = re.compile(r"not authorized to perform:? (?P<action>[a-z0-9-]+:[A-Za-z0-9*]+)")
RESOURCE_POLICY = re.compile(
    r"(resource-based|VPC endpoint|service control|resource control|session) policy|permissions boundary"
)


@dataclass(frozen=True, slots=True)
class Credentials:
    """Keys of a session; the secret parts never show in a representation."""

    access_key: str
    secret_key: str = field(repr=False)
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why AWS could not be asked, and what to do about it."""

    kind: FailureKind
    message: str
    next_step: str


@dataclass(frozen=True, slots=True)
class Identity:
    """Who AWS says we are."""

    account_id: str
    arn: str


class Calls:
    """Counts the requests a session sends."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, **_event: Any) -> None:
        self.count += 1


def session(region: str, credentials: Credentials | None = None, calls: Calls | None = None) -> Any:
    """A boto3 session that keeps its clients; without ``credentials`` the default chain serves."""
    import boto3
    import botocore.session
    from botocore.config import Config

    class KeepingSession(boto3.Session):  # type: ignore[misc] # boto3 has no types
        def __init__(self, **settings: Any) -> None:
            super().__init__(**settings)
            self._kept: dict[tuple[str, str], Any] = {}

        def client(self, service_name: str, *args: Any, **settings: Any) -> Any:
            if args or set(settings) - {"region_name"}:
                return super().client(service_name, *args, **settings)
            key = (service_name, settings.get("region_name") or region)
            if key not in self._kept:
                self._kept[key] = super().client(service_name, region_name=key[1])
            return self._kept[key]

    core = botocore.session.get_session()
    # The number of attempts is left to AWS_MAX_ATTEMPTS and the shared configuration; botocore's default is 3.
    core.set_default_client_config(Config(retries={"mode": "standard"}, connect_timeout=10, read_timeout=60))
    if calls is not None:
        core.register("before-send", calls)
    keys = (
        {
            "aws_access_key_id": credentials.access_key,
            "aws_secret_access_key": credentials.secret_key,
            "aws_session_token": credentials.token,
        }
        if credentials
        else {}
    )
    return KeepingSession(botocore_session=core, region_name=region, **keys)


def identity(of: Any) -> Identity:
    """Asks STS who a session is; raises botocore's errors as they are, for :func:`explain`."""
    answer = of.client("sts").get_caller_identity()
    return Identity(answer.get("Account", ""), answer.get("Arn", ""))


def caller(region: str) -> Identity:
    """Who runs this, by the default credential chain. Raises :class:`CredentialsError` when AWS does not know."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return identity(session(region))
    except (BotoCoreError, ClientError) as error:
        failure = explain(error)
        raise CredentialsError(f"AWS does not say who is calling: {failure.message}", hint=failure.next_step) from error


def assume(of: Any, role_arn: str, external_id: str) -> Credentials:
    """Assumes a role; raises botocore's errors as they are, for :func:`explain`."""
    settings = {"ExternalId": external_id} if external_id else {}
    answer = of.client("sts").assume_role(RoleArn=role_arn, RoleSessionName=ROLE_SESSION_NAME, **settings)
    keys = answer["Credentials"]
    return Credentials(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])


def call_errors() -> tuple[type[Exception], ...]:
    """What a call to AWS may raise: refusals, and everything that went wrong on the way."""
    from botocore.exceptions import BotoCoreError, ClientError

    return (BotoCoreError, ClientError)


def explain(error: BaseException) -> Failure:
    """Names the kind of a failure, its message, and the next step; anything unknown is a bug and says so."""
    from botocore import exceptions as botocore_errors

    message = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, botocore_errors.ClientError):
        return _explain_answer(error.response.get("Error", {}), message)
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
    if isinstance(error, botocore_errors.ConnectTimeoutError | botocore_errors.ReadTimeoutError | TimeoutError):
        return Failure(FailureKind.TIMEOUT, message, "Run again; if it stays slow, check the network and AWS's health.")
    if isinstance(error, botocore_errors.HTTPClientError | botocore_errors.ConnectionError):
        step = "Check the network path (proxy, DNS, firewall), and that the region has the service; then run again."
        return Failure(FailureKind.TIMEOUT, message, step)
    return Failure(FailureKind.BUG, f"{type(error).__name__}: {message}", "Report it with the output of -vv.")


def _explain_answer(answer: Mapping[str, str], message: str) -> Failure:
    code, said = answer.get("Code", ""), answer.get("Message", "")
    if code == "SignatureDoesNotMatch":
        # AWS repeats the request it saw, session token included.
        message = f"{code}: the request's signature is not the one AWS computes"
    if code in DENIED_CODES:
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
        allow = action["action"] if action else "the call named in the message"
        return Failure(FailureKind.OWN_PERMISSION, message, f"Allow {allow} in the role's policy.")
    if code in CREDENTIAL_CODES:
        return Failure(FailureKind.CREDENTIALS, message, "Renew the credentials and run again.")
    if code in THROTTLE_CODES:
        return Failure(FailureKind.THROTTLED, message, "Run again, with fewer accounts at once.")
    if code in ("OptInRequired", "SubscriptionRequiredException"):
        return Failure(FailureKind.SERVICE_ABSENT, message, "Enable the service or region, or leave it out.")
    return Failure(FailureKind.BUG, message, "AWS answered with another error: see the message, and run again.")
