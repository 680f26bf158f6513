"""A log that lost or changed what was acknowledged: seen by the writer at once, and by the next daemon through the anchor."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from cutoverd.daemon.bus import retry
from cutoverd.daemon.bus.anchor import FileAnchor
from cutoverd.daemon.bus.commands import CommandStream
from cutoverd.daemon.bus.connection import Client, connect
from cutoverd.daemon.bus.journal import Journal
from cutoverd.daemon.bus.stream import prepare
from cutoverd.daemon.embedded import nats as embedded
from cutoverd.daemon.engine.anchor import check_anchored
from cutoverd.daemon.engine.errors import LogRegressed
from cutoverd.events.subjects import STREAM, events_of

SUBJECT = events_of("r1")
BOUND_SECONDS = 30


@pytest.fixture(autouse=True)
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "REGRESSED_SECONDS", 1.0)


@pytest.fixture
async def folder(tmp_path: Path) -> AsyncIterator[Path]:
    yield tmp_path / "nats"
    await embedded.stop(tmp_path / "nats")


async def connected(folder: Path) -> Client:
    server = await embedded.ensure(folder)
    client = await connect(server.url, user=server.user, password=server.password)
    await prepare(client)
    return client


async def put_back(folder: Path, saved: Path) -> None:
    """The store as it was saved: what a disk that lied about fsync, or a restored snapshot, looks like."""
    await embedded.stop(folder)
    shutil.rmtree(folder / "store")
    shutil.copytree(saved, folder / "store")
    await embedded.ensure(folder)


async def save(folder: Path, saved: Path) -> None:
    await embedded.stop(folder)
    shutil.copytree(folder / "store", saved)
    await embedded.ensure(folder)


async def test_a_lost_end_is_refused_by_the_writer_by_replay_and_by_the_reader(folder: Path, tmp_path: Path) -> None:
    client = await connected(folder)
    journal = Journal(client, SUBJECT)
    await journal.append("1", b"1")
    await save(folder, tmp_path / "saved")
    await journal.append("2", b"2")
    command = await CommandStream(client).publish(b"advance", id="c1")
    await put_back(folder, tmp_path / "saved")
    async with asyncio.timeout(BOUND_SECONDS):
        with pytest.raises(LogRegressed, match=r"ends at sequence 1, but 2 was acknowledged"):
            await journal.append("3", b"3")
        with pytest.raises(LogRegressed, match=r"ends at sequence 1, but 2 was acknowledged"):
            [m async for m in journal.replay()]
        with pytest.raises(LogRegressed, match=r"ends at sequence 1, but 3 was acknowledged"):
            async with aclosing(CommandStream(client).read(command + 1)) as commands:
                await anext(commands)
    await client.close()


async def test_the_next_daemon_sees_a_lost_end_through_its_anchor(folder: Path, tmp_path: Path) -> None:
    client = await connected(folder)
    journal, anchor = Journal(client, SUBJECT), FileAnchor(tmp_path / "anchor.json")
    await journal.append("1", b"1")
    await save(folder, tmp_path / "saved")
    seq = await journal.append("2", b"2")
    await anchor.save(seq, hashlib.sha256(b"2").hexdigest())
    await put_back(folder, tmp_path / "saved")
    hashes = {m.seq: hashlib.sha256(m.data).hexdigest() async for m in Journal(client, SUBJECT).replay()}
    with pytest.raises(LogRegressed, match=r"ends at sequence 1, but 2 was acknowledged"):
        check_anchored(await anchor.load(), hashes)
    await client.close()


async def test_a_log_that_was_deleted_and_made_again_is_refused(folder: Path) -> None:
    client = await connected(folder)
    journal = Journal(client, SUBJECT)
    await journal.append("1", b"1")
    await client.js.delete_stream(STREAM)  # works in spite of deny_delete
    await prepare(client)
    async with asyncio.timeout(BOUND_SECONDS):
        with pytest.raises(LogRegressed, match=r"ends at sequence 0, but 1 was acknowledged"):
            await journal.append("2", b"2")
    await client.close()


async def test_another_message_at_an_acknowledged_sequence_is_refused(folder: Path) -> None:
    client = await connected(folder)
    journal = Journal(client, SUBJECT)
    await journal.append("ours", b"1")
    await client.js.delete_stream(STREAM)
    await prepare(client)
    await Journal(client, SUBJECT).append("theirs", b"1")
    with pytest.raises(LogRegressed, match="holds id theirs at sequence 1, where ours was acknowledged"):
        [m async for m in journal.replay()]
    await client.close()
