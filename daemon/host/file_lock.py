"""A lock that belongs to an open descriptor: whoever inherits it holds the lock, until the last of them is gone."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cutoverd.daemon.host.private_files import UnusableFile, open_own


@contextmanager
def try_lock(path: Path) -> Iterator[int | None]:
    """The locked descriptor, or None if somebody else holds the lock. The file must never be removed or replaced.

    Raises `UnusableFile` where there can be no such file.
    """
    descriptor = open_own(path, os.O_RDWR | os.O_CREAT)
    try:
        yield descriptor if _locked(descriptor) else None
    finally:
        os.close(descriptor)  # never LOCK_UN: that would take the lock from those who inherited it


def _locked(descriptor: int, how: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_locked(path: Path) -> bool:
    """Whether somebody holds the lock now, asked without taking it from anybody; what is no file that is there is not locked.

    Raises OSError where it cannot be asked.
    """
    try:
        descriptor = open_own(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    except UnusableFile as error:
        if error.is_other:
            return False
        raise
    try:
        return not _locked(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)
