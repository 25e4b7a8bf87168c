"""Trying until it is delivered, refused, or enough: backoff with jitter, the receiver's own wish to wait, and an end.

A receiver that asks to wait longer than :attr:`Patience.longest` is not asked again now; the digest is due the next
time. An attempt that does not end is given up after :attr:`Patience.attempt_seconds`; its thread is left to its own
time limits, so the receiver may still get it.
"""

from __future__ import annotations

import datetime as dt
import os
import queue
import random
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from finops_policy.channels import Channel, ChannelSetting, Variable
from finops_policy.notify.model import Attempt, RefusedError, Result, TryAgainError
from finops_policy.spelling import plain

SOCKET_SECONDS: Final = 15
"""How long a connection may be silent."""
_LONGEST_REASON: Final = 300
_SHORTEST_SECRET: Final = 4
"""Shorter ones would black out ordinary words."""


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


@dataclass(frozen=True, slots=True)
class Patience:
    """How often a digest is tried, and how long is waited: ``base`` seconds doubled each time up to ``longest``, of
    which at least half passes."""

    attempts: int = 4
    base: float = 1.0
    longest: float = 60.0
    attempt_seconds: float = 60.0
    sleep: Callable[[float], None] = time.sleep
    now: Callable[[], dt.datetime] = _now

    def pause(self, tried: int) -> float:
        return min(self.longest, self.base * 2.0 ** (tried - 1)) * random.uniform(0.5, 1)  # noqa: S311 - jitter


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it ended: the receipt, or the reason of the last attempt. ``given_up``: it might have worked later."""

    result: Result
    receipt: str
    attempts: tuple[Attempt, ...]
    given_up: bool = False

    @property
    def reason(self) -> str:
        return self.attempts[-1].reason if self.attempts else ""


def deliver(send: Callable[[], str], patience: Patience, secrets: Iterable[str] = ()) -> Outcome:
    """Calls ``send`` until it answers with a receipt; it raises :class:`TryAgainError` or :class:`RefusedError`.

    Whatever else it raises is told as what it is, and is final. No reason holds one of ``secrets``.
    """
    hidden = sorted((each for each in secrets if len(each) >= _SHORTEST_SECRET), key=len, reverse=True)
    attempts: list[Attempt] = []
    while True:
        at = patience.now()
        try:
            receipt = _within(patience.attempt_seconds, send)
        except TryAgainError as error:
            attempts.append(Attempt(at, Result.FAILED, _reason(error, hidden)))
            pause = patience.pause(len(attempts)) if error.after is None else error.after
            if len(attempts) >= patience.attempts or pause > patience.longest:
                return Outcome(Result.FAILED, "", tuple(attempts), given_up=True)
            patience.sleep(pause)
        except Exception as error:  # noqa: BLE001 - the boundary of a channel: one that breaks never breaks the others
            attempts.append(Attempt(at, Result.FAILED, _reason(error, hidden)))
            return Outcome(Result.FAILED, "", tuple(attempts))
        else:
            attempts.append(Attempt(at, Result.DELIVERED))
            return Outcome(Result.DELIVERED, plain(receipt)[:_LONGEST_REASON], tuple(attempts))


def _reason(error: Exception, hidden: Iterable[str]) -> str:
    text = str(error) if isinstance(error, TryAgainError | RefusedError) else f"{type(error).__name__}: {error}"
    for secret in hidden:
        text = text.replace(secret, "[secret]")
    return plain(" ".join(text.split()))[:_LONGEST_REASON]


def _within(seconds: float, send: Callable[[], str]) -> str:
    """What ``send`` answers or raises, unless it takes longer. Raises :class:`TryAgainError` then."""
    answers: queue.SimpleQueue[str | BaseException] = queue.SimpleQueue()

    def run() -> None:
        try:
            answers.put(send())
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            answers.put(error)

    threading.Thread(target=run, daemon=True, name="notify").start()
    try:
        answer = answers.get(timeout=seconds)
    except queue.Empty:
        raise TryAgainError(f"no answer within {seconds:g} seconds") from None
    if isinstance(answer, BaseException):
        raise answer
    return answer


def text_of(setting: ChannelSetting | None) -> str:
    """A setting's text, or that of the environment variable it names. Raises :class:`RefusedError` where that is not
    set."""
    if isinstance(setting, Variable):
        found = os.environ.get(setting.name, "")
        if not found.strip():
            raise RefusedError(f"the environment variable {setting.name} is not set")
        return found.strip()
    return "" if setting is None else str(setting)


def secrets_of(channel: Channel) -> list[str]:
    """What must not be told of a channel: the values of its variables."""
    named = [each.name for each in channel.settings.values() if isinstance(each, Variable)]
    return [os.environ.get(name, "").strip() for name in named]
