"""For how long a rehearsal counts: until files, catalog or rows are others, and for the one who made it alone."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
import yaml
from support.night import Night, a_night, until
from support.production import names, photograph
from support.servers import Cluster

from cutoverd.events import facts
from cutoverd.states.precheck import PreCheck

pytestmark = pytest.mark.parametrize("cluster", ["18"], indirect=True)
STANDS_STILL = "SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'cutoverd/%' AND wait_event = 'PgSleep'"
END_IT = STANDS_STILL.replace("SELECT 1", "SELECT pg_terminate_backend(pid)")
ANNOUNCED = "INSERT INTO cutoverd.announced SELECT 'another', datname, 1, oid FROM pg_database WHERE datname = '{}'"
RECORDS = "SELECT count(*) FROM cutoverd.rehearsals"


def stalled_rehearsal(night: Night) -> None:
    """In the first data script."""
    night.stall("data.run_script:data/010.sql")
    night.begin("rehearse", str(night.plan_file))
    until(lambda: night.cluster.execute(STANDS_STILL), f"the script stands still\n{night.output[-3000:]}")


@pytest.mark.soak
def test_one_that_finds_something_wrong_takes_back_that_an_earlier_one_did_not(cluster: Cluster, tmp_path: Path) -> None:
    """Found: on Monday it was fit, on Thursday it was not, and a run went down on Monday's word."""
    with a_night(cluster, tmp_path, rehearsal={}) as night:
        assert night.main("rehearse", str(night.plan_file)).returncode == 0
        assert cluster.execute(RECORDS, "cutoverd") == [(1,)]
        [row] = cluster.execute("DELETE FROM store.machine WHERE id = 1 RETURNING machine::text", "app")
        done = night.main("rehearse", str(night.plan_file))
        assert (done.returncode, "validate.check_script:validate/001.sql" in done.stdout) == (5, True), done.stdout + done.stderr
        assert (
            "an earlier rehearsal of these files, this plan and this catalog found nothing wrong: it counts no more"
            in done.stdout
        )
        assert cluster.execute(RECORDS, "cutoverd") == [(0,)]
        cluster.execute(f"INSERT INTO store.machine SELECT ('{row[0]}'::store.machine).*", "app")
        assert night.main("rehearse", str(night.plan_file)).returncode == 0
        assert cluster.execute(RECORDS, "cutoverd") == [(1,)]


def test_what_ends_a_script_from_outside_takes_no_good_rehearsal_back(cluster: Cluster, tmp_path: Path) -> None:
    """Found: somebody's pg_terminate_backend counted as a mistake of the script, and the record of the same files was gone."""
    with a_night(cluster, tmp_path, rehearsal={}) as night:
        assert night.main("rehearse", str(night.plan_file)).returncode == 0
        stalled_rehearsal(night)
        cluster.execute(END_IT)
        assert night.exit_code() == 1, night.output
        assert "not rehearsed: 1 thing is in the way" in night.output
        assert "counts no more" not in night.output
        assert cluster.execute(RECORDS, "cutoverd") == [(1,)]


def test_what_is_wrong_beside_the_copy_does_not_keep_the_rehearsal_off_the_record(cluster: Cluster, tmp_path: Path) -> None:
    """Found: a superuser's session in production, which PreCheck asks for anew, and hours of a rehearsal counted for nothing."""
    with a_night(cluster, tmp_path, rehearsal={}) as night:
        with psycopg.connect(cluster.superuser_url("app"), autocommit=True):
            done = night.main("rehearse", str(night.plan_file))
        assert (done.returncode, "precheck.check_server" in done.stdout) == (5, True), done.stdout + done.stderr
        assert "what was taken on the copy went well, and is on record" in done.stdout
        assert cluster.execute(RECORDS, "cutoverd") == [(1,)]


def test_a_run_that_begins_while_it_is_rehearsed_ends_it(cluster: Cluster, tmp_path: Path) -> None:
    """Found: it was asked for once, before the dump; the run had its window beside restore and scripts."""
    with a_night(cluster, tmp_path, rehearsal={}) as night:
        stalled_rehearsal(night)
        cluster.execute("CREATE DATABASE app_closed")
        cluster.execute(ANNOUNCED.format("app_closed"), "cutoverd")
        night.release()
        assert night.exit_code() == 1, night.output
        assert "app is not rehearsed beside a run: app_closed of run another" in night.output
        assert (names(cluster), cluster.execute(RECORDS, "cutoverd")) == ({"app", "app_closed"}, [(0,)])
        cluster.execute("DROP DATABASE app_closed")


def test_files_that_are_written_while_they_are_rehearsed_end_it_and_nothing_is_on_record(
    cluster: Cluster, tmp_path: Path
) -> None:
    """Found: what was put on record was of the files of its start, which had been others when they were run."""
    with a_night(cluster, tmp_path, rehearsal={}) as night:
        stalled_rehearsal(night)
        before = (night.folder / "validate/001.sql").read_text()
        (night.folder / "validate/001.sql").write_text(before + "-- another branch\n")
        (night.folder / "validate/001.sql").write_text(before)
        night.release()
        assert night.exit_code() == 1, night.output
        assert "while they are rehearsed these were written to: validate/001.sql" in night.output
        assert (names(cluster), cluster.execute(RECORDS, "cutoverd")) == ({"app"}, [(0,)])
        assert photograph(cluster) == night.before


