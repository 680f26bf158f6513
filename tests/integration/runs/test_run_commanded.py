"""What operators say to a run with `cutoverd send`, and what they see with `cutoverd status`."""

from __future__ import annotations

import json
import socket
import urllib.request
from pathlib import Path
from typing import Any

import psycopg
import pytest
from support.aftermath import assert_completed, assert_rolled_back
from support.night import Night, a_night, at_the_first_gate, until
from support.servers import Cluster
from support.wire import publish

from cutoverd.daemon.embedded import nats
from cutoverd.daemon.embedded.loopback import free_port
from cutoverd.events import facts

pytestmark = pytest.mark.parametrize("cluster", ["18"], indirect=True)
SCRIPT = "data.run_script:data/010.sql"
CHECKS = "validate.check_script:validate/001.sql"
WATCHES = {"for": "60s"}


def begun(night: Night, *options: str) -> None:
    """A daemon is in the middle of a script."""
    night.stall(SCRIPT)
    night.start(*options)
    night.wait_for_step(SCRIPT)


def send(night: Night, *words: str) -> tuple[int, str]:
    done = night.cli("send", *words)
    assert done.stderr == ""
    return done.returncode, done.stdout.strip()


def test_a_command_is_accepted_refused_with_its_reason_or_kept(cluster: Cluster, tmp_path: Path) -> None:
    with at_the_first_gate(cluster, tmp_path) as night:
        code, text = send(night, "note", "--reason", "all on standby", "--as", "alice")
        assert (code, text.partition(" ")[2]) == (
            0,
            "✔ note by alice: all on standby\nnext: advance, hold, abort, fail, note",
        )
        code, text = send(night, "resume")
        assert code == 1
        assert "resume by anonymous refused: the run is not held (now: advance, hold, abort, fail, note)" in text
        night.kill()
        code, text = send(night, "hold", "--wait", "0.3")
        assert code == 6
        assert "no daemon has handled it in 0.3 s: it counts when one starts\nnext: advance, hold" in text
        night.start()
        assert night.wait_for(facts.RunHeld).reason == "hold"


def test_a_command_that_nobody_will_ever_hear_is_refused_and_leaves_no_server_running(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path) as night:
        before = night.cli("send", "note", "--reason", "is anybody there?")
        assert (before.returncode, before.stderr) == (1, "cutoverd: run night has not started; `cutoverd run` starts it\n")
        assert not night.state_dir.exists()
        night.knob("health page", exit=1)
        night.start("--auto")
        assert night.exit_code() == 5
        assert send(night, "abort", "--wait", "0.2")[0] == 6
        night.start()
        assert night.exit_code() == 5
        after = night.cli("send", "retry")
        assert after.returncode == 1
        assert "run night has ended: aborted" in after.stderr
        assert nats.find(night.state_dir / "nats") is None


def test_retry_after_the_plan_was_corrected_is_refused_with_the_plans_name(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path) as night:
        night.knob("health page", exit=1, always=True)
        night.start()
        night.wait_for(facts.StepFailed)
        plan = night.plan_file.read_bytes()
        night.write_plan(window={"budget": "2h"})
        code, text = send(night, "retry")
        assert code == 1
        assert f"retry by anonymous refused: run night began with other contents of: {night.plan_file}: `abort` it" in text
        night.plan_file.write_bytes(plan)
        assert send(night, "retry")[0] == 0
        until(lambda: len(night.events(facts.StepFailed)) == 2, "it was tried again")
        assert send(night, "abort")[0] == 0
        assert night.exit_code() == 5


@pytest.mark.long
def test_status_tells_the_same_with_a_daemon_without_one_and_after_the_end(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path) as night:
        before = night.cli("status")
        assert (before.returncode, before.stderr) == (1, "this run has not started\n")
        night.start()
        night.wait_for(facts.GateReached, gate="downtime")
        with_a_daemon = status(night)
        assert (with_a_daemon["state"], with_a_daemon["waits_for"]) == (
            "precheck",
            "the gate before downtime waits for `advance`",
        )
        assert with_a_daemon["steps_done"] == with_a_daemon["steps"]
        assert with_a_daemon["daemon"]["drives"]
        assert f"drives it ({socket.gethostname()}/" in night.cli("status").stdout
        night.kill()
        killed = status(night)
        assert (killed["daemon"]["drives"], same(killed)) == (False, same(with_a_daemon))
        assert "daemon  none on this machine, where its bus is: `cutoverd run` goes on" in night.cli("status").stdout
        assert "the gate before downtime waits for `advance`" in night.cli("status").stdout
        assert send(night, "abort", "--wait", "0.2")[0] == 6
        night.start()
        assert night.exit_code() == 5
        ended = status(night)
        assert (ended["state"], ended["next"], ended["epoch"], ended["daemon"]) == ("aborted", [], 2, None)


def status(night: Night) -> dict[str, Any]:
    done = night.cli("status", "--format", "json")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def same(document: dict[str, Any]) -> dict[str, Any]:
    """Without what the clock moves, and whether a daemon lives."""
    return {name: value for name, value in document.items() if not name.endswith("_seconds") and name != "daemon"}


@pytest.mark.long
def test_a_held_run_finishes_its_step_and_begins_no_other_until_resume(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path, gates=[]) as night:
        begun(night)
        assert send(night, "hold", "--reason", "wait for Bob")[0] == 0
        night.release()
        night.wait_for(facts.StepSucceeded, step=SCRIPT)
        assert "held: wait for Bob" in night.cli("status").stdout
        assert send(night, "note", "--reason", "Bob is on his way")[0] == 0
        assert night.events(facts.StepStarted)[-1].step == SCRIPT
        assert send(night, "resume", "--as", "bob")[0] == 0
        assert_completed(night)


