"""What is left of a run's journal, in the stream, the ledger and the run's folder, and what can be made of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from cutoverd.daemon.bus.connection import Client
from cutoverd.daemon.bus.content import Content, read_content
from cutoverd.daemon.bus.journal_file import FILE, read_lines
from cutoverd.daemon.bus.run_registry import History, history_of
from cutoverd.daemon.control.unfinished_restore import find_kept
from cutoverd.daemon.engine.anchor import Anchored
from cutoverd.daemon.engine.chains import Reading, Source, begins_with, longest_chain, read_source, recorded
from cutoverd.daemon.engine.copies import CopiedEvent
from cutoverd.daemon.engine.message import Message
from cutoverd.daemon.host.private_files import UnusableFile
from cutoverd.daemon.plan.load import LoadedPlan
from cutoverd.daemon.postgres.ledger import journal_copy, journal_key
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.runtime.drive import Anchors
from cutoverd.events.codec import hash_of
from cutoverd.events.facts import RunStarted
from cutoverd.events.mac import JournalKey
from cutoverd.states.errors import StepError
from cutoverd.states.evolve import evolve
from cutoverd.states.run import Run

MARGIN = 1000  # sequences that may have been given away, and that nobody of ours has seen
ELSEWHERE = "`cutoverd rollback --without-journal` takes production back by the ledger alone"
Copies = Mapping[str, list[CopiedEvent]]  # by run


class CannotRestore(StepError):
    """the journal cannot be made again"""


@dataclass(frozen=True)
class Remains:
    """Of one run's journal, and of the others that shared its stream."""

    run: Run  # as the longest chain leaves it; its sequences are not those of a stream
    key: JournalKey
    content: Content
    kept: Content | None  # by a restore that is not finished
    ledger: Copies
    files: Copies
    readings: Sequence[Reading]  # of stream, ledger and folder, and of what was kept
    chain: list[bytes]
    highest_seq: int  # that copies, anchors and commands on record know of
    anchors: Sequence[Anchored]

    @property
    def in_stream(self) -> Reading:
        return self.readings[0]

    @property
    def lost_end(self) -> int:
        """The sequence of an event that was acknowledged once, and that nobody has any more; 0 if none is known."""
        hashes = {hash_of(message) for message in self.chain}
        return max((anchor.seq for anchor in self.anchors if anchor.hash not in hashes), default=0)

    @property
    def is_whole(self) -> bool:
        """No copy has more than the stream, and a daemon can read that; and no restore has left other runs out."""
        is_complete = self.in_stream.events == len(self.chain) and not self.in_stream.broken and not self.lost_end
        return is_complete and self.kept is None

    @property
    def is_to_be_made_anew(self) -> bool:
        """What is missing cannot just be appended: it would lie too low, or behind what does not follow."""
        begins_so = begins_with(self.chain, self.in_stream)
        is_too_low = not self.content.is_there or self.content.last_seq < self.highest_seq
        return is_too_low or self._was_renumbered() or not begins_so or bool(self.in_stream.broken)

    def _was_renumbered(self) -> bool:
        """Whether it gives away sequences once more that an event of ours had that it has lost.

        Found: of a stream that was put back from a backup, a `rollback` that was said since lay below the position of the
        last command on record, and no daemon ever heard it.
        """
        held = {hash_of(message) for message in self.content.bodies(self.run.name)}
        copied = (*self.ledger.get(self.run.name, ()), *self.files.get(self.run.name, ()), *self.anchors)
        return any(each.seq >= self.content.first_seq and each.hash not in held for each in copied)

    @property
    def first_seq(self) -> int:
        """Of a stream that is made anew."""
        return max(self.highest_seq, self.content.last_seq) + MARGIN + 1

    @property
    def history(self) -> History:
        kept = self.kept.runs if self.kept else []
        return history_of([*kept, *self.content.runs], self.key.of_runs)

    @property
    def position(self) -> int:
        """Of the last command that the journal has taken into account, in the stream that is lost."""
        of_commands = [each.envelope.command_position for each in recorded(self.run.name, self.key, self.chain)]
        return max([*of_commands, self._started_seq()], default=0)

    def unanswered(self) -> list[str]:
        """Commands of a stream that is given up, which a daemon would have heard, or that were said after the last event."""
        last = recorded(self.run.name, self.key, self.chain)[-1].envelope.time
        given_up = [*(self.kept.commands if self.kept else ()), *(self.content.commands if self.is_to_be_made_anew else ())]
        return [
            f"{each.data.decode(errors='replace')} (on {each.subject} at {each.seq}, {each.at:%H:%M:%S})"
            for each in given_up
            if each.seq > self.position or each.at > last
        ]

    def unknown(self) -> int:
        """How many messages after the last command on record lie nowhere: commands may have been among them."""
        known = {each.seq for copy in (*self.ledger.values(), *self.files.values()) for each in copy}
        low = max(self.position, self.content.last_seq)
        return max(0, self.highest_seq - low - sum(low < seq <= self.highest_seq for seq in known))

    def chain_of(self, run: str) -> list[bytes]:
        """Of any run of the ledger."""
        return longest_chain(run, self.key, _sources(run, self.content, self.ledger, self.files, self.kept))

    def held(self, run: str) -> list[Message]:
        """What the stream has of a run's subject, or had before a restore deleted it."""
        return self.content.events.get(run) or (self.kept.events.get(run, []) if self.kept else [])

    def others(self) -> Iterator[str]:
        """Further runs of the ledger, and those whose events lie in the stream."""
        kept = self.kept.events.keys() if self.kept else set[str]()
        yield from sorted((self.ledger.keys() | self.files.keys() | self.content.events.keys() | kept) - {self.run.name})

    def end_of(self, run: str) -> str:
        """The state in which it ended; "" of one that is open, or of which nothing can be read."""
        ended = evolved(run, self.key, self.chain_of(run))
        return ended.state if ended.is_over else self.history.ends.get(run, "")

    def _started_seq(self) -> int:
        events = recorded(self.run.name, self.key, self.chain)
        hashes = {hash_of(self.chain[each.seq - 1]) for each in events if isinstance(each.event, RunStarted)}
        copied = [*self.ledger.get(self.run.name, ()), *self.files.get(self.run.name, ())]
        return max((each.seq for each in copied if each.hash in hashes), default=0)


