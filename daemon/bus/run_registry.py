"""Which run is open. One open run per stream; an ended run's name is never used again."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from cutoverd.daemon.bus.errors import RunEnded, RunOpen
from cutoverd.daemon.engine.errors import Conflict, LogRegressed
from cutoverd.daemon.engine.message import EventLog
from cutoverd.events.subjects import events_of

OPENED, CLOSED = "run_opened", "run_closed"


@dataclass
class History:
    """What the runs subject tells."""

    open: str | None = None
    ends: dict[str, str] = field(default_factory=dict)  # of runs that were closed: "completed", …


class Runs:
    """The runs of one stream, over `cutover.runs`."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

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
            raise RunEnded(f"run {run!r} has ended already ({history.ends[run]})")
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
        """Read from the leader; raises `LogRegressed` for a message that is none of ours."""
        history = History()
        async for message in self._log.replay():
            _apply(history, _read(message.data))
        return history

    async def _append(self, body: dict[str, str]) -> bool:
        """False if somebody else was faster: look again."""
        try:
            await self._log.append(uuid4().hex, json.dumps(body, sort_keys=True).encode())
        except Conflict:
            return False
        return True


def _apply(history: History, body: dict[str, Any]) -> None:
    if body["type"] == OPENED:
        history.open = body["run"]
    else:
        history.open = None
        history.ends[body["run"]] = body["end"]


def _read(data: bytes) -> dict[str, Any]:
    try:
        body = json.loads(data)
        if body["type"] == OPENED and isinstance(body["run"], str):
            return dict(body)
        if body["type"] == CLOSED and isinstance(body["run"], str) and isinstance(body["end"], str):
            return dict(body)
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise LogRegressed(
        f"a message on the runs subject is not one of the daemon's: {data[:200]!r}",
        hint="only the daemon's NATS user may publish there; look who else can",
    )
