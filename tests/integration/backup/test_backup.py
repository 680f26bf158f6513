"""Backups on real servers: proven by restoring them, and the final one beside the run."""

import asyncio
import re
import stat
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.new_database import Site, make_site
from support.servers import Cluster

from cutoverd.daemon.postgres.backup import dump, row_counts
from cutoverd.daemon.postgres.backup.backups import PgDump
from cutoverd.daemon.postgres.ledger import ledger
from cutoverd.daemon.postgres.precheck.dumpable import ProofPlan
from cutoverd.states.errors import CheckFailed, NotLeader, Unfit

pytestmark = pytest.mark.both_versions
PRODUCTION = """
SET ROLE app_owner;
CREATE SCHEMA shop;
CREATE TYPE shop.colour AS ENUM ('red', 'green');
CREATE TABLE shop."Ord;er" (id int PRIMARY KEY, colour shop.colour, note text);
INSERT INTO shop."Ord;er" SELECT i, 'red', repeat('x', 100) FROM generate_series(1, 1000) i;
CREATE TABLE shop.line (id int, at date) PARTITION BY RANGE (id);
CREATE TABLE shop.line_1 PARTITION OF shop.line FOR VALUES FROM (0) TO (100);
CREATE TABLE shop.line_2 PARTITION OF shop.line FOR VALUES FROM (100) TO (200);
INSERT INTO shop.line SELECT i, '2026-01-01' FROM generate_series(0, 199) i;
CREATE MATERIALIZED VIEW shop.counted AS SELECT count(*) FROM shop.line;
CREATE TABLE empty ();
CREATE EXTENSION pg_trgm;
"""
SUPERUSERS = """
CREATE FUNCTION public.ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN END$$;
CREATE EVENT TRIGGER watch ON ddl_command_end EXECUTE FUNCTION public.ddl();
COMMENT ON EVENT TRIGGER watch IS 'watches';
CREATE EXTENSION pageinspect;
CREATE PUBLICATION everything FOR ALL TABLES;
"""


@dataclass
class Backup:
    site: Site
    cluster: Cluster
    directory: Path

    def dumps(self, *schema: Path, epoch: int = 1, **how) -> PgDump:
        server = self.cluster.server(epoch=epoch, folder=self.site.server.folder)
        return PgDump(server, self.directory, 2, self.site.scripts(schema), **how)

    def kept(self) -> list[str]:
        return sorted(path.name for path in self.directory.iterdir()) if self.directory.exists() else []

    def scratch(self) -> list[tuple]:
        return self.cluster.execute("SELECT 1 FROM pg_database WHERE datname = 'app_try'")

    async def until(self, query: str) -> None:
        deadline = time.monotonic() + 20
        while not self.cluster.execute(query):
            assert time.monotonic() < deadline, query
            await asyncio.sleep(0.02)


@pytest.fixture
async def backup(cluster, tmp_path):
    site = await make_site(cluster, tmp_path)
    cluster.execute(PRODUCTION, "app")
    return Backup(site, cluster, tmp_path / "back ups")


