"""Production as it is: content to the byte, catalog row, settings, rights, services, logins. Taken before and after."""

from __future__ import annotations

import hashlib
import subprocess
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import sql

from cutoverd.daemon.demo.environment import Stage
from cutoverd.states.ports import Version

# docs/measured.md, "Dumps that are equal"
DUMP = ["-Fp", "--restrict-key=cutoverd", "--no-unlogged-table-data"]
ROW = "SELECT to_jsonb(d) - 'datfrozenxid' - 'datminmxid' FROM pg_database d WHERE datname = %s"
SETTINGS = """
SELECT coalesce(jsonb_agg(to_jsonb(s) ORDER BY s.setrole), '[]') FROM pg_db_role_setting s
JOIN pg_database d ON d.oid = s.setdatabase WHERE d.datname = %s
"""
COMMENT = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s"
WRITTEN = "SELECT count(*), sum(hashtextextended(r::text, 0)::numeric)::text FROM public.{} r WHERE id <= %s"
LAST = "SELECT coalesce(max(id), 0) FROM public.{}"
DUMP_SECONDS = 600


@dataclass
class ProductionFingerprint:
    """Taken before clients write and again when all is over: rows that were not there the first time are the clients' own."""

    stage: Stage
    last: dict[str, int] = field(default_factory=dict)

    def take(self) -> dict[str, Any]:
        """What must be the same again after the way back."""
        taken = fingerprint(self.stage)
        if self.stage.example.written:
            taken["rows that clients added to"] = self._written()
        return taken

    def _written(self) -> list[Any]:
        with self.stage.postgres.connect(self.stage.example.database) as connection:
            for table in self.stage.example.written:
                if table not in self.last:
                    self.last[table] = _number(connection, sql.SQL(LAST).format(sql.Identifier(table)))
            return [self._rows(connection, table) for table in self.stage.example.written]

    def _rows(self, connection: psycopg.Connection[Any], table: str) -> Any:
        return connection.execute(sql.SQL(WRITTEN).format(sql.Identifier(table)), (self.last[table],)).fetchone()


def fingerprint(stage: Stage) -> dict[str, Any]:
    """Everything but the rows of tables that clients write to."""
    with stage.postgres.connect() as connection:
        catalog = {
            name: _one(connection, query, stage.example.database)
            for name, query in (("row", ROW), ("settings", SETTINGS), ("comment", COMMENT))
        }
    return {
        **catalog,
        "content": _dump(stage),
        "login of the application": _login(stage),
        "services": {
            f"{service.name} {version}": stage.call(commands.status, check=False)
            for service in stage.loaded.plan.services
            for version, commands in ((Version.OLD, service.old), (Version.NEW, service.new), (Version.TEST, service.test))
            if commands
        },
        "traffic": [stage.call(door.status, check=False) for door in stage.loaded.plan.traffic],
    }


def _one(connection: psycopg.Connection[Any], query: Any, database: str) -> Any:
    row = connection.execute(query, (database,)).fetchone()
    return row[0] if row else None


def _number(connection: psycopg.Connection[Any], query: sql.Composed) -> int:
    row = connection.execute(query).fetchone()
    return int(row[0]) if row else 0


def _dump(stage: Stage) -> str:
    """sha256 of a plain dump, read as it is written."""
    digest = hashlib.sha256()
    written = [f"public.{name}" for table in stage.example.written for name in (table, f"{table}_id_seq")]
    options = [*DUMP, *(f"--exclude-table-data={name}" for name in written)]
    command = [str(stage.postgres.bin_dir / "pg_dump"), *options, "-d", stage.postgres.url(stage.example.database)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as dump:
        assert dump.stdout is not None  # noqa: S101  # it is a pipe
        while block := dump.stdout.read(1 << 20):
            digest.update(block)
        if dump.wait(timeout=DUMP_SECONDS):
            raise RuntimeError(f"pg_dump exited {dump.returncode}")
    return digest.hexdigest()


def _login(stage: Stage) -> str:
    """What the application sees when it connects."""
    try:
        url = stage.postgres.url(stage.example.database, stage.example.application)
        with psycopg.connect(url, connect_timeout=10) as connection:
            row = connection.execute(stage.example.login.encode()).fetchone()
        return str(row[0]) if row else "nothing"
    except psycopg.Error as error:
        return f"refused: {error}"
