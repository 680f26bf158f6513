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

from cutoverd.daemon.postgres.compare_merge import Difference, Kind

FIRST_KEYS = 20
LEADING_FIELDS = 2  # key and hash, before the columns
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
        old, new = self._row(difference.old), self._row(difference.new)
        key = {name: (old or new or {})[name] for name in self.key}
        event: dict[str, Any] = {"kind": difference.kind.value, "key": key}
        if difference.kind is Kind.CHANGED and old and new:
            changed = {name: [old[name], new[name]] for name in self.names if old[name] != new[name]}
            event["columns"] = list(changed)
            self._write({**event, "columns": changed})
        elif difference.times > 1:
            event["times"] = difference.times
            self._write(event)
        else:
            self._write({**event, "row": old or new})
        self.counts[difference.kind] += 1
        if len(self.first) < FIRST_KEYS:
            self.first.append(event)

    def _write(self, entry: dict[str, Any]) -> None:
        line = json.dumps(entry, ensure_ascii=False).encode() + b"\n"
        self.sha256.update(line)
        self.file.write(line)

    def _row(self, line: bytes | None) -> dict[str, str | None] | None:
        if line is None:
            return None
        return dict(zip(self.names, map(_value, line.rstrip(b"\n").split(b"\t")[LEADING_FIELDS:]), strict=True))


def _value(field_: bytes) -> str | None:
    if field_ == rb"\N":
        return None
    plain = _ESCAPED.sub(lambda m: _UNESCAPED.get(m[1], m[1]), field_) if b"\\" in field_ else field_
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
    finally:
        Path(unfinished).unlink(missing_ok=True)


def file_of(folder: Path, record: Record) -> Path:
    return folder / f"{record.sha256.hexdigest()}.jsonl"
