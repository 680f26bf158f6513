"""How many are answered one by one, and what one event tells of the rest."""

from __future__ import annotations

from cutoverd.daemon.engine.refusal_flood import LONGEST_REASON, Allowance, CommandRefusal, Refusals


def test_an_allowance_is_spent_and_comes_back_with_time() -> None:
    now = [0.0]
    allowance = Allowance(3, 0.5, lambda: now[0])
    assert [allowance.take_one() for _ in range(5)] == [True, True, True, False, False]
    now[0] = 2.0
    assert [allowance.take_one() for _ in range(2)] == [True, False]
    now[0] = 1000.0
    assert sum(allowance.take_one() for _ in range(10)) == 3


def test_one_event_tells_how_many_there_were_and_the_first_and_the_last() -> None:
    refusals = Refusals()
    assert refusals.event() is None
    assert [refusals.add(CommandRefusal(seq, "fail", "eve", f"{seq}" * (LONGEST_REASON + 1))) for seq in (7, 8, 9)] == [
        True,
        False,
        False,
    ]
    assert refusals.last_seq == 9
    event = refusals.event()
    assert event is not None
    assert (event.count, event.first.seq, event.last.seq) == (3, 7, 9)
    assert event.last.reason == "9" * LONGEST_REASON + "…"
