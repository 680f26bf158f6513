"""What statements of the SQL files need of the server, and the database's owner, as whom they run, has not: asked of the catalog.

Data scripts are run in the window for the first time: what would fail there is found before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from cutoverd.daemon.postgres.session.fetch import fetch_all, fetch_one
from cutoverd.daemon.postgres.session.reach import Connection
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.postgres.session.session import session
from cutoverd.daemon.sqltext.relation_names import altered_by, dotted, dropped_by
from cutoverd.daemon.sqltext.relations import Relation, Relations
from cutoverd.daemon.sqltext.role_and_path import FileSession
from cutoverd.daemon.sqltext.splitter import Statement
from cutoverd.daemon.sqltext.transaction_control import Token, tokens

EXTENSIONS = """
SELECT a.name::text, NOT coalesce(v.superuser, false) OR v.trusted OR r.rolsuper OR a.installed_version IS NOT NULL
  FROM pg_catalog.pg_available_extensions a
  LEFT JOIN pg_catalog.pg_available_extension_versions v ON v.name = a.name AND v.version = a.default_version
 CROSS JOIN (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = %s) r
"""
FILE_ROLES = """
SELECT name FROM unnest('{pg_read_server_files,pg_write_server_files,pg_execute_server_program}'::name[]) AS l (name)
 WHERE pg_catalog.pg_has_role(%s, name, 'USAGE')
"""
# tables of a publication that say of no row which one it was, with those that they are partitions of
WITHOUT_IDENTITY = """
SELECT n.nspname::text, c.relname::text, t.oid::regclass::text, p.pubname::text, p.pubupdate, p.pubdelete, c.oid = t.oid
  FROM pg_catalog.pg_publication_tables l
  JOIN pg_catalog.pg_publication p ON p.pubname = l.pubname AND (p.pubupdate OR p.pubdelete)
  JOIN pg_catalog.pg_namespace s ON s.nspname = l.schemaname
  JOIN pg_catalog.pg_class t ON t.relname = l.tablename AND t.relnamespace = s.oid AND t.relkind = 'r'
 CROSS JOIN LATERAL (SELECT t.oid AS oid UNION SELECT relid FROM pg_catalog.pg_partition_ancestors(t.oid)) a
  JOIN pg_catalog.pg_class c ON c.oid = a.oid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE t.relreplident = 'n'
    OR t.relreplident IN ('d', 'i') AND NOT EXISTS (
         SELECT FROM pg_catalog.pg_index i
          WHERE i.indrelid = t.oid AND CASE t.relreplident WHEN 'd' THEN i.indisprimary ELSE i.indisreplident END)
 ORDER BY 1, 2, 3, 4
"""
SCHEMAS = """
SELECT n.nspname::text, ARRAY(SELECT u.rolname::text FROM pg_catalog.pg_roles u WHERE u.rolname = ANY (%s)
                                 AND NOT pg_catalog.has_schema_privilege(u.oid, n.oid, 'USAGE'))
  FROM pg_catalog.pg_namespace n WHERE n.nspname NOT LIKE 'pg\\_t%%'
