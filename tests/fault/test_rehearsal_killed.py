"""SIGKILL of the daemon and of PostgreSQL in each kind of step of the rehearsal, in a run's PreCheck and on any day.

The next start repeats that one step, or the rehearsal; production is as it was, and nothing is left. The two nights of kills take
half a minute each where nothing else runs, a crash of the server about ten seconds.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from support import stalled_rehearsal
from support.night import READERS, Night, a_night, until
from support.production import names, photograph
from support.servers import Cluster

from cutoverd.events import facts
from cutoverd.states import rehearsal
from cutoverd.states.precheck import PreCheck

pytestmark = pytest.mark.parametrize("cluster", ["18"], indirect=True)
Stalled = tuple[str, str]  # as `Night.stall` has it
RESET = ("precheck.reset_copy.%.lift_fence", "back")
RESTORE = ("precheck.prove_backup.restore", "forward")
LAST_SCRIPT = (
    "data.run_script:late/900.sql",
    "forward",
)  # from here on tables of the copy can be locked: no script waits for them
OF_OTHERS = {RESET: str(PreCheck.reset_copy), RESTORE: str(PreCheck.prove_backup)}  # which step stands still then
THERE: list[Stalled] = [
    ("precheck.prove_backup", "forward"),
    RESTORE,
    RESET,
    ("precheck.make_placeholder", "forward"),
    ("downtime.fence_old", "forward"),
    ("downtime.record_position", "forward"),
    ("schema.build_new", "forward"),
    ("schema.open_old", "forward"),
    ("schema.apply_schema", "forward"),
    ("data.run_script:data/010.sql", "forward"),
    LAST_SCRIPT,
    ("data.set_sequences", "forward"),
    ("data.analyze", "forward"),
]
JUDGED_AND_BACK: list[Stalled] = [
    LAST_SCRIPT,
    ("validate.check_coverage", "forward"),
    ("validate.check_grants", "forward"),
    ("validate.check_invariants", "forward"),
    ("validate.check_script:validate/001.sql", "forward"),
    ("validate.compare:machines", "forward"),
    ("validate.time_query:machines", "forward"),
    ("validate.close_old", "forward"),
    ("smoke.check_old_unchanged", "forward"),
    ("smoke.exchange_names", "forward"),
    ("smoke.exchange_names", "back"),
    ("schema.open_old", "back"),
    ("schema.build_new", "back"),
    ("downtime.fence_old", "back"),
    ("precheck.make_placeholder", "back"),
    ("precheck.check_copy", "forward"),
    ("precheck.record_rehearsal", "forward"),
    ("precheck.drop_copy", "forward"),
]
OURS = "SELECT datname, query FROM pg_stat_activity WHERE application_name LIKE 'cutoverd/%' AND datname LIKE 'app%'"
STANDS_STILL = """
SELECT pid FROM pg_stat_activity
WHERE application_name LIKE 'cutoverd/%' AND state = 'active' AND wait_event IN ('PgSleep', 'relation')
"""


def step_of(stalled: Stalled) -> str:
    """The step of PreCheck that stands still."""
    step, direction = stalled
    if stalled in OF_OTHERS:
        return OF_OTHERS[stalled]
    if step.startswith("precheck.") and step != str(PreCheck.make_placeholder):
        return step
    return PreCheck.rehearse.of(step if direction == "forward" else f"{rehearsal.UNDO}{step}")


def assert_nothing_is_left(night: Night, *databases: str) -> None:
    """But production as it was, and what PreCheck made for the window."""
    assert names(night.cluster) == {"app", *databases}
    assert photograph(night.cluster) == night.before
    assert night.cluster.execute("SELECT count(*) FROM cutoverd.step_log WHERE run LIKE '%/try'", "cutoverd") == [(0,)]
    until(lambda: not night.cluster.execute(OURS), "the server has ended the sessions that were closed")
    assert [path for path in (night.folder / "backups").iterdir() if path.name.endswith(".part")] == []


@contextmanager
def a_night_that_stands_still(cluster: Cluster, folder: Path) -> Iterator[Night]:
    """Wherever it is to: of a rehearsal more has to be held up than of the window."""
    with a_night(cluster, folder, rehearsal={}) as night:
        cluster.execute(stalled_rehearsal.RESTORED, "app")
        cluster.execute(stalled_rehearsal.READS, "cutoverd")
        night.write_plan(validate=stalled_rehearsal.with_query(night.plan["validate"]))
        check_production(night)
        yield night


@pytest.mark.parametrize(
    "kinds",
    [
        pytest.param(THERE, marks=pytest.mark.long, id="there"),
        pytest.param(JUDGED_AND_BACK, marks=pytest.mark.soak, id="judged and back"),
    ],
)
def test_a_daemon_killed_in_each_kind_of_step_of_the_rehearsal_repeats_that_one_alone(
    cluster: Cluster, tmp_path: Path, kinds: list[Stalled]
) -> None:
    with a_night_that_stands_still(cluster, tmp_path) as night:
        for stalled in kinds:
            night.stall(*stalled)
            night.take_over()
            night.wait_for_step(step_of(stalled))
            night.kill()
        night.take_over()
        night.wait_for(facts.GateReached, gate="downtime")
        started = [event.step for event in night.events(facts.StepStarted)]
        assert {step for step in started if started.count(step) > 1} == {step_of(stalled) for stalled in kinds}
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
    """One session's process: the server ends all others and recovers by itself.

    Found: nobody stood still where he was asked for just as he had woken to see whether he may go on, and a busy server answered
    still before it had met the death.
    """
    [[pid], *_] = until(lambda: night.cluster.execute(STANDS_STILL), "a session stands still")
    with night.cluster.superuser() as other:
        os.kill(pid, signal.SIGKILL)
        until(lambda: not answers(other), "the server ends every session")
    until(lambda: is_up(night.cluster), "the server has recovered")


def answers(session: psycopg.Connection[tuple[Any, ...]]) -> bool:
    try:
        return session.execute("SELECT 1").fetchone() == (1,)
    except psycopg.OperationalError:
        return False


def is_up(cluster: Cluster) -> bool:
    try:
        return cluster.execute("SELECT 1") == [(1,)]
    except psycopg.OperationalError:
        return False


REPEATED: list[Stalled] = [
    RESET,
    ("schema.build_new", "forward"),
    ("validate.check_script:validate/001.sql", "forward"),
    ("validate.compare:machines", "forward"),
    ("smoke.exchange_names", "forward"),
    ("smoke.exchange_names", "back"),
    ("schema.build_new", "back"),
]
LOST: list[Stalled] = [  # what became of it is known: nothing of it is there
    ("precheck.prove_backup", "forward"),
    RESTORE,
    ("data.run_script:data/010.sql", "forward"),
]
LOCKED: list[Stalled] = [  # at a table of the copy, which is not there when the rehearsal begins
    ("data.set_sequences", "forward"),
    ("data.analyze", "forward"),
    ("validate.check_coverage", "forward"),
    ("validate.check_grants", "forward"),
    ("validate.check_invariants", "forward"),
    ("precheck.check_copy", "forward"),
]
OTHERS = [each for each in dict.fromkeys((*THERE, *JUDGED_AND_BACK)) if each not in (*REPEATED, *LOST, *LOCKED)]
OF_A_FILE = LOST[-1:]  # it may have brought it about
KILLS: list[Callable[[Night], None]] = [kill_postmaster, kill_backend]


def check_production(night: Night) -> None:
    """A crash moves sequences by itself, as far as they were logged ahead; not behind a checkpoint."""
    night.cluster.execute("CHECKPOINT")
    night.before = photograph(night.cluster)


def named(value: object) -> str | None:
    return " ".join(value) if isinstance(value, tuple) else None


def crash(night: Night, stalled: Stalled, kill: Callable[[Night], None]) -> None:
    """What reads in one snapshot is let go before: it does not learn of it, and whoever takes it again does not stand still."""
    if stalled[0].startswith(READERS):
        night.release()
    kill(night)
    night.release()


def crash_on_any_day(night: Night, stalled: Stalled, kill: Callable[[Night], None]) -> None:
    """In the middle of that step of `cutoverd rehearse`."""
    night.stall(*stalled)
    night.begin("rehearse", str(night.plan_file))
    until(lambda: night.cluster.execute(STANDS_STILL), f"{stalled} stands still\n{night.output[-3000:]}")
    crash(night, stalled, kill)


@pytest.mark.parametrize(
    ("stalled", "kill"),
    [
        pytest.param(each, kill, marks=pytest.mark.long if (each, kill) == (REPEATED[1], kill_backend) else pytest.mark.soak)
        for each in (*REPEATED, *LOST)
        for kill in KILLS
    ],
    ids=named,
)
def test_a_crash_of_the_server_in_the_rehearsal_of_a_run(
    cluster: Cluster, tmp_path: Path, stalled: Stalled, kill: Callable[[Night], None]
) -> None:
    """It repeats the one step by itself, or says that the server is to blame and goes on by `retry`."""
    with a_night_that_stands_still(cluster, tmp_path) as night:
        night.stall(*stalled)
        night.start()
        night.wait_for_step(step_of(stalled))
        crash(night, stalled, kill)
        if stalled in LOST:
            failed = night.wait_for(facts.StepFailed)
            assert (failed.step, "the server's log says why" in failed.hint) == (step_of(stalled), True), failed
            until(lambda: night.cli("send", "retry").returncode == 0, "it waits for `retry`")
        night.wait_for(facts.GateReached, gate="downtime")
        assert [event.step for event in night.events(facts.StepInterrupted)] == [step_of(stalled)] * (stalled in REPEATED)
        assert_nothing_is_left(night, "app_closed")


@pytest.mark.soak
@pytest.mark.parametrize("kill", KILLS)
@pytest.mark.parametrize("stalled", [*REPEATED, *LOST], ids=named)
def test_a_crash_of_the_server_in_a_rehearsal_on_any_day(
    cluster: Cluster, tmp_path: Path, stalled: Stalled, kill: Callable[[Night], None]
) -> None:
    """What is not known is no finding: "not fit" was said of the files, and nothing was wrong with them."""
    with a_night_that_stands_still(cluster, tmp_path) as night:
        crash_on_any_day(night, stalled, kill)
        assert night.exit_code() == (5 if stalled in OF_A_FILE else 1), night.output
        says = ["`cutoverd rehearse` begins anew", "the server's log says why"]  # of a dump: whoever notices first
        assert any(each in night.output for each in says[stalled in OF_A_FILE :]), night.output
        done = night.main("rehearse", str(night.plan_file))
        assert done.returncode == 0, done.stdout + done.stderr
        assert_nothing_is_left(night)


@pytest.mark.soak
@pytest.mark.parametrize("stalled", OTHERS, ids=named)
def test_a_crash_of_the_server_in_any_other_step_leaves_what_the_next_rehearsal_clears(
    cluster: Cluster, tmp_path: Path, stalled: Stalled
) -> None:
    with a_night_that_stands_still(cluster, tmp_path) as night:
        crash_on_any_day(night, stalled, kill_backend)
        assert night.exit_code() in (1, 5), night.output
        assert "Traceback" not in night.output
        done = night.main("rehearse", str(night.plan_file))
        assert done.returncode == 0, done.stdout + done.stderr
        assert_nothing_is_left(night)
