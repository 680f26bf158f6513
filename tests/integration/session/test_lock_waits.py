"""Found: PreCheck's coverage waited for hours on somebody's table lock, without a word. Now who holds it is named, and soon."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from structlog.testing import capture_logs
from support.servers import Cluster

from cutoverd.daemon.postgres.backup import dump
from cutoverd.daemon.postgres.compare.compare import Comparison
from cutoverd.daemon.postgres.ledger import ledger
from cutoverd.daemon.postgres.session import lock_waits
from cutoverd.daemon.postgres.session.lock_waits import LockHeld, LockWatch, Wait, lock_held
from cutoverd.daemon.postgres.session.session import session
from cutoverd.daemon.postgres.stats.activity import activities
from cutoverd.daemon.postgres.validation.coverage import check_coverage
from cutoverd.daemon.progress import ProgressReporter
from cutoverd.states.errors import OutcomeUnknown

pytestmark = pytest.mark.both_versions
READ = Comparison("machines", "SELECT id FROM store.machine", "SELECT id FROM store.machine", ("id",))
HOLDER = r"pid {pid} \(app_user, nightly import, in a transaction since \d{{4}}-[^,]* UTC, idle in transaction\)"


@pytest.fixture(autouse=True)
async def soon(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    await ledger.prepare(cluster.server())
    for statement in (
        "CREATE SCHEMA store; CREATE TABLE store.machine (id int PRIMARY KEY)",
        "GRANT USAGE ON SCHEMA store TO PUBLIC; GRANT ALL ON store.machine TO PUBLIC",
    ):
        cluster.execute(statement, "app")
    monkeypatch.setattr(lock_waits, "LOCK_SECONDS", 2.0)
    monkeypatch.setattr(lock_waits, "FIRST_POLL_SECONDS", 0.3)
    monkeypatch.setattr(lock_waits, "PAUSE_SECONDS", 0.3)


@contextmanager
def locked(cluster: Cluster) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """Somebody's session that stands still with the table."""
    with psycopg.connect(cluster.url("app", "app_user"), application_name="nightly import") as holder:
        holder.execute("LOCK TABLE store.machine IN ACCESS EXCLUSIVE MODE")
        yield holder


async def test_coverage_names_who_holds_the_table_that_it_asks_for(cluster: Cluster) -> None:
    with locked(cluster) as holder, capture_logs() as lines:
        began = time.monotonic()
        who = HOLDER.format(pid=holder.info.backend_pid)
        with pytest.raises(LockHeld, match=rf"^waited \d+ s for a lock on store\.machine, which {who} holds$") as held:
            await check_coverage(cluster.server(), [READ], {}, old="app")
        assert time.monotonic() - began < 20
        assert held.value.hint == f"let it end, or end it (SELECT pg_terminate_backend({holder.info.backend_pid})), then `retry`"
        assert [each["pid"] for each in held.value.evidence["holders"]] == [holder.info.backend_pid]
    [line] = [each for each in lines if each["event"] == "waits_for_lock"]
    assert "nightly import" in line["holders"][0]


async def test_a_lock_that_is_given_back_in_time_is_told_and_no_error(cluster: Cluster) -> None:
    reporter, waits = ProgressReporter(), list[str]()
    reporter.collect_from_here()
    with locked(cluster) as holder:
        asking = asyncio.create_task(_rows(cluster))
        while not waits:
            await asyncio.sleep(0.1)
            waits += [reporter.of("").doing] if "waits for a lock that pid" in reporter.of("").doing else []
        holder.rollback()
        assert await asking == 0


async def _rows(cluster: Cluster) -> int:
    async with session(cluster.server(), "app") as conn:
        row = await (await conn.execute("SELECT count(*) FROM store.machine")).fetchone()
    return int(row[0]) if row else -1


async def test_an_error_that_the_block_has_taken_for_another_is_told_as_what_it_was(cluster: Cluster) -> None:
    async def swallowing() -> None:
        async with session(cluster.server(), "app") as conn:
            try:
                await conn.execute("SELECT FROM store.machine")
            except psycopg.Error:
                return

    with locked(cluster), pytest.raises(LockHeld, match=r"store\.machine"):
        await swallowing()


