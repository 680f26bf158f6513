"""Files that a plan or a script names, which may be anything: a pipe is not waited for, a device without end is not read."""

from __future__ import annotations

import io
import os
import stat
from io import BufferedReader
from pathlib import Path

NO_FILE = "it is no file but a pipe or a device"


def open_regular(path: Path) -> BufferedReader:
    """To read its bytes; raises OSError, of a folder, a pipe and a device too, and has words in `strerror`."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        kind = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(kind) and not stat.S_ISDIR(kind):
            raise OSError(0, NO_FILE)
        return open(descriptor, "rb")
    except OSError:
        os.close(descriptor)
        raise


def read_regular(path: Path) -> bytes:
    """The whole of it; raises OSError as `open_regular`."""
    with open_regular(path) as file:
        return file.read()


def read_text(path: Path, errors: str = "strict") -> str:
    """As `Path.read_text` of UTF-8."""
    with io.TextIOWrapper(open_regular(path), encoding="utf-8", errors=errors) as file:
        return file.read()


def is_regular(path: Path) -> bool:
    """A name may be anything: one that is longer than a name can be is no file."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def real_path(path: str | Path) -> Path:
    """Without links; `~` is expanded as psql does. Of links in a ring what is there stays: who opens it is told so."""
    return Path(os.path.realpath(path))


def expanded(name: str) -> str:
    """`~` and `~role` as psql expands them; that of nobody stays as it is."""
    return os.path.expanduser(name)  # Path raises RuntimeError where there is no such role
