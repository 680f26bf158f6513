"""What helps where a file may not do what it does: made from the server's words."""

from __future__ import annotations

import re

from cutoverd.daemon.sqltext import server_wide

_OWNER = re.compile(r"^must be owner of (?P<type>[a-z ]+) (?P<name>\S+)$")
_NO_RIGHT = re.compile(r"^permission denied for (?P<type>[a-z ]+) (?P<name>\S+)$")
_NO_IDENTITY = re.compile(r'^cannot (?:update|delete from) table (?P<name>".+") because it does not have a replica identity')
_EXTENSION = re.compile(r'^permission denied to create extension (?P<name>".+")')
_COPY = {
    "COPY from a file": "pg_read_server_files",
    "COPY to a file": "pg_write_server_files",
    "COPY to or from an external program": "pg_execute_server_program",
}


def helps(sqlstate: str | None, message: str, owner: str) -> str:
    """`owner`: of the database, as whom the files run; "" where nothing is known to help."""
    if sqlstate == "42501" and message.startswith("must be owner of database "):
        return server_wide.ALTER_ADVICE
    if sqlstate == "42501" and (found := _OWNER.match(message)):
        return (
            f"ALTER {found['type'].upper().replace('RELATION', 'TABLE')} {found['name']} OWNER TO {owner}, as whom the files run"
        )
    if sqlstate == "42501" and (found := _NO_RIGHT.match(message)):
        return f"GRANT what it needs on {found['type']} {found['name']} to {owner}, as whom the files run"
    if sqlstate == "42501" and "row-level security" in message:
        return f"ALTER ROLE {owner} BYPASSRLS, or begin with ALTER TABLE … NO FORCE ROW LEVEL SECURITY"
    if sqlstate == "55000" and (found := _NO_IDENTITY.match(message)):
        return f"ALTER TABLE {found['name']} REPLICA IDENTITY FULL, or give it a primary key: a publication has it"
    if sqlstate == "42501" and (found := _EXTENSION.match(message)):
        return f"let a superuser CREATE EXTENSION {found['name']} in production beforehand, and write IF NOT EXISTS"
    if sqlstate == "42501" and (role := next((role for words, role in _COPY.items() if words in message), "")):
        return f"GRANT {role} TO {owner}, as whom the files run, or write \\copy"
    if sqlstate == "42501":
        return f"give {owner}, as whom the files run, the right to it, or have it done by hand beforehand"
    return ""
