"""Running the command line as a user does: as a process, on a terminal, or within the test's own process."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "finops_policy")
ANSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
SGR = re.compile(r"\x1b\[[\d;]*m")
# Measuring coverage would write files where there is no room, and catch signals itself.
DROPPED = ("AWS_", "COV_", "COVERAGE_", "FINOPS_POLICY_", "NO_COLOR", "FORCE_COLOR", "COLUMNS", "TERM")
DEADLINE = 60.0
T = TypeVar("T")


@dataclass(frozen=True)
class Result:
    """What a command left: its exit code, and what it said where."""

    code: int
    out: str
    err: str

    def lines(self, start: str = "") -> list[str]:
        return [line for line in self.out.splitlines() if line.startswith(start)]


def environment(*extra: Mapping[str, str]) -> dict[str, str]:
    """The test's environment without what would lead to AWS or change the output, and what is added to it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(DROPPED)}
    merged = {**kept, "AWS_EC2_METADATA_DISABLED": "true"}
    for each in extra:
        merged |= each
    return merged


def finops(*arguments: object, cwd: Path, env: Mapping[str, str] | None = None, before: Sequence[str] = ()) -> Result:
    """Runs the command as a process of its own; ``before`` is a command that ends in running its arguments."""
    done = subprocess.run(
        [*before, *COMMAND, *map(str, arguments)],
        cwd=cwd,
        env=environment(env or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    return Result(done.returncode, done.stdout, done.stderr)


def until(what: str, found: Callable[[], T], seconds: float = DEADLINE) -> T:
    """The first answer that is true. Fails when none comes in time."""
    deadline = time.monotonic() + seconds
    tick = threading.Event()
    while not (answer := found()):
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s in vain for {what}"
        tick.wait(0.02)
    return answer


@dataclass(frozen=True)
class Process:
    pid: int
    parent: int
    group: int
    command: str


def processes() -> list[Process]:
    """Everything that runs on this machine, but for the dead that nobody has buried yet."""
    listed = subprocess.run(
        ["ps", "-A", "-ww", "-o", "pid=,ppid=,pgid=,stat=,args="], capture_output=True, text=True, check=True
    )
    rows = [line.split(maxsplit=4) for line in listed.stdout.splitlines()]
    alive = [row for row in rows if len(row) == 5 and not row[3].startswith("Z")]
    return [Process(int(row[0]), int(row[1]), int(row[2]), row[4]) for row in alive]


class Running:
    """A command under way, in a process group of its own as a shell starts it. What it says is read as it comes."""

    def __init__(self, *arguments: object, cwd: Path, env: Mapping[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, *map(str, arguments)],
            cwd=cwd,
            env=environment(env or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.pid = self.process.pid
        self._out: list[str] = []
        self._said: list[str] = []
        readers = ((self.process.stdout, self._out), (self.process.stderr, self._said))
        self._readers = [threading.Thread(target=into.extend, args=(pipe,), daemon=True) for pipe, into in readers]
        for reader in self._readers:
            reader.start()

    def wait_for(self, text: str) -> None:
        """Until stderr has said so."""
        until(f"{text!r} on stderr", lambda: any(text in line for line in list(self._said)) or self._ended(text))

    def _ended(self, text: str) -> bool:
        assert self.process.poll() is None, f"it ended before it said {text!r}: {self._said}"
        return False

    def members(self) -> list[Process]:
        """The processes of its group."""
        return [each for each in processes() if each.group == self.pid]

    def workers(self) -> list[Process]:
        """Those that judge: children of the fork server, which is a child of the command."""
        members = self.members()
        servers = {each.pid for each in members if each.parent == self.pid and "forkserver" in each.command}
        return [each for each in members if each.parent in servers]

    def signal(self, number: signal.Signals, *, group: bool) -> None:
        """To the whole group, as a terminal does on Ctrl-C, or to the command alone."""
        (os.killpg if group else os.kill)(self.pid, number)

    def result(self) -> Result:
        """Waits for its end, and for that of everything it started."""
        code = self.process.wait(DEADLINE)
        until("the end of all processes of the group", lambda: not self.members(), 20)
        self.read()
        return Result(code, "".join(self._out), "".join(self._said))

    def read(self) -> None:
        """Until nobody is left who could write."""
        for reader in self._readers:
            reader.join(DEADLINE)


@contextlib.contextmanager
def running(*arguments: object, cwd: Path, env: Mapping[str, str] | None = None) -> Iterator[Running]:
    """A command under way; whatever a failing test leaves of it is killed."""
    command = Running(*arguments, cwd=cwd, env=env)
    try:
        yield command
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(command.pid, signal.SIGKILL)
        command.process.wait()
        command.read()
        for pipe in (command.process.stdout, command.process.stderr):
            if pipe is not None:
                pipe.close()


@dataclass(frozen=True)
class Screen:
    """What a command wrote to a terminal: stdout and stderr each had one of their own."""

    code: int
    out: str
    err: str


def on_terminal(*arguments: object, cwd: Path, env: Mapping[str, str], columns: int = 80) -> Screen:
    """Runs a command whose output goes to terminals of a width."""
    pairs = [os.openpty(), os.openpty()]
    for _, slave in pairs:
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    said: tuple[list[bytes], list[bytes]] = ([], [])
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        cwd=cwd,
        env=environment({"TERM": "xterm-256color"}, env),
        stdin=pairs[0][1],
        stdout=pairs[0][1],
        stderr=pairs[1][1],
        start_new_session=True,
    )
    readers = [
        threading.Thread(target=_drain, args=(master, into), daemon=True)
        for (master, _), into in zip(pairs, said, strict=True)
    ]
    for reader in readers:
        reader.start()
    code = process.wait(DEADLINE)
    for (master, slave), reader in zip(pairs, readers, strict=True):
        os.close(slave)  # the last holder: what is read after this is the end
        reader.join(DEADLINE)
        os.close(master)
    out, err = (b"".join(parts).decode().replace("\r\n", "\n") for parts in said)
    return Screen(code, out, err)


def _drain(master: int, into: list[bytes]) -> None:
    with contextlib.suppress(OSError):  # Linux answers EIO once nobody holds the other end
        while data := os.read(master, 65536):
            into.append(data)
