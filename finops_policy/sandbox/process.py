"""Start, find and stop the sandbox's server; this module imports neither moto nor boto3.

A workspace has at most one running sandbox, recorded in ``.finops-policy/sandbox.json``. The record is believed only if
the server at that address says that it has the recorded process id: the process may be gone, and something else may
have its port or its number by now.
"""

from __future__ import annotations

import fcntl
import http.client
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from finops_policy.errors import SandboxError
from finops_policy.files import failure, make_folder
from finops_policy.sandbox.estate import ACCESS_KEY_ID, SECRET_ACCESS_KEY, digest
from finops_policy.sandbox.server import IDENTITY_PATH

START_SECONDS = 60.0
STOP_SECONDS = 5.0
ANSWER_SECONDS = 2.0

_PROXIES = frozenset({"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"})


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A running sandbox. An ephemeral one ends with the command that started it."""

    url: str
    pid: int
    ephemeral: bool

    def environment(self) -> dict[str, str]:
        """The variables that lead this process's AWS clients here, with the credentials of the sandbox's caller."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_REGION": "us-east-1",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_MAX_ATTEMPTS": "2",  # nothing is throttled, and what moto lacks answers 500 however often one asks
            "NO_PROXY": "*",
            "no_proxy": "*",
        }

    def apply(self, environ: MutableMapping[str, str]) -> None:
        """Make ``environ`` lead here and nowhere else.

        Every ``AWS_`` variable goes first: a profile, a session token, a web identity or an endpoint of one service
        (``AWS_ENDPOINT_URL_S3``) would win over ours. So do proxies, which could carry a request away from loopback.
        """
        for name in list(environ):
            if name.startswith("AWS_") or name.upper() in _PROXIES:
                del environ[name]
        environ.update(self.environment())


@contextmanager
def sandbox(workspace: Path) -> Iterator[Sandbox]:
    """The workspace's running sandbox, else one that lasts as long as the context. Raises ``SandboxError``."""
    state = _state(workspace)
    running = status(workspace)
    if running is not None:
        if _read(state).get("estate") != digest():
            raise SandboxError(
                f"the running sandbox (process {running.pid}) was made by another version of finops-policy",
                hint="Start it anew: finops-policy sandbox stop, then finops-policy sandbox start.",
            )
        yield running
        return
    with tempfile.TemporaryDirectory(prefix="finops-policy-sandbox-") as folder:
        child, started = _launch(Path(folder) / "sandbox.json", ephemeral=True)
        try:
            yield started
        finally:
            _end(child)


def start(workspace: Path) -> Sandbox:
    """Start a sandbox that keeps running, or return the one that does. Raises ``SandboxError``, ``EvidenceError``."""
    state = _state(workspace)
    make_folder(state.parent, exist_ok=True)
    with _locked(state.with_suffix(".lock")):
        running = status(workspace)
        if running is None:
            state.unlink(missing_ok=True)
            child, running = _launch(state, ephemeral=False)
            child.returncode = 0  # it outlives us on purpose, and Popen would warn about that
        return running


def stop(workspace: Path) -> bool:
    """Stop the workspace's running sandbox; False if none was running. Raises ``SandboxError`` if it will not stop."""
    running = status(workspace)
    _state(workspace).unlink(missing_ok=True)
    if running is None:
        return False
    for how in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.kill(running.pid, how)
        if _gone(running):
            return True
    raise SandboxError(
        f"the sandbox (process {running.pid}) does not stop", hint=f"End it by hand: kill -9 {running.pid}"
    )


def status(workspace: Path) -> Sandbox | None:
    """The workspace's running sandbox, if its record is true."""
    record = _read(_state(workspace))
    url, pid = record.get("url"), record.get("pid")
    if not isinstance(url, str) or not isinstance(pid, int) or _identity(url).get("pid") != pid:
        return None
    return Sandbox(url, pid, ephemeral=False)


def _state(workspace: Path) -> Path:
    return workspace / ".finops-policy" / "sandbox.json"


