"""Which tables and routines a statement names, and what it needs of them: their owner's rights, or leave to read or write.

By the text alone, so never certain: a name in a `DO` is found, one that is put together is not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from cutoverd.daemon.sqltext.pieces import pieces, plain_name
from cutoverd.daemon.sqltext.splitter import Statement

Name = tuple[str, ...]  # schema and name, or the name alone
_SKIPPED = frozenset({
    "alter", "drop", "create", "or", "replace", "table", "view", "materialized", "function", "procedure", "routine", "aggregate",
    "sequence", "type", "domain", "schema", "foreign", "if", "exists", "only", "temp", "temporary", "recursive",
})  # fmt: skip
_ON_IT = re.compile(r"(?:alter|drop|create(?:\s+or\s+replace)?(?:\s+constraint)?)\s+(?:trigger|policy|rule)\b", re.IGNORECASE)
_INDEX = re.compile(r"create\s+(?:unique\s+)?(?:index|statistics)\b", re.IGNORECASE)
_REPLACES = re.compile(r"create\s+or\s+replace\s+(?:view|function|procedure|aggregate)\b", re.IGNORECASE)
_OWNERS = frozenset({"reindex", "cluster", "vacuum", "refresh", "comment", "drop"})
_BEFORE_A_TABLE = frozenset(
    {"from", "join", "into", "update", "table", "using", "only", "truncate", "lock", "copy", "references"}
)
_WITH = re.compile(r'("[^"]+"|\w+)\s+as\s+(?:(?:not\s+)?materialized\s*)?\(', re.IGNORECASE)
_MAKES = frozenset({"view", "function", "procedure", "type", "sequence", "domain", "aggregate", "exists"})
_DOLLARS = re.compile(r"\A(\$\w*\$)(.*)\1\Z", re.DOTALL)


class Need(Enum):
    """What a statement needs of what it names."""

    OWNER = "owner"
    PRIVILEGE = "privilege"


@dataclass(frozen=True)
class Mention:
    """One name in a statement."""

    name: Name
    need: Need

    def is_of(self, schema: str, name: str) -> bool:
        """A name without its schema may be meant."""
        return self.name in ((schema, name), (name,))


def mentions(statement: Statement) -> Iterator[Mention]:
    """Each once or more, in order."""
    yield from _of_text(statement.text, statement.words[0] if statement.words else "")


def _of_text(text: str, verb: str) -> Iterator[Mention]:
    names = list(_names(text))
    if verb == "do":
        yield from _of_bodies(text)
    elif _ON_IT.match(text) or _INDEX.match(text):
        yield from (Mention(name, Need.OWNER) for before, name in names if before == "on")
    elif verb == "alter" or _REPLACES.match(text):
        first = next((n for n, (_, name) in enumerate(names) if name[-1] not in _SKIPPED or len(name) > 1), len(names))
        yield from (Mention(name, Need.OWNER) for _, name in names[first : first + 1])
        yield from (Mention(name, Need.PRIVILEGE) for before, name in names[first + 1 :] if before in _BEFORE_A_TABLE)
    elif verb in _OWNERS:
        yield from (Mention(name, Need.OWNER) for _, name in names)
    elif verb not in ("grant", "revoke"):
        named_here = {plain_name(found) for found in _WITH.findall(text)}
        words = _BEFORE_A_TABLE | (_MAKES if verb == "create" else frozenset())
        read = (name for before, name in names if before in words)
        yield from (Mention(name, Need.PRIVILEGE) for name in read if len(name) > 1 or name[0] not in named_here)


def _of_bodies(text: str) -> Iterator[Mention]:
    """The statements of a `DO`, roughly: what stands between two semicolons, behind the words of a loop or a block."""
    for kind, piece in pieces(text):
        if kind == "text" and (body := _DOLLARS.match(piece)):
            for part in body[2].split(";"):
                found = re.search(
                    r"\b(alter|drop|truncate|insert|update|delete|select|create|merge)\b.*", part, re.IGNORECASE | re.DOTALL
                )
                if found:
                    yield from _of_text(found[0], found[1].lower())


def _names(text: str) -> Iterator[tuple[str, Name]]:
    """(the word before, the dotted name), unquoted, and in lower case where it is not quoted."""
    tokens = list(_tokens(text))
    at, before = 0, ""
    while at < len(tokens):
        if tokens[at][0] != "name":
            at, before = at + 1, ""
            continue
        chain = [plain_name(tokens[at][1])]
        while [kind for kind, _ in tokens[at + 1 : at + 3]] == ["dot", "name"]:
            at += 2
            chain.append(plain_name(tokens[at][1]))
        yield before, tuple(chain)
        at, before = at + 1, chain[0] if len(chain) == 1 else ""


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    for kind, piece in pieces(text):
        if kind == "other":
            yield from (("dot" if sign == "." else kind, sign) for sign in piece)
        elif kind not in ("blank", "comment"):
            yield kind, piece
