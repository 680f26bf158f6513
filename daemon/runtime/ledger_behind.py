"""Whether the ledger knows of a run what its journal says; else no step may be taken by it, and none taken back.

It was dropped and made anew, or put back from an older backup, or the server is a standby that was promoted before it had all.
"""

from __future__ import annotations

from cutoverd.daemon.postgres.ledger.databases import Role, tracked_databases
from cutoverd.daemon.postgres.session.names import LEDGER
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.postgres.session.session import session
from cutoverd.states.downtime import Downtime
from cutoverd.states.errors import StepError
from cutoverd.states.ports import Direction
from cutoverd.states.precheck import PreCheck
from cutoverd.states.run import Run, Status, StepKey
from cutoverd.states.schema import Schema
from cutoverd.states.step import Step

OLDER = "the ledger is older than the journal"
TRACKED_BY: dict[Step, Role] = {PreCheck.make_placeholder: "placeholder", Downtime.fence_old: "old", Schema.build_new: "new"}


class LedgerBehind(StepError):
    """the ledger knows less of this run than its journal"""

    hint = (
        f"put database {LEDGER} back as it was last, and start again; where nobody has it, docs/last-resort.md has the way back"
        " by hand, in SQL"
    )


async def find_behind(server: Server, run: Run, epoch_there: int) -> str:
    """What the ledger does not know; "" if it knows all. `epoch_there`: of its fence.

    Every leader took the fence there before its journal said so, and a step's database is on record before the step is done.
    """
    if epoch_there < run.epoch:
        has = f"the last that it knows is {epoch_there}" if epoch_there else "it knows none"
        return f"{OLDER}: a daemon of epoch {run.epoch} had the run, and {has}"
    async with session(server) as conn:
        tracked = await tracked_databases(conn, run.name)
    missing = [role for step, role in TRACKED_BY.items() if _is_there(run, step) and role not in tracked]
    return f"{OLDER}: of the run's databases it does not know {', '.join(missing)}" if missing else ""


def _is_there(run: Run, step: Step) -> bool:
    key = StepKey.of(str(step))
    return run.is_done(key) and run.of(key, Direction.BACK).status is Status.UNTOUCHED
