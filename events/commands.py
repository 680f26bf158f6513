"""What operators say, on `cutover.cmd` or `cutover.cmd.<operator>`: a bare word, or JSON with the fields of `Command`."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from cutoverd.events.subjects import operator_of

LONGEST_NAME = 128
UNREADABLE = "\ufffd"
LONGEST_TTL_SECONDS = 366 * 24 * 3600.0


class Verb(StrEnum):
    """The imperative, and what it does."""

    ADVANCE = "advance"  # pass the gate that was reached
    HOLD = "hold"  # start no further step
    RESUME = "resume"  # end the hold
    RETRY = "retry"  # try again what failed in PreCheck, or the way back when Stuck
    ABORT = "abort"  # end the run in PreCheck
    ROLLBACK = "rollback"  # take the way back
    FAIL = "fail"  # report a failure seen outside
    READY = "ready"  # an operator whom the plan names is there, in PreCheck
    NOTE = "note"  # write a line into the timeline
    EXTEND = "extend"  # move the deadline of the window


class NotUnderstood(ValueError):
    """the message is not a command"""


class Command(BaseModel):
    """One command as it lies in the stream. `seq`, `sent_at` and `by` come from the bus, never from the payload."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True, defer_build=True, populate_by_name=True)

    verb: Verb
    id: str = Field(default_factory=lambda: uuid4().hex, max_length=LONGEST_NAME)
    run: str | None = Field(default=None, max_length=LONGEST_NAME)  # counts only for this run
    expect_state: str | None = Field(default=None, max_length=LONGEST_NAME)  # counts only in this state
    reason: str = Field(default="", max_length=4096)
    ttl: float | None = Field(default=None, gt=0, le=LONGEST_TTL_SECONDS)  # seconds after which it does not count
    now: bool = False  # hold: cancel the running step
    accept_loss: bool = False  # rollback: give up what was written since traffic was opened
    # extend: seconds; on the wire it is called `for`
    extension: float | None = Field(default=None, validation_alias="for", serialization_alias="for", gt=0, le=LONGEST_TTL_SECONDS)
    by: str | None = None
    seq: int = 0
    sent_at: datetime | None = None


_FROM_THE_BUS = {"by", "seq", "sent_at"}
_ON_THE_WIRE = {field.serialization_alias or name for name, field in Command.model_fields.items()}
VERBS = ", ".join(Verb)
_VERBS = frozenset(Verb)
_NAMED = ", ".join(f"{verb.value!r}" for verb in list(Verb)[:-1]) + f" or {list(Verb)[-1].value!r}"


def parse(subject: str, data: bytes, seq: int, sent_at: datetime) -> Command:
    """The command in a message; raises `NotUnderstood` with what was seen and what would be right."""
    by = _operator(subject)
    fields = _fields(data)
    if forged := _FROM_THE_BUS & fields.keys():
        raise NotUnderstood(f"a command cannot carry {', '.join(sorted(forged))}: who sent it, and when, is read from the bus")
    try:
        return Command.model_validate({**fields, "by": by, "seq": seq, "sent_at": sent_at})
    except ValidationError as error:
        raise NotUnderstood(format_problems(error)) from error


def _operator(subject: str) -> str | None:
    """Raises `NotUnderstood` for one who cannot be named again: what is not UTF-8 comes from the bus as U+FFFD."""
    by = operator_of(subject)
    if by and UNREADABLE in by:
        raise NotUnderstood(f"it came on {subject[:80]!r}, which is not UTF-8: nobody knows who said it")
    if by and len(by) > LONGEST_NAME:
        raise NotUnderstood(
            f"it came on {subject[:80]!r}…: an operator's name has {len(by)} characters, at most {LONGEST_NAME} can be"
        )
    return by


def _fields(data: bytes) -> dict[str, object]:
    try:
        text = data.decode().strip()
        fields = from_json(text) if text.startswith("{") else {"verb": text.lower()}  # bounded: 30 times faster where it is deep
    except ValueError as error:
        raise NotUnderstood(f"saw {data[:80]!r}: neither one word ({VERBS}) nor a JSON document in unicode") from error
    _check_names(fields)
    if nested := [name for name, value in fields.items() if isinstance(value, dict | list)]:  # deep ones cannot even be shown
        raise NotUnderstood(f"{nested[0][:80]!r} holds a list or an object, expected a word, a number, or true or false")
    return dict(fields)


def _check_names(fields: dict[str, object]) -> None:
    """Before the model looks: what it has to say of thousands of names, or of one long word, takes it milliseconds."""
    for name, value in fields.items():
        if name not in _ON_THE_WIRE:
            shown = "a list or an object" if isinstance(value, dict | list) else repr(str(value)[:80])
            raise NotUnderstood(f"{name[:80]}: saw {shown}; extra inputs are not permitted")
    verb = fields.get("verb")
    if isinstance(verb, str) and verb.strip() not in _VERBS:
        raise NotUnderstood(f"verb: saw {verb[:80]!r}; input should be {_NAMED}")


def format_problems(error: ValidationError) -> str:
    """The first mistake: where, what was seen, what is wrong with it."""
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])[:80]
    return f"{where}: saw {str(first['input'])[:80]!r}; {first['msg'].lower()}"


def encode(command: Command) -> bytes:
    """The JSON payload of a command, without what the bus says of it."""
    return command.model_dump_json(exclude=_FROM_THE_BUS, exclude_defaults=True, by_alias=True).encode()
