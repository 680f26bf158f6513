"""A run log among foreign messages, in memory: appended at once on the new end, and the run held where that takes too long."""

from __future__ import annotations

from typing import Any

import pytest
from fakes.recording_ports import Night

from cutoverd.daemon.bus.memory import MemoryJournal, MemoryStream
from cutoverd.daemon.engine import foreign
from cutoverd.daemon.engine.errors import Conflict
from cutoverd.daemon.engine.loop import Stopped
from cutoverd.daemon.engine.run_log import RunLog
from cutoverd.events import facts
from cutoverd.events.mac import JournalKey

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
