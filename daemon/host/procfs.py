"""Processes seen through /proc: known by pid and start time, so that a reused pid is never mistaken or killed."""

from __future__ import annotations

import contextlib
import io
import os
import signal
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cutoverd.daemon.host.launcher import birth
from cutoverd.daemon.host.polling import Polling

POLL_SECONDS = 0.02
PROC = Path("/proc")


@dataclass(frozen=True)
class Process:
    """One process of this machine: a pid, and what tells it from every other that had or will have that pid."""

    pid: int
    birth: str

    @classmethod
    def find(cls, pid: int) -> Process | None:
        """The living process of that pid; a zombie is none."""
        try:
            born = birth(pid)
        except OSError:  # another user's, where /proc hides such
            return None
        return cls(pid, born) if born else None

    @classmethod
    def all(cls) -> Iterator[Process]:
        pids = [int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit()]
        return (process for pid in pids if (process := cls.find(pid)))

    def is_alive(self) -> bool:
        return Process.find(self.pid) == self

    def send(self, number: signal.Signals) -> None:
        """Send a signal; a process that is gone is fine."""
        with contextlib.suppress(ProcessLookupError):
            if self.is_alive():
                os.kill(self.pid, number)

    def works_in(self, folder: Path) -> bool:
        return _is(PROC / str(self.pid) / "cwd", folder)

    @property
    def name(self) -> str:
        try:
            return (PROC / str(self.pid) / "comm").read_text(errors="replace").rstrip("\n")
        except OSError:
            return ""

    def has_open(self, file: Path) -> bool:
        """Whether it holds a descriptor of that very file, by whatever path."""
        try:
            descriptors = list((PROC / str(self.pid) / "fd").iterdir())
        except OSError:
            return False
        return any(_is(descriptor, file) for descriptor in descriptors)


def kill_all(processes: Iterable[Process], timeout_seconds: float) -> list[Process]:
    """SIGKILL them and wait until none is alive; returns those that still are when the time is up."""
    members = list(processes)
    for member in members:
        member.send(signal.SIGKILL)
    return wait_gone(members, timeout_seconds)


def wait_gone(processes: Iterable[Process], timeout_seconds: float) -> list[Process]:
    members = list(processes)
    polling = Polling(timeout_seconds, pause_seconds=POLL_SECONDS)
    while (left := [p for p in members if p.is_alive()]) and not polling.is_over:
        polling.pause_blocking()
    return left


def _is(link: Path, file: Path) -> bool:
    try:
        return link.samefile(file)
    except OSError:
        return False


def all_pids() -> list[int]:
    """None where there is no /proc: there a descendant ends with the command or not at all."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()] if os.path.isdir("/proc/self") else []


def read_environment(pid: int) -> bytes:
    """Each variable between two NULs. Read as plainly as can be: it is asked of all processes whenever a child has ended."""
    try:
        with io.FileIO(f"/proc/{pid}/environ") as file:
            return b"\0" + file.readall()
    except OSError:  # it ended, or is another user's and then none of ours
        return b""
