"""Events as bytes: one JSON document in CloudEvents' structured form, chained by the hash of the one before.

Who may publish on the subject can write anything there: what bears no MAC of the ledger's key, and what is published again,
is none of the run's events.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime

from cutoverd.events.facts import TYPES, Event
from cutoverd.events.mac import JournalKey, is_signed

GENESIS = "0" * 64  # `prev` of a run's first event


class Corrupt(Exception):
    """the journal does not hold what was written to it"""

    hint = "`cutoverd journal restore PLAN --dry-run` says whether a copy has what is missing, and what would be done"


class NotOurs(Corrupt):
    """a message on the run's subject that is none of its events, or one that was published again"""


@dataclass(frozen=True)
class Envelope:
    """An event and where it stands in its run."""

    id: str
    run: str
    time: datetime
    n: int  # 1, 2, 3, … within the run
    prev: str  # sha256 of the message before
    epoch: int  # of the daemon that wrote it
    command_position: int  # stream sequence of the last command taken into account
    event: Event


@dataclass(frozen=True)
class Recorded:
    """An envelope that the journal acknowledged at `seq` of the stream."""

    seq: int
    envelope: Envelope

    @property
    def event(self) -> Event:
        return self.envelope.event


def encode(envelope: Envelope) -> bytes:
    """The message; equal envelopes give equal bytes."""
    document = {
        "specversion": "1.0",
        "id": envelope.id,
        "source": f"cutoverd/{envelope.run}",
        "type": envelope.event.wire_type(),
        "time": envelope.time.isoformat(),
        "datacontenttype": "application/json",
        "n": envelope.n,
        "prev": envelope.prev,
        "epoch": envelope.epoch,
        "commandposition": envelope.command_position,
        "data": envelope.event.model_dump(mode="json"),
    }
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def decode(message: bytes) -> Envelope:
    """The envelope of a message; raises `Corrupt` for anything this version cannot read."""
    try:
        document = json.loads(message)
        return Envelope(
            id=document["id"],
            run=document["source"].removeprefix("cutoverd/"),
            time=datetime.fromisoformat(document["time"]),
            n=document["n"],
            prev=document["prev"],
            epoch=document["epoch"],
            command_position=document["commandposition"],
            event=TYPES[document["type"]].model_validate(document["data"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Corrupt(f"not an event that this version can read: {message[:200]!r} ({error})") from error


def is_event(message: bytes) -> bool:
    """Whether this version can read it, whosever it is."""
    try:
        decode(message)
    except Corrupt:
        return False
    return True


def hash_of(message: bytes) -> str:
    """What the next event's `prev` must be."""
    return hashlib.sha256(message).hexdigest()


@dataclass(frozen=True)
class Chain:
    """The end of a run's journal: its count, the hash of its last message, and where that lies."""

    n: int = 0
    head: str = GENESIS
    seq: int = 0
    is_signed: bool = False  # whether any of its messages bears a MAC

    def extended(self, message: bytes, seq: int) -> Chain:
        return Chain(self.n + 1, hash_of(message), seq, self.is_signed or is_signed(message))

    def checked(self, message: bytes, seq: int) -> Recorded:
        """The next event, proven to follow this end; raises `Corrupt`."""
        envelope = decode(message)
        if (envelope.n, envelope.prev) != (self.n + 1, self.head):
            raise Corrupt(
                f"event {envelope.n} at stream sequence {seq} does not follow event {self.n}: its prev is "
                f"{envelope.prev[:12]}…, the message before hashes to {self.head[:12]}…"
            )
        return Recorded(seq, envelope)

    def read(self, message: bytes, seq: int, run: str, key: JournalKey | None) -> Recorded:
        """The next event of `run`, if the message is that.

        Raises `NotOurs` for what anybody may have published there, `Corrupt` if an event of ours is missing before it.
        """
        self._check_signature(message, run, key)
        envelope = self._decoded(message, key)
        if envelope.run != run:
            raise NotOurs(f"it is an event of run {envelope.run!r}")
        if envelope.n <= self.n:
            raise NotOurs(f"it is event {envelope.n} once more")
        if key is None and (envelope.n, envelope.prev) != (self.n + 1, self.head):
            raise NotOurs(f"it does not follow event {self.n}")
        return self.checked(message, seq)

    def _check_signature(self, message: bytes, run: str, key: JournalKey | None) -> None:
        """A journal that was begun before there were MACs may begin without them, and none follows the first that has one."""
        if is_signed(message):
            if key and not key.has_signed(message):
                raise NotOurs("its MAC is not of the ledger's key")
        elif self.is_signed or (key and run not in key.unsigned_runs):
            raise NotOurs("it bears no MAC")

    def _decoded(self, message: bytes, key: JournalKey | None) -> Envelope:
        try:
            return decode(message)
        except Corrupt as error:
            if key and key.has_signed(message):  # of a later version of ours
                raise
            raise NotOurs("it is not an event that this version can read") from error
