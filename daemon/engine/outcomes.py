"""How an attempt at a step ends: the event that tells what was observed, and nothing that was not."""

from __future__ import annotations

import json
from typing import Any

from cutoverd.daemon.engine.truncate import shortened
from cutoverd.daemon.host.log import Logger
from cutoverd.daemon.progress import format_limit
from cutoverd.events import facts
from cutoverd.states.errors import NotLeader, OutcomeUnknown, StepError, TimedOut
from cutoverd.states.ports import Evidence
from cutoverd.states.run import StepKey

log = Logger(__name__)

LARGEST_EVIDENCE_BYTES = 40 * 1024  # a message has 64 KiB
LARGEST_TEXT_BYTES = 6 * 1024
MOST_ATTEMPTS = 6  # at a step whose outcome stays unknown, until it counts as failed


def succeeded(key: StepKey, direction: str, seconds: float, evidence: Evidence) -> facts.StepSucceeded:
    return facts.StepSucceeded(step=str(key), direction=direction, seconds=round(seconds, 3), evidence=bounded(evidence))


def interrupted(key: StepKey, direction: str, seconds: float, reason: str) -> facts.StepInterrupted:
    return facts.StepInterrupted(step=str(key), direction=direction, seconds=round(seconds, 3), reason=short(reason))


def ended_by(
    error: Exception,
    key: StepKey,
    direction: str,
    seconds: float,
    attempt: int,
    *,
    connection_lost: tuple[type[Exception], ...] = (),
) -> facts.StepFailed | facts.StepInterrupted:
    """The event for an error: a failure, or an outcome that nobody saw. Raises `NotLeader` on: this daemon must stop.

    `connection_lost`: errors of the adapters that say nothing of what happened at the other end.
    """
    if isinstance(error, NotLeader):
        raise error
    if isinstance(error, (OutcomeUnknown, *connection_lost)) and attempt % MOST_ATTEMPTS:
        return interrupted(key, direction, seconds, _format_message(error))
    error = with_limit(error, seconds)
    if not isinstance(error, StepError):
        log.error("step_failed_unexpectedly", step=str(key), exc_info=error)
    return facts.StepFailed(
        step=str(key),
        direction=direction,
        seconds=round(seconds, 3),
        error=type(error).__name__,
        reason=short(_format_message(error)),
        hint=short(getattr(error, "hint", "")),
        evidence=bounded(getattr(error, "evidence", {})),
    )


def with_limit(error: Exception, seconds: float) -> Exception:
    """A `TimeoutError`, which says nothing by itself, in words; any other error as it is."""
    if not isinstance(error, TimeoutError):
        return error
    waited = f": {reason}" if (reason := str(error).strip()) else ""
    return TimedOut(f"not done after {format_limit(seconds)}{waited}")


def short(text: str) -> str:
    """A text that fits a message."""
    return str(shortened(text, LARGEST_TEXT_BYTES))


def _format_message(error: Exception) -> str:
    return str(error).strip() or type(error).__name__


def bounded(evidence: Evidence) -> dict[str, Any]:
    """Evidence that fits a message: what is too long keeps its beginning, and says how much is missing."""
    given: dict[str, Any] = json.loads(json.dumps(dict(evidence), default=str))
    cut: dict[str, Any] = shortened(given, LARGEST_EVIDENCE_BYTES)
    return cut
