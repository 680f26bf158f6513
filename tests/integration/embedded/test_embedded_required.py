"""A server that is missing skips a test by name on a developer's machine, and fails it in CI."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import servers

NAMED = "PostgreSQL 15 is not installed: apt-get install postgresql-15"


@pytest.fixture
def _nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "DEBIAN_15", Path("/nowhere"))
    monkeypatch.setattr("cutoverd.daemon.embedded.postgres.importlib.util.find_spec", lambda name: None)


@pytest.mark.usefixtures("_nothing_installed")
@pytest.mark.parametrize(("major", "reason"), [("15", NAMED), ("18", "the embedded PostgreSQL is not installed")])
def test_a_missing_postgresql_skips_the_test_by_name(major: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUTOVERD_REQUIRE_ALL", raising=False)
    with pytest.raises(pytest.skip.Exception, match=reason):
        servers.bin_dir(major)


@pytest.mark.usefixtures("_nothing_installed")
@pytest.mark.parametrize(("major", "reason"), [("15", NAMED), ("18", "the embedded PostgreSQL is not installed")])
def test_a_missing_postgresql_fails_the_test_where_all_is_required(
    major: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUTOVERD_REQUIRE_ALL", "1")
    with pytest.raises(pytest.fail.Exception, match=reason):
        servers.bin_dir(major)
