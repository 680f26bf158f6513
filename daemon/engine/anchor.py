"""A witness outside the journal: a hash chain cannot see that its end is missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from cutoverd.daemon.engine.errors import LogRegressed


@dataclass(frozen=True)
class Anchored:
    """An event that was acknowledged once: its stream sequence and the sha256 of its message."""

    seq: int
    hash: str


class Anchor(Protocol):
    """Remembers the newest event of one run."""

    async def save(self, seq: int, hash: str) -> None:
        """Never raises and never waits long: an anchor that lags is weaker, not wrong. What failed is logged."""

    async def load(self) -> Anchored | None:
        """None if nothing was saved, or if it cannot be reached or read now (logged): there are two."""


def check_anchored(anchored: Anchored | None, hashes: Mapping[int, str]) -> None:
    """The replayed events (stream sequence → hash) reach as far as the anchor and hold that very message.

    Wherever it lies now: a stream that was restored has the same messages at other sequences. Raises `LogRegressed`.
    """
    if anchored is None or anchored.hash in hashes.values():
        return
    end = max(hashes, default=0)
    if end < anchored.seq:
        raise LogRegressed(f"the log ends at sequence {end}, but {anchored.seq} was acknowledged (anchor {anchored.hash[:12]}…)")
    replayed = hashes.get(anchored.seq)
    holds = f"a message that hashes to {replayed[:12]}…" if replayed else "no event"
    raise LogRegressed(f"the log holds {holds} at sequence {anchored.seq}, where {anchored.hash[:12]}… was acknowledged")