def _read(state: Path) -> dict[str, object]:
    try:
        record = json.loads(state.read_bytes())
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _identity(url: str) -> dict[str, object]:
    """What the server at ``url`` says it is; empty if nothing of ours answers there, or if it is not on loopback."""
    try:
        host, port = urlsplit(url).hostname, urlsplit(url).port
        if host != "127.0.0.1" or port is None:
            return {}
        connection = http.client.HTTPConnection(host, port, timeout=ANSWER_SECONDS)
        try:
            connection.request("GET", IDENTITY_PATH)
            answer = json.loads(connection.getresponse().read(65536))
        finally:
            connection.close()
    except (OSError, ValueError, http.client.HTTPException):
        return {}
    return answer if isinstance(answer, dict) else {}


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Two starts at once must not leave a server that no record names."""
    try:
        lock = path.open("w")
    except OSError as error:
        raise failure("write", path, error) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _launch(state: Path, *, ephemeral: bool) -> tuple[subprocess.Popen[bytes], Sandbox]:
    """Start a server and wait until it is ready; whatever goes wrong meanwhile, Ctrl-C included, it is ended again."""
    missing = [name for name in ("moto", "flask", "flask_cors") if importlib.util.find_spec(name) is None]
    if missing:
        raise SandboxError(
            f"the sandbox needs moto's server, but {' and '.join(missing)} cannot be imported",
            hint="Install it: pip install 'finops-policy[sandbox]'",
        )
    command = [sys.executable, "-m", "finops_policy.sandbox.server", "--state", str(state.absolute())]
    if ephemeral:
        command += ["--parent", str(os.getpid())]
    log = state.with_suffix(".log")
    with log.open("wb") as stderr:
        child = subprocess.Popen(  # noqa: S603 - our own module
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            env=_server_environment(),
            cwd="/",
            start_new_session=True,  # Ctrl-C is for the command, which ends the server when it is done with it
        )
    try:
        return child, Sandbox(_await(child, state, log), child.pid, ephemeral)
    except BaseException:
        _end(child)
        raise


def _server_environment() -> dict[str, str]:
    """Ours, without what would change moto or boto3 in there; the package is found even where it is not installed."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MOTO_", "TEST_"))}
    package_parent = str(Path(__file__).parents[2])
    return inherited | {
        "PYTHONPATH": os.pathsep.join(filter(None, [package_parent, os.environ.get("PYTHONPATH")])),
        "PYTHONHASHSEED": "0",
        "TZ": "UTC",
        "MOTO_EC2_LOAD_DEFAULT_AMIS": "false",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


def _await(child: subprocess.Popen[bytes], state: Path, log: Path) -> str:
    """The server's URL, once it is ready."""
    deadline = time.monotonic() + START_SECONDS
    while not state.exists():
        if time.monotonic() > deadline:
            raise SandboxError(
                f"the sandbox was not ready after {START_SECONDS:.0f} s: {_tail(log)}",
                hint="Try again when the machine is less busy.",
            )
        with suppress(subprocess.TimeoutExpired):
            child.wait(0.02)
            raise SandboxError(
                f"the sandbox ended while starting (exit code {child.returncode}): {_tail(log)}",
                hint="Check that the extra is complete: pip install --upgrade 'finops-policy[sandbox]'",
            )
    return str(_read(state)["url"])


def _tail(log: Path) -> str:
    """The last lines a server wrote to stderr, without the carets of a traceback."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip(" ^~")]
    return " | ".join(lines[-5:]) or "it wrote nothing to stderr"


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is not None:
        return
    child.terminate()
    try:
        child.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _gone(running: Sandbox) -> bool:
    """Wait until nothing listens there. The process id would not tell: it stays until somebody buries the process."""
    port = urlsplit(running.url).port
    deadline = time.monotonic() + STOP_SECONDS
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=ANSWER_SECONDS).close()
        except ConnectionRefusedError:
            with suppress(ChildProcessError):
                os.waitpid(running.pid, 0)  # it may be our own child
            return True
        except OSError:
            pass
        time.sleep(0.02)
    return False
