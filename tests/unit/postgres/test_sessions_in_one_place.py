"""Every session of the product begins where its settings are pinned; every libpq child gets them by its address."""

from __future__ import annotations

import re
from pathlib import Path

from support.paths import ROOT

DAEMON = ROOT / "daemon"
CONNECTS = re.compile(r"(\bpsycopg\.connect|Connection\.connect|\bawait connect)\(")
TOOLS = re.compile(r"""tool\(|["'](psql|pg_dump|pg_restore)["']""")
OWN_SERVERS = "daemon/embedded/postgres.py"  # a server that we start ourselves, for the demo
AS_APPLICATION = "daemon/systems/login.py"  # a login of the application's, with what the application gets
AS_TESTS = "daemon/postgres/precheck/role_logins.py"  # a login of the smoke tests' roles, with what they get
DRAFT = "daemon/postgres/catalog/introspect.py"  # before there is a run; pins by itself
NOT_PRODUCTION = ("daemon/bus/", "daemon/runtime/", "daemon/demo/")  # NATS, and the demo on a server of its own
SESSIONS = {"daemon/postgres/session/connect.py", "daemon/postgres/session/pinned.py"}


def files_with(pattern: re.Pattern[str], folder: Path = DAEMON) -> set[str]:
    return {str(file.relative_to(ROOT)) for file in folder.rglob("*.py") if pattern.search(file.read_text())}


def test_sessions_are_opened_in_one_place() -> None:
    elsewhere = {file for file in files_with(CONNECTS) if file.startswith(NOT_PRODUCTION)}
    assert files_with(CONNECTS) - elsewhere == {*SESSIONS, OWN_SERVERS, AS_APPLICATION, AS_TESTS, DRAFT}
    assert "pins.at_start" in (ROOT / DRAFT).read_text()
    assert "pins.afterwards" in (ROOT / DRAFT).read_text()


def test_each_program_of_postgres_gets_the_settings_of_its_sessions() -> None:
    for file in files_with(TOOLS, DAEMON / "postgres"):
        text = (ROOT / file).read_text()
        for address in re.findall(r"server\.conninfo\(([^)]*)\)", text):
            assert "settings" in address, f"{file}: conninfo({address})"
