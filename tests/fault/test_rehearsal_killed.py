"""SIGKILL of the daemon and of PostgreSQL in each kind of step of the rehearsal, in a run's PreCheck and on any day.

The next start repeats that one step, or the rehearsal; production is as it was, and nothing is left.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from support.night import Night, a_night, until
from support.production import names, photograph
from support.servers import Cluster

from cutoverd.events import facts
from cutoverd.states import rehearsal
from cutoverd.states.precheck import PreCheck

pytestmark = pytest.mark.parametrize("cluster", ["18"], indirect=True)
Stalled = tuple[str, str]  # as `Night.stall` has it
RESET = ("precheck.reset_copy.%.lift_fence", "back")
KINDS: list[Stalled] = [
    ("precheck.prove_backup", "forward"),
    RESET,
    ("precheck.make_placeholder", "forward"),
    ("downtime.fence_old", "forward"),
    ("schema.build_new", "forward"),
    ("schema.open_old", "forward"),
    ("schema.apply_schema", "forward"),
    ("data.run_script:data/010.sql", "forward"),
    ("data.run_script:late/900.sql", "forward"),
    ("validate.check_script:validate/001.sql", "forward"),
    ("validate.compare:machines", "forward"),
    ("validate.close_old", "forward"),
    ("smoke.exchange_names", "forward"),
    ("smoke.exchange_names", "back"),
    ("schema.open_old", "back"),
    ("schema.build_new", "back"),
    ("downtime.fence_old", "back"),
    ("precheck.record_rehearsal", "forward"),
]
OURS = "SELECT datname, query FROM pg_stat_activity WHERE application_name LIKE 'cutoverd/%' AND datname LIKE 'app%'"
STANDS_STILL = """
SELECT 1 FROM pg_stat_activity
WHERE application_name LIKE 'cutoverd/%' AND state = 'active' AND wait_event IN ('PgSleep', 'relation')
"""


def step_of(stalled: Stalled) -> str:
    """The step of PreCheck that stands still."""
    step, direction = stalled
    if stalled == RESET:
        return str(PreCheck.reset_copy)
    if step.startswith("precheck.") and step != str(PreCheck.make_placeholder):
        return step
    return PreCheck.rehearse.of(step if direction == "forward" else f"{rehearsal.UNDO}{step}")


def assert_nothing_is_left(night: Night, *databases: str) -> None:
    """But production as it was, and what PreCheck made for the window."""
    assert names(night.cluster) == {"app", *databases}
    assert photograph(night.cluster) == night.before
    assert night.cluster.execute("SELECT count(*) FROM cutoverd.step_log WHERE run LIKE '%/try'", "cutoverd") == [(0,)]
    assert night.cluster.execute(OURS) == []
    assert [path for path in (night.folder / "backups").iterdir() if path.name.endswith(".part")] == []


@pytest.mark.long
def test_a_daemon_killed_in_each_kind_of_step_of_the_rehearsal_repeats_that_one_alone(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path, rehearsal={}) as night:
        for stalled in KINDS:
            night.stall(*stalled)
            night.take_over()
            night.wait_for_step(step_of(stalled))
            night.kill()
        night.take_over()
        night.wait_for(facts.GateReached, gate="downtime")
        started = [event.step for event in night.events(facts.StepStarted)]
        assert {step for step in started if started.count(step) > 1} == {step_of(stalled) for stalled in KINDS}
        assert night.events(facts.StepFailed) == []
        assert_nothing_is_left(night, "app_closed")


BY_ITSELF = [
    ("precheck.prove_backup", "forward"),
    ("data.run_script:data/010.sql", "forward"),
    ("smoke.exchange_names", "forward"),
    ("schema.build_new", "back"),
]


@pytest.mark.parametrize(
    "stalled", [pytest.param(each, marks=pytest.mark.soak if at else pytest.mark.long) for at, each in enumerate(BY_ITSELF)]
)
def test_a_rehearsal_on_any_day_that_was_killed_is_cleared_by_the_next_and_by_drop(
    cluster: Cluster, tmp_path: Path, stalled: Stalled
) -> None:
    with a_night(cluster, tmp_path, rehearsal={}) as night:
        for words in (["--drop"], []):
            night.stall(*stalled)
            night.begin("rehearse", str(night.plan_file))
            until(lambda: cluster.execute(STANDS_STILL), f"{stalled} stands still\n{night.output[-3000:]}")
            night.kill()
            night.release()
            done = night.main("rehearse", *words, str(night.plan_file))
            assert done.returncode == 0, done.stdout + done.stderr
            assert_nothing_is_left(night)


def kill_postmaster(night: Night) -> None:
    night.cluster.kill()
    night.cluster.start()


def kill_backend(night: Night) -> None:
    """One session's process: the server ends all others and recovers by itself."""
    pid = night.cluster.execute(STANDS_STILL.replace("SELECT 1", "SELECT pid"))[0][0]
    os.kill(pid, signal.SIGKILL)
    until(lambda: is_up(night.cluster), "the server has recovered")


