"""Clients of printoptim: they read and write through the door, and know afterwards what was promised to them.

    python load.py run   --door http://127.0.0.1:8080 --acknowledged F [--clients 4] [--seconds 60]   (or until SIGTERM)
    python load.py check --acknowledged F --url postgresql://… [--kept postgresql://… --kept-from BYTES]

`run` keeps each acknowledged write in F, a line of JSON each, and ends with what the clients saw: requests, errors, the longest
gap between two answers. `check` looks for each of these writes in production, whichever schema that has, and exits 1 if one is
missing. `--kept`: the new database that a way back from Monitor closed and kept; there it looks for what was acknowledged once F
had `--kept-from` bytes: after the cutover, so that somebody said he would do without it.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import urlsplit

import psycopg

ANSWER_SECONDS = 10
PAUSE_SECONDS = 0.15  # between two requests of a client
RETRY_SECONDS = 0.25  # after one without an answer
FIRST_MACHINE = 500_001
Write = dict[str, Any]  # {"kind", "id", "says"}
READ, READING, TICKET = "read", "reading", "ticket"
FOUND = {
    READING: {
        "old": "SELECT id, mono::text FROM public.reading WHERE id = ANY(%s)",
        "new": "SELECT pk_meter_reading, mono_pages::text FROM fleet.tb_meter_reading WHERE pk_meter_reading = ANY(%s)",
    },
    TICKET: {
        "old": "SELECT id, subject FROM public.ticket WHERE id = ANY(%s)",
        "new": "SELECT pk_ticket, subject FROM fleet.tb_ticket WHERE pk_ticket = ANY(%s)",
    },
}


@dataclass
class ClientCounts:
    """What one client saw."""

    requests: int = 0
    errors: int = 0
    writes: int = 0
    gap_seconds: float = 0.0
    answered_at: float = field(default_factory=time.monotonic)

    def apply(self, answered: bool) -> None:
        self.requests += 1
        if answered:
            self.end()
        else:
            self.errors += 1

    def end(self) -> None:
        now = time.monotonic()
        self.gap_seconds = max(self.gap_seconds, now - self.answered_at)
        self.answered_at = now


class Kept:
    """The file of what was acknowledged; a line is in the system's hands before the client asks again."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._lock = threading.Lock()

    def add(self, kind: str, number: int, says: str) -> None:
        with self._lock:
            self._file.write(json.dumps({"kind": kind, "id": number, "says": says}) + "\n")
            self._file.flush()


class Client(threading.Thread):
    """Reads and writes in turn, one request at a time, until it is told to stop."""

    def __init__(self, number: int, door: str, kept: Kept, ended: threading.Event) -> None:
        super().__init__()
        self.counts = ClientCounts()
        self._door = urlsplit(door).netloc
        self._random = random.Random(number)
        self._number = number
        self._kept = kept
        self._ended = ended

    def run(self) -> None:
        acts = (self._read, self._write_reading, self._read, self._write_ticket)
        answered = True
        while not self._ended.wait(PAUSE_SECONDS if answered else RETRY_SECONDS):
            try:
                acts[self.counts.requests % len(acts)]()
                answered = True
            except (OSError, http.client.HTTPException, ValueError):
                answered = False
            self.counts.apply(answered)
        self.counts.end()

    def _read(self) -> None:
        self._ask("GET", f"/machines/{self._serial()}")

    def _write_reading(self) -> None:
        mono = self._random.randrange(1 << 30)
        self._write("/readings", READING, str(mono), {"mono": mono, "colour": 1})

    def _write_ticket(self) -> None:
        subject = f"client {self._number}, {self._random.randrange(1 << 60):x}"
        self._write("/tickets", TICKET, subject, {"subject": subject, "priority": "normal"})

    def _write(self, path: str, kind: str, says: str, body: dict[str, Any]) -> None:
        added = self._ask("POST", path, body | {"serial": self._serial()})
        self._kept.add(kind, added["id"], says)
        self.counts.writes += 1

    def _serial(self) -> str:
        return f"SN{FIRST_MACHINE + self._random.randrange(100)}"

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        connection = http.client.HTTPConnection(self._door, timeout=ANSWER_SECONDS)
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        if answer.status not in (200, 201):
            raise ValueError(f"{path}: {answer.status}")
        return dict(json.loads(content))


def run(given: argparse.Namespace) -> int:
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    with given.acknowledged.open("a") as file:
        clients = [Client(number, given.door, Kept(file), ended) for number in range(given.clients)]
        for client in clients:
            client.start()
        ended.wait(given.seconds)
        ended.set()
        for client in clients:
            client.join()
    print(json.dumps(_sum_counts([client.counts for client in clients])))
    return 0


def _sum_counts(clients: list[ClientCounts]) -> dict[str, Any]:
    return {
        "clients": len(clients),
        "requests": sum(each.requests for each in clients),
        "errors": sum(each.errors for each in clients),
        "writes": sum(each.writes for each in clients),
        "longest_gap_seconds": round(max(each.gap_seconds for each in clients), 2),
    }


def check(given: argparse.Namespace) -> int:
    """A write from before the cutover belongs into production, although the database that was kept has it as well."""
    lines = given.acknowledged.read_bytes()
    before, after = (list(map(json.loads, part.splitlines())) for part in (lines[: given.kept_from], lines[given.kept_from :]))
    (schema, missing), (_, elsewhere) = _not_in(given.url, before), _not_in(given.url, after)
    lost = _not_in(given.kept, elsewhere)[1] if given.kept else elsewhere
    missing += lost
    totals = {"acknowledged": len(before) + len(after), "missing": len(missing), "kept": len(elsewhere) - len(lost)}
    print(json.dumps({**totals, "first": missing[:5], "schema": schema}))
    return 1 if missing else 0


def _not_in(url: str, promised: list[Write]) -> tuple[str, list[Write]]:
    """Which schema the database has, and the writes that it does not have."""
    with psycopg.connect(url) as connection:
        [new] = connection.execute("SELECT to_regclass('fleet.tb_meter_reading') IS NOT NULL").fetchone() or (False,)
        schema = "new" if new else "old"
        return schema, [write for kind in FOUND for write in _missing(connection, FOUND[kind][schema], kind, promised)]


def _missing(connection: psycopg.Connection[Any], query: str, kind: str, promised: list[Write]) -> Iterator[Write]:
    of_its_kind = [write for write in promised if write["kind"] == kind]
    there = dict(connection.execute(query.encode(), [[write["id"] for write in of_its_kind]]).fetchall())
    yield from (write for write in of_its_kind if there.get(write["id"]) != write["says"])


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("verb", choices=["run", "check"])
    arguments.add_argument("--acknowledged", required=True, type=Path, help="the file of acknowledged writes")
    arguments.add_argument("--door", help="where the clients ask: http://127.0.0.1:8080")
    arguments.add_argument("--url", help="of production; no password: libpq finds that elsewhere")
    arguments.add_argument("--kept", help="of the new database that a way back kept")
    arguments.add_argument("--kept-from", type=int, default=0, help="bytes that F had when old was fenced")
    arguments.add_argument("--clients", type=int, default=4)
    arguments.add_argument("--seconds", type=float, help="without it: until SIGTERM")
    given = arguments.parse_args()
    if not (given.door if given.verb == "run" else given.url):
        arguments.error("run needs --door, check needs --url")
    verbs: dict[str, Callable[[argparse.Namespace], int]] = {"run": run, "check": check}
    return verbs[given.verb](given)


if __name__ == "__main__":
    sys.exit(main())
