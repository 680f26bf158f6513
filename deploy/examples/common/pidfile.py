"""A pid file that cannot lie: whoever runs keeps it locked, and the lock ends with the process, however it ends."""

from __future__ import annotations

import fcntl
import json
import os
import time
from pathlib import Path
from typing import Any

POLL_SECONDS = 0.02


def lock(path: Path) -> int | None:
    """A descriptor that holds the lock, to be given on to the process that shall run; None: somebody holds it already."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    os.ftruncate(descriptor, 0)
    return descriptor


def say(descriptor: int, *, listening: bool) -> None:
    """Write who holds the lock, {"pid", "listening"}, for those who look."""
    text = json.dumps({"pid": os.getpid(), "listening": listening}).encode()
    os.pwrite(descriptor, text.ljust(os.fstat(descriptor).st_size), 0)


def holder(path: Path) -> dict[str, Any] | None:
    """What the process that holds the lock said about itself, {} if nothing yet; None: there is no such process."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return None
    except BlockingIOError:
        text = os.read(descriptor, 4096)
        return json.loads(text) if text.strip() else {}
    finally:
        os.close(descriptor)


def settled(path: Path, seconds: float) -> bool | None:
    """Whether a process holds the lock and listens; one that is only starting has `seconds`, then None: not known."""
    deadline = time.monotonic() + seconds
    while (process := holder(path)) is not None and not process.get("listening"):
        if time.monotonic() > deadline:
            return None
        time.sleep(POLL_SECONDS)
    return process is not None


def released(path: Path, seconds: float) -> bool:
    """Whether the holder is gone, waiting for it for `seconds`."""
    deadline = time.monotonic() + seconds
    while holder(path) is not None:
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True
