"""`cutoverd check` says what it finds, whatever one look at the world ends with."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from psycopg import OperationalError

from cutoverd.daemon.control import check
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.states.errors import CheckFailed, TimedOut
from cutoverd.states.run import FrozenPlan, Run


def with_failing_check(error: Exception) -> tuple[Any, Any]:
    """A plan with one dashboard, and ports whose checks end with the error."""

    async def prove_dashboard(*_: object) -> None:
        raise error

    plan = SimpleNamespace(
        run="night",
        timeouts=SimpleNamespace(step=60.0),
        window=SimpleNamespace(budget=None),
        bus=SimpleNamespace(monitoring=None),
    )
    return SimpleNamespace(plan=plan), SimpleNamespace(checks=SimpleNamespace(prove_dashboard=prove_dashboard))


def dashboard() -> Any:
    run = Run("night", plan=FrozenPlan(items={"dashboards": ["page"]}, budget_seconds=None))
    return next(key for key in run.keys("precheck") if key.item == "page")


@pytest.mark.parametrize(
    ("error", "description"),
    [
        (ExceptionGroup("all attempts failed", [OverflowError("port must be 0-65535.")]), "OverflowError: port must be 0-65535."),
        (UnicodeError("label too long"), "UnicodeError: label too long"),
        (KeyError("files"), "KeyError: 'files'"),
        (AssertionError(), "AssertionError"),
    ],
)
async def test_an_unexpected_error_in_one_look_is_a_finding_of_that_step(error: Exception, description: str) -> None:
    """Found: `cutoverd check` ended with a traceback where the loop tells of a failed step."""
    loaded, ports = with_failing_check(error)
    [finding] = [each async for each in check._of_step(loaded, ports, dashboard())]
    assert (finding.check, finding.verdict) == ("precheck.prove_dashboard:page", check.Verdict.UNFIT)
    assert finding.detail == f"it could not be looked at: {description}"
    assert finding.todo


async def test_a_look_that_took_too_long_is_told_as_a_run_tells_it() -> None:
    """Found: `check` said `TimeoutError` and nothing else, where `run` says what ended, and what to do."""
    loaded, ports = with_failing_check(TimeoutError())
    [finding] = [each async for each in check._of_step(loaded, ports, dashboard())]
    assert finding.detail.startswith("not done after ")
    assert (finding.verdict, finding.todo) == (check.Verdict.UNFIT, TimedOut.hint)


async def test_what_only_a_run_can_be_told_is_not_asked_of_who_only_checks() -> None:
    hint = "change the files, then `abort` and start a run with a name of its own"
    loaded, ports = with_failing_check(CheckFailed("1 line(s) of the SQL files cannot be run", hint=hint))
    [finding] = [each async for each in check._of_step(loaded, ports, dashboard())]
    assert finding.todo == "change the files"


async def test_an_unexpected_error_at_the_bus_is_a_finding(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async def check_sync(_: object) -> None:
        raise UnicodeError("label too long")

    monkeypatch.setattr(check.stream, "check_sync", check_sync)
    [finding] = await check._of_bus(with_failing_check(OSError())[0], Server("postgresql://nowhere/there", "night", 0, tmp_path))
    assert (finding.check, finding.verdict) == (check.BUS, check.Verdict.UNFIT)
    assert "UnicodeError: label too long" in finding.detail


async def test_what_a_server_says_of_every_database_is_said_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Found: a wrong port gave the same words of libpq three times in one line."""

    async def connect(self: Server, database: str = "", **_: object) -> None:
        raise OperationalError("Connection refused" if database != "app" else 'no pg_hba.conf entry for database "app"')

    monkeypatch.setattr(Server, "connect", connect)
    plan = SimpleNamespace(run="night", client_tools=None, database=SimpleNamespace(url="postgresql://c@127.0.0.1/app"))
    with pytest.raises(check.NoSession) as refused:
        await check._read_only_server(cast("Any", SimpleNamespace(plan=plan)), tmp_path)
    assert str(refused.value).startswith(
        'no session could be had: cutoverd, postgres: Connection refused; app: no pg_hba.conf entry for database "app"'
    )
