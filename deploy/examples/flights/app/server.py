"""The flights service over HTTP. One program: its configuration says whether its queries know the old tables or the new.

GET  /health                          {"status": "ok", "version": "old", …}, or 503
GET  /flights/UA/1545?date=2013-01-01 {"flights": [{…}]}; without a date, all days
POST /notes                           {"airline", "number", "date", "body"} → 201 {"id"}
GET  /notes/4                         {"id", "airline", "number", "date", "body", "written"}
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pidfile
import psycopg
from psycopg.rows import dict_row

HERE = Path(__file__).parent
CONNECT_SECONDS = 3
STATEMENT_MILLISECONDS = 5000
REQUEST_SECONDS = 10
BODY_BYTES_MAX = 1 << 16


class Refused(Exception):
    """A request that cannot be answered: status and reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Database:
    """The service's queries, each on a connection of its own: nothing is held while nobody asks."""

    def __init__(self, url: str, queries: str, name: str) -> None:
        self._url = url
        self._name = name
        self._queries = {file.stem: file.read_text() for file in (HERE / "queries" / queries).glob("*.sql")}

    def rows(self, query: str, **values: Any) -> list[dict[str, Any]]:
        with psycopg.connect(
            self._url,
            connect_timeout=CONNECT_SECONDS,
            application_name=self._name,
            options=f"-c statement_timeout={STATEMENT_MILLISECONDS}",
            row_factory=dict_row,
        ) as conn:
            return conn.execute(self._queries[query], values).fetchall()


class Service(ThreadingHTTPServer):
    daemon_threads = False  # a request that was taken is answered before the process ends
    request_queue_size = 128

    def __init__(self, port: int, database: Database, version: str) -> None:
        super().__init__(("127.0.0.1", port), Request)
        self.database = database
        self.version = version


class Request(BaseHTTPRequestHandler):
    """One request, one connection (HTTP/1.0): a closed door ends no answer half-way and leaves no connection open."""

    server: Service
    timeout = REQUEST_SECONDS

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if url.path == "/health":
            self._answer(self._health)
        elif found := re.fullmatch(r"/flights/([A-Z0-9]{2})/(\d{1,5})", url.path):
            self._answer(lambda: self._flights(found[1], int(found[2]), parse_qs(url.query).get("date", [None])[0]))
        elif found := re.fullmatch(r"/notes/(\d{1,9})", url.path):
            self._answer(lambda: self._note(int(found[1])))
        else:
            self._answer(self._unknown)

    def do_POST(self) -> None:
        self._answer(self._add_note if self.path == "/notes" else self._unknown)

    def _health(self) -> tuple[int, dict[str, Any]]:
        return 200, {"status": "ok", "version": self.server.version, **self.server.database.rows("health")[0]}

    def _flights(self, airline: str, number: int, date: str | None) -> tuple[int, dict[str, Any]]:
        return 200, {"flights": self.server.database.rows("flights", airline=airline, number=number, date=date)}

    def _note(self, number: int) -> tuple[int, dict[str, Any]]:
        if not (found := self.server.database.rows("note", id=number)):
            raise Refused(404, f"there is no note {number}")
        return 200, found[0]

    def _add_note(self) -> tuple[int, dict[str, Any]]:
        note = self._body()
        values = {name: note.get(name) for name in ("airline", "number", "date", "body")}
        if not isinstance(values["number"], int) or not values["date"]:
            raise Refused(400, f"a note has an airline, a number, a date and a body; this one has {sorted(note)}")
        if not (added := self.server.database.rows("add_note", **values)):
            raise Refused(400, f"there is no airline {values['airline']!r}")
        return 201, added[0]

    def _unknown(self) -> tuple[int, dict[str, Any]]:
        raise Refused(404, f"there is nothing at {self.path}")

    def _body(self) -> dict[str, Any]:
        length = int(self.headers.get("Content-Length") or 0)
        if length > BODY_BYTES_MAX:
            raise Refused(413, f"{length} bytes are more than {BODY_BYTES_MAX}")
        try:
            body = json.loads(self.rfile.read(length))
        except ValueError as error:
            raise Refused(400, f"the body is not JSON: {error}") from error
        if not isinstance(body, dict):
            raise Refused(400, "the body is not a JSON object")
        return body

    def _answer(self, route: Any) -> None:
        try:
            status, answer = route()
        except Refused as refused:
            status, answer = refused.status, {"status": "refused", "reason": str(refused)}
        except psycopg.errors.DataError as error:
            status, answer = 400, {"status": "refused", "reason": str(error).splitlines()[0]}
        except psycopg.Error as error:
            status, answer = 503, {"status": "no database", "version": self.server.version, "reason": str(error)}
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def main() -> None:
    arguments = argparse.ArgumentParser()
    for name in ("--service", "--version", "--url"):
        arguments.add_argument(name, required=True)
    for name in ("--port", "--lock"):
        arguments.add_argument(name, required=True, type=int)
    given = arguments.parse_args()
    pidfile.say(given.lock, listening=False)

    settings = json.loads((HERE / "etc" / f"{given.service}.{given.version}.json").read_text())
    database = Database(given.url, settings["queries"], f"flights {given.service} {given.version}")
    with Service(given.port, database, settings["queries"]) as service:
        signal.signal(signal.SIGTERM, lambda *_: _terminate(service, settings["die_on_term"]))
        pidfile.say(given.lock, listening=True)
        service.serve_forever(poll_interval=0.05)


def _terminate(service: Service, die: bool) -> None:
    if die:
        threading.Thread(target=service.shutdown).start()
    else:
        print("SIGTERM: reloading, as die_on_term is false", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
