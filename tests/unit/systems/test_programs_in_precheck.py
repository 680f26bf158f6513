"""PreCheck finds each program of the plan that could not be run at night, with the keys that name it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from cutoverd.daemon.host import children
from cutoverd.daemon.plan.load import LoadedPlan, load
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.runtime.wiring import ports_of
from cutoverd.states.errors import Unfit
from cutoverd.states.ports import AttemptId, Direction

ATTEMPT_ID = AttemptId("night-1", 1, "precheck.check_programs", Direction.FORWARD, "e1")
FINE = ["true"]


def planned(folder: Path, **changes: Any) -> LoadedPlan:
    """A plan all of whose commands are `true`, but for the changes."""
    unit = {"start": FINE, "stop": FINE, "status": FINE}
    plan = {
        "run": "night-1",
        "state_dir": "state",
        "database": {"url": "postgresql://cutover@127.0.0.1/app"},
        "health": [{"command": FINE}],
        "services": [{"name": "api", "old": unit, "new": {**unit, **changes.pop("new", {})}}],
        "schema": {"files": ["1.sql"]},
        "data": {"scripts": ["1.sql"]},
        "validate": {"compare": [{"name": "t", "old": "SELECT 1 AS id", "new": "SELECT 1 AS id", "key": ["id"]}]},
        "smoke": [{"command": FINE}],
        "traffic": [{"name": "lb", "close": FINE, "open": FINE, "status": FINE}],
        **changes,
    }
    (folder / "1.sql").write_text("SELECT 1;\n")
    (folder / "plan.yaml").write_text(yaml.safe_dump(plan))
    return load(folder / "plan.yaml")


async def check_programs(loaded: LoadedPlan) -> Any:
    server = Server(loaded.plan.database.url, "night-1", 1, loaded.run_dir)
    return await ports_of(loaded, server).checks.check_programs(ATTEMPT_ID)


async def refused(loaded: LoadedPlan) -> list[str]:
    with pytest.raises(Unfit) as unfit:
        await check_programs(loaded)
    return list(unfit.value.evidence["reasons"])


async def test_programs_on_the_path_and_in_the_plans_folder_are_fine(tmp_path: Path) -> None:
    (tmp_path / "api").write_text("#!/bin/sh\n")
    (tmp_path / "api").chmod(0o755)
    assert await check_programs(planned(tmp_path, new={"start": ["./api", "start"]})) == {"programs": 2}


async def test_a_program_that_is_not_there_is_found_before_the_window(tmp_path: Path) -> None:
    """Found: `start` of a new version was a file that was never deployed, seen in Cutover."""
    loaded = planned(
        tmp_path,
        new={"start": ["./api", "start"], "stop": ["./api", "stop"], "health": [{"name": "pong", "command": ["no-such-probe"]}]},
        smoke=[{"name": "page", "command": ["./gone/smoke"]}],
        traffic=[{"name": "lb", "close": FINE, "open": ["no-such-lb"], "status": FINE}],
        monitor={"for": "1h", "checks": [{"name": "queue", "command": ["./queue", "length"], "above": 3}]},
    )
    api, probe, smoke, door, queue = await refused(loaded)
    assert api == f"services.api.new.start, services.api.new.stop: no program ./api: there is no file {tmp_path / 'api'}"
    assert probe.startswith("services.api.new.health.pong: no program no-such-probe on the PATH (")
    assert smoke.startswith("smoke.page: no program ./gone/smoke: ")
    assert door.startswith("traffic.lb.open: no program no-such-lb on the PATH (")
    assert queue.startswith("monitor.checks.queue: no program ./queue: ")


async def test_a_program_that_may_not_be_executed_and_a_folder_are_found_before_the_window(tmp_path: Path) -> None:
    (tmp_path / "api").write_text("#!/bin/sh\n")
    (tmp_path / "smoke").mkdir()
    locked, folder = await refused(planned(tmp_path, new={"start": ["./api"]}, smoke=[{"name": "page", "command": ["./smoke"]}]))
    assert locked == f"services.api.new.start: program ./api may not be executed: chmod +x {tmp_path / 'api'}"
    assert folder.startswith("smoke.page: no program ./smoke: there is no file ")


NOT_TO_BEGIN = {
    "without its first line": (b"echo up\n", "is a script without #! and its interpreter"),
    "of another system": (b"#!/bin/sh\r\necho up\r\n", "ends in CR LF"),
    "behind env, of another system": (b"#!/usr/bin/env sh\r\necho up\r\n", "ends in CR LF"),
    "with a mark": ("\ufeff#!/bin/sh\necho up\n".encode(), "begins with a byte order mark"),
    "of an interpreter that is not there": (b"#!/opt/nowhere/sh\n", "names /opt/nowhere/sh, which is no program here"),
    "of one that env does not find": (
        b"#!/usr/bin/env no-such-python\n",
        "asks env for no-such-python, which is not on the PATH",
    ),
    "of none": (b"#! \n", "names no interpreter behind #!"),
    "empty": (b"", "is empty"),
}


@pytest.mark.parametrize("what", NOT_TO_BEGIN)
async def test_a_script_that_the_system_cannot_begin_is_found_before_the_window(tmp_path: Path, what: str) -> None:
    """Found: PreCheck had nothing against it, and at night it ended with 127."""
    content, reason = NOT_TO_BEGIN[what]
    (tmp_path / "api").write_bytes(content)
    (tmp_path / "api").chmod(0o755)
    [refusal] = await refused(planned(tmp_path, new={"start": ["./api"]}))
    assert refusal.startswith("services.api.new.start: program ./api cannot be run: ")
    assert str(tmp_path / "api") in refusal
    assert reason in refusal
    ended = await children.run(["./api"], folder=tmp_path / "run", epoch=1, step="s", cwd=tmp_path, timeout_seconds=20)
    assert ended.returncode == 127


@pytest.mark.parametrize(
    "first", ["#!/bin/sh -e", "#! /usr/bin/env sh", "#!/usr/bin/env -S sh -e", "#!/usr/bin/env -S A=b sh", "#!bin/sh"]
)
async def test_a_script_that_the_system_begins_is_let_through(tmp_path: Path, first: str) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "sh").symlink_to("/bin/sh")
    (tmp_path / "api").write_text(f"{first}\n")
    (tmp_path / "api").chmod(0o755)
    assert await check_programs(planned(tmp_path, new={"start": ["./api"]})) == {"programs": 2}
    ended = await children.run(["./api"], folder=tmp_path / "run", epoch=1, step="s", cwd=tmp_path, timeout_seconds=20)
    assert ended.returncode == 0


async def test_a_relative_folder_of_the_path_is_that_of_the_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found: PreCheck looked from where the daemon was started, and the command was looked for in the plan's folder."""
    for folder, program in (("plan", "of-plan"), ("elsewhere", "of-elsewhere")):
        (tmp_path / folder / "bin").mkdir(parents=True)
        (tmp_path / folder / "bin" / program).write_text("#!/bin/sh\n")
        (tmp_path / folder / "bin" / program).chmod(0o755)
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setenv("PATH", "bin:/usr/bin:/bin")
    [refusal] = await refused(planned(tmp_path / "plan", new={"start": ["of-plan"], "stop": ["of-elsewhere"]}))
    assert refusal == "services.api.new.stop: no program of-elsewhere on the PATH (bin:/usr/bin:/bin)"


