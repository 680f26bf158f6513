"""One SQL file, piece by piece, as psql would meet them: what cannot be run as it is, and what it changes for what follows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from cutoverd.daemon.sqltext import copy_files, encoding, psql_settings, server_wide
from cutoverd.daemon.sqltext.begun import Begun
from cutoverd.daemon.sqltext.executed import interpolated, is_made_once, run_by_gexec
from cutoverd.daemon.sqltext.from_environment import FromEnvironment
from cutoverd.daemon.sqltext.outside_transaction import runs_in_no_transaction
from cutoverd.daemon.sqltext.pieces import without_comments
from cutoverd.daemon.sqltext.regular_file import real_path
from cutoverd.daemon.sqltext.rules import (
    DO_ADVICE,
    OUTSIDE_ADVICE,
    QUOTES_ADVICE,
    ROLE_ADVICE,
    TRANSACTION_ADVICE,
    is_transaction_command,
    leaves_owner,
    switches_quotes,
)
from cutoverd.daemon.sqltext.shell import has_backticks, runs_shell
from cutoverd.daemon.sqltext.splitter import CopyData, MetaCommand, Statement, Unclosed, split_with_data
from cutoverd.daemon.sqltext.transaction_control import Call, Procedures, read_call, read_create_procedure, read_do
from cutoverd.daemon.sqltext.variables import CONDITIONALS, Conditions, Variables

_SHELL = "what a shell does cannot be rolled back, and its failure goes unseen; make it a step of the plan"
_GETENV = "\\getenv takes a value from the environment without one"
_LEAVES = {  # docs/measured.md, "psql and its exit code"
    "q": "it ends the file early and psql still reports success",
    "quit": "it ends the file early and psql still reports success",
    "!": _SHELL,
    "c": "the file would go on in another session, outside of the transaction; split it or take the line out",
    "connect": "the file would go on in another session, outside of the transaction; split it or take the line out",
}
_NEVER_ENDS = "psql would ask again and again without end; take it out"
_PERSON = "psql would wait for a person, and nobody is there; take it out"
_WAITS = {
    **dict.fromkeys(("e", "edit", "ef", "ev", "password", "prompt"), _PERSON),
    "watch": _NEVER_ENDS,
}  # psql 15 knows no count
_NO_INPUT = "psql has no input of its own here, so no row would come; name a file, or write `from stdin` and the rows below it"
_UNLINKS = (
    "large objects that new has no more fail Validate, unless the plan says why: validate.invariants.waive: {large objects: …}"
)
_COPY_ENCODING = re.compile(r"\bencoding\s*'([^']*)'", re.IGNORECASE)
_MARK = "\ufeff".encode()
_MARK_ADVICE = "PostgreSQL takes it for a part of the statement; take it out"
_SENT = {"copy", "set"}  # to the server, at once or later
_INCLUDES = {"i", "include", "ir", "include_relative"}
_NO_ENCODING = "PostgreSQL has none of that name, and psql would go on with the one before; UTF8, LATIN1 and WIN1252 are some"


@dataclass
class PsqlSession:
    """What one psql carries from file to file, and from line to line; an `encoding` of None cannot be known."""

    cwd: Path
    variables: Variables = field(default_factory=Variables)
    encoding: str | None = encoding.UTF8
    environment: FromEnvironment = field(default_factory=FromEnvironment)


@dataclass(frozen=True)
class PendingCall:
    """A CALL that stands at a line, by itself or in a DO block; what production's procedures do decides."""

    file: Path
    line: int
    call: Call


class Judge(Protocol):
    """Who says of a statement what is wrong, and what helps; each psql is a session, each file begins as the owner."""

    def begin_session(self) -> None: ...

    def begin_file(self, *, in_transaction: bool) -> None: ...

    def __call__(self, statement: Statement, *, certain: bool) -> Sequence[tuple[str, str]]: ...


class Lint(Protocol):
    """Where what a file says is kept: `ScriptLint`."""

    texts: encoding.Texts
    procedures: Procedures
    production: str
    judge: Judge | None

    def warn(self, file: Path, line: int, problem: str, advice: str) -> None: ...

    def refuse(self, file: Path, line: int, problem: str, advice: str) -> None: ...

    def include(self, reader: FileReader, command: MetaCommand) -> None: ...

    def use_data(self, reader: FileReader, command: MetaCommand) -> None: ...

    def judge_call(self, pending: PendingCall) -> None: ...


