"""The clients of the demonstration: they read and write through the door all night, and say what they saw."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from psycopg import sql

from cutoverd.daemon.demo.environment import Stage
from cutoverd.daemon.host.polling import Polling
from cutoverd.events import facts
from cutoverd.events.codec import Recorded
from cutoverd.states.downtime import Downtime
from cutoverd.states.run import Run

BACK_SECONDS = 20.0  # until a write is acknowledged again, once the night is over
END_SECONDS = 60
POLL_SECONDS = 0.1


@dataclass
class Clients:
    """What they saw, once they have ended: {} if the example has none. An observer of the run log: it knows what was given up."""

    acknowledged: Path
    figures: dict[str, Any] = field(default_factory=dict)
    kept: dict[str, Any] = field(default_factory=dict)
    fenced_at_bytes: int = 0  # of `acknowledged`: what comes later can only be in new
    given_up: bool = False

    def __call__(self, run: Run, recorded: Recorded) -> None:
        match recorded.event:
            case facts.StepSucceeded(step=step, direction="forward") if (
                step == str(Downtime.fence_old) and self.acknowledged.exists()
            ):
                self.fenced_at_bytes = self.acknowledged.stat().st_size
            case facts.Transitioned(accept_loss=True):
                self.given_up = True

    @property
    def lost(self) -> bool:
        return bool(self.kept.get("missing"))

    @property
    def unknown(self) -> bool:
        """Nobody could look: production lets nobody in, say."""
        return "unknown" in self.kept

    def lines(self) -> list[str]:
        if not self.figures:
            return []
        load, kept = self.figures, self.kept
        requests = (
            f"clients:   {load['clients']} made {load['requests']:,} requests, {load['errors']:,} of them without an answer; "
            f"longest gap {load['longest_gap_seconds']:.1f} s"
        )
        if self.unknown:
            return [requests, f"writes:    they cannot be looked for: {kept['unknown']}"]
        return [
            requests,
            f"writes:    {kept['acknowledged']:,} acknowledged, {kept['missing']} of them missing in production, "
            f"which has the {kept['schema']} schema{self._given_up()}",
        ]

    def _given_up(self) -> str:
        """What `accept_loss` gave up is in new alone: neither in production nor lost."""
        kept = self.kept["kept"]
        return f"; {kept} more were made after the cutover and given up by accept_loss: new is kept, and has them" if kept else ""


@contextlib.contextmanager
def clients(set_up: Stage) -> Iterator[Clients]:
    """They are there inside of it; at its end each write that was acknowledged is looked for in production."""
    acknowledged = set_up.acknowledged
    found = Clients(acknowledged)
    if not set_up.example.written:
        yield found
        return
    acknowledged.touch()
    words = ["run", "--door", set_up.door_url, "--acknowledged", str(acknowledged)]
    with subprocess.Popen([sys.executable, "load.py", *words], cwd=set_up.home, stdout=subprocess.PIPE, text=True) as running:
        try:
            yield found
            _until_written(acknowledged)
            running.terminate()
            found.figures = json.loads(running.communicate(timeout=END_SECONDS)[0])
        finally:
            running.terminate()
    found.kept = _find_writes(set_up, found)


def _until_written(acknowledged: Path) -> None:
    """Production is back for clients, too; if it is not, their figures will say so."""
    before, polling = acknowledged.stat().st_size, Polling(BACK_SECONDS, pause_seconds=POLL_SECONDS)
    while acknowledged.stat().st_size == before and not polling.is_over:
        polling.pause_blocking()


def _find_writes(set_up: Stage, found: Clients) -> dict[str, Any]:
    url = set_up.postgres.url(set_up.example.database, set_up.example.application)
    words = ["check", "--acknowledged", str(found.acknowledged), "--url", url]
    if found.given_up:
        words += ["--kept", _kept(set_up), "--kept-from", str(found.fenced_at_bytes)]
    done = subprocess.run([sys.executable, "load.py", *words], cwd=set_up.home, capture_output=True, text=True, check=False)
    if not done.stdout:
        return {"unknown": done.stderr.strip()[-1000:]}  # production accepts nobody, after Stuck say
    return dict(json.loads(done.stdout))


def _kept(set_up: Stage) -> str:
    """The address of new, which a way back has closed and kept: open again, for a superuser who looks into it."""
    name = f"{set_up.example.database}_next"
    with set_up.postgres.connect() as connection:
        connection.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(sql.Identifier(name)))
    return set_up.postgres.url(name)
