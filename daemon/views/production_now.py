"""What production is to its clients, as far as the events tell: kept out by the database, by the traffic switch, or by neither.

Never "closed" or "open" where the outcome of a step is not known. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator

from cutoverd.states.cutover import Cutover
from cutoverd.states.downtime import Downtime
from cutoverd.states.monitor import Monitor
from cutoverd.states.ports import Direction, Found
from cutoverd.states.run import Run, Status, StepKey
from cutoverd.states.smoke import Smoke

OLD, NEW = "old", "new"
FENCE, SWAP, ADMISSION = map(StepKey.of, map(str, (Downtime.fence_old, Smoke.exchange_names, Cutover.admit_clients)))


def production_now(run: Run) -> str:
    """Words to follow "production is"."""
    closing = [key for key in run.begun() if key.definition.begins_downtime]
    if not closing:
        return "open, as it was found"
    if run.state == Monitor.name:
        return "open, and new"
    if all(run.is_done(key, Direction.BACK) for key in closing):
        return "open again, and old"
    return _in_between(run)


def _in_between(run: Run) -> str:
    if not (database := _admitting(run)):
        return "closed to clients"
    if open_doors := list(_open_doors(run)):
        return f"not known to be closed: {', '.join(open_doors)}"
    return f"closed to clients of the traffic switch; whoever connects past it may get into the {database} database"


def _admitting(run: Run) -> str:
    """Which database clients may get into that are at no door; "" where it is certain that they get into none."""
    if _is_touched(run, SWAP) and not run.is_done(SWAP, Direction.BACK):
        is_withheld = "withheld_but_for" in run.evidence().get(str(Smoke.check_logins), {})
        return NEW if _is_touched(run, ADMISSION) or not is_withheld else ""
    return "" if run.is_done(FENCE) and not _is_touched(run, FENCE, Direction.BACK) else OLD


def _open_doors(run: Run) -> Iterator[str]:
    """A door that is not known to be closed, each with why."""
    for door in run.frozen.items["traffic"]:
        closed, opened = (StepKey.of(step.of(door)) for step in (Downtime.close_traffic, Cutover.open_traffic))
        if not run.is_done(closed):
            yield f"{closed} is not done"
        elif _is_touched(run, closed, Direction.BACK):
            yield f"{closed} may have let clients in"
        elif _is_touched(run, opened) and not _is_shut(run, opened):
            yield f"{opened} may have let clients in"


def _is_shut(run: Run, opened: StepKey) -> bool:
    """A probe has proved that it was never opened, or it was closed again."""
    return run.of(opened, Direction.FORWARD).found is Found.ABSENT or run.is_done(opened, Direction.BACK)


def _is_touched(run: Run, key: StepKey, direction: Direction = Direction.FORWARD) -> bool:
    return run.of(key, direction).status is not Status.UNTOUCHED
