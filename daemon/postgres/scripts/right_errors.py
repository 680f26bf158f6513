"""What helps where a file may not do what it does: made from the server's words."""

from __future__ import annotations

import re

from cutoverd.daemon.sqltext import server_wide

_OWNER = re.compile(r"^must be owner of (?P<type>[a-z ]+) (?P<name>\S+)$")
_NO_RIGHT = re.compile(r"^permission denied for (?P<type>[a-z ]+) (?P<name>\S+)$")


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
    return ""
