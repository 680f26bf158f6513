"""A disk of a test's own that can be full from one moment to the next, and have room again."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.servers import skip

TRIES = 20
ROOM = "2g"  # the limit of a tmpfs, which takes memory only for what is in it; JetStream wants to see that much


@dataclass(frozen=True)
class SmallDisk:
    folder: Path

    def fill(self) -> None:
        """From here on nothing more can be written, not a page.

        Found: a daemon wrote a page between the question how much is used and the limit, and the system refused it as too small.
        """
        for tries_left in reversed(range(TRIES)):
            try:
                self._resize(str(self.used_bytes()))
                return
            except subprocess.CalledProcessError:
                if not tries_left:
                    raise

    def leave(self, room_bytes: int) -> None:
        """From here on no more than that can be written."""
        self._resize(str(self.used_bytes() + room_bytes))

    def used_bytes(self) -> int:
        usage = os.statvfs(self.folder)
        return (usage.f_blocks - usage.f_bfree) * usage.f_frsize

    def make_room(self) -> None:
        self._resize(ROOM)

    def make_read_only(self) -> None:
        subprocess.run(["mount", "-o", "remount,ro", str(self.folder)], check=True, capture_output=True)

    def _resize(self, size: str) -> None:
        subprocess.run(["mount", "-o", f"remount,size={size}", str(self.folder)], check=True, capture_output=True)


@contextmanager
def small_disk(folder: Path) -> Iterator[SmallDisk]:
    """A tmpfs on `folder`, which is made; the test is skipped where we may mount none."""
    folder.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={ROOM},mode=0700", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        skip(f"no tmpfs can be mounted here: {mounted.stderr.strip()}")
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True, capture_output=True)
