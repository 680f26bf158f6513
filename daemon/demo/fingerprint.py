"""Production as it is: content to the byte, catalog row, settings, rights, services, logins. Taken before and after."""

from __future__ import annotations

import hashlib
import subprocess
from typing import Any

import psycopg

from cutoverd.daemon.demo.stage import APPLICATION, DATABASE, Stage
from cutoverd.states.ports import Version

DUMP = ["-Fp", "--restrict-key=cutoverd", "--no-unlogged-table-data"]
ROW = "SELECT to_jsonb(d) - 'datfrozenxid' - 'datminmxid' FROM pg_database d WHERE datname = %s"
SETTINGS = """
SELECT coalesce(jsonb_agg(to_jsonb(s) ORDER BY s.setrole), '[]') FROM pg_db_role_setting s
JOIN pg_database d ON d.oid = s.setdatabase WHERE d.datname = %s
"""
COMMENT = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s"
DUMP_SECONDS = 600


def fingerprint(stage: Stage) -> dict[str, Any]:
    """What must be the same again after the way back."""
    with stage.postgres.connect() as connection:
        catalog = {name: _one(connection, query) for name, query in (("row", ROW), ("settings", SETTINGS), ("comment", COMMENT))}
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


def _one(connection: psycopg.Connection[Any], query: Any) -> Any:
    row = connection.execute(query, (DATABASE,)).fetchone()
    return row[0] if row else None


def _dump(stage: Stage) -> str:
    """sha256 of a plain dump, read as it is written."""
    digest = hashlib.sha256()
    command = [str(stage.postgres.bin_dir / "pg_dump"), *DUMP, "-d", stage.postgres.url(DATABASE)]
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
        with psycopg.connect(stage.postgres.url(DATABASE, APPLICATION), connect_timeout=10) as connection:
            row = connection.execute("SELECT current_database() || ' ' || count(*) FROM public.airlines").fetchone()
        return str(row[0]) if row else "nothing"
    except psycopg.Error as error:
        return f"refused: {error}"
