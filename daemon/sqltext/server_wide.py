"""Statements about what all databases share: roles, and the database as a whole. They reach past the copy that files are run on.

PreCheck runs the schema files on a scratch database, where they change production itself; no way back undoes them. The name of
production is the placeholder's while files run in the window, and what new grants on itself is replaced by what old granted.
"""

from __future__ import annotations

import re

from cutoverd.daemon.sqltext.pieces import pieces, plain_name
from cutoverd.daemon.sqltext.splitter import Statement

_NAME = r"""(?P<name>"(?:[^"]|"")*"|:["']?\w+["']?|[^\s;,()"']+)"""
_REST = r"""(?:[^"]|"[^"]*")*?"""
_OF_ROLES = re.compile(
    r"(?:create|alter|drop)\s+(?:role|user(?!\s+mapping\b)|group)\b|(?:reassign|drop)\s+owned\b|(?:grant|revoke)\b(?!.*\bon\b)",
    re.IGNORECASE | re.DOTALL,
)
_OF_DATABASE = re.compile(
    rf"(?:alter\s+database|(?:comment|security\s+label)\b{_REST}\bon\s+database)\s+{_NAME}", re.IGNORECASE | re.DOTALL
)
_ON_DATABASE = re.compile(
    rf"(?:grant|revoke)\b{_REST}\bon\s+database\s+(?P<names>.*?)\s+(?:to|from)\b", re.IGNORECASE | re.DOTALL
)
_NAMES = re.compile(_NAME)
_IN_A_BODY = re.compile(
    rf"\b(?:(?:create|alter|drop)\s+(?:role|user(?!\s+mapping\b)|group)|(?:reassign|drop)\s+owned)\b"
    rf"|\b(?:alter|on)\s+database\s+{_NAME}",
    re.IGNORECASE,
)
_FIRST = {"create", "alter", "drop", "reassign", "grant", "revoke", "comment", "security"}
ROLES = "it changes roles, which are the server's"
DATABASE = "it changes the database as a whole"
ROLES_ADVICE = (
    "PreCheck would change them for production, and no rollback undoes it; see to it by hand beforehand, and take it out"
)
ALTER_ADVICE = (
    "that name is the placeholder's while files run, and production's in PreCheck; say it of production beforehand, "
    'which new takes over, or write :"DBNAME" for the name'
)
GRANT_ADVICE = "new gets what production grants, and nothing that a file grants on it; grant it on production beforehand"


def reaches_beyond(statement: Statement, production: str) -> tuple[str, str] | None:
    """(problem, advice) where it surely does; a database of another name is somebody else's affair."""
    if statement.words[:1] and statement.words[0] in _FIRST:
        text = _plain(statement.text)
        if _OF_ROLES.match(text):
            return ROLES, ROLES_ADVICE
        if (found := _OF_DATABASE.match(text)) and plain_name(found["name"]) == production:
            return DATABASE, ALTER_ADVICE
        if (found := _ON_DATABASE.match(text)) and any(
            name.startswith(":") or plain_name(name) == production for name in _NAMES.findall(found["names"])
        ):
            return DATABASE, GRANT_ADVICE
    return None


def may_reach_beyond(statement: Statement, production: str) -> tuple[str, str] | None:
    """The same of the body of a `DO`, which may know better: it looks whether the role is there, say."""
    if statement.words[:1] != ("do",) or not (found := _IN_A_BODY.search(_without_comments_inside(statement.text))):
        return None
    if found["name"] is None:
        return ROLES, ROLES_ADVICE
    return (DATABASE, ALTER_ADVICE) if plain_name(found["name"]) == production else None


def _plain(text: str) -> str:
    """Without comments, and with nothing in its literals."""
    kinds = {"comment": " ", "text": "''"}
    return "".join(kinds.get(kind, piece) for kind, piece in pieces(text))


def _without_comments_inside(text: str) -> str:
    """A body is a literal: what is a comment in it is none out here."""
    return re.sub(r"--[^\n]*|/\*.*?\*/", " ", text, flags=re.DOTALL)
