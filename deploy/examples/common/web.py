"""One service over HTTP, old or new: its configuration says which queries it has. The examples' server.py say what it answers.

GET /health: {"status": "ok", "version": "old", …}, or 503. Each request has a connection to the database of its own.
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pidfile
import psycopg
from psycopg.rows import dict_row

CONNECT_SECONDS = 3
STATEMENT_MILLISECONDS = 5000
REQUEST_SECONDS = 10
BODY_BYTES_MAX = 1 << 16
Answer = tuple[int, dict[str, Any]]


class Refused(Exception):
    """A request that cannot be answered: status and reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Database:
    """The service's queries, each on a connection of its own: nothing is held while nobody asks."""

    def __init__(self, url: str, queries: Path, name: str) -> None:
        self._url = url
        self._name = name
        self._queries = {file.stem: file.read_text() for file in queries.glob("*.sql")}

    def rows(self, query: str, **values: Any) -> list[dict[str, Any]]:
        with psycopg.connect(
            self._url,
            connect_timeout=CONNECT_SECONDS,
            application_name=self._name,
            options=f"-c statement_timeout={STATEMENT_MILLISECONDS}",
            row_factory=dict_row,
        ) as conn:
            return conn.execute(self._queries[query], values).fetchall()

    def row(self, query: str, missing: Refused, **values: Any) -> dict[str, Any]:
        """The first; raises `missing` if there is none."""
        if not (found := self.rows(query, **values)):
            raise missing
        return found[0]


@dataclass(frozen=True)
class Asked:
    """A request: the parts of its path, its parameters, its body."""

    database: Database
    parts: Sequence[str]
    parameters: Mapping[str, str]
    body: Mapping[str, Any]


Route = tuple[str, str, Callable[[Asked], Answer]]  # method, pattern of the path, what answers


class Service(ThreadingHTTPServer):
    daemon_threads = False  # a request that was taken is answered before the process ends
    request_queue_size = 128

    def __init__(self, port: int, database: Database, version: str, routes: Sequence[Route]) -> None:
        super().__init__(("127.0.0.1", port), Request)
        self.database = database
        self.version = version
        self.routes = [("GET", "/health", self._health), *routes]

    def _health(self, asked: Asked) -> Answer:
        return 200, {"status": "ok", "version": self.version, **asked.database.rows("health")[0]}


class Request(BaseHTTPRequestHandler):
    """One request, one connection (HTTP/1.0): a closed door ends no answer half-way and leaves no connection open."""

    server: Service
    timeout = REQUEST_SECONDS

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def _routed(self, method: str) -> Answer:
        url = urlsplit(self.path)
        for known, pattern, answer in self.server.routes:
            if known == method and (found := re.fullmatch(pattern, url.path)):
                parameters = {name: values[0] for name, values in parse_qs(url.query).items()}
                body = self._body() if method == "POST" else {}
                return answer(Asked(self.server.database, found.groups(), parameters, body))
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

    def _answer(self, method: str) -> None:
        answer: dict[str, Any]
        try:
            status, answer = self._routed(method)
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


def serve(name: str, folder: Path, routes: Sequence[Route]) -> None:
    """Until SIGTERM, as the command line says; `folder` has etc/ and queries/."""
    arguments = argparse.ArgumentParser()
    for option in ("--service", "--version", "--url"):
        arguments.add_argument(option, required=True)
    for option in ("--port", "--lock"):
        arguments.add_argument(option, required=True, type=int)
    given = arguments.parse_args()
    pidfile.say(given.lock, listening=False)

    settings = json.loads((folder / "etc" / f"{given.service}.{given.version}.json").read_text())
    queries = settings["queries"]
    database = Database(given.url, folder / "queries" / queries, f"{name} {given.service} {given.version}")
    with Service(given.port, database, queries, routes) as service:
        signal.signal(signal.SIGTERM, lambda *_: _terminate(service, settings["die_on_term"]))
        pidfile.say(given.lock, listening=True)
        service.serve_forever(poll_interval=0.05)


def _terminate(service: Service, die: bool) -> None:
    if die:
        threading.Thread(target=service.shutdown).start()
    else:
        print("SIGTERM: reloading, as die_on_term is false", file=sys.stderr, flush=True)
