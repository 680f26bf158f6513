"""`cutoverd finalize`: what an ended run left over is dropped on a typed word, and nothing else ever is.

After a way back: test_run_monitored.py.
"""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest
from support import servers
from support.aftermath import log_in
from support.night import Night, a_night, until
from support.production import names
from support.servers import Cluster

from cutoverd.daemon.bus.journal_file import FILE, read_lines
from cutoverd.daemon.embedded import nats
from cutoverd.events import facts
from cutoverd.events.codec import hash_of

on_18 = pytest.mark.parametrize("cluster", ["18"], indirect=True)


def completed(night: Night) -> Night:
    night.start("--auto")
    assert night.exit_code() == 0, night.output
    return night


def finalize(night: Night, *words: str) -> subprocess.CompletedProcess[str]:
    return night.cli("finalize", *words)


def dropped(night: Night) -> list[facts.LeftoverDropped]:
    return [each.event for each in night.journal() if isinstance(each.event, facts.LeftoverDropped)]


def oids(cluster: Cluster) -> dict[str, int]:
    return dict(cluster.execute("SELECT datname, oid::bigint FROM pg_database WHERE datname LIKE 'app%'"))


@pytest.mark.long
@on_18
def test_after_a_cutover_the_old_database_and_the_placeholder_are_dropped_on_the_runs_name(
    cluster: Cluster, tmp_path: Path
) -> None:
    with a_night(cluster, tmp_path) as night:
        completed(night)
        was = oids(cluster)
        wrong = finalize(night, "--confirm", "nigth")
        assert wrong.returncode == 2
        assert "saw 'nigth', expected the run's name: --confirm night" in wrong.stderr
        nobody = finalize(night)
        assert (nobody.returncode, "nobody confirmed" in nobody.stderr) == (2, True)
        assert f"app_previous  oid {was['app_previous']}  " in nobody.stdout
        assert "the old database, as it was when the window began" in nobody.stdout
        assert "app_closed  oid" in nobody.stdout
        assert "MB  since 2" in nobody.stdout
        assert oids(cluster) == was, "nothing was dropped"
        dumps = [line.rpartition(" ")[2] for line in nobody.stdout.splitlines() if line.startswith("  stays: the dump ")]
        assert len(dumps) == 2
        assert "  stays: the schema cutoverd in app, the run's own record: its owner may DROP SCHEMA" in nobody.stdout
        done = finalize(night, "--confirm", "night")
        assert (done.returncode, done.stderr) == (0, "")
        assert names(cluster) == {"app"}
        assert oids(cluster)["app"] == was["app"]
        assert [(e.database, e.oid, e.what, e.found) for e in dropped(night)] == [
            ("app_closed", was["app_closed"], "placeholder", False),
            ("app_previous", was["app_previous"], "old", False),
        ]
        copy = [each.body for each in read_lines(night.run_dir / FILE)]
        assert [hash_of(body) for body in copy[:-1]] == [each.envelope.prev for each in night.journal()][1:], (
            "found: no copy knew"
        )
        assert all(Path(dump).exists() for dump in dumps)
        cluster.execute("SET ROLE app_owner; DROP SCHEMA cutoverd CASCADE", "app")
        assert "the schema cutoverd" not in finalize(night).stdout
        assert log_in(cluster) == 500
        again = finalize(night, "--confirm", "night")
        assert (again.returncode, "Nothing of it is left over." in again.stdout) == (0, True)
        assert len(dropped(night)) == 2
        if cluster.major == 18:  # PreCheck asks the same of both
            assert_the_next_run_finds_the_names_free(night)
        assert nats.find(night.state_dir / "nats") is None or night.nats(), "a server that was started for it is stopped"


def assert_the_next_run_finds_the_names_free(night: Night) -> None:
    """A production that is new already has other tables: PreCheck gets past the names."""
    night.run = "night2"
    night.write_plan(run="night2")
    night.start("--auto")
    night.exit_code()
    second = night.output.rpartition("run started on app")[2]
    assert "✔ precheck.check_server" in second
    assert "left over" not in second
    assert "in the way" not in night.output
    succeeded = [each.event.step for each in night.journal() if isinstance(each.event, facts.StepSucceeded)]
    assert "precheck.check_server" in succeeded


@pytest.mark.long
@on_18
def test_an_open_run_a_session_a_wrong_word_and_a_kill_between_a_drop_and_its_event(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path) as night:
        assert "run night has not started" in finalize(night).stderr
        refused_while_it_is_open(night)
        night.start("--auto")
        assert night.exit_code() == 0, night.output
        refused_while_somebody_is_in_one_of_them(night)
        assert typed(night, "yes\n") == 2
        assert names(cluster) == {"app", "app_previous", "app_closed"}
        killed_between_a_drop_and_its_event(night)
        assert dropped(night) == []
        old_without_its_final_dump_is_the_only_copy(night)
        assert typed(night, "night\nwithout-dump\n") == 0
        assert [(event.database, event.found) for event in dropped(night)] == [("app_closed", True), ("app_previous", False)]
        assert names(cluster) == {"app"}


