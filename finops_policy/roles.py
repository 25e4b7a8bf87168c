"""Enters accounts: one AssumeRole per account and run, renewed before it ends, and one per chained role for them all.

Sessions last an hour, the default of AWS and the most that role chaining allows. STS is asked at the regional endpoint
of a region the account uses, whose sessions are valid in every region; one that AWS enables for everybody, as the
caller's own account must have it enabled too.
"""

from __future__ import annotations

import datetime as dt
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from finops_policy import aws
from finops_policy.customer import Account, Customer, Role
from finops_policy.failures import Failure, call_errors, explain
from finops_policy.model import FailureKind

MARGIN: Final = dt.timedelta(minutes=5)
"""How long a chained role's session must still last when the next role is assumed with it."""
ALWAYS_ENABLED: Final = re.compile(
    r"ap-(northeast-[123]|south-1|southeast-[12])|ca-central-1|eu-(central-1|north-1|west-[123])|sa-east-1"
    r"|us-(east|west)-[12]|us-gov-(east|west)-1|cn-(north|northwest)-1"
)
"""Regions without opt-in. Closed: every region opened since March 2019 is opt-in."""


@dataclass(frozen=True, slots=True)
class _Hop:
    """One AssumeRole. ``account_id`` is the account it must lead to."""

    arn: str
    account_id: str
    session_name: str
    external_id: str = ""
    tags: tuple[tuple[str, str], ...] = ()


_Chain = tuple[_Hop, ...]


@dataclass(slots=True)
class _Kept:
    """What became of a chain. One thread assumes it, under the lock, while the others wait for the answer."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    found: aws.Credentials | Failure | None = None
    life: dt.timedelta = dt.timedelta()


class Roles:
    """Credentials for a customer's accounts. Threads may share it."""

    def __init__(
        self,
        customer: Customer,
        caller: aws.Identity,
        clock: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        self._customer = customer
        self._caller = caller
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[_Chain, _Kept] = {}
        self._sessions: dict[_Chain, tuple[aws.Credentials | None, Any]] = {}

    def enter(self, account: Account, valid_for: dt.timedelta) -> aws.Credentials | Failure | None:
        """Credentials for an account; None where there is no role: the caller's own serve.

        They last ``valid_for``, or nine tenths of a session where that is shorter: a longer wish would assume the role
        anew each time. A role that cannot be assumed is not asked for again in this run.
        """
        role = self._customer.role_of(account)
        if role is None:
            return _unless_same(account.id, self._caller.arn, self._caller.account_id)
        return self._assumed(self._chain(account, role), self._region(account), valid_for)

    def _chain(self, account: Account, role: Role) -> _Chain:
        before = (_Hop(arn, arn.split(":")[4], role.session_name) for arn in role.via)
        arn = role.arn(self._customer.partition, account.id)
        own = _Hop(arn, account.id, role.session_name, role.external_id, tuple(sorted(role.session_tags.items())))
        return (*before, own)

    def _region(self, account: Account) -> str:
        return next(
            (region for region in account.regions if ALWAYS_ENABLED.fullmatch(region)), self._customer.home_region
        )

    def _assumed(self, chain: _Chain, region: str, valid_for: dt.timedelta) -> aws.Credentials | Failure:
        with self._lock:
            kept = self._kept.setdefault(chain, _Kept())
        with kept.lock:
            if isinstance(kept.found, Failure):
                return kept.found
            left = self._left(kept.found)
            if kept.found is not None and left >= min(valid_for, kept.life * 9 / 10):
                return kept.found
            renewed = self._assume(chain, region)
            if isinstance(renewed, Failure) and kept.found is not None and left > dt.timedelta():
                return kept.found
            kept.found = renewed
            if not isinstance(renewed, Failure):
                kept.life = self._left(renewed)
            return renewed

    def _left(self, credentials: aws.Credentials | None) -> dt.timedelta:
        if credentials is None or credentials.expires_at is None:
            return dt.timedelta()
        return credentials.expires_at - self._clock()

    def _assume(self, chain: _Chain, region: str) -> aws.Credentials | Failure:
        *before, hop = chain
        credentials = self._assumed(tuple(before), self._customer.home_region, MARGIN) if before else None
        if isinstance(credentials, Failure):
            return credentials
        asked: dict[str, Any] = {"RoleArn": hop.arn, "RoleSessionName": hop.session_name}
        if hop.external_id:
            asked["ExternalId"] = hop.external_id
        if hop.tags:
            asked["Tags"] = [{"Key": key, "Value": value} for key, value in hop.tags]
        try:
            client = self._session(tuple(before), credentials).client("sts", region_name=region)
            answer = client.assume_role(**asked)
        except call_errors() as error:
            return explain(error)
        arn = answer["AssumedRoleUser"]["Arn"]
        keys = answer["Credentials"]
        return _unless_same(hop.account_id, arn, arn.split(":")[4]) or aws.Credentials(
            keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"], keys["Expiration"]
        )

    def _session(self, chain: _Chain, credentials: aws.Credentials | None) -> Any:
        """The session that a chain's next role is assumed with, kept for its clients while the credentials last."""
        with self._lock:
            of, session = self._sessions.get(chain, (None, None))
            if session is None or of != credentials:
                session = aws.session(self._customer.home_region, credentials)
                self._sessions[chain] = (credentials, session)
            return session


def _unless_same(account_id: str, arn: str, found: str) -> Failure | None:
    if found == account_id:
        return None
    return Failure(
        FailureKind.CREDENTIALS,
        f"asked for account {account_id}, but AWS says {arn} is in account {found}",
        "Correct the account id or the role in customer.yaml.",
    )