"""
RELATIONS = """
SELECT n.nspname::text, c.relname::text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
"""
LOGIN_AND_PATH = "SELECT session_user::pg_catalog.text, pg_catalog.current_setting('search_path')"
UNKNOWN = ""  # a name that psql puts in, as in `DROP PUBLICATION :"name"`
KEY, IDENTITY = ("primary", "key"), ("replica", "identity")
CHANGES: dict[tuple[str, ...], str] = {("update",): "update", ("delete", "from"): "delete"}


@dataclass(frozen=True)
class Published:
    """A table without replica identity; `name`: its own, or that of one that it is a partition of."""

    schema: str
    name: str
    identity: str
    publication: str
    update: bool
    delete: bool
    is_own: bool = True  # the name

    @property
    def relation(self) -> Relation:
        return self.schema, self.name


@dataclass(frozen=True)
class Rights:
    """What a role may do."""

    extensions: Mapping[str, bool] = field(default_factory=dict)  # those that the server has; whether he may create it
    files: frozenset[str] = frozenset()  # of the roles for files of the server, what he has


@dataclass
class ScriptNeeds:
    """Called with each statement, in order: (what is wrong, what helps), each."""

    runs: FileSession  # as whom, and where names are found
    rights: Mapping[str, Rights]  # of the owner and of our own role; what another may do is not judged
    published: list[Published] = field(default_factory=list)
    relations: Relations = field(default_factory=lambda: Relations({}, set()))

    def begin_session(self) -> None:
        self.relations.begin_session()

    def begin_file(self, *, in_transaction: bool = True) -> None:
        self.runs.begin_file(in_transaction=in_transaction)

    def __call__(self, statement: Statement, *, certain: bool = True) -> list[tuple[str, str]]:
        """Not `certain`: behind an `\\if` that nobody can tell here, whatever it needs may not be needed."""
        self.runs.follow(statement, certain=certain)
        found = self._judge(statement)
        return found if certain else []

    def _judge(self, statement: Statement) -> list[tuple[str, str]]:
        words = statement.words
        if words[:2] == ("create", "extension"):
            return list(self._of_extension(list(tokens(statement.text))))
        if words[:1] == ("copy",):
            return list(self._of_files(list(tokens(statement.text))))
        if words[:1] in {("update",), ("delete",)}:
            return list(self._of_published(words, list(tokens(statement.text))))
        if words[:1] in {("alter",), ("create",), ("drop",), ("select",), ("with",)}:
            self._follow(list(tokens(statement.text)))
        return []

    def _of_extension(self, found: list[Token]) -> Iterator[tuple[str, str]]:
        name = ".".join(dotted(found, 5 if found[2:3] and found[2].text.lower() == "if" else 2)[0])
        extensions, role = self.rights[self.runs.owner].extensions, self.runs.now.role or ""
        if name and name not in extensions:
            yield f"the server has no extension {name}", "install its package there beforehand"
        elif name and role in self.rights and not self.rights[role].extensions.get(name):
            advice = f"let a superuser CREATE EXTENSION {name} in production beforehand, and write IF NOT EXISTS here"
            yield f"extension {name} is not trusted: only a superuser may create it, and {_runs_as(self.runs)}", advice

    def _of_files(self, found: list[Token]) -> Iterator[tuple[str, str]]:
        needed, role = _file_role(found), self.runs.now.role or ""
        if needed and role in self.rights and needed not in self.rights[role].files:
            advice = f"GRANT {needed} TO {role}, or write \\copy, which reads and writes on this machine"
            yield f"COPY with a file or a program of the server needs {needed}, which {role} has not", advice

    def _of_published(self, words: Sequence[str], found: list[Token]) -> Iterator[tuple[str, str]]:
        begins = next((begins for begins in CHANGES if tuple(words[: len(begins)]) == begins), ())
        is_only = [each.text.lower() for each in found[len(begins) : len(begins) + 1]] == ["only"]
        meant = self.relations.meant(dotted(found, len(begins) + is_only)[0], self.runs.now)
        for table in self.published if begins else ():
            if table.relation == meant and getattr(table, change := CHANGES[begins]):
                wrong = f"{table.identity} has no replica identity, and publication {table.publication} publishes each {change}"
                yield wrong, f"ALTER TABLE {table.identity} REPLICA IDENTITY FULL before it, or give it a primary key"

    def _follow(self, found: list[Token]) -> None:
        """What files mend themselves, or take away, is as they left it."""
        self._forget_publications(found)
        self._forget_mended(found)
        moved = self.relations.follow(found, self.runs.now)
        self._forget([table for table in self.published if moved.get(table.relation, ()) is None])
        self.published = [_moved(table, moved) for table in self.published]

    def _forget_publications(self, found: list[Token]) -> None:
        altered = altered_by(found, {"publication"})
        changed = [altered.name] if altered and altered.rest[:1] not in {("add",), ("owner",)} else []
        names = {".".join(name) for name in (*changed, *dropped_by(found, {"publication"}))}
        self.published = [table for table in self.published if not names & {table.publication, UNKNOWN}]

    def _forget_mended(self, found: list[Token]) -> None:
        """A key of a partitioned table is its partitions' too; its replica identity is not."""
        altered = altered_by(found, {"table"})
        if altered and (mended := _mended(altered.rest)):
            named = self.relations.may_be(altered.name, self.runs.now)
            found_so = [table for table in self.published if table.relation in named]
            self._forget([table for table in found_so if mended == KEY or table.is_own])

    def _forget(self, gone: Sequence[Published]) -> None:
        """By whichever name they are written to. Found: what mended a partition was not seen where the whole is written to."""
        identities = {table.identity for table in gone}
        self.published = [table for table in self.published if table.identity not in identities]


async def read_needs(server: Server, conn: Connection, owner: str) -> ScriptNeeds:
    """In production, where new comes from; `conn` is in it. The path is that of a session of the plan."""
    async with session(server, server.names.production, of_plan=True) as of_plan:
        login, path = await fetch_one(of_plan, LOGIN_AND_PATH) or ("", "")
    rights = {role: await _rights(conn, role) for role in (owner, login)}
    published = [Published(*row) for row in await fetch_all(conn, WITHOUT_IDENTITY)]
    relations = await _relations(conn, [owner, login]) if published else Relations({}, set())
    return ScriptNeeds(FileSession(owner, login, path), rights, published, relations)


async def _relations(conn: Connection, roles: list[str]) -> Relations:
    schemas = {schema: frozenset(barred) for schema, barred in await fetch_all(conn, SCHEMAS, (roles,))}
    return Relations(schemas, set(await fetch_all(conn, RELATIONS)))


async def _rights(conn: Connection, role: str) -> Rights:
    extensions = dict(await fetch_all(conn, EXTENSIONS, (role,)))
    return Rights(extensions, frozenset(name for (name,) in await fetch_all(conn, FILE_ROLES, (role,))))


def _mended(rest: Sequence[str]) -> tuple[str, str] | None:
    """Not by `GENERATED … AS IDENTITY`, and not by REPLICA IDENTITY NOTHING."""
    pairs = list(pairwise(rest))
    return next((pair for pair in (KEY, IDENTITY) if pair in pairs and ("identity", "nothing") not in pairs), None)


def _moved(table: Published, moved: Mapping[Relation, Relation | None]) -> Published:
    now = moved.get(table.relation)
    return replace(table, schema=now[0], name=now[1]) if now else table


def _runs_as(runs: FileSession) -> str:
    role = runs.now.role
    return f"the files run as {role}" if role == runs.owner else f"this runs as {role}"


def _file_role(found: Sequence[Token]) -> str:
    """Of `COPY … FROM 'file'`, `TO 'file'`, `FROM PROGRAM '…'`; "" of any other COPY."""
    depth = 0
    for token, after in pairwise(found):
        depth += token.text.count("(") - token.text.count(")") if token.kind == "other" else 0
        if depth == 0 and token.kind == "name" and (way := token.text.lower()) in {"from", "to"}:
            if after.kind == "text":
                return "pg_read_server_files" if way == "from" else "pg_write_server_files"
            return "pg_execute_server_program" if after.text.lower() == "program" else ""
    return ""