def is_up(cluster: Cluster) -> bool:
    try:
        return cluster.execute("SELECT 1") == [(1,)]
    except Exception:
        return False


REPEATED = [
    ("schema.build_new", "forward"),
    ("smoke.exchange_names", "forward"),
    ("schema.build_new", "back"),
]
LOST = [  # what became of it is known: nothing of it is there
    ("precheck.prove_backup", "forward"),
    ("data.run_script:data/010.sql", "forward"),
]
by_kill = pytest.mark.parametrize("kill", [kill_postmaster, kill_backend])


def check_production(night: Night) -> None:
    """A crash moves sequences by itself, as far as they were logged ahead; not behind a checkpoint."""
    night.cluster.execute("CHECKPOINT")
    night.before = photograph(night.cluster)


@pytest.mark.parametrize(
    ("stalled", "kill"),
    [
        pytest.param(each, kill, marks=pytest.mark.long if (each, kill) == (REPEATED[0], kill_backend) else pytest.mark.soak)
        for each in (*REPEATED, *LOST)
        for kill in (kill_postmaster, kill_backend)
    ],
)
def test_a_crash_of_the_server_in_the_rehearsal_of_a_run(
    cluster: Cluster, tmp_path: Path, stalled: Stalled, kill: Callable[[Night], None]
) -> None:
    """It repeats the one step by itself, or says that the server is to blame and goes on by `retry`."""
    with a_night(cluster, tmp_path, rehearsal={}) as night:
        check_production(night)
        night.stall(*stalled)
        night.start()
        night.wait_for_step(step_of(stalled))
        kill(night)
        night.release()
        if stalled in LOST:
            failed = night.wait_for(facts.StepFailed)
            assert (failed.step, "the server's log says why" in failed.hint) == (step_of(stalled), True), failed
            until(lambda: night.cli("send", "retry").returncode == 0, "it waits for `retry`")
        night.wait_for(facts.GateReached, gate="downtime")
        assert [event.step for event in night.events(facts.StepInterrupted)] == [step_of(stalled)] * (stalled in REPEATED)
        assert_nothing_is_left(night, "app_closed")


@pytest.mark.soak
@by_kill
@pytest.mark.parametrize("stalled", [*REPEATED, *LOST])
def test_a_crash_of_the_server_in_a_rehearsal_on_any_day(
    cluster: Cluster, tmp_path: Path, stalled: Stalled, kill: Callable[[Night], None]
) -> None:
    """What is not known is no finding: "not fit" was said of the files, and nothing was wrong with them."""
    with a_night(cluster, tmp_path, rehearsal={}) as night:
        check_production(night)
        night.stall(*stalled)
        night.begin("rehearse", str(night.plan_file))
        until(lambda: cluster.execute(STANDS_STILL), f"{stalled} stands still\n{night.output[-3000:]}")
        kill(night)
        night.release()
        assert night.exit_code() == (1 if stalled in REPEATED else 5), night.output
        says = "`cutoverd rehearse` begins anew" if stalled in REPEATED else "the server's log says why"
        assert says in night.output, night.output
        done = night.main("rehearse", str(night.plan_file))
        assert done.returncode == 0, done.stdout + done.stderr
        assert_nothing_is_left(night)
