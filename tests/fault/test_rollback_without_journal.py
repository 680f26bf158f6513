"""The journal is gone, the daemon too: production is taken back from the ledger alone, wherever the run was."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import psycopg
import pytest
from support.aftermath import MACHINES
from support.night import Night, a_night, stalled_at, until
from support.production import log_in, names, photograph
from support.servers import Cluster, in_a_loop_of_its_own

from cutoverd.daemon.embedded import nats
from cutoverd.events import facts

pytestmark = [pytest.mark.long, pytest.mark.parametrize("cluster", ["18"], indirect=True)]
BEFORE_THE_WINDOW = {"worker.old", "api.old", "door.door"}


def command(night: Night, *words: str) -> list[str]:
    return ["rollback", str(night.plan_file), "--without-journal", "--confirm", night.run, *words]


def take_back(night: Night, *words: str) -> subprocess.CompletedProcess[str]:
    return night.main(*command(night, *words), seconds=120)


def take_back_from_elsewhere(night: Night) -> subprocess.CompletedProcess[str]:
    """With a `state_dir` of its own, as on another machine."""
    here = night.folder / "here.yaml"
    here.write_text(night.plan_file.read_text().replace(str(night.state_dir), str(night.folder / "elsewhere")))
    return night.main("rollback", str(here), "--without-journal", "--confirm", night.run, seconds=120)


def wipe(night: Night) -> None:
    """The NATS of the run and its store, with every event."""
    night.close_reader()
    server = nats.find(night.state_dir / "nats")
    if server:
        os.kill(server.pid, signal.SIGKILL)
    until(lambda: nats.find(night.state_dir / "nats") is None, "the nats-server is gone")
    shutil.rmtree(night.state_dir / "nats")


def kill_in(night: Night, step: str, when: str = "before") -> None:
    """The daemon is killed in the middle of that step, and the journal with it."""
    if step == "monitor.watch":
        night.write_plan(monitor={"for": "10m"})
        night.start("--auto")
        night.wait_for(facts.StepStarted, step=step)
    else:
        night.stall(step, when=when)
        night.start("--auto")
        night.wait_for_step(step)
    night.kill()
    wipe(night)


def assert_taken_back(night: Night) -> None:
    """Production is the old database to the byte, what ran before runs, and no NATS was asked for anything."""
    assert photograph(night.cluster) == night.before
    assert log_in(night.cluster) == MACHINES
    assert night.systems() == BEFORE_THE_WINDOW
    assert not (night.state_dir / "nats").exists()


@pytest.mark.parametrize(
    ("step", "when"),
    [
        pytest.param("downtime.close_traffic:door", "before", marks=pytest.mark.soak),
        pytest.param("downtime.stop_service:api", "after", marks=pytest.mark.soak),
        pytest.param("downtime.fence_old", "before", marks=pytest.mark.soak),
        pytest.param("schema.build_new", "before", marks=pytest.mark.soak),
        pytest.param("data.run_script:data/010.sql", "before", marks=pytest.mark.soak),
        pytest.param("data.run_script:late/900.sql", "before", marks=pytest.mark.soak),
        pytest.param("validate.check_script:validate/001.sql", "before", marks=pytest.mark.soak),
        pytest.param("smoke.exchange_names", "before", marks=pytest.mark.soak),
        ("smoke.smoke_test:page", "before"),
        pytest.param("cutover.start_service:api", "after", marks=pytest.mark.soak),
        pytest.param("cutover.open_traffic:door", "after", marks=pytest.mark.soak),
        ("monitor.watch", ""),
    ],
)
def test_production_is_taken_back_without_the_journal(cluster: Cluster, tmp_path: Path, step: str, when: str) -> None:
    with a_night(cluster, tmp_path) as night:
        kill_in(night, step, when)
        done = take_back(night)
        assert done.returncode == 3, done
        assert "production is back" in done.stdout
        assert_taken_back(night)
        again = take_back(night)
        assert (again.returncode, "taken back already" in again.stdout) == (3, True), again
        assert_taken_back(night)
        night.release()


def test_in_precheck_nothing_has_to_be_taken_back(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path) as night:
        kill_in(night, "precheck.make_placeholder")
        done = take_back(night)
        assert done.returncode == 5, done
        assert "the window had not begun" in done.stdout
        assert_taken_back(night)
        night.release()


BACK = [
    ("smoke.exchange_names", "before"),
    ("schema.open_old", "before"),
    ("schema.build_new", "before"),
    ("downtime.fence_old", "before"),
    ("downtime.stop_service:api", "after"),
    ("downtime.close_traffic:door", "before"),
]


def test_killed_half_way_it_is_said_again_and_finishes(cluster: Cluster, tmp_path: Path) -> None:
    """Before any of its actions, each time a bit further."""
    with a_night(cluster, tmp_path) as night:
        kill_in(night, "cutover.open_traffic:door", "after")
        for step, when in BACK:
            night.stall(step, "back", when)
            night.begin(*command(night))
            paused = lambda at=step: bool(night.children(at)) or any(w == "PgSleep" for _, w in night.backends())  # noqa: E731
            until(paused, f"{step} stands still\n{night.output[-3000:]}")
            night.kill()
            night.release()
        done = take_back(night)
        assert done.returncode == 3, done
        assert_taken_back(night)


@pytest.mark.parametrize("step", ["smoke.exchange_names", pytest.param("downtime.fence_old", marks=pytest.mark.soak)])
def test_on_its_way_back_already_it_is_taken_back_all_the_same(cluster: Cluster, tmp_path: Path, step: str) -> None:
    with a_night(cluster, tmp_path) as night:
        night.knob("smoke api test", exit=1)
        night.stall(step, "back")
        night.start("--auto")
        night.wait_for_step(step, "back")
        night.kill()
        wipe(night)
        night.release()
        assert take_back(night).returncode == 3
        assert_taken_back(night)


def test_smoke_roles_that_wrote_nothing_cost_nothing(cluster: Cluster, tmp_path: Path) -> None:
    """Which of them others share only the journal knows, so each row counts. The ledger is one of an older version."""
    cluster.execute("DROP ROLE IF EXISTS smoke; CREATE ROLE smoke LOGIN")
    with a_night(cluster, tmp_path) as night:
        night.write_plan(smoke={"roles": ["smoke"], "tests": night.plan["smoke"]})
        kill_in(night, "smoke.smoke_test:page")
        cluster.execute("DROP TABLE cutoverd.outsiders", "cutoverd")
        done = take_back(night)
        assert (done.returncode, "no row was written" in done.stdout) == (3, True), done
        assert_taken_back(night)
        night.release()


def test_without_the_ledger_it_names_the_way_by_hand(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path) as night:
        cluster.execute("DROP DATABASE cutoverd")
        done = take_back(night)
        assert done.returncode == 1, done
        assert "there is no database cutoverd" in done.stderr
        assert "docs/last-resort.md" in done.stderr


def test_rows_written_since_the_swap_are_given_up_only_by_name(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path) as night:
        kill_in(night, "monitor.watch")
        with psycopg.connect(cluster.url("app", user="app_user")) as client:
            client.execute("INSERT INTO store.log (line) VALUES ('acknowledged')")
        refused = take_back(night)
        assert refused.returncode == 1, refused
        assert "store.log: 1 inserted" in refused.stderr
        assert "--accept-loss --reason" in refused.stderr
        assert log_in(cluster) == MACHINES
        assert cluster.execute("SELECT count(*) FROM fleet.machine", "app") == [(MACHINES,)], (
            "production is the new database still"
        )
        assert take_back(night, "--accept-loss").returncode == 2, "without a reason"
        done = take_back(night, "--accept-loss", "--reason", "the new version is worse")
        assert done.returncode == 3, done
        assert "store.log" in done.stdout
        assert_taken_back(night)
        cluster.execute("ALTER DATABASE app_next ALLOW_CONNECTIONS true")
        assert ("acknowledged",) in cluster.execute("SELECT line FROM store.log", "app_next")


def test_a_daemon_that_lives_on_this_machine_is_not_taken_from(cluster: Cluster, tmp_path: Path) -> None:
    with stalled_at("data.run_script:data/010.sql", cluster, tmp_path) as night:
        refused = take_back(night)
        assert refused.returncode == 7, refused
        assert f"is driven by process {night.daemons[-1].pid}" in refused.stderr
        night.release()
        assert night.exit_code(120) == 0


@pytest.mark.soak  # in CI by the test after it
def test_a_daemon_that_watches_elsewhere_never_says_that_it_has_completed(cluster: Cluster, tmp_path: Path) -> None:
    """Nothing that it does fails: no service has a new version, and the journal does not tell it."""
    with a_night(cluster, tmp_path) as night:
        fine = [{"name": "page", "command": ["true"]}]
        worker = {key: night.plan["services"][0][key] for key in ("name", "old")}
        night.write_plan(monitor={"for": "12s"}, services=[worker], health=fine, smoke=fine)
        night.start("--auto")
        night.wait_for(facts.StepStarted, step="monitor.watch")
        done = take_back_from_elsewhere(night)
        assert done.returncode == 3, done
        assert night.exit_code() == 7, night.output[-3000:]


@pytest.mark.parametrize("step", [pytest.param("data.run_script:data/010.sql", marks=pytest.mark.soak), "monitor.watch"])
def test_a_daemon_elsewhere_is_fenced_and_steps_down(cluster: Cluster, tmp_path: Path, step: str) -> None:
    """By the fence in PostgreSQL: whoever has another `state_dir` sees no lock of it."""
    with a_night(cluster, tmp_path) as night:
        if step == "monitor.watch":
            night.write_plan(monitor={"for": "15s"})
            night.start("--auto")
            night.wait_for(facts.StepStarted, step=step)
        else:
            night.stall(step)
            night.start("--auto")
            night.wait_for_step(step)
        done = take_back_from_elsewhere(night)
        assert done.returncode == 3, done
        assert night.exit_code() == 7, night.output[-3000:]
        assert photograph(cluster) == night.before
        assert night.systems() == BEFORE_THE_WINDOW
        night.release()


def test_the_runs_name_has_to_be_said(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path) as night:
        nobody = night.main("rollback", str(night.plan_file), "--without-journal")
        assert (nobody.returncode, "no daemon has ever taken run night" in nobody.stderr) == (1, True), nobody
        kill_in(night, "data.run_script:data/010.sql")
        wrong = night.main("rollback", str(night.plan_file), "--without-journal", "--confirm", "nigth")
        assert (wrong.returncode, "--confirm night" in wrong.stderr) == (2, True), wrong
        unsaid = night.main("rollback", str(night.plan_file), "--without-journal")
        assert (unsaid.returncode, "nobody confirmed" in unsaid.stderr) == (2, True), unsaid
        bare = night.main("rollback", str(night.plan_file), "--confirm", "night")
        assert (bare.returncode, "cutoverd send rollback" in bare.stderr) == (2, True), bare
        night.write_plan(database={"url": cluster.url("postgres")})
        other = take_back(night)
        assert (other.returncode, "was on database app, and the plan names postgres" in other.stderr) == (1, True), other
        assert names(cluster) == {"app", "app_previous", "app_next"}, "nothing was done"
        night.release()


def test_what_ran_before_is_not_on_record_so_it_is_named(cluster: Cluster, tmp_path: Path) -> None:
    """As after a run that an older version began."""
    with a_night(cluster, tmp_path) as night:
        kill_in(night, "data.run_script:data/010.sql")
        night.release()
        cluster.execute("DROP TABLE cutoverd.found", "cutoverd")
        unhealthy = take_back(night)
        assert unhealthy.returncode == 1, unhealthy
        for what in ("service worker is stopped", "service api is stopped", "door door is closed"):
            assert what in unhealthy.stdout
        assert "ctl.sh start worker old" in unhealthy.stdout
        assert photograph(cluster) == night.before
        for words in (["start", "worker", "old"], ["start", "api", "old"], ["open", "door"]):
            subprocess.run(["sh", "ctl.sh", *words], cwd=night.folder, check=True)
        assert take_back(night).returncode == 3
        assert_taken_back(night)


def test_a_journal_that_comes_back_goes_nowhere_and_hinders_no_new_run(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path) as night:
        night.write_plan(monitor={"for": "10m"})
        night.start("--auto")
        night.wait_for(facts.StepStarted, step="monitor.watch")
        night.kill()
        in_a_loop_of_its_own(nats.stop(night.state_dir / "nats"))
        shutil.copytree(night.state_dir / "nats", tmp_path / "saved")
        wipe(night)
        assert take_back(night).returncode == 3
        shutil.copytree(tmp_path / "saved", night.state_dir / "nats")
        night.start("--auto")
        assert night.exit_code() == 1
        assert "taken back without its journal" in night.output
        assert "give the plan a new `run`" in night.output
        assert photograph(cluster) == night.before
        for left in ("app_next", "app_closed"):
            cluster.execute(f"DROP DATABASE {left}")
        old_plan = tmp_path / "old.yaml"
        shutil.copy(night.plan_file, old_plan)
        night.write_plan(run="night2", monitor={"for": "200ms"})
        night.start("--auto")
        assert night.exit_code(120) == 0, night.output[-3000:]
        late = night.main("rollback", str(old_plan), "--without-journal", "--confirm", "night")
        assert late.returncode == 1, late
        assert "run night2 has acted on the databases of run night since" in late.stderr
