"""Names and addresses as houses have them: nothing of them may break a run, and no secret may show."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from support.night import a_night
from support.servers import Cluster

from cutoverd.events import facts

on_18 = pytest.mark.parametrize("cluster", ["18"], indirect=True)
DATABASES = ['Größe-App "x"', "a" * 54, "it's=me %s {}"]
SCRIPTS = ['a b: c\'s "d" (größe) %s.sql', "010: insert: twice.sql"]


def words(plan: dict[str, Any], *arguments: str) -> list[str]:
    """A command of the night's systems."""
    return [*plan["traffic"][0]["open"][:-2], *arguments]


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@pytest.mark.long
@on_18
@pytest.mark.parametrize("name", DATABASES)
def test_a_database_of_any_name_comes_back_as_it_was(cluster: Cluster, tmp_path: Path, name: str) -> None:
    with a_night(cluster, tmp_path) as night:
        owner = "Öwner-1 \"x\" 'y'\t\n\x1b[2J\v%s"  # what ends an option of a session, and what a terminal acts on
        for statement in (
            f"ALTER DATABASE app RENAME TO {quoted(name)}",
            f"CREATE ROLE {quoted(owner)}",
            f"GRANT {quoted(owner)} TO cutover WITH INHERIT TRUE, SET TRUE",
            f"ALTER DATABASE {quoted(name)} OWNER TO {quoted(owner)}",
        ):
            cluster.execute(statement)
        cluster.execute(f"REASSIGN OWNED BY app_owner TO {quoted(owner)}", name)
        night.write_plan(database={"url": make_conninfo(**{**conninfo_to_dict(cluster.url()), "dbname": name})})
        night.knob("smoke api test", exit=1)
        row = "SELECT to_jsonb(d) - 'datfrozenxid' - 'datminmxid' FROM pg_database d WHERE oid = "
        [(oid,)] = cluster.execute("SELECT max(oid) FROM pg_database WHERE datname NOT IN ('cutoverd', 'postgres')")
        before = cluster.execute(f"{row}{oid}")
        night.start("--auto")
        assert night.exit_code() == 3, night.output
        [failed] = [each.event for each in night.journal() if isinstance(each.event, facts.StepFailed)]
        assert failed.step == "smoke.smoke_test:page", "it got as far as that"
        assert "\x1b" not in night.output
        assert cluster.execute(f"{row}{oid}") == before


@on_18
def test_scripts_of_any_name_two_doors_and_no_services(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path) as night:
        (tmp_path / "data/010.sql").rename(tmp_path / "data" / SCRIPTS[0])
        (tmp_path / "data" / SCRIPTS[1]).write_text("-- nothing to do\n")
        (tmp_path / "elsewhere.sql").write_text("INSERT INTO fleet.tally (machines) SELECT count(*) FROM fleet.machine;\n")
        (tmp_path / "data/020.sql").unlink()
        (tmp_path / "data/030 link.sql").symlink_to(tmp_path / "elsewhere.sql")
        doors = [{**night.plan["traffic"][0], "name": "the front: door"}]
        doors.append({"name": "back", **{verb: words(night.plan, verb, "door", "back") for verb in ("open", "close", "status")}})
        (tmp_path / "systems/door.back").touch()
        ordered = [f"data/{SCRIPTS[0]}", f"data/{SCRIPTS[1]}", "data/030 link.sql", night.plan["data"]["scripts"][1]]
        healthy = [{"name": "open", "command": words(night.plan, "status", "door")}]
        night.write_plan(services=[], traffic=doors, data={"scripts": ordered}, health=healthy, smoke=[{"command": ["true"]}])
        night.start("--auto")
        assert night.exit_code() == 0, night.output
        done = [each.event.step for each in night.journal() if isinstance(each.event, facts.StepSucceeded)]
        assert [step.partition(":")[2] for step in done if step.startswith("data.run_script")][:2] == [
            f"data/{name}" for name in SCRIPTS
        ]
        assert {"cutover.open_traffic:the front: door", "cutover.open_traffic:back"} <= set(done)
        assert cluster.execute("SELECT machines FROM fleet.tally", "app") == [(500,)]


@on_18
def test_a_password_in_the_environment_is_seen_nowhere(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "hunter2-ünlikely"
    with a_night(cluster, tmp_path) as night, arguments_of_all() as command_lines:
        cluster.execute(f"ALTER ROLE cutover PASSWORD '{secret}'")
        address = {key: value for key, value in conninfo_to_dict(cluster.url()).items() if key != "passfile"}
        night.write_plan(database={"url": make_conninfo(**address)})
        monkeypatch.setenv("PGPASSWORD", secret)
        night.knob("smoke api test", exit=1)
        night.start("--auto")
        assert night.exit_code() == 3, night.output
        assert any(b"pg_dump" in each for each in command_lines), "nobody looked at the right moment"
        assert not [each for each in command_lines if secret.encode() in each]
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert not [path for path in files if secret.encode() in path.read_bytes()]
        assert secret not in json.dumps([each.event.model_dump(mode="json") for each in night.journal()], ensure_ascii=False)


class arguments_of_all:  # noqa: N801 - a context manager that reads as one
    """The command lines of all processes while the block lasts."""

    def __enter__(self) -> set[bytes]:
        self._command_lines: set[bytes] = set()
        self._over = Event()
        self._reader = Thread(target=self._read_until_over)
        self._reader.start()
        return self._command_lines

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._reader.join(10)

    def _read_until_over(self) -> None:
        while not self._over.wait(0.02):
            self._command_lines.update(_command_lines())


def _command_lines() -> Iterator[bytes]:
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            yield Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:  # it has ended
            continue
