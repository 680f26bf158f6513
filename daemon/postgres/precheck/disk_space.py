"""Whether disks have room: for the backups, for a clone, for the new tables. What cannot be seen is said, and no failure."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from cutoverd.daemon.postgres.session.fetch import fetch_one
from cutoverd.daemon.postgres.session.reach import Connection
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.postgres.session.session import session
from cutoverd.daemon.progress import format_bytes
from cutoverd.states.errors import StepError, Unfit
from cutoverd.states.ports import Evidence

COPIES = 2  # of production, in the server: the clone and its new tables at night, the scratch database and its clone in PreCheck
# without the rights for it neither answer is an error here: check_fit says which right is missing
LOCATION = """
SELECT CASE WHEN has_database_privilege(d.oid, 'CONNECT') OR pg_has_role('pg_read_all_stats', 'USAGE')
            THEN pg_database_size(d.oid) END,
       coalesce(nullif(pg_tablespace_location(d.dattablespace), ''),
                (SELECT setting FROM pg_settings WHERE name = 'data_directory'))
FROM pg_database d WHERE d.datname = %s
"""


@dataclass(frozen=True)
class SpaceNeed:
    """So many bytes in a folder."""

    what: str
    folder: Path
    bytes: int


async def check_room(server: Server, directory: Path, dumped_bytes: int | None) -> Evidence:
    """{"production_bytes", "backup", "data": {"folder", "needed_bytes", "free_bytes"}, or {"cannot_be_seen": why}}.

    `dumped_bytes`: of a dump that was taken; before there is one it is taken to be as large as production at most. Raises
    `Unfit` with every lack found.
    """
    async with session(server) as conn:
        size, data, why = await _production_folder(conn, server)
    if size is None:
        return {"production_bytes": None, "sizes": {"cannot_be_seen": why}}
    needs = [SpaceNeed("backup.directory", _there(directory), size if dumped_bytes is None else dumped_bytes)]
    needs += [SpaceNeed("the server's data", data, COPIES * size)] if data else []
    if reasons := [*_unwritable(needs[0]), *_lacks(needs)]:
        raise Unfit("; ".join(reasons), hint="make room, then `retry`", evidence={"reasons": reasons})
    needs_and_free = {"backup": _as_evidence(needs[0]), "data": _as_evidence(needs[1]) if data else {"cannot_be_seen": why}}
    return {"production_bytes": size, **needs_and_free}


async def _production_folder(conn: Connection, server: Server) -> tuple[int | None, Path | None, str]:
    """Production's bytes, where the server keeps it if that is a folder of this machine, or why that cannot be seen."""
    row = await fetch_one(conn, LOCATION, (server.names.production,))
    if row is None:
        raise StepError(f"there is no database {server.names.production}")
    size, location = row
    if size is None:
        return None, None, f"our role may not ask for the size of {server.names.production}: GRANT pg_monitor TO it"
    advice = f"look there that {COPIES} times {format_bytes(size)} are free"
    if not _is_here(conn):
        return size, None, f"the server is on {conn.info.host}: {advice}"
    if location is None or not _is_folder(location):
        return size, None, f"{location or 'data_directory'} cannot be read from here: {advice}"
    return size, Path(location), ""


def _is_folder(location: str) -> bool:
    """False too where we may not look."""
    return os.path.isdir(location)


def _is_here(conn: Connection) -> bool:
    """By a socket, or by an address of this machine's own."""
    address = conn.info.hostaddr
    return not address or conn.info.host.startswith("/") or ip_address(address).is_loopback


def _there(folder: Path) -> Path:
    """The deepest part of it that exists: it is made when the first dump is taken."""
    return next(path for path in (folder, *folder.parents) if path.exists())


def _unwritable(need: SpaceNeed) -> list[str]:
    writable = need.folder.is_dir() and os.access(need.folder, os.W_OK | os.X_OK)
    return (
        []
        if writable
        else [f"{need.what}: {need.folder} is no folder that we may write to: give it to our user, or name another"]
    )


def _lacks(needs: Sequence[SpaceNeed]) -> Iterator[str]:
    """Needs on one file system add up."""
    devices = {need.folder.stat().st_dev for need in needs}
    for device in sorted(devices):
        here = [need for need in needs if need.folder.stat().st_dev == device]
        needed, free = sum(need.bytes for need in here), free_bytes(here[0].folder)
        if needed > free:
            parts = " and ".join(f"{format_bytes(need.bytes)} for {need.what} in {need.folder}" for need in here)
            yield f"too little disk: {format_bytes(free)} are free and {format_bytes(needed)} are needed: {parts}"


def free_bytes(folder: Path) -> int:
    """What somebody without privileges may still write."""
    filesystem = os.statvfs(folder)
    return filesystem.f_bavail * filesystem.f_frsize


def _as_evidence(need: SpaceNeed) -> dict[str, object]:
    return {"folder": str(need.folder), "needed_bytes": need.bytes, "free_bytes": free_bytes(need.folder)}
