"""Whether the system can begin a file that may be executed: a script without a first line for it is a shell's alone to run."""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterator
from pathlib import Path

READ = 256  # bytes: what Linux reads of a file to know what it is
MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
DEFAULT_PATH = "/bin:/usr/bin"  # as host/launcher.py has it
ENV_OPTIONS = ("-S", "--split-string")


def cannot_begin(file: Path, directory: Path) -> str:
    """Why execve would refuse it, or its interpreter not be found from `directory`; "" if not, or if it cannot be known."""
    try:
        with file.open("rb") as opened:
            begun = opened.read(READ)
    except OSError:  # a program may be executed by who may not read it
        return ""
    if not begun:
        return f"{file} is empty"
    if begun.startswith(b"#!"):
        return _wrong_interpreter(begun[2:].partition(b"\n")[0], file, directory)
    if begun.startswith(MARKS):
        return f"{file} begins with a byte order mark, so the system does not see its #!: save it as UTF-8 without one"
    return "" if b"\0" in begun else f"{file} is a script without #! and its interpreter in the first line: add #!/bin/sh, say"


def _wrong_interpreter(line: bytes, file: Path, directory: Path) -> str:
    if line.endswith(b"\r"):
        return f"the first line of {file} ends in CR LF, and the CR counts as part of it: save the file with LF alone"
    interpreter, *arguments = os.fsdecode(line.partition(b"\0")[0]).split() or [""]
    if not interpreter:
        return f"the first line of {file} names no interpreter behind #!"
    if not may_be_executed(directory / interpreter):
        return f"the first line of {file} names {interpreter}, which is no program here"
    program = _of_env(arguments) if Path(interpreter).name == "env" else ""
    if program and not any(map(may_be_executed, places(program, directory))):
        return f"the first line of {file} asks env for {program}, which is not on the PATH ({search_path()})"
    return ""


def _of_env(arguments: list[str]) -> str:
    """The program that env is asked for, if that is plain to see."""
    words = [word for word in arguments if "=" not in word and word not in ENV_OPTIONS][:1]
    return "" if not words or words[0].startswith("-") else words[0]


def places(program: str, directory: Path) -> Iterator[Path]:
    """Where a command that runs in `directory` finds it; only a word with a slash is a path."""
    folders = ["."] if "/" in program else search_path().split(":")
    return (directory / (folder or ".") / program for folder in folders)


def search_path() -> str:
    return os.environ.get("PATH", DEFAULT_PATH)


def may_be_executed(file: Path) -> bool:
    return file.is_file() and os.access(file, os.X_OK)
