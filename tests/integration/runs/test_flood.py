"""A flood of commands on the bus: `advance` after it waits for less than two seconds, and the journal stays small.

Two seconds of work of the daemon in each run of the tests, its work during the flood among them. In the soak the median of three
is judged: two seconds of the clock; on a machine too busy for that, twice what a client of nats-py alone needs meanwhile.
"""

from __future__ import annotations

import json
import time
from contextlib import aclosing
from pathlib import Path
from statistics import median

import nats
import psutil
import pytest
from support.night import Night, a_night, at_the_first_gate, until
from support.servers import Cluster, in_a_loop_of_its_own
from support.wire import Wire, hpub, publish

from cutoverd.daemon.bus.connection import connect
from cutoverd.daemon.bus.stored import fetch_all, fetch_last
from cutoverd.daemon.embedded.nats import Nats
from cutoverd.events import facts
from cutoverd.events.codec import decode

pytestmark = [pytest.mark.parametrize("cluster", ["18"], indirect=True), pytest.mark.long]
FLOOD = 20_000
CPU_SECONDS = 2.0  # of the daemon, for all of it: on a core of its own that is the delay, and a busy machine does not change it
KINDS = {
    "words": [b"x" * 4096],
    "resume": [json.dumps({"verb": "resume", "reason": "r" * 4050}).encode()],
    "note": [json.dumps({"verb": "note", "reason": "r" * 4050}).encode()],
    "brackets": [b'{"verb":' + b"[" * 2000 + b"]" * 2000 + b"}"],
    "names": [json.dumps({f"k{n}": n for n in range(350)}).encode()],  # found: 8 s, the model looked at each of them
}
KINDS["mix"] = [body for bodies in KINDS.values() for body in bodies]
SECONDS, RATIO, PATIENT_SECONDS = 2.0, 2.0, 60.0


def cpu_seconds(process: psutil.Process) -> float:
    spent = process.cpu_times()
    return float(spent.user + spent.system)


def flood(night: Night, bodies: list[bytes]) -> None:
    """Returns once the server has read all of it."""
    server = night.nats()
    wire = Wire(server.url.replace("://", f"://{server.user}:{server.password}@"))
    for first in range(0, FLOOD, 500):
        wire.send(b"".join(hpub(b"cutover.cmd", b"", bodies[n % len(bodies)]) for n in range(first, first + 500)))
    wire.close()


def seconds_until_answered(night: Night, verb: str) -> float:
    """From where the command lies in the stream to where its answer does, by the server's clock."""
    publish(night, verb)
    return until(lambda: in_a_loop_of_its_own(_answered_after(night.nats(), verb.encode())), f"{verb} is answered")


async def _answered_after(server: Nats, body: bytes) -> float | None:
    """None if it is not stored yet, or not answered; only the last command is looked for."""
    client = await connect(server.url, user=server.user, password=server.password)
    try:
        command = await fetch_last(client, "cutover.cmd")
        if command is None or command.data != body:
            return None
        async with aclosing(fetch_all(client, ["cutover.evt.night"], command.seq + 1)) as events:
            async for event in events:
                if decode(event.data).command_position >= command.seq:
                    return (event.at - command.at).total_seconds()
        return None
    finally:
        await client.close()


async def _seconds_of_reading(server: Nats, count: int) -> float:
    """What nats-py's own consumer needs for as many messages, and does nothing with them."""
    nc = await nats.connect(server.url, user=server.user, password=server.password)
    began = time.monotonic()
    reading = await nc.jetstream().subscribe("cutover.cmd", ordered_consumer=True)
    for _ in range(count):
        await reading.next_msg(timeout=PATIENT_SECONDS)
    await nc.close()
    return time.monotonic() - began


@pytest.mark.soak
@pytest.mark.parametrize("kind", KINDS)
def test_a_command_after_a_flood_of_20000_is_answered_within_two_seconds_of_being_stored(
    cluster: Cluster, tmp_path: Path, kind: str
) -> None:
    with at_the_first_gate(cluster, tmp_path) as night:
        rounds = []
        for verb in ("hold", "resume", "hold"):
            flood(night, KINDS[kind])
            seconds = seconds_until_answered(night, verb)
            rounds.append((seconds, seconds / in_a_loop_of_its_own(_seconds_of_reading(night.nats(), FLOOD))))
        print(kind, rounds)  # the figures of the soak
        seconds, ratio = (median(each) for each in zip(*rounds, strict=True))
        assert seconds < SECONDS or ratio < RATIO, rounds
        assert max(seconds for seconds, _ in rounds) < PATIENT_SECONDS, rounds
        assert len(night.events(facts.RunHeld)) == 2


@pytest.mark.parametrize("kind", KINDS)
def test_an_advance_after_a_flood_of_20000_commands_costs_the_daemon_less_than_two_seconds(
    cluster: Cluster, tmp_path: Path, kind: str
) -> None:
    """Found: each refusal was an event of its own, and `advance` waited for all of them."""
    with a_night(cluster, tmp_path) as night:
        daemon = psutil.Process(night.start().pid)
        night.wait_for(facts.GateReached, gate="downtime")
        night.stall("downtime.close_traffic:door")
        before = cpu_seconds(daemon)  # it begins to read before the flood has ended
        flood(night, KINDS[kind])
        publish(night)
        passed = until(lambda: next(iter(night.events(facts.GatePassed)), None), "the gate is passed")
        assert passed.gate == "downtime"
        spent = cpu_seconds(daemon) - before
        assert spent < CPU_SECONDS
        handled = sum(event.count for event in night.events(facts.CommandsRejected))
        handled += len(night.events(facts.CommandRejected)) + len(night.events(facts.NoteTaken))
        assert handled == FLOOD
        assert len(night.recorded()) < 1000
        night.wait_for_step("downtime.close_traffic:door")