class FileReader:
    """One file, piece by piece, as psql would meet them."""

    def __init__(self, lint: Lint, session: PsqlSession, file: Path, in_transaction: bool, including: tuple[Path, ...]) -> None:
        self._lint, self._session = lint, session
        self.file, self.in_transaction, self.including = file, in_transaction, including
        self._conditions, self._begun = Conditions(), Begun()
        self._sent = Statement(1, "", ())  # the last statement: what `\\gset` takes from
        self._data_encoding: str | None = None  # of the next data in the file, where COPY says so

    def read(self, raw: bytes) -> None:
        if raw.startswith(_MARK) and self._session.encoding not in {encoding.UTF8, None}:
            self.refuse(1, "a byte order mark", f"psql reads the file as {self._session.encoding}, where it is none; take it out")
        text = raw.decode("utf-8", errors="surrogateescape").replace("\r\n", "\n").replace("\r", "\n")
        try:
            for piece in split_with_data(text):
                if not (isinstance(piece, MetaCommand) and self._is_condition(piece)) and not self._conditions.skip:
                    for each in interpolated(piece, self._session.variables) if isinstance(piece, Statement) else [piece]:
                        self._judge(each)
        except Unclosed as unclosed:
            self.refuse(unclosed.line, str(unclosed), "close it: psql would send all that follows as one statement")
        for line in self._conditions.lines:
            self.refuse(line, "\\if is never closed", "end it with \\endif in the same file")
        for left in self._begun.left():
            self.refuse(*left)

    def _is_condition(self, command: MetaCommand) -> bool:
        asks = command.name in {"if", "elif"} and not self._conditions.skip
        if asks and runs_shell(command, self._session.variables):
            self.refuse(command.line, f"\\{command.name} {' '.join(command.arguments)}", f"{_SHELL}; {_GETENV}")
        if command.name in CONDITIONALS and (refused := self._begun.apply(command, certain=self._conditions.certain)):
            self.refuse(command.line, f"\\{command.name}", refused)
        if asks:
            self._refuse_unset(command)
        if problem := self._conditions.problem(command, self._session.variables):
            self.refuse(command.line, f"\\{command.name} {' '.join(command.arguments)}".rstrip(), problem)
        return self._conditions.apply(command, self._session.variables)

    def refuse(self, line: int, problem: str, advice: str) -> None:
        if not self._lint.judge:  # who asks something else has been told of these
            self._lint.refuse(self.file, line, problem, advice)

    def _judge(self, piece: Statement | MetaCommand | CopyData) -> None:
        self._sent = piece if isinstance(piece, Statement) else self._sent
        if self._lint.judge and not isinstance(piece, MetaCommand):
            found = self._lint.judge(piece, certain=self._conditions.certain) if isinstance(piece, Statement) else ()
            for problem, advice in found:
                self._lint.refuse(self.file, piece.line, problem, advice)
        elif isinstance(piece, CopyData):
            self._check_encoding(piece.line, piece.text, self._data_encoding or self._session.encoding)
        elif isinstance(piece, MetaCommand):
            self._judge_command(piece)
        else:
            self._judge_statement(piece)

    def _judge_executed(self) -> None:
        r"""What `\gexec` runs of the query before it, as if it stood there."""
        made = run_by_gexec(self._sent.text, self._sent.line)
        for statement in made.sure:
            self._judge(statement)
        for statement in made.guarded if not self._lint.judge else ():  # whether it is run, only the server knows
            self._judge_guarded(statement)
        for statement in made.maybe if self.in_transaction else ():
            self._lint.warn(self.file, statement.line, f"\\gexec may run {statement.text[:60]}", TRANSACTION_ADVICE)
        if self.in_transaction:
            self._keep_calls(self._sent, made.calls)

    def _judge_guarded(self, statement: Statement) -> None:
        """What is wrong wherever it is run; PreCheck makes a role where there is none, which is a warning."""
        shown = f"\\gexec may run {statement.text[:60]}"
        judged = self._lint.warn if is_made_once(statement) else self._lint.refuse
        if found := server_wide.reaches_beyond(statement, self._lint.production):
            judged(self.file, statement.line, f"{shown}: {found[0]}", found[1])
        elif self.in_transaction and is_transaction_command(statement):
            judged(self.file, statement.line, shown, TRANSACTION_ADVICE)
        elif self.in_transaction and runs_in_no_transaction(statement):
            judged(self.file, statement.line, shown, OUTSIDE_ADVICE)
        self._judge_routines(statement)

    def _judge_command(self, command: MetaCommand) -> None:
        variables = self._session.variables
        if why_not := _LEAVES.get(command.name) or _WAITS.get(command.name):
            self.refuse(command.line, f"\\{command.name}", why_not)
        elif refused := self._begun.apply(command, certain=self._conditions.certain):
            self.refuse(command.line, f"\\{command.name}", refused)
        elif runs_shell(command, variables):
            advice = f"{_SHELL}; {_GETENV}" if has_backticks(command) else _SHELL
            self.refuse(command.line, f"\\{command.name} {' '.join(command.arguments)}"[:60], advice)
        elif copy_files.reads_own_input(command):
            self.refuse(command.line, f"\\copy {' '.join(command.arguments)}"[:60], _NO_INPUT)
        elif command.name in _INCLUDES:
            self._lint.include(self, command)
        elif why := psql_settings.refused(command, variables, in_transaction=self.in_transaction):
            self.refuse(command.line, f"\\{command.name} {' '.join(command.arguments)}"[:60], why)
        elif command.name == "gset" and (
            set_ := psql_settings.set_by_query(command, variables, self._sent.text, self.in_transaction)
        ):
            self.refuse(command.line, f"\\gset sets {set_[0]}", set_[1])
        elif command.name == "gexec":
            self._judge_executed()
        elif command.name == "cd":
            self._change_folder(command)
        self._judge_loss(command.line, command.name)
        self._refuse_unset(command)
        if command.name in _SENT:
            self._check_encoding(command.line, " ".join(command.arguments), self._session.encoding)
        self._session.environment.apply(command, variables, self._sent.text, certain=self._conditions.certain)
        variables.apply(command.name, command.arguments, certain=self._conditions.certain)
        self._switch(command)
        self._lint.use_data(self, command)

    def _judge_statement(self, statement: Statement) -> None:
        shown = " ".join(statement.text.split())[:60]
        self._check_encoding(statement.line - statement.lead.count("\n"), statement.lead + statement.text, self._session.encoding)
        if statement.text.startswith("\ufeff"):
            self.refuse(statement.line, "a byte order mark in the middle of the file", _MARK_ADVICE)
        elif self.in_transaction and is_transaction_command(statement):
            self.refuse(statement.line, shown, TRANSACTION_ADVICE)
        elif self.in_transaction and runs_in_no_transaction(statement):
            self.refuse(statement.line, shown, OUTSIDE_ADVICE)
        elif switches_quotes(statement):
            self.refuse(statement.line, shown, QUOTES_ADVICE)
        self._refuse_unset(statement)
        self._judge_reach(statement, shown)
        self._judge_loss(statement.line, statement.text)
        self._judge_routines(statement)
        self._switch(statement)
        given = _COPY_ENCODING.search(statement.text) if statement.words[:1] == ("copy",) else None
        self._data_encoding = encoding.known(given[1]) if given else None

    def _refuse_unset(self, piece: Statement | MetaCommand) -> None:
        r"""What `\getenv` did not find; behind an `\if` that may ask for just that, nobody can tell."""
        if not self._conditions.certain:
            return
        if isinstance(piece, Statement):
            for behind, *found in self._session.environment.missed_in(piece.text):
                self.refuse(piece.line + behind, *found)
        else:
            for found_there in self._session.environment.missed_by(piece):
                self.refuse(piece.line, *found_there)

    def _judge_loss(self, line: int, text: str) -> None:
        if "lo_unlink" in text and "lo_unlink" in without_comments(text).lower():
            self._lint.warn(self.file, line, "lo_unlink", _UNLINKS)

    def _judge_reach(self, statement: Statement, shown: str) -> None:
        if found := server_wide.reaches_beyond(statement, self._lint.production):
            self.refuse(statement.line, f"{shown}: {found[0]}", found[1])
        elif found := server_wide.may_reach_beyond(statement, self._lint.production):
            self._lint.warn(self.file, statement.line, f"a DO block: {found[0]}", found[1])
        if leaves_owner(statement):
            self._lint.warn(self.file, statement.line, shown, ROLE_ADVICE)

    def _judge_routines(self, statement: Statement) -> None:
        words = statement.words
        if words[:1] == ("create",) and "procedure" in words:
            if made := read_create_procedure(statement.text):
                self._lint.procedures.add(made)
        elif self.in_transaction and words[:1] == ("do",) and (block := read_do(statement.text)):
            if block.ends is not None:
                self.refuse(statement.line + block.ends, "a DO block that ends the transaction (COMMIT or ROLLBACK)", DO_ADVICE)
            self._keep_calls(statement, block.calls)
        elif self.in_transaction and words[:1] == ("call",) and (call := read_call(statement.text)):
            self._keep_calls(statement, [call])

    def _keep_calls(self, statement: Statement, calls: Sequence[Call]) -> None:
        for call in calls:
            self._lint.judge_call(PendingCall(self.file, statement.line + call.line, call))

    def _check_encoding(self, line: int, text: str, name: str | None) -> None:
        if text.isascii() or name is None:
            return
        raw = text.encode("utf-8", errors="surrogateescape")
        if found := encoding.invalid(raw, name):
            self.refuse(line + found[0], f"byte 0x{found[1]:02x} is not valid {name}", encoding.advice(name))
        else:
            self._lint.texts.add(self.file, line, name, raw)

    def _switch(self, piece: Statement | MetaCommand) -> None:
        if (name := encoding.switched_to(piece, self._session.variables)) is None:
            return
        known = encoding.known(name)
        if name and known is None:
            self.refuse(piece.line, f"encoding {name}", _NO_ENCODING)
        self._session.encoding = known if self._conditions.certain or known == self._session.encoding else None

    def _change_folder(self, command: MetaCommand) -> None:
        folder = self._session.variables.resolve(command.arguments[0]) if command.arguments else str(Path.home())
        if folder is None:
            self.refuse(command.line, f"\\cd {command.arguments[0]}", "write out which folder")
        else:
            self._session.cwd = real_path(self._session.cwd / folder)
