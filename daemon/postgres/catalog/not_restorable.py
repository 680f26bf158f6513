"""What of a database our role cannot restore, with all that depends on it, and what the plan leaves out: from the catalog."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from cutoverd.daemon.postgres.session.fetch import fetch_all
from cutoverd.daemon.postgres.session.reach import Connection

QUERY = Path(__file__).with_name("not_restorable.sql").read_bytes()


@dataclass(frozen=True)
class NotRestorable:
    """One object, and the one that it needs: itself where `is_root`."""

    class_oid: int
    oid: int
    type: str
    schema: str  # "-": it is in none
    name: str
    identity: str
    has_rows: bool
    is_root: bool
    root: str  # "extension pg_stat_statements"
    why: str
    remedy: str  # a statement for a superuser, may be ""
    by_name: bool  # the plan leaves it out, or what it needs

    def __str__(self) -> str:
        return f"{self.type} {self.identity}"


async def read_not_restorable(conn: Connection, left_out: Collection[str]) -> list[NotRestorable]:
    """Of the database that `conn` is in; `left_out`: names that the plan gives. Nothing by itself if our role is a superuser."""
    return [NotRestorable(*row) for row in await fetch_all(conn, QUERY, {"left_out": list(left_out)})]
