"""Where on the bus each kind of message lies. One stream holds all of them, so its sequence orders commands against events."""

from __future__ import annotations

import re

STREAM = "CUTOVER"
COMMANDS = "cutover.cmd"
RUNS = "cutover.runs"
EVENTS = "cutover.evt"
STATUS = "cutover.svc.status"  # a micro service's, and no part of the stream

# never `cutover.>`: it would catch `cutover.svc`, where a micro service answers
STREAM_SUBJECTS = [COMMANDS, f"{COMMANDS}.*", f"{EVENTS}.*", RUNS]

_TOKEN = re.compile(r"[A-Za-z0-9_-]+")


def is_token(name: str) -> bool:
    """Whether `name` can be one token of a subject: letters, digits, `-` and `_`."""
    return bool(_TOKEN.fullmatch(name))


def events_of(run: str) -> str:
    """The subject of all events of one run; raises ValueError for a name with a dot, a blank or a wildcard."""
    if not is_token(run):
        raise ValueError(f"run {run!r}: a run's name has only letters, digits, '-' and '_'")
    return f"{EVENTS}.{run}"


def status_of(run: str) -> str:
    """Where the daemon of one run tells how it stands."""
    return f"{STATUS}.{run}"


def commands_of(operator: str | None) -> str:
    """The subject an operator commands on; NATS permissions make it prove who sent a command. Raises `ValueError`."""
    if operator is None:
        return COMMANDS
    if not is_token(operator):
        raise ValueError(f"operator {operator!r}: a name has only letters, digits, '-' and '_'")
    return f"{COMMANDS}.{operator}"


def operator_of(subject: str) -> str | None:
    """Who sent a command, as its subject says; None for the subject that all share."""
    return subject.removeprefix(f"{COMMANDS}.") if subject.startswith(f"{COMMANDS}.") else None
