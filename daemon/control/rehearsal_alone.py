"""Nobody else rehearses this database, and no run of it is under way: asked of this machine's locks, and of the ledger."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from cutoverd.daemon.plan.load import LoadedPlan
from cutoverd.daemon.postgres.ledger import ledger
from cutoverd.daemon.postgres.ledger.databases import taken_names
from cutoverd.daemon.postgres.session.names import Names
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.postgres.session.session import session
from cutoverd.daemon.runtime.daemon_lock import one_daemon, one_process
from cutoverd.daemon.runtime.leadership import server_before_epoch
from cutoverd.states.errors import Unfit
from cutoverd.states.rehearsal import name_without_run

BESIDE = (
    "`cutoverd status` with that run's plan says how it stands; once it is over, `cutoverd finalize` with it drops what is left"
)
RENAME = "see whose that is, then rename or drop it"


def server_of(loaded: LoadedPlan) -> Server:
    """Production's, under the name that stands for a run's."""
    server = server_before_epoch(loaded)
    name = name_without_run(server.names.production)
    return replace(server, run=name, folder=loaded.state_dir / name)


async def check_alone(server: Server) -> None:
    """Raises `Unfit` beside a run of the same database, which may be in its window, and where a name of the copy is not free.

    Found: dump and restore began beside the window, or were taken for hours though the copy could not be rehearsed on.
    """
    taken = await _taken(server)
    if others := {name: run for name, run in taken if run}:
        made = ", ".join(f"{name} of run {run}" for name, run in others.items())
        raise Unfit(f"{server.names.production} is not rehearsed beside a run: {made}", hint=BESIDE)
    if in_the_way := _nobodys(server.names, taken):
        raise Unfit(f"{', '.join(in_the_way)}: the copy needs that name, and no run in the ledger made it", hint=RENAME)


async def find_nobodys(server: Server) -> list[str]:
    """Databases with a name of the copy that the ledger does not know, or no longer.

    Found: the ledger had been dropped, and of a copy that nobody knew to be ours nothing was said to be left.
    """
    return _nobodys(server.names, await _taken(server))


async def _taken(server: Server) -> list[tuple[str, str | None]]:
    names, runs = server.names, [server.run, f"{server.run}{ledger.TRIAL}"]
    async with session(server) as conn:
        return await taken_names(conn, names.made, prefix=names.build_prefix, runs=runs)


def _nobodys(names: Names, taken: Sequence[tuple[str, str | None]]) -> list[str]:
    return [name for name, run in taken if not run and name in (names.scratch, *names.of_trial.made)]


@contextmanager
def alone(loaded: LoadedPlan) -> Iterator[Server]:
    """No daemon drives the run, and nobody rehearses this database by a plan with another `run`.

    Found: the second one took the first for dead, ended its sessions and dropped its copy.
    """
    server = server_of(loaded)
    says = f"{server.names.production} is rehearsed by process {{}} already"
    with one_daemon(loaded), one_process(server.folder, says):
        yield server
