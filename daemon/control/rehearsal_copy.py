"""The copy around a rehearsal without a run: under which name it goes, kept for people and for `--again`, put back, dropped."""

from __future__ import annotations

from dataclasses import replace

import psycopg

from cutoverd.daemon.control.rehearsal_steps import Rehearsal
from cutoverd.daemon.host.log import Logger
from cutoverd.daemon.plan.load import LoadedPlan
from cutoverd.daemon.postgres.backup import kept_proof
from cutoverd.daemon.postgres.backup.kept_copy import open_kept
from cutoverd.daemon.postgres.backup.kept_proof import KeptProof
from cutoverd.daemon.postgres.ledger import ledger
from cutoverd.daemon.postgres.ledger.databases import taken_names
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.postgres.session.session import session
from cutoverd.daemon.runtime.leadership import server_before_epoch, take_without_journal
from cutoverd.daemon.runtime.wiring import ports_of, proof_plan, rehearsal_plan
from cutoverd.states.errors import StepError, Unfit, format_error
from cutoverd.states.ports import AttemptId, Direction, Evidence
from cutoverd.states.precheck import PreCheck
from cutoverd.states.rehearsal import name_without_run
from cutoverd.states.run import Run, Status, StepKey

log = Logger(__name__)

BESIDE = (
    "`cutoverd status` with that run's plan says how it stands; once it is over, `cutoverd finalize` with it drops what is left"
)
RENAME = "see whose that is, then rename or drop it"
DROPS = "`cutoverd rehearse --drop PLAN` drops it"


def server_of(loaded: LoadedPlan) -> Server:
    """Production's, under the name that stands for a run's."""
    server = server_before_epoch(loaded)
    name = name_without_run(server.names.production)
    return replace(server, run=name, folder=loaded.state_dir / name)


async def check_alone(server: Server) -> None:
    """Raises `Unfit` beside a run of the same database, which may be in its window, and where a name of the copy is not free.

    Found: dump and restore began beside the window, or were taken for hours though the copy could not be rehearsed on.
    """
    names, runs = server.names, [server.run, f"{server.run}{ledger.TRIAL}"]
    async with session(server) as conn:
        taken = await taken_names(conn, names.made, prefix=names.build_prefix, runs=runs)
    if others := {name: run for name, run in taken if run}:
        made = ", ".join(f"{name} of run {run}" for name, run in others.items())
        raise Unfit(f"{names.production} is not rehearsed beside a run: {made}", hint=BESIDE)
    if in_the_way := [name for name, _ in taken if name in (names.scratch, *names.of_trial.made)]:
        raise Unfit(f"{', '.join(in_the_way)}: the copy needs that name, and no run in the ledger made it", hint=RENAME)


async def lead(server: Server) -> Server:
    """From here on no earlier rehearsal of this database goes on."""
    server.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    await ledger.prepare(server)
    led, _ = await take_without_journal(server)
    return led


async def find_kept(loaded: LoadedPlan, server: Server) -> KeptProof:
    """What `--again` goes on from: it stands alone again, and is what it was. Raises `Unfit`."""
    attempt_id = _attempt_id(server, "again")
    plan, proof = rehearsal_plan(loaded, is_anew=True), proof_plan(loaded)
    kept = await kept_proof.find(server, attempt_id, plan, proof.sha256)
    await ports_of(loaded, server).backups.reset_copy(attempt_id)
    await kept_proof.check_untouched(server.of_copy(), kept)
    return kept


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
    return list(cleared.get("warnings", ()))


def _attempt_id(server: Server, what: str, direction: Direction = Direction.FORWARD) -> AttemptId:
    """Of what is done around the steps, to the copy as a whole."""
    return AttemptId(server.run, server.epoch, str(PreCheck.drop_copy), direction, f"{what}-{server.epoch}")
