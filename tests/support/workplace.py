"""Where the files and servers of a test session are: in memory if there is room, for CREATE DATABASE copies some 8 MB each time.

A folder of the session's own, removed with its end; what a session that was killed has left there the next one removes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cutoverd.daemon.host.file_lock import try_lock

CHOSEN = "CUTOVERD_TEST_DIR"
MEMORY = Path("/dev/shm")
WANTED_BYTES = 3 * 10**9
PREFIX = "cutoverd-tests-"
LOCK = "lock"  # held for as long as the session lives
PROBE_SECONDS = 10
NEW_SECONDS = 60


@dataclass(frozen=True)
class Place:
    folder: Path
    why: str


def place(memory: Path = MEMORY) -> Place:
    """What CUTOVERD_TEST_DIR names; else memory, if 3 GB are free there and programs run from it; else TMPDIR."""
    if chosen := os.environ.get(CHOSEN):
        return Place(Path(chosen).absolute(), f"{CHOSEN} says so")
    if objection := _objection(memory):
        return Place(Path(tempfile.gettempdir()), f"{memory} {objection}; {CHOSEN} names another place")
    return Place(memory, "in memory")


def _objection(memory: Path) -> str:
    """Why tests cannot be there; empty if they can."""
    if not os.access(memory, os.W_OK | os.X_OK):
        return "is not there or may not be written to"
    if (free := shutil.disk_usage(memory).free) < WANTED_BYTES:
        return f"has {free / 10**9:.2f} GB free, {WANTED_BYTES / 10**9:g} GB are wanted"
    return "" if _executes(memory) else "lets no program run (noexec)"


def _executes(folder: Path) -> bool:
    with tempfile.TemporaryDirectory(prefix="cutoverd-probe-", dir=folder) as made:
        program = Path(made) / "program"
        program.write_text("#!/bin/sh\nexit 0\n")
        program.chmod(0o700)
        try:
            return subprocess.run([program], timeout=PROBE_SECONDS, check=False).returncode == 0
        except OSError:
            return False


@contextmanager
def workplace(where: Path) -> Iterator[Path]:
    """A folder there that is TMPDIR for us and for whatever we start, pytest's workers and its tmp_path included."""
    where.mkdir(parents=True, exist_ok=True)
    _sweep(where)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=where))
    folder.chmod(0o711)  # as root, PostgreSQL may be an unprivileged user, who goes through it into a folder of its own
    with try_lock(folder / LOCK) as locked:
        assert locked is not None, f"{folder} is new: nobody else can hold its lock"
        try:
            with _tmpdir(folder):
                yield folder
        finally:
            shutil.rmtree(folder)


def _sweep(where: Path) -> None:
    """A folder that is new may not be locked yet."""
    for lock in where.glob(f"{PREFIX}*/{LOCK}"):
        with try_lock(lock) as locked:
            if locked is not None and time.time() - lock.stat().st_mtime > NEW_SECONDS:
                shutil.rmtree(lock.parent, ignore_errors=True)


@contextmanager
def _tmpdir(folder: Path) -> Iterator[None]:
    before = os.environ.get("TMPDIR")
    os.environ["TMPDIR"], tempfile.tempdir = str(folder), None
    try:
        yield
    finally:
        tempfile.tempdir = None
        if before is None:
            del os.environ["TMPDIR"]
        else:
            os.environ["TMPDIR"] = before
