"""The copy of a run's journal in its folder: NDJSON, a line for each event, with its place in the stream and its very bytes."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from cutoverd.daemon.engine.copies import CopiedEvent, Waiting
from cutoverd.daemon.engine.errors import LogRegressed
from cutoverd.daemon.host.log import Logger
from cutoverd.daemon.host.private_files import UnusableFile, open_own, open_private, write_private
from cutoverd.events.codec import hash_of

log = Logger(__name__)

FILE = "journal.ndjson"
_LINE = re.compile(rb'\{"n":(\d{1,18}),"seq":(\d{1,18}),"event":(\{.*\})\}\n')


class FileCopy:
    """`JournalCopy` in a file of mode 600."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._waiting: Waiting = Waiting()
        self._is_read = False

    def add(self, event: CopiedEvent) -> None:
        self._waiting.events.append(event)

    async def flush(self) -> None:
        try:
            if not self._is_read:
                await asyncio.to_thread(self._take_up)
            if events := self._next_events():
                await asyncio.to_thread(self._write, events)
            self._waiting.have(events)
        except (OSError, LogRegressed) as error:
            log.warning("journal_not_copied", path=str(self._path), error=str(error))

    async def settled(self) -> None:
        """Nothing waits for a file: its folder may be the one that is lost."""

    def _write(self, events: list[CopiedEvent]) -> None:
        with open_private(self._path) as file:
            file.write(b"".join(map(_line, events)))
            file.flush()
            os.fsync(file.fileno())

    def _take_up(self) -> None:
        """A line that a power cut has left half is cut off; what is no file of ours is put aside by the first write."""
        try:
            found = list(read_lines(self._path))
        except UnusableFile as error:
            if not error.is_other:
                raise
            self._is_read = True
            return
        self._waiting.hashes = {each.n: each.hash for each in found}
        whole = sum(len(_line(each)) for each in found)
        if self._path.exists() and self._path.stat().st_size > whole:
            os.truncate(self._path, whole)
        self._is_read = True

    def _next_events(self) -> list[CopiedEvent]:
        try:
            return self._waiting.next_events()
        except LogRegressed as error:  # of a stream that was made anew; it is kept, and a new one begun
            aside = put_aside(self._path)
            log.error("journal_copy_differs", path=str(self._path), reason=str(error), doing=f"keeps it as {aside.name}")
            self._waiting.hashes.clear()
            return self._waiting.next_events()


def _line(event: CopiedEvent) -> bytes:
    return b'{"n":%d,"seq":%d,"event":%b}\n' % (event.n, event.seq, event.body)


def read_lines(path: Path) -> Iterator[CopiedEvent]:
    """The events in their order, up to the first line that is none; nothing if there is no file.

    Raises `UnusableFile`, OSError.
    """
    try:
        descriptor = open_own(path, os.O_RDONLY)
    except FileNotFoundError:
        return
    with os.fdopen(descriptor, "rb") as file:
        for number, line in enumerate(file, 1):
            found = _LINE.fullmatch(line)
            if found is None or int(found[1]) != number:
                return
            yield CopiedEvent(number, int(found[2]), hash_of(found[3]), found[3])


def replace_file(path: Path, events: Sequence[CopiedEvent]) -> None:
    """The copy is these events; one that does not begin with the same is kept under another name. Raises OSError."""
    hashes = [each.hash for each in events]
    try:
        is_other = os.path.lexists(path) and [each.hash for each in read_lines(path)] != hashes[: _lines(path)]
    except UnusableFile:
        is_other = True
    if is_other:
        put_aside(path)
    write_private(path, b"".join(map(_line, events)))


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n")


def put_aside(path: Path) -> Path:
    """Nobody's data is removed."""
    aside = path.with_name(f"{path.name}.{os.lstat(path).st_mtime_ns}")
    path.rename(aside)
    return aside
