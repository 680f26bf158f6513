"""The two anchors: a file, and a row in the ledger."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest
from structlog.testing import capture_logs
from support.found_files import EVERYTHING, put

from cutoverd.daemon.bus.anchor import FileAnchor
from cutoverd.daemon.engine.anchor import Anchored, check_anchored
from cutoverd.daemon.engine.errors import LogRegressed
from cutoverd.daemon.postgres.ledger import ledger
from cutoverd.daemon.postgres.ledger.anchor import LedgerAnchor


async def test_a_file_anchor_gives_back_what_was_saved_last(tmp_path: Path) -> None:
    path = tmp_path / "anchor.json"
    assert await FileAnchor(path).load() is None
    await FileAnchor(path).save(7, "a" * 64)
    await FileAnchor(path).save(9, "b" * 64)
    assert await FileAnchor(path).load() == Anchored(9, "b" * 64)
    assert os.listdir(tmp_path) == ["anchor.json"]


async def test_a_file_anchor_is_private_even_where_one_was_not(tmp_path: Path) -> None:
    path = tmp_path / "anchor.json"
    path.write_text('{"seq": 1, "hash": "half of it and much more text than an anchor has' + "x" * 200)
    path.chmod(0o644)
    await FileAnchor(path).save(7, "a" * 64)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert await FileAnchor(path).load() == Anchored(7, "a" * 64)


async def test_two_saves_at_once_leave_one_whole_anchor_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "anchor.json"
    await asyncio.gather(*(FileAnchor(path).save(n, "a" * 64) for n in range(20)))
    assert (await FileAnchor(path).load() or Anchored(0, "")).hash == "a" * 64
    assert os.listdir(tmp_path) == ["anchor.json"]


@pytest.mark.parametrize("what", EVERYTHING)
async def test_a_file_that_holds_no_anchor_is_named_and_leaves_it_to_the_ledgers(tmp_path: Path, what: str) -> None:
    """Found: a power cut left it empty, and no later daemon took the run any more."""
    put(tmp_path / "anchor.json", what)
    with capture_logs() as lines:
        assert await FileAnchor(tmp_path / "anchor.json").load() is None
    assert [(line["event"], line["path"]) for line in lines] == [("file_not_ours", str(tmp_path / "anchor.json"))]


async def test_a_file_anchor_that_cannot_be_written_does_not_fail_the_run(tmp_path: Path) -> None:
    await FileAnchor(tmp_path / "missing" / "anchor.json").save(7, "a" * 64)
    assert os.listdir(tmp_path) == []


def test_a_log_that_reaches_beyond_its_anchor_is_whole() -> None:
    check_anchored(None, {})
    check_anchored(Anchored(2, "b"), {1: "a", 2: "b", 5: "c"})


@pytest.mark.parametrize(
    ("hashes", "reason"),
    [
        ({}, "ends at sequence 0, but 2 was acknowledged"),
        ({1: "a"}, "ends at sequence 1, but 2 was acknowledged"),
        ({1: "a", 2: "x", 3: "c"}, "a message that hashes to x"),
        ({1: "a", 3: "c"}, "no event at sequence 2"),
    ],
)
def test_a_log_that_is_shorter_or_other_than_its_anchor_is_refused(hashes: dict[int, str], reason: str) -> None:
    with pytest.raises(LogRegressed, match=reason):
        check_anchored(Anchored(2, "b"), hashes)


async def test_a_ledger_anchor_gives_back_the_newest_and_never_goes_back(cluster: Any) -> None:
    server = cluster.server(run="r1", epoch=1)
    await ledger.prepare(server)
    anchor = LedgerAnchor(server)
    assert await anchor.load() is None
    await anchor.save(9, "b" * 64)
    await anchor.save(7, "a" * 64)  # a stale daemon is late
    assert await anchor.load() == Anchored(9, "b" * 64)
    await anchor.close()
    other = LedgerAnchor(cluster.server(run="r2", epoch=1))
    assert await other.load() is None
    await other.close()


async def test_a_ledger_anchor_whose_session_was_ended_makes_another(cluster: Any) -> None:
    server = cluster.server(run="r1", epoch=1)
    await ledger.prepare(server)
    anchor = LedgerAnchor(server)
    await anchor.save(7, "a" * 64)
    with psycopg.connect(cluster.superuser_url(), autocommit=True) as conn:
        conn.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'cutoverd/r1/1'")
    await anchor.save(8, "b" * 64)
    assert await anchor.load() == Anchored(8, "b" * 64)
    await anchor.close()


async def test_a_ledger_anchor_without_its_server_costs_little_and_fails_nothing(cluster: Any) -> None:
    server = cluster.server(run="r1", epoch=1)
    await ledger.prepare(server)
    anchor = LedgerAnchor(server)
    await anchor.save(7, "a" * 64)
    cluster.kill()
    try:
        assert await save_all(anchor, range(8, 20)) < 5
        assert await anchor.load() is None
    finally:
        cluster.start()
    assert await anchor.load() == Anchored(7, "a" * 64)
    await anchor.close()


async def test_a_ledger_anchor_whose_server_stands_still_holds_nobody_up(cluster: Any) -> None:
    server = cluster.server(run="r1", epoch=1)
    await ledger.prepare(server)
    anchor = LedgerAnchor(server)
    await anchor.save(7, "a" * 64)
    assert anchor._connection
    backend = anchor._connection.info.backend_pid
    os.kill(backend, signal.SIGSTOP)
    try:
        assert await save_all(anchor, range(8, 20)) < 5
    finally:
        os.kill(backend, signal.SIGCONT)
    await anchor.close()


async def save_all(anchor: LedgerAnchor, seqs: range) -> float:
    """Seconds it took."""
    began = time.monotonic()
    for seq in seqs:
        await anchor.save(seq, "b" * 64)
    return time.monotonic() - began
