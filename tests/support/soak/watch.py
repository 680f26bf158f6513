"""Somebody who watches a disturbed run all the time: how far it is, whether anybody drives it, whether production is closed."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from itertools import pairwise

import psycopg
from support.night import Night
from support.rivals import DRIVES_SECONDS
from support.soak.fleet import Fleet

from cutoverd.events import facts
from cutoverd.events.codec import Recorded
from cutoverd.states.evolve import evolve
from cutoverd.states.run import Run

SAMPLE_SECONDS = 0.1
AFTERWARDS_SECONDS = 2.0  # what a disturbance still counts after its end: a server comes up, a client connects anew
GAP_SECONDS = 1.0  # longer than this between two samples, and nobody knows what was
PROBE_SECONDS = 5


@dataclass(frozen=True)
class Sample:
    """At one moment, in seconds since the epoch."""

    at: float
    is_calm: bool  # somebody drives, and nothing of the soak stands in his way


@dataclass
class Watch:
    """A thread of its own; alone to read the journal while the run goes on."""

    night: Night
    fleet: Fleet | None = None
    run: Run = field(init=False)
    leader: int = 0  # pid
    samples: list[Sample] = field(default_factory=list)
    undriven: list[str] = field(default_factory=list)  # production closed, and nobody drove
    adrift: list[str] = field(default_factory=list)  # the same while production was open
    error: BaseException | None = None
    _count: int = 0
    _lost_at: float | None = None  # monotonic seconds: since then nobody drives
    _stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.run = Run(self.night.run)
        self._thread = threading.Thread(target=self._watch)

    def begin(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self._thread.start()

    def end(self) -> None:
        self._stop.set()
        if self._thread.ident:
            self._thread.join()

    def calm_seconds(self, since: float, until: float) -> float:
        return calm_seconds(self.samples, since, until)

    def _watch(self) -> None:
        try:
            while not self._stop.wait(SAMPLE_SECONDS):
                self._sample()
        except BaseException as error:  # told by who waits for us
            self.error = error

    def _sample(self) -> None:
        assert self.fleet
        if not self.fleet.is_away("nats"):
            self._read(self.night.recorded())
        now, fleet = time.monotonic(), self.fleet
        drives = any(each.pid == self.leader and each.pid not in fleet.paused for each in fleet.living())
        undisturbed = not fleet.is_away() and not fleet.paused
        self.samples.append(Sample(time.time(), drives and undisturbed and now - fleet.disturbed_at > AFTERWARDS_SECONDS))
        if drives or not undisturbed or fleet.has_ended:
            self._lost_at = None
        elif self._lost_at is None:
            self._lost_at = now
        elif now - max(self._lost_at, fleet.disturbed_at) > DRIVES_SECONDS:
            (self.undriven if is_closed(self.night) else self.adrift).append(f"for {DRIVES_SECONDS:g} s in {self.run.state}")
            fleet.disturb()  # each once

    def _read(self, recorded: list[Recorded]) -> None:
        for each in recorded[self._count :]:
            self.run = evolve(self.run, each)
            if isinstance(each.event, facts.LeaderAcquired):
                self.leader = each.event.pid
        self._count = len(recorded)


def calm_seconds(samples: list[Sample], since: float, until: float) -> float:
    """How much of that time somebody drove undisturbed."""
    spans = pairwise(samples)
    return sum(
        max(0.0, min(after.at, until) - max(before.at, since))
        for before, after in spans
        if before.is_calm and after.is_calm and after.at - before.at < GAP_SECONDS
    )


def is_closed(night: Night) -> bool:
    """The application cannot log in where production's name leads."""
    try:
        with psycopg.connect(night.cluster.url(user="app_user"), connect_timeout=PROBE_SECONDS) as conn:
            conn.execute("SELECT 1 FROM store.machine LIMIT 1")
        return False
    except psycopg.Error:
        return True
