"""The bytes that `nats pub cutover.cmd advance` puts on the wire: a plain PUB from a bare socket, no id, no JSON."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.night import Night, a_night, at_the_first_gate
from support.servers import Cluster
from support.wire import publish

from cutoverd.events import facts

pytestmark = pytest.mark.parametrize("cluster", ["18"], indirect=True)


def passed(night: Night) -> list[facts.GatePassed]:
    return night.events(facts.GatePassed)


def test_a_plain_pub_passes_a_gate_and_sent_twice_the_second_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    with at_the_first_gate(cluster, tmp_path) as night:
        night.stall("downtime.close_traffic:door")
        publish(night)
        night.wait_for_step("downtime.close_traffic:door")
        publish(night)
        refused = night.wait_for(facts.CommandRejected)
        assert passed(night) == [facts.GatePassed(gate="downtime", by="anonymous")]
        assert (refused.verb, refused.by, refused.reason) == ("advance", None, "no gate is waiting in downtime")
        assert "rollback" in refused.next


def test_two_plain_pubs_at_once_pass_one_gate(cluster: Cluster, tmp_path: Path) -> None:
    with at_the_first_gate(cluster, tmp_path) as night:
        publish(night)
        publish(night)
        night.wait_for(facts.CommandRejected)
        night.wait_for(facts.GateReached, gate="cutover")
        assert [event.gate for event in passed(night)] == ["downtime"]
        assert len(night.events(facts.CommandRejected)) == 1


def test_a_plain_pub_before_the_gate_is_refused_and_does_not_pass_it_later(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path) as night:
        night.knob("health page", pause="before", seconds=2)
        night.start()
        night.wait_for(facts.StepStarted, step="precheck.prove_health:page")
        publish(night)
        refused = night.wait_for(facts.CommandRejected)
        assert refused.reason == "no gate is waiting in precheck"
        night.wait_for(facts.GateReached, gate="downtime")
        assert night.cli("status").stdout.count("waits for `advance`") == 1
        assert passed(night) == []
        publish(night)
        night.wait_for(facts.GatePassed, gate="downtime")


@pytest.mark.long
def test_a_plain_pub_while_the_daemon_is_dead_is_handled_once_at_the_next_start(cluster: Cluster, tmp_path: Path) -> None:
    with at_the_first_gate(cluster, tmp_path) as night:
        night.kill()
        publish(night)
        assert passed(night) == []
        night.stall("downtime.close_traffic:door")
        night.take_over()
        night.wait_for_step("downtime.close_traffic:door")
        night.kill()
        night.take_over()
        night.wait_for(facts.GateReached, gate="cutover")
        assert [event.gate for event in passed(night)] == ["downtime"]
        assert night.events(facts.CommandRejected) == []
