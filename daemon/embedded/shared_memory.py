"""The few bytes of System V shared memory that a killed PostgreSQL leaves behind: no process and no folder owns them."""

from __future__ import annotations

import ctypes
from pathlib import Path

SEGMENTS = Path("/proc/sysvipc/shm")
IPC_RMID = 0


def release(key: int, identifier: int) -> None:
    """Remove that segment if it is still the same one and no process is attached to it."""
    if (key, identifier) in _unattached():
        ctypes.CDLL(None).shmctl(identifier, IPC_RMID, None)


def _unattached() -> set[tuple[int, int]]:
    try:
        rows = [line.split() for line in SEGMENTS.read_text().splitlines()]
    except OSError:
        return set()
    column = {name: place for place, name in enumerate(rows[0])}
    return {(int(row[column["key"]]), int(row[column["shmid"]])) for row in rows[1:] if row[column["nattch"]] == "0"}
