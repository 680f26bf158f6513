"""An example's old database, a clone that its files were applied to, and its services: what the tests of its data look at."""

from __future__ import annotations

import importlib.util
import os
import string
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import psycopg
import yaml
from psycopg import sql
from support.paths import EXAMPLES
from support.servers import Cluster, Clusters

GIVEN = ("RUN", "STATE_DIR", "PYTHON")


@dataclass(frozen=True)
class Example:
    """A folder of deploy/examples; `ports` are the names that its plan wants ports for."""

    name: str
    ports: Sequence[str]

    @property
    def folder(self) -> Path:
        return EXAMPLES / self.name

    def filled_in(self, **given: object) -> str:
        """The plan, whatever is not given filled in with something harmless."""
        harmless = dict.fromkeys((*GIVEN, *self.ports), "1") | {
            "URL": f"postgresql://cutover@127.0.0.1/{self.name}",
            "TOOLS": "/usr/bin",
            "GATES": "[downtime, cutover]",
            "OPERATORS": "[]",
            "MONITOR": "2s",
            "APP_URL": f"postgresql://{self.name}_app@127.0.0.1/{self.name}",
            "SMOKE_URL": f"postgresql://{self.name}_smoke@127.0.0.1/{self.name}",
        }
        return string.Template((self.folder / "plan.yaml").read_text()).substitute(harmless | given)

    @cached_property
    def comparisons(self) -> dict[str, dict[str, Any]]:
        plan = yaml.safe_load(self.filled_in())
        return {comparison["name"]: comparison for comparison in plan["validate"]["compare"]}

    def loader(self) -> Any:
        spec = importlib.util.spec_from_file_location(f"{self.name}_load", self.folder / "legacy" / "load.py")
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module


@dataclass
class Migrated:
    """The old database, named as the example, and `<name>_next`, a clone that the plan's files were applied to as the owner."""

    cluster: Cluster
    example: Example
    loaded: dict[str, int]

    @classmethod
    @contextmanager
    def made(cls, clusters: Clusters, major: str, folder: Path, example: Example, *loaded: Any) -> Iterator[Migrated]:
        """On a server of its own; `loaded` goes to the example's loader. Nobody may write to either database."""
        cluster = clusters.fresh(major, folder)
        try:
            for role in (f"{example.name}_app", f"{example.name}_smoke"):
                cluster.postgres.add_login(role)
            loader = example.loader()
            loader.create(cluster.superuser_url())
            made = cls(cluster, example, loader.load(cluster.superuser_url(example.name), *loaded))
            made.apply(made.clone(example.name, f"{example.name}_next"))
            yield made
        finally:
            clusters.clean(major)

    def apply(self, database: str) -> None:
        """The schema files, then each data script, a transaction each."""
        db = self.example.folder / "db"
        for files in (
            sorted((db / "0_schema").glob("**/*.sql")),
            *([f] for f in sorted((db / "migrations/data_migration").glob("*.sql"))),
        ):
            done = self.psql(database, *files)
            assert done.returncode == 0, done.stderr

    def psql(self, database: str, *files: Path) -> subprocess.CompletedProcess[str]:
        """Files in one transaction, as the daemon runs them."""
        options = f"-c role={self.example.name}_owner"
        return subprocess.run(
            [self.cluster.bin_dir / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "--single-transaction"]
            + [word for file in files for word in ("-f", str(file))],
            env={**os.environ, **_libpq(self.cluster.superuser_url(database)), "PGOPTIONS": options},
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )

    def clone(self, source: str, name: str) -> str:
        create = "CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY OWNER {}"
        names = (name, source, f"{self.example.name}_owner")
        with self.cluster.superuser() as connection:
            connection.execute(sql.SQL(create).format(*map(sql.Identifier, names)))
        return name

    def rows(self, database: str, query: str) -> list[tuple[Any, ...]]:
        return self.cluster.execute(query, database)

    def differing(self, name: str, new: str) -> list[dict[str, Any]]:
        """The keys of one comparison whose rows are not the same in old and new."""
        asked = self.example.comparisons[name]
        rows = [self.content(self.example.name, asked["old"]), self.content(new, asked["new"])]
        alone = [*_only(*rows), *_only(*reversed(rows))]
        keys = sorted({tuple(row[column] for column in asked["key"]) for row in alone})
        return [dict(zip(asked["key"], key, strict=True)) for key in keys]

    def content(self, database: str, query: str) -> list[dict[str, Any]]:
        with psycopg.connect(self.cluster.superuser_url(database), row_factory=psycopg.rows.dict_row) as connection:
            return connection.execute(query.encode()).fetchall()

    def sum_of(self, database: str, query: str, key: list[str]) -> tuple[Any, ...]:
        """Rows, different keys, and a sum over the hashes of all rows: equal only if the contents are."""
        hashed = "sum(hashtextextended(q::text, 0)::numeric)"
        [found] = self.rows(database, f"SELECT count(*), count(DISTINCT ({', '.join(key)})), {hashed} FROM ({query}) q")
        return found

    def validated(self, database: str) -> list[tuple[str, bool | None]]:
        """Each check of the validation script, and whether it is true."""
        found = []
        script = (self.example.folder / "db" / "migrations" / "validation" / "001_validate_migration.sql").read_text()
        with self.cluster.superuser(database) as connection:
            cursor = connection.execute(script.encode())
            while True:
                columns = [column.name for column in cursor.description or []]
                found += [(row[columns.index("check")], row[columns.index("ok")]) for row in cursor.fetchall()]
                if not cursor.nextset():
                    return found


def _only(here: list[dict[str, Any]], there: list[dict[str, Any]]) -> list[dict[str, Any]]:
    known = {tuple(row.items()) for row in there}
    return [row for row in here if tuple(row.items()) not in known]


def _libpq(url: str) -> dict[str, str]:
    given = psycopg.conninfo.conninfo_to_dict(url)
    names = {"dbname": "PGDATABASE", "host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "passfile": "PGPASSFILE"}
    return {names[key]: str(value) for key, value in given.items()}


def ctl(folder: Path, verb: str, version: str, *more: str) -> subprocess.CompletedProcess[str]:
    """The api of a copy of the example, by its control script."""
    pidfile = folder / "run" / f"api.{version}.pid"
    return _python(folder, "app/ctl.py", verb, "--version", version, "--pidfile", str(pidfile), *more)


def smoke(folder: Path, port: int, *more: str) -> subprocess.CompletedProcess[str]:
    return _python(folder, "-m", "pytest", "tests/smoke/", "-v", "--url", f"http://127.0.0.1:{port}", *more)


def _python(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], cwd=folder, capture_output=True, text=True, timeout=120, check=False)


def answer(port: int, path: str) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answered:
        return bytes(answered.read())
