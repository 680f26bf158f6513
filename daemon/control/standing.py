"""How a run of the plan's name stands, for those who look before they start it: by the copies of its journal, with no bus."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg

from cutoverd.daemon.bus.errors import RunEnded
from cutoverd.daemon.bus.journal_file import FILE, read_lines
from cutoverd.daemon.control.lost_journal import evolved
from cutoverd.daemon.engine.chains import Source, longest_chain
from cutoverd.daemon.host.private_files import UnusableFile
from cutoverd.daemon.plan.load import LoadedPlan
from cutoverd.daemon.postgres.ledger import journal_copy, journal_key
from cutoverd.daemon.postgres.session.names import LEDGER
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.events.codec import Corrupt
from cutoverd.states import ABORTED
from cutoverd.states.errors import StepError
from cutoverd.states.precheck import PreCheck
from cutoverd.states.run import Run

FINALIZE = "; `cutoverd finalize` with the plan as it is drops what this one left over"


async def find_run(loaded: LoadedPlan, server: Server) -> Run | None:
    """None of one that never began, as far as ledger and folder tell; an event or two may be missing at its end.

    `server`: of whoever may only read. A ledger that does not let us read it is named by whoever asks for our rights.
    """
    try:
        return await _read(loaded, server)
    except (StepError, psycopg.Error, Corrupt, OSError):
        return None


async def _read(loaded: LoadedPlan, server: Server) -> Run | None:
    name, has_ledger = loaded.plan.run, server.home == LEDGER
    key = (await journal_key.read(server) if has_ledger else None) or journal_key.find_cached(loaded.run_dir)
    if key is None:
        return None
    of_ledger = await journal_copy.read_run(server, name) if has_ledger else []
    sources = [Source("the ledger", tuple(of_ledger)), Source("the run's folder", tuple(_in_folder(loaded)))]
    run = evolved(name, key, longest_chain(name, key, sources))
    return run if run.plan else None


def _in_folder(loaded: LoadedPlan) -> Iterator[bytes]:
    try:
        yield from (each.body for each in read_lines(loaded.run_dir / FILE))
    except (UnusableFile, OSError):  # a daemon that starts names it
        return


def is_untouched(state: str) -> bool:
    """Whether nothing that the run did to production can be met: it is before its window, or was ended there."""
    return state in (PreCheck.name, ABORTED)


def hint_of_ended(state: str) -> str:
    return RunEnded.hint + ("" if is_untouched(state) else FINALIZE)
