"""What others publish on the subjects of events and runs: stepped over and told, in a replay and while a daemon drives.

No daemon is stopped by it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from support.aftermath import assert_completed
from support.night import Night, at_the_first_gate, until
from support.servers import Cluster, in_a_loop_of_its_own
from support.wire import Wire, hpub

from cutoverd.daemon.bus.connection import connect
from cutoverd.daemon.bus.journal import Journal
from cutoverd.daemon.embedded.nats import Nats
from cutoverd.events import facts
from cutoverd.events.codec import Envelope, encode, hash_of
from cutoverd.events.mac import JournalKey

pytestmark = pytest.mark.parametrize("cluster", ["18"], indirect=True)
EVENTS, RUNS = b"cutover.evt.night", b"cutover.runs"
STATUS = b"NATS/1.0\r\nStatus: 100\r\nNats-Last-Consumer: 7\r\n\r\n"


def wire_to(night: Night) -> Wire:
    server = night.nats()
    return Wire(server.url.replace("://", f"://{server.user}:{server.password}@"))


def publish(night: Night, *bodies: bytes, subject: bytes = EVENTS, headers: bytes = b"") -> None:
    wire = wire_to(night)
    for body in bodies:
        wire.send(hpub(subject, headers, body))
    wire.close()


def messages(night: Night) -> list[bytes]:
    """Of the run's subject, as they lie there."""
    return in_a_loop_of_its_own(_messages(night.nats()))


async def _messages(server: Nats, subject: str = EVENTS.decode()) -> list[bytes]:
    client = await connect(server.url, user=server.user, password=server.password)
    try:
        return [message.data async for message in Journal(client, subject).replay()]
    finally:
        await client.close()


def forged(night: Night) -> bytes:
    """A daemon of a higher epoch, right after the last event, signed with a key of somebody's own."""
    last, before = night.journal()[-1].envelope, messages(night)[-1]
    acquired = facts.LeaderAcquired(epoch=99, host="elsewhere", pid=1)
    envelope = Envelope("f", "night", last.time, last.n + 1, hash_of(before), 99, 0, acquired)
    return JournalKey((b"another",)).sign(encode(envelope))


CAUSES: dict[str, Callable[[Night], list[bytes]]] = {
    "bytes": lambda night: [b"\xff\x00", b"", b"{}", b"[" * 5000],
    "a forged takeover": lambda night: [forged(night)],
    "an unsigned takeover": lambda night: [forged(night)[:-74] + b"}"],
    "events once more": lambda night: messages(night)[:3],
}


def a_word_of_the_registry(night: Night) -> list[bytes]:
    """What the daemon itself has signed for `cutover.runs`, and anybody may read there."""
    return [in_a_loop_of_its_own(_messages(night.nats(), RUNS.decode()))[0]]


CAUSES["a word of the registry"] = a_word_of_the_registry


def alarms(night: Night) -> int:
    return sum(event.count for event in night.events(facts.ForeignMessagesFound))


@pytest.mark.long
def test_what_others_publish_is_stepped_over_while_a_daemon_drives_and_by_the_next(cluster: Cluster, tmp_path: Path) -> None:
    """Found: one message on the run's subject, and every daemon ended by exit code 1."""
    with at_the_first_gate(cluster, tmp_path) as night:
        published = 0
        for number, (cause, of_cause) in enumerate(CAUSES.items(), 1):
            until_recorded(night, published, "what lay there when the daemon came")  # it appends no more: what is forged follows
            bodies = of_cause(night)
            publish(night, *bodies)
            published += len(bodies)
            until_recorded(night, published, cause)
            night.kill()
            publish(night, *bodies, headers=STATUS)
            published += len(bodies)
            night.take_over(*["--auto"] * (number == len(CAUSES)))
        assert night.exit_code() == 0, night.output[-4000:]
        assert alarms_at_the_end(night) == published
        document = json.loads(night.cli("status", "--format", "json").stdout)
        assert (document["foreign_messages"], document["journal"]) == (published, "verified")
        assert "only the daemon's NATS user may publish" in night.cli("history").stdout
        assert "Traceback" not in night.output
        assert_completed(night)


def until_recorded(night: Night, count: int, what: str) -> None:
    until(lambda: alarms(night) == count, f"{what} is recorded\n{night.output[-3000:]}")


def alarms_at_the_end(night: Night) -> int:
    return sum(each.event.count for each in night.journal() if isinstance(each.event, facts.ForeignMessagesFound))


def test_messages_of_others_between_the_runs_stop_no_daemon(cluster: Cluster, tmp_path: Path) -> None:
    """Found: one message on `cutover.runs`, and no daemon of the stream started any more."""
    with at_the_first_gate(cluster, tmp_path) as night:
        night.kill()
        publish(night, b"\xff", b"{}", json.dumps({"type": "run_opened", "run": "other"}).encode(), subject=RUNS)
        publish(night, json.dumps({"type": "run_closed", "run": "night", "end": "completed"}).encode(), subject=RUNS)
        night.take_over("--auto")
        assert night.exit_code() == 0, night.output[-4000:]
        assert "count=4 " in next(line for line in night.output.splitlines() if "foreign_messages " in line)


def test_who_has_no_key_says_that_nothing_is_verified_and_goes_on(cluster: Cluster, tmp_path: Path) -> None:
    with at_the_first_gate(cluster, tmp_path) as night:
        key = night.run_dir / "journal.key"
        assert key.stat().st_mode & 0o777 == 0o600
        night.kill()
        publish(night, b"{}", b"\xff")
        key.unlink()
        answer = night.cli("status")
        assert (answer.returncode, answer.stderr) == (0, "")
        assert "not verified" in answer.stdout
        assert night.cli("history").returncode == 0
