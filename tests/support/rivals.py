"""Several daemons of one run, each from a folder of its own, as on a machine of its own; NATS and PostgreSQL are shared."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

from support.night import Night, until
from support.preloaded import Process
from support.takeovers import acted_when_older, commanded_when_older

from cutoverd.events import facts

SHARED = (
    "schema",
    "data",
    "late",
    "validate",
    "systems",
    "knobs",
    "backups",
    "ctl.py",
    "ctl.sh",
    "witness.jsonl",
    "state/nats",
)
DRIVES_SECONDS = 15.0  # after the last start or SIGCONT


@dataclass
class Rivals:
    """Daemons of one run that may overlap in any way."""

    night: Night
    random: random.Random
    alive: list[Process] = field(default_factory=list)
    folders: int = 0

    def start(self, *options: str) -> Process:
        daemon = self.night.start_plan(self.furnish_machine(), *options)
        self.alive.append(daemon)
        return daemon

    def furnish_machine(self) -> Path:
        """A plan in a copy of the folder whose `state` no other daemon has; the embedded NATS is the one of the night's own."""
        self.folders += 1
        home = self.night.folder / f"machine{self.folders}"
        (home / "state").mkdir(parents=True)
        (self.night.folder / "backups").mkdir(mode=0o700, exist_ok=True)
        for name in SHARED:
            (home / name).symlink_to(self.night.folder / name)
        return Path(shutil.copy(self.night.plan_file, home))  # a link would be followed to the night's own folder

    def overlap(self) -> None:
        """Two or three more at once, and pauses at any moment of what they do; all go on in the end."""
        for _ in range(self.random.randint(2, 3)):
            self.start()
            time.sleep(self.random.uniform(0, 0.3))
        for _ in range(self.random.randint(0, 4)):
            time.sleep(self.random.uniform(0, 0.8))
            self.pause_for(self.random.choice(self.alive), self.random.uniform(0.05, 1.5))

    def pause_for(self, daemon: Process, seconds: float) -> None:
        if daemon.poll() is None:
            os.kill(daemon.pid, signal.SIGSTOP)
            time.sleep(seconds)
            os.kill(daemon.pid, signal.SIGCONT)

    def settle(self) -> Process:
        """The one that drives; the others have ended by exit code 7. By the journal's last word on who leads."""
        until(self._one_drives, f"one daemon drives\n{self.night.output[-4000:]}", DRIVES_SECONDS)
        codes = {daemon.returncode for daemon in self.alive if daemon.poll() is not None}
        assert codes <= {7}, f"{codes}\n{self._last_words()}"
        self.assert_the_older_ones_were_still()
        self.alive = [daemon for daemon in self.alive if daemon.poll() is None]
        return self.alive[0]

    def assert_the_older_ones_were_still(self) -> None:
        """Whoever was led past wrote no event after that, and began no command."""
        journal = self.night.recorded()
        assert acted_when_older(journal) == []
        assert commanded_when_older(journal, self.night.witnessed()) == []

    def _one_drives(self) -> bool:
        living = [daemon for daemon in self.alive if daemon.poll() is None]
        leaders = self.night.events(facts.LeaderAcquired)
        assert living, f"nobody drives: {[daemon.returncode for daemon in self.alive]}\n{self.night.output[-4000:]}"
        return len(living) == 1 and bool(leaders) and leaders[-1].pid == living[0].pid

    def _last_words(self) -> str:
        """All that is no event."""
        return "\n".join(line for line in self.night.output.splitlines() if line[2:3] != ":" and line[:11].strip())[-8000:]
