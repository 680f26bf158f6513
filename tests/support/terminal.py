"""A real pseudo-terminal with a daemon on it: what it shows is read, or not; it is made smaller; it goes away."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")


@dataclass
class Terminal:
    """`master` is our end; what came out of it is in `raw`."""

    master: int
    process: subprocess.Popen[bytes]
    raw: bytes = b""

    @property
    def text(self) -> str:
        """Without what moves the cursor and colours."""
        return CONTROL.sub("", self.raw.decode(errors="replace"))

    def read_until(self, is_shown: Callable[[], bool], seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while not is_shown():
            assert time.monotonic() < deadline, f"not seen within {seconds:g} s:\n{self.text[-3000:]}"
            self._read(0.2)

    def read_to_the_end(self, seconds: float = 60.0) -> int:
        """The exit code."""
        self.read_until(lambda: self.process.poll() is not None, seconds)
        while self._read(0.1):
            pass
        return self.process.wait()

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def go_away(self) -> None:
        os.close(self.master)
        self.master = -1

    def _read(self, seconds: float) -> bool:
        if not select.select([self.master], [], [], seconds)[0]:
            return False
        try:
            part = os.read(self.master, 1 << 16)
        except OSError:  # the other end is closed
            return False
        self.raw += part
        return bool(part)


@contextmanager
def on_a_terminal(*words: str, columns: int = 100, rows: int = 40, hangup_ignored: bool = False) -> Iterator[Terminal]:
    """`cutoverd WORDS` on a terminal of its own; ended by its pid if the test did not."""
    master, slave = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}

    def begin() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN if hangup_ignored else signal.SIG_DFL)
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    terminal = Terminal(master, None)  # type: ignore[arg-type]
    terminal.resize(columns, rows)
    terminal.process = subprocess.Popen(
        [sys.executable, "-m", "cutoverd.daemon", *words],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**environment, "TERM": "xterm-256color"},
        start_new_session=True,
        preexec_fn=begin,
    )
    os.close(slave)
    try:
        yield terminal
    finally:
        if terminal.process.poll() is None:
            terminal.process.kill()
        terminal.process.wait(10)
        if terminal.master >= 0:
            terminal.go_away()
