"""What a command costs: wall time, CPU of everything it started, and the peak of its processes' memory together.

Linux only: memory is the sum of the proportional set sizes (shared pages count once) over the process group, sampled;
short peaks between two samples go unseen. Processes that outlive the command, such as a fork server, are adopted and
waited for, so that their CPU counts too.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

SAMPLE_SECONDS = 0.2
LOOK_SECONDS = 0.005
_PR_SET_CHILD_SUBREAPER = 36

During = Callable[[int], None]
"""Called at every sample with the id of the process group."""


@dataclass(frozen=True)
class Measured:
    """One command's end and its cost; ``peak`` in bytes, times in seconds.

    ``largest`` is the peak resident set of the command's own process, in bytes, as the kernel keeps it: only what is
    added in the last 5 ms goes unseen.
    """

    code: int
    wall: float
    cpu: float
    peak: int
    largest: int
    out: str
    err: str


def measure(command: Sequence[str], env: Mapping[str, str], cwd: Path, during: During | None = None) -> Measured:
    """Runs a command in a process group of its own and waits for all of it."""
    with _adopting_orphans(), tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        started = time.monotonic()
        process = subprocess.Popen(
            command, env=dict(env), cwd=cwd, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True
        )
        sampler = _Sampler(process.pid, during)
        sampler.start()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        cpu = usage.ru_utime + usage.ru_stime
        with suppress(ChildProcessError):  # nobody of the group is left
            while True:
                _, _, usage = os.wait4(-process.pid, 0)
                cpu += usage.ru_utime + usage.ru_stime
        sampler.stop()
        texts = [_whole(file) for file in (out, err)]
    return Measured(process.returncode, wall, cpu, sampler.peak, sampler.largest, *texts)


def members(group: int) -> dict[int, int]:
    """Process id -> parent's id, of all that live in a process group."""
    found = {}
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        with suppress(OSError):
            fields = Path(entry.path, "stat").read_text().rpartition(")")[2].split()
            if int(fields[2]) == group and fields[0] != "Z":
                found[int(entry.name)] = int(fields[1])
    return found


def memory(group: int) -> int:
    """The proportional set size of a process group, in bytes."""
    return sum(_pss(pid) for pid in members(group))


def _pss(pid: int) -> int:
    with suppress(OSError):  # it may have ended since it was listed
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def _high_water(pid: int) -> int:
    """The largest resident set a process has had since it was started, in bytes; 0 once it has ended."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


class _Sampler(threading.Thread):
    def __init__(self, group: int, during: During | None) -> None:
        super().__init__(daemon=True)
        self._group = group
        self._during = during
        self._ended = threading.Event()
        self.peak = 0
        self.largest = 0

    def run(self) -> None:
        due = time.monotonic() + SAMPLE_SECONDS
        while not self._ended.wait(LOOK_SECONDS):
            self.largest = max(self.largest, _high_water(self._group))
            if time.monotonic() < due:
                continue
            due = time.monotonic() + SAMPLE_SECONDS
            self.peak = max(self.peak, memory(self._group))
            if self._during is not None:
                self._during(self._group)

    def stop(self) -> None:
        self._ended.set()
        self.join()


@contextmanager
def _adopting_orphans() -> Iterator[None]:
    _subreaper(1)
    try:
        yield
    finally:
        _subreaper(0)


def _subreaper(on: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, on, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "cannot adopt orphaned processes")


def _whole(file: object) -> str:
    file.seek(0)  # type: ignore[attr-defined]
    return file.read()  # type: ignore[attr-defined, no-any-return]