async def read_remains(loaded: LoadedPlan, server: Server, client: Client | None) -> Remains:
    """Raises `CannotRestore` where there is nothing to make it from, and what reading raises."""
    run, key = loaded.plan.run, await journal_key.find_all(server)
    if key is None:
        raise CannotRestore("the ledger has no key and no copies: an earlier version has driven this run", hint=ELSEWHERE)
    content, ledger, files = await read_content(client), await journal_copy.read_all(server), dict(_files(loaded))
    kept = find_kept(loaded.run_dir)
    sources = _sources(run, content, ledger, files, kept)
    chain = longest_chain(run, key, sources)
    anchors = [each for each in await _anchors(loaded, server) if each]
    remains = Remains(
        run=evolved(run, key, chain),
        key=key,
        content=content,
        kept=kept,
        ledger=ledger,
        files=files,
        readings=[read_source(run, key, source) for source in sources],
        chain=chain,
        highest_seq=max([await journal_copy.highest_seq(server), *_sequences(run, key, chain, files, anchors, kept)]),
        anchors=anchors,
    )
    if remains.run.plan is None:
        places = "; ".join(f"{each.source.name}: {each.foreign} messages not of the ledger's key" for each in remains.readings)
        raise CannotRestore(f"nowhere is the beginning of run {run} ({places})", hint=ELSEWHERE)
    return remains


def evolved(run: str, key: JournalKey, chain: Sequence[bytes]) -> Run:
    state = Run(run)
    for each in recorded(run, key, chain):
        state = evolve(state, each)
    return state


def _sources(run: str, content: Content, ledger: Copies, files: Copies, kept: Content | None) -> list[Source]:
    """The stream decides where all are of a length, then the ledger."""
    of_kept = [Source("what an unfinished restore has kept", kept.bodies(run))] if kept else []
    return [
        Source("the stream", content.bodies(run)),
        Source("the ledger", tuple(each.body for each in ledger.get(run, ()))),
        Source("the run's folder", tuple(each.body for each in files.get(run, ()))),
        *of_kept,
    ]


def _files(loaded: LoadedPlan) -> Iterator[tuple[str, list[CopiedEvent]]]:
    """The copies in the folders of this and other runs."""
    for folder in sorted(_folders(loaded.run_dir.parent)):
        try:
            if copied := list(read_lines(folder / FILE)):
                yield folder.name, copied
        except UnusableFile:
            continue


def _folders(runs: Path) -> list[Path]:
    return [each for each in runs.iterdir() if each.is_dir()] if runs.is_dir() else []


async def _anchors(loaded: LoadedPlan, server: Server) -> list[Anchored | None]:
    async with aclosing(Anchors(loaded, server)) as anchors:
        return [await anchor.load() for anchor in anchors.all]


def _sequences(
    run: str, key: JournalKey, chain: Sequence[bytes], files: Copies, anchors: Sequence[Anchored], kept: Content | None
) -> Iterator[int]:
    yield from (each.seq for copy in files.values() for each in copy)
    yield from (anchor.seq for anchor in anchors)
    yield from (each.envelope.command_position for each in recorded(run, key, chain))
    yield kept.last_seq if kept else 0
