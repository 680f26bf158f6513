"""A first plan for a database that was looked at: valid once every place that is marked has been filled in."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from datetime import date

from cutoverd.daemon.host.printable import json_text, printable
from cutoverd.daemon.plan.diagnostics import UNFILLED
from cutoverd.daemon.plan.fields import LONGEST_RUN_NAME
from cutoverd.daemon.postgres.catalog.introspect import DatabaseShape, TableShape

HOURS_A_TERABYTE = 50  # twice what it took into indexed tables: docs/measured.md, "Moving a gigabyte"
SHORTEST_HOURS = 1


def draft(url: str, shape: DatabaseShape, today: date) -> str:
    """The text of the plan file; it holds no secret, for `url` holds none."""
    return "\n".join([*_head(url, shape, today), *_comparisons(shape), *_tail(shape), ""])


def _head(url: str, shape: DatabaseShape, today: date) -> Iterator[str]:
    yield "# yaml-language-server: $schema=plan.schema.json"
    size, tables = f"{shape.size_bytes / 1e9:.3f} GB", f"{len(shape.tables)} tables"
    yield f"# Drafted from database {_line(shape.name)}: PostgreSQL {shape.version}, {size}, {tables}."
    yield f"# Fill in each {UNFILLED} and take the word away; `cutoverd schema > plan.schema.json` lets an editor help."
    yield f"run: {_run(shape.name, today)}                # new for every run"
    yield "state_dir: state                          # of the daemon; it must outlive it"
    yield "window: {budget: 4h}                      # opens: 2026-12-05T22:00:00Z holds `advance` back until then"
    yield f"database: {{url: {json_text(url)}}}"
    yield "# bus: {url: nats://127.0.0.1:4222}       # left out: a nats-server of the daemon's own"
    yield "# metrics: {listen: 127.0.0.1:9187}"
    yield ""
    yield "health:                                   # of what runs today, as clients see it"
    yield f'  - {{name: the application answers, http: {{url: "http://{UNFILLED}/health", status: 200}}}}'
    yield ""
    yield "services: []                              # stopped in this order, started in reverse; status exits 0 or, stopped, 3"
    yield "#  - name: api                            # test: out of reach of clients, for Smoke"
    for version in ("old", "new", "test"):
        commands = ", ".join(f"{verb}: [./api, {verb}, {version}]" for verb in ("start", "stop", "status"))
        yield f"#    {version}: {{{commands}}}"
    yield ""
    yield "traffic:                                  # doors between clients and services; status exits 0 (open) or 3 (closed)"
    yield f"  - {{name: door, close: [{UNFILLED}, close], open: [{UNFILLED}, open], status: [{UNFILLED}, status]}}"
    yield ""
    yield "backup: {directory: backups, jobs: 2}     # room for two dumps"
    yield f'schema: {{files: ["{UNFILLED}/**/*.sql"]}}    # applied to a copy of the database'
    yield f'data: {{scripts: ["{UNFILLED}/*.sql"]}}       # move the rows from old tables to new'
    yield ""


def _comparisons(shape: DatabaseShape) -> Iterator[str]:
    yield "validate:"
    yield "  # scripts: [validation/*.sql]           # each row of a result: `ok` and `check`"
    keyed = [table for table in shape.tables if table.key]
    yield "  compare:                                # what a row of old must be in new" if keyed else "  compare: []"
    for table in keyed:
        yield from _comparison(table)
    for table in shape.tables:
        if not table.key:
            advice = "compare it by a query that gives each row one, or waive it"
            yield f"  # {_line(table.shown)} ({_rows(table)}) has no key: {advice}"
    yield "  waive: {}                               # schema.table: why nobody needs its rows"
    yield ""


def _comparison(table: TableShape) -> Iterator[str]:
    select = f"SELECT {', '.join(table.columns)} FROM"
    yield f"    - name: {json_text(table.shown)}   # {_rows(table)}"
    yield f"      key: {json_text(table.key)}"
    yield f"      old: {json_text(f'{select} {table.name}')}"
    yield f"      new: {json_text(f'{select} {UNFILLED}')}"


def _tail(shape: DatabaseShape) -> Iterator[str]:
    hours = max(SHORTEST_HOURS, math.ceil(shape.size_bytes / 1e12 * HOURS_A_TERABYTE))
    yield "smoke:                                    # the new version, before any client sees it"
    yield f"  - {{name: smoke tests, command: [{UNFILLED}]}}"
    yield "monitor: {for: 1h}"
    yield "gates: [downtime, cutover]"
    yield f"timeouts: {{step: {hours}h}}                   # from the size: 50 hours for 1 TB; no step may take longer"


def _rows(table: TableShape) -> str:
    return "never analysed" if table.rows < 0 else f"about {table.rows:,} rows"


def _line(text: str) -> str:
    """For a comment: a name may hold the end of a line."""
    return printable(" ".join(text.split()))


def _run(database: str, today: date) -> str:
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", database).strip("-") or "run"
    return f"{name[: LONGEST_RUN_NAME - 11]}-{today:%Y-%m-%d}"
