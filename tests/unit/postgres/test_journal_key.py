"""The copy of the ledger's key in the run's folder: read with doubt, and never shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from support.found_files import EVERYTHING, put

from cutoverd.daemon.postgres.ledger.journal_key import FILE, find_cached


@pytest.mark.parametrize("what", EVERYTHING)
def test_whatever_lies_where_the_key_was_nobody_waits_for_it(tmp_path: Path, what: str) -> None:
    """Found: a pipe there kept `status`, `send`, `journal restore` and every daemon waiting without end."""
    put(tmp_path / FILE, what)
    with capture_logs() as logs:
        assert find_cached(tmp_path) is None
    [named] = logs
    assert (named["event"], named["path"]) == ("journal_key_not_read", str(tmp_path / FILE))


def test_half_a_key_is_in_no_log(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(json.dumps({"secrets": ["5ec7e7" * 10]})[:-20])
    with capture_logs() as logs:
        assert find_cached(tmp_path) is None
    assert "5ec7e7" not in str(logs)
