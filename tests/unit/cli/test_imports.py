"""What a start of `cutoverd` imports: that is what it costs. Each command imports what it needs itself, and no more."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PLAN = """\
run: night-1
state_dir: state
database: {url: postgresql://cutover@127.0.0.1/app}
health: [command: ["true"], http: {url: "http://127.0.0.1:8080/health"}]
services:
  - name: api
    old: {start: [./api, start], stop: [./api, stop], status: [./api, status]}
schema: {files: [1.sql]}
data: {scripts: [1.sql]}
validate:
  compare:
    - {name: t, old: SELECT 1 AS id, new: SELECT 1 AS id, key: [id]}
smoke: [command: ["true"]]
traffic: [{close: ["true"], open: ["true"], status: ["true"]}]
"""
# the last three bring the whole daemon, the terminal, and the patterns that read scripts
TOO_MUCH = {
    "httpx",
    "prometheus_client",
    "rich",
    "structlog",
    "cutoverd.daemon.runtime.drive",
    "cutoverd.daemon.terminal.live",
    "cutoverd.daemon.sqltext.splitter",
}


def start(*words: str) -> tuple[str, set[str]]:
    """What `cutoverd WORDS` prints, and all modules that it imports."""
    command = [sys.executable, "-X", "importtime", "-m", "cutoverd.daemon", *words]
    completed = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    lines = completed.stderr.splitlines()
    output = [completed.stdout, *(line for line in lines if not line.startswith("import time:"))]
    return "\n".join(output), {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}


def test_to_tell_its_version_no_library_is_imported_but_the_one_that_reads_options() -> None:
    output, modules = start("--version")
    assert output.startswith("cutoverd 0.")
    assert "typer" in modules
    assert modules & {"asyncio", "nats", "psycopg", "pydantic", "transitions", *TOO_MUCH} == set()


@pytest.mark.parametrize("words", [("status",), ("history",), ("send", "ready")])
def test_who_asks_or_says_something_imports_neither_the_daemon_nor_what_draws(words: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text(PLAN)
    (tmp_path / "1.sql").write_text("SELECT 1;\n")
    output, modules = start(*words, "--plan", str(tmp_path / "plan.yaml"))
    assert "has not started" in output
    assert "nats" in modules
    assert modules & TOO_MUCH == set()
