"""The clock is set back between two events, or while somebody waits: order and durations stay what they were."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from fakes.recording_ports import Night
from fakes.simulation import BEGINNING
from fakes.situations import night, recorded, waiting
from hypothesis import given
from hypothesis import strategies as st

from cutoverd.daemon.engine import loop
from cutoverd.daemon.engine.loop import Stopped
from cutoverd.daemon.views.timeline import Timeline
from cutoverd.events import facts
from cutoverd.events.codec import Recorded, decode
from cutoverd.events.commands import Command, Verb
from cutoverd.states.decide import decide

HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("age_seconds", "counts"), [(0, True), (30, True), (59, True), (61, False), (-30, True), (-61, False), (-3600, False)]
)
def test_a_command_with_a_ttl_counts_only_while_its_age_can_be_told(age_seconds: float, counts: bool):
    run = night(gates=("downtime",)).run
    command = Command(verb=Verb.NOTE, reason="seen", seq=run.last_seq + 1, sent_at=BEGINNING, ttl=60.0)
    [answer] = decide(run, command, BEGINNING + timedelta(seconds=age_seconds))
    assert isinstance(answer, facts.NoteTaken) is counts
    if age_seconds < -60:
        assert isinstance(answer, facts.CommandRejected)
        assert "a clock was set, so nobody can tell its age" in answer.reason


def test_a_command_without_a_ttl_counts_whatever_the_clock_says():
    run = night(gates=("downtime",)).run
    command = Command(verb=Verb.NOTE, reason="seen", seq=run.last_seq + 1, sent_at=BEGINNING)
    [answer] = decide(run, command, BEGINNING - 1000 * HOUR)
    assert isinstance(answer, facts.NoteTaken)


def test_a_clock_set_back_before_the_window_refuses_advance_and_says_both_times():
    simulation = waiting(night(gates=("downtime",), opens=BEGINNING + HOUR))
    command = Command(verb=Verb.ADVANCE, seq=simulation.run.last_seq + 1, sent_at=BEGINNING)
    [refused] = decide(simulation.run, command, BEGINNING - HOUR)
    assert isinstance(refused, facts.CommandRejected)
    assert "the window opens at 2026-12-05T22:00:00+00:00; now it is 2026-12-05T20:00:00+00:00" in refused.reason


@pytest.mark.long
@given(
    jumps=st.dictionaries(st.integers(0, 80), st.integers(-100_000, 100_000), max_size=6), later=st.integers(-100_000, 100_000)
)
def test_no_duration_is_negative_and_downtime_ends_whatever_the_clock_did(jumps: dict[int, int], later: int):
    simulation = night()
    simulation.drive()
    timeline, set_by = Timeline(), timedelta()
    for number, (seq, message) in enumerate(simulation.messages):
        set_by += timedelta(seconds=jumps.get(number, 0))
        envelope = decode(message)
        moved = Recorded(seq, type(envelope)(**{**vars(envelope), "time": envelope.time + set_by}))
        timeline.apply(moved)
    now = timeline.last_at + timedelta(seconds=later)
    assert all(seconds >= 0 for seconds in timeline.state_seconds(now).values())
    assert timeline.downtime_seconds(now) >= 0
    assert timeline.downtime_seconds(now) == timeline.downtime_seconds(now + HOUR), "clients are in: it is over"


def test_the_order_of_a_run_is_that_of_its_events_and_not_of_their_times():
    simulation = night(gates=("downtime",))
    simulation.drive()
    simulation.now -= 5 * HOUR
    simulation.finish()
    times = [decode(message).time for _, message in simulation.messages]
    assert times != sorted(times)
    assert simulation.run.state == "completed"
    assert recorded(simulation)[-1] == facts.Transitioned(source="monitor", target="completed", trigger="proceed")


async def test_a_clock_set_back_while_a_window_is_awaited_passes_no_gate(monkeypatch: pytest.MonkeyPatch):
    """The wait is over by the clock that nobody sets, and the window is not open by the one that people do."""

    class Clock(datetime):
        at = datetime.now(UTC)  # goes by nothing but what is set: a slow machine would find the window open

        @classmethod
        def now(cls, tz=None):
            return cls.at.astimezone(tz)

    monkeypatch.setattr(loop, "datetime", Clock)
    monkeypatch.setattr(loop, "CLOCK_READ_SECONDS", 0.05)
    waits = Night(opens=Clock.at + timedelta(seconds=0.3))
    daemon = asyncio.create_task(waits.daemon())
    await waits.until(lambda: waits.log.run.gate is not None)
    Clock.at -= HOUR
    await asyncio.sleep(0.6)  # past the moment at which it would have opened
    assert waits.log.run.gate is not None
    Clock.at += HOUR + timedelta(seconds=1)
    assert await daemon is Stopped.OVER
    assert waits.log.run.state == "completed"
