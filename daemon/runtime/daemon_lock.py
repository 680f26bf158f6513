"""Who drives a run on this machine: the lock of its folder, and nothing else. On other machines the epoch fences."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from cutoverd.daemon.host.file_lock import is_locked
from cutoverd.daemon.host.polling import Polling
from cutoverd.daemon.host.private_files import make_private_folder, open_own, read_private
from cutoverd.daemon.plan.load import LoadedPlan

FILE = "daemon.lock"
PROBE_SECONDS = 0.5  # whoever asks whether a daemon lives holds the lock for an instant


class AlreadyDriven(Exception):
    """another daemon on this machine drives this run"""


@contextmanager
def one_daemon(loaded: LoadedPlan) -> Iterator[None]:
    """We drive the run for as long as the block lasts; raises `AlreadyDriven`."""
    with one_process(loaded.run_dir, f"run {loaded.plan.run} is driven by process {{}} already"):
        yield


@contextmanager
def one_process(folder: Path, says: str) -> Iterator[None]:
    """No other has the folder for as long as the block lasts; raises `AlreadyDriven` with `says`, its id filled in."""
    file = make_private_folder(folder) / FILE
    with os.fdopen(open_own(file, os.O_RDWR | os.O_CREAT), "rb+") as lock:
        if not _is_taken(lock):
            raise AlreadyDriven(says.format(_pid(lock.read()) or "?"))
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n".encode())
        lock.flush()
        yield


def driver_of(run_dir: Path) -> str | None:
    """The pid of the daemon that has the run, "" if that is not to be read there; None if there is none. Raises OSError.

    By the lock itself: the process that is named in it may be long gone, and its number another's.
    """
    lock = run_dir / FILE
    return _pid(read_private(lock)) if is_locked(lock) else None


def is_any_driven(state_dir: Path) -> bool:
    """Whether a daemon on this machine drives any run of this folder."""
    return any(is_locked(lock) for lock in (state_dir / "runs").glob(f"*/{FILE}"))


def _pid(written: bytes) -> str:
    return written.strip().decode() if written.strip().isdigit() else ""


def _is_taken(lock: IO[bytes]) -> bool:
    """By us. Whoever asks whether a daemon lives holds it for an instant: that is no daemon."""
    polling = Polling(PROBE_SECONDS, pause_seconds=PROBE_SECONDS / 20)
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if polling.is_over:
                return False
            polling.pause_blocking()
