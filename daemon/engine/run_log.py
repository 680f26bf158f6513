"""The run and its journal as one: what is appended is chained, anchored, and evolves the run; what is replayed is proven."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from datetime import UTC, datetime
from uuid import uuid4

from cutoverd.daemon.engine.anchor import Anchor, Anchored, check_anchored
from cutoverd.daemon.engine.copies import CopiedEvent, JournalCopy
from cutoverd.daemon.engine.errors import Conflict, KeyDiffers, Unavailable
from cutoverd.daemon.engine.foreign import CROWDED_SECONDS, FIND_SECONDS, Crowd, ForeignMessages
from cutoverd.daemon.engine.message import EventLog, Message
from cutoverd.daemon.host.cancellation import deadline
from cutoverd.daemon.host.log import Logger
from cutoverd.events.codec import Chain, Corrupt, Envelope, NotOurs, Recorded, decode, encode, hash_of
from cutoverd.events.facts import Event, ForeignMessagesFound, RunHeld, StepStarted
from cutoverd.events.mac import JournalKey
from cutoverd.states.errors import NotLeader
from cutoverd.states.evolve import evolve
from cutoverd.states.run import Run

log = Logger(__name__)

MOST_CONFLICTS = 20  # an older daemon records little once it is fenced
Observer = Callable[[Run, Recorded], None]  # the run after the event; must not fail, must not wait


class RunLog:
    """One run: its journal replayed, and the only place where its events are appended."""

    def __init__(
        self,
        run: str,
        journal: EventLog,
        anchors: Sequence[Anchor] = (),
        observers: Sequence[Observer] = (),
        revive: Callable[[], Awaitable[None]] | None = None,
        key: JournalKey | None = None,
        copies: Sequence[JournalCopy] = (),
    ) -> None:
        """`revive` is asked to bring back a bus that has taken nothing for the whole of the journal's patience.

        `key` signs and verifies; without it whose the messages are is not verified. `copies` get every event.
        """
        self.run = Run(run)
        self.foreign = ForeignMessages()
        self.crowded_out = ""  # why the run must be held: for long, no event of ours found its place
        self._key = key
        self._copies = copies
        self._revive = revive
        self.epoch = 0
        self._journal = journal
        self._anchors = anchors
        self._observers = observers
        self._chain = Chain()
        self._anchoring: asyncio.Task[None] | None = None
        self._observed_seq = 0
        self._conflicts = 0  # since something but a beginning was recorded

    @property
    def end(self) -> Anchored:
        """The last event."""
        return Anchored(self._chain.seq, self._chain.head)

    @property
    def length(self) -> int:
        """How many events there are."""
        return self._chain.n

    async def replay(self) -> None:
        """Read the journal to its end and prove it.

        Raises `Corrupt`, `KeyDiffers`, and `LogRegressed` if it ends before an anchor.
        """
        # before the end is asked for: an older daemon that still records must not look like a journal that lost its end
        anchored = [await anchor.load() for anchor in self._anchors]
        hashes: dict[int, str] = {}
        disowned = False  # whether an event that was acknowledged is there, and not ours by our key
        self.run, self._chain = Run(self.run.name), Chain()
        self.foreign.clear()
        async for message in self._journal.replay():
            if recorded := self._read(message):
                self._apply(recorded, message.data)
                hashes[message.seq] = self._chain.head
            else:
                disowned = disowned or any(end and end.hash == hash_of(message.data) for end in anchored)
        if self._key and disowned and not hashes:
            raise KeyDiffers(f"none of {self.foreign.count} messages bears the MAC of our key, and one of them was acknowledged")
        for end in anchored:
            check_anchored(end, hashes)

    def find_event(self, message: Message) -> Envelope | None:
        """What a message says that somebody follows; None for one that is not ours."""
        if self._key and not self._key.has_signed(message.data):
            return None
        try:
            envelope = decode(message.data)
        except Corrupt:
            return None
        return envelope if envelope.run == self.run.name else None

    async def find_foreign(self) -> None:
        """Count what others have published since our last event; raises `Conflict` if another daemon has appended.

        For a second at most: of a flood that comes faster than it is read there is no end, and nobody would be heard.
        """
        with suppress(TimeoutError, Unavailable):  # they are found by the next append, or the next look
            async with deadline(FIND_SECONDS), aclosing(self._journal.read_on()) as messages:
                async for message in messages:
                    if self._read(message):
                        raise Conflict(f"an event of another daemon lies at sequence {message.seq}")

    async def record_foreign(self) -> None:
        """Put on record what was found of others; and hold the run, where they have kept our events out for long."""
        if self.foreign.count:
            await self._append(self.foreign.event, 0)
            self.foreign.recorded()
        if self.crowded_out and self.run.held is None and not self.run.is_over:
            await self.append(RunHeld(reason=self.crowded_out, by=None, now=False))
        self.crowded_out = ""

    def _read(self, message: Message) -> Recorded | None:
        """None, and counted, if it is not ours; raises `Corrupt` if one of ours is missing."""
        try:
            return self._chain.read(message.data, message.seq, self.run.name, self._key)
        except NotOurs as reason:
            self.foreign.add(message.seq, reason)
            return None

    async def catch_up(self, conflict: Conflict) -> None:
        """Another daemon has appended: read what, so that the next step is decided on it.

        Raises `NotLeader` if a newer one has the run, and `conflict` after 20 in a row.
        """
        self._conflicts += 1
        if self._conflicts > MOST_CONFLICTS:
            raise conflict
        log.warning("journal_conflict", reason=str(conflict), doing="reads the journal again")
        await self._replay_once_it_answers()
        if self.run.epoch > self.epoch:
            raise superseded(self.run.name, self.run.epoch)

    async def _replay_once_it_answers(self) -> None:
        """Found: a bus that was away in this moment ended the daemon in the middle of Downtime."""
        while True:
            try:
                return await self.replay()
            except Unavailable as error:
                await self._wait_for_bus(error)

    async def append(self, event: Event, command_position: int = 0) -> str:
        """Persist an event and evolve the run by it; its id. Raises `Conflict` if another has appended, `ServerRefused`.

        While the bus is away nothing else is done: the same message is offered until it is taken.
        """
        return await self._append(lambda: event, command_position)

    async def _append(self, make: Callable[[], Event], command_position: int) -> str:
        """What others have published is stepped over, and the event, made anew, offered again at once, on the new end."""
        offered: dict[bytes, Envelope] = {}
        crowd = Crowd(self.run.name)
        while True:
            envelope, body = self._sealed(make(), command_position)
            offered[body] = envelope
            try:
                seq = await self._stored(envelope.id, body)
            except Conflict as conflict:
                crowd.begin()
                stored = await self._read_over_foreign(offered, conflict)
                if stored is None:
                    await crowd.pause(f"{self.foreign.count} foreign messages were faster")
                    continue
                seq, body = stored
            await self._accept(Recorded(seq, offered[body]), body)
            self._note(crowd)
            return offered[body].id

    def _sealed(self, event: Event, command_position: int) -> tuple[Envelope, bytes]:
        envelope = Envelope(
            id=uuid4().hex,
            run=self.run.name,
            time=datetime.now(UTC),
            n=self._chain.n + 1,
            prev=self._chain.head,
            epoch=self.epoch,
            command_position=max(command_position, self.run.command_position),
            event=event,
        )
        body = encode(envelope)
        return envelope, self._key.sign(body) if self._key else body

    async def _read_over_foreign(self, offered: dict[bytes, Envelope], conflict: Conflict) -> tuple[int, bytes] | None:
        """Where one of the offered lies, should it have landed; None if only others have published. Raises `conflict`."""
        is_new = False
        try:
            async with deadline(CROWDED_SECONDS), aclosing(self._journal.read_on()) as messages:
                async for message in messages:
                    is_new = True
                    if message.data in offered:
                        return message.seq, message.data
                    if self._read(message):
                        raise conflict
        except (TimeoutError, Unavailable):  # tried again, from where it stopped
            return None
        if not is_new:  # its id is taken, say: decided again, under another, and not without end
            raise conflict
        return None

    async def _accept(self, recorded: Recorded, body: bytes) -> None:
        if not isinstance(recorded.event, StepStarted):  # else a step whose outcome always comes too late is taken for ever
            self._conflicts = 0
        self._apply(recorded, body)
        await self.settled()
        self._anchoring = asyncio.create_task(self._anchor(recorded.seq, self._chain.head))

    def _note(self, crowd: Crowd) -> None:
        if crowd.is_lasting:
            self.crowded_out = (
                f"for {crowd.seconds:.0f} s others published on the run's subject so fast that no event found its place: "
                "only the daemon's NATS user may publish on cutover.evt.*; end it, then `resume`"
            )

    async def settled(self) -> None:
        """The anchors hold the last event but one at least; after this, the last."""
        if self._anchoring:
            await asyncio.wait([self._anchoring])

    async def _anchor(self, seq: int, head: str) -> None:
        """Beside the run: an anchor that lags by one event is weaker, not wrong, and a step need not wait for a disk."""
        await asyncio.gather(*(anchor.save(seq, head) for anchor in self._anchors), *(copy.flush() for copy in self._copies))

    async def flush_copies(self) -> None:
        """As far as they take it now."""
        await asyncio.gather(*(copy.flush() for copy in self._copies))

    async def copied(self) -> None:
        """What was appended is in the ledger as well; raises `LogRegressed` if that has another journal."""
        for copy in self._copies:
            await copy.settled()

    async def _stored(self, id: str, body: bytes) -> int:
        while True:
            try:
                return await self._journal.append(id, body)
            except Unavailable as error:
                await self._wait_for_bus(error)

    async def _wait_for_bus(self, error: Unavailable) -> None:
        log.error("journal_away", reason=str(error), doing="nothing else until it answers")
        if self._revive:
            await self._revive()

    def _apply(self, recorded: Recorded, body: bytes) -> None:
        self.run = evolve(self.run, recorded)
        self._chain = self._chain.extended(body, recorded.seq)
        for copy in self._copies:
            copy.add(CopiedEvent(self._chain.n, recorded.seq, self._chain.head, body))
        if isinstance(recorded.event, ForeignMessagesFound):  # of all that lies before it
            self.foreign.clear()
        if recorded.seq <= self._observed_seq:  # read once more after a conflict
            return
        self._observed_seq = recorded.seq
        for observer in self._observers:
            observer(self.run, recorded)


def superseded(run: str, epoch: int) -> NotLeader:
    """Why an older daemon stops."""
    return NotLeader(f"another daemon has taken run {run} (epoch {epoch}): this one has stopped, and does nothing more")
