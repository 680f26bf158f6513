"""What a rehearsal will cost, said before it begins: bytes by production's size, time by the last one that is on record.

No time is invented: where none is on record it is said to be unknown.
"""

from __future__ import annotations

from collections.abc import Mapping

from cutoverd.daemon.postgres.ledger.rehearsals import RehearsalOnRecord
from cutoverd.daemon.progress import format_bytes, format_seconds
from cutoverd.states.data import Data
from cutoverd.states.ports import Evidence
from cutoverd.states.rehearsal import UNDO, describe_maker
from cutoverd.states.schema import Schema
from cutoverd.states.validate import Validate

DUMP, RESTORE, CLONE, SCRIPTS, CHECKS, NAMES = "dump", "restore", "clone", "scripts", "checks", "names and rollback"
BY_STATE = {Schema.name: SCRIPTS, Data.name: SCRIPTS, Validate.name: CHECKS}
UNKNOWN = "How long it takes is not known: no rehearsal of this database is on record; at least as long as dump and restore"
UNCHANGED_SHARE = 0.05  # production is as large as it was then


def of_size(size_bytes: int) -> dict[str, int]:
    """Bytes by what is made: the dump is compressed as a rule, so it is that at most; new tables are taken to be as large."""
    return {DUMP: size_bytes, "restored copy": size_bytes, CLONE: size_bytes, "new tables": size_bytes}


def seconds_by_part(seconds: Mapping[str, float], parts: Mapping[str, float]) -> dict[str, float]:
    """What a rehearsal took, in its order; `seconds`: by rehearsed step, `parts`: of the proof of the backup."""
    taken = {name: parts[name] for name in (DUMP, RESTORE) if name in parts}
    for key, value in seconds.items():
        part = _part_of(key)
        taken[part] = taken.get(part, 0.0) + value
    return {name: round(taken[name], 3) for name in (DUMP, RESTORE, CLONE, SCRIPTS, CHECKS, NAMES) if name in taken}


def _part_of(key: str) -> str:
    if key.startswith(UNDO):
        return NAMES
    return CLONE if key == str(Schema.build_new) else BY_STATE.get(key.partition(".")[0], NAMES)


def estimate(size_bytes: int, latest: RehearsalOnRecord | None, place: str = "") -> Evidence:
    """{"bytes": by what is made, "seconds": by part or None, "says": in words}.

    `latest`: the last rehearsal of this database there, of whatever files; `place`: of a copy that the team has made.
    """
    seconds = seconds_by_part(latest.seconds, latest.parts) if latest else None
    says = f"{_of_disk(size_bytes, place)}. {_of_time(latest, seconds, size_bytes) if latest and seconds else UNKNOWN}"
    return {"bytes": of_size(size_bytes), "seconds": seconds, "says": says}


def _of_disk(size_bytes: int, place: str) -> str:
    size = format_bytes(size_bytes)
    if place:
        return (
            f"It takes the disk of twice {size} where that is (the clone, its new tables), and before that, for the backup, of"
            f" {size} in production's server and of up to {size} for the dump"
        )
    return (
        f"It takes the disk of three times {size} in the server (the restored copy, its clone, its new tables) and of up to "
        f"{size} for the dump"
    )


def _of_time(latest: RehearsalOnRecord, seconds: Mapping[str, float], size_bytes: int) -> str:
    parts = ", ".join(f"{format_seconds(value)} {name}" for name, value in seconds.items())
    whole = sum(seconds.values())
    took = f"The last one, {latest.at:%Y-%m-%d} by {describe_maker(latest.made_by)}, took {format_seconds(whole)}: {parts}"
    then = latest.production_bytes
    if not then or abs(size_bytes / then - 1) <= UNCHANGED_SHARE:
        return took
    scaled = format_seconds(whole * size_bytes / then)
    return f"{took}. Production had {format_bytes(then)} then and has {format_bytes(size_bytes)} now: in proportion {scaled}"
