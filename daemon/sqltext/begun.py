r"""What a psql command begins and another ends: open at the end of a file, our own command behind it would fail, not the file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from cutoverd.daemon.sqltext.splitter import MetaCommand

_ENDED_BY = {"restrict": "unrestrict", "startpipeline": "endpipeline"}
_BEGUN_BY = {ends: begins for begins, ends in _ENDED_BY.items()}


@dataclass
class Begun:
    """Those that are open in one file, with the lines where they began."""

    _open: dict[str, MetaCommand] = field(default_factory=dict)
    _doubtful: set[str] = field(default_factory=set)  # ended by a branch that may not be run: another may end them too

    def apply(self, command: MetaCommand, *, certain: bool) -> str:
        """Why psql will not take this command here; "" if it will. Not `certain`: behind an `\\if` that nobody can tell here."""
        restricted = self._open.get("restrict")
        if restricted and command.name != "unrestrict":
            return f"psql takes no command but \\unrestrict behind the \\restrict of line {restricted.line}; end that before"
        if restricted and command.arguments != restricted.arguments:
            return f"it needs the key of the \\restrict of line {restricted.line}"
        if command.name in _ENDED_BY:
            self._open.setdefault(command.name, command)
            self._doubtful.discard(command.name)
        begins = _BEGUN_BY.get(command.name, "")
        return self._end(begins, certain) if begins else ""

    def _end(self, begins: str, certain: bool) -> str:
        was_open = self._open.pop(begins, None) is not None
        if was_open and not certain:
            self._doubtful.add(begins)
        if was_open or begins in self._doubtful:
            return ""
        return f"no \\{begins} before it in this file is open, so psql would stop here; take it out, or begin it with \\{begins}"

    def left(self) -> Iterator[tuple[int, str, str]]:
        """(line, what is wrong, what helps), each."""
        for name, command in self._open.items():
            yield command.line, f"\\{name} is never ended", f"end it with \\{_ENDED_BY[name]} in the same file"