def test_precheck_knows_each_login_of_the_plan_but_those_of_health_that_it_makes(tmp_path: Path) -> None:
    def login(user: str) -> list[dict[str, Any]]:
        return [{"name": "login", "login": {"url": f"postgresql://{user}@127.0.0.1/app"}}]

    loaded = planned(tmp_path, health=login("today"), new={"health": login("api")}, smoke=login("app"))
    databases: Any = ports_of(loaded, Server(loaded.plan.database.url, "night-1", 1, loaded.run_dir)).databases
    assert databases._logins == {
        "smoke.login": "postgresql://app@127.0.0.1/app",
        "services.api.new.health.login": "postgresql://api@127.0.0.1/app",
    }


async def test_secrets_that_no_command_gets_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "hunter2")
    monkeypatch.setenv("NATS_PASSWORD", "opensesame")
    evidence = await check_programs(planned(tmp_path, smoke=[{"command": FINE, "env": ["PGPASSWORD"]}]))
    passes = "`env: [NATS_PASSWORD]` beside a command passes one"
    assert evidence["warnings"] == [f"NATS_PASSWORD: secrets of this daemon, which no command of the plan gets; {passes}"]


async def test_a_variable_that_the_daemon_does_not_have_is_named_with_its_key(tmp_path: Path) -> None:
    loaded = planned(tmp_path, smoke=[{"command": FINE, "env": ["NO_SUCH_TOKEN"]}], new={"env": ["NOR_THIS"]})
    assert await refused(loaded) == [
        "services.api.new.env: this daemon's environment has no NOR_THIS",
        "smoke.true.env: this daemon's environment has no NO_SUCH_TOKEN",
    ]


def test_a_dump_has_the_time_that_the_plan_gives_a_step(tmp_path: Path) -> None:
    """Found: pg_dump and pg_restore were ended after 4 hours, whatever `timeouts.step` said."""
    loaded = planned(tmp_path)
    plan = loaded.plan.model_copy(update={"timeouts": loaded.plan.timeouts.model_copy(update={"step": 12 * 3600.0})})
    server = Server(plan.database.url, "night-1", 1, loaded.run_dir)
    backups: Any = ports_of(replace(loaded, plan=plan), server).backups
    assert backups._timeout_seconds == 12 * 3600.0
