"""The run and its journal as one: what is appended is chained, anchored, and evolves the run; what is replayed is proven."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from uuid import uuid4

from cutoverd.daemon.engine.anchor import Anchor, check_anchored
from cutoverd.daemon.engine.errors import Conflict, Unavailable
from cutoverd.daemon.engine.message import EventLog
from cutoverd.daemon.host.log import Logger
from cutoverd.events.codec import Chain, Corrupt, Envelope, Recorded, encode
from cutoverd.events.facts import Event, StepStarted
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
    ) -> None:
        """`revive` is asked to bring back a bus that has taken nothing for the whole of the journal's patience."""
        self.run = Run(run)
        self._revive = revive
        self.epoch = 0
        self._journal = journal
        self._anchors = anchors
        self._observers = observers
        self._chain = Chain()
        self._anchoring: asyncio.Task[None] | None = None
        self._observed_seq = 0
        self._conflicts = 0  # since something but a beginning was recorded

    async def replay(self) -> None:
        """Read the journal to its end and prove it; raises `Corrupt`, and `LogRegressed` if it ends before an anchor."""
        # before the end is asked for: an older daemon that still records must not look like a journal that lost its end
        anchored = [await anchor.load() for anchor in self._anchors]
        hashes: dict[int, str] = {}
        self.run, self._chain = Run(self.run.name), Chain()
        async for message in self._journal.replay():
            recorded = self._chain.checked(message.data, message.seq)
            if recorded.envelope.run != self.run.name:
                raise Corrupt(f"the journal of run {self.run.name} holds an event of run {recorded.envelope.run}")
            self._apply(recorded, message.data)
            hashes[message.seq] = self._chain.head
        for end in anchored:
            check_anchored(end, hashes)

    async def catch_up(self, conflict: Conflict) -> None:
        """Another daemon has appended: read what, so that the next step is decided on it.

        Raises `NotLeader` if a newer one has the run, and `conflict` after 20 in a row.
        """
        self._conflicts += 1
        if self._conflicts > MOST_CONFLICTS:
            raise conflict
        log.warning("journal_conflict", reason=str(conflict), doing="reads the journal again")
        await self.replay()
        if self.run.epoch > self.epoch:
            raise superseded(self.run.name, self.run.epoch)

    async def append(self, event: Event, command_position: int = 0) -> str:
        """Persist an event and evolve the run by it; its id. Raises `Conflict` if another has appended, `ServerRefused`.

        While the bus is away nothing else is done: the same message is offered until it is taken.
        """
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
        seq = await self._stored(envelope.id, body)
        if not isinstance(event, StepStarted):  # else a step whose outcome always comes too late would be taken for ever
            self._conflicts = 0
        self._apply(Recorded(seq, envelope), body)
        await self.settled()
        self._anchoring = asyncio.create_task(self._anchor(seq, self._chain.head))
        return envelope.id

    async def settled(self) -> None:
        """The anchors hold the last event but one at least; after this, the last."""
        if self._anchoring:
            await asyncio.wait([self._anchoring])

    async def _anchor(self, seq: int, head: str) -> None:
        """Beside the run: an anchor that lags by one event is weaker, not wrong, and a step need not wait for a disk."""
        await asyncio.gather(*(anchor.save(seq, head) for anchor in self._anchors))

    async def _stored(self, id: str, body: bytes) -> int:
        while True:
            try:
                return await self._journal.append(id, body)
            except Unavailable as error:
                log.error("journal_away", reason=str(error), doing="nothing else until it answers")
                if self._revive:
                    await self._revive()

    def _apply(self, recorded: Recorded, body: bytes) -> None:
        self.run = evolve(self.run, recorded)
        self._chain = self._chain.extended(body, recorded.seq)
        if recorded.seq <= self._observed_seq:  # read once more after a conflict
            return
        self._observed_seq = recorded.seq
        for observer in self._observers:
            observer(self.run, recorded)


def superseded(run: str, epoch: int) -> NotLeader:
    """Why an older daemon stops."""
    return NotLeader(f"another daemon has taken run {run} (epoch {epoch}): this one has stopped, and does nothing more")
