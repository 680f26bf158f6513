"""Whoever started the daemon went away: the run is told by the journal, not by a terminal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.night import Night, a_night, until
from support.servers import Cluster
from support.terminal import on_a_terminal

from cutoverd.events import facts

on_18 = pytest.mark.parametrize("cluster", ["18"], indirect=True)


CLOSED = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"]  # cron jobs and services may be started so


@pytest.mark.long
@on_18
def test_found_a_run_whose_streams_were_closed_died_at_its_first_line_of_the_log(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path) as night:
        (tmp_path / "daemon.log").touch()
        night.stall("data.run_script:data/010.sql")
        command = [sys.executable, "-m", "cutoverd.daemon", "run", str(night.plan_file), "--auto"]
        night.daemons.append(subprocess.Popen([*CLOSED, *command]))
        night.wait_for_step("data.run_script:data/010.sql")
        os.kill(night.nats().pid, signal.SIGKILL)
        until(lambda: night.nats().pid, "the server is started again")
        night.release()
        assert night.exit_code() == 0
        assert night.last_transition().target == "completed"


def started(night: Night, *options: str) -> subprocess.Popen[bytes]:
    """`cutoverd run --auto`, whose output we read."""
    command = [sys.executable, "-m", "cutoverd.daemon", "run", str(night.plan_file), "--auto", *options]
    daemon = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # the tests themselves may run under nohup
    )
    night.daemons.append(daemon)
    return daemon


@pytest.mark.long
@on_18
def test_a_closed_pipe_ends_no_run_and_changes_no_exit_code(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path) as night:
        daemon = started(night)
        assert daemon.stdout
        daemon.stdout.readline()
        daemon.stdout.close()
        assert daemon.wait(60) == 0
        assert night.last_transition().target == "completed"


@on_18
def test_a_hangup_is_an_orderly_stop(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path) as night:
        (tmp_path / "daemon.log").touch()
        night.stall("data.run_script:data/010.sql")
        daemon = started(night, "--format", "lines")
        night.wait_for_step("data.run_script:data/010.sql")
        daemon.send_signal(signal.SIGHUP)
        output, _ = daemon.communicate(timeout=30)
        assert daemon.returncode == 6
        assert " ✔ downtime.fence_old  " in output.decode()
        assert b"cutoverd: stopped; the run goes on when it is started again" in output
        assert night.children("data.run_script:data/010.sql") == []
        assert night.events(facts.StepSucceeded)


@pytest.mark.long
@on_18
def test_a_terminal_that_goes_away_under_the_tree_ends_no_run(cluster: Cluster, tmp_path: Path) -> None:
    """As under `nohup` or in a session that outlives its terminal: nobody hangs up, writing fails."""
    with a_night(cluster, tmp_path) as night:
        (tmp_path / "daemon.log").touch()
        night.stall("data.run_script:data/010.sql")
        with on_a_terminal("run", str(night.plan_file), "--auto", hangup_ignored=True) as terminal:
            night.daemons.append(terminal.process)
            terminal.read_until(lambda: "▶ run_script:data/010.sql" in terminal.text)
            terminal.go_away()
            night.release()
            assert night.exit_code() == 0
        assert night.last_transition().target == "completed"


@pytest.mark.long
@on_18
def test_a_terminal_that_nobody_reads_holds_nothing_up(cluster: Cluster, tmp_path: Path) -> None:
    """Ctrl-S, or a pager that stands still: its buffer is full after a few pictures."""
    with a_night(cluster, tmp_path) as night:
        (tmp_path / "daemon.log").touch()
        with on_a_terminal("run", str(night.plan_file), "--auto", rows=60, columns=200) as terminal:
            night.daemons.append(terminal.process)
            assert night.exit_code() == 0
        assert night.last_transition().target == "completed"
