"""What PostgreSQL refuses becomes a failure with a hint that was made of it."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

from cutoverd.daemon.postgres.session.reach import to_step_error

OPEN: Any = SimpleNamespace(closed=False)


@pytest.mark.parametrize(
    ("error", "helps"),
    [
        (psycopg.errors.DiskFull("could not write to file"), "make room on the disk that it names, then `retry`"),
        (psycopg.errors.InsufficientPrivilege("would be affected by row-level security"), "BYPASSRLS"),
        (psycopg.errors.DuplicateDatabase('database "app" already exists'), "rename or drop it, then `retry`"),
        (psycopg.errors.DivisionByZero("division by zero"), ""),
    ],
)
def test_a_refusal_carries_what_helps(error: psycopg.Error, helps: str) -> None:
    """Found: a full disk was named, and not what to do; what row level security hides was named, and not who may see it."""
    hint = to_step_error(OPEN, error).hint
    assert helps in hint
    assert bool(helps) == bool(hint)


def test_what_psycopg_logs_beside_an_error_is_not_said_raw() -> None:
    """Found: "error ignored in rollback" on stderr, above the one that counted, in words that are nobody's."""
    says = "import logging, cutoverd.daemon.postgres.session.connect; logging.getLogger('psycopg').warning('error ignored')"
    done = subprocess.run([sys.executable, "-c", says], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""
