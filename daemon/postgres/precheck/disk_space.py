"""Whether disks have room: for the backups, for the rehearsal, for a clone, for the new tables, for the WAL of them.

What cannot be seen is said, and no failure.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from cutoverd.daemon.postgres.precheck import wal_space
from cutoverd.daemon.postgres.session.fetch import fetch_one
from cutoverd.daemon.postgres.session.reach import Connection
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.postgres.session.session import session
from cutoverd.daemon.progress import format_bytes
from cutoverd.states.errors import StepError, Unfit
from cutoverd.states.ports import Evidence

# of production, in the server: each of them is taken to be as large
IN_WINDOW = ("the clone", "its new tables")
IN_REHEARSAL = ("the restored copy", *IN_WINDOW)
# the copy is made from template0, and lies where that does: with its clone and the tables of that
# without the rights for it neither answer is an error here: check_fit says which right is missing
LOCATION = """
SELECT CASE WHEN has_database_privilege(d.oid, 'CONNECT') OR pg_has_role('pg_read_all_stats', 'USAGE')
            THEN pg_database_size(d.oid) END,
       nullif(pg_tablespace_location(d.dattablespace), ''), nullif(pg_tablespace_location(t.dattablespace), ''),
       (SELECT setting FROM pg_settings WHERE name = 'data_directory')
FROM pg_database d, pg_database t WHERE d.datname = %s AND t.datname = 'template0'
"""


@dataclass(frozen=True)
class SpaceNeed:
    """So many bytes in a folder."""

    what: str
    folder: Path
    bytes: int


@dataclass(frozen=True)
class Production:
    """How large it is, where the server keeps it, its copy and the WAL, if those are folders of this machine, or why not seen."""

    bytes: int | None
    data: Path | None = None
    copy: Path | None = None
    wal: Path | None = None
    why: str = ""


async def check_room(server: Server, directory: Path, dumped_bytes: int | None, *, rehearses: bool) -> Evidence:
    """{"production_bytes", "backup", "data", "wal": {"folder", "needed_bytes", "free_bytes"}, or {"cannot_be_seen": why},
    "warnings"}; "copy" as well, where the copy lies on another disk than production.

    `dumped_bytes`: of a dump that was taken; before there is one it is taken to be as large as production at most; `rehearses`:
    the window is rehearsed before it. Raises `Unfit` with every lack found.
    """
    made = IN_REHEARSAL if rehearses else IN_REHEARSAL[:1] if dumped_bytes is None else ()  # of the copy, before the window
    async with session(server) as conn:
        there = await _production(conn, server, made)
        if there.bytes is None:
            return {"production_bytes": None, "sizes": {"cannot_be_seen": there.why}}
        # the clone is a copy of files, of which there is none
        to_write = await wal_space.read_need(conn, (len(IN_REHEARSAL if rehearses else IN_WINDOW) - 1) * there.bytes)
    backup = SpaceNeed("backup.directory", _there(directory), there.bytes if dumped_bytes is None else dumped_bytes)
    needs = {"backup": backup, **_in_server(there, made, to_write.expected_bytes)}
    if reasons := [*_unwritable(backup), *_lacks(list(needs.values()))]:
        enough = rehearses and not list(_lacks([backup, *_in_server(there, (), 0).values()]))
        raise Unfit("; ".join(reasons), hint=_hint(is_enough_without=enough), evidence={"reasons": reasons})
    at_worst = {"backup": backup, **_in_server(there, made, to_write.at_worst_bytes)}
    return {
        "production_bytes": there.bytes,
        **{name: {"cannot_be_seen": there.why} for name in ("data", "wal")},
        **{name: _as_evidence(need) for name, need in needs.items()},
        "warnings": [f"{to_write.kept_by}: {lack}" for lack in _lacks(list(at_worst.values()))],
    }


async def room_of_copy(conn: Connection, copy: Server) -> tuple[list[str], list[str]]:
    """Lacks of a server where the team's copy is cloned and gets its new tables, and what could not be seen of it."""
    there = await _production(conn, copy, ())
    if there.bytes is None or there.why:
        return [], [there.why]
    to_write = await wal_space.read_need(conn, (len(IN_WINDOW) - 1) * there.bytes)
    return list(_lacks(list(_in_server(there, (), to_write.expected_bytes).values()))), []


def _in_server(there: Production, made: Sequence[str], wal_bytes: int) -> dict[str, SpaceNeed]:
    """As far as its folders can be seen. What is made of the copy is gone when the window begins: on one disk the more counts."""
    size, window, copy = there.bytes or 0, there.data, there.copy
    is_one_disk = window and copy and window.stat().st_dev == copy.stat().st_dev
    needs = {"wal": SpaceNeed("its WAL", there.wal, wal_bytes)} if there.wal else {}
    if copy and made and not is_one_disk:
        needs["copy"] = SpaceNeed(f"the copy ({', '.join(made)})", copy, len(made) * size)
    if window:
        most = made if is_one_disk and len(made) > len(IN_WINDOW) else IN_WINDOW
        needs["data"] = SpaceNeed(f"the server's data ({', '.join(most)})", window, len(most) * size)
    return dict(sorted(needs.items()))


def _hint(*, is_enough_without: bool) -> str:
    enough = " (for the window alone there is enough; the rehearsal takes a copy more)" if is_enough_without else ""
    return f"make room{enough}, then `retry`"


async def _production(conn: Connection, server: Server, made: Sequence[str]) -> Production:
    row = await fetch_one(conn, LOCATION, (server.names.production,))
    if row is None:
        raise StepError(f"there is no database {server.names.production}")
    size, tablespace, of_template, home = row
    if size is None:
        return Production(None, why=f"our role may not ask for the size of {server.names.production}: GRANT pg_monitor TO it")
    most = max(made, IN_WINDOW, key=len)
    advice = f"look there that {len(most)} times {format_bytes(size)} are free ({', '.join(most)}), and room for their WAL"
    if not _is_here(conn):
        return Production(size, why=f"the server is on {conn.info.host}: {advice}")
    places = [each or home for each in (tablespace, of_template, home)]
    data, copy, folder = (Path(each) if each and _is_folder(each) else None for each in places)
    unseen = next(
        (str(place or "data_directory") for place, known in zip(places, (data, copy, folder), strict=True) if not known), ""
    )
    why = f"{unseen} cannot be read from here: {advice}" if unseen else ""
    return Production(size, data, copy, folder and _folder_of_wal(folder), why)


def _folder_of_wal(data_directory: Path) -> Path:
    """A link to another disk as a rule where it is one; beside the data where we may not look."""
    wal = data_directory / "pg_wal"
    return wal.resolve() if _is_folder(str(wal)) else data_directory


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
