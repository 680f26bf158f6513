"""`cutoverd WORDS` as a process that is forked from one that has imported everything.

The imports were a third of what a small night's daemon worked. What runs, its signals, its
files and its end are those of `python -m cutoverd.daemon WORDS`; what is about the start itself (tests of the terminal, of
`demo`, of the package) starts it that way.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import IO, Any, Protocol

from support.preload import RECORD_BYTES

REPORT_SECONDS, POLL_SECONDS = 10.0, 0.01
PRELOAD = Path(__file__).with_name("preload.py")


class Process(Protocol):
    """What the tests ask of a daemon: `subprocess.Popen` offers it, and `Forked`."""

    pid: int
    returncode: int | None

    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, sig: int) -> None: ...
    def kill(self) -> None: ...


class Forked:
    """A process whose parent is the preloaded one, which says how it ended."""

    def __init__(self, words: Sequence[str], reports: socket.socket) -> None:
        self._words, self._reports = words, reports
        self.returncode: int | None = None  # as far as it was asked for
        self._asking = threading.Lock()  # its end is said once, and more than one thread may ask
        self.pid = self._read()

    def poll(self) -> int | None:
        """Its exit code, or minus the signal that ended it; None while it runs."""
        with self._asking:
            return self._ended(REPORT_SECONDS if self._is_zombie() else 0)

    def wait(self, timeout: float | None = None) -> int:
        """Raises `subprocess.TimeoutExpired`."""
        end = time.monotonic() + (timeout or 0)
        while (code := self.poll()) is None:
            if timeout is not None and time.monotonic() >= end:
                raise subprocess.TimeoutExpired(self._words, timeout)
            time.sleep(POLL_SECONDS)
        return code

    def send_signal(self, sig: int) -> None:
        """Nothing, of one that has ended."""
        if self.poll() is None:
            os.kill(self.pid, sig)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _is_zombie(self) -> bool:
        """It has ended, and that is being said."""
        stat = Path(f"/proc/{self.pid}/stat")
        return self.returncode is None and stat.read_text(errors="replace").rpartition(")")[2].split()[0] == "Z"

    def _ended(self, seconds: float) -> int | None:
        if self.returncode is None and select.select([self._reports], [], [], seconds)[0]:
            self.returncode = self._read()
            self._reports.close()
        return self.returncode

    def _read(self) -> int:
        record = self._reports.recv(RECORD_BYTES)
        assert len(record) == RECORD_BYTES, "the preloaded process has ended"
        return int.from_bytes(record, sys.byteorder, signed=True)


def start(words: Sequence[str], stdout: IO[bytes], stderr: IO[bytes], *, new_session: bool = False, **where: Any) -> Forked:
    """`cutoverd WORDS` in the `environment` and the `folder` of this process, as they are now, or in those that are given."""
    here = {"folder": os.getcwd(), "environment": dict(os.environ), **where}
    request = {"words": words, "new_session": new_session, **here}
    reports, end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with open(os.devnull, "rb") as nothing, end:
        files = [nothing.fileno(), stdout.fileno(), stderr.fileno(), end.fileno()]
        socket.send_fds(_preloaded(), [json.dumps(request).encode()], files)
    return Forked(words, reports)


def run(words: Sequence[str], seconds: float, **where: Any) -> subprocess.CompletedProcess[str]:
    """What it printed, once it has ended; one that takes longer is killed. Raises `subprocess.TimeoutExpired`."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        started = start(words, out, err, **where)
        try:
            code = started.wait(seconds)
        finally:
            started.kill()
        printed = [_read_back(file) for file in (out, err)]
    return subprocess.CompletedProcess(list(words), code, *printed)


def _read_back(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()


@cache
def _preloaded() -> socket.socket:
    """One for this process; it ends once this end of the socket is closed."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with its:
        command = [sys.executable, str(PRELOAD), str(its.fileno())]
        process = subprocess.Popen(command, pass_fds=[its.fileno()], stdin=subprocess.DEVNULL)
    atexit.register(process.wait)
    atexit.register(ours.close)
    return ours