def refused_while_it_is_open(night: Night) -> None:
    night.start()
    night.wait_for(facts.GateReached, gate="downtime")
    driven = finalize(night, "--confirm", "night")
    assert (driven.returncode, "is driven by process" in driven.stderr) == (7, True)
    night.kill()
    still_open = finalize(night, "--confirm", "night")
    assert (still_open.returncode, "run night is not over, it is in precheck" in still_open.stderr) == (1, True)
    assert names(night.cluster) == {"app", "app_closed"}


def refused_while_somebody_is_in_one_of_them(night: Night) -> None:
    cluster = night.cluster
    cluster.execute("ALTER DATABASE app_previous ALLOW_CONNECTIONS true")
    with psycopg.connect(cluster.superuser_url("app_previous"), application_name="a report") as inside:
        pid = inside.info.backend_pid
        refused = finalize(night, "--confirm", "night")
        assert refused.returncode == 1
        assert f"app_previous is in use by client backend {pid} of postgres (a report): end that first" in refused.stderr
        assert names(cluster) == {"app", "app_previous", "app_closed"}
    until(lambda: not cluster.execute(f"SELECT 1 FROM pg_stat_activity WHERE pid = {pid}"), "the session is gone")


def old_without_its_final_dump_is_the_only_copy(night: Night) -> None:
    [final] = (night.plan_file.parent / "backups").glob("night-final-*")
    final.rename(final.with_name("elsewhere"))
    refused = finalize(night, "--confirm", "night")
    assert refused.returncode == 2, refused.stdout
    assert f"missing: the dump {final} is not there" in refused.stdout
    assert f"stays: the dump {final}" not in refused.stdout
    assert "app_previous is the only copy of the old database: its final dump is missing: --without-dump" in refused.stderr
    assert typed(night, "night\nyes\n") == 2
    assert "app_previous" in names(night.cluster)


def killed_between_a_drop_and_its_event(night: Night) -> None:
    """It stands still while the server drops."""
    with psycopg.connect(night.cluster.superuser_url()) as superuser:
        superuser.execute("LOCK TABLE pg_database IN SHARE MODE")
        command = [sys.executable, "-m", "cutoverd.daemon", "finalize", "-p", str(night.plan_file), "--confirm", "night"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(lambda: _drops(night.cluster), "it drops")
        servers.pause(process.pid)
    until(lambda: "app_closed" not in names(night.cluster), "the first is dropped")
    process.kill()
    process.wait(10)


@on_18
def test_a_database_of_somebody_else_and_production_are_not_touched_whatever_their_names(
    cluster: Cluster, tmp_path: Path
) -> None:
    """Its own, dropped by hand or renamed, is told from a stranger's by oid."""
    with a_night(cluster, tmp_path) as night:
        completed(night)
        for statement in (
            "DROP DATABASE app_previous",
            "CREATE DATABASE app_previous",
            "ALTER DATABASE app RENAME TO app_new",
            "ALTER DATABASE app_closed RENAME TO app",
            "CREATE DATABASE app_try",
        ):
            cluster.execute(statement)
        cluster.execute("INSERT INTO cutoverd.announced VALUES ('night', 'app_try', 1)", "cutoverd")
        was = oids(cluster)
        done = finalize(night, "--confirm", "night")
        assert done.returncode == 0, done.stderr
        assert oids(cluster) == was
        assert f"app (oid {was['app']}) is production" in done.stdout
        assert f"app_previous (oid {was['app_previous']}) is not of run night" in done.stdout
        assert f"app_try (oid {was['app_try']}) lets others in" in done.stdout
        [gone] = dropped(night)
        assert (gone.database, gone.found) == ("app_previous", True)


def _drops(cluster: Cluster) -> bool:
    query = "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'DROP DATABASE%' AND wait_event_type = 'Lock'"
    return bool(cluster.execute(query))


def typed(night: Night, line: str) -> int:
    """The exit code of `finalize` at a terminal of its own, once that was typed at its question."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "cutoverd.daemon", "finalize", "-p", str(night.plan_file)]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    output, deadline = b"", time.monotonic() + 60
    try:
        while b"Type night to drop them" not in output:
            assert time.monotonic() < deadline, output
            output += os.read(ours, 4096)
        os.write(ours, line.encode())
        _read_to_the_end(ours)
        return process.wait(60)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait(10)
        os.close(ours)


def _read_to_the_end(terminal: int) -> None:
    try:
        while os.read(terminal, 4096):
            pass
    except OSError:  # as Linux tells that the other side is closed
        return
