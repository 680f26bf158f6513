"""The copy around a rehearsal without a run: kept for people and for `--again`, put back, dropped."""

from __future__ import annotations

import psycopg

from cutoverd.daemon.control.rehearsal_alone import RENAME, find_nobodys
from cutoverd.daemon.control.rehearsal_steps import Rehearsal
from cutoverd.daemon.host.log import Logger
from cutoverd.daemon.plan.load import LoadedPlan
from cutoverd.daemon.postgres.backup import kept_proof
from cutoverd.daemon.postgres.backup.kept_copy import open_kept
from cutoverd.daemon.postgres.backup.kept_proof import KeptProof
from cutoverd.daemon.postgres.ledger import ledger
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.runtime.leadership import take_without_journal
from cutoverd.daemon.runtime.wiring import ports_of, proof_plan, rehearsal_plan
from cutoverd.states.errors import NotLeader, StepError, format_error
from cutoverd.states.ports import AttemptId, Direction, Evidence
from cutoverd.states.precheck import PreCheck
from cutoverd.states.run import Run, Status, StepKey

log = Logger(__name__)

DROPS = "`cutoverd rehearse --drop PLAN` drops it"


async def prepare(server: Server) -> None:
    """There is a ledger to ask, and a folder."""
    server.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    await ledger.prepare(server)


async def lead(server: Server) -> Server:
    """From here on no earlier rehearsal of this database goes on: one that is refused is refused before.

    Found: `--again` without a kept copy ended the rehearsal of another machine, and then said that it could do nothing.
    """
    led, _ = await take_without_journal(server)
    return led


async def find_kept(loaded: LoadedPlan, server: Server) -> KeptProof:
    """What `--again` goes on from; it changes nothing. Raises `Unfit`."""
    plan, proof = rehearsal_plan(loaded, is_anew=True), proof_plan(loaded)
    return await kept_proof.find(server, _attempt_id(server, "again"), plan, proof.sha256)


async def stand_alone(loaded: LoadedPlan, server: Server, kept: KeptProof) -> None:
    """What was kept stands alone again, and is what it was. Raises `Unfit`."""
    await ports_of(loaded, server).backups.reset_copy(_attempt_id(server, "again"))
    await kept_proof.check_untouched(server.of_copy(), kept)


async def keep(loaded: LoadedPlan, server: Server, done: Rehearsal, run: Run) -> Rehearsal:
    """What it found is worth more than that somebody may look at it."""
    attempt_id, plan = _attempt_id(server, "keep"), rehearsal_plan(loaded, is_anew=True)
    try:
        done.kept = await open_kept(server.of_copy(plan.database or ""), attempt_id)
        proof = run.of(StepKey.of(str(PreCheck.prove_backup)), Direction.FORWARD)
        if proof.status is Status.DONE:
            await kept_proof.keep(server, attempt_id, plan, proof.evidence)
            done.is_for_again = True
    except (StepError, psycopg.Error, OSError) as error:
        done.not_opened = format_error(error)
    return done


async def drop_after(loaded: LoadedPlan, server: Server, done: Rehearsal) -> Rehearsal:
    """Found: on a full disk the drop failed as well, and all that was found to be wrong was not said."""
    try:
        await drop(loaded, server)
    except NotLeader:  # it is the copy of who rehearses now, and dropped by nobody else
        log.warning("copy_is_anothers", run=server.run, doing="leaves it alone")
    except (StepError, psycopg.Error, OSError) as error:
        log.warning("copy_not_dropped", reason=format_error(error), doing=DROPS)
        done.not_dropped = format_error(error)
    return done


async def drop(loaded: LoadedPlan, server: Server, *, is_gone: bool = False) -> list[str]:
    """Warnings. `is_gone`: a copy that the team has made is forgotten where it is not reached, which else raises `StepError`.

    Found: it was forgotten whenever its server was away for a moment, and stayed renamed; nobody knew of it any more.
    """
    direction = Direction.BACK if is_gone else Direction.FORWARD
    cleared: Evidence = await ports_of(loaded, server).backups.clear(_attempt_id(server, "drop", direction))
    left = [f"{name} is there, and no run in the ledger made it: {RENAME}" for name in await find_nobodys(server)]
    return [*cleared.get("warnings", ()), *left]


def _attempt_id(server: Server, what: str, direction: Direction = Direction.FORWARD) -> AttemptId:
    """Of what is done around the steps, to the copy as a whole."""
    return AttemptId(server.run, server.epoch, str(PreCheck.drop_copy), direction, f"{what}-{server.epoch}")
