"""How a run of the plan's name stands, for those who look before they start it: by the copies of its journal, with no bus."""

from __future__ import annotations

from dataclasses import dataclass

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
from cutoverd.states.errors import StepError, format_error
from cutoverd.states.precheck import PreCheck
from cutoverd.states.run import Run

FINALIZE = "; `cutoverd finalize` with the plan as it is drops what this one left over"


@dataclass(frozen=True)
class Standing:
    """A run as far as ledger and folder tell; an event or two may be missing at its end."""

    run: Run | None = None  # None of one that never began
    unread: str = ""  # why there may be more to it than that


async def find_standing(loaded: LoadedPlan, server: Server) -> Standing:
    """`server`: of whoever may only read.

    Found: a run whose copies could not be read was taken for one that never began, without a word.
    """
    try:
        return await _read(loaded, server)
    except (StepError, psycopg.Error, Corrupt, OSError) as error:
        return Standing(unread=format_error(error))


async def _read(loaded: LoadedPlan, server: Server) -> Standing:
    name, has_ledger = loaded.plan.run, server.home == LEDGER
    key = (await journal_key.read(server) if has_ledger else None) or journal_key.find_cached(loaded.run_dir)
    if key is None:
        return Standing()
    of_ledger = await journal_copy.read_run(server, name) if has_ledger else []
    of_folder, unread = _in_folder(loaded)
    sources = [Source("the ledger", tuple(of_ledger)), Source("the run's folder", tuple(of_folder))]
    chain = longest_chain(name, key, sources)
    run = evolved(name, key, chain)
    reasons = ["" if of_ledger else unread, *(_beyond(source, len(chain)) for source in sources)]
    return Standing(run if run.plan else None, "; ".join(filter(None, reasons)))


def _in_folder(loaded: LoadedPlan) -> tuple[list[bytes], str]:
    """Its events, and why they could not be read."""
    try:
        return [each.body for each in read_lines(loaded.run_dir / FILE)], ""
    except (UnusableFile, OSError) as error:  # a daemon that starts names it
        return [], format_error(error)


def _beyond(source: Source, known: int) -> str:
    """What of it is no more read than `known` events; "" where all of it is."""
    events = len(source.messages)
    return f"{source.name} has {events} events, and after {known} what comes is damaged" if events > known else ""


def is_untouched(state: str) -> bool:
    """Whether nothing that the run did to production can be met: it is before its window, or was ended there."""
    return state in (PreCheck.name, ABORTED)


def hint_of_ended(state: str) -> str:
    return RunEnded.hint + ("" if is_untouched(state) else FINALIZE)
