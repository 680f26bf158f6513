"""SQL files read before they are run: what psql could not keep in our transaction is refused, with file and line.

Included files are read too: `\\i` relative to psql's folder, `\\ir` to the file that includes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cutoverd.daemon.sqltext.outside_transaction import runs_in_no_transaction
from cutoverd.daemon.sqltext.pieces import without_comments
from cutoverd.daemon.sqltext.splitter import MetaCommand, Statement, Unclosed, split

NO_TRANSACTION = "-- cutoverd: no-transaction"
_HEADER_LINES = 10
_LEAVES = {  # docs/measured.md, "psql and its exit code"
    "q": "it ends the file early and psql still reports success",
    "quit": "it ends the file early and psql still reports success",
    "!": "what a shell does cannot be rolled back, and its failure goes unseen; make it a step of the plan",
    "c": "the file would go on in another session, outside of the transaction; split it or take the line out",
    "connect": "the file would go on in another session, outside of the transaction; split it or take the line out",
}
_TRANSACTION = {"begin", "commit", "end", "rollback", "abort"}
_TRANSACTION_PAIRS = {("start", "transaction"), ("prepare", "transaction")}
_QUOTES = re.compile(r"set\s+(?:(?:session|local)\s+)?standard_conforming_strings\b", re.IGNORECASE)
_QUOTES_BY_CALL = re.compile(
    r"\bset_config\s*\(\s*e?'standard_conforming_strings'\s*,(?!\s*e?'(?:on|true|yes|1)'\s*,)", re.IGNORECASE
)
_QUOTES_ON = re.compile(r"(?:=|\bto)\s*'?(?:on|true|yes|1|default)\b", re.IGNORECASE)
QUOTES_ADVICE = "what follows would be read otherwise than it was here; take it out, and write E'…' where a backslash escapes"
OUTSIDE_ADVICE = (
    "it cannot run in a transaction, and the file is run in one of ours; "
    f"move it to a file of its own that begins with `{NO_TRANSACTION}`"
)
_INCLUDES = {"i", "include", "ir", "include_relative"}


@dataclass(frozen=True)
class LintFinding:
    """Why a file cannot be run as it is."""

    file: Path
    line: int
    problem: str
    advice: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.problem}: {self.advice}"


@dataclass
class ScriptLint:
    """What came out of reading files: the findings, and who includes whom."""

    cwd: Path
    findings: list[LintFinding] = field(default_factory=list)
    included_by: dict[Path, tuple[Path, int]] = field(default_factory=dict)
    judge: Callable[[Statement], Sequence[tuple[str, str]]] | None = None  # what else is wrong with a statement: problem, advice

    def read(self, file: Path, *, in_transaction: bool = True) -> None:
        """Read one file and all that it includes; each finding is kept."""
        self._read(file, in_transaction, ())

    def _read(self, file: Path, in_transaction: bool, including: tuple[Path, ...]) -> None:
        try:
            text = file.read_text(encoding="utf-8", errors="surrogateescape")
        except OSError as error:
            self._refuse(*self.included_by.get(file, (file, 1)), f"cannot read {file}", error.strerror or str(error))
            return
        try:
            for piece in split(text):
                self._judge(file, piece, in_transaction, (*including, file))
        except Unclosed as unclosed:
            self._refuse(file, unclosed.line, str(unclosed), "close it: psql would send all that follows as one statement")

    def _judge(self, file: Path, piece: Statement | MetaCommand, in_transaction: bool, including: tuple[Path, ...]) -> None:
        if isinstance(piece, MetaCommand):
            if piece.name in _LEAVES:
                self._refuse(file, piece.line, f"\\{piece.name}", _LEAVES[piece.name])
            elif piece.name in _INCLUDES:
                self._include(file, piece, in_transaction, including)
        elif self.judge:
            for problem, advice in self.judge(piece):
                self._refuse(file, piece.line, problem, advice)
        elif in_transaction and is_transaction_command(piece):
            advice = f"the file is run in one transaction of ours; take it out, or begin the file with `{NO_TRANSACTION}`"
            self._refuse(file, piece.line, " ".join(piece.text.split())[:60], advice)
        elif in_transaction and runs_in_no_transaction(piece):
            self._refuse(file, piece.line, " ".join(piece.text.split())[:60], OUTSIDE_ADVICE)
        elif switches_quotes(piece):
            self._refuse(file, piece.line, " ".join(piece.text.split())[:60], QUOTES_ADVICE)

    def _include(self, file: Path, command: MetaCommand, in_transaction: bool, including: tuple[Path, ...]) -> None:
        name = _unquoted(command.arguments[0]) if command.arguments else ""
        if not name or ":" in name or "`" in name:
            self._refuse(file, command.line, f"\\{command.name} {name}".rstrip(), "write out which file is included")
            return
        base = file.parent if command.name in {"ir", "include_relative"} else self.cwd
        included = (base / Path(name).expanduser()).resolve()
        if included in including:
            self._refuse(file, command.line, f"\\{command.name} {name}", "the file would include itself without end")
        elif included not in self.included_by:
            self.included_by[included] = (file, command.line)
            self._read(included, in_transaction, including)

    def _refuse(self, file: Path, line: int, problem: str, advice: str) -> None:
        self.findings.append(LintFinding(file, line, problem, advice))


def is_transaction_command(statement: Statement) -> bool:
    """Whether it begins or ends a transaction; savepoints do not."""
    words = statement.words
    if words[:1] == ("rollback",) and "to" in words[1:3]:
        return False
    return bool(words) and (words[0] in _TRANSACTION or words[:2] in _TRANSACTION_PAIRS)


def switches_quotes(statement: Statement) -> bool:
    """Whether a backslash in '…' means something else after it, as far as it says so itself.

    A routine that is made here may: it is not run by that, and a setting of its own ends with it.
    """
    if _QUOTES.match(statement.text):
        return not _QUOTES_ON.search(statement.text)
    if statement.words[:1] == ("create",) or not _QUOTES_BY_CALL.search(statement.text):
        return False
    return bool(_QUOTES_BY_CALL.search(without_comments(statement.text)))


def runs_without_transaction(file: Path) -> bool:
    """Whether the file says so in its first lines; a file that cannot be read says nothing."""
    try:
        with file.open(encoding="utf-8", errors="replace") as lines:
            return any(_says_so(line) for line, _ in zip(lines, range(_HEADER_LINES), strict=False))
    except OSError:
        return False


def _says_so(line: str) -> bool:
    return " ".join(line.removeprefix("\ufeff").lower().split()) == NO_TRANSACTION


def finding_lines(findings: Iterable[LintFinding]) -> list[str]:
    """One line each, in the order of files and lines."""
    return [str(finding) for finding in findings]


def chain(reading: ScriptLint, file: Path) -> Iterator[tuple[Path, int]]:
    """Who includes `file`, innermost first."""
    while file in reading.included_by:
        file, line = reading.included_by[file]
        yield file, line


def _unquoted(argument: str) -> str:
    return argument[1:-1].replace("''", "'") if argument[:1] in "'\"" else argument
