"""A flood of commands on the bus: `advance` after it waits for less than two seconds of work, and the journal stays small."""

from __future__ import annotations

import json
from pathlib import Path

import psutil
import pytest
from support.night import Night, a_night, until
from support.servers import Cluster
from support.wire import Wire, hpub, publish

from cutoverd.events import facts

pytestmark = [pytest.mark.parametrize("cluster", ["18"], indirect=True), pytest.mark.long]
FLOOD = 20_000
CPU_SECONDS = 2.0  # of the daemon, for all of it: on a core of its own that is the delay, and a busy machine does not change it
BODIES = {
    "words": b"x" * 4000,
    "resume": json.dumps({"verb": "resume", "reason": "r" * 4000}).encode(),
    "note": json.dumps({"verb": "note", "reason": "r" * 4000}).encode(),
    "brackets": b'{"verb":' + b"[" * 900 + b"]" * 900 + b"}",
}


def cpu_seconds(process: psutil.Process) -> float:
    spent = process.cpu_times()
    return float(spent.user + spent.system)


def flood(night: Night, body: bytes) -> None:
    """Returns once the server has read all of it."""
    server = night.nats()
    wire = Wire(server.url.replace("://", f"://{server.user}:{server.password}@"))
    for _ in range(FLOOD // 500):
        wire.send(hpub(b"cutover.cmd", b"", body) * 500)
    wire.close()


@pytest.mark.parametrize("kind", BODIES)
def test_an_advance_after_a_flood_of_20000_commands_costs_the_daemon_less_than_two_seconds(
    cluster: Cluster, tmp_path: Path, kind: str
) -> None:
    """Found: each refusal was an event of its own, and `advance` waited for all of them."""
    with a_night(cluster, tmp_path) as night:
        daemon = psutil.Process(night.start().pid)
        night.wait_for(facts.GateReached, gate="downtime")
        night.stall("downtime.close_traffic:door")
        flood(night, BODIES[kind])
        before = cpu_seconds(daemon)
        publish(night)
        passed = until(lambda: next(iter(night.events(facts.GatePassed)), None), "the gate is passed")
        assert passed.gate == "downtime"
        assert cpu_seconds(daemon) - before < CPU_SECONDS
        handled = sum(event.count for event in night.events(facts.CommandsRejected))
        handled += len(night.events(facts.CommandRejected)) + len(night.events(facts.NoteTaken))
        assert handled == FLOOD
        assert len(night.recorded()) < 1000
        night.wait_for_step("downtime.close_traffic:door")
