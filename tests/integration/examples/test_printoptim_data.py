"""The printoptim example, few rows of it: every old row is in new once and the same, or where the plan says."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from support.migrated import Example, Migrated, answer, ctl, smoke
from support.servers import Clusters

from cutoverd.daemon.embedded.loopback import free_port
from cutoverd.daemon.plan.load import load

EXAMPLE = Example("printoptim", ports=("DOOR_PORT", "APP_PORT", "WORKER_PORT", "TEST_PORT", "METRICS_PORT"))
FOLDER, COMPARISONS = EXAMPLE.folder, EXAMPLE.comparisons
WAIVED = {"session", "import_2014"}
ROWS = 12_000


@pytest.fixture(scope="module", params=["15", "18"])
def migrated(request: pytest.FixtureRequest, clusters: Clusters, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Migrated]:
    """Made once for all tests of this file: nobody may write to `printoptim` or `printoptim_next`."""
    with Migrated.made(clusters, request.param, tmp_path_factory.mktemp("printoptim"), EXAMPLE, ROWS) as made:
        yield made


@pytest.fixture
def scratch(migrated: Migrated) -> Iterator[str]:
    """The new database once more, to be written to."""
    yield migrated.clone("printoptim_next", "printoptim_try")
    migrated.rows("postgres", "DROP DATABASE printoptim_try WITH (FORCE)")


def test_the_generator_makes_as_many_rows_as_it_was_asked_for(migrated: Migrated) -> None:
    tables = [table for (table,) in migrated.rows("printoptim", "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
    assert len(tables) >= 20
    counted = {table: migrated.rows("printoptim", f"SELECT count(*) FROM public.{table}")[0][0] for table in tables}
    assert sum(counted.values()) == ROWS
    assert counted == counted | migrated.loaded


def test_the_same_seed_makes_the_same_rows_and_another_seed_others(migrated: Migrated) -> None:
    loader, hashes = EXAMPLE.loader(), []
    digest = "SELECT sum(hashtextextended(r::text, 0)::numeric) FROM public.reading r"
    for seed in (1, 2):
        loader.create(migrated.cluster.superuser_url(), "another")
        loader.load(migrated.cluster.superuser_url("another"), ROWS, seed)
        hashes.append(migrated.rows("another", digest))
        migrated.rows("postgres", "DROP DATABASE another")
    assert hashes[0] == migrated.rows("printoptim", digest) != hashes[1]


def test_every_comparison_of_the_plan_finds_every_row_once_and_the_same(migrated: Migrated) -> None:
    for name, asked in COMPARISONS.items():
        old = migrated.sum_of("printoptim", asked["old"], asked["key"])
        assert old == migrated.sum_of("printoptim_next", asked["new"], asked["key"]), (
            name,
            migrated.differing(name, "printoptim_next")[:5],
        )
        assert old[0] == old[1], f"{name}: the key is one"
        assert old[0] > 0, f"{name}: there is something to compare"


def test_every_old_table_is_compared_whole_or_waived(migrated: Migrated) -> None:
    """By the columns that a comparison cannot do without: take one away, and some comparison does not run any more."""
    columns = migrated.rows(
        "printoptim",
        "SELECT relname, attname FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid"
        " WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND attnum > 0 ORDER BY 1, 2",
    )
    unread = []
    with psycopg.connect(migrated.cluster.superuser_url("printoptim")) as connection:
        for table, column in columns:
            with connection.transaction(force_rollback=True):
                connection.execute(f"ALTER TABLE public.{table} RENAME COLUMN {column} TO taken_away".encode())
                if all(_runs(connection, asked["old"]) for asked in COMPARISONS.values()):
                    unread.append((table, column))
    assert {table for table, _ in unread} == WAIVED


def _runs(connection: psycopg.Connection[tuple[object, ...]], query: str) -> bool:
    try:
        with connection.transaction(force_rollback=True):
            connection.execute(f"EXPLAIN {query}".encode())
        return True
    except psycopg.errors.UndefinedColumn:
        return False


def test_the_new_schema_has_thirty_tables_in_three_domains(migrated: Migrated) -> None:
    found = migrated.rows(
        "printoptim_next", "SELECT schemaname, count(*) FROM pg_tables WHERE schemaname IN ('crm', 'fleet', 'billing') GROUP BY 1"
    )
    assert len(found) == 3
    assert sum(tables for _, tables in found) >= 30


def test_the_validation_script_finds_everything_well(migrated: Migrated) -> None:
    assert [check for check, ok in migrated.validated("printoptim_next") if ok is not True] == []


def test_the_validation_script_finds_a_lost_row_and_an_alias_of_another_company(migrated: Migrated, scratch: str) -> None:
    migrated.rows(scratch, "DELETE FROM fleet.tb_meter_reading WHERE pk_meter_reading = 1")
    migrated.rows(scratch, "UPDATE crm.tb_customer_alias SET fk_customer = 1")
    wrong = [check.partition(":")[0] for check, ok in migrated.validated(scratch) if not ok]
    assert wrong == ["readings", "every alias has the VAT number of its customer"]


def test_the_corruption_of_the_demo_is_found_by_key_and_by_nothing_else(migrated: Migrated, scratch: str) -> None:
    corrupted = migrated.psql(scratch, FOLDER / "break" / "validate.sql")
    assert corrupted.returncode == 0, corrupted.stderr
    assert all(ok for _, ok in migrated.validated(scratch)), "counts alone do not show it"
    expected = json.loads((FOLDER / "break" / "validate.expected.json").read_text())
    found = {name: migrated.differing(name, scratch) for name in COMPARISONS}
    assert {name: keys for name, keys in found.items() if keys} == expected


def test_a_broken_data_script_fails_after_its_first_row(migrated: Migrated) -> None:
    script = "db/migrations/data_migration/035_more_parts.sql"
    failed = migrated.psql("printoptim_next", FOLDER / "break" / "data" / script)
    assert failed.returncode == 3
    assert f"{script}:3: ERROR" in failed.stderr
    assert "part_stock_is_counted" in failed.stderr
    assert migrated.rows("printoptim_next", "SELECT count(*) FROM fleet.tb_part") == [(migrated.loaded["part"],)]


def test_every_constraint_and_index_of_the_schema_files_is_there_once_the_rows_are(migrated: Migrated) -> None:
    empty = migrated.clone("template0", "printoptim_empty")
    schema = migrated.psql(empty, *sorted((FOLDER / "db" / "0_schema").glob("**/*.sql")))
    assert schema.returncode == 0, schema.stderr
    for asked in (
        "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid > 0 ORDER BY 1, 2",
        "SELECT schemaname, indexdef FROM pg_indexes WHERE schemaname <> 'pg_catalog' ORDER BY 1, 2",
    ):
        assert migrated.rows(empty, asked) == migrated.rows("printoptim_next", asked)


def test_migrating_again_gives_the_same_rows_and_ids(migrated: Migrated) -> None:
    again = migrated.clone("printoptim", "printoptim_again")
    migrated.apply(again)
    for table in ("crm.tb_customer", "crm.tb_address", "fleet.tb_machine", "fleet.tb_machine_event", "fleet.tb_visit_part"):
        ids = f"SELECT id FROM {table} ORDER BY 1"
        assert migrated.rows(again, ids) == migrated.rows("printoptim_next", ids)


def test_the_application_may_do_what_it_needs_and_no_more(migrated: Migrated, scratch: str) -> None:
    with psycopg.connect(migrated.cluster.url(scratch, "printoptim_app"), autocommit=True) as connection:
        reading = "INSERT INTO fleet.tb_meter_reading (fk_machine, mono_pages) VALUES (1, 1) RETURNING pk_meter_reading"
        assert connection.execute(reading.encode()).fetchone() == (migrated.loaded["reading"] + 1,)
        for forbidden in ("DELETE FROM fleet.tb_machine", "SELECT * FROM migration.tb_tally", "CREATE TABLE public.mine ()"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(forbidden.encode())


PATHS = ("/machines/SN500001", "/machines/SN500107", "/customers/33", "/customers/40", "/readings/2", "/tickets/1", "/tickets/9")


@pytest.fixture
def services(migrated: Migrated, scratch: str, tmp_path: Path) -> Iterator[tuple[Path, dict[str, int], dict[str, str]]]:
    """A copy of the example, the ports of both versions of its api, and the databases that they may write to."""
    folder = tmp_path / "printoptim"
    shutil.copytree(FOLDER, folder)
    ports = {version: free_port() for version in ("old", "test")}
    databases = {"old": migrated.clone("printoptim", "printoptim_old"), "test": scratch}
    try:
        for version, database in databases.items():
            url = migrated.cluster.url(database, "printoptim_app")
            started = ctl(folder, "start", version, "--port", str(ports[version]), "--url", url)
            assert started.returncode == 0, started.stderr
        yield folder, ports, databases
    finally:
        assert [ctl(folder, "stop", version).returncode for version in ports] == [0, 0]
        migrated.rows("postgres", "DROP DATABASE printoptim_old WITH (FORCE)")


def test_old_and_new_services_give_the_same_answers_and_the_smoke_tests_pass_on_new_alone(services) -> None:
    folder, ports, _ = services
    for path in PATHS:
        assert json.loads(answer(ports["old"], path)) == json.loads(answer(ports["test"], path)), path
    passed = smoke(folder, ports["test"])
    assert passed.returncode == 0, passed.stdout
    assert smoke(folder, ports["old"], "-k", "new_version").returncode == 1
    shutil.copytree(FOLDER / "break" / "smoke", folder, dirs_exist_ok=True)
    assert "1 failed, 9 passed" in smoke(folder, ports["test"]).stdout


def test_an_acknowledged_write_that_is_missing_or_changed_is_counted_in_either_schema(migrated: Migrated, services) -> None:
    folder, ports, databases = services
    harm = {
        "old": ("DELETE FROM public.reading WHERE id = {reading}", "UPDATE public.ticket SET subject = '?' WHERE id = {ticket}"),
        "test": (
            "DELETE FROM fleet.tb_meter_reading WHERE pk_meter_reading = {reading}",
            "UPDATE fleet.tb_ticket SET subject = '?' WHERE pk_ticket = {ticket}",
        ),
    }
    for version, port in ports.items():
        kept = folder / f"{version}.jsonl"
        door = ["--door", f"http://127.0.0.1:{port}", "--acknowledged", str(kept), "--clients", "2", "--seconds", "1.5"]
        summary = json.loads(_load(folder, "run", *door).stdout)
        assert (summary["errors"], summary["writes"] > 2) == (0, True)
        asked = ("check", "--acknowledged", str(kept), "--url", migrated.cluster.url(databases[version], "printoptim_app"))
        well = _load(folder, *asked)
        assert (well.returncode, json.loads(well.stdout)["missing"]) == (0, 0)
        promised = {line["kind"]: line["id"] for line in map(json.loads, kept.read_text().splitlines())}
        for statement in harm[version]:
            migrated.rows(databases[version], statement.format(**promised))
        harmed = _load(folder, *asked)
        assert (harmed.returncode, json.loads(harmed.stdout)["missing"]) == (1, 2)


def test_an_acknowledged_write_that_was_given_up_is_looked_for_in_the_database_that_was_kept(
    migrated: Migrated, services
) -> None:
    folder, ports, databases = services
    kept = folder / "given_up.jsonl"
    door = ["--door", f"http://127.0.0.1:{ports['test']}", "--acknowledged", str(kept), "--clients", "1", "--seconds", "1"]
    writes = json.loads(_load(folder, "run", *door).stdout)["writes"]
    production, new = (migrated.cluster.url(databases[version], "printoptim_app") for version in ("old", "test"))
    asked = ("check", "--acknowledged", str(kept), "--url", production)
    assert json.loads(_load(folder, *asked).stdout)["missing"] == writes > 0
    well = json.loads(_load(folder, *asked, "--kept", new).stdout)
    assert (well["missing"], well["kept"], well["schema"]) == (0, writes, "old")
    late = _load(folder, *asked, "--kept", new, "--kept-from", str(kept.stat().st_size))
    assert json.loads(late.stdout)["missing"] == writes, "what is from before the cutover belongs into production"
    one = json.loads(kept.read_text().splitlines()[0])
    migrated.rows(databases["test"], f"DELETE FROM fleet.tb_meter_reading WHERE pk_meter_reading = {one['id']}")
    harmed = _load(folder, *asked, "--kept", new)
    assert (harmed.returncode, json.loads(harmed.stdout)["first"]) == (1, [one])


def _load(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "load.py", *words], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )


def test_the_plan_is_one_that_the_daemon_reads(tmp_path: Path) -> None:
    folder = tmp_path / "printoptim"
    shutil.copytree(FOLDER, folder)
    (folder / "plan.yaml").write_text(EXAMPLE.filled_in(RUN="demo", STATE_DIR=tmp_path / "state", PYTHON=sys.executable))
    loaded = load(folder / "plan.yaml")
    assert [Path(name).name for name in loaded.items()["data_scripts"]][-2:] == ["080_tally.sql", "090_drop_legacy.sql"]
    assert loaded.items()["comparisons"] == list(COMPARISONS)
    assert "db/environments/production.yaml" in loaded.hashes()
    assert json.dumps(loaded.items())
