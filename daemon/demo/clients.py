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

from cutoverd.daemon.demo.stage import Stage

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
        return bool(self.kept.get("missing"))

    def lines(self) -> list[str]:
        if not self.saw:
            return []
        seen, kept = self.saw, self.kept
        return [
            f"clients:   {seen['clients']} made {seen['requests']:,} requests, {seen['errors']:,} of them without an answer; "
            f"longest gap {seen['longest_gap_seconds']:.1f} s",
            f"writes:    {kept['acknowledged']:,} acknowledged, {kept['missing']} of them missing in production, "
            f"which has the {kept['schema']} schema",
        ]


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
    done = subprocess.run([sys.executable, "load.py", *words], cwd=set_up.home, capture_output=True, text=True, check=False)
    if not done.stdout:
        raise RuntimeError(f"what clients wrote cannot be looked for: {done.stderr[-1000:]}")
    return dict(json.loads(done.stdout))