async def test_a_session_that_is_ended_while_it_waits_is_not_told_as_one_that_gave_up(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found: the fence, or a server that stopped, ended it in that moment, and a lock was to blame for what nobody knew."""

    async def ended_meanwhile(watch: LockWatch, wait: Wait) -> LockHeld:
        cluster.execute(f"SELECT pg_terminate_backend({watch._pid})")
        return lock_held(wait)

    monkeypatch.setattr(LockWatch, "_held", ended_meanwhile)
    with locked(cluster), pytest.raises(OutcomeUnknown, match="the connection was lost"):
        await _rows(cluster)


async def test_a_time_out_of_our_own_names_the_holder_too(cluster: Cluster) -> None:
    async def bounded() -> None:
        async with session(cluster.server(), "app") as conn:
            await conn.execute("SET lock_timeout = '1500ms'")
            await conn.execute("SELECT FROM store.machine")

    with locked(cluster), pytest.raises(LockHeld, match="nightly import"):
        await bounded()


async def test_a_prepared_transaction_that_holds_it_is_told_as_such(cluster: Cluster) -> None:
    with locked(cluster) as holder:
        holder.execute("PREPARE TRANSACTION 'forgotten'")
        with pytest.raises(LockHeld, match="which a prepared transaction") as held:
            await check_coverage(cluster.server(), [READ], {}, old="app")
    assert "ROLLBACK PREPARED" in held.value.hint
    cluster.execute("ROLLBACK PREPARED 'forgotten'", "app")


async def test_whoever_only_looks_waits_less(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_waits, "LOCK_SECONDS", 600.0)
    monkeypatch.setattr(lock_waits, "CHECK_SECONDS", 1.0)
    with locked(cluster), pytest.raises(LockHeld):
        await check_coverage(replace(cluster.server(), read_only=True), [READ], {}, old="app")


async def test_a_long_statement_that_waits_for_nobody_is_left_alone(cluster: Cluster) -> None:
    async with session(cluster.server(), "app") as conn:
        await conn.execute("SELECT pg_sleep(4)")


async def test_the_progress_of_a_step_tells_for_whom_a_session_waits(cluster: Cluster) -> None:
    """So for psql and pg_dump as well, which wait by themselves."""
    server = cluster.server()
    with locked(cluster) as holder:
        asking = asyncio.create_task(_rows(cluster))
        found = list[str]()
        while not found:
            await asyncio.sleep(0.1)
            found = [each.describe() for each in await activities(server) if each.lock_holders]
        holder.rollback()
        await asking
        who = f"pid {holder.info.backend_pid} (app_user, nightly import)"
    assert found == [f"waits for a lock that {who} has: SELECT count(*) FROM store.machine"]


async def test_a_dump_that_gives_up_names_the_holder(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pg_dump itself tells the table, and nobody who has it."""
    monkeypatch.setattr(dump, "LOCK_WAIT", "3s")
    server = replace(cluster.server(folder=tmp_path), bin_dir=cluster.bin_dir)
    with locked(cluster), pytest.raises(LockHeld, match=r"waited \d+ s for a lock, which pid \d+ \(app_user, nightly import"):
        await dump.take(server, "app", dump.new_dump(tmp_path, "r1", "backup", 1), jobs=1, step="s", timeout_seconds=60)


async def test_the_ledger_that_is_not_there_yet_is_not_waited_for_without_end(cluster: Cluster) -> None:
    """Found: who looks for the holder looked from the ledger, which was still to be made, and so it was waited for for ever."""
    cluster.execute("DROP DATABASE cutoverd")
    with cluster.superuser() as holder, holder.transaction():
        holder.execute("LOCK TABLE pg_catalog.pg_database IN SHARE ROW EXCLUSIVE MODE")
        with pytest.raises(LockHeld, match=rf"^waited \d+ s for a lock on pg_database, which pid {holder.info.backend_pid} "):
            async with asyncio.timeout(20):
                await ledger.prepare(cluster.server())
