"""Which run is open. One open run per stream; an ended run's name is never used again.

What others publish there is stepped over and logged: it must stop no daemon.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from cutoverd.daemon.bus.errors import RunEnded, RunOpen
from cutoverd.daemon.engine.errors import Conflict
from cutoverd.daemon.engine.message import EventLog, Message
from cutoverd.daemon.host.log import Logger
from cutoverd.events.mac import JournalKey, is_signed
from cutoverd.events.subjects import RUNS, events_of

log = Logger(__name__)

STEPS_OVER = "steps over them"
OPENED, CLOSED = "run_opened", "run_closed"


@dataclass
class History:
    """What the runs subject tells."""

    open: str | None = None
    ends: dict[str, str] = field(default_factory=dict)  # of runs that were closed: "completed", …
    messages: list[Message] = field(default_factory=list)  # that count
    foreign: int = 0  # messages that are none of the daemons' of this ledger
    foreign_seq: int = 0  # of the first of them


class Runs:
    """The runs of one stream, over `cutover.runs`."""

    def __init__(self, log: EventLog, key: JournalKey | None = None) -> None:
        """Without a key whose the messages are is not verified."""
        self._log = log
        self._key = key and key.of_runs

    async def current(self) -> str | None:
        """The open run's name."""
        return (await self.history()).open

    async def open_run(self, run: str) -> None:
        """Open `run`, or find it open; raises `RunOpen`, `RunEnded`, ValueError for a name that cannot be a subject's token."""
        events_of(run)
        while not await self.check_free(run):
            if await self._append({"type": OPENED, "run": run}):
                return

    async def check_free(self, run: str) -> bool:
        """Whether `run` is the open one already; raises `RunOpen` if another is, `RunEnded` if it was."""
        history = await self.history()
        if history.open not in (None, run):
            raise RunOpen(f"run {run!r} cannot be opened: run {history.open!r} is open on this stream")
        if run in history.ends:
            raise RunEnded(f"run {run!r} has ended already ({history.ends[run]})", end=history.ends[run])
        return history.open == run

    async def close_run(self, run: str, end: str) -> None:
        """Close `run`, or find it closed with the same `end`; raises `RunEnded` if it has another end or was never opened."""
        while True:
            history = await self.history()
            if history.ends.get(run) == end:
                return
            if history.open != run:
                known = f"has ended as {history.ends[run]!r}" if run in history.ends else "was never opened"
                raise RunEnded(f"run {run!r} cannot be closed as {end!r}: it {known}", hint="see `cutoverd status`")
            if await self._append({"type": CLOSED, "run": run, "end": end}):
                return

    async def history(self) -> History:
        """Read from the leader."""
        history = history_of([message async for message in self._log.replay()], self._key)
        if history.foreign:  # one line: of a flood, too
            log.warning("foreign_messages", subject=RUNS, count=history.foreign, first_seq=history.foreign_seq, doing=STEPS_OVER)
        return history

    async def put_back(self, ended: Mapping[str, str], run: str) -> None:
        """Into a stream that was restored: runs that have ended elsewhere, as far as it does not know them; then `run` is open.

        Raises as `open_run`.
        """
        history = await self.history()
        for name in sorted(ended.keys() - history.ends.keys() - {run}):
            for body in ({"type": OPENED, "run": name}, {"type": CLOSED, "run": name, "end": ended[name]}):
                while not await self._append(body):
                    await self.history()
        if run not in history.ends:
            await self.open_run(run)
        if run in ended:
            await self.close_run(run, ended[run])

    async def _append(self, body: dict[str, str]) -> bool:
        """False if somebody else was faster: look again."""
        document = json.dumps(body, sort_keys=True).encode()
        try:
            await self._log.append(uuid4().hex, self._key.sign(document) if self._key else document)
        except Conflict:
            return False
        return True


def history_of(messages: Iterable[Message], key: JournalKey | None) -> History:
    """What they tell; `key` is that of the runs."""
    history = History()
    for message in messages:
        body = _parsed(message.data)
        if body is not None and _is_ours(message.data, body["run"], history, key) and _apply(history, body):
            history.messages.append(message)
            continue
        history.foreign += 1
        history.foreign_seq = history.foreign_seq or message.seq
    return history


def _is_ours(data: bytes, run: str, before: History, key: JournalKey | None) -> bool:
    """None without a MAC counts after the first of ours that has one."""
    if key is None:
        return True
    if is_signed(data):
        return key.has_signed(data)
    return run in key.unsigned_runs and not any(is_signed(each.data) for each in before.messages)


def _apply(history: History, body: dict[str, str]) -> bool:
    """False for one that was published again: a run is opened once, and closed once."""
    run = body["run"]
    if body["type"] == OPENED:
        if run in history.ends or history.open == run:
            return False
        history.open = run
        return True
    if history.open != run:
        return False
    history.open, history.ends[run] = None, body["end"]
    return True


def _parsed(data: bytes) -> dict[str, str] | None:
    try:
        body: Any = json.loads(data)
        if body["type"] == OPENED and isinstance(body["run"], str):
            return dict(body)
        if body["type"] == CLOSED and isinstance(body["run"], str) and isinstance(body["end"], str):
            return dict(body)
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    return None
