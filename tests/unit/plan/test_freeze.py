"""A run goes through with the files it began with, however many they are."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from unit.plan.test_plan_file import PLAN

from cutoverd.daemon.bus.memory import MemoryStream
from cutoverd.daemon.engine.run_log import RunLog
from cutoverd.daemon.plan.freeze import PlanChanged, StillFrozen, check_anew, check_frozen, frozen
from cutoverd.daemon.plan.load import LIST, BadPlan, LoadedPlan, load
from cutoverd.states.run import Run

MANY = 400  # files whose list is too long for a message


def plan_of(folder: Path, files: int, name: str = "a table of the write side, one of very many") -> LoadedPlan:
    """With that many schema files, and one data script."""
    for each in [f"schema/{number:04} {name}.sql" for number in range(files)] + ["data/1.sql"]:
        (folder / each).parent.mkdir(exist_ok=True)
        (folder / each).write_text(f"SELECT '{each}';\n")
    (folder / "plan.yaml").write_text(PLAN)
    loaded = load(folder / "plan.yaml")
    loaded.run_dir.mkdir(parents=True)
    return loaded


async def begun(loaded: LoadedPlan) -> Run:
    """A run whose journal has taken its RunStarted."""
    runlog = RunLog("night-1", MemoryStream().journal("cutover.evt.night-1"))
    await runlog.append(frozen(loaded, "app"))
    return runlog.run


@pytest.mark.parametrize("files", [1, MANY])
async def test_a_changed_file_is_named_however_many_there_are(tmp_path: Path, files: int) -> None:
    loaded = plan_of(tmp_path, files)
    run = await begun(loaded)
    check_frozen(loaded, run)
    (tmp_path / "data/1.sql").write_text("SELECT 2;\n")
    with pytest.raises(PlanChanged, match=r"began with other contents of: data/1\.sql$"):
        check_frozen(loaded, run)


async def test_a_changed_file_is_seen_without_the_list_of_those_that_were(tmp_path: Path) -> None:
    loaded = plan_of(tmp_path, MANY)
    run = await begun(loaded)
    assert not run.frozen.files, "so many do not fit a message"
    (loaded.run_dir / LIST).write_text("{}")
    check_frozen(loaded, run)
    (tmp_path / "data/1.sql").write_text("SELECT 2;\n")
    with pytest.raises(PlanChanged, match=f"one of {MANY + 1} files"):
        check_frozen(loaded, run)


async def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    loaded = plan_of(tmp_path, 1)
    run = await begun(loaded)
    (tmp_path / "data/1.sql").unlink()
    with pytest.raises(PlanChanged, match=r"data/1\.sql cannot be read: No such file"):
        check_frozen(loaded, run)


async def test_the_way_back_does_not_ask_for_the_scripts(tmp_path: Path) -> None:
    loaded = plan_of(tmp_path, 1)
    run = await begun(loaded)
    (tmp_path / "data/1.sql").unlink()
    for state in ("rollback", "stuck"):
        check_frozen(loaded, replace(run, state=state))


SQL = ("schema/both.sql", "schema/0000 x.sql", "data/1.sql", "checks/1.sql")
ALL = (*SQL, "api")
COUNT_IN = {  # which files a step of the state, or of a later one, still reads
    **dict.fromkeys(("precheck", "downtime", "schema"), ALL),
    "data": ("schema/both.sql", "data/1.sql", "checks/1.sql", "api"),
    "validate": ("checks/1.sql", "api"),
    **dict.fromkeys(("smoke", "cutover", "monitor"), ("api",)),
}


def plan_of_each_kind(folder: Path) -> LoadedPlan:
    """A schema file, one that a data script includes as well, a data script, a validation script and a program."""
    plan_of(folder, 1, "x")
    (folder / "checks").mkdir()
    for name, text in {"schema/both.sql": "", "data/1.sql": "\\i schema/both.sql\n", "checks/1.sql": "", "api": ""}.items():
        (folder / name).write_text(text)
    (folder / "plan.yaml").write_text(PLAN.replace("validate:\n", 'validate:\n  scripts: ["checks/*.sql"]\n'))
    return load(folder / "plan.yaml")


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("state", COUNT_IN)
async def test_a_file_that_was_run_and_is_edited_while_monitor_waits_stops_no_restart(
    tmp_path: Path, state: str, name: str
) -> None:
    """Found: whoever edited a schema file within two days kept a restarted daemon from watching on."""
    run = replace(await begun(plan_of_each_kind(tmp_path)), state=state)
    (tmp_path / name).write_text((tmp_path / name).read_text() + "-- one more line\n")
    with capture_logs() as logged:
        if name in COUNT_IN[state]:
            with pytest.raises(PlanChanged, match=f"began with other contents of: {name}$"):
                check_frozen(load(tmp_path / "plan.yaml"), run)
            return
        check_frozen(load(tmp_path / "plan.yaml"), run)
    warning = {"event": "files_differ_from_those_that_were_run", "log_level": "warning"}
    assert logged == [{**warning, "run": "night-1", "state": state, "files": [name]}]


async def test_a_script_that_is_gone_while_monitor_waits_stops_no_restart_and_a_program_does(tmp_path: Path) -> None:
    loaded = plan_of_each_kind(tmp_path)
    run = replace(await begun(loaded), state="monitor")
    (tmp_path / "schema/both.sql").unlink()
    for each in (loaded, load(loaded.path)):
        check_frozen(each, run)
    (tmp_path / "api").unlink()
    with pytest.raises(PlanChanged, match=r"began with other contents of: api$"):
        check_frozen(load(loaded.path), run)


FOLDERS = {"schema/*.sql": "schema", "data/*.sql": "data", "checks/*.sql": "checks"}


@pytest.mark.parametrize("pattern", FOLDERS)
@pytest.mark.parametrize("state", [*COUNT_IN, "rollback", "stuck"])
async def test_a_pattern_that_names_no_file_any_more_stops_a_restart_only_while_scripts_are_run(
    tmp_path: Path, state: str, pattern: str
) -> None:
    """Found: whoever cleared schema/ away while Monitor watched kept every command from the run, a way back as well."""
    run = replace(await begun(plan_of_each_kind(tmp_path)), state=state)
    for file in (tmp_path / FOLDERS[pattern]).iterdir():
        file.unlink()
    loaded = load(tmp_path / "plan.yaml")
    with capture_logs() as logged:
        if state in ("precheck", "downtime", "schema", "data", "validate"):
            with pytest.raises(PlanChanged, match=f"began with other contents of: .*{FOLDERS[pattern]}/"):
                check_frozen(loaded, run)
            return
        check_frozen(loaded, run)
    assert len(logged) == (state in COUNT_IN)
    with pytest.raises(BadPlan, match=f"'{re.escape(pattern)}' names no file"):
        load(tmp_path / "plan.yaml", whole=True)


async def test_a_run_does_not_begin_without_a_file_that_an_attempt_to_begin_it_had(tmp_path: Path) -> None:
    loaded = plan_of(tmp_path, 1)
    frozen(loaded, "app")  # and then no event could be appended
    (tmp_path / "data/1.sql").unlink()
    with pytest.raises(
        PlanChanged, match=r"has not begun, and its plan names files that are gone: data\.scripts: 'data/\*\.sql'"
    ):
        frozen(load(loaded.path), "app")


async def test_an_environment_of_confiture_that_is_gone_while_monitor_waits_stops_no_restart(tmp_path: Path) -> None:
    (tmp_path / "db/environments").mkdir(parents=True)
    (tmp_path / "db/environments/p.yaml").write_text("include_dirs: [db/0_schema]\n")
    plan_of(tmp_path, 1)
    (tmp_path / "plan.yaml").write_text(PLAN.replace('{files: ["schema/*.sql"]}', "{confiture: {environment: p}}"))
    run = await begun(load(tmp_path / "plan.yaml"))
    (tmp_path / "db/environments/p.yaml").unlink()
    check_frozen(load(tmp_path / "plan.yaml"), replace(run, state="monitor"))
    with pytest.raises(PlanChanged, match=r"db/environments/p\.yaml"):
        check_frozen(load(tmp_path / "plan.yaml"), replace(run, state="schema"))


async def test_a_script_that_is_edited_while_a_gate_waits_is_not_run(tmp_path: Path) -> None:
    loaded = plan_of(tmp_path, 1)
    run, still_frozen = await begun(loaded), StillFrozen(loaded)
    still_frozen(run)
    os.utime(tmp_path / "data/1.sql")
    still_frozen(run)
    (tmp_path / "data/1.sql").write_text("SELECT 2;\n")
    for _ in range(2):
        with pytest.raises(PlanChanged, match=r"data/1\.sql"):
            still_frozen(run)


async def test_a_plan_that_was_corrected_on_disk_is_seen_though_the_daemon_has_the_old_one(tmp_path: Path) -> None:
    """Found: only files were looked at again, so that `retry` went on with the window.budget that had been too small."""
    loaded = plan_of(tmp_path, 1)
    run = await begun(loaded)
    check_anew(loaded.path, run)
    loaded.path.write_text(PLAN + "window: {budget: 2h}\n")
    StillFrozen(loaded)(run)  # a step under way has nothing to do with it
    with pytest.raises(PlanChanged, match=r"began with other contents of: .*plan\.yaml$") as changed:
        check_anew(loaded.path, run)
    assert changed.value.hint.startswith("`abort` it, then start a run with a name of its own")
    loaded.path.write_text(PLAN + "window: {budget: soon}\n")
    with pytest.raises(PlanChanged, match=r"cannot be used: .*plan\.yaml:\d+"):
        check_anew(loaded.path, run)


async def test_a_file_that_a_script_includes_is_frozen_with_it(tmp_path: Path) -> None:
    loaded = plan_of(tmp_path, 1)
    (tmp_path / "data/1.sql").write_text("\\ir parts/a.sql\n\\i data/parts/b.sql\n\\ir missing.sql\n")
    (tmp_path / "data/parts").mkdir()
    (tmp_path / "data/parts/a.sql").write_text("\\ir c.sql\n")
    for name in ("b", "c"):
        (tmp_path / f"data/parts/{name}.sql").write_text("SELECT 1;\n")
    run = await begun(load(loaded.path))
    (tmp_path / "data/parts/c.sql").write_text("SELECT 2;\n")
    with pytest.raises(PlanChanged, match=r"began with other contents of: data/parts/c\.sql$"):
        check_frozen(load(loaded.path), run)


def test_more_items_than_a_message_holds_are_refused_before_the_run_begins(tmp_path: Path) -> None:
    (tmp_path / "schema").mkdir()
    (tmp_path / "schema/1.sql").write_text("SELECT 1;\n")
    (tmp_path / "data").mkdir()
    for number in range(700):
        (tmp_path / f"data/{number:04} of a great many scripts.sql").write_text("SELECT 1;\n")
    (tmp_path / "plan.yaml").write_text(PLAN)
    with pytest.raises(BadPlan, match=r"data_scripts: 700 names are too many .* one file that includes the others by \\ir"):
        load(tmp_path / "plan.yaml")


COMMANDS = {
    "[touch, closed]": [],
    "[./lb, closed]": ["lb"],
    "[sh, -c, 'touch closed']": [],
    "[sh, -c, './lb closed && . ./env.sh; test -e closed || bash run.sh closed']": ["env.sh", "lb", "run.sh"],
    "[bash, -x, -o, pipefail, run.sh, closed]": ["run.sh"],
    "[python3.11, -W, ignore, app.py, closed]": ["app.py"],
    "[python3, -c, 'print(1)', app.py]": [],
    "[python3, -m, pytest, 'tests/a.py::test', -k, closed]": ["tests/a.py"],
    "[env, A=1, sudo, -u, app, timeout, '5', ./lb, closed]": ["lb"],
    "[psql, -d, closed, -f, smoke.sql]": ["smoke.sql"],
    "[java, -jar, app.jar, closed]": ["app.jar"],
    "[cat, closed]": [],
}


@pytest.mark.parametrize("command", COMMANDS)
async def test_what_a_command_runs_is_frozen_and_no_other_word_of_it(tmp_path: Path, command: str) -> None:
    """Found: a flag file that a switch makes was frozen, and its coming stopped the run."""
    plan_of(tmp_path, 1)
    for name in ("closed", "lb", "env.sh", "run.sh", "app.py", "tests/a.py", "smoke.sql", "app.jar"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "plan.yaml").write_text(PLAN.replace('close: ["true"]', f"close: {command}").replace("./api", "/bin/true"))
    names = {name for name in load(tmp_path / "plan.yaml").files() if not name.startswith(("schema/", "data/"))}
    assert sorted(names) == COMMANDS[command]


async def test_what_the_plan_names_is_frozen_until_the_end(tmp_path: Path) -> None:
    plan_of(tmp_path, 1)
    (tmp_path / "app.yaml").write_text("a: 1\n")
    (tmp_path / "plan.yaml").write_text(f"{PLAN}freeze: [app.yaml]\n")
    run = replace(await begun(load(tmp_path / "plan.yaml")), state="monitor")
    (tmp_path / "app.yaml").write_text("a: 2\n")
    with pytest.raises(PlanChanged, match=r"began with other contents of: app\.yaml$"):
        check_frozen(load(tmp_path / "plan.yaml"), run)
    (tmp_path / "app.yaml").unlink()
    with pytest.raises(PlanChanged, match=r"began with other contents of: app\.yaml$"):
        check_frozen(load(tmp_path / "plan.yaml"), run)


async def test_a_word_that_an_older_version_froze_counts_no_more(tmp_path: Path) -> None:
    plan_of(tmp_path, 1)
    (tmp_path / "plan.yaml").write_text(PLAN.replace('close: ["true"]', "close: [touch, closed]"))
    loaded = load(tmp_path / "plan.yaml")
    run = await begun(loaded)
    then = replace(run, plan=replace(run.frozen, files={**run.frozen.files, "closed": "0" * 64}))
    check_frozen(loaded, then)
    gone = replace(run, plan=replace(run.frozen, files={**run.frozen.files, "data/2.sql": "0" * 64}))
    with pytest.raises(PlanChanged, match=r"began with other contents of: data/2\.sql$"):
        check_frozen(loaded, gone)


async def test_what_is_copied_from_is_frozen_and_what_the_files_write_is_not(tmp_path: Path) -> None:
    loaded = plan_of(tmp_path, 1)
    for name in ("rows.csv", "made.csv"):
        (tmp_path / name).write_text("1\n")
    (tmp_path / "data/1.sql").write_text("\\copy t from rows.csv\n\\copy t from made.csv\n\\copy t to made.csv\n")
    run = await begun(load(loaded.path))
    (tmp_path / "made.csv").write_text("2\n")
    check_frozen(load(loaded.path), run)
    (tmp_path / "rows.csv").write_text("2\n")
    with pytest.raises(PlanChanged, match=r"began with other contents of: rows\.csv$"):
        check_frozen(load(loaded.path), run)
