"""SIGKILL of psql, of the daemon and of the postmaster in the middle of a script: done again, the effect shows exactly once."""

import asyncio
import contextlib
import os
import signal
import sys
from dataclasses import replace

import pytest
from support.new_database import Site, make_site

from cutoverd.daemon.host import children, launcher
from cutoverd.daemon.postgres.backup.backups import PgDump
from cutoverd.daemon.postgres.ledger import ledger
from cutoverd.daemon.postgres.scripts.scripts import DataScript
from cutoverd.states.errors import NotLeader, StepError
from cutoverd.states.ports import Found

STEP = "data.run_script:load"
DAEMON = """
import asyncio, json, sys
from pathlib import Path
from cutoverd.daemon.postgres.backup.backups import PgDump
from cutoverd.daemon.postgres.scripts.scripts import DataScript, PsqlScripts
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.states.ports import AttemptId, Direction
url, folder, bin_dir, cwd, what, file, probe = sys.argv[1:]
server = Server(url, "r1", 1, Path(folder), Path(bin_dir))
attempt_id = AttemptId("r1", 1, "data.run_script:load", Direction.FORWARD, "e1")
scripts = PsqlScripts(server, [Path(file)], [DataScript("load", Path(file), probe or None)], cwd=Path(cwd))
backup = PgDump(server, Path(cwd) / "backups", 2, scripts)
asyncio.run(scripts.run_script(attempt_id, "load") if what == "script" else backup.prove(attempt_id))
"""


@pytest.fixture
async def site(cluster, tmp_path):
    return await make_site(cluster, tmp_path)


def slow_once(site: Site) -> str:
    """Waits for a lock that the test holds, then adds a row."""
    return site.witness("load") + "SELECT pg_advisory_xact_lock(42);\n"


@contextlib.contextmanager
def holding_it_up(site: Site):
    with site.cluster.superuser("app_next") as connection:
        connection.execute("SELECT pg_advisory_lock(42)")
        yield


def load(site: Site, text: str, probe: str | None = None) -> DataScript:
    return DataScript("load", site.file("load.sql", text), probe)


def psql_pid(site: Site) -> int:
    """Of the child that is on record."""
    return next(int(path.stem) for path in (site.server.folder / "children").glob("*.json"))


async def daemon(site: Site, what: str, script: DataScript) -> asyncio.subprocess.Process:
    server = site.server
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", DAEMON, server.url, str(server.folder), str(server.bin_dir), str(site.folder), what,
        str(script.file), script.probe or "", stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip


async def taken_over(site: Site):
    """What the next daemon does first; the server as it sees it."""
    server = replace(site.server, epoch=2)
    await children.end_orphans(server.folder, older_than_epoch=2)
    await ledger.prepare(server)
    await ledger.acquire_fence(server)
    return server


async def raise_epoch_in_new(site: Site) -> None:
    """As acquire_fence does for a new that build_new recorded."""
    site.execute("UPDATE cutoverd.fence SET epoch = 2", "app_next")


async def test_a_killed_psql_leaves_nothing_and_the_redo_does_it_once(site: Site):
    scripts = site.scripts([], [load(site, slow_once(site))])
    with holding_it_up(site):
        task = asyncio.create_task(scripts.run_script(site.attempt_id(STEP), "load"))
        await site.until_running("pg_advisory_xact_lock")
        os.kill(psql_pid(site), signal.SIGKILL)
        with pytest.raises(StepError, match="psql was killed by signal 9"):
            await task
        assert site.backends() == []
        assert site.witnessed() == []
        assert (await scripts.probe_script(site.attempt_id(STEP), "load")).found is Found.ABSENT
    await scripts.run_script(site.attempt_id(STEP), "load")
    assert site.witnessed() == ["load"]


async def test_a_terminated_backend_is_a_failure_with_its_place(site: Site):
    scripts = site.scripts([], [load(site, slow_once(site))])
    with holding_it_up(site):
        task = asyncio.create_task(scripts.run_script(site.attempt_id(STEP), "load"))
        pid = await site.until_running("pg_advisory_xact_lock")
        site.execute(f"SELECT pg_terminate_backend({pid})")
        with pytest.raises(StepError, match=r"load.sql:2: terminating connection due to administrator command"):
            await task
    assert site.witnessed() == []


async def test_the_psql_of_a_killed_daemon_is_ended_and_the_next_daemon_does_it_once(site: Site):
    script = load(site, slow_once(site))
    with holding_it_up(site):
        first = await daemon(site, "script", script)
        backend = await site.until_running("pg_advisory_xact_lock")
        psql = psql_pid(site)
        first.kill()
        await first.wait()
        assert launcher.birth(psql), "psql should have outlived the daemon"
        server = await taken_over(site)
        assert launcher.birth(psql) is None
        assert backend not in [pid for pid, _ in site.backends()]
    await raise_epoch_in_new(site)
    scripts = site.scripts([], [script], server=server)
    assert (await scripts.probe_script(site.attempt_id(STEP, epoch=2), "load")).found is Found.ABSENT
    await scripts.run_script(site.attempt_id(STEP, epoch=2), "load")
    assert site.witnessed() == ["load"]


