"""The progress of the running step as a real server tells it, and that looking is in nobody's way."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from integration.runs.test_run_commanded import scraped
from support.night import Night, a_night, until
from support.servers import Cluster, in_a_loop_of_its_own

from cutoverd.daemon.bus.connection import connect
from cutoverd.daemon.embedded.loopback import free_port
from cutoverd.daemon.plan.load import load
from cutoverd.daemon.postgres.ledger import ledger
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.postgres.stats.activity import Activity, activities, size_bytes
from cutoverd.daemon.runtime.progress_tracker import ProgressTracker
from cutoverd.events import facts
from cutoverd.events.codec import Envelope, Recorded
from cutoverd.states.evolve import evolve

pytestmark = pytest.mark.both_versions
WAIT_SECONDS = 30.0
SLOW = """
CREATE FUNCTION slow(n bigint) RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS
$$BEGIN PERFORM pg_sleep(CASE WHEN n = 900 THEN 3600 ELSE 0 END); RETURN n; END$$
"""
FILLED = "CREATE TABLE big AS SELECT n FROM generate_series(1, 1000) n"
SCRIPT = "data.run_script:data/010.sql"
on_18 = pytest.mark.parametrize("cluster", ["18"], indirect=True)


@contextlib.asynccontextmanager
async def doing(server: Server, statement: str) -> AsyncIterator[None]:
    """One of our sessions is in the middle of a statement."""
    conn = await server.connect("app", of_plan=True)
    await conn.execute(SLOW)
    await conn.execute(FILLED)
    task = asyncio.create_task(conn.execute(statement.encode()))
    try:
        yield
    finally:
        conn.cancel()
        with contextlib.suppress(psycopg.Error):
            await task
        await conn.close()


async def wait_for_activity(server: Server, words: str) -> Activity:
    """The first activity that says so."""
    deadline, rows = time.monotonic() + WAIT_SECONDS, []
    while time.monotonic() < deadline:
        rows = await activities(server)
        if found := [each for each in rows if words in each.describe()]:
            return found[0]
        await asyncio.sleep(0.02)
    raise AssertionError(f"{words!r} was not seen; the last reading has {[each.describe() for each in rows]}")


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("CREATE INDEX ON big (slow(n))", "CREATE INDEX: building index"),
        ("COPY (SELECT slow(n) FROM big) TO PROGRAM 'cat > /dev/null'", ""),
        ("SELECT slow(n), 'Ann' FROM big WHERE n < 4111", "SELECT slow(n), ? FROM big WHERE n < ?"),
    ],
    ids=["index", "copy", "a query"],
)
async def test_what_the_server_tells_of_a_statement_is_told_on(cluster: Cluster, statement: str, words: str) -> None:
    server = cluster.server()
    await ledger.prepare(server)
    if statement.startswith("COPY"):
        cluster.execute("GRANT pg_execute_server_program TO cutover")
        words = "COPY TO: 899 rows"
    cluster.execute("GRANT CREATE ON SCHEMA public TO cutover", "app")
    async with doing(server, statement):
        activity = await wait_for_activity(server, words)
    assert activity.database == "app"
    assert (await activities(server)) == [], "what is over is not told"
    assert await size_bytes(server, "app") > 1_000_000


async def test_a_server_that_is_away_leaves_the_progress_unknown_and_breaks_nothing(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path) as night:
        tracker = ProgressTracker(load(night.plan_file))
        for event in (
            facts.RunStarted(plan_sha256="", files={}, items={}, gates=[]),
            facts.StepStarted(step="precheck.check_server", direction="forward", attempt=1),
        ):
            recorded = Recorded(1, Envelope("", night.run, datetime.now(UTC), 1, "", 1, 0, event))
            tracker(evolve(tracker.run, recorded), recorded)
        gone = Server("postgresql://cutover@127.0.0.1:1/app", night.run, 1, tmp_path)
        async with tracker.tracking(gone):
            await asyncio.sleep(1.5)  # one look has failed by then
            progress = tracker.progress(datetime.now(UTC))
    assert progress is not None
    assert (progress.reading.describe(), progress.seconds > 1) == ("", True)


@pytest.mark.long
@on_18
def test_the_running_statement_is_named_with_its_file_and_line_and_the_look_is_in_nobodys_way(
    cluster: Cluster, tmp_path: Path
) -> None:
    port = free_port()
    with a_night(cluster, tmp_path, metrics={"listen": f"127.0.0.1:{port}", "scraped_within": "0s"}) as night:
        cluster.execute("ALTER SYSTEM SET log_connections = 'on'")
        cluster.execute("SELECT pg_reload_conf()")
        night.stall(SCRIPT)
        night.start("--auto")
        night.wait_for_step(SCRIPT)
        labels = f'{{direction="forward",run="night",step="{SCRIPT}"}}'
        metrics = until(
            lambda: metrics_with(port, f"cutover_step_progress_ratio{labels}"), "the metrics tell how far the script is"
        )
        assert metrics[f"cutover_step_progress_ratio{labels}"] == pytest.approx(2 / 3)
        assert metrics[f"cutover_step_elapsed_seconds{labels}"] > 0
        assert len(night.backends()) == 1, "no session of the watch is taken for one of the run: the next daemon would end it"
        assert f"application_name=cutoverd-watch/{night.run}" in cluster.log
        answer = in_a_loop_of_its_own(asked(night))
        known = json.loads(night.cli("status", "-f", "json").stdout)
        assert answer.keys() - known.keys() == {"progress", "progress_beside", "journal_waits"}
        assert {name: answer[name] for name in ("run", "state", "next", "epoch")} == {
            name: known[name] for name in ("run", "state", "next", "epoch")
        }
        assert answer["progress"]["doing"] == "data/010.sql:3, SELECT store.stand_still(?)"
        assert (answer["progress"]["step"], answer["progress"]["ratio"]) == (SCRIPT, 0.6667)
        night.release()
        assert night.exit_code() == 0


async def asked(night: Night) -> Any:
    """A plain NATS request, as anybody may make it."""
    server = night.nats()
    client = await connect(server.url, user=server.user, password=server.password)
    answer = await client.nc.request("cutover.svc.status", b"", timeout=10)
    await client.close()
    return json.loads(answer.data)


def metrics_with(port: int, name: str) -> dict[str, float]:
    metrics = scraped(port)
    return metrics if name in metrics else {}
