"""Posting JSON: certificates checked, no redirect followed, answers and times limited, the address never told.

Only https, but for this machine. The system's proxies serve, and its certificates (``SSL_CERT_FILE`` names others).
A 429, a 408 and the 5xx may be tried again, as may a connection that fails; every other refusal is final.
"""

from __future__ import annotations

import datetime as dt
import email.utils
import ipaddress
import json
import math
import ssl
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from finops_policy import __version__
from finops_policy.notify.model import RefusedError, TryAgainError
from finops_policy.notify.sending import SOCKET_SECONDS

_LONGEST_ANSWER: Final = 256 * 1024
_ANSWER_SECONDS: Final = 30
_AGAIN: Final = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Answer:
    """A receiver's answer in the 200s."""

    status: int
    body: bytes

    def json(self) -> Any:
        """Raises :class:`RefusedError` where it is no JSON: something else than the receiver answered."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            raise RefusedError(f"HTTP {self.status}, but the answer is not JSON") from None


def post(url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
    """Raises :class:`TryAgainError` and :class:`RefusedError`, neither of which holds the address."""
    import urllib3
    from urllib3 import exceptions

    host = _checked(url)
    pool = _pool(url, host)
    sent = {"Content-Type": "application/json", "User-Agent": f"finops-policy/{__version__}", **headers}
    try:
        response = pool.request(
            "POST", url, body=body, headers=sent, redirect=False, retries=False, preload_content=False,
            timeout=urllib3.Timeout(connect=SOCKET_SECONDS, read=SOCKET_SECONDS),
        )  # fmt: skip
        try:
            answer = Answer(response.status, _read(response))
        finally:
            response.close()
    except exceptions.SSLError as error:
        raise RefusedError(f"{host} could not be trusted: {_certificate(error)}") from None
    except exceptions.LocationValueError:
        raise RefusedError("its address is no address") from None
    except exceptions.TimeoutError:
        raise TryAgainError(f"{host} did not answer within {SOCKET_SECONDS} seconds") from None
    except (exceptions.HTTPError, OSError) as error:
        raise TryAgainError(f"no whole answer from {host}: {type(error).__name__}") from None
    finally:
        pool.clear()
    return _judged(answer, host, response.headers.get("Retry-After"))


def _judged(answer: Answer, host: str, retry_after: str | None) -> Answer:
    if 200 <= answer.status < 300:
        return answer
    said = " ".join(answer.body[:200].decode("utf-8", "replace").split())
    reason = f"{host} answered HTTP {answer.status}{f': {said}' if said else ''}"
    if answer.status in _AGAIN:
        raise TryAgainError(reason, seconds_of(retry_after))
    raise RefusedError(reason)


def _read(response: Any) -> bytes:
    parts, size, ends = [], 0, time.monotonic() + _ANSWER_SECONDS
    while piece := response.read1(16384):
        parts.append(piece)
        size += len(piece)
        if size > _LONGEST_ANSWER or time.monotonic() > ends:
            break
    return b"".join(parts)[:_LONGEST_ANSWER]


def seconds_of(retry_after: str | None) -> float | None:
    """``Retry-After`` in seconds, from a number or a date; None where there is none that can be read."""
    if not retry_after:
        return None
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            moment = email.utils.parsedate_to_datetime(retry_after)
        except ValueError:
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=dt.UTC)
        seconds = (moment - dt.datetime.now(dt.UTC)).total_seconds()
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _checked(url: str) -> str:
    """The host, if the address may be posted to. Raises :class:`RefusedError`."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        whole = host and parts.scheme in ("http", "https") and url.isascii() and url.isprintable() and " " not in url
        _ = parts.port
    except ValueError:
        whole, host = False, ""
    if not whole:
        raise RefusedError("its address is no address")
    if parts.username or parts.password:
        raise RefusedError("its address holds a name or a password")
    if parts.scheme == "http" and not is_loopback(host):
        raise RefusedError(f"its address is not https, and {host} is not this machine")
    return host


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by its name or address alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _pool(url: str, host: str) -> Any:
    import urllib3

    context = ssl.create_default_context()
    scheme = urlsplit(url).scheme
    proxy = urllib.request.getproxies().get(scheme)
    if proxy and not is_loopback(host) and not urllib.request.proxy_bypass(host):
        return urllib3.ProxyManager(proxy, ssl_context=context)
    return urllib3.PoolManager(ssl_context=context)


def _certificate(error: Exception) -> str:
    inner = error.args[0] if error.args and isinstance(error.args[0], ssl.SSLError) else error
    return str(getattr(inner, "verify_message", "") or "its certificate or its TLS does not hold")
