"""Production is taken back without the journal: by what the ledger knows of the run, and the commands of its plan. No NATS.

The same as Rollback, in its order. Each action looks first, so that what is done is found done, whoever was killed in the middle.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cutoverd.daemon.control.put_back import RollbackReporter, put_back
from cutoverd.daemon.engine.exit_codes import Exit
from cutoverd.daemon.plan.load import LoadedPlan
from cutoverd.daemon.postgres.ledger import ledger
from cutoverd.daemon.postgres.ledger.databases import TrackedDatabase, tracked_databases, untracked_names
from cutoverd.daemon.postgres.ledger.found import kept_found
from cutoverd.daemon.postgres.ledger.taken_back import Mark, find_mark, finish_mark, later_runs, mark_taken_back
from cutoverd.daemon.postgres.session.names import LEDGER
from cutoverd.daemon.postgres.session.refusal import Refused
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.postgres.session.session import session
from cutoverd.daemon.runtime.daemon_lock import one_daemon
from cutoverd.daemon.runtime.leadership import server_before_epoch, take_without_journal, unless_superseded
from cutoverd.daemon.runtime.wiring import ports_of
from cutoverd.states.errors import StepError
from cutoverd.states.ports import Evidence
from cutoverd.states.smoke import Smoke

BY_HAND = "docs/last-resort.md has the way by hand, in SQL"
KEPT = "they stay in {next} all the same: --accept-loss --reason '…' takes production back without them"


class CannotTakeBack(StepError):
    """production cannot be taken back by what the ledger knows"""


@dataclass(frozen=True)
class LedgerView:
    """What the ledger knows of a run."""

    databases: dict[str, TrackedDatabase]
    found: dict[str, dict[str, object]]  # before the window, by the step that looked
    mark: Mark | None

    @property
    def has_begun(self) -> bool:
        """Something of the window is on record."""
        return bool(self.found) or "old" in self.databases

    def is_away(self, production: str) -> bool:
        """Old does not have production's name."""
        return "old" in self.databases and self.databases["old"].name != production


async def read_standing(loaded: LoadedPlan) -> list[str]:
    """How things are, and what would be done, in lines. Raises `CannotTakeBack`, `StepError`."""
    server = server_before_epoch(loaded)
    view, names = await _known(server), server.names
    whose = {known.name: role for role, known in view.databases.items()}
    doors, services = (", ".join(part.name for part in parts) for parts in (loaded.plan.traffic, loaded.plan.services))
    now = f"{names.production} is the {whose.get(names.production, 'old')} database now"
    if not view.is_away(names.production):
        return [f"run {server.run}: {now}; what ran before the window is started again, and health is proven"]
    return [
        f"run {server.run}: {now}; the old one is {view.databases['old'].name}",
        f"its daemon is ended, doors ({doors}) are closed, new and test versions of services ({services}) stopped;",
        f"the old database gets the name {names.production} again, with the access it had; what ran before is started again",
    ]


async def take_back(loaded: LoadedPlan, *, accept_loss: bool, reason: str, say: Callable[[str], None]) -> Exit:
    """ROLLED_BACK, or ABORTED where the window had not begun; each action a line.

    Raises `CannotTakeBack` if rows would be lost, `AlreadyDriven`, `NotLeader`, and what an action raises: said again it goes on.
    """
    with one_daemon(loaded):
        server = server_before_epoch(loaded)
        view = await _known(server)
        if view.mark and view.mark.finished:
            say(f"taken back already, at {view.mark.finished:%Y-%m-%d %H:%M:%S %Z}: nothing is left to be done")
            return Exit.ROLLED_BACK
        server, orphans = await take_without_journal(server)
        report = RollbackReporter(say, f"without-journal-{server.epoch}", server)
        report.done(f"epoch {server.epoch}: no older daemon may act", "; ".join(f"ended: {each}" for each in orphans))
        async with unless_superseded(server):
            return await _take_back(loaded, server, report, accept_loss=accept_loss, reason=reason)


async def _take_back(loaded: LoadedPlan, server: Server, report: RollbackReporter, *, accept_loss: bool, reason: str) -> Exit:
    ports, view = ports_of(loaded, server), await _known(server)
    if not (view.mark and view.mark.accepts_loss):
        counting = ports.databases.count_writes(report.attempt_id(f"{Smoke.name}.count_writes"), loaded.plan.smoke.roles or ())
        counted = await report.doing("what was written to the new database is counted", counting)
        await _decide(server, report, counted, accept_loss=accept_loss, reason=reason)
    await put_back(loaded.plan, ports, report, view.found, is_away=view.is_away(server.names.production))
    async with session(server) as conn:
        await finish_mark(conn, report.attempt_id("mark"))
    return Exit.ROLLED_BACK if view.has_begun else Exit.ABORTED


async def _decide(server: Server, report: RollbackReporter, counted: Evidence, *, accept_loss: bool, reason: str) -> None:
    """From here on no journal goes forward; raises `CannotTakeBack` where that would cost rows that nobody has given up."""
    costs = counted["writes"] != "none"
    if costs and not accept_loss:
        what = counted["reason"] if counted["writes"] == "some" else f"what was written is not known ({counted['reason']})"
        hint = KEPT.format(next=server.names.next)
        raise CannotTakeBack(f"{server.names.production} was written to since the names changed hands: {what}", hint=hint)
    async with session(server) as conn:
        attempt_id = report.attempt_id("mark")
        await mark_taken_back(conn, attempt_id, accepts_loss=costs and accept_loss, reason=reason, counted=counted)


async def _known(server: Server) -> LedgerView:
    """What may be acted on; raises `CannotTakeBack`."""
    try:
        epoch = await ledger.current_epoch(server)
    except Refused as error:
        raise CannotTakeBack(f"the ledger is not to be read: {error}", hint=f"{error.hint}; {BY_HAND}") from error
    if epoch == 0:
        raise CannotTakeBack(
            f"no daemon has ever taken run {server.run} on this server",
            hint=f"look at `run` and `database.url` of the plan; {BY_HAND}",
        )
    await ledger.prepare(server)  # one that an older version made lacks tables
    async with session(server) as conn:
        view = LedgerView(
            dict(await tracked_databases(conn, server.run)), await kept_found(conn, server.run), await find_mark(conn, server.run)
        )
        later = await later_runs(conn, server.run)
        names = (server.names.previous, server.names.next)  # which only a window makes
        unknown = [] if "old" in view.databases else await untracked_names(conn, names)
    _check_known(server, unknown)
    _check_still_so(server, view, later)
    return view


def _check_known(server: Server, unknown: list[str]) -> None:
    """Found: by a ledger from before the window it was believed that none had begun, and production stayed closed."""
    if unknown:
        raise CannotTakeBack(
            f"there is {' and '.join(unknown)}, and the ledger does not know whose: if run {server.run} made that,"
            " the ledger was made anew, or put back from an older backup",
            hint=f"put database {LEDGER} back as it was last; {BY_HAND}",
        )


def _check_still_so(server: Server, view: LedgerView, later: list[str]) -> None:
    old = view.databases.get("old")
    if later:
        raise CannotTakeBack(
            f"run {', '.join(later)} has acted on the databases of run {server.run} since", hint="take that one back"
        )
    if old and old.row.name != server.names.production:
        raise CannotTakeBack(
            f"run {server.run} was on database {old.row.name}, and the plan names {server.names.production}",
            hint="put back database.url",
        )
    if old and old.name is None:
        raise CannotTakeBack(
            f"the old database (oid {old.oid}) is gone: somebody dropped it", hint="its final dump is in backup.directory"
        )
