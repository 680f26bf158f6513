"""What a comparison found: counts and the first keys for the event, every row in a file named by its sha256."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from cutoverd.daemon.host.private_files import sync_folder
from cutoverd.daemon.postgres.compare.merge import Difference, Kind

FIRST_KEYS = 20
LEADING_FIELDS = 2  # key and hash, before the columns
_ENCODER = json.JSONEncoder(ensure_ascii=False)
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
_UNESCAPED = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}


@dataclass
class Record:
    """Grows by one difference at a time; holds no more than the first keys."""

    names: Sequence[str]  # of the columns
    key: Sequence[str]
    file: IO[bytes]
    counts: Counter[Kind] = field(default_factory=Counter)
    first: list[dict[str, Any]] = field(default_factory=list)
    sha256: Any = field(default_factory=hashlib.sha256)

    def add(self, difference: Difference) -> None:
        old, new = _fields(difference.old), _fields(difference.new)
        event: dict[str, Any] = {"kind": difference.kind.value, "key": self._values(old or new, self.key)}
        if difference.kind is Kind.CHANGED:
            event["columns"] = [name for name, before, after in zip(self.names, old, new, strict=True) if before != after]
            was, became = self._values(old, event["columns"]), self._values(new, event["columns"])
            self._write({**event, "columns": {name: [was[name], became[name]] for name in event["columns"]}})
        elif difference.times > 1:
            event["times"] = difference.times
            self._write(event)
        else:
            self._write({**event, "row": self._values(old or new, self.names)})
        self.counts[difference.kind] += 1
        if len(self.first) < FIRST_KEYS:
            self.first.append(event)

    def _values(self, fields: Sequence[bytes], names: Sequence[str]) -> dict[str, str | None]:
        return {name: _value(each) for name, each in zip(self.names, fields, strict=True) if name in names}

    def _write(self, entry: dict[str, Any]) -> None:
        line = _ENCODER.encode(entry).encode() + b"\n"
        self.sha256.update(line)
        self.file.write(line)


def _fields(line: bytes | None) -> list[bytes]:
    """The columns of a line, as COPY escaped them; none of no line."""
    return line[:-1].split(b"\t")[LEADING_FIELDS:] if line else []


def _value(given: bytes) -> str | None:
    if given == rb"\N":
        return None
    plain = _ESCAPED.sub(lambda m: _UNESCAPED.get(m[1], m[1]), given) if b"\\" in given else given
    return plain.decode(errors="backslashreplace")  # a database in SQL_ASCII may hold any bytes


@contextmanager
def recording(folder: Path, names: Sequence[str], key: Sequence[str]) -> Iterator[Record]:
    """A record whose file gets its name once it is whole, and is gone after an error; readable by its owner only."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, unfinished = tempfile.mkstemp(prefix="differences-", suffix=".unfinished", dir=folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            record = Record(names, key, file)
            yield record
            file.flush()
            os.fsync(file.fileno())
        Path(unfinished).replace(file_of(folder, record))
        sync_folder(folder)
    finally:
        Path(unfinished).unlink(missing_ok=True)


def file_of(folder: Path, record: Record) -> Path:
    return folder / f"{record.sha256.hexdigest()}.jsonl"