@pytest.mark.long
def test_hold_now_ends_the_running_script_and_resume_takes_it_again(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path) as night:
        begun(night, "--auto")
        assert send(night, "hold", "--now")[0] == 0
        night.wait_for(facts.StepInterrupted, step=SCRIPT)
        assert night.backends() == []
        assert night.children(SCRIPT) == []
        night.release()
        assert night.exit_code() == 6
        assert "  production is closed to clients; downtime " in night.output, "nobody drives, and that is the last word"
        assert night.output.endswith("hears commands, those too that are sent meanwhile\n")
        assert send(night, "resume", "--wait", "0.2")[0] == 6
        night.start("--auto")
        assert_completed(night)
        probed = [e.event for e in night.journal() if isinstance(e.event, facts.StepProbed)]
        assert [(event.step, event.found) for event in probed] == [(SCRIPT, "absent")]


@pytest.mark.long
def test_a_word_in_the_middle_of_a_script_ends_it_and_takes_the_run_back(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path) as night:
        begun(night, "--auto")
        assert send(night, "rollback", "--reason", "it takes too long", "--as", "bob")[0] == 0
        assert_rolled_back(night)
        interrupted = [e.event for e in night.journal() if isinstance(e.event, facts.StepInterrupted)]
        assert [event.step for event in interrupted] == [SCRIPT]


def test_a_failure_that_an_outside_validator_reports_takes_the_run_back_alone(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path) as night:
        night.stall(CHECKS)
        night.start("--auto")
        night.wait_for_step(CHECKS)
        publish(night, '{"verb": "fail", "reason": "two invoices are gone"}', "cutover.cmd.validator")
        assert_rolled_back(night)
        journal = [e.event for e in night.journal()]
        assert facts.FailureReported(by="validator", reason="two invoices are gone") in journal
        [turned] = [e for e in journal if isinstance(e, facts.Transitioned) and e.target == "rollback"]
        assert (turned.source, turned.by, turned.reason) == ("validate", None, "reported: two invoices are gone")
        assert "✖ validator reports a failure: two invoices are gone" in night.output


@pytest.mark.long
def test_from_monitor_back_only_with_accept_loss_and_what_was_written_is_named(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path, monitor=WATCHES) as night:
        night.start("--auto")
        night.wait_for(facts.StepStarted, step="monitor.watch")
        with psycopg.connect(cluster.url(user="app_user")) as client:
            client.execute("INSERT INTO store.machine (serial) VALUES ('M-new')")
        code, text = send(night, "rollback", "--reason", "too slow")
        assert code == 1
        assert "going back gives up what clients wrote since. Say it with accept_loss and a reason" in text
        code, text = send(night, "rollback", "--accept-loss")
        assert code == 1, "without a reason"
        assert send(night, "rollback", "--accept-loss", "--reason", "too slow", "--as", "alice")[0] == 0
        assert_rolled_back(night)
        succeeded = [e.event for e in night.journal() if isinstance(e.event, facts.StepSucceeded)]
        [back] = [e for e in succeeded if (e.step, e.direction) == ("smoke.exchange_names", "back")]
        assert {name: counters["inserted"] for name, counters in back.evidence["written"].items()} == {"store.machine": 1}
        assert back.evidence["left_over"] == ["app_next"]


@pytest.mark.long
def test_a_failure_reported_in_monitor_holds_and_leaves_clients_in(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path, monitor=WATCHES) as night:
        night.start()
        for gate in ("downtime", "cutover"):
            night.wait_for(facts.GateReached, gate=gate)
            assert send(night, "advance", "--as", "alice")[0] == 0
        night.wait_for(facts.StepStarted, step="monitor.watch")
        publish(night, '{"verb": "fail", "reason": "errors everywhere"}', "cutover.cmd.validator")
        held = night.wait_for(facts.RunHeld)
        assert held.reason == "reported: errors everywhere; clients may have written: `rollback` needs accept_loss"
        assert night.systems() == {"worker.new", "api.new", "door.door"}
        assert [event.by for event in night.events(facts.GatePassed)] == ["alice", "alice"]


@pytest.mark.long
def test_metrics_tell_the_state_and_the_downtime(cluster: Cluster, tmp_path: Path) -> None:
    port = free_port()
    metrics_of = {"listen": f"127.0.0.1:{port}", "scraped_within": "0s"}
    with at_the_first_gate(cluster, tmp_path, metrics=metrics_of, monitor=WATCHES) as night:
        metrics = until(lambda: waiting(scraped(port)), "the metrics say that it waits: the journal has it a moment before")
        assert metrics['cutover_state{cutover_state="precheck",run="night"}'] == 1
        assert metrics['cutover_downtime_seconds{run="night"}'] == 0
        night.kill()
        night.start("--auto")
        night.wait_for(facts.StepStarted, step="monitor.watch")
        metrics = until(lambda: in_monitor(scraped(port)), "the metrics say monitor")
        assert metrics['cutover_epoch{run="night"}'] == 2
        assert 0 < metrics['cutover_downtime_seconds{run="night"}'] < 120
        fence = 'step="downtime.fence_old"'
        assert metrics[f'cutover_step_duration_seconds_count{{direction="forward",outcome="succeeded",run="night",{fence}}}'] == 1


def waiting(metrics: dict[str, float]) -> dict[str, float]:
    return metrics if metrics['cutover_waiting_for_operator{run="night"}'] == 1 else {}


def in_monitor(metrics: dict[str, float]) -> dict[str, float]:
    return metrics if metrics['cutover_state{cutover_state="monitor",run="night"}'] else {}


def scraped(port: int) -> dict[str, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if not line.startswith("#"))}
