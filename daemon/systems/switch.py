"""A change counts once it was seen: ask for it, then look until it is there or the time is up.

A change that was asked for but never seen (time-out, killed daemon) may still come: a service that drains says "running"
and dies a minute later. So what was begun is noted in the run's folder before it is asked for, and the note goes once it
was seen. While the note is there, neither "already so" nor "never happened" is believed at first sight.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cutoverd.daemon.engine.step_executor import always_leads
from cutoverd.daemon.systems.pending_change import PendingChange
from cutoverd.states.errors import CheckFailed, OutcomeUnknown, StepError, TimedOut
from cutoverd.states.ports import AttemptId, Evidence

POLL_SECONDS = 0.1  # between two polls at first; they grow apart
POLL_SECONDS_MAX = 1.0
OUTPUT_CHARS_MAX = 400
SIGNALLED = 128  # from there on a shell tells of signals; a negative exit is one


@dataclass(frozen=True)
class SwitchTimeouts:
    """How long things may take, in seconds."""

    change_seconds: float = 60  # from asking for a change to seeing it
    status_seconds: float = 10  # one poll
    settle_seconds: float = 2  # how long a change that was refused, or begun by somebody else, may still come
    silent_seconds: float = 10  # how long a status may answer one and the same that is no answer, after a stop


DEFAULT_TIMEOUTS = SwitchTimeouts()


@dataclass(frozen=True)
class SwitchWords:
    """How a switch is spoken of: its two states, and what is asked of it to get there."""

    on: str
    off: str
    turn_on: str
    turn_off: str

    def state(self, on: bool) -> str:
        return self.on if on else self.off

    def verb(self, on: bool) -> str:
        return self.turn_on if on else self.turn_off


SERVICE = SwitchWords("running", "stopped", "start", "stop")
DOOR = SwitchWords("open", "closed", "open", "close")


class SilentStatus:
    """A status that exits 1 again and again does not say "not yet": that is how it says "stopped", against its contract.

    Only after a stop: what starts may well fail to answer until it is up, and then it does. What a signal ended, or the
    time-out, is no answer of its own, and gets all the time there is.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds, self._exit, self._since = seconds, 0, 0.0

    def is_for_good(self, unknown: OutcomeUnknown | None) -> bool:
        code, now = (unknown.evidence.get("exit") or 0) if unknown else 0, time.monotonic()
        if code != self._exit:
            self._exit, self._since = code, now
        return 0 < code < SIGNALLED and now - self._since >= self._seconds


def last_output(evidence: Evidence) -> str:
    """The end of what a command said, for the end of a message; more of it is in the evidence."""
    output = str(evidence.get("output", "")).strip()
    cut = "…" if len(output) > OUTPUT_CHARS_MAX else ""
    return f"; it said: {cut}{output[-OUTPUT_CHARS_MAX:]}" if output else ""


@dataclass(frozen=True)
class Switch:
    """One service or door, and how it is seen and changed."""

    what: str  # "service api (old)"
    words: SwitchWords
    status: Callable[[float], Awaitable[bool]]
    turn: Mapping[bool, Callable[[AttemptId, float], Awaitable[Evidence]]]
    timeouts: SwitchTimeouts
    begun: PendingChange
    leads: Callable[[], Awaitable[bool]] = always_leads  # false if nobody could be asked; raises `NotLeader`

    async def is_on(self) -> bool:
        """What is seen, once a change that was begun has had its time to come; raises `OutcomeUnknown`."""
        try:
            on = await self.status(self.timeouts.status_seconds)
        except OutcomeUnknown as unknown:
            raise self._unknown(unknown) from unknown
        if self.begun.read() in (None, self.words.verb(on)):
            return on
        flipped = bool(await self._poll_until(not on, self.timeouts.settle_seconds))
        return on != flipped

    async def change(self, attempt_id: AttemptId, wanted: bool) -> Evidence:
        """{"found", "command", "exit", "seconds", "looks"}; {"found": "already …"} if nothing had to be asked."""
        found = await self.is_on()
        # With the opposite begun and never seen, "already so" may be about to end: ask all the same.
        if found is wanted and self.begun.read() in (None, self.words.verb(wanted)):
            self.begun.clear()
            return {"found": f"already {self.words.state(wanted)}"}
        return {"found": self.words.state(found), **await self._ask(attempt_id, wanted)}

    async def change_or_take_back(self, attempt_id: AttemptId, wanted: bool) -> Evidence:
        """As `change`; cancelled after it asked, it asks for the opposite, sees to that, and lets `CancelledError` through.

        Found: a daemon whose start was ended by a takeover stopped what the newer one had started meanwhile. Who cannot be told
        that he still leads takes nothing back.
        """
        try:
            return await self.change(attempt_id, wanted)
        except asyncio.CancelledError:
            if self.begun.read() == self.words.verb(wanted):
                with contextlib.suppress(StepError):  # the note stays, and whoever comes next does not trust what he sees
                    if await self.leads():
                        await self._ask(attempt_id, not wanted)
            raise

    async def _ask(self, attempt_id: AttemptId, wanted: bool) -> dict[str, Any]:
        """Found: a daemon that had stood still while it asked the status opened a door that a newer one had opened."""
        await self.leads()
        self.begun.write(self.words.verb(wanted))
        began = time.monotonic()
        evidence = dict(await self.turn[wanted](attempt_id, self.timeouts.change_seconds))
        left = self.timeouts.change_seconds - (time.monotonic() - began)
        polls = await self._poll_until(wanted, left if evidence.get("exit") == 0 else self.timeouts.settle_seconds)
        evidence["seconds"] = round(time.monotonic() - began, 3)
        if not polls:
            raise self._not_reached(wanted, evidence)
        self.begun.clear()
        return {**evidence, "looks": polls}

    async def _poll_until(self, wanted: bool, seconds: float) -> int:
        """How many polls it took, at least one; 0: it did not come. Raises `OutcomeUnknown` if the last one gave no answer."""
        end, pause, polls = time.monotonic() + seconds, POLL_SECONDS, 0
        silent = SilentStatus(self.timeouts.silent_seconds)
        while True:
            unknown = None
            polls += 1
            try:
                if await self.status(self.timeouts.status_seconds) is wanted:
                    return polls
            except OutcomeUnknown as error:
                unknown = error
            if (left := end - time.monotonic()) <= 0 or (not wanted and silent.is_for_good(unknown)):
                break
            await asyncio.sleep(min(pause, left))
            pause = min(pause * 1.5, POLL_SECONDS_MAX)
        if unknown:
            raise self._unknown(unknown) from unknown
        return 0

    def _unknown(self, unknown: OutcomeUnknown) -> OutcomeUnknown:
        hint = unknown.hint or f"see why {self.what} does not say whether it is {self.words.on}"
        return OutcomeUnknown(f"{self.what}: {unknown}", hint=hint, evidence=unknown.evidence)

    def _not_reached(self, wanted: bool, evidence: dict[str, Any]) -> StepError:
        verb, state, exit_code = self.words.verb(wanted), self.words.state(not wanted), evidence.get("exit")
        command = evidence.get("command", verb)
        ended = "did not end in time" if exit_code is None else f"exited {exit_code}"
        return (CheckFailed if exit_code else TimedOut)(
            f"{self.what}: {verb} {ended}, status still says {state} after {evidence['seconds']:.1f} s,"
            f" expected {self.words.state(wanted)}{last_output(evidence)}",
            hint=f"run {command} by hand and see why; if it only needs longer, raise its time-out in the plan",
            evidence={**evidence, "status": state},
        )
