"""Monitor on real nights: a check is breached, the run held, and a person decides."""

from __future__ import annotations

import json
import re
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from support.aftermath import assert_completed, assert_rolled_back
from support.night import Night, a_night, until
from support.production import names, photograph
from support.servers import Cluster

from cutoverd.daemon.embedded.loopback import free_port
from cutoverd.daemon.systems.watch_file import read_kept
from cutoverd.events import facts
from cutoverd.states.check_rules import ClockReading, Watched

pytestmark = pytest.mark.parametrize("cluster", ["18"], indirect=True)
SLOW = {"fence": "20s", "service": "90s", "command": "90s", "smoke": "90s", "step": "2m", "sample": "30s"}
ORDERS = "SELECT count(*) FROM store.machine WHERE serial LIKE 'BAD%'"


def watches(night_for: str, *, bad_for: str = "600ms", **more: Any) -> dict[str, Any]:
    check = {"name": "bad machines", "sql": ORDERS, "above": 0, "for": bad_for}
    return {"monitor": {"for": night_for, "every": "200ms", "checks": [check]}, "gates": [], **more}


def as_client(cluster: Cluster, statement: str) -> None:
    with psycopg.connect(cluster.url(user="app_user"), autocommit=True) as client:
        client.execute(statement.encode())


def metric(port: int, name: str) -> float | None:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    wanted = f'{name}{{check="bad machines",run="night"}} '
    return next((float(line.removeprefix(wanted)) for line in lines if line.startswith(wanted)), None)


def status(night: Night) -> dict[str, Any]:
    return dict(json.loads(night.cli("status", "-f", "json").stdout))


@pytest.mark.long
def test_a_breach_holds_the_run_and_once_it_is_mended_resume_completes_it(cluster: Cluster, tmp_path: Path) -> None:
    port = free_port()
    metrics_of = {"listen": f"127.0.0.1:{port}", "scraped_within": "0s"}
    with a_night(cluster, tmp_path, **watches("15s", metrics=metrics_of)) as night:
        night.start()
        night.wait_for(facts.StepStarted, step="monitor.watch")
        until(lambda: metric(port, "cutover_check_ok") == 1, "the check was made")
        as_client(cluster, "INSERT INTO store.machine (serial) VALUES ('BAD-1')")
        breached = night.wait_for(facts.CheckBreached)
        assert (breached.check, breached.saw, breached.value) == ("bad machines", "1, allowed up to 0", 1.0)
        assert breached.seconds >= 0.6
        assert night.wait_for(facts.RunHeld).reason.startswith("monitor.watch: bad machines: 1, allowed up to 0, for ")
        document = status(night)
        assert (document["breached"], document["checks"]["bad machines"]["ok"]) == (["bad machines"], False)
        assert "bad machines bad (1, allowed up to 0)" in night.cli("status").stdout
        assert (metric(port, "cutover_check_ok"), metric(port, "cutover_check_value")) == (0, 1)
        assert night.systems() == {"worker.new", "api.new", "door.door"}, "clients stay in"
        cluster.execute("UPDATE store.machine SET serial = 'GOOD-1' WHERE serial LIKE 'BAD%'", "app")
        night.wait_for(facts.CheckRecovered, check="bad machines")
        assert metric(port, "cutover_check_ok") == 1
        assert night.cli("send", "resume", "--reason", "mended").returncode == 0
        assert_completed_with(night, rows=501)
        of_checks = [e.event for e in night.journal() if isinstance(e.event, facts.CheckBreached | facts.CheckRecovered)]
        assert [type(event) for event in of_checks] == [facts.CheckBreached, facts.CheckRecovered], "events only on change"


def assert_completed_with(night: Night, *, rows: int) -> None:
    assert night.exit_code() == 0, night.output
    assert names(night.cluster) == {"app", "app_previous", "app_closed"}
    assert night.cluster.execute("SELECT count(*) FROM store.machine", "app") == [(rows,)]


