"""A run log among foreign messages, in memory: appended at once on the new end, and the run held where that takes too long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Any

import pytest
from fakes.recording_ports import Night

from cutoverd.daemon.bus.memory import MemoryJournal, MemoryStream
from cutoverd.daemon.engine import foreign, run_log, step_executor
from cutoverd.daemon.engine.anchor import Anchored
from cutoverd.daemon.engine.copies import CopiedEvent
from cutoverd.daemon.engine.errors import Conflict, KeyDiffers, LogRegressed, Unavailable
from cutoverd.daemon.engine.loop import Stopped
from cutoverd.daemon.engine.message import Message
from cutoverd.daemon.engine.run_log import RunLog
from cutoverd.events import facts
from cutoverd.events.codec import hash_of
from cutoverd.events.mac import JournalKey
from cutoverd.states.errors import StepError

SUBJECT = "cutover.evt.night"
KEY = JournalKey((b"key",))


class Crowded(MemoryJournal):
    """Somebody publishes right before each of our events, so many times."""

    def __init__(self, stream: MemoryStream, times: int, *, after: bool = False) -> None:
        super().__init__(stream, SUBJECT)
        self._of, self._times, self._after = stream, times, after

    async def append(self, id: str, body: bytes) -> int:
        if self._times:
            self._times -= 1
            if self._after:  # stored, and the answer is lost
                await self._of.store(SUBJECT, id, body)
            await self._of.store(SUBJECT, id, b"foreign")
            if self._after:
                raise Conflict("in doubt")
        return await super().append(id, body)


async def test_an_event_that_others_were_faster_than_is_offered_again_at_once_on_the_new_end() -> None:
    stream = MemoryStream()
    log = RunLog("night", Crowded(stream, 5), key=KEY)
    await log.append(facts.NoteTaken(by=None, text="ours"))
    assert [message.data == b"foreign" for message in stream.messages] == [True] * 5 + [False]
    await log.record_foreign()
    again = RunLog("night", stream.journal(SUBJECT), key=KEY)
    await again.replay()
    assert (again.length, again.run.foreign_messages, again.foreign.count) == (2, 5, 0)


async def test_an_event_that_was_stored_in_doubt_under_foreign_ones_is_not_stored_twice() -> None:
    stream = MemoryStream()
    log = RunLog("night", Crowded(stream, 1, after=True), key=KEY)
    await log.append(facts.NoteTaken(by=None, text="ours"))
    await log.append(facts.NoteTaken(by=None, text="more"))
    assert [message.data == b"foreign" for message in stream.messages] == [False, True, False]


async def test_a_run_whose_events_find_no_place_for_long_is_held_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """Found: the daemon ended by exit code 1, for ever."""
    monkeypatch.setattr(foreign, "CROWDED_SECONDS", 0.0)
    monkeypatch.setattr(foreign, "PAUSE_SECONDS", 0.01)
    log = RunLog("night", Crowded(MemoryStream(), 3), key=KEY)
    await log.append(facts.NoteTaken(by=None, text="ours"))
    await log.record_foreign()
    assert log.run.held is not None
    assert "others published on the run's subject so fast that no event found its place" in log.run.held.reason


async def test_another_daemons_event_among_foreign_ones_is_a_conflict() -> None:
    stream = MemoryStream()
    log, other = (RunLog("night", stream.journal(SUBJECT), key=KEY) for _ in range(2))
    await other.append(facts.NoteTaken(by=None, text="theirs"))
    await stream.store(SUBJECT, "", b"foreign")
    with pytest.raises(Conflict):
        await log.append(facts.NoteTaken(by=None, text="ours"))


class Flood(MemoryJournal):
    """Somebody publishes faster than it can be read."""

    async def read_on(self) -> AsyncGenerator[Message, None]:
        while True:
            await asyncio.sleep(0.001)
            yield Message(1, b"foreign", datetime.now(UTC), SUBJECT)


async def test_a_flood_is_not_read_to_its_end_while_somebody_waits_to_be_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """Found: a daemon that waited at a gate read a flood for as long as it lasted, and heard nobody."""
    monkeypatch.setattr(run_log, "FIND_SECONDS", 0.1)
    log = RunLog("night", Flood(MemoryStream(), SUBJECT), key=KEY)
    async with asyncio.timeout(5):
        await log.find_foreign()
    assert log.foreign.count > 0


class Away(MemoryJournal):
    """A bus that is away when it is read, so many times."""

    times = 0

    async def read_on(self) -> AsyncGenerator[Message, None]:
        if self.times:
            self.times -= 1
            raise Unavailable("nobody answers")
        async for message in super().read_on():
            yield message


async def test_a_bus_that_is_away_while_the_journal_is_read_again_is_waited_for() -> None:
    """Found: a conflict in the middle of Downtime, then no answer for 30 s, and the daemon ended by exit code 1."""
    stream, revived = MemoryStream(), []

    async def revive() -> None:
        revived.append(True)

    journal = Away(stream, SUBJECT)
    log = RunLog("night", journal, key=KEY, revive=revive)
    await RunLog("night", stream.journal(SUBJECT), key=KEY).append(facts.NoteTaken(by=None, text="theirs"))
    journal.times = 2
    await log.catch_up(Conflict("theirs lies there"))
    assert (log.length, len(revived)) == (1, 2)


async def test_a_bus_that_is_away_while_foreign_messages_are_looked_for_ends_no_daemon() -> None:
    """Found: one foreign message right before an outage did."""
    stream = MemoryStream()
    journal = Away(stream, SUBJECT)
    log = RunLog("night", journal, key=KEY)
    await stream.store(SUBJECT, "", b"foreign")
    journal.times = 1
    await log.find_foreign()
    assert log.foreign.count == 0
    await log.find_foreign()
    assert log.foreign.count == 1


class OtherCopy:
    """A copy that holds another journal."""

    def add(self, event: CopiedEvent) -> None:
        """Nothing is copied."""

    async def flush(self) -> None:
        """Neither."""

    async def settled(self) -> None:
        raise LogRegressed("the copy of the journal holds another event 3 than the stream")


async def test_a_copy_of_another_journal_stops_the_way_forward_and_not_the_way_back() -> None:
    """Found: production stayed closed, for the sake of a copy."""
    night = Night()
    night.copies = [OtherCopy()]
    assert await night.daemon() is Stopped.OVER
    assert (night.log.run.state, "databases.fence" in night.world.done) == ("rolledback", False)
    assert "door" in night.world.on
    night = Night()
    night.world.wrong["scripts.apply_schema"] = lambda: night.copies.append(OtherCopy()) or _fail()  # type: ignore[func-returns-value]
    assert await night.daemon() is Stopped.OVER
    assert (night.log.run.state, "databases.lift_fence" in night.world.done) == ("rolledback", True)


class LateCopy(OtherCopy):
    """A copy that does not come to its end."""

    async def settled(self) -> None:
        await asyncio.sleep(3600)


async def test_a_late_copy_does_not_hold_up_the_way_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Found: one that was cut within its transaction held up the next, so production stayed closed for the sake of a copy."""
    monkeypatch.setattr(step_executor, "COPY_BACK_SECONDS", 0.05)
    night = Night()
    night.world.wrong["scripts.apply_schema"] = lambda: night.copies.append(LateCopy()) or _fail()  # type: ignore[func-returns-value]
    assert await asyncio.wait_for(night.daemon(), 20) is Stopped.OVER
    assert (night.log.run.state, "databases.lift_fence" in night.world.done) == ("rolledback", True)


