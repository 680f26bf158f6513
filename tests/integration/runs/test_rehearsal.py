"""The window is rehearsed in PreCheck on the restored copy, by its own functions: what is wrong is found there, all at once."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from support.copies import a_copy_elsewhere
from support.night import Night, a_night, until
from support.production import names, photograph
from support.servers import Cluster

from cutoverd.daemon.postgres.backup.kept_copy import WHAT
from cutoverd.events import facts
from cutoverd.states import WAY, rehearsal
from cutoverd.states.precheck import PreCheck

on_18 = pytest.mark.parametrize("cluster", ["18"], indirect=True)
ASLEEP = "SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'cutoverd/%' AND wait_event = 'PgSleep'"
BRIEF = {"budget": "1ms"}
COLUMNS = "SELECT id, serial, installed FROM"


def rehearsed(night: Night) -> list[str]:
    """The steps that were taken on the copy."""
    before = f"{PreCheck.rehearse}:"
    return [event.step.removeprefix(before) for event in night.events(facts.StepSucceeded) if event.step.startswith(before)]


def compared(name: str, new: str) -> dict[str, Any]:
    return {"name": name, "key": ["id"], "old": f"{COLUMNS} store.machine", "new": f"{COLUMNS} {new}"}


def test_every_step_of_the_window_is_taken_on_the_copy_and_back_and_nothing_of_it_is_left(
    cluster: Cluster, tmp_path: Path
) -> None:
    with a_night(cluster, tmp_path, rehearsal={}) as night:
        night.start()
        night.wait_for(facts.GateReached, gate="downtime")
        assert rehearsed(night) == rehearsal.items(WAY, night.wait_for(facts.RunStarted).items)
        assert names(cluster) == {"app", "app_closed"}
        assert cluster.execute("SELECT count(*) FROM cutoverd.step_log WHERE run LIKE '%/try'", "cutoverd") == [(0,)]
        assert photograph(cluster) == night.before
        window = next(event for event in night.events(facts.StepSucceeded) if event.step == str(PreCheck.check_window))
        assert window.evidence["rehearsed"].keys() == {"downtime", "schema", "data", "validate", "smoke"}


def test_what_is_wrong_is_found_before_the_window_all_at_once_and_production_is_untouched(
    cluster: Cluster, tmp_path: Path
) -> None:
    """Found: scripts and comparisons ran in the window for the first time, and it stopped at the first failure."""
    with a_night(cluster, tmp_path, rehearsal={}) as night:
        (night.folder / "validate/002.sql").write_text("SELECT false AS ok, 'never' AS \"check\", 'by four' AS detail;")
        wrong = [compared("machines", "fleet.machine"), compared("fewer", "fleet.machine WHERE id < 100")]
        night.write_plan(validate={**night.plan["validate"], "compare": wrong})
        night.start()  # with --auto it ends by itself, and may be gone when `abort` comes
        failed = night.wait_for(facts.ValidationFailed)
        assert [each.step.rpartition("precheck.rehearse:")[2] for each in failed.failures] == [
            "validate.check_script:validate/002.sql",
            "validate.compare:fewer",
        ]
        assert "never (by four)" in failed.failures[0].reason
        assert failed.not_checked == []
        assert photograph(cluster) == night.before
        assert night.cli("send", "abort").returncode == 0
        assert night.exit_code() == 5
        assert names(cluster) == {"app"}


@on_18
def test_behind_a_data_script_that_fails_nothing_means_anything_and_that_is_said(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path, rehearsal={}) as night:
        (night.folder / "data/020.sql").write_text("INSERT INTO fleet.tally (machines) SELECT 1 / 0;")
        night.start("--auto")
        failed = night.wait_for(facts.ValidationFailed)
        [only] = failed.failures
        assert (only.step, "020.sql:1: division by zero" in only.reason) == (
            "precheck.rehearse:data.run_script:data/020.sql",
            True,
        )
        assert failed.not_checked[0] == "precheck.rehearse:data.run_script:late/900.sql"
        assert "precheck.rehearse:undo downtime.fence_old" in failed.not_checked
        assert photograph(cluster) == night.before


@on_18
def test_what_was_missing_on_the_server_is_given_and_retry_rehearses_anew_on_the_same_copy(
    cluster: Cluster, tmp_path: Path
) -> None:
    with a_night(cluster, tmp_path, rehearsal={}) as night:
        needs = "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = 'reporting') AS ok, 'role reporting' AS \"check\";"
        (night.folder / "validate/002.sql").write_text(needs)
        night.start()
        night.wait_for(facts.ValidationFailed)
        cluster.execute("CREATE ROLE reporting")
        assert night.cli("send", "retry").returncode == 0
        night.wait_for(facts.GateReached, gate="downtime")
        assert len([event for event in night.events(facts.StepSucceeded) if event.step == str(PreCheck.prove_backup)]) == 1
        assert rehearsed(night)[-1] == "undo precheck.make_placeholder"
        assert names(cluster) == {"app", "app_closed"}


@pytest.mark.long
@on_18
def test_a_copy_that_somebody_changes_is_made_anew_by_retry_from_another_backup(cluster: Cluster, tmp_path: Path) -> None:
    """Found: `retry` compared the same copy once more, for ever."""
    with a_night(cluster, tmp_path, rehearsal={}) as night:
        night.stall(f"{PreCheck.reset_copy}.%.lift_fence", "back")
        night.start()
        night.wait_for_step(str(PreCheck.reset_copy))
        until(lambda: cluster.execute(ASLEEP), "the reset stands still")
        cluster.execute("DELETE FROM store.log WHERE id = 1", "app_try")
        night.release()
        failed = night.wait_for(facts.StepFailed, step=str(PreCheck.check_copy))
        assert "after the rollback app_try is not as it was" in failed.reason
        assert failed.hint.endswith("then `retry`, which takes another backup and rehearses on a new copy")
        assert night.cli("send", "retry").returncode == 0
        night.wait_for(facts.GateReached, gate="downtime")
        assert len([event for event in night.events(facts.StepSucceeded) if event.step == str(PreCheck.prove_backup)]) == 2
        assert names(cluster) == {"app", "app_closed"}
        assert photograph(cluster) == night.before


@on_18
def test_a_kill_in_the_rehearsal_repeats_one_step(cluster: Cluster, tmp_path: Path) -> None:
    """Each other kind of step: tests/fault/test_rehearsal_killed.py."""
    step = "smoke.exchange_names"
    with a_night(cluster, tmp_path, rehearsal={}) as night:
        night.stall(step)
        night.start()
        night.wait_for_step(PreCheck.rehearse.of(step))
        night.kill()
        night.take_over()
        night.wait_for(facts.GateReached, gate="downtime")
        started = [event.step for event in night.events(facts.StepStarted) if event.step.startswith(str(PreCheck.rehearse))]
        assert {each for each in started if started.count(each) > 1} == {PreCheck.rehearse.of(step)}
        assert names(cluster) == {"app", "app_closed"}
        assert photograph(cluster) == night.before


@on_18
def test_what_was_rehearsed_the_day_before_is_not_rehearsed_again_unless_a_file_has_changed(
    cluster: Cluster, tmp_path: Path
) -> None:
    with a_night(cluster, tmp_path, rehearsal={}) as night:
        done = night.main("rehearse", str(night.plan_file))
        assert done.returncode == 0, done.stdout + done.stderr
        assert names(cluster) == {"app"}
        cost, after = done.stdout.index("It takes the disk of three times"), done.stdout.index("precheck.prove_backup  ")
        assert cost < after, "it is said before it begins"
        assert "How long it takes is not known: no rehearsal of this database is on record" in done.stdout
        assert re.search(
            r"\nfit: \d+ steps in .*\n→ `cutoverd run .*plan.yaml` within 7 days does not rehearse again", done.stdout
        )
        assert list((night.folder / "backups").iterdir()) == [], "a dump a day would stay"
        night.start()
        night.wait_for(facts.GateReached, gate="downtime")
        assert " by `cutoverd rehearse`, with the same catalog, SQL files and plan" in night.cli("status").stdout
        of_steps = {event.step: event.evidence for event in night.events(facts.StepSucceeded)}
        taken = [evidence for step, evidence in of_steps.items() if step.startswith(str(PreCheck.rehearse))]
        assert taken
        assert all("on_record" in evidence for evidence in taken)
        assert of_steps[str(PreCheck.check_window)]["seconds"] > 0, "by what it took then"
        assert night.cli("send", "abort").returncode == 0
        assert night.exit_code() == 5
        (night.folder / "data/020.sql").write_text("INSERT INTO fleet.tally (machines) SELECT 1 / 0;")
        done = night.main("rehearse", str(night.plan_file))
        assert (done.returncode, "020.sql:1: division by zero" in done.stdout) == (5, True)
        assert "`abort`" not in done.stdout, "there is no run that could be aborted"
        assert "The last one, " in done.stdout, "of other files, and the best that is known"
        assert "not looked at, because data.run_script:data/020.sql has failed: " in done.stdout
        assert done.stdout.rstrip().endswith("again: production is untouched")


@on_18
def test_what_a_rehearsal_keeps_can_be_looked_at_and_is_dropped_by_a_word(cluster: Cluster, tmp_path: Path) -> None:
    """Found: new was kept closed, and nobody was told where it was."""
    with a_night(cluster, tmp_path, rehearsal={}) as night:
        (night.folder / "validate/002.sql").write_text("SELECT false AS ok, 'never' AS \"check\";")
        (night.folder / "data/020.sql").write_text("INSERT INTO fleet.tally (machines) SELECT 41;")
        done = night.main("rehearse", str(night.plan_file), "--keep")
        assert done.returncode == 5, done.stdout + done.stderr
        kept = dict(re.findall(r"^kept: (\S+), (.*): psql 'postgresql://", done.stdout, re.MULTILINE))
        assert kept == {"app_try": WHAT["old"], "app_try_n": WHAT["new"]}, done.stdout
        [url] = re.findall(r"app_try_n, .*: psql '(.*)'", done.stdout)
        with psycopg.connect(url) as conn:
            assert conn.execute("SELECT machines FROM fleet.tally").fetchall() == [(41,)]
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            psycopg.connect(make_conninfo(url, user="app_user"))
        assert photograph(cluster) == night.before
        assert f"cutoverd rehearse --drop {night.plan_file}` drops them" in done.stdout
        assert night.main("rehearse", str(night.plan_file), "--drop").returncode == 0
        assert names(cluster) == {"app"}


@on_18
def test_without_room_nothing_is_made_for_a_full_disk_stops_production_too(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path, rehearsal={}, backup={"directory": "taken"}) as night:
        (night.folder / "taken").write_text("")
        done = night.main("rehearse", str(night.plan_file))
        assert (done.returncode, "taken is no folder that we may write to" in done.stdout) == (5, True), done.stdout + done.stderr
        assert "not looked at, because precheck.check_room has failed: " in done.stdout
        assert "precheck.check_coverage  " in done.stdout, "what makes nothing is looked at all the same"
        assert "▶ precheck.prove_backup" not in done.stdout
        assert names(cluster) == {"app"}


@pytest.mark.long
@on_18
def test_two_databases_of_a_server_are_rehearsed_beside_each_other_and_each_drops_its_own_copy(
    cluster: Cluster, tmp_path: Path
) -> None:
    """Found: they went by one name in the ledger, and what was kept of the first was no longer known to be ours."""
    with a_night(cluster, tmp_path, rehearsal={}) as night:
        cluster.execute("CREATE DATABASE apple TEMPLATE app OWNER app_owner")
        assert night.main("rehearse", "--keep", str(night.plan_file)).returncode == 0
        kept = names(cluster) - {"app", "apple"}
        assert kept == {"app_try", "app_try_n"}
        night.write_plan(database={"url": cluster.url("apple")})
        done = night.main("rehearse", str(night.plan_file))
        assert done.returncode == 0, done.stdout + done.stderr
        assert names(cluster) == {"app", "apple", *kept}
        night.write_plan(database={"url": cluster.url("app")})
        assert night.main("rehearse", "--drop", str(night.plan_file)).returncode == 0
        assert names(cluster) == {"app", "apple"}


@pytest.mark.long
@on_18
def test_a_kill_on_a_copy_on_another_server_is_made_good_and_its_seconds_judge_nothing(cluster: Cluster, tmp_path: Path) -> None:
    """The copy is the team's: it has its name and its rows again, and nothing stands beside it."""
    with (
        a_night(cluster, tmp_path, rehearsal={}, window={"budget": "1ms"}) as night,
        a_copy_elsewhere(cluster, tmp_path) as other,
    ):
        copy = photograph(other)
        night.write_plan(rehearsal={"database": other.url()})
        other.execute("ALTER ROLE app_user SET night.data_010 = 'on'")
        night.start()
        until(lambda: other.execute(ASLEEP), f"the data script runs on the copy\n{night.output[-3000:]}")
        night.kill()
        night.take_over()
        other.execute("ALTER ROLE app_user RESET night.data_010")
        night.wait_for(facts.GateReached, gate="downtime")
        of_steps = {event.step: event.evidence for event in night.events(facts.StepSucceeded)}
        window = of_steps[str(PreCheck.check_window)]
        assert (window["elsewhere"], window["seconds"] > 0.001) == (f"app on 127.0.0.1:{other.port}", True)
        assert (names(other), photograph(other)) == ({"app"}, copy)
        assert (names(cluster), photograph(cluster)) == ({"app", "app_closed"}, night.before)


@pytest.mark.long
@on_18
def test_what_was_rehearsed_on_a_copy_counts_when_the_copy_is_gone(cluster: Cluster, tmp_path: Path) -> None:
    """By the command, the day before: PreCheck asks nothing of its server any more."""
    with (
        a_night(cluster, tmp_path, rehearsal={}, window={"budget": "1ms"}) as night,
        a_copy_elsewhere(cluster, tmp_path) as other,
    ):
        copy = photograph(other)
        night.write_plan(rehearsal={"database": other.url()})
        done = night.main("rehearse", str(night.plan_file))
        assert done.returncode == 0, done.stdout + done.stderr
        assert (names(other), photograph(other)) == ({"app"}, copy)
        assert other.execute("SELECT count(*) FROM cutoverd.fence", "cutoverd") == [(0,)]
        other.stop()
        night.start()
        night.wait_for(facts.GateReached, gate="downtime")
        of_steps = {event.step: event.evidence for event in night.events(facts.StepSucceeded)}
        assert of_steps[str(PreCheck.check_window)]["elsewhere"] == f"app on 127.0.0.1:{other.port}"
        assert f"on app on 127.0.0.1:{other.port}, in " in of_steps[str(PreCheck.find_rehearsal)]["says"]
