"""The events that remain are put back into the stream, and into a new one where they cannot just be appended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cutoverd.daemon.bus import stream
from cutoverd.daemon.bus.connection import Client
from cutoverd.daemon.bus.content import save_content
from cutoverd.daemon.bus.journal import Journal
from cutoverd.daemon.bus.make_anew import make_anew, put_back
from cutoverd.daemon.bus.run_registry import Runs
from cutoverd.daemon.control.lost_journal import Remains
from cutoverd.daemon.engine.chains import Source, begins_with, read_source
from cutoverd.events.codec import decode
from cutoverd.events.subjects import RUNS, events_of

Say = Callable[[str], None]


@dataclass(frozen=True)
class PutBack:
    """What remains, into that stream; each action is said. Safe to do again."""

    remains: Remains
    client: Client
    say: Say

    async def all(self, saved: Path) -> None:
        """What a stream holds is kept in `saved` before it is deleted. Raises `Conflict` where an older daemon publishes, too."""
        run, chain = self.remains.run.name, self.remains.chain
        anew = self.remains.is_to_be_made_anew
        if anew:
            await self._make_anew(saved)
        else:
            await stream.prepare(self.client)
        await self._events(run, _with_ids(chain if anew else chain[self.remains.in_stream.events :]))
        for other in self.remains.others():
            await self._events(other, self._anew(other) if anew else self._missing(other))
        await Runs(Journal(self.client, RUNS), self.remains.key).put_back(self._ended(), run)

    async def _make_anew(self, saved: Path) -> None:
        is_there, first_seq = self.remains.content.is_there, self.remains.first_seq
        if is_there:
            count = await save_content(self.client, saved)
            self.say(f"✔ what the stream held, {count} messages, is kept in {saved}")
        await make_anew(self.client, first_seq, is_there=is_there)
        self.say(f"✔ the stream is made anew, and begins at sequence {first_seq}")

    async def _events(self, run: str, messages: list[tuple[str, bytes]]) -> None:
        if messages:
            await put_back(self.client, events_of(run), messages, self.remains.key)
            self.say(f"✔ {len(messages)} events of run {run} are put back")

    def _anew(self, run: str) -> list[tuple[str, bytes]]:
        """Of a run that has ended, or whose events the stream held; what the ledger's key has not signed as it lay there."""
        held, chain = self.remains.content.events.get(run, []), self.remains.chain_of(run)
        if chain:
            return _with_ids(chain) if held or self.remains.end_of(run) else []
        return [(each.id, each.data) for each in held] if held and decode(held[0].data).run == run else []

    def _missing(self, run: str) -> list[tuple[str, bytes]]:
        """Of a run that has ended; nothing is put behind what does not begin so."""
        reading = read_source(run, self.remains.key, Source("the stream", self.remains.content.bodies(run)))
        chain = self.remains.chain_of(run)
        may_follow = self.remains.end_of(run) and begins_with(chain, reading) and not reading.broken
        return _with_ids(chain[reading.events :]) if may_follow else []

    def _ended(self) -> dict[str, str]:
        """The state in which each run ended, as far as stream and ledger tell."""
        ended = dict(self.remains.history.ends) | {run: end for run in self.remains.others() if (end := self.remains.end_of(run))}
        run = self.remains.run
        return ended | {run.name: run.state} if run.is_over else ended


def _with_ids(messages: list[bytes]) -> list[tuple[str, bytes]]:
    return [(decode(message).id, message) for message in messages]