def test_a_second_one_of_the_same_database_by_a_plan_of_another_run_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    """Found: it ended the first one's sessions and dropped its copy, and `--drop` did too."""
    with a_night(cluster, tmp_path, rehearsal={}) as night:
        stalled_rehearsal(night)
        night.write_plan(run="another")
        for words in (["rehearse"], ["rehearse", "--drop"]):
            done = night.main(*words, str(night.plan_file))
            assert (done.returncode, "app is rehearsed by process " in done.stderr) == (7, True), done.stdout + done.stderr
        night.release()
        assert night.exit_code() == 0, night.output


def test_beside_the_ledger_of_another_role_nothing_is_made(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path, rehearsal={}) as night:
        cluster.execute("CREATE ROLE stranger")
        cluster.execute("ALTER DATABASE cutoverd OWNER TO stranger")
        cluster.execute("REVOKE CONNECT ON DATABASE cutoverd FROM PUBLIC")
        try:
            for words in (["rehearse"], ["rehearse", "--again"], ["rehearse", "--drop"]):
                done = night.main(*words, str(night.plan_file))
                assert done.returncode == 1, done.stdout + done.stderr
                assert "the ledger cutoverd belongs to stranger, and role cutover may not act for it" in done.stderr
                assert 'GRANT "stranger" TO "cutover"' in done.stderr
            assert (names(cluster), photograph(cluster)) == ({"app"}, night.before)
        finally:
            cluster.execute("ALTER DATABASE cutoverd OWNER TO cutover")
            cluster.execute("DROP ROLE stranger")


def test_one_that_is_refused_ends_nobody_elses(cluster: Cluster, tmp_path: Path) -> None:
    """Found: `--again` on another machine, without a kept copy, ended the rehearsal here, and then said that it cannot go on."""
    with a_night(cluster, tmp_path, rehearsal={}) as night:
        stalled_rehearsal(night)
        (elsewhere := night.folder / "elsewhere.yaml").write_text(yaml.safe_dump({**night.plan, "state_dir": "another machine"}))
        done = night.main("rehearse", "--again", str(elsewhere))
        assert (done.returncode, "no rehearsal of app has kept its copy" in done.stderr) == (1, True), done.stdout + done.stderr
        night.release()
        assert night.exit_code() == 0, night.output


def test_beside_a_run_nothing_is_rehearsed_and_the_run_is_named(cluster: Cluster, tmp_path: Path) -> None:
    """Found: dump and restore began beside the window, and what the run had made was said to be left over."""
    with a_night(cluster, tmp_path) as night:
        night.start()
        night.wait_for(facts.GateReached, gate="downtime")
        mine = night.plan_file.read_text()
        night.write_plan(run="another", rehearsal={})
        done = night.main("rehearse", str(night.plan_file))
        assert done.returncode == 1, done.stdout + done.stderr
        assert "app is not rehearsed beside a run: app_closed of run night" in done.stderr
        assert "`cutoverd status` with that run's plan says how it stands" in done.stderr
        assert names(cluster) == {"app", "app_closed"}
        night.plan_file.write_text(mine)
        assert night.cli("send", "abort").returncode == 0


def test_what_nobody_knows_to_be_ours_is_not_said_to_be_gone(cluster: Cluster, tmp_path: Path) -> None:
    """Found: the ledger had been dropped with what it knew, and `--drop` said that nothing was left."""
    with a_night(cluster, tmp_path, rehearsal={}) as night:
        cluster.execute("CREATE DATABASE app_try")
        done = night.main("rehearse", "--drop", str(night.plan_file))
        assert (done.returncode, "⚠ app_try is there, and no run in the ledger made it" in done.stdout) == (0, True), done.stdout
        assert names(cluster) == {"app", "app_try"}
        cluster.execute("DROP DATABASE app_try")


@pytest.mark.long
def test_a_catalog_that_changed_while_the_run_waited_is_found_before_the_window(cluster: Cluster, tmp_path: Path) -> None:
    """Found: it was asked when PreCheck began, and never again; a run may wait for days at its gate."""
    with a_night(cluster, tmp_path, rehearsal={}) as night:
        night.start()
        night.wait_for(facts.GateReached, gate="downtime")
        cluster.execute("ALTER TABLE store.machine ADD COLUMN colour text", "app")
        assert night.cli("send", "advance").returncode == 0
        failed = night.wait_for(facts.StepFailed)
        assert failed.step == str(PreCheck.check_rehearsal)
        assert "app is no longer what was rehearsed: column store.machine.colour is new" in failed.reason
        cluster.execute("ALTER TABLE store.machine DROP COLUMN colour", "app")
        assert night.cli("send", "retry").returncode == 0
        until(lambda: len(night.events(facts.GateReached)) == 2, f"the gate again\n{night.output[-3000:]}")
        assert night.cli("send", "abort").returncode == 0
        assert night.exit_code() == 5
        assert photograph(cluster) == night.before
