"""Which files the commands of a plan execute, or read as a script: what a run begins with and what may not change.

Every other word is state or configuration, of which the plan alone can say whether it has to stay (`freeze`).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from cutoverd.daemon.plan.executables import commands
from cutoverd.daemon.plan.model import Plan
from cutoverd.daemon.plan.readers import Reader, find_reader
from cutoverd.daemon.sqltext.regular_file import is_regular

_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_SHELL_LINE = re.compile(r"-[A-Za-z]*c[A-Za-z]*")  # -c, -ec, -euc
_OPTION = re.compile(r"[-+].")
_BEFORE_COMMAND = {"if", "then", "elif", "else", "while", "until", "do", "!", "{"}
_BETWEEN = set(";&|()")
_DEEPEST = 5  # of commands in commands


def programs(plan: Plan, folder: Path) -> list[Path]:
    """Those of the plan's folder that are there."""
    return [file for file in named_programs(plan, folder) if is_regular(file)]


def named_programs(plan: Plan, folder: Path) -> list[Path]:
    """As `programs`, whether they are there or not."""
    return _within(plan, folder, (word for _, words in commands(plan) for word in executed(words)))


def other_words(plan: Plan, folder: Path) -> set[str]:
    """Names of files that words of its commands may be, and that nothing runs: a run that an older version began may have
    frozen them, and they never counted for anything."""
    named = _within(plan, folder, (word for _, words in commands(plan) for word in words if word and not word.startswith("-")))
    return {str(file.relative_to(folder)) for file in {*named} - {*named_programs(plan, folder)}}


def _within(plan: Plan, folder: Path, words: Iterable[str]) -> list[Path]:
    """Files of the plan's folder; not what this daemon writes there."""
    named, ours = {folder / word for word in words}, folder / plan.state_dir
    return sorted(file for file in named if file.is_relative_to(folder) and not file.is_relative_to(ours))


def executed(words: Sequence[str], depth: int = 0) -> Iterator[str]:
    """The words of a command that are run: its program, if it is a path, and the scripts that it is known to read."""
    if not words or depth > _DEEPEST:
        return
    if "/" in words[0]:
        yield words[0]
    if reader := find_reader(words[0]):
        yield from _scripts(reader, words[1:], depth)


def _scripts(reader: Reader, words: Sequence[str], depth: int) -> Iterator[str]:
    if reader.is_shell and (line := _shell_line(words)) is not None:
        yield from _in_shell_line(line, depth)
        return
    named, rest = _past_options(reader, words)
    yield from named
    if reader.runs_command or (reader.runs_modules and "-m" in words[: len(words) - len(rest)]):
        yield from executed(_command(reader, rest), depth + 1)
    elif reader.by_option_alone or reader.all_words:
        yield from (word.partition("::")[0] for word in rest[:1] if reader.all_words)  # file.py::test of pytest
        yield from _scripts(reader, rest[1:], depth) if rest else ()
    elif not named:
        yield from rest[:1]


def _past_options(reader: Reader, words: Sequence[str]) -> tuple[list[str], Sequence[str]]:
    """The scripts that options name, and the words from the first on that is no option."""
    scripts, at = list[str](), 0
    while at < len(words) and _OPTION.match(words[at]):
        option, joined, value = words[at].partition("=")
        at += 1
        if option in reader.ends:
            return scripts, []
        if option in reader.valued | reader.script and not joined:
            value, at = "".join(words[at : at + 1]), at + 1
        scripts += [value] if option in reader.script and value else []
    return scripts, words[at:]


def _command(reader: Reader, words: Sequence[str]) -> Sequence[str]:
    """What a wrapper runs: `env A=1 ./x`, `timeout 5 ./x`."""
    start = next((at for at, word in enumerate(words) if not _ASSIGNMENT.match(word)), len(words))
    return words[start + reader.positional :]


def _shell_line(words: Sequence[str]) -> str | None:
    for at, word in enumerate(words):
        if not _OPTION.match(word):
            return None
        if _SHELL_LINE.fullmatch(word):
            return next((each for each in words[at + 1 :] if not _OPTION.match(each)), "")
    return None


def _in_shell_line(line: str, depth: int) -> Iterator[str]:
    """What its simple commands run, as far as quoting goes; what a shell would expand is nothing that we know."""
    lexer = shlex.shlex(line.replace("\n", ";"), posix=True, punctuation_chars=";&|()")
    lexer.whitespace_split = True
    try:
        words = [*lexer, ";"]
    except ValueError:
        return
    command = list[str]()
    for word in words:
        if set(word) <= _BETWEEN:
            yield from executed(command, depth + 1)
            command = []
        elif command or not (word in _BEFORE_COMMAND or _ASSIGNMENT.match(word)):
            command.append(word)
