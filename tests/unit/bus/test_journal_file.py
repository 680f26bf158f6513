"""The copy of the journal in the run's folder: to the byte, each event once, whatever a power cut has left of it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from cutoverd.daemon.bus.journal_file import FileCopy, read_lines
from cutoverd.daemon.engine.copies import CopiedEvent
from cutoverd.events.codec import hash_of


def event(n: int, text: str = "x") -> CopiedEvent:
    body = b'{"n":%d,"text":"%b"}' % (n, text.encode())
    return CopiedEvent(n, 10 * n, hash_of(body), body)


async def copied(path: Path, *events: CopiedEvent) -> list[CopiedEvent]:
    copy = FileCopy(path)
    for each in events:
        copy.add(each)
    await copy.flush()
    return list(read_lines(path))


async def test_each_event_is_there_once_to_the_byte_by_whom_it_is_added_again(tmp_path: Path) -> None:
    path, events = tmp_path / "j", [event(1, "é\\u2028"), event(2)]
    assert await copied(path, *events) == events
    assert await copied(path, *events, event(3)) == [*events, event(3)]
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("lost_bytes", [1, 2, 20, 40])
async def test_what_a_power_cut_left_half_is_written_again(tmp_path: Path, lost_bytes: int) -> None:
    path = tmp_path / "j"
    await copied(path, event(1), event(2))
    path.write_bytes(path.read_bytes()[:-lost_bytes])
    assert await copied(path, event(1), event(2), event(3)) == [event(1), event(2), event(3)]


async def test_a_copy_of_another_journal_is_kept_aside_and_a_new_one_begun(tmp_path: Path) -> None:
    path = tmp_path / "j"
    await copied(path, event(1), event(2, "theirs"))
    assert await copied(path, event(1), event(2, "ours")) == [event(1), event(2, "ours")]
    [name] = set(await asyncio.to_thread(os.listdir, tmp_path)) - {"j"}
    assert list(read_lines(tmp_path / name)) == [event(1), event(2, "theirs")]


async def test_a_folder_that_cannot_be_written_to_holds_nothing_up(tmp_path: Path) -> None:
    assert await copied(tmp_path / "missing" / "j", event(1)) == []


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path)])
async def test_what_is_no_file_is_put_aside_and_read_by_nobody(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """Found: a pipe in its place held the daemon up for ever."""
    make(tmp_path / "j")
    async with asyncio.timeout(10):
        assert await copied(tmp_path / "j", event(1)) == [event(1)]
