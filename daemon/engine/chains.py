"""What a lost journal is made again from: the longest chain of our events that the stream and its copies hold together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cutoverd.events.codec import GENESIS, Chain, Corrupt, NotOurs, Recorded, decode, hash_of
from cutoverd.events.mac import JournalKey


@dataclass(frozen=True)
class Source:
    """One place that holds events of a run, in its order; what else lies there is told apart here."""

    name: str
    messages: tuple[bytes, ...]


@dataclass(frozen=True)
class Reading:
    """What a daemon would read there."""

    source: Source
    head: str  # hash of the last event
    events: int
    foreign: int  # messages that are none of ours
    broken: str = ""  # why it goes no further, though there is more


def read_source(run: str, key: JournalKey, source: Source) -> Reading:
    """As far as each event follows the one before."""
    chain, foreign = Chain(), 0
    for message in source.messages:
        try:
            chain.read(message, chain.n + 1, run, key)
        except NotOurs:
            foreign += 1
        except Corrupt as error:
            return Reading(source, chain.head, chain.n, foreign, str(error))
        else:
            chain = chain.extended(message, chain.n + 1)
    return Reading(source, chain.head, chain.n, foreign)


def begins_with(chain: Sequence[bytes], reading: Reading) -> bool:
    """Whether what is read there is the beginning of that chain."""
    if reading.events == 0:
        return True
    return reading.events <= len(chain) and reading.head == hash_of(chain[reading.events - 1])


def longest_chain(run: str, key: JournalKey, sources: Sequence[Source]) -> list[bytes]:
    """What one place has lost another may have; where two differ, each is followed, and the longer one counts.

    Of two of a length that of the earlier source does.
    """
    return max((_chain_of(run, key, [first, *sources]) for first in sources), key=len, default=[])


def _chain_of(run: str, key: JournalKey, sources: Sequence[Source]) -> list[bytes]:
    following = _by_forerunner(run, key, sources)
    chain, found = Chain(), list[bytes]()
    while (message := _next(run, key, chain, following)) is not None:
        chain = chain.extended(message, chain.n + 1)
        found.append(message)
    return found


def _by_forerunner(run: str, key: JournalKey, sources: Sequence[Source]) -> dict[str, list[bytes]]:
    """The messages that may be ours, by the hash of the one that they follow; those of the first source first."""
    found = dict[str, list[bytes]]()
    for message in (each for source in sources for each in source.messages):
        if key.has_signed(message) or run in key.unsigned_runs:
            found.setdefault(_forerunner(message), []).append(message)
    return found


def _forerunner(message: bytes) -> str:
    try:
        return decode(message).prev
    except Corrupt:
        return ""


def _next(run: str, key: JournalKey, chain: Chain, following: dict[str, list[bytes]]) -> bytes | None:
    for message in following.get(chain.head if chain.n else GENESIS, ()):
        try:
            chain.read(message, chain.n + 1, run, key)
        except Corrupt:
            continue
        return message
    return None


def recorded(run: str, key: JournalKey, messages: Sequence[bytes]) -> list[Recorded]:
    """The events of a chain, as if they lay at 1, 2, 3, …"""
    chain, found = Chain(), list[Recorded]()
    for seq, message in enumerate(messages, 1):
        found.append(chain.read(message, seq, run, key))
        chain = chain.extended(message, seq)
    return found
