"""What statements of the SQL files need of the server, and the database's owner, as whom they run, has not: asked of the catalog.

Data scripts are run in the window for the first time: what would fail there is found before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from cutoverd.daemon.postgres.session.fetch import fetch_all
from cutoverd.daemon.postgres.session.reach import Connection
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
SELECT n.nspname::text, c.relname::text, t.oid::regclass::text, p.pubname::text, p.pubupdate, p.pubdelete
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
IDENTIFIES = {"primary", "identity"}
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

    def is_of(self, name: Sequence[str]) -> bool:
        """Without a schema only what everybody finds so: which one is meant elsewhere, the search path says."""
        return tuple(name) == (self.schema, self.name) or (tuple(name) == (self.name,) and self.schema == "public")


@dataclass
class ScriptNeeds:
    """Called with each statement, in order: (what is wrong, what helps), each."""

    owner: str
    extensions: dict[str, bool]  # those that the server has; whether he may create it
    roles: set[str]  # of those for files of the server, what he has
    published: list[Published] = field(default_factory=list)
    _is_owner: bool = True  # not behind a SET ROLE

    def begin_file(self) -> None:
        """Whatever role the one before has set is reset in between. Found: it hid what the next file needs."""
        self._is_owner = True

    def __call__(self, statement: Statement) -> list[tuple[str, str]]:
        words = statement.words
        if words[:1] in {("set",), ("reset",)} and {"role", "authorization"} & set(words[1:3]):
            self._is_owner = words[0] == "reset"
        elif words[:2] == ("create", "extension"):
            return list(self._of_extension(list(tokens(statement.text))))
        elif words[:1] == ("copy",) and self._is_owner:
            return list(self._of_files(list(tokens(statement.text))))
        elif words[:1] in {("update",), ("delete",)}:
            return list(self._of_published(words, list(tokens(statement.text))))
        elif words[:1] in {("alter",), ("create",), ("drop",)}:
            self._forget(words, list(tokens(statement.text)))
        return []

    def _of_extension(self, found: list[Token]) -> Iterator[tuple[str, str]]:
        name = ".".join(_name(found, 5 if found[2:3] and found[2].text.lower() == "if" else 2))
        if self.extensions.get(name) is None:
            yield f"the server has no extension {name}", "install its package there beforehand"
        elif not self.extensions[name] and self._is_owner:
            advice = f"let a superuser CREATE EXTENSION {name} in production beforehand, and write IF NOT EXISTS here"
            yield f"extension {name} is not trusted: only a superuser may create it, and the files run as {self.owner}", advice

    def _of_files(self, found: list[Token]) -> Iterator[tuple[str, str]]:
        needed = _file_role(found)
        if needed and needed not in self.roles:
            advice = f"GRANT {needed} TO {self.owner}, or write \\copy, which reads and writes on this machine"
            yield f"COPY with a file or a program of the server needs {needed}, which {self.owner} has not", advice

    def _of_published(self, words: Sequence[str], found: list[Token]) -> Iterator[tuple[str, str]]:
        begins = next((begins for begins in CHANGES if tuple(words[: len(begins)]) == begins), ())
        is_only = [each.text.lower() for each in found[len(begins) : len(begins) + 1]] == ["only"]
        name = _name(found, len(begins) + is_only)
        for table in self.published if begins else ():
            if table.is_of(name) and getattr(table, change := CHANGES[begins]):
                wrong = f"{table.identity} has no replica identity, and publication {table.publication} publishes each {change}"
                yield wrong, f"ALTER TABLE {table.identity} REPLICA IDENTITY FULL before it, or give it a primary key"

    def _forget(self, words: Sequence[str], found: list[Token]) -> None:
        """What files mend themselves, or take away, is as they left it."""
        names = {word for word in words if word in {"publication", "table", "index"}}
        if "publication" in names:
            self.published.clear()
        elif names and (
            words[0] == "drop"
            or (words[0] == "create" and "table" in names)
            or IDENTIFIES & {each.text.lower() for each in found}
        ):
            named = [_name(found, at) for at, each in enumerate(found) if each.kind == "name"]
            self.published = [table for table in self.published if not any(table.is_of(name) for name in named)]


async def read_needs(conn: Connection, owner: str) -> ScriptNeeds:
    """In production, where new comes from."""
    extensions = dict(await fetch_all(conn, EXTENSIONS, (owner,)))
    roles = {name for (name,) in await fetch_all(conn, FILE_ROLES, (owner,))}
    return ScriptNeeds(owner, extensions, roles, [Published(*row) for row in await fetch_all(conn, WITHOUT_IDENTITY)])


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


def _name(found: Sequence[Token], at: int) -> tuple[str, ...]:
    """The name that stands there, with its schema."""
    name = list[str]()
    while at < len(found) and found[at].kind == "name":
        text = found[at].text
        name.append(text[1:-1].replace('""', '"') if text.startswith('"') else text.lower())
        if at + 1 >= len(found) or found[at + 1].text != ".":
            break
        at += 2
    return tuple(name)
