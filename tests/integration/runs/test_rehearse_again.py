"""`cutoverd rehearse --again`: once a file is mended only what hangs on the clone is taken anew, on the copy that was kept."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from support.copies import a_copy_elsewhere
from support.night import Night, a_night, until
from support.production import names, photograph
from support.servers import Cluster

from cutoverd.events import facts

on_18 = pytest.mark.parametrize("cluster", ["18"], indirect=True)
FAILS = "INSERT INTO fleet.tally (machines) SELECT 1 / 0;"
NEVER = "SELECT false AS ok, 'never' AS \"check\";"
STANDS_STILL = "SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'cutoverd/%' AND wait_event = 'PgSleep'"
AS_OWNER = "-c role=app_owner -c default_transaction_read_only=off"
COPY = "SELECT oid FROM pg_database WHERE datname LIKE 'app\\_try%' ORDER BY oid LIMIT 1"
AT = "SELECT at < (SELECT min(at) FROM cutoverd.step_log WHERE run = 'rehearsal.app/try') FROM cutoverd.rehearsals"


def kept(night: Night, *options: str) -> str:
    """What `rehearse` says of a script that fails behind the schema files: the copy stands fenced, in the middle of it."""
    (night.folder / "data/020.sql").write_text(FAILS)
    done = night.main("rehearse", *options, str(night.plan_file))
    assert (done.returncode, "020.sql:1: division by zero" in done.stdout) == (5, True), done.stdout + done.stderr
    assert f"`cutoverd rehearse --again {night.plan_file}`, on the copy that is kept: production is untouched" in done.stdout
    return done.stdout


def mended(night: Night) -> None:
    (night.folder / "data/020.sql").write_text("INSERT INTO fleet.tally (machines) SELECT count(*) FROM fleet.machine;")


def refused(night: Night, reason: str, left: set[str] | None = None) -> None:
    """Before anything is touched: what was kept stays, and a mended plan may go on from it; else `left` does."""
    there = names_of_copy(night) if left is None else left
    done = night.main("rehearse", "--again", str(night.plan_file))
    assert done.returncode == 1, done.stdout + done.stderr
    assert reason in done.stderr
    assert "`cutoverd rehearse` begins anew" in done.stderr
    assert names_of_copy(night) == there


def names_of_copy(night: Night) -> set[str]:
    return {name for name in names(night.cluster) if name.startswith("app_try")}


@on_18
def test_once_a_file_is_mended_it_goes_on_from_the_clone_on_the_copy_that_was_kept(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path, rehearsal={}) as night:
        kept(night, "--keep")
        copy = cluster.execute(COPY)
        mended(night)
        (night.folder / "validate/002.sql").write_text(NEVER)
        done = night.main("rehearse", "--again", str(night.plan_file))
        assert (done.returncode, "division by zero" in done.stdout) == (5, False), done.stdout + done.stderr
        assert ": no backup is taken or restored" in done.stdout
        assert cluster.execute(COPY) == copy, "kept once more, and the same"
        (night.folder / "validate/002.sql").write_text("SELECT true AS ok, 'ever' AS \"check\";")
        done = night.main("rehearse", "--again", "--keep", str(night.plan_file))
        assert done.returncode == 0, done.stdout + done.stderr
        assert cluster.execute(COPY) == copy
        assert cluster.execute(AT, "cutoverd") == [(True,)], "as old as its backup"
        assert photograph(cluster) == night.before
        assert night.main("rehearse", "--again", str(night.plan_file)).returncode == 0
        assert names(cluster) == {"app"}
        refused(night, "no rehearsal of app has kept its copy")
        night.start()
        night.wait_for(facts.GateReached, gate="downtime")
        assert " by `cutoverd rehearse`, with the same catalog, SQL files and plan" in night.cli("status").stdout


@on_18
@pytest.mark.parametrize(
    "change",
    [
        "UPDATE store.machine SET serial = serial WHERE id = 1",
        pytest.param("ALTER TABLE store.machine ALTER serial TYPE text USING 'z' || serial", marks=pytest.mark.soak),
    ],
    ids=["a row", "a table written anew"],
)
def test_it_is_refused_where_it_would_prove_nothing_and_what_was_kept_stays(
    cluster: Cluster, tmp_path: Path, change: str
) -> None:
    with a_night(cluster, tmp_path, rehearsal={}) as night:
        refused(night, "no rehearsal of app has kept its copy")
        url = kept(night, "--keep").partition("the copy, as production is today: psql '")[2].partition("'")[0]
        mended(night)
        night.write_plan(rehearsal={"max_age": "1ms"})
        refused(night, "days old, and rehearsal.max_age is ")
        night.write_plan(rehearsal={}, backup={**night.plan.get("backup", {}), "leave_out": {"store.witness": "of tests"}})
        refused(night, "the plan says otherwise by now how the backup is restored, or what is left out")
        night.write_plan(backup={key: value for key, value in night.plan["backup"].items() if key != "leave_out"})
        cluster.execute("ALTER TABLE store.machine ADD COLUMN colour text", "app")
        refused(night, "the catalog of app has changed since ")
        cluster.execute("ALTER TABLE store.machine DROP COLUMN colour", "app")
        with psycopg.connect(make_conninfo(url, options=AS_OWNER)) as conn:
            conn.execute(change)
        refused(night, "app_try was written to since ", left={"app_try"})
        done = night.main("rehearse", str(night.plan_file))
        assert done.returncode == 0, done.stdout + done.stderr
        assert names(cluster) == {"app"}


@pytest.mark.soak
@on_18
def test_a_write_to_the_copy_after_it_was_found_untouched_is_found_at_the_end(cluster: Cluster, tmp_path: Path) -> None:
    """Found: what a session in it wrote between that and the fence was in what `--again` called fit: rows are only counted."""
    with a_night(cluster, tmp_path, rehearsal={}) as night:
        url = kept(night, "--keep").partition("the copy, as production is today: psql '")[2].partition("'")[0]
        mended(night)
        night.stall("precheck.make_placeholder")
        night.begin("rehearse", "--again", str(night.plan_file))
        until(lambda: cluster.execute(STANDS_STILL), f"the first step stands still\n{night.output[-3000:]}")
        with psycopg.connect(make_conninfo(url, dbname="app_try", options=AS_OWNER)) as conn:
            conn.execute("UPDATE store.machine SET serial = serial WHERE id = 1")
        night.release()
        assert night.exit_code() == 5, night.output
        assert "app_try was written to since " in night.output


@on_18
def test_a_database_that_somebody_made_under_the_name_of_the_copy_is_left_alone(cluster: Cluster, tmp_path: Path) -> None:
    """Found: the copy was dropped by hand, a colleague made another of its name, and that was dropped without a word."""
    with a_night(cluster, tmp_path, rehearsal={}) as night:
        assert night.main("rehearse", "--keep", str(night.plan_file)).returncode == 0
        cluster.execute("DROP DATABASE app_try WITH (FORCE)")
        cluster.execute("CREATE DATABASE app_try OWNER app_owner")
        cluster.execute("CREATE TABLE precious ()", "app_try")
        for option in ("--again", "--keep"):
            done = night.main("rehearse", option, str(night.plan_file))
            assert done.returncode == 1, done.stdout + done.stderr
            assert "app_try: the copy needs that name, and no run in the ledger made it" in done.stderr
        assert night.main("rehearse", "--drop", str(night.plan_file)).returncode == 0
        assert cluster.execute("SELECT count(*) FROM precious", "app_try") == [(0,)]
        assert names(cluster) == {"app", "app_try"}


@on_18
def test_a_slip_in_a_file_costs_no_copy_that_was_kept(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path, rehearsal={}) as night:
        kept(night, "--keep")
        (night.folder / "data/020.sql").write_text("\\! true\n")
        done = night.main("rehearse", str(night.plan_file))
        assert (done.returncode, "not looked at, because precheck.check_files has failed" in done.stdout) == (5, True), (
            done.stdout
        )
        mended(night)
        assert night.main("rehearse", "--again", str(night.plan_file)).returncode == 0


@pytest.mark.soak
@on_18
def test_one_that_is_killed_leaves_what_the_next_goes_on_from(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path, rehearsal={}) as night:
        kept(night, "--keep")
        mended(night)
        night.stall("data.run_script:data/010.sql")
        night.begin("rehearse", "--again", str(night.plan_file))
        until(lambda: cluster.execute(STANDS_STILL), f"the script stands still\n{night.output[-3000:]}")
        night.kill()
        night.release()
        done = night.main("rehearse", "--again", str(night.plan_file))
        assert done.returncode == 0, done.stdout + done.stderr
        assert names(cluster) == {"app"}


@pytest.mark.soak  # on both versions
def test_a_copy_that_the_team_has_made_is_rehearsed_on_again_without_another_backup(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path, rehearsal={}) as night, a_copy_elsewhere(cluster, tmp_path) as other:
        copy = photograph(other)
        night.write_plan(rehearsal={"database": other.url()})
        kept(night, "--keep")
        mended(night)
        night.write_plan(rehearsal={})
        refused(night, "the plan names another copy by now (rehearsal.database)")
        night.write_plan(rehearsal={"database": other.url()})
        done = night.main("rehearse", "--again", str(night.plan_file))
        assert (done.returncode, ": no backup is taken or restored" in done.stdout) == (0, True), done.stdout + done.stderr
        assert (names(other), photograph(other)) == ({"app"}, copy)
