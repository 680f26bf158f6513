"""What `cutoverd journal restore` says before it does anything."""

from __future__ import annotations

from collections.abc import Iterator

from cutoverd.daemon.control.lost_journal import Remains
from cutoverd.daemon.engine.chains import recorded
from cutoverd.events.subjects import STREAM
from cutoverd.states.run import Run

SHOWN = 20  # commands


def describe(remains: Remains) -> list[str]:
    return [*_holdings(remains), *(_nothing(remains) if remains.is_whole else _doings(remains))]


def loss(remains: Remains) -> str:
    """Why the run is held afterwards; "" if all that was acknowledged is there."""
    if not remains.lost_end:
        return ""
    return (
        f"the end of the journal is lost: the event at sequence {remains.lost_end} was acknowledged, and no copy has it; "
        f"restored up to event {len(remains.chain)}. Look what was done since, then `resume` or `rollback`"
    )


def _holdings(remains: Remains) -> Iterator[str]:
    for each in remains.readings:
        count = each.foreign + (remains.content.foreign[remains.run.name] if each is remains.in_stream else 0)
        foreign = f", and {count} messages that are not of the ledger's key" if count else ""
        broken = f", and then: {each.broken}" if each.broken else ""
        there = f"{each.events} events{foreign}{broken}"
        is_missing = each.source.name == "the stream" and not remains.content.is_there
        yield f"run {remains.run.name}: {each.source.name} {'is not there' if is_missing else f'has {there}'}"


def _nothing(remains: Remains) -> Iterator[str]:
    yield f"nothing is to be restored: the stream has all {remains.in_stream.events} events, and no copy has more"


def _doings(remains: Remains) -> Iterator[str]:
    run = remains.run
    yield f"a journal of {len(remains.chain)} events is made again: {_standing(run)}"
    yield "an older daemon that still drives the run is fenced, and stops with code 7"
    if not remains.is_to_be_made_anew:
        yield f"stream {STREAM} stays; what is missing is put after sequence {remains.content.last_seq}"
    elif remains.content.is_there:
        yield f"what stream {STREAM} holds, up to {remains.content.last_seq}, is kept in a file;"
        yield f"then it is deleted, and made anew from sequence {remains.first_seq} on"
    else:
        yield f"stream {STREAM} is made, from sequence {remains.first_seq} on"
    for other in remains.others():
        end = remains.end_of(other)
        yield f"run {other} ({end or 'open'}) {'is put back too' if end or remains.held(other) else 'is left to its own plan'}"
    yield from _commands(remains)
    if lost := loss(remains):
        yield f"⚠ {'' if run.is_over else 'the run will be held: '}{lost}"


def _commands(remains: Remains) -> Iterator[str]:
    """A command is not put back: it would lie after what it answered, or before."""
    unanswered = remains.unanswered()
    for each in unanswered[:SHOWN]:
        yield f"⚠ a command that nobody has answered is lost, say it again: {each}"
    if unanswered[SHOWN:]:
        yield f"⚠ and {len(unanswered) - SHOWN} more"
    if not remains.content.is_there:
        last = recorded(remains.run.name, remains.key, remains.chain)[-1].envelope.time
        yield f"⚠ what was said after {last:%Y-%m-%d %H:%M:%S %Z} is lost, and no copy tells what it was: say it again"
    elif count := remains.unknown():
        yield f"⚠ {count} messages after sequence {remains.position} are in no copy: a command among them is lost, say it again"


def _standing(run: Run) -> str:
    held = f", held: {run.held.reason}" if run.held else ""
    gate = f", at the gate before {run.gate.name}" if run.gate else ""
    return f"the run {'has ended as' if run.is_over else 'is in'} {run.state}{gate}{held}"
