"""The longest chain of several places: what one has lost another may have, and what is not signed counts nowhere."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from cutoverd.daemon.engine.chains import Source, begins_with, longest_chain, read_source, recorded
from cutoverd.events import facts
from cutoverd.events.codec import Chain, Envelope, encode
from cutoverd.events.mac import JournalKey

KEY = JournalKey((b"ours",))
AT = datetime(2026, 12, 5, 22, tzinfo=UTC)


def chain(length: int, *, key: JournalKey | None = KEY, text: str = "x", after: list[bytes] | None = None) -> list[bytes]:
    """So many events of run night, or as many as are missing after others."""
    end, found = Chain(), list(after or ())
    for message in found:
        end = end.extended(message, 1)
    while len(found) < length:
        envelope = Envelope(f"id{end.n}", "night", AT, end.n + 1, end.head, 1, 0, facts.NoteTaken(by=None, text=text))
        found.append(key.sign(encode(envelope)) if key else encode(envelope))
        end = end.extended(found[-1], 1)
    return found


def longest(*places: list[bytes], key: JournalKey = KEY) -> list[bytes]:
    return longest_chain("night", key, [Source(str(n), tuple(place)) for n, place in enumerate(places)])


WHOLE = chain(10)


@pytest.mark.parametrize(
    "places",
    [
        [WHOLE, WHOLE[:4]],
        [[], WHOLE],
        [WHOLE[:3], WHOLE[2:]],
        [WHOLE[:3] + WHOLE[4:], WHOLE[:2] + WHOLE[3:7]],
        [[b"\xff", WHOLE[0], b"{}", *WHOLE[1:], WHOLE[0]], []],
        [[*WHOLE[:5], WHOLE[5].replace(b"x", b"y"), *WHOLE[6:]], WHOLE[:6]],
        [chain(4, text="another night"), WHOLE],
        [WHOLE, chain(10, text="another night")],
        [[*WHOLE, *chain(11, key=JournalKey((b"theirs",)), after=WHOLE)[10:]], []],
    ],
)
def test_the_longest_chain_of_all_places_is_found(places: list[list[bytes]]) -> None:
    assert longest(*places) == WHOLE


def test_of_two_of_a_length_the_first_counts_and_the_longer_one_wins_wherever_it_lies() -> None:
    other = chain(10, text="another night")
    assert longest(other, WHOLE) == other
    assert longest(chain(9, text="another night"), WHOLE) == WHOLE


def test_what_nobody_has_cannot_be_passed() -> None:
    assert longest(WHOLE[:4], WHOLE[5:]) == WHOLE[:4]
    assert longest(WHOLE[1:], []) == []
    assert longest() == []


def test_a_run_of_before_there_was_a_key_may_begin_without_macs() -> None:
    old = chain(4, key=None)
    both = chain(8, after=old)
    assert longest(both, key=JournalKey((b"ours",), frozenset({"night"}))) == both
    assert longest(both) == []


def test_a_place_is_read_as_a_daemon_reads_it() -> None:
    reading = read_source("night", KEY, Source("here", (b"{}", *WHOLE[:3], WHOLE[0], WHOLE[5])))
    assert (reading.events, reading.foreign) == (3, 2)
    assert "event 6" in reading.broken
    assert begins_with(WHOLE, reading)
    assert not begins_with(chain(10, text="another night"), reading)
    assert not begins_with(WHOLE[:2], reading)
    assert begins_with([], read_source("night", KEY, Source("nowhere", ())))


def test_a_chain_is_recorded_in_its_order() -> None:
    assert [(each.seq, each.envelope.n) for each in recorded("night", KEY, WHOLE)] == [(n, n) for n in range(1, 11)]
