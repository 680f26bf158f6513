"""Writing to a terminal or a pipe from a thread of its own: whoever reads slowly, or not at all, makes nobody wait."""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from types import TracebackType
from typing import Self

MOST_BYTES = 1 << 20  # unread; what comes after is left out, and counted
END_SECONDS = 2.0


class NonBlockingWriter:
    """A text stream over a file descriptor; `write` never blocks and never fails."""

    encoding = "utf-8"

    def __init__(self, fd: int, most_bytes: int = MOST_BYTES) -> None:
        self._fd, self._most_bytes = fd, most_bytes
        self._waiting: deque[bytes] = deque()
        self._bytes = self._left_out = 0
        self._gone = self._ending = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._pass_on, name="aside", daemon=True)
        self._thread.start()

    def write(self, text: str) -> int:
        part = text.encode(errors="replace")
        with self._changed:
            if self._bytes + len(part) > self._most_bytes:
                self._left_out += 1
            elif part and not self._gone:
                self._waiting.append(part)
                self._bytes += len(part)
                self._changed.notify_all()
        return len(text)

    def flush(self) -> None:
        """It is on its way."""

    def fileno(self) -> int:
        return self._fd

    def isatty(self) -> bool:
        return os.isatty(self._fd)

    @property
    def is_behind(self) -> bool:
        """Whether what was written before is still unread: then there is no point in another picture of the same."""
        return self._bytes > 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        """What was written is given 2 s to be read."""
        with self._changed:
            self._ending = True
            self._changed.notify_all()
        self._thread.join(END_SECONDS)

    def _pass_on(self) -> None:
        while part := self._next():
            try:
                self._write_out(part)
            except OSError:  # nobody is there any more, or the disk is full
                self._gone = True
            with self._changed:
                self._bytes -= len(part)

    def _next(self) -> bytes | None:
        with self._changed:
            self._changed.wait_for(lambda: bool(self._waiting or self._left_out or self._ending))
            if self._left_out and not self._waiting:
                self._note_what_was_left_out()
            return self._waiting.popleft() if self._waiting else None

    def _note_what_was_left_out(self) -> None:
        note = f"… {self._left_out} lines were not shown: nobody read them\n".encode()
        self._left_out = 0
        self._waiting.append(note)
        self._bytes += len(note)

    def _write_out(self, part: bytes) -> None:
        while part and not self._gone:
            try:
                part = part[os.write(self._fd, part) :]
            except BlockingIOError:  # somebody has made it so; it is theirs
                select.select([], [self._fd], [], 1.0)
