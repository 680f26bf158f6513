"""A daemon that is started again after messages that no program would write: it hears what the stream acknowledged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from integration.bus.test_hostile_messages import CAUSES
from support.night import Night, at_the_first_gate
from support.servers import Cluster
from support.wire import Wire, publish

from cutoverd.daemon.engine.exit_codes import Exit
from cutoverd.events import facts

pytestmark = pytest.mark.parametrize("cluster", ["18"], indirect=True)


def send_all(night: Night) -> None:
    server = night.nats()
    wire = Wire(server.url.replace("://", f"://{server.user}:{server.password}@"))
    for message in CAUSES.values():
        wire.send(message)
    wire.close()


def say(night: Night, verb: str, reason: str) -> None:
    publish(night, json.dumps({"verb": verb, "reason": reason}))


@pytest.mark.long
def test_after_hostile_messages_a_running_and_a_restarted_daemon_hear_what_was_acknowledged(
    cluster: Cluster, tmp_path: Path
) -> None:
    """Found: the daemon read the same place for ever: `fail` and `rollback` were never heard, after restarts neither."""
    with at_the_first_gate(cluster, tmp_path) as night:
        night.stall("downtime.close_traffic:door")
        send_all(night)
        publish(night)
        night.wait_for_step("downtime.close_traffic:door")
        assert night.cli("status").returncode == 0
        night.kill()
        send_all(night)
        say(night, "fail", "seen outside")
        say(night, "rollback", "as well")
        night.take_over()
        night.wait_for(facts.FailureReported, reason="seen outside")
        assert night.exit_code() == Exit.ROLLED_BACK
        events = [each.event for each in night.journal()]  # whole: the server goes with the run's end, before a follower has all
        floods = sum(event.count for event in events if isinstance(event, facts.CommandsRejected))
        alone = [event for event in events if isinstance(event, facts.CommandRejected)]
        took_back = [event for event in events if isinstance(event, facts.Transitioned) and event.trigger == "rollback"]
        expected = 2 * len(CAUSES) + (
            0 if took_back else 1
        )  # it comes before the turn that `fail` brings, or is refused after it
        assert floods + len(alone) == expected, "each once"
        received = night.cli("history")
        assert (received.returncode, received.stderr) == (0, "")
        assert "Traceback" not in night.output
