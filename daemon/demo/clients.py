"""The clients of the demonstration: they read and write through the door all night, and say what they saw."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from psycopg import sql

from cutoverd.daemon.demo.stage import Break, Stage

BACK_SECONDS = 20.0  # until a write is acknowledged again, once the night is over
END_SECONDS = 60
LOOK_SECONDS = 0.1


@dataclass
class Clients:
    """What they saw, once they have ended: {} if the example has none."""

    saw: dict[str, Any] = field(default_factory=dict)
    kept: dict[str, Any] = field(default_factory=dict)

    @property
    def lost(self) -> bool:
        return bool(self.kept.get("missing") or self.kept.get("unknown"))

    def lines(self) -> list[str]:
        if not self.saw:
            return []
        seen, kept = self.saw, self.kept
        told = (
            f"clients:   {seen['clients']} made {seen['requests']:,} requests, {seen['errors']:,} of them without an answer; "
            f"longest gap {seen['longest_gap_seconds']:.1f} s"
        )
        if "unknown" in kept:
            return [told, f"writes:    they cannot be looked for: {kept['unknown']}"]
        return [
            told,
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
    found = Clients()
    if not set_up.example.written:
        yield found
        return
    acknowledged = set_up.folder / "acknowledged.jsonl"
    acknowledged.touch()
    words = ["run", "--door", set_up.door_url, "--acknowledged", str(acknowledged)]
    with subprocess.Popen([sys.executable, "load.py", *words], cwd=set_up.home, stdout=subprocess.PIPE, text=True) as running:
        try:
            yield found
            _until_written(acknowledged)
            running.terminate()
            found.saw = json.loads(running.communicate(timeout=END_SECONDS)[0])
        finally:
            running.terminate()
    found.kept = _looked_for(set_up, acknowledged)


def _until_written(acknowledged: Path) -> None:
    """Production is back for clients, too; if it is not, their figures will say so."""
    before, deadline = acknowledged.stat().st_size, time.monotonic() + BACK_SECONDS
    while acknowledged.stat().st_size == before and time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS)


def _looked_for(set_up: Stage, acknowledged: Path) -> dict[str, Any]:
    url = set_up.postgres.url(set_up.example.database, set_up.example.application)
    words = ["check", "--acknowledged", str(acknowledged), "--url", url]
    if kept := _kept(set_up):
        words += ["--kept", kept]
    done = subprocess.run([sys.executable, "load.py", *words], cwd=set_up.home, capture_output=True, text=True, check=False)
    if not done.stdout:
        return {"unknown": done.stderr.strip()[-1000:]}  # production accepts nobody, after Stuck say
    return dict(json.loads(done.stdout))


def _kept(set_up: Stage) -> str | None:
    """The address of new if a way back from Monitor has closed and kept it: open again, for a superuser who looks into it."""
    name = f"{set_up.example.database}_next"
    with set_up.postgres.connect() as connection:
        found = connection.execute("SELECT FROM pg_database WHERE datname = %s", (name,)).fetchone()
        if set_up.broken is not Break.MONITOR or found is None:
            return None
        connection.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(sql.Identifier(name)))
    return set_up.postgres.url(name)