def modes(folder: Path) -> set[int]:
    return {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


def fence(cluster: Cluster) -> None:
    cluster.execute("ALTER DATABASE app RENAME TO app_previous")
    cluster.execute("ALTER DATABASE app_previous SET default_transaction_read_only = on")


async def test_a_backup_is_proven_by_restoring_it_and_the_copy_is_kept_until_it_is_cleared(backup: Backup):
    backup.cluster.execute(SUPERUSERS, "app")
    backup.cluster.execute("ALTER DATABASE app SET search_path = shop")
    dumps = backup.dumps()
    proof = await dumps.prove(backup.site.attempt_id("precheck.backup"))
    assert (proof["tables"], proof["rows"]) == (4, 1200)
    assert await dumps.check_copy(backup.site.attempt_id("precheck.backup"), proof) == {"tables": 4, "rows": 1200}
    assert backup.scratch()
    await dumps.clear(backup.site.attempt_id("precheck.backup"))
    assert {entry.split(" - ")[0] for entry in proof["left_out"]} == {"EVENT TRIGGER", "COMMENT", "EXTENSION", "PUBLICATION"}
    assert backup.scratch() == []
    file = Path(proof["file"])
    assert backup.kept() == [file.name]
    assert re.fullmatch(r"r1-before-\d{8}T\d{6}\.\d{6}Z", file.name)
    assert modes(file) == {0o600}
    assert modes(backup.directory) == {0o700}
    assert proof["bytes"] == dump.size_bytes(file)


async def test_rows_written_while_the_dump_runs_belong_to_neither(backup: Backup):
    task = asyncio.create_task(backup.dumps().prove(backup.site.attempt_id("precheck.backup")))
    await backup.until("SELECT 1 FROM pg_stat_activity WHERE query LIKE '%pg_export_snapshot%' AND datname = 'app'")
    backup.cluster.execute("INSERT INTO empty DEFAULT VALUES", "app")
    assert (await task)["rows"] == 1200


async def test_a_dump_that_restores_fewer_rows_fails_by_table(backup: Backup, monkeypatch):
    count_rows, counted = row_counts.count_rows, []

    async def losing_one(conn):
        counted.append(await count_rows(conn))
        return counted[0] if len(counted) == 1 else {**counted[1], "shop.line_1": 99}

    monkeypatch.setattr(row_counts, "count_rows", losing_one)
    with pytest.raises(CheckFailed, match=r"shop.line_1: 100 dumped, 99 restored") as raised:
        await backup.dumps().prove(backup.site.attempt_id("precheck.backup"))
    assert raised.value.evidence == {"tables": {"shop.line_1": [100, 99]}}
    assert (backup.kept(), backup.scratch()) == ([], [])


ENUM = """
SET ROLE app_owner;
CREATE TYPE kind AS ENUM ('a', 'b');
CREATE TABLE hashed (id int, kind kind) PARTITION BY HASH (kind);
CREATE TABLE hashed_0 PARTITION OF hashed FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE hashed_1 PARTITION OF hashed FOR VALUES WITH (MODULUS 2, REMAINDER 1) PARTITION BY RANGE (id);
CREATE TABLE hashed_1_all PARTITION OF hashed_1 DEFAULT;
INSERT INTO hashed SELECT i, (ARRAY['a', 'b']::kind[])[1 + i % 2] FROM generate_series(1, 30) i;
"""


async def test_rows_that_a_restore_spreads_anew_over_partitions_are_counted_together(backup: Backup):
    """Found: an enum is hashed by the oid of its value, so the proof called a table wrong that was right."""
    backup.cluster.execute(ENUM, "app")
    for spread in range(3):  # by chance a restore may give the same
        backup.cluster.execute(f"SET ROLE app_owner; ALTER TYPE kind ADD VALUE 'c{spread}'", "app")
        backup.cluster.execute(f"INSERT INTO hashed SELECT i, 'c{spread}' FROM generate_series(1, 10) i", "app")
        assert (await backup.dumps().prove(backup.site.attempt_id(f"precheck.backup_{spread}")))["rows"] == 1240 + 10 * spread


def test_a_row_that_is_missing_of_those_is_found():
    spread = {"hashed_0": "hashed", "hashed_1": "hashed"}
    row_counts.compare({"hashed_0": 3, "hashed_1": 4}, {"hashed_0": 7, "hashed_1": 0}, spread=spread)
    with pytest.raises(CheckFailed, match=r"all of hashed: 7 dumped, 6 restored"):
        row_counts.compare({"hashed_0": 3, "hashed_1": 4}, {"hashed_0": 6, "hashed_1": 0}, spread=spread)


async def test_a_table_that_cannot_be_restored_fails_in_pg_restores_words(backup: Backup):
    backup.cluster.execute(
        "SET ROLE app_owner; CREATE FUNCTION shop.ok(int) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT true';"
        "CREATE TABLE shop.odd (i int CHECK (shop.ok(i))); INSERT INTO shop.odd VALUES (1);"
        "CREATE OR REPLACE FUNCTION shop.ok(int) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT false';",
        "app",
    )
    with pytest.raises(CheckFailed, match=r"pg_restore ended with 1") as raised:
        await backup.dumps().prove(backup.site.attempt_id("precheck.backup"))
    assert "violates check constraint" in raised.value.evidence["stderr"]
    assert (backup.kept(), backup.scratch()) == ([], [])


async def test_a_table_that_we_may_not_dump_fails_in_pg_dumps_words(backup: Backup):
    backup.cluster.execute("REVOKE pg_read_all_data FROM cutover; CREATE ROLE other; GRANT CREATE ON SCHEMA public TO other")
    backup.cluster.execute("CREATE SCHEMA hidden; CREATE TABLE hidden.t ()", "app")
    with pytest.raises(CheckFailed, match=r"pg_dump ended with 1: .*permission denied for schema hidden"):
        await backup.dumps().prove(backup.site.attempt_id("precheck.backup"))
    assert backup.kept() == []


async def test_somebody_elses_database_of_the_scratch_name_is_not_touched(backup: Backup):
    backup.cluster.execute("CREATE DATABASE app_try")
    with pytest.raises(Unfit, match="there is a database app_try already"):
        await backup.dumps().prove(backup.site.attempt_id("precheck.backup"))
    assert backup.scratch()


async def test_a_cancelled_proof_leaves_no_process_session_database_or_file(backup: Backup):
    sleeps = ProofPlan(
        restore=[str(backup.cluster.bin_dir / "psql"), "-XqAt", "-d", backup.cluster.url("app_try"), "-c", "SELECT pg_sleep(60)"]
    )
    for moment, proof in (
        ("SELECT 1 FROM pg_stat_activity WHERE datname = 'app' AND query LIKE '%pg_export_snapshot%'", ProofPlan()),
        ("SELECT 1 FROM pg_stat_activity WHERE datname = 'app_try'", ProofPlan()),
        ("SELECT 1 FROM pg_stat_activity WHERE datname = 'app_try' AND query LIKE '%pg_sleep%'", sleeps),
    ):
        task = asyncio.create_task(backup.dumps(proof=proof).prove(backup.site.attempt_id("precheck.backup")))
        await backup.until(moment)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (backup.kept(), backup.scratch()) == ([], []), moment
        ours = "SELECT pid, query FROM pg_stat_activity WHERE application_name LIKE 'cutoverd/%' AND datname LIKE 'app%'"
        assert backup.cluster.execute(ours) == [], moment
        assert list((backup.site.server.folder / "children").glob("*.json")) == []


async def test_a_stale_daemon_does_not_remove_the_dump_that_the_next_one_is_taking(backup: Backup):
    """Found: what is not finished went by the run's name alone, and `prove` removes it before and after."""
    waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = 'app' AND wait_event_type = 'Lock' HAVING count(*) = {}"
    stale, newer = [backup.dumps(epoch=epoch).prove(backup.site.attempt_id("precheck.backup", epoch)) for epoch in (1, 2)]
    await ledger.acquire_fence(backup.cluster.server(epoch=2, folder=backup.site.server.folder))
    (backup.directory / "r1-before-20260101T000000.000000Z.1.part").mkdir(parents=True)
    with backup.cluster.superuser("app") as holding:
        holding.execute(HOLD)
        proving = asyncio.create_task(newer)
        await backup.until(waiting.format(1))
        [part] = backup.kept()  # what the dead one left is gone
        refused = asyncio.create_task(stale)
        await backup.until(waiting.format(2))
        assert part in backup.kept()
    with pytest.raises(NotLeader):
        await refused
    proof = await proving
    assert backup.kept() == [Path(proof["file"]).name]


async def test_the_final_dump_runs_beside_and_is_awaited(backup: Backup):
    fence(backup.cluster)
    dumps, attempt_id = backup.dumps(), backup.site.attempt_id("schema.backup")
    started = await dumps.start(attempt_id)
    finished = await dumps.finish(attempt_id)
    assert (finished["file"], finished["bytes"] > 0) == (started["file"], True)
    assert backup.kept() == [Path(finished["file"]).name]
    assert await dumps.end(attempt_id) == {"removed": []}
    again = await backup.dumps(epoch=2).finish(attempt_id)
    assert (again["file"], again["already_done"]) == (finished["file"], True)


async def test_the_final_dump_is_taken_now_if_the_daemon_that_began_it_is_gone(backup: Backup):
    fence(backup.cluster)
    (backup.directory / "r1-final-20260101T000000.000000Z.part").mkdir(parents=True)
    finished = await backup.dumps(epoch=2).finish(backup.site.attempt_id("validate.backup"))
    assert backup.kept() == [Path(finished["file"]).name]


async def test_a_final_dump_that_failed_is_told_by_finish_and_taken_anew(backup: Backup):
    dumps, attempt_id = backup.dumps(), backup.site.attempt_id("schema.backup")
    await dumps.start(attempt_id)
    with pytest.raises(CheckFailed, match=r'database "app_previous" does not exist'):
        await dumps.finish(attempt_id)
    fence(backup.cluster)
    assert (await dumps.finish(attempt_id))["bytes"] > 0


HOLD = "BEGIN; LOCK TABLE shop.line IN ACCESS EXCLUSIVE MODE"
WAITS = "SELECT 1 FROM pg_stat_activity WHERE datname = 'app_previous' AND wait_event_type = 'Lock'"


async def test_ending_a_final_dump_leaves_no_process_session_or_file(backup: Backup):
    fence(backup.cluster)
    dumps, attempt_id = backup.dumps(), backup.site.attempt_id("schema.backup")
    with backup.cluster.superuser("app_previous") as holding:
        holding.execute("SET default_transaction_read_only = off")
        holding.execute(HOLD)
        await dumps.start(attempt_id)
        await backup.until(WAITS)
        ended = await dumps.end(attempt_id)
        assert len(ended["removed"]) == 1
        assert backup.kept() == []
        ours = "SELECT pid, query FROM pg_stat_activity WHERE application_name LIKE 'cutoverd/%' AND datname = 'app_previous'"
        assert backup.cluster.execute(ours) == []
        assert list((backup.site.server.folder / "children").glob("*.json")) == []


async def test_cancelling_finish_leaves_alone_what_start_began(backup: Backup):
    fence(backup.cluster)
    dumps, attempt_id = backup.dumps(), backup.site.attempt_id("schema.backup")
    with backup.cluster.superuser("app_previous") as holding:
        holding.execute("SET default_transaction_read_only = off")
        holding.execute(HOLD)
        await dumps.start(attempt_id)
        waiting = asyncio.create_task(dumps.finish(attempt_id))
        await backup.until(WAITS)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert backup.cluster.execute(WAITS)
    assert (await dumps.finish(attempt_id))["bytes"] > 0


async def test_cancelling_finish_ends_a_dump_that_it_began(backup: Backup):
    fence(backup.cluster)
    dumps, attempt_id = backup.dumps(), backup.site.attempt_id("schema.backup")
    with backup.cluster.superuser("app_previous") as holding:
        holding.execute("SET default_transaction_read_only = off")
        holding.execute(HOLD)
        waiting = asyncio.create_task(dumps.finish(attempt_id))
        await backup.until(WAITS)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert backup.kept() == []
