"""Sessions and identities.

One session per target keeps its clients: building a client costs more than most calls. Retries are botocore's own
(standard mode: backoff with jitter); a session with a deadline sends nothing after it.
"""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from finops_policy import wire
from finops_policy.answers import FailedCalls, WholeAnswers, refuse_unreadable
from finops_policy.errors import CredentialsError
from finops_policy.failures import Failure, OutOfTimeError, call_errors, explain

__all__ = ["Calls", "Credentials", "Deadline", "Failure", "Identity", "call_errors", "caller", "explain", "identity"]

CONNECT_SECONDS, READ_SECONDS = 10, 60
ATTEMPTS = 8
"""How often a request is sent before it has failed, unless AWS_MAX_ATTEMPTS or the shared configuration says."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Keys of a session; the secret parts never show in a representation. ``expires_at``: None when they do not."""

    access_key: str
    secret_key: str = field(repr=False)
    token: str = field(repr=False)
    expires_at: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """Who AWS says we are."""

    account_id: str
    arn: str


class Calls:
    """Counts the requests a session sends, retries included, as ``service:Operation``. Threads may share it."""

    def __init__(self) -> None:
        self.by_operation: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __call__(self, event_name: str, **_event: Any) -> None:
        _, service, operation = event_name.split(".", 2)
        with self._lock:
            self.by_operation[f"{service}:{operation}"] += 1

    @property
    def count(self) -> int:
        return self.by_operation.total()


class Deadline:
    """The moment after which a session sends nothing any more."""

    def __init__(self, seconds: float) -> None:
        self.message = f"not done within its {seconds:g} seconds"
        self._ends = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds; 0 when it has passed."""
        return max(0.0, self._ends - time.monotonic())

    def check(self, **_event: Any) -> None:
        """Raises :class:`OutOfTimeError` once the deadline has passed."""
        if not self.left:
            raise OutOfTimeError(self.message)


def session(
    region: str, credentials: Credentials | None = None, calls: Calls | None = None, deadline: Deadline | None = None
) -> Any:
    """A boto3 session that keeps its clients; without ``credentials`` the default chain serves."""
    import boto3
    import botocore.session
    from botocore.config import Config

    class KeepingSession(boto3.Session):  # type: ignore[misc] # boto3 has no types
        def __init__(self, **settings: Any) -> None:
            super().__init__(**settings)
            self._kept: dict[tuple[str, str], Any] = {}
            self._making = threading.Lock()
            self.failed_calls = FailedCalls()
            self.failed_calls.watch(core)

        def client(self, service_name: str, *args: Any, **settings: Any) -> Any:
            if args or set(settings) - {"region_name"}:
                return self._make(service_name, *args, **settings)
            key = (service_name, settings.get("region_name") or region)
            with self._making:  # making clients is not thread-safe
                if key not in self._kept:
                    self._kept[key] = self._make(service_name, region_name=key[1])
            return self._kept[key]

        def _make(self, *args: Any, **settings: Any) -> Any:
            made = super().client(*args, **settings)
            endpoint = made._endpoint  # botocore offers no other way to what sends its requests
            endpoint.http_session = WholeAnswers(endpoint.http_session)
            return made

    core = botocore.session.get_session()
    wire.tune(core)
    retries: dict[str, Any] = {"mode": "standard"}
    if core.get_config_variable("max_attempts") is None:
        retries["total_max_attempts"] = ATTEMPTS
    core.set_default_client_config(Config(retries=retries, connect_timeout=CONNECT_SECONDS, read_timeout=READ_SECONDS))
    core.register("before-parse", refuse_unreadable)
    if calls is not None:
        core.register("before-send", calls)
    if deadline is not None:
        core.register("before-send", deadline.check)
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


@contextmanager
def threads(count: int) -> Iterator[ThreadPoolExecutor]:
    """Threads for calls to AWS. When left, nobody waits for a call that hangs."""
    pool = ThreadPoolExecutor(count)
    try:
        yield pool
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