async def test_what_a_killed_daemons_psql_had_committed_is_not_done_again(site: Site):
    # Without output: nobody reads it any more, and SIGPIPE would end psql before its COMMIT.
    script = load(site, site.witness("load") + "DO $$BEGIN PERFORM pg_advisory_xact_lock(42); END$$;\n")
    with holding_it_up(site):
        first = await daemon(site, "script", script)
        await site.until_running("pg_advisory_xact_lock")
        psql = psql_pid(site)
        first.kill()
        await first.wait()
    while launcher.birth(psql):  # the lock is free: the orphan goes on and commits; pytest-timeout bounds this
        await asyncio.sleep(0.05)
    server = await taken_over(site)
    await raise_epoch_in_new(site)
    scripts = site.scripts([], [script], server=server)
    assert (await scripts.probe_script(site.attempt_id(STEP, epoch=2), "load")).found is Found.PRESENT
    assert (await scripts.run_script(site.attempt_id(STEP, epoch=2), "load"))["already_done"] is True
    assert site.witnessed() == ["load"]


async def test_a_paused_daemon_that_was_taken_over_starts_no_psql(site: Site):
    await taken_over(site)
    with pytest.raises(NotLeader):
        await site.scripts([], [load(site, site.witness("load"))]).run_script(site.attempt_id(STEP), "load")
    assert site.witnessed() == []


async def test_a_killed_postmaster_leaves_nothing_and_the_redo_does_it_once(site: Site):
    scripts = site.scripts([], [load(site, site.witness("load") + "SELECT pg_sleep(5);\n")])
    task = asyncio.create_task(scripts.run_script(site.attempt_id(STEP), "load"))
    await site.until_running("pg_sleep")
    await asyncio.to_thread(site.cluster.kill)
    await asyncio.to_thread(site.cluster.start)
    with pytest.raises(StepError):
        await task
    assert site.witnessed() == []
    scripts = site.scripts([], [load(site, site.witness("load"))])
    await scripts.run_script(site.attempt_id(STEP), "load")
    assert site.witnessed() == ["load"]


async def test_a_postmaster_killed_around_the_commit_leaves_all_or_nothing_and_we_know_which(site: Site):
    outcomes = []
    for attempt in range(6):
        step = f"{STEP}{attempt}"
        scripts = site.scripts([], [load(site, site.witness(f"load {attempt}"))])
        task = asyncio.create_task(scripts.run_script(site.attempt_id(step), "load"))
        await asyncio.sleep(0.1 + attempt * 0.06)
        await asyncio.to_thread(site.cluster.kill)
        await asyncio.to_thread(site.cluster.start)
        try:
            outcomes.append(bool(await task))
        except StepError:
            outcomes.append(False)
        there = f"load {attempt}" in site.witnessed()
        assert there is ((await scripts.probe_script(site.attempt_id(step), "load")).found is Found.PRESENT)
        assert there or not outcomes[-1]
        await scripts.run_script(site.attempt_id(step), "load")
    assert site.witnessed() == [f"load {attempt}" for attempt in range(6)]


INDEX = """-- cutoverd: no-transaction
DROP INDEX CONCURRENTLY IF EXISTS witness_index;
CREATE INDEX CONCURRENTLY witness_index ON witness (name);
"""
INDEXED = "SELECT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('witness_index') AND indisvalid)"


async def test_a_file_without_a_transaction_is_repeated_only_after_its_probe_said_missing(site: Site):
    script = load(site, INDEX, INDEXED)
    with site.cluster.superuser("app_next") as blocking:
        blocking.execute("BEGIN; INSERT INTO witness VALUES ('open')")
        first = await daemon(site, "script", script)
        await site.until_running("CREATE INDEX CONCURRENTLY")
        first.kill()
        await first.wait()
        server = await taken_over(site)
        assert site.backends() == []
        blocking.execute("COMMIT")
    await raise_epoch_in_new(site)
    scripts = site.scripts([], [script], server=server)
    attempt_id = site.attempt_id(STEP, epoch=2)
    assert (await scripts.probe_script(attempt_id, "load")).found is Found.ABSENT  # an invalid index may be there
    assert (await scripts.run_script(attempt_id, "load"))["already_done"] is False
    assert (await scripts.run_script(attempt_id, "load"))["already_done"] is True


async def test_a_proof_whose_daemon_was_killed_is_redone_and_leaves_one_dump_and_one_copy(site: Site):
    site.execute("CREATE TABLE held (id int)", "app")
    waits = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name LIKE 'cutoverd/r1/1'"
    with site.cluster.superuser("app") as holder, holder.transaction():
        holder.execute("LOCK TABLE held")
        first = await daemon(site, "backup", load(site, "SELECT 1;"))
        async with asyncio.timeout(30):
            while not site.execute(waits):
                await asyncio.sleep(0.05)
        first.kill()
        await first.wait()
        server = await taken_over(site)
    backup = PgDump(server, site.folder / "backups", 2, site.scripts([], server=server))
    proof = await backup.prove(site.attempt_id("precheck.prove_backup", epoch=2))
    assert proof["tables"] == 1
    assert site.execute("SELECT datname FROM pg_database WHERE datname LIKE 'app_try%'") == [("app_try",)]
    assert os.listdir(site.folder / "backups") == [os.path.basename(proof["file"])]
