"""The checks of Monitor against a real web server, real processes and a real PostgreSQL."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from support.servers import Cluster
from unit.plan.test_freeze import plan_of
from unit.plan.test_plan_file import PLAN

from cutoverd.daemon.embedded.loopback import free_port
from cutoverd.daemon.plan.load import LoadedPlan, load
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.postgres.stats.sql_sample import SqlSample
from cutoverd.daemon.runtime.wiring import ports_of
from cutoverd.daemon.systems.exec import Site
from cutoverd.daemon.systems.http import HttpCheck
from cutoverd.daemon.systems.monitor import MonitorChecksByKind
from cutoverd.daemon.systems.samples import ExecSample, HttpSample, SampleKind
from cutoverd.events import facts
from cutoverd.states.check_rules import ClockReading, Rule, Rules, Sample, Watched, changes, fold_round
from cutoverd.states.ports import AttemptId, Direction

ATTEMPT_ID = AttemptId("r1", 1, "monitor.watch", Direction.FORWARD, "e1")
PAGES = {"/health": b"ok", "/number": b" 4.5\n", "/metrics": b"# HELP errors\nerrors_total 12\n", "/words": b"many"}


async def sampled(kind: SampleKind, folder: Path, *, seconds: float = 10.0) -> Sample:
    """As the step gets it: an error is a sample that has not passed."""
    rules = Rules({"it": Rule(0.0)}, sample_seconds=seconds)
    return (await MonitorChecksByKind(rules, {"it": kind}, folder).sample(ATTEMPT_ID))["it"]


class Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = PAGES.get(self.path)
        self.send_response(200 if body is not None else 500)
        self.end_headers()
        self.wfile.write(body or b"broken")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def web() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join(10)


@pytest.mark.parametrize(
    ("path", "contains", "number", "expected"),
    [
        ("/health", "ok", None, Sample(True, None, "status 200")),
        ("/health", "fine", None, Sample(False, None, "status 200, but body 'ok'")),
        ("/gone", None, None, Sample(False, None, "status 500, body 'broken'")),
        ("/number", None, "", Sample(True, 4.5, "4.5")),
        ("/metrics", None, r"errors_total (\S+)", Sample(True, 12.0, "12")),
        ("/metrics", None, r"\d+", Sample(True, 12.0, "12")),
        ("/metrics", None, r"warnings_total (\S+)", Sample(False, None, "expected a number, saw the body")),
        ("/words", None, "", Sample(False, None, "expected a number, saw the body 'many'")),
    ],
)
async def test_http_gives_its_status_or_a_number_of_the_body(
    web: str, tmp_path: Path, path: str, contains: str | None, number: str | None, expected: Sample
) -> None:
    sample = await sampled(HttpSample(HttpCheck(f"{web}{path}", 200, contains), number), tmp_path)
    assert (sample.passed, sample.value) == (expected.passed, expected.value)
    assert expected.saw in sample.saw


async def test_a_server_that_refuses_connections_is_a_bad_sample(tmp_path: Path) -> None:
    sample = await sampled(HttpSample(HttpCheck(f"http://127.0.0.1:{free_port()}/")), tmp_path)
    assert not sample.passed
    assert "ConnectError" in sample.saw


def command(folder: Path, code: str, *, wants_number: bool = False) -> ExecSample:
    return ExecSample([sys.executable, "-c", code], Site("r1", 1, folder, folder), wants_number)


@pytest.mark.parametrize(
    ("code", "wants_number", "expected"),
    [
        ("pass", False, Sample(True, None, "exit 0")),
        ("import sys; sys.exit('no queue')", False, Sample(False, None, "exited 1; it said: no queue")),
        ("print('17\\nof them')", True, Sample(True, 17.0, "17")),
        ("print('17'); raise SystemExit(2)", True, Sample(False, None, "exited 2; it said: 17")),
        ("print('nan')", True, Sample(False, None, "expected a number, saw the first line 'nan'")),
        ("print()", True, Sample(False, None, "expected a number, saw the first line ''")),
        ("print('1\\n' + 'x' * 200000)", True, Sample(False, None, "its first line is lost")),
    ],
)
async def test_a_command_gives_its_exit_code_or_the_number_on_its_first_line(
    tmp_path: Path, code: str, wants_number: bool, expected: Sample
) -> None:
    sample = await sampled(command(tmp_path, code, wants_number=wants_number), tmp_path)
    assert (sample.passed, sample.value) == (expected.passed, expected.value)
    assert expected.saw in sample.saw


async def test_a_command_that_hangs_is_a_bad_sample_and_is_gone(tmp_path: Path) -> None:
    sample = await sampled(command(tmp_path, "import time; time.sleep(60)"), tmp_path, seconds=1)
    assert not sample.passed
    assert "1 s" in sample.saw
    assert not list((tmp_path / "children").glob("*.json"))


def served(folder: Path, monitor: str) -> LoadedPlan:
    """A plan whose one service runs as long as there is a file `up`; it says `down` and exits 1 as long as there is `ill`."""
    plan_of(folder, 1)
    status = '[sh, -c, "test ! -e ill || { echo ill; exit 1; }; test -e up || exit 3"]'
    new = f'    new: {{start: ["true"], stop: ["true"], status: {status}}}\nschema:'
    (folder / "plan.yaml").write_text(f"{PLAN.replace('schema:', new, 1)}monitor: {monitor}\n")
    return load(folder / "plan.yaml")


async def test_a_new_version_that_dies_while_it_is_watched_is_a_breach_within_minutes(tmp_path: Path) -> None:
    """Found: nobody asked for its status before the watch of 48 hours was over."""
    loaded = served(tmp_path, "{for: 48h}")
    watching = ports_of(loaded, Server("dbname=app", "night-1", 1, loaded.run_dir)).monitor_checks
    watched, on_record = Watched(ClockReading(datetime(2026, 12, 5, tzinfo=UTC), "boot", 0.0)), set[str]()
    changed = []
    for each, state in enumerate(("up", "ill", "gone", "gone", "up")):
        for name in ("up", "ill"):
            (tmp_path / name).unlink(missing_ok=True)
        (tmp_path / state).touch()
        now = ClockReading(watched.at.at, "boot", 40.0 * each)
        watched = fold_round(watched, await watching.sample(ATTEMPT_ID), now, watching.rules)
        changed.append(changes(watched, watching.rules, on_record))
        on_record ^= {change.check for change in changed[-1]}
        assert state != "ill" or "exited 1" in watched.standings["service api runs"].saw
    ended = "it has ended by itself: its status says stopped"
    breached = facts.CheckBreached(check="service api runs", saw=ended, value=None, seconds=80.0)
    recovered = facts.CheckRecovered(check="service api runs", saw="running", value=None)
    assert changed == [[], [], [], [breached], [recovered]], "40 s are no breach"


@pytest.mark.parametrize("monitor", ["{for: 60s}", "{}"])
def test_a_watch_no_longer_than_a_breach_takes_leaves_the_services_to_the_step_after_it(tmp_path: Path, monitor: str) -> None:
    assert served(tmp_path, monitor).items()["watched"] == []


SQL = [
    ("SELECT 3", True, Sample(True, 3.0, "3")),
    ("SELECT 0.5::numeric", True, Sample(True, 0.5, "0.5")),
    ("SELECT true", False, Sample(True, None, "true")),
    ("SELECT false", False, Sample(False, None, "false")),
    ("SELECT NULL::int", True, Sample(False, None, "saw NULL, expected one number")),
    ("SELECT 'NaN'::float8", True, Sample(False, None, "a number that is none")),
    ("SELECT 3", False, Sample(False, None, "a number needs `above` or `below`")),
    ("SELECT true", True, Sample(False, None, "saw bool, expected one number")),
    ("SELECT 1 WHERE false", True, Sample(False, None, "saw no row")),
    ("SELECT generate_series(1, 2)", True, Sample(False, None, "saw more than one row")),
    ("SELECT 1, 2", True, Sample(False, None, "saw one row of 2 columns")),
    ("SELECT secret::int FROM (VALUES ('hunter2')) AS v(secret)", True, Sample(False, None, "SQLSTATE 22P02")),
    ("SELECT * FROM nowhere", True, Sample(False, None, 'relation "nowhere" does not exist')),
    ("DELETE FROM t RETURNING 1", True, Sample(False, None, "in a read-only transaction")),
    (
        "SET default_transaction_read_only = off; DELETE FROM t RETURNING 1",
        True,
        Sample(False, None, "cannot insert multiple commands"),
    ),
]


async def test_sql_gives_one_number_or_one_boolean_and_writes_nothing(cluster: Cluster, tmp_path: Path) -> None:
    cluster.execute("SET ROLE app_owner; CREATE TABLE t AS SELECT 1 AS id; GRANT ALL ON t TO cutover", "app")
    for query, wants_number, expected in SQL:
        sample = await sampled(SqlSample(cluster.server(), query, wants_number), tmp_path)
        assert (sample.passed, sample.value) == (expected.passed, expected.value), query
        assert expected.saw in sample.saw
        assert "hunter2" not in sample.saw
    assert cluster.execute("SELECT count(*) FROM t", "app") == [(1,)]


@pytest.mark.parametrize("cluster", ["18"], indirect=True)
async def test_sql_that_hangs_is_a_bad_sample_and_its_backend_is_gone(cluster: Cluster, tmp_path: Path) -> None:
    sample = await sampled(SqlSample(cluster.server(), "SELECT pg_sleep(60), 1", True), tmp_path, seconds=0.5)
    assert not sample.passed
    async with asyncio.timeout(10):
        while cluster.execute("SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'cutoverd/%'"):
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("cluster", ["18"], indirect=True)
async def test_a_database_that_lets_nobody_in_is_a_bad_sample_at_once(cluster: Cluster, tmp_path: Path) -> None:
    cluster.execute("ALTER DATABASE app ALLOW_CONNECTIONS false")
    sample = await sampled(SqlSample(cluster.server(), "SELECT 1", True), tmp_path, seconds=5)
    assert (sample.passed, sample.value) == (False, None)
    assert "not currently accepting connections" in sample.saw
