"""The clock set back in the night: the order in the stream counts, never the clock; but window and `ttl` are read from it."""

from __future__ import annotations

from datetime import timedelta

from fakes.situations import entering, night, recorded, waiting

from cutoverd.daemon.views.timeline import Timeline
from cutoverd.events import facts
from cutoverd.events.codec import Chain
from cutoverd.events.commands import Command, Verb
from cutoverd.states.decide import decide

HOURS = timedelta(hours=3)


def test_a_clock_that_is_set_back_changes_nothing_of_the_order() -> None:
    simulation = entering("data", gates=("cutover",))
    simulation.now -= HOURS
    waits = simulation.drive()
    assert getattr(waits, "gate", "") == "cutover"
    simulation.now -= HOURS
    assert simulation.finish().state == "completed"
    chain, journal = Chain(), []
    for seq, message in simulation.messages:
        journal.append(chain.checked(message, seq))
        chain = chain.extended(message, seq)
    times = [each.envelope.time for each in journal]
    assert times != sorted(times)
    assert [each.envelope.n for each in journal] == list(range(1, len(journal) + 1))


def test_a_command_sent_after_the_clock_was_set_back_counts_by_its_place_in_the_stream() -> None:
    simulation = waiting(night(("downtime",)))
    simulation.now -= HOURS
    command = simulation.say("advance")
    assert command.sent_at
    assert command.sent_at < simulation.run.entered_at
    simulation.listen()
    assert any(isinstance(event, facts.GatePassed) for event in recorded(simulation))


def test_a_clock_that_is_set_back_before_the_window_keeps_the_gate_closed() -> None:
    opens = entering("data").now
    simulation = waiting(night(("downtime",), opens=opens))
    advance = Command(verb=Verb.ADVANCE, seq=simulation.run.last_seq + 1)
    (refused,) = decide(simulation.run, advance, opens - HOURS)
    assert isinstance(refused, facts.CommandRejected)
    assert "the window opens at" in refused.reason


def test_no_duration_is_negative_because_the_clock_was_set_back() -> None:
    simulation = entering("data")
    simulation.now -= HOURS
    simulation.drive()
    timeline, chain = Timeline(), Chain()
    for seq, message in simulation.messages:
        timeline.apply(chain.checked(message, seq))
        chain = chain.extended(message, seq)
    assert min(timeline.state_seconds(simulation.now).values()) >= 0
    assert timeline.downtime_seconds(simulation.now) >= 0
    assert timeline.window_seconds(simulation.now) >= 0
