"""Each count of the soak finds the fault that it is named after: else a soak of none would prove nothing."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from support.rivals import DRIVES_SECONDS
from support.soak import counts, watch
from support.soak.operator import SentCommand
from support.soak.proof import Result
from support.soak.table import table
from support.soak.watch import Sample, Watch, calm_seconds
from support.takeovers import acted_when_older, commanded_when_older

from cutoverd.events import facts
from cutoverd.events.codec import Envelope, Recorded

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: float) -> float:
    return (BEGAN + timedelta(seconds=seconds)).timestamp()


def recorded(event: facts.Event, seq: int, seconds: float, position: int = 0) -> Recorded:
    return Recorded(seq, Envelope(str(seq), "night", BEGAN + timedelta(seconds=seconds), seq, "", 1, position, event))


def note(seq: int, seconds: float, position: int = 0) -> Recorded:
    return recorded(facts.NoteTaken(by=None, text="x"), seq, seconds, position)


def ended(seq: int, seconds: float, *, accept_loss: bool = False) -> Recorded:
    event = facts.Transitioned(source="monitor", target="completed", trigger="proceed", accept_loss=accept_loss)
    return recorded(event, seq, seconds)


def always(since: float, until: float) -> float:
    return max(0.0, until - since)


def test_a_write_that_production_lacks_is_lost_unless_a_loss_was_accepted() -> None:
    journal, accepted = [ended(1, 0)], [ended(1, 0, accept_loss=True)]
    assert counts.lost_writes(["a", "b", "c"], {"a"}, {"b"}, journal) == ["b", "c"]
    assert counts.lost_writes(["a", "b", "c"], {"a"}, {"b"}, accepted) == ["c"], "what is in neither is lost all the same"
    assert counts.lost_writes(["a"], {"a", "z"}, set(), journal) == []


def test_a_command_without_an_answer_is_deaf_once_it_was_calm_for_long() -> None:
    sent = [SentCommand("hold", 5, at(1))]
    assert counts.unanswered(sent, [note(6, 2, position=5), ended(7, 60)], always) == ([], pytest.approx(1.0))
    [deaf], _ = counts.unanswered(sent, [note(6, 2, position=4), ended(7, 60)], always)
    assert deaf == "hold at 5: 59.0 s"
    assert counts.unanswered(sent, [ended(7, 10)], always)[0] == [], "the end answers it"
    assert counts.unanswered(sent, [], lambda since, until: 0.0)[0] == [], "nobody could hear it"
    assert len(counts.unanswered(sent, [], always)[0]) == 1, "a run without an end"


def test_a_command_among_refused_ones_is_answered_and_one_that_was_passed_over_is_not() -> None:
    one = facts.RefusedCommand(seq=4, verb="note", by=None, reason="x")
    flood = recorded(facts.CommandsRejected(count=3, first=one, last=one.model_copy(update={"seq": 6})), 7, 3, position=6)
    sent = [SentCommand("note", 5, at(1)), SentCommand("note", 8, at(2)), SentCommand("hold", 9, at(2))]
    journal = [flood, note(10, 4, position=9)]
    assert counts.stepped_over(sent, journal) == ["note at 8: stepped over"]


def test_a_step_that_hangs_is_told() -> None:
    assert counts.hung([note(1, 0), note(2, 31)], always) != []
    assert counts.hung([note(1, 0), note(2, 29)], always) == []


def test_only_time_that_was_looked_at_and_calm_counts() -> None:
    samples = [Sample(at(n), is_calm=n not in (3, 4)) for n in (0, 0.5, 1, 1.5, 2, 3, 4, 4.5, 5, 9)]
    assert calm_seconds(samples, at(0), at(100)) == pytest.approx(2.5)
    assert calm_seconds(samples, at(1.75), at(4.75)) == pytest.approx(0.5)


def test_an_exit_by_1_needs_an_outage_or_the_runs_end_as_its_reason() -> None:
    journal = [ended(1, 100)]
    assert counts.errors_by_themselves([(at(50), 5.0), (at(101), 90.0)], journal) == []
    assert len(counts.errors_by_themselves([(at(50), 60.0)], journal)) == 1


@dataclass
class Clock:
    """In place of the module `time`."""

    now: float = 0.0

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


@dataclass
class Driven:
    """A run that one process drives, or none."""

    daemons: list[Any] = field(default_factory=list)
    paused: set[int] = field(default_factory=set)
    outage: bool = False
    disturbed_at: float = 0.0
    has_ended: bool = False
    clock: Clock = field(default_factory=Clock)

    def living(self) -> list[Any]:
        return self.daemons

    def is_away(self, server: str = "") -> bool:
        return self.outage

    def disturb(self) -> None:
        self.disturbed_at = self.clock.monotonic()


def watched(monkeypatch: pytest.MonkeyPatch, fleet: Driven, *, closed: bool = True, leader: int = 7) -> Watch:
    """For a little longer than the 15 s, by a clock of its own."""
    clock = Clock()
    monkeypatch.setattr(watch, "time", clock)
    fleet.clock = clock
    monkeypatch.setattr(watch, "is_closed", lambda night: closed)
    looking = Watch(SimpleNamespace(run="night", recorded=list), leader=leader)  # type: ignore[arg-type]
    looking.fleet = fleet  # type: ignore[assignment]
    while clock.now < DRIVES_SECONDS + 5:
        looking._sample()
        clock.now += 0.5
    return looking


def test_a_run_that_nobody_drives_for_too_long_is_counted_once_by_whether_production_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looking = watched(monkeypatch, Driven())
    assert (len(looking.undriven), looking.adrift) == (1, [])
    looking = watched(monkeypatch, Driven(), closed=False)
    assert (looking.undriven, len(looking.adrift)) == ([], 1)
    stale = Driven([SimpleNamespace(pid=8)])
    assert len(watched(monkeypatch, stale).undriven) == 1, "who is not the last leader of the journal drives nothing"


@pytest.mark.parametrize(
    "fleet",
    [Driven([SimpleNamespace(pid=7)]), Driven([SimpleNamespace(pid=7)], paused={7}), Driven(outage=True), Driven(has_ended=True)],
    ids=["driven", "paused by us", "a server is away by us", "over"],
)
def test_what_is_driven_or_disturbed_by_us_is_not_counted(monkeypatch: pytest.MonkeyPatch, fleet: Driven) -> None:
    assert watched(monkeypatch, fleet).undriven == []


def test_tracebacks_are_found_wherever_they_stand() -> None:
    assert len(counts.tracebacks("fine\nTraceback (most recent call last):\n  File\n")) == 1
    assert counts.tracebacks("no trace of it") == []


def test_the_table_has_the_four_counts_and_whatever_else() -> None:
    shown = table([Result(3, "completed", lost=["a"], undriven=["b"], deaf=["c"], tracebacks=["d"], others=["e"])], 0.5)
    for name in ("lost without accept_loss", "with nobody driving", "deaf", "tracebacks", "what else did not hold"):
        assert any(name in line and line.endswith(" 1") for line in shown.splitlines()), shown


def led(seq: int, seconds: float, epoch: int, pid: int) -> Recorded:
    return of_epoch(recorded(facts.LeaderAcquired(epoch=epoch, host="here", pid=pid), seq, seconds), epoch)


def of_epoch(each: Recorded, epoch: int) -> Recorded:
    return replace(each, envelope=replace(each.envelope, epoch=epoch))


def test_what_an_older_daemon_writes_after_a_newer_one_took_the_run_is_a_fault() -> None:
    """Found: the rounds of overlapping daemons looked at who drives at their end, not at what the others did meanwhile."""
    journal = [led(1, 0, 1, 11), note(2, 1), led(3, 2, 2, 22), of_epoch(note(4, 3), 2)]
    assert acted_when_older(journal) == []
    [fault] = acted_when_older([*journal, note(5, 4)])
    assert "of epoch 1 at sequence 5, after epoch 2 took the run" in fault
    [fault] = acted_when_older([*journal, led(5, 4, 1, 11)])
    assert fault.startswith(facts.LeaderAcquired.wire_type())


def test_what_an_older_daemon_commands_after_a_newer_one_took_the_run_is_a_fault() -> None:
    journal = [led(1, 0, 1, 11), led(2, 2, 2, 22)]
    before, newer, stranger = ({"verb": "stop", "what": "api", "by": by, "at": at(s)} for by, s in ((11, 1), (22, 9), (33, 9)))
    assert commanded_when_older(journal, [before, newer, stranger]) == []
    [fault] = commanded_when_older(journal, [before, {**before, "at": at(9)}])
    assert fault == "stop api of epoch 1, 7.00 s after epoch 2 led"
