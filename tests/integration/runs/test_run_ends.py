"""Every way a run ends, by the exit code of the process that drove it."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from support.aftermath import assert_completed, assert_rolled_back
from support.night import Night, a_night, stalled_at
from support.production import names
from support.servers import Cluster

from cutoverd.daemon.embedded import nats
from cutoverd.events import facts

on_18 = pytest.mark.parametrize("cluster", ["18"], indirect=True)


@pytest.mark.both_versions  # one whole run
def test_0_completed_and_an_ended_run_is_never_continued(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path) as night:
        night.start("--auto")
        assert night.exit_code() == 0
        assert nats.find(night.state_dir / "nats") is None, "the embedded server ends with the run"
        night.start("--auto")
        assert night.exit_code() == 1
        assert (
            "run 'night' has ended already (completed); an ended run is never continued: give the plan a new `run`"
            in night.output
        )
        assert nats.find(night.state_dir / "nats") is None, "nor does a refused start leave one running"
        assert_completed_before(night)


def assert_completed_before(night: Night) -> None:
    night.daemons.pop()
    assert_completed(night)


@pytest.mark.long
@on_18
def test_1_a_changed_plan_or_script_is_refused_and_named(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path) as night:
        night.write_plan(gates=["data"])
        night.start()
        night.wait_for(facts.GateReached, gate="data")
        night.kill()
        plan = night.plan_file.read_bytes()
        script = (tmp_path / "data/020.sql").read_bytes()
        (tmp_path / "data/020.sql").write_bytes(script + b"-- one more line\n")
        assert refusal(night) == "run night began with other contents of: data/020.sql"
        (tmp_path / "data/020.sql").write_bytes(script)
        night.plan_file.write_bytes(plan + b"# a word\n")
        assert refusal(night) == f"run night began with other contents of: {night.plan_file}"
        night.plan_file.write_bytes(plan)
        assert len(night.events(facts.LeaderAcquired)) == 1, "who was refused took nothing"
        night.start("--auto")
        assert_completed(night)


@pytest.mark.long
@on_18
def test_5_a_schema_file_that_was_mended_after_precheck_refused_it_can_be_aborted_and_a_new_run_begins(
    cluster: Cluster, tmp_path: Path
) -> None:
    with a_night(cluster, tmp_path, rehearsal={}) as night:
        script = (tmp_path / "schema/001.sql").read_bytes()
        (tmp_path / "schema/001.sql").write_bytes(script + b"CREATE TABEL oops ();\n")
        night.start("--auto")
        assert night.exit_code() == 5
        (tmp_path / "schema/001.sql").write_bytes(script)
        night.start("--auto")
        assert night.exit_code() == 5
        changed = "began with other contents of: schema/001.sql: `abort` it, then start a run with a name of its own"
        assert changed in night.cli("status").stdout
        assert night.cli("send", "abort", "--wait", "0.2").returncode == 6
        night.start("--auto")
        assert night.exit_code() == 5
        assert night.last_transition().target == "aborted"
        night.run, night.reader, night.daemons = "mended", None, []
        night.write_plan(run="mended", gates=["downtime"])
        night.start()
        night.wait_for(facts.GateReached, gate="downtime")


def refusal(night: Night) -> str:
    """What a daemon says that ends with exit code 1."""
    printed = len(night.output)
    night.start("--auto")
    assert night.exit_code() == 1
    [line] = [line for line in night.output[printed:].splitlines() if line.startswith("cutoverd: ")]
    return line.removeprefix("cutoverd: ")


@on_18
def test_2_a_plan_that_is_wrong(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path) as night:
        night.write_plan(gates=["nowhere"])
        night.start("--auto")
        assert night.exit_code() == 2
        assert "gates.0: saw 'nowhere'; a gate is the name of the state it stands before" in night.output
        assert not night.state_dir.exists()


def test_3_a_smoke_test_that_fails_takes_the_run_back_and_production_is_as_it_was(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path) as night:
        night.knob("smoke api test", exit=1)
        night.start("--auto")
        assert_rolled_back(night)
        [failed] = [each.event for each in night.journal() if isinstance(each.event, facts.StepFailed)]
        assert failed.step == "smoke.smoke_test:page"
        assert names(cluster) == {"app", "app_next", "app_closed"}
        with pytest.raises(Exception, match="not currently accepting connections"):
            night.witnesses("app_next")


@pytest.mark.long
@on_18
def test_4_stuck_then_retried_by_a_word_sent_while_nobody_was_there(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path) as night:
        night.knob("smoke api test", exit=1)
        night.knob("start api old", exit=1, nothing=True, always=True)
        night.start("--auto")
        assert night.exit_code() == 4
        assert "  run night is left in stuck, and nobody drives it\n" in night.output
        assert night.wait_for(facts.Transitioned, target="stuck").reason.startswith(
            "downtime.stop_service:api: service api (old)"
        )
        (tmp_path / "knobs" / "start api old.json").unlink()
        assert night.cli("send", "retry", "--wait", "0.2").returncode == 6
        night.start("--auto")
        assert_rolled_back(night)


@pytest.mark.long
@on_18
def test_5_precheck_failed_with_nobody_to_ask_then_aborted(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path) as night:
        night.knob("health page", exit=1)
        night.start("--auto")
        assert night.exit_code() == 5
        assert "  production is open, as it was found\n" in night.output
        assert "PreCheck failed: precheck.prove_health:page" in night.cli("status").stdout
        assert night.cli("status", "--wait", "--timeout", "20").returncode == 5
        assert night.cli("status", "--wait", "--timeout", "20", "--until", "failed").returncode == 0
        assert night.cli("send", "abort", "--wait", "0.2").returncode == 6
        night.start()
        assert night.exit_code() == 5
        assert "exited 1, expected 0; waits for `retry` or `abort`\n" in night.output
        assert night.last_transition().target == "aborted"
        assert names(cluster) == {"app"}


@pytest.mark.long
@on_18
def test_6_held_after_clients_were_let_in_then_taken_back_with_accept_loss(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path) as night:
        night.knob("health page", skip=2, exit=1)  # PreCheck looks twice
        night.start("--auto")
        assert night.exit_code() == 6
        held = night.wait_for(facts.RunHeld)
        assert held.reason.startswith("cutover.prove_health:page: ")
        assert held.reason.endswith("clients may have written: `rollback` needs accept_loss")
        assert night.systems() == {"worker.new", "api.new", "door.door"}
        sent = night.cli("send", "rollback", "--accept-loss", "--reason", "the page is gone", "--wait", "0.2")
        assert sent.returncode == 6
        night.start("--auto")
        assert_rolled_back(night)


@pytest.mark.long
@on_18
def test_6_told_to_stop_and_the_next_start_carries_on(cluster: Cluster, tmp_path: Path) -> None:
    with stalled_at("data.run_script:data/010.sql", cluster, tmp_path) as night:
        night.daemons[-1].send_signal(signal.SIGTERM)
        assert night.exit_code() == 6
        assert "cutoverd: stopped; the run goes on when it is started again" in night.output
        assert "  production is closed to clients; downtime " in night.output
        assert night.children("data.run_script:data/010.sql") == []
        assert night.backends() == []
        assert nats.find(night.state_dir / "nats") is not None, "commands are kept meanwhile"
        night.release()
        night.start("--auto")
        assert_completed(night)
