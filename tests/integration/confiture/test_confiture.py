"""A schema that the real confiture builds: into the run's folder, frozen with its sources, tried before anything is touched."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
from support.new_database import Site, make_site
from unit.plan.test_freeze import begun
from unit.plan.test_plan_file import PLAN

from cutoverd.daemon.confiture.build import Confiture
from cutoverd.daemon.plan.freeze import PlanChanged, StillFrozen, check_frozen
from cutoverd.daemon.plan.load import BadPlan, LoadedPlan, load
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.runtime.wiring import ports_of
from cutoverd.states.errors import CheckFailed, StepError

ENVIRONMENT = "name: production\ninclude_dirs: [db/0_schema]\ndatabase_url: postgresql://nobody@127.0.0.1:1/none\n"
SOURCES = {
    "db/environments/production.yaml": ENVIRONMENT,
    "db/0_schema/00_common/001_schemas.sql": "CREATE SCHEMA fleet;\n",
    "db/0_schema/01_write_side/010_fleet/0101_model.sql": "-- one\nCREATE TABLE fleet.tb_model (pk_model int PRIMARY KEY);\n",
    "db/0_schema/01_write_side/010_fleet/0102_machine.sql": "CREATE TABLE fleet.tb_machine (fk int REFERENCES fleet.tb_model);\n",
    "data/1.sql": "SELECT 1;\n",
}
MACHINE = "db/0_schema/01_write_side/010_fleet/0102_machine.sql"
STEP = "precheck.check_files"

on_18 = pytest.mark.parametrize("cluster", ["18"], indirect=True)


def project(folder: Path, **changed: str) -> LoadedPlan:
    for name, text in {**SOURCES, **changed}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "plan.yaml").write_text(PLAN.replace('{files: ["schema/*.sql"]}', "{confiture: {environment: production}}"))
    loaded = load(folder / "plan.yaml")
    loaded.run_dir.mkdir(parents=True, exist_ok=True)
    return loaded


def confiture(loaded: LoadedPlan) -> Confiture:
    return Confiture("production", loaded.folder, loaded.schema_files[0], lambda: loaded.schema_sources, loaded.run_dir, 1)


async def site_of(cluster, folder: Path, **changed: str) -> tuple[Site, Confiture, LoadedPlan]:
    site = await make_site(cluster, folder)
    loaded = project(folder, **changed)
    return site, replace(confiture(loaded), folder=site.server.folder), loaded


@on_18
async def test_the_schema_is_built_and_applied_and_its_sources_are_on_record(cluster, tmp_path):
    site, builder, loaded = await site_of(cluster, tmp_path)
    scripts = site.scripts(loaded.schema_files, builder=builder)
    evidence = await scripts.check_files()
    built = loaded.run_dir / "confiture" / "production.sql"
    assert evidence["schema"] == {
        "environment": "production",
        "file": str(built),
        "sha256": hashlib.sha256(built.read_bytes()).hexdigest(),
        "sources": [name for name in SOURCES if name.startswith("db/0_schema")],
    }
    assert (await scripts.apply_schema(site.attempt_id("schema.apply_schema")))["files"] == 1
    assert site.rows("SELECT count(*) FROM pg_tables WHERE schemaname = 'fleet'") == [(2,)]
    built.write_text("DROP SCHEMA fleet;\n")
    await builder.ensure("schema.apply_schema")
    assert hashlib.sha256(built.read_bytes()).hexdigest() == evidence["schema"]["sha256"], (
        "edited: built again, the same to the byte"
    )


@pytest.mark.long
async def test_a_schema_that_is_built_otherwise_than_it_was_tried_is_not_applied(tmp_path):
    """Found: on another machine, or with the state folder cleaned, it was built again and nobody compared."""
    loaded = project(tmp_path)
    builder = confiture(loaded)
    tried = (await builder.build(STEP))["schema"]["sha256"]
    await builder.ensure("schema.apply_schema", tried)
    for made in loaded.schema_files[0].parent.iterdir():
        made.unlink()
    await builder.ensure("schema.apply_schema", tried)
    (tmp_path / MACHINE).write_text("CREATE TABLE fleet.tb_machine (another int);\n")
    loaded.schema_files[0].unlink()
    with pytest.raises(CheckFailed, match=f"PreCheck tried a schema with the hash {tried[:12]}"):
        await builder.ensure("schema.apply_schema", tried)


@pytest.mark.parametrize("text", ["- db/0_schema\n", "just text\n"])
def test_an_environment_that_is_no_mapping_is_a_mistake_in_the_plan_and_no_traceback(tmp_path, text):
    with pytest.raises(BadPlan, match=r"schema\.confiture: .*production\.yaml cannot be read: it is no mapping but (list|str)"):
        project(tmp_path, **{"db/environments/production.yaml": text})


async def test_a_table_that_is_defined_twice_is_named_with_both_places(tmp_path):
    loaded = project(tmp_path, **{"db/0_schema/02_read_side/0201.sql": "\nCREATE TABLE fleet.tb_model (x int);\n"})
    with pytest.raises(
        CheckFailed, match=r"table fleet\.tb_model is defined in db/0_schema/01_.+:\d+ and db/0_schema/02_.+:\d+"
    ) as raised:
        await confiture(loaded).build(STEP)
    assert raised.value.hint == "mend the sources, `abort`, and start a run with a name of its own", (
        "they are frozen with this one"
    )
    assert not loaded.schema_files[0].exists()


def test_an_unknown_environment_is_told_with_those_that_there_are(tmp_path):
    project(tmp_path)
    plan = tmp_path / "plan.yaml"
    plan.write_text(plan.read_text().replace("production", "produktion"))
    with pytest.raises(
        BadPlan, match=r"schema\.confiture\.environment: 'produktion' has no .*produktion\.yaml; there are production$"
    ):
        load(plan)


async def test_a_configuration_that_confiture_refuses_is_told_in_its_words(tmp_path):
    loaded = project(tmp_path, **{"db/environments/production.yaml": ENVIRONMENT.replace("0_schema", "9_schema")})
    with pytest.raises(
        CheckFailed, match=r"the configuration is wrong: Include directory does not exist: .*db/9_schema"
    ) as raised:
        await confiture(loaded).build(STEP)
    assert (raised.value.evidence["exit"], "production.yaml" in raised.value.hint) == (5, True)


@on_18
async def test_an_unclosed_table_that_confiture_lets_through_is_caught_by_psql(cluster, tmp_path):
    site, builder, loaded = await site_of(cluster, tmp_path, **{MACHINE: "CREATE TABLE fleet.tb_machine (\n    x int\n"})
    with pytest.raises(StepError, match=rf"^{MACHINE}:\d+, as built ") as raised:
        await site.scripts(loaded.schema_files, builder=builder).apply_schema(site.attempt_id("schema.apply_schema"))
    assert raised.value.evidence["source"] == MACHINE


async def test_sources_that_were_edited_between_two_starts_are_named(tmp_path):
    run = await begun(project(tmp_path))
    assert {*SOURCES} <= {*run.frozen.files}
    check_frozen(load(tmp_path / "plan.yaml"), run)
    for name in ("db/environments/production.yaml", MACHINE, "db/0_schema/02_new.sql"):
        file = tmp_path / name
        before = file.read_text() if file.exists() else None
        file.write_text(f"{before or ''}\n")
        with pytest.raises(PlanChanged, match=rf"began with other contents of: {name}$"):
            check_frozen(load(tmp_path / "plan.yaml"), run)
        if before is None:
            file.unlink()
        else:
            file.write_text(before)


async def test_a_source_that_is_added_while_a_gate_waits_is_seen(tmp_path):
    loaded = project(tmp_path)
    run, still_frozen = await begun(loaded), StillFrozen(loaded)
    still_frozen(run)
    (tmp_path / "db/0_schema/02_new.sql").write_text("SELECT 1;\n")
    with pytest.raises(PlanChanged, match=r"02_new\.sql"):
        still_frozen(run)


async def test_a_source_that_the_run_did_not_freeze_does_not_get_in(tmp_path):
    patterns = "include_dirs: [{path: db/0_schema, include: ['**/*.sql', '**/*.ddl']}]"
    changed = {"db/environments/production.yaml": ENVIRONMENT.replace("include_dirs: [db/0_schema]", patterns)}
    loaded = project(tmp_path, **changed, **{"db/0_schema/02.ddl": "SELECT 1;\n"})
    with pytest.raises(CheckFailed, match=r"1 file\(s\) that this run did not freeze: db/0_schema/02\.ddl"):
        await confiture(loaded).build(STEP)


async def test_a_check_that_only_looks_builds_into_a_folder_of_its_own(tmp_path):
    """Found: `cutoverd check` would have left the built file in the folder of a run that never began."""
    loaded = project(tmp_path / "project")
    server = Server(loaded.plan.database.url, loaded.plan.run, 0, tmp_path / "looks", read_only=True)
    assert "schema" in await ports_of(loaded, server).scripts.check_files()
    assert (tmp_path / "looks" / "confiture" / "production.sql").exists()
    assert list(loaded.run_dir.iterdir()) == []


async def test_a_confiture_that_is_not_installed_is_told_with_its_extra(tmp_path, monkeypatch):
    monkeypatch.setattr("cutoverd.daemon.confiture.build.PROGRAM", "confiture-that-is-nowhere")
    with pytest.raises(CheckFailed, match="it is not installed") as raised:
        await confiture(project(tmp_path)).build(STEP)
    assert "pip install 'cutoverd[confiture]'" in raised.value.hint


def test_a_schema_is_files_or_confiture_and_not_both(tmp_path):
    project(tmp_path)
    plan = tmp_path / "plan.yaml"
    plan.write_text(plan.read_text().replace("{confiture:", '{files: ["data/*.sql"], confiture:'))
    with pytest.raises(BadPlan, match=r"schema; a schema is either `files: .*` or `confiture: "):
        load(plan)


@pytest.mark.parametrize("answer", ["Building …", "", "[]", '{"file": 1}', '{"files": ["a.sql"]}', '{"files": []}'])
async def test_an_answer_of_confiture_that_cannot_be_read_is_told(tmp_path, monkeypatch, answer):
    """Found: what ended with 0 and printed no list ended `cutoverd check` with a traceback."""
    loaded = project(tmp_path)
    fake = tmp_path / "confiture-seen"
    fake.write_text(f"#!/bin/sh\necho '{answer}'\n")
    fake.chmod(0o755)
    monkeypatch.setattr("cutoverd.daemon.confiture.build.PROGRAM", str(fake))
    with pytest.raises(CheckFailed, match=r"^confiture build --env production in .*: it ended with 0, but ") as raised:
        await confiture(loaded).build(STEP)
    assert answer in str(raised.value)
    assert "pip install 'cutoverd[confiture]'" in raised.value.hint


async def test_no_address_of_a_database_is_on_the_command_line(tmp_path, monkeypatch):
    loaded = project(tmp_path)
    argv = tmp_path / "argv"
    fake = tmp_path / "confiture-seen"
    fake.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >> {argv}\necho \'{json.dumps({"files": []})}\'\nexit 4\n')
    fake.chmod(0o755)
    monkeypatch.setattr("cutoverd.daemon.confiture.build.PROGRAM", str(fake))
    with pytest.raises(CheckFailed, match="the schema cannot be built"):
        await confiture(loaded).build(STEP)
    assert "postgresql" not in argv.read_text()