def _fail() -> None:
    raise StepError("no")


async def test_a_loop_records_what_it_steps_over_and_the_run_goes_on() -> None:
    night = Night()

    async def others_publish() -> dict[str, Any]:
        for number in range(7):
            await night.stream.store(SUBJECT, "", b"%d" % number)
        return {}

    night.world.wrong["scripts.apply_schema"] = others_publish
    assert await night.daemon() is Stopped.OVER
    assert night.log.run.state == "completed"
    assert night.log.run.foreign_messages == 7


class Kept:
    """An anchor that knows of one event."""

    def __init__(self, end: Anchored) -> None:
        self._end = end

    async def save(self, seq: int, hash: str) -> None:
        """It stays."""

    async def load(self) -> Anchored | None:
        return self._end


async def test_who_has_the_key_of_another_ledger_is_told_of_the_key_and_not_of_a_lost_journal() -> None:
    """Found: `status` said that the log had lost its end, and led to `journal restore` and `rollback --without-journal`."""
    stream = MemoryStream()
    signed = RunLog("night", stream.journal(SUBJECT), key=KEY)
    await signed.append(facts.NoteTaken(by=None, text="here"))
    [message] = [message async for message in stream.journal(SUBJECT).replay()]
    anchor = Kept(Anchored(message.seq, hash_of(message.data)))
    with pytest.raises(KeyDiffers, match="none of 1 messages") as raised:
        await RunLog("night", stream.journal(SUBJECT), [anchor], key=JournalKey((b"another",))).replay()
    assert "journal.key" in raised.value.hint
    assert "restore" not in raised.value.hint
    await RunLog("night", stream.journal(SUBJECT), [anchor]).replay()  # nothing is verified, and it is read


async def test_a_stream_that_was_made_anew_and_that_strangers_use_is_lost_and_no_matter_of_the_key() -> None:
    stream = MemoryStream()
    await stream.store(SUBJECT, "", b"a stranger's")
    with pytest.raises(LogRegressed) as raised:
        await RunLog("night", stream.journal(SUBJECT), [Kept(Anchored(26, "f" * 64))], key=KEY).replay()
    assert not isinstance(raised.value, KeyDiffers)
