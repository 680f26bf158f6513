r"""psql's variables and `\if`, as far as a file tells them itself: what stands there, or None where only the run can know."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from cutoverd.daemon.sqltext.splitter import MetaCommand

_PARTS = re.compile(
    r"""'(?P<quoted>(?:[^'\\]|\\.|'')*)' | (?P<shell>`[^`]*`) | :\{\?(?P<asked>[A-Za-z_0-9\x80-\U0010ffff]+)\}
      | (?P<as_sql>:['"]) | :(?P<name>[A-Za-z_0-9\x80-\U0010ffff]+) | (?P<plain>[^:'`]+|.)""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPES = {"n": "\n", "t": "\t", "b": "\b", "r": "\r", "f": "\f"}
_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
CONDITIONALS = {"if", "elif", "else", "endif"}
_SET_BY_QUERY = {"gset", "gexec"}


@dataclass
class Variables:
    """The variables of one psql, in the order in which it meets its commands."""

    _values: dict[str, str | None] = field(default_factory=dict)
    _all_known: bool = True  # no query has set any

    def apply(self, command: str, arguments: Sequence[str], *, certain: bool) -> None:
        r"""What a command does to them; not `certain`: behind an `\if` that nobody can tell here."""
        name = self.resolve(arguments[0]) if arguments else None
        if command in _SET_BY_QUERY:
            self._all_known = False
            self._values = dict.fromkeys(self._values)
        elif command == "set" and name:
            self._values[name] = self.value(arguments[1:]) if certain else None
        elif command in {"getenv", "unset", "prompt"} and arguments:
            self._values[self.resolve(arguments[-1] if command == "prompt" else arguments[0]) or ""] = None

    def has(self, name: str) -> bool:
        """Whether anything has set it, or may have: its value may be unknown."""
        return name in self._values

    def value(self, arguments: Sequence[str]) -> str | None:
        """As `\\set` puts them together; None if it cannot be known."""
        parts = [self.resolve(each) for each in arguments]
        return None if None in parts else "".join(part for part in parts if part is not None)

    def resolve(self, argument: str) -> str | None:
        """What psql makes of an argument; None where a query, a shell or an unset variable has a say."""
        parts = [self._part(found) for found in _PARTS.finditer(argument)]
        return None if None in parts else "".join(part for part in parts if part is not None)

    def _part(self, found: re.Match[str]) -> str | None:
        if found["quoted"] is not None:
            return re.sub(r"\\(.)|''", lambda each: _ESCAPES.get(each[1], each[1]) if each[1] else "'", found["quoted"])
        if asked := found["asked"]:
            return self._is_set(asked)
        if found["shell"] or found["as_sql"]:
            return None
        return self._values.get(found["name"]) if found["name"] else found[0]

    def _is_set(self, name: str) -> str | None:
        """Those that psql sets itself have capitals; nobody else but cutoverd sets any before the files do."""
        if name in self._values:
            return None if self._values[name] is None else "TRUE"
        return "FALSE" if self._all_known and name.islower() and not name.startswith("cutoverd_") else None


def boolean(value: str | None) -> bool | None:
    """As psql reads it: `on`, `TRUE`, `1`, `t`, and nothing at all, are true. None for anything that it would refuse."""
    text = "on" if value == "" else (value or "?").lower()
    if any(word.startswith(text) for word in _TRUE) and text != "o":
        return True
    return False if any(word.startswith(text) for word in _FALSE) and text != "o" else None


@dataclass
class Conditions:
    r"""The open `\if`s of one file."""

    _open: list[tuple[bool | None, bool | None]] = field(default_factory=list)  # (this branch is run, one of them was)
    lines: list[int] = field(default_factory=list)  # where each of them begins

    @property
    def skip(self) -> bool:
        """Whether psql surely passes over what comes now."""
        return any(now is False for now, _ in self._open)

    @property
    def certain(self) -> bool:
        """Whether psql surely does what comes now."""
        return all(now is True for now, _ in self._open)

    def problem(self, command: MetaCommand, variables: Variables) -> str:
        """Why psql would not make of this what it says, or ""."""
        if command.name in {"elif", "else", "endif"} and not self._open:
            return "there is no \\if that it belongs to"
        if command.name not in {"if", "elif"} or self.skip:
            return ""
        value = variables.value(command.arguments)
        return "psql knows only true and false, and takes anything else for false" if value and boolean(value) is None else ""

    def apply(self, command: MetaCommand, variables: Variables) -> bool:
        """Whether it was one of theirs."""
        if command.name == "if":
            now = self._asked(command, variables)
            self._open.append((now, now))
            self.lines.append(command.line)
        elif command.name in {"elif", "else"} and self._open:
            _, before = self._open.pop()
            wanted = self._asked(command, variables) if command.name == "elif" else True
            self._open.append((_branch(before, wanted), _either(before, wanted)))
        elif command.name == "endif" and self._open:
            self._open.pop()
            self.lines.pop()
        return command.name in CONDITIONALS

    @staticmethod
    def _asked(command: MetaCommand, variables: Variables) -> bool | None:
        value = variables.value(command.arguments)
        return None if value is None else bool(value) and bool(boolean(value))


def _branch(before: bool | None, wanted: bool | None) -> bool | None:
    if before is True or wanted is False:
        return False
    return wanted if before is False else None


def _either(before: bool | None, wanted: bool | None) -> bool | None:
    if True in (before, wanted):
        return True
    return None if None in (before, wanted) else False
