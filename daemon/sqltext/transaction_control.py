"""COMMIT and ROLLBACK in the body of a DO block, and CALLs of procedures that have them: in a transaction of ours they fail.

To make such a procedure is fine. Whether the line is reached nobody knows before it is run: it is refused wherever it stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from cutoverd.daemon.sqltext.pieces import pieces, plain_name

PLPGSQL = "plpgsql"
_BEFORE_STATEMENT = {"begin", "then", "else", "loop"}
_ENDS = {"commit", "rollback"}
_OTHER_LANGUAGES = re.compile(
    r"\bplpy\.(?:commit|rollback)\s*\(|\bspi_(?:commit|rollback)\b|^\s*(?:commit|rollback)\b", re.MULTILINE
)
_CALL_BEGINS = re.compile(r"\s*call\b\s*(?:(?:[^\s(.]+\.)*(?P<name>[^\s(.]+)\s*\()?", re.IGNORECASE)
_ANY_NUMBER = -1  # of arguments
_DOLLAR = re.compile(r"\$[^$]*\$")


@dataclass(frozen=True)
class Token:
    """A piece of SQL that is no blank and no comment; `line` counts from 0 at the beginning of the text."""

    kind: str
    text: str
    line: int


@dataclass(frozen=True)
class Call:
    """CALL schema.name(…) with so many arguments; `line` from the beginning of what it stands in.

    Not `certain`: of a text that is put together when it runs; its name may be "", which may mean any.
    """

    schema: str | None
    name: str
    arguments: int
    line: int = 0
    certain: bool = True

    def __str__(self) -> str:
        if not self.name:
            return "of a text that is put together"
        return f"{self.schema}.{self.name}" if self.schema else self.name


@dataclass(frozen=True)
class Procedure:
    """What the body of a procedure, or of a DO block, does; `ends`: the line of its first COMMIT or ROLLBACK, else None."""

    schema: str | None
    name: str
    arguments: int
    ends: int | None
    calls: tuple[Call, ...] = ()

    def is_meant_by(self, call: Call) -> bool:
        return self.name == call.name and (None in (self.schema, call.schema) or self.schema == call.schema)

    def is_like(self, other: Procedure) -> bool:
        same = self.name == other.name and self.arguments == other.arguments
        return same and (None in (self.schema, other.schema) or self.schema == other.schema)


@dataclass
class Procedures:
    """Those that are known: the files' own, and production's."""

    _known: list[Procedure] = field(default_factory=list)

    def add(self, new: Procedure) -> None:
        """One of the same name and arguments is replaced."""
        same = (new.schema, new.name, new.arguments)
        self._known = [each for each in self._known if (each.schema, each.name, each.arguments) != same] + [new]

    def add_older(self, given: Iterable[Procedure]) -> None:
        """Those that were there before any file was run: what files make goes before them."""
        older = Procedures()
        for each in given:
            older.add(each)
        self._known = [each for each in older._known if not any(one.is_like(each) for one in self._known)] + self._known

    def meant_by(self, call: Call) -> list[Procedure]:
        """By its name; by the number of arguments too, where one has as many."""
        named = [each for each in self._known if each.is_meant_by(call)]
        return [each for each in named if each.arguments == call.arguments] or named

    def ending(self, call: Call, above: tuple[Call, ...] = ()) -> list[bool | None]:
        """Of each that may be meant, whether it ends the transaction, by itself or by what it calls; None: it may."""
        if not call.name:  # any: each by itself, or all would be followed from all
            return [None if each.ends is not None else False for each in self._known]
        return [self._ends(each, (*above, call)) for each in self.meant_by(call)]

    def unknown(self, calls: Sequence[Call], above: tuple[Call, ...] = ()) -> bool:
        """Whether any of these, or of those that they call, is not known."""
        return any(
            not call.name
            or not self.meant_by(call)
            or any(self.unknown(each.calls, (*above, call)) for each in self.meant_by(call))
            for call in calls
            if call not in above
        )

    def _ends(self, procedure: Procedure, above: tuple[Call, ...]) -> bool | None:
        if procedure.ends is not None:
            return True
        ends = [(call.certain, end) for call in procedure.calls if call not in above for end in self.ending(call, above)]
        if (True, True) in ends:
            return True
        return None if any(end is not False for _, end in ends) else False


def tokens(sql: str) -> Iterator[Token]:
    line = 0
    for kind, text in pieces(sql):
        if kind not in {"blank", "comment"}:
            yield Token(kind, text, line)
        line += text.count("\n")


def read_do(sql: str) -> Procedure | None:
    """The body of a DO block, its lines counted from the beginning of the statement."""
    found = list(tokens(sql))
    language = _language(found)
    body = next(
        (each for before, each in pairwise(found) if each.kind == "text" and not _is(before, "language")),
        None,
    )
    return _procedure(None, "", 0, language, body) if body else None


def read_create_procedure(sql: str) -> Procedure | None:
    """What CREATE PROCEDURE makes; of one in standard SQL, BEGIN ATOMIC, that it ends nothing."""
    found = list(tokens(sql))
    start = next((at for at, each in enumerate(found[:4]) if _is(each, "procedure")), None)
    if start is None or not (named := _call(found, start + 1)):
        return None
    body = next((each for before, each in pairwise(found) if each.kind == "text" and _is(before, "as")), None)
    if body is None:
        return Procedure(named.schema, named.name, named.arguments, None)
    return _procedure(named.schema, named.name, named.arguments, _language(found), body)


def read_call(sql: str) -> Call | None:
    return _call(list(tokens(sql)), 1)


def read_body(schema: str, name: str, arguments: int, language: str, body: str) -> Procedure:
    """A procedure as the catalog has it."""
    return Procedure(schema, name, arguments, *_ends_and_calls(language, body, 0))


def _procedure(schema: str | None, name: str, arguments: int, language: str, body: Token) -> Procedure:
    return Procedure(schema, name, arguments, *_ends_and_calls(language, unquoted(body.text), body.line))


def _ends_and_calls(language: str, body: str, above: int) -> tuple[int | None, tuple[Call, ...]]:
    if language not in {PLPGSQL, "sql"}:
        found = _OTHER_LANGUAGES.search(body)
        return (above + body.count("\n", 0, found.start()) if found else None), ()
    inside = list(tokens(body))
    starts = [at for at in range(len(inside)) if _begins_statement(inside, at)]
    ends = next((above + inside[at].line for at in starts if _ends_transaction(inside, at)), None)
    calls = [_call(inside, at + 1, above) for at in starts if _is(inside[at], "call")]
    calls += [_executed_call(inside, at, above) for at in starts if _is(inside[at], "execute")]
    return ends, tuple(each for each in calls if each)


def _executed(inside: Sequence[Token], at: int) -> list[Token]:
    """What `EXECUTE '…'` runs, if it stands there as it is."""
    literal = inside[at + 1] if _is(inside[at], "execute") and at + 1 < len(inside) else None
    alone = at + 2 >= len(inside) or inside[at + 2].kind != "other" or inside[at + 2].text.startswith(";")
    return list(tokens(unquoted(literal.text))) if literal and literal.kind == "text" and alone else []


def _executed_call(inside: Sequence[Token], at: int, above: int) -> Call | None:
    if found := _executed(inside, at):
        return _call(found, 1, above + inside[at].line) if _is(found[0], "call") else None
    ends = next((n for n in range(at + 1, len(inside)) if inside[n].kind == "other" and ";" in inside[n].text), len(inside))
    made = next((call for token in inside[at + 1 : ends] if (call := put_together(token))), None)
    return replace(made, line=above + inside[at].line) if made else None


def put_together(token: Token) -> Call | None:
    """The CALL that a literal begins, in `format('CALL %I.p()', …)` or `'CALL ' || …`: of what is known nothing is certain."""
    begins = _CALL_BEGINS.match(unquoted(token.text)) if token.kind == "text" else None
    if begins is None:
        return None
    name = begins["name"] or ""
    return Call(None, "" if "%" in name else plain_name(name), _ANY_NUMBER, token.line, certain=False)


def _begins_statement(inside: Sequence[Token], at: int) -> bool:
    if at == 0:
        return True
    before = inside[at - 1]
    return before.text.endswith((";", ">>")) if before.kind == "other" else before.text.lower() in _BEFORE_STATEMENT


def _ends_transaction(inside: Sequence[Token], at: int) -> bool:
    """`COMMIT;` and `COMMIT AND CHAIN;`, not a variable that is called so; `EXECUTE 'COMMIT'` fails anywhere."""
    if executed := _executed(inside, at):
        return executed[0].text.lower() in _ENDS
    if inside[at].kind != "name" or inside[at].text.lower() not in _ENDS:
        return False
    after = inside[at + 1] if at + 1 < len(inside) else None
    return after is None or after.text.startswith(";") or _is(after, "and")


def _call(found: Sequence[Token], at: int, above: int = 0) -> Call | None:
    """The name that stands there and how many arguments follow it."""
    names, line = list[str](), found[at].line if at < len(found) else 0
    while at < len(found) and found[at].kind == "name":
        names.append(plain_name(found[at].text))
        at += 1
        if at < len(found) and found[at].text == ".":
            at += 1
        else:
            break
    return Call(names[-2] if len(names) > 1 else None, names[-1], _arguments(found[at:]), above + line) if names else None


def _arguments(found: Sequence[Token]) -> int:
    depth, commas, anything = 0, 0, False
    for token in found:
        for character in token.text if token.kind == "other" else "x":
            depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(character, 0)
            if depth == 0:
                return commas + 1 if anything else 0
            commas += depth == 1 and character == ","
            anything = anything or not (depth == 1 and character == "(")
    return 0


def _language(found: Sequence[Token]) -> str:
    named = (after for before, after in pairwise(found) if _is(before, "language"))
    return next((plain_name(each.text.strip("'")) for each in named), PLPGSQL)


def _is(token: Token, word: str) -> bool:
    return token.kind == "name" and token.text.lower() == word


def unquoted(literal: str) -> str:
    if dollar := _DOLLAR.match(literal):
        return literal[dollar.end() : -dollar.end()]
    inside = literal[literal.index("'") + 1 : -1].replace("''", "'")
    return inside.replace("\\'", "'").replace("\\n", "\n") if literal[:1] in "eE" else inside
