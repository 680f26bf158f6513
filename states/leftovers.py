"""What a run that has ended left behind, and which of it may be dropped. Pure; what is in doubt is refused or left alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cutoverd.states import ABORTED, COMPLETED, ROLLED_BACK
from cutoverd.states.ports import Direction
from cutoverd.states.run import Run, StepKey
from cutoverd.states.smoke import Smoke
from cutoverd.states.validate import Validate

SWAPPED = StepKey.of(str(Smoke.exchange_names))  # whose way back sees what clients wrote to new
FINAL_BACKUP = StepKey.of(str(Validate.finish_backup))
ACCEPT_LOSS, WITHOUT_DUMP = "accept-loss", "without-dump"
NOT_RECORDED = {"unknown": "what they wrote is not on record"}

# by how the run ended; the database that has production's name is none of them
ROLES = {COMPLETED: ("old", "placeholder"), ROLLED_BACK: ("new", "placeholder"), ABORTED: ("placeholder",)}
UNFINISHED = "unfinished"  # made by an attempt that was not recorded: known by its name alone
WHAT = {
    "old": "the old database, as it was when the window began",
    "new": "the new database, as it was when the run went back",
    "placeholder": "the empty placeholder",
    UNFINISHED: "a database that an attempt of the run made and did not finish",
}


@dataclass(frozen=True)
class LeftoverDatabase:
    """A database that this run has made or renamed, as it is now."""

    role: str
    oid: int
    name: str | None  # None: it is gone
    given_name: str  # by which the run left it
    bytes: int | None = None
    since: datetime | None = None  # when the run made it what it is
    sessions: tuple[str, ...] = ()  # who is in it
    lacks: str = ""  # what our role may not, with the statement that helps
    is_as_made: bool = True  # closed as an unfinished one of ours is


@dataclass(frozen=True)
class Decision:
    """What `finalize` does about it."""

    drop: tuple[LeftoverDatabase, ...] = ()
    gone: tuple[LeftoverDatabase, ...] = ()  # dropped already, and not on record
    left_alone: tuple[str, ...] = ()  # and why
    refused: tuple[str, ...] = field(default=())  # if there is one, nothing is dropped


def decide_leftovers(run: Run, databases: tuple[LeftoverDatabase, ...], production: str) -> Decision:
    """Which of the run's databases may be dropped; all reasons against it at once."""
    if not run.is_over:
        return Decision(refused=(f"run {run.name} is not over, it is in {run.state}",))
    wanted = [each for each in databases if each.role in (*ROLES[run.state], UNFINISHED) and each.oid not in run.dropped]
    there = [each for each in wanted if each.name is not None]
    left_alone = {each.oid: why for each in there if (why := _why_left_alone(each, production))}
    drop = tuple(each for each in there if each.oid not in left_alone)
    return Decision(
        drop=drop,
        gone=tuple(each for each in wanted if each.name is None),
        left_alone=tuple(left_alone.values()),
        refused=tuple(why for each in drop for why in _against(each)),
    )


def _why_left_alone(each: LeftoverDatabase, production: str) -> str:
    if each.name == production:
        return f"{each.name} (oid {each.oid}) is production"
    if each.name != each.given_name:
        return f"{each.name} (oid {each.oid}) was {each.given_name}: somebody gave it another name"
    if not each.is_as_made:
        return f"{each.name} (oid {each.oid}) lets others in, as no unfinished database of a run does"
    return ""


def _against(each: LeftoverDatabase) -> list[str]:
    who = [f"{each.name} is in use by {', '.join(each.sessions)}: end that first"] if each.sessions else []
    return [*who, *([f"{each.name}: {each.lacks}"] if each.lacks else [])]


def written_by_clients(run: Run) -> dict[str, Any]:
    """What the way back saw in new, by table: {"inserted", "updated", "deleted", "replaced"}, or words if it could not see.

    Empty if clients were never let in, or wrote nothing.
    """
    if not run.opened:
        return {}
    back = run.of(SWAPPED, Direction.BACK).evidence
    uncounted = {"unknown": back["written_uncounted"]} if "written_uncounted" in back else {}
    return {**back.get("written", NOT_RECORDED), **uncounted}


def confirmations_wanted(run: Run, drop: Iterable[LeftoverDatabase], *, has_final_dump: bool) -> dict[str, str]:
    """What has to be said besides the run's name before these are dropped, each with why: they are the only copy."""
    wanted = dict[str, str]()
    for each in drop:
        if each.role == "new" and (written := written_by_clients(run)):
            wanted[ACCEPT_LOSS] = (
                f"{each.name} has what clients wrote after the cutover, and no dump has these rows: "
                + "; ".join(f"{table}: {_format_writes(writes)}" for table, writes in written.items())
            )
        if each.role == "old" and not has_final_dump:
            wanted[WITHOUT_DUMP] = f"{each.name} is the only copy of the old database: its final dump is missing"
    return wanted


def _format_writes(writes: Mapping[str, Any] | str) -> str:
    if isinstance(writes, str):
        return writes
    return ", ".join(what if number is True else f"{number} {what}" for what, number in writes.items() if number)
