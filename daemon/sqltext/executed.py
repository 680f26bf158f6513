r"""Statements that a file runs and that do not stand in it as such: in a literal before `\gexec`, or behind `:name`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest

from cutoverd.daemon.sqltext.pieces import pieces
from cutoverd.daemon.sqltext.rules import is_transaction_command
from cutoverd.daemon.sqltext.splitter import Statement, Unclosed, split
from cutoverd.daemon.sqltext.transaction_control import Call, Token, put_together, tokens, unquoted
from cutoverd.daemon.sqltext.variables import Variables

_DEEPEST = 5  # variables in variables
_LONGEST = 1_000_000  # characters, of the values that are put into one statement
_NAMED = re.compile(r"(?<!:):([A-Za-z_0-9\x80-\U0010ffff]+)")
_LIMITS = {"from", "where", "having", "limit", "offset"}
_SHARED = {"role", "user", "group", "database", "tablespace"}  # by all databases: no IF NOT EXISTS is known for them
_COMPARES = {"like", "ilike", "similar", "in", "is", "not", "between", "collate", "operator"}


@dataclass
class ByGexec:
    r"""What the query before `\gexec` makes: `sure`, as the literal is a value of its own; `maybe`, as only the query knows."""

    sure: list[Statement] = field(default_factory=list)
    guarded: list[Statement] = field(default_factory=list)  # by a query that may give no row
    maybe: list[Statement] = field(default_factory=list)  # that begin or end a transaction
    calls: list[Call] = field(default_factory=list)  # maybe


def run_by_gexec(query: str, line: int) -> ByGexec:
    """`line`: where the query begins, of the statements; the calls have theirs from there on."""
    found, made = list(tokens(query)), ByGexec()
    values, may_be_empty = set(_values(found)), _may_be_empty(found)
    for at, token in enumerate(found):
        if token.kind != "text":
            continue
        run = _statements(unquoted(token.text), line + token.line)
        if at in values:
            (made.guarded if may_be_empty else made.sure).extend(run)
        elif call := put_together(token):
            made.calls.append(call)
        elif _may_be_value(found, at):
            made.maybe += [each for each in run if is_transaction_command(each)]
    return made


def _may_be_empty(found: Sequence[Token]) -> bool:
    """As far as it says so itself: not in a function, where FROM is another word."""
    return any(token.text.lower() in _LIMITS for token in _outside_brackets(found))


def _outside_brackets(found: Sequence[Token]) -> Iterator[Token]:
    depth = 0
    for token in found:
        depth += token.text.count("(") - token.text.count(")") if token.kind == "other" else 0
        if depth == 0:
            yield token


def is_made_once(statement: Statement) -> bool:
    """CREATE ROLE, say, which a query may give where there is none."""
    return statement.words[:1] == ("create",) and not _SHARED.isdisjoint(statement.words[1:2])


def _values(found: Sequence[Token]) -> Iterator[int]:
    """Where a literal is a whole value of SELECT, or of VALUES."""
    depth, in_list = 0, False
    wanted = 1 if found and found[0].text.lower() == "values" else 0
    for at, token in enumerate(found):
        word = token.text.lower()
        if token.kind == "other":
            depth += token.text.count("(") - token.text.count(")")
        elif depth == 0 and word in {"select", "values", "from"}:
            in_list = word != "from"
        elif token.kind == "text" and in_list and depth == wanted and _is_alone(found, at):
            yield at


def _is_alone(found: Sequence[Token], at: int) -> bool:
    before, after = found[at - 1], found[at + 1] if at + 1 < len(found) else None
    begins = before.text.endswith((",", "(")) if before.kind == "other" else before.text.lower() in {"select", "all", "distinct"}
    if after is None or after.kind != "other":
        return begins and (after is None or after.text.lower() not in _COMPARES)
    return begins and after.text.startswith((",", ")", ";", "::"))


def _may_be_value(found: Sequence[Token], at: int) -> bool:
    """In CASE, or in a function that may give it as it is."""
    before, after = found[at - 1] if at else None, found[at + 1] if at + 1 < len(found) else None
    if before and before.text.lower() in {"then", "else"}:
        return True
    return bool(before and before.text.endswith("(") and after and after.text.startswith((",", ")")))


def _statements(text: str, line: int) -> list[Statement]:
    try:
        return [replace(each, line=line + each.line - 1) for each in split(text) if isinstance(each, Statement)]
    except Unclosed:
        return []


def interpolated(statement: Statement, variables: Variables) -> list[Statement]:
    """As psql sends it, where a variable that is known stands in it; more than one if its value has a semicolon.

    Found: a value of 100 KB that stood 5000 times in a statement took 1.4 GB. What is too long stays as it stands.
    """
    text, left = statement.text, _LONGEST
    if not any(_is_known(name, variables) for name in _NAMED.findall(text)):
        return [statement]
    for _ in range(_DEEPEST):
        before, text = text, "".join(_filled(list(pieces(text)), variables, left))
        left -= max(0, len(text) - len(before))
        if text == before:
            break
    filled = [] if text == statement.text else _statements(text, statement.line)
    return filled or [statement]


def _filled(parts: Sequence[tuple[str, str]], variables: Variables, left: int) -> Iterator[str]:
    """`:name` outside of quotes; not `::type`. Of the values at most `left` characters."""
    value = None  # of the name that comes
    for (kind, text), following in zip_longest(parts, parts[1:]):
        if value is not None:
            yield value
            value = None
            continue
        is_colon = kind == "other" and text.endswith(":") and not text.endswith("::")
        if is_colon and following and following[0] in {"name", "number"} and not following[1].startswith('"'):
            value = variables.resolve(f":{following[1]}")
        if value is not None and len(value) > left:
            value = None
        left -= len(value or "")
        yield text if value is None else text[:-1]


def _is_known(name: str, variables: Variables) -> bool:
    return not name.startswith('"') and variables.resolve(f":{name}") is not None
