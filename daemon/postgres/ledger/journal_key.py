"""The key by which the journals of this ledger are signed, and a copy of it for those who read a journal without a ledger."""

from __future__ import annotations

import json
from pathlib import Path

from cutoverd.daemon.host.log import Logger
from cutoverd.daemon.host.private_files import read_private, write_private
from cutoverd.daemon.postgres.session.fetch import fetch_one
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.postgres.session.session import session
from cutoverd.events.mac import JournalKey

log = Logger(__name__)

FILE = "journal.key"  # in the run's folder


async def fetch(server: Server) -> JournalKey | None:
    """None of a ledger that an earlier version has made, and no daemon of this one prepared.

    A key that the run's folder holds verifies too: the ledger may have been made anew.
    """
    key = await find_all(server)
    if key and key != find_cached(server.folder):
        _cache(server.folder, key)
    return key


async def find_all(server: Server) -> JournalKey | None:
    """As `fetch`, and nothing is kept; of a ledger that has lost its key what the run's folder holds."""
    found = await read(server)
    return _with_cached(server, found) if found else find_cached(server.folder)


async def read(server: Server) -> JournalKey | None:
    """As `fetch`, by a session that may only read, and nothing is kept."""
    async with session(server) as conn:
        if await fetch_one(conn, "SELECT 1 WHERE to_regclass('cutoverd.journal_key') IS NULL"):
            return None
        row = await fetch_one(conn, "SELECT secret, unsigned_runs FROM cutoverd.journal_key")
    return JournalKey((bytes(row[0]),), frozenset(row[1])) if row else None


def _with_cached(server: Server, found: JournalKey) -> JournalKey:
    kept = find_cached(server.folder) or JournalKey(())
    earlier = tuple(each for each in kept.secrets if each not in found.secrets)
    if earlier:
        log.warning("journal_key_changed", run=server.run, doing="events signed by the key in the run's folder count as well")
    return JournalKey((*found.secrets, *earlier), found.unsigned_runs | kept.unsigned_runs)


def find_cached(run_dir: Path) -> JournalKey | None:
    """None if there is none, or none that can be read; what it holds is in no log.

    Found: a pipe or a link in its place kept whoever looked, and every daemon, waiting without end.
    """
    try:
        document = json.loads(read_private(run_dir / FILE))
        secrets = tuple(bytes.fromhex(secret) for secret in document["secrets"])
        return JournalKey(secrets, frozenset(document["unsigned_runs"])) if secrets else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        log.warning("journal_key_not_read", path=str(run_dir / FILE), error=type(error).__name__)
        return None


def _cache(run_dir: Path, key: JournalKey) -> None:
    """Without it those who look at the run cannot verify it: weaker, and no reason to stop."""
    document = {"secrets": [secret.hex() for secret in key.secrets], "unsigned_runs": sorted(key.unsigned_runs)}
    try:
        write_private(run_dir / FILE, json.dumps(document))
    except OSError as error:
        log.warning("journal_key_not_cached", path=str(run_dir / FILE), error=str(error))
