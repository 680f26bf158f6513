"""SQL files read before they are run: what psql could not keep in our transaction is refused, with file and line.

Included files are read too: `\\i` relative to psql's folder, `\\ir` to the file that includes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cutoverd.daemon.sqltext import copy_files, encoding
from cutoverd.daemon.sqltext.file_reader import FileReader, Judge, PendingCall, PsqlSession
from cutoverd.daemon.sqltext.from_environment import FromEnvironment
from cutoverd.daemon.sqltext.regular_file import expanded, open_regular, read_regular, real_path
from cutoverd.daemon.sqltext.rules import CALL_ADVICE, NO_TRANSACTION, LintFinding
from cutoverd.daemon.sqltext.splitter import MetaCommand
from cutoverd.daemon.sqltext.transaction_control import Procedure, Procedures

_HEADER_LINES, _LONGEST_HEADER = 10, 1 << 16
_REPEATS_MAX = 1000  # of includes: files that include each other twice over would be read for hours


@dataclass
class ScriptLint:
    """What came out of reading files: the findings, who includes whom, and what only the server can judge."""

    cwd: Path
    findings: list[LintFinding] = field(default_factory=list)
    warnings: list[LintFinding] = field(default_factory=list)
    included_by: dict[Path, tuple[Path, int]] = field(default_factory=dict)
    data_files: dict[Path, tuple[Path, int]] = field(default_factory=dict)  # what `\copy … from` reads, and where
    texts: encoding.Texts = field(default_factory=encoding.Texts)
    procedures: Procedures = field(default_factory=Procedures)
    calls: list[PendingCall] = field(default_factory=list)
    production: str = ""  # the database's name, which is another's while files run
    environment: Collection[str] | None = None  # the names that psql finds there; None: nobody knows
    judge: Judge | None = None  # what is wrong with a statement (problem, advice), in place of what is looked for here

    def __post_init__(self) -> None:
        self.written: set[Path] = set()  # by the files themselves
        self._repeats = 0
        self.begin()

    def begin(self) -> None:
        """What is read from here on is run by a psql of its own."""
        self._session = PsqlSession(self.cwd, environment=FromEnvironment(self.environment))
        if self.judge:
            self.judge.begin_session()

    def read(self, file: Path, *, in_transaction: bool = True) -> None:
        """Read one file and all that it includes; each finding is kept. Encoding and folder are those that psql began with."""
        self._session.encoding, self._session.cwd = encoding.UTF8, self.cwd
        if self.judge:
            self.judge.begin_file(in_transaction=in_transaction)
        self._read(file, in_transaction, ())

    def read_text(self, file: Path) -> None:
        """Of a file that is not for psql: only whether it is text, in UTF-8."""
        try:
            raw = read_regular(file)
        except OSError as error:
            self.refuse(file, 1, f"cannot read {file}", error.strerror or str(error))
            return
        if encoding.check_whole(raw, lambda *found: self.refuse(file, *found)):
            if found := encoding.invalid(raw, encoding.UTF8):
                self.refuse(file, found[0] + 1, f"byte 0x{found[1]:02x} is not valid UTF8", "save the file as UTF-8")
            else:
                self.texts.add(file, 1, encoding.UTF8, raw)

    def _read(self, file: Path, in_transaction: bool, including: tuple[Path, ...]) -> None:
        try:
            raw = read_regular(file)
        except OSError as error:
            self.refuse(*self.included_by.get(file, (file, 1)), f"cannot read {file}", error.strerror or str(error))
            return
        if encoding.check_whole(raw, lambda *found: self.refuse(file, *found)):
            FileReader(self, self._session, file, in_transaction, (*including, file)).read(raw)

    def include(self, reader: FileReader, command: MetaCommand) -> None:
        """Each time anew, since what it sets goes on behind it; but one that is included very often only as often as that."""
        argument = command.arguments[0] if command.arguments else ""
        name = self._session.variables.resolve(argument)
        if not name:
            reader.refuse(command.line, f"\\{command.name} {argument}".rstrip(), "write out which file is included")
            return
        base = reader.file.parent if command.name in {"ir", "include_relative"} else self._session.cwd
        included = real_path(base / expanded(name))
        if included in reader.including:
            reader.refuse(command.line, f"\\{command.name} {name}", "the file would include itself without end")
            return
        is_first = included not in self.included_by
        self.included_by.setdefault(included, (reader.file, command.line))
        self._repeats += not is_first
        if is_first or self._repeats <= _REPEATS_MAX:
            self._read(included, reader.in_transaction, reader.including)

    def use_data(self, reader: FileReader, command: MetaCommand) -> None:
        """A file of data is there and is valid in its encoding; one that the files write themselves may be missing."""
        if (named := copy_files.of(command, self._session.variables)) is None:
            return
        path = real_path(self._session.cwd / expanded(named.name))
        if not named.is_read:
            self.written.add(path)
        if not named.is_read or path in self.written:
            return
        self.data_files.setdefault(path, (reader.file, command.line))
        given = encoding.known(named.encoding) if named.encoding else self._session.encoding
        try:
            wrong = copy_files.wrong_encoding(path, given if named.is_text else None, self.texts)
        except OSError as error:
            advice = f"{error.strerror or error}; the name is relative to {self._session.cwd}"
            reader.refuse(command.line, f"\\{command.name} cannot read {path}", advice)
            return
        if wrong:
            line, byte = wrong
            problem = f"\\{command.name} {named.name}: line {line} has byte 0x{byte:02x}, which is not valid {given} there"
            reader.refuse(command.line, problem, "say which encoding the file has: (ENCODING 'LATIN1') say, or save it as UTF-8")
        elif named.is_marked_value and copy_files.begins_with_mark(path):
            advice = "it would be a part of the first value; save the file without it"
            reader.refuse(command.line, f"\\{command.name} {named.name}: it begins with a byte order mark", advice)

    def judge_call(self, pending: PendingCall) -> None:
        """Of a procedure that is not known yet, or calls one, later: by `judge_rest`."""
        if not self._judge_call(pending) and self.procedures.unknown([pending.call]):
            self.calls.append(pending)

    def judge_rest(self, procedures: Iterable[Procedure]) -> None:
        """The calls that are left, by what production has; one that nobody knows fails by itself, or a query makes it."""
        self.procedures.add_older(procedures)
        for pending in self.calls:
            self._judge_call(pending)
        self.calls = []

    def _judge_call(self, pending: PendingCall) -> bool:
        ends = self.procedures.ending(pending.call)
        if may_end := any(end is not False for end in ends):
            is_certain = pending.call.certain and all(ends)
            kept = self.findings if is_certain else self.warnings
            doubt = "" if is_certain else ", if what is run there is the one that does"
            problem = f"CALL {pending.call}, a procedure that ends the transaction (COMMIT or ROLLBACK){doubt}"
            kept.append(LintFinding(pending.file, pending.line, problem, CALL_ADVICE))
        return may_end

    def warn(self, file: Path, line: int, problem: str, advice: str) -> None:
        finding = LintFinding(file, line, problem, advice)
        if finding not in self.warnings:
            self.warnings.append(finding)

    def refuse(self, file: Path, line: int, problem: str, advice: str) -> None:
        finding = LintFinding(file, line, problem, advice)
        if finding not in self.findings:  # a file may be included twice
            self.findings.append(finding)


def runs_without_transaction(file: Path) -> bool:
    """Whether the file says so in its first lines; a file that cannot be read says nothing."""
    try:
        with open_regular(file) as opened:
            return any(_says_so(opened.readline(_LONGEST_HEADER).decode(errors="replace")) for _ in range(_HEADER_LINES))
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
