"""For how long a rehearsal counts: until files, catalog or rows are others, and for the one who made it alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.night import Night, a_night, until
from support.production import names, photograph
from support.servers import Cluster

from cutoverd.events import facts
from cutoverd.states.precheck import PreCheck

pytestmark = pytest.mark.parametrize("cluster", ["18"], indirect=True)
STANDS_STILL = "SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'cutoverd/%' AND wait_event = 'PgSleep'"
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
