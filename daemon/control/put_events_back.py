"""The events that remain are put back into the stream, and into a new one where they cannot just be appended."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from cutoverd.daemon.bus import stream
from cutoverd.daemon.bus.connection import Client
from cutoverd.daemon.bus.content import save_content
from cutoverd.daemon.bus.journal import Journal
from cutoverd.daemon.bus.make_anew import make_anew, put_back
from cutoverd.daemon.bus.run_registry import Runs
from cutoverd.daemon.control import unfinished_restore
from cutoverd.daemon.control.lost_journal import Remains
from cutoverd.daemon.engine.chains import Source, begins_with, read_source
from cutoverd.daemon.engine.message import Message
from cutoverd.events.codec import decode, is_event
from cutoverd.events.subjects import RUNS, events_of, is_token

Say = Callable[[str], None]


@dataclass(frozen=True)
class PutBack:
    """What remains, into that stream; each action is said. Safe to do again."""

    remains: Remains
    client: Client
    say: Say
    check_leads: Callable[[], Awaitable[None]]  # raises what stops a restore that has the run no more

    async def all(self, saved: Path) -> None:
        """What a stream holds is kept in `saved` before it is deleted. Raises `Conflict` where an older daemon publishes, too."""
        unfinished_restore.begin(saved.parent)
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
            unfinished_restore.keep(saved)
            self.say(f"✔ what the stream held, {count} messages, is kept in {saved}")
            await self.check_leads()  # reading it takes long: nothing is deleted that a newer one has made meanwhile
        await make_anew(self.client, first_seq, is_there=is_there)
        self.say(f"✔ the stream is made anew, and begins at sequence {first_seq}")

    async def _events(self, run: str, messages: list[tuple[str, bytes]]) -> None:
        if messages:
            await put_back(self.client, events_of(run), messages, self.remains.key)
            self.say(f"✔ {len(messages)} events of run {run} are put back")

    def _anew(self, run: str) -> list[tuple[str, bytes]]:
        """Of a run that has ended, or whose events the stream held; what the ledger's key has not signed as it lay there."""
        held, chain = self.remains.held(run), self.remains.chain_of(run)
        if chain:
            return _with_ids(chain) if held or self.remains.end_of(run) else []
        return _as_they_lay(run, held)

    def _missing(self, run: str) -> list[tuple[str, bytes]]:
        """Of a run that has ended, or was deleted with the stream; nothing is put behind what does not begin so."""
        chain, there = self.remains.chain_of(run), self.remains.content.bodies(run)
        kept = self.remains.kept.events.get(run, []) if self.remains.kept else []
        if not chain:
            begins_so = there == tuple(each.data for each in kept[: len(there)])
            return _as_they_lay(run, kept)[len(there) :] if begins_so else []
        reading = read_source(run, self.remains.key, Source("the stream", there))
        may_follow = (kept or self.remains.end_of(run)) and begins_with(chain, reading) and not reading.broken
        return _with_ids(chain[reading.events :]) if may_follow else []

    def _ended(self) -> dict[str, str]:
        """The state in which each run ended, as far as stream and ledger tell."""
        ended = dict(self.remains.history.ends) | {run: end for run in self.remains.others() if (end := self.remains.end_of(run))}
        run = self.remains.run
        return ended | {run.name: run.state} if run.is_over else ended


def _as_they_lay(run: str, held: list[Message]) -> list[tuple[str, bytes]]:
    """Of another ledger, or of before there were keys; what only looks like a run stays in the file."""
    is_of_run = bool(held) and is_token(run) and is_event(held[0].data) and decode(held[0].data).run == run
    return [(each.id, each.data) for each in held] if is_of_run else []


def _with_ids(messages: list[bytes]) -> list[tuple[str, bytes]]:
    return [(decode(message).id, message) for message in messages]
