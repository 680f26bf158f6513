"""Programs that read a script or run another program, and how their words tell which."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePath


@dataclass(frozen=True)
class Reader:
    """`valued`: options that take the next word; `script`: whose value is a script; `ends`: behind which none comes."""

    valued: frozenset[str] = frozenset()
    script: frozenset[str] = frozenset()
    ends: frozenset[str] = frozenset()
    runs_command: bool = False  # the words after its options are one
    positional: int = 0  # so many words come before that command
    by_option_alone: bool = False  # a word that is no option names no script
    all_words: bool = False  # each of them does
    is_shell: bool = False
    runs_modules: bool = False  # `-m pytest tests/a.py`, as the program of that name


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SHELL = Reader(valued=_set("-o +o -O +O"), script=_set("--rcfile --init-file"), is_shell=True)
_BY_F = Reader(valued=_set("-v -d -U -h -p -C -i"), script=_set("-f --file"), by_option_alone=True)
_WRAPPER = Reader(runs_command=True)
_AS_USER = Reader(valued=_set("-u -g -h -p -C -r -t -T"), runs_command=True)
_PRIORITY = Reader(valued=_set("-n -c -i -o -e -p"), runs_command=True)
_PYTEST = Reader(valued=_set("-k -m -p -c -o -n --rootdir --junitxml"), all_words=True)
_READERS = {
    **dict.fromkeys(("sh", "bash", "dash", "ash", "ksh", "zsh"), _SHELL),
    **dict.fromkeys(("source", "."), Reader()),
    **dict.fromkeys(("python", "pypy"), Reader(valued=_set("-W -X"), ends=_set("-c -"), runs_modules=True)),
    "perl": Reader(ends=_set("-e -E")),
    "ruby": Reader(valued=_set("-I -r -C"), ends=_set("-e")),
    "node": Reader(valued=_set("-r --require --import"), ends=_set("-e -p --eval --print")),
    "php": Reader(valued=_set("-d -c"), script=_set("-f"), ends=_set("-r")),
    "java": Reader(valued=_set("-cp -classpath --class-path"), script=_set("-jar")),
    **dict.fromkeys(("lua", "tclsh", "Rscript", "pwsh"), Reader()),
    **dict.fromkeys(("pytest", "py.test"), _PYTEST),
    **dict.fromkeys(("psql", "awk", "gawk", "mawk", "sed", "make"), _BY_F),
    **dict.fromkeys(("nohup", "setsid", "exec", "command", "time"), _WRAPPER),
    **dict.fromkeys(("sudo", "runuser"), _AS_USER),
    **dict.fromkeys(("nice", "ionice", "stdbuf"), _PRIORITY),
    "env": Reader(valued=_set("-u -C --unset --chdir"), runs_command=True),
    "timeout": Reader(valued=_set("-s -k --signal --kill-after"), runs_command=True, positional=1),
    "flock": Reader(valued=_set("-w -E --timeout"), runs_command=True, positional=1),
    "xargs": Reader(valued=_set("-n -P -I -L -d -a"), runs_command=True),
}
_VERSION = re.compile(r"[-.\d]+$")  # python3.11


def find_reader(program: str) -> Reader | None:
    """By the name of the program, wherever it lies."""
    name = PurePath(program).name
    return _READERS.get(name or program) or _READERS.get(_VERSION.sub("", name))