@pytest.mark.long
def test_a_breach_then_rollback_with_accept_loss_keeps_new_and_lists_what_was_written(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path, **watches("60s")) as night:
        night.start()
        night.wait_for(facts.StepStarted, step="monitor.watch")
        as_client(cluster, "INSERT INTO store.machine (serial) VALUES ('BAD-1'), ('BAD-2')")
        night.wait_for(facts.RunHeld)
        assert night.cli("send", "rollback", "--reason", "wrong").returncode == 1
        assert night.cli("send", "rollback", "--accept-loss", "--reason", "wrong", "--as", "alice").returncode == 0
        assert_rolled_back(night)
        succeeded = [e.event for e in night.journal() if isinstance(e.event, facts.StepSucceeded)]
        [back] = [event for event in succeeded if (event.step, event.direction) == ("smoke.exchange_names", "back")]
        assert {name: counters["inserted"] for name, counters in back.evidence["written"].items()} == {"store.machine": 2}
        order = [event.step for event in succeeded if event.direction == "back"]
        assert order.index("cutover.open_traffic:door") < order.index("smoke.exchange_names"), "traffic first"
        assert names(cluster) == {"app", "app_next", "app_closed"}
        assert cluster.execute("SELECT datallowconn FROM pg_database WHERE datname = 'app_next'") == [(False,)]
        assert re.search(r'written: \{"store.machine": \{[^}]*"inserted": 2\b', night.output), "on the terminal"
        assert status(night)["written"]["store.machine"]["inserted"] == 2
        assert "store.machine 2 inserted" in night.cli("status").stdout
        finalized_after_the_way_back(night)


def finalized_after_the_way_back(night: Night) -> None:
    """Its name alone does not drop the only copy of what clients wrote."""
    refused = night.cli("finalize", "--confirm", "night")
    assert refused.returncode == 2, refused.stdout
    why = "app_next has what clients wrote after the cutover, and no dump has these rows: store.machine: 2 inserted"
    assert f"cutoverd: {why}: --accept-loss\n  → nothing was dropped" in refused.stderr
    assert names(night.cluster) == {"app", "app_next", "app_closed"}
    done = night.cli("finalize", "--confirm", "night", "--accept-loss", "-f", "json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["run"], document["state"], document["dropped"]) == ("night", "rolledback", ["app_closed", "app_next"])
    assert {each["database"] for each in document["left_over"]} == {"app_closed", "app_next"}
    assert (document["wanted"], document["written"]["store.machine"]["inserted"]) == ({"accept-loss": why}, 2)
    assert all(each["bytes"] > 0 and each["age_seconds"] >= 0 for each in document["left_over"])
    assert photograph(night.cluster) == night.before
    assert names(night.cluster) == {"app"}


@pytest.mark.long
def test_a_daemon_killed_twice_while_it_watches_ends_the_watch_when_it_should(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path, **watches("20s", bad_for="4s", timeouts=SLOW)) as night:
        for _ in range(2):
            night.start()
            _some_rounds(night)
            night.kill()
        night.start()
        began = _some_rounds(night)
        assert_completed(night)
        journal, last = night.journal(), _watched(night)
        entered = next(e.envelope.time for e in journal if getattr(e.event, "target", "") == "monitor")
        [watched] = [e.event for e in journal if isinstance(e.event, facts.StepSucceeded) and e.event.step == "monitor.watch"]
        elapsed = watched.evidence["elapsed_seconds"]
        assert elapsed == pytest.approx((last.at.at - entered).total_seconds(), abs=1), "a restart begins nothing anew"
        should_end = max(20.0, began.elapsed_seconds + 4)  # the last daemon too has to look for as long as a breach takes
        assert 20 <= elapsed <= should_end + 0.2 + 30, "no sooner, and no later than one round that takes its longest"
        assert watched.evidence["unwatched_seconds"] == 0, "a restart is no gap"


def _some_rounds(night: Night) -> Watched:
    """How far the watch is once a new daemon has made a few."""
    before = _watched(night).rounds
    until(lambda: _watched(night).rounds > before + 2, "the checks are made")
    return _watched(night)


def _watched(night: Night) -> Watched:
    return read_kept(night.run_dir) or Watched(ClockReading(datetime.max.replace(tzinfo=UTC), "", 0.0))
