"""What must be none after a disturbed run: pure functions of what was recorded, tried in tests/unit/test_soak_counts.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from support.soak.operator import SentCommand

from cutoverd.events import facts
from cutoverd.events.codec import Recorded

DEAF_SECONDS = 15.0  # of calm, in which a daemon that nothing disturbs has not answered a command
HUNG_SECONDS = 30.0  # of calm between two events of a run
OUTAGE_SECONDS = 40.0  # after which no server that was away is a reason for exit code 1
CalmSeconds = Callable[[float, float], float]


def lost_writes(
    acknowledged: Sequence[str], in_production: set[str], given_up: set[str], journal: Sequence[Recorded]
) -> list[str]:
    """Acknowledged writes that production lacks; with an accepted loss, that new lacks as well, which is kept."""
    accepted = any(isinstance(each.event, facts.Transitioned) and each.event.accept_loss for each in journal)
    return sorted(set(acknowledged) - in_production - (given_up if accepted else set()))


def answered_at(journal: Sequence[Recorded], seq: int) -> float | None:
    """When the command that lies there was taken or refused, alone or among others, in seconds since the epoch."""
    return next((each.envelope.time.timestamp() for each in journal if _answers(each, seq)), None)


def _answers(each: Recorded, seq: int) -> bool:
    if isinstance(each.event, facts.CommandsRejected):
        return each.event.first.seq <= seq <= each.event.last.seq
    return each.envelope.command_position == seq


def unanswered(sent: Sequence[SentCommand], journal: Sequence[Recorded], calm_seconds: CalmSeconds) -> tuple[list[str], float]:
    """The commands to which the daemon was deaf; and the longest calm time that an answer took.

    The end of the run answers all that was sent to it until then.
    """
    over = next((at.envelope.time.timestamp() for at in journal if _is_end(at)), float("inf"))
    waited = {each: calm_seconds(each.at, min(answered_at(journal, each.seq) or over, over)) for each in sent}
    deaf = [f"{each.word} at {each.seq}: {seconds:.1f} s" for each, seconds in waited.items() if seconds > DEAF_SECONDS]
    return deaf, max(waited.values(), default=0.0)


def stepped_over(sent: Sequence[SentCommand], journal: Sequence[Recorded]) -> list[str]:
    """Commands that nobody answered, although one that came later was."""
    last = max((each.envelope.command_position for each in journal), default=0)
    return [f"{each.word} at {each.seq}: stepped over" for each in sent if each.seq < last and not answered_at(journal, each.seq)]


def _is_end(each: Recorded) -> bool:
    return isinstance(each.event, facts.Transitioned) and each.event.target in ("completed", "rolledback", "aborted")


def hung(journal: Sequence[Recorded], calm_seconds: CalmSeconds) -> list[str]:
    """Found: a word took a minute to end a step, and every run still ended whole."""
    spans = [(a, calm_seconds(a.envelope.time.timestamp(), b.envelope.time.timestamp())) for a, b in pairwise(journal)]
    return [f"nothing for {seconds:.0f} s after {each.event!r}" for each, seconds in spans if seconds > HUNG_SECONDS]


def errors_by_themselves(errors: Sequence[tuple[float, float]], journal: Sequence[Recorded]) -> list[str]:
    """Daemons that ended by exit code 1 (when, and how many seconds after a disturbance) with nothing to explain it.

    One that is started when the run is over says so by it.
    """
    over = next((at.envelope.time.timestamp() for at in journal if _is_end(at)), float("inf"))
    return [f"exit code 1, {calm:.0f} s after anything was done" for at, calm in errors if calm > OUTAGE_SECONDS and at < over]


def tracebacks(output: str) -> list[str]:
    return [line for line in output.splitlines() if line.startswith("Traceback") or "Traceback (most recent" in line]
