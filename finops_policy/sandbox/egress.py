"""Nothing leaves this machine: a guard under every socket of the process.

``AWS_ENDPOINT_URL`` sends most clients to the sandbox, but not all of them: Cloud Custodian's ``aws.sqs`` builds a
client that ignores it, and S3 Control puts the account id before the host. With credentials that work somewhere, either
would talk to a real account. The guard is an audit hook, which Python offers no way to remove: no library can opt out.

Limits: it holds for this process and for what it forks, not for programs it starts; a name given straight to
``socket.connect`` is looked up before the hook sees it, though the connection is still refused. Unix sockets are local
and stay allowed; a proxy on loopback would pass, which is why ``Sandbox.apply`` switches proxies off.
"""

from __future__ import annotations

import ipaddress
import logging
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from finops_policy.errors import SandboxError

log = logging.getLogger(__name__)

_LOCAL_NAMES = frozenset({"", "localhost", "localhost.localdomain", "ip6-localhost"})
_LOCAL_FAMILIES = frozenset(
    getattr(socket, name) for name in ("AF_UNIX", "AF_NETLINK", "AF_ROUTE", "AF_SYSTEM") if hasattr(socket, name)
)
_LOOKUPS = frozenset({"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"})
_SENDS = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})


class EgressError(SandboxError):
    """Something tried to reach a host other than this machine; ``host`` names it."""

    def __init__(self, host: str) -> None:
        super().__init__(
            f"refused to contact {host}: only loopback may be reached here",
            hint="In the sandbox nothing may leave this machine, and the client ignores AWS_ENDPOINT_URL: "
            "leave its policy out, or run without --sandbox.",
        )
        self.host = host


class _Guard:
    """The hook and its state; the state is the process's, as the hook is."""

    __cantrace__ = True  # coverage and debuggers may look inside

    def __init__(self) -> None:
        self.installed = False
        self.permitted = 0
        self.lock = threading.Lock()
        self.named: set[str] = set()

    def __call__(self, event: str, args: tuple[object, ...]) -> None:
        if event in _LOOKUPS:
            host = args[0]
        elif event in _SENDS:
            host = _destination(args)
        else:
            return
        if self.permitted or _is_local(host):
            return
        name = host.decode("ascii", "replace") if isinstance(host, bytes) else str(host)
        if name not in self.named:
            self.named.add(name)
            log.critical("refused to contact %s: only loopback may be reached here", name)
        raise EgressError(name)


_guard = _Guard()


def forbid_egress() -> None:
    """From now on every lookup of, and connection or datagram to, a host other than loopback raises ``EgressError``.

    Calling it again changes nothing. Libraries may wrap the error (botocore: ``HTTPClientError``) or swallow it, so
    each host refused is also logged once as critical.
    """
    with _guard.lock:
        if not _guard.installed:
            sys.addaudithook(_guard)
            _guard.installed = True


@contextmanager
def allow_egress() -> Iterator[None]:
    """Lift the guard for a while, in every thread. For tests only."""
    with _guard.lock:
        _guard.permitted += 1
    try:
        yield
    finally:
        with _guard.lock:
            _guard.permitted -= 1


def _destination(args: tuple[object, ...]) -> object:
    """The host of a ``(socket, address)`` event; None when the socket stays local or is connected already."""
    sock, address = args
    if isinstance(sock, socket.socket) and sock.family in _LOCAL_FAMILIES:
        return None
    return address[0] if isinstance(address, tuple) else address


def _is_local(host: object) -> bool:
    if host is None:
        return True
    if isinstance(host, bytes | bytearray):
        host = host.decode("ascii", "replace")
    if not isinstance(host, str):
        return False
    if host.lower() in _LOCAL_NAMES:
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
