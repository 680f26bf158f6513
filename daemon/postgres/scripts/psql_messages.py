"""The errors in what psql says on stderr, told from its notices.

The severity is in the server's language, and a notice may have any SQLSTATE (42P07: "already exists, skipping"). So an error is
what psql says STATEMENT behind (`-b`), or what it says itself ("error:"). A file may switch that off (`\\set ECHO none`), or have
opened a pipeline: then it is the last message before psql stopped, or the one with the SQLSTATE that psql kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cutoverd.daemon.host.children import Completed
from cutoverd.daemon.sqltext.regular_file import real_path

PASSED_OVER = "CV004"  # of our own: something failed and the file went on; its message is the SQLSTATE
_PLACED = re.compile(r"^psql:(?P<file>.+?):(?P<line>\d+): (?P<words>.*)$")
_WORDS = re.compile(r"^(?:(?P<own>error: )|\S+:\s+(?:(?P<sqlstate>[0-9A-Z]{5}): )?)?(?P<message>.*)$")
_SQLSTATE = re.compile(r"[0-9A-Z]{5}")  # alone, with VERBOSITY sqlstate
_OF_COMMIT = re.compile(r"^\S+:\s+(?P<sqlstate>[0-9A-Z]{5}): (?P<message>.*)$")  # psql's own COMMIT, which stands in no file
_STATEMENT, _WARNING, _LOCATION = "STATEMENT: ", "warning: ", "LOCATION:"
_ABORTED = "25P02"
_LOST = "connection to server was lost"
_ENDS_SESSION = ("08", "25P", "53", "57", "58", "XX")  # what a server says before it ends a session
_NO_ERROR = {"00", "01", "02"}
_STOPPED = 3  # psql's exit code where a script met an error
_DETAIL_LINES, _LONGEST = 12, 8000  # lines; characters of what an event holds


@dataclass(frozen=True)
class ScriptError:
    """The first error of a psql run, where it happened, and what the server added (LINE, DETAIL, HINT, CONTEXT)."""

    file: Path
    line: int
    sqlstate: str | None
    message: str
    detail: str


@dataclass
class _Message:
    """One that psql gave a place to, a notice or an error."""

    place: tuple[str, int]
    words: str
    at: int  # its line of stderr
    failed: bool = False

    @property
    def sqlstate(self) -> str | None:
        found = _WORDS.match(self.words)
        return found["sqlstate"] if found else None

    @property
    def message(self) -> str:
        found = _WORDS.match(self.words)
        return found["message"] if found else self.words

    @property
    def is_harmless(self) -> bool:
        """By its SQLSTATE; not one by which a notice is told."""
        return (self.sqlstate or "CV")[:2] in _NO_ERROR


def first_error(completed: Completed, cwd: Path) -> ScriptError | None:
    """None if no file is to blame: psql could not connect, was killed, or could not commit."""
    lines = completed.stderr_tail.splitlines()
    messages = list(_messages(lines))
    if (found := _failed(messages) or _last(messages, lines, completed.returncode)) is None:
        return None
    sqlstate, message = found.sqlstate, found.message
    if sqlstate is None and _SQLSTATE.fullmatch(message):
        message = f"it failed with SQLSTATE {message}"
    file, line = found.place
    return ScriptError(real_path(cwd / file), line, sqlstate, _short(message), _detail(lines[found.at + 1 :]))


def commit_error(stderr: str) -> str:
    """The server's words where psql's own COMMIT failed; "" if it did not come to that."""
    found = _commit_failed(stderr.splitlines(), 0)
    return f"COMMIT failed: {found['message']} (SQLSTATE {found['sqlstate']})" if found else ""


def _messages(lines: Sequence[str]) -> Iterator[_Message]:
    last = None
    for at, line in enumerate(lines):
        if not (found := _PLACED.match(line)):
            continue
        place, words = (found["file"], int(found["line"])), found["words"]
        if words.startswith(_STATEMENT) or words == _STATEMENT.rstrip():
            if last and last.place == place:
                last.failed = True
        elif not words.startswith(_WARNING):
            last = _Message(place, words, at, failed=words.startswith("error: "))
            yield last


def _failed(messages: Sequence[_Message]) -> _Message | None:
    """The first that surely is an error; what is said behind it decides, so they have to be all."""
    at = next((at for at, each in enumerate(messages) if each.failed), None)
    if at is None:
        return None
    error, before = messages[at], messages[:at]
    if error.sqlstate == PASSED_OVER:  # said nowhere that it was one: in a pipeline, say
        return next((each for each in reversed(before) if each.sqlstate == error.message), error)
    if error.sqlstate == _ABORTED:  # nothing runs in such a transaction, and so nothing was said since it failed
        return next((each for each in reversed(before) if not each.is_harmless and each.sqlstate != _ABORTED), error)
    if error.message == _LOST:
        return next((each for each in reversed(before) if each.place == error.place and _ends_session(each)), error)
    return error


def _ends_session(message: _Message) -> bool:
    return bool(message.sqlstate and message.sqlstate.startswith(_ENDS_SESSION))


def _last(messages: Sequence[_Message], lines: Sequence[str], returncode: int) -> _Message | None:
    """Of a file that has psql say nothing behind an error; what else it said is a notice before it."""
    last = messages[-1] if messages and returncode == _STOPPED else None
    if last is None or last.is_harmless or _commit_failed(lines, last.at):
        return None
    return last


def _commit_failed(lines: Sequence[str], begin: int) -> re.Match[str] | None:
    """Said without a place, behind all that has one."""
    for at in range(len(lines) - 1, begin - 1, -1):
        if _PLACED.match(lines[at]):
            return None
        if (at == 0 or lines[at - 1].startswith((_LOCATION, "psql:"))) and (found := _OF_COMMIT.match(lines[at])):
            return found
    return None


def _detail(lines: Sequence[str]) -> str:
    kept: list[str] = []
    for line in lines[:_DETAIL_LINES]:
        if line.startswith("psql:"):
            break
        if not line.startswith(_LOCATION):
            kept.append(line)
    return _short("\n".join(kept))


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
