r"""Variables that `\getenv` leaves unset: what they were to be taken from is not there, and nothing else sets them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from cutoverd.daemon.sqltext.pieces import pieces, without_comments
from cutoverd.daemon.sqltext.splitter import MetaCommand
from cutoverd.daemon.sqltext.variables import Variables

_IN_ARGUMENT = re.compile(r""":(?P<quote>['"]?)(?P<name>\w+)(?P=quote)|'(?:[^'\\]|\\.|'')*'""", re.DOTALL)
_READ_AS_THEY_ARE = {"copy", "echo", "qecho", "warn", "getenv", "set", "unset"}  # nothing is put in, or it harms nobody
_LISTS_COLUMNS = re.compile(r"\s*(?:select|with|values)\b", re.IGNORECASE)
_OF_PSQL = re.compile(  # what psql sets itself
    r"AUTOCOMMIT|DBNAME|ECHO\w*|ENCODING|ERROR|FETCH_COUNT|HIDE_\w+|HIST\w+|HOST|IGNOREEOF|LASTOID|LAST_ERROR_\w+|ON_ERROR_\w+"
    r"|PIPELINE_\w+|PORT|PROMPT\d|QUIET|ROW_COUNT|SERVER_VERSION_\w+|SERVICE\w*|SHELL_\w+|SHOW_\w+|SINGLE\w+|SQLSTATE|USER|VERBOSITY"
    r"|VERSION\w*|WATCH_INTERVAL|cutoverd_\w+"
)


@dataclass
class FromEnvironment:
    """What one psql finds in its environment; `names` of None: nobody knows, and so nothing is missed."""

    names: Collection[str] | None = None
    _lacking: dict[str, str] = field(default_factory=dict)  # psql's variable → that of the environment
    _queries: list[tuple[str | None, str]] = field(default_factory=list)  # (prefix, query) of each `\gset`

    def apply(self, command: MetaCommand, variables: Variables, query: str, *, certain: bool) -> None:
        r"""Before `variables` are told; `query`: the statement before it. Not `certain`: behind an `\if` that may be false."""
        arguments = [variables.resolve(each) for each in command.arguments]
        if command.name == "getenv" and len(arguments) == 2:
            self._get(arguments[0], arguments[1], variables, certain=certain)
        elif command.name in {"set", "prompt"} and arguments:
            self._lacking.pop(arguments[-1 if command.name == "prompt" else 0] or "", None)
        elif command.name == "setenv" and arguments:
            self._set(arguments[0], is_set=len(arguments) > 1, certain=certain)
        elif command.name == "gset":
            self._queries.append((variables.value(command.arguments), query))
            self._lacking = {name: of for name, of in self._lacking.items() if not self._by_query(name)}

    def _get(self, name: str | None, of: str | None, variables: Variables, *, certain: bool) -> None:
        if name is None or of is None or self.names is None or of in self.names:
            self._lacking.pop(name or "", None)
        elif certain and not (_OF_PSQL.fullmatch(name) or variables.has(name) or self._by_query(name)):
            self._lacking[name] = of

    def _set(self, name: str | None, *, is_set: bool, certain: bool) -> None:
        if self.names is None or name is None:
            self.names = None
        elif is_set or certain:
            self.names = {*self.names, name} if is_set else {*self.names} - {name}

    def _by_query(self, name: str) -> bool:
        """Whether a query may have set it."""
        return any(
            prefix is None or (name.startswith(prefix) and _may_name(query, name.removeprefix(prefix)))
            for prefix, query in self._queries
        )

    def missed_in(self, text: str) -> Iterator[tuple[int, str, str]]:
        """(lines behind the first, what stands there, what helps), of a statement; `a[1:h]` is a slice."""
        parts, lines, colon, depth = pieces(text) if self._lacking else (), 0, False, 0
        for kind, part in parts:
            if colon and kind in {"name", "text"} and (why := self._why(part.strip("'\""))):
                yield lines, f":{part}", why
            depth += part.count("[") - part.count("]") if kind == "other" else 0
            colon = kind == "other" and part.endswith(":") and not part.endswith("::") and depth == 0
            lines += part.count("\n")

    def missed_by(self, command: MetaCommand) -> Iterator[tuple[str, str]]:
        """(What stands there, what helps), of the arguments of a command."""
        if command.name in _READ_AS_THEY_ARE or not self._lacking:
            return
        for found in _found(command.arguments):
            if why := self._why(found["name"] or ""):
                yield found[0], why

    def _why(self, name: str) -> str:
        if (of := self._lacking.get(name)) is None:
            return ""
        return (
            f"\\getenv {name} {of} left it unset, as this daemon's environment has no {of}, and psql takes this as it stands; "
            f"set {of} where cutoverd is started, or \\set {name} to what holds without it before the \\getenv"
        )


def _may_name(query: str, column: str) -> bool:
    """As far as the query lists its columns: those of `*`, of TABLE or CALL may have any name."""
    return column.lower() in query.lower() or "*" in query or not _LISTS_COLUMNS.match(without_comments(query))


def _found(arguments: Sequence[str]) -> Iterator[re.Match[str]]:
    for argument in arguments:
        yield from _IN_ARGUMENT.finditer(argument)
