"""The ledger is dropped, or put back from an older backup, while a run is under way: no step is taken by what it knows."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from support.lost_stream import goes_on
from support.night import Night, at_the_first_gate, stalled_at, until
from support.production import names, photograph
from support.servers import Cluster

from cutoverd.events import facts

pytestmark = [pytest.mark.long, pytest.mark.parametrize("cluster", ["18"], indirect=True)]
STEP = "data.run_script:data/020.sql"
OLDER = "the ledger is older than the journal"
SET_RIGHT = "put database cutoverd back as it was last"


def saved(night: Night, name: str) -> Path:
    """A backup of the ledger, as a team has one."""
    file = night.folder / name
    tool(night, "pg_dump", "-Fc", "-f", str(file), night.cluster.superuser_url("cutoverd"))
    return file


def put_back(night: Night, file: Path) -> None:
    drop(night)
    night.cluster.execute("CREATE DATABASE cutoverd OWNER cutover TEMPLATE template0")
    tool(night, "pg_restore", "-d", night.cluster.superuser_url("cutoverd"), str(file))


def drop(night: Night) -> None:
    night.cluster.execute("DROP DATABASE IF EXISTS cutoverd WITH (FORCE)")


def tool(night: Night, name: str, *words: str) -> None:
    subprocess.run([night.cluster.bin_dir / name, *words], check=True, capture_output=True)


def assert_refused(night: Night, why: str) -> None:
    """By whoever would act, and nothing has changed its name."""
    before = names(night.cluster)
    night.start("--auto")
    assert night.exit_code() == 1, night.output[-3000:]
    for words in (OLDER, why, SET_RIGHT, "docs/last-resort.md"):
        assert words in night.output, night.output[-3000:]
    back = night.main("rollback", str(night.plan_file), "--without-journal", "--confirm", night.run)
    assert (back.returncode, "docs/last-resort.md" in back.stderr) == (1, True), back
    assert names(night.cluster) == before


def test_found_a_ledger_that_was_dropped_in_data_was_made_anew_and_the_run_said_that_another_daemon_had_it(
    cluster: Cluster, tmp_path: Path
) -> None:
    with stalled_at(STEP, cluster, tmp_path) as night:
        night.kill()
        newest = saved(night, "newest.dump")
        drop(night)
        assert_refused(night, "a daemon of epoch 1 had the run, and it knows none")
        put_back(night, newest)
        goes_on(night)


def test_found_a_ledger_of_before_the_window_had_rollback_say_that_none_had_begun(cluster: Cluster, tmp_path: Path) -> None:
    with at_the_first_gate(cluster, tmp_path) as night:
        older = saved(night, "older.dump")
        night.stall(STEP)
        assert night.cli("send", "advance").returncode == 0
        night.wait_for_step(STEP)
        night.kill()
        newest = saved(night, "newest.dump")
        put_back(night, older)
        assert_refused(night, "of the run's databases it does not know old, new")
        put_back(night, newest)
        goes_on(night)


def test_in_precheck_such_a_run_can_only_be_aborted(cluster: Cluster, tmp_path: Path) -> None:
    with at_the_first_gate(cluster, tmp_path) as night:
        night.kill()
        drop(night)
        night.start()
        night.wait_for(facts.FailureReported)
        until(lambda: OLDER in night.cli("status").stdout, "status says why")
        assert night.cli("send", "abort").returncode == 0
        assert night.exit_code() == 5, night.output[-3000:]
        assert photograph(cluster) == night.before


def test_what_an_earlier_run_left_over_is_no_sign_that_the_ledger_is_behind(cluster: Cluster, tmp_path: Path) -> None:
    """A database of our names that no run has recorded is one."""
    with at_the_first_gate(cluster, tmp_path) as night:
        night.kill()
        cluster.execute("CREATE DATABASE app_previous")
        words = ("rollback", str(night.plan_file), "--without-journal", "--confirm", night.run)
        refused = night.main(*words)
        assert (refused.returncode, "there is app_previous, and the ledger does not know whose" in refused.stderr) == (1, True), (
            refused
        )
        [(oid,)] = cluster.execute("SELECT oid::bigint FROM pg_database WHERE datname = 'app_previous'")
        cluster.execute(
            f"INSERT INTO cutoverd.database_oids (run, role, oid, row) SELECT 'earlier', 'old', {oid}, row"
            " FROM cutoverd.database_oids LIMIT 1",
            "cutoverd",
        )
        done = night.main(*words, seconds=120)
        assert (done.returncode, "the window had not begun" in done.stdout) == (5, True), done
