"""The example's data, whole: each of the 336,776 flights once, every odd row where the plan says, and nothing lost on the way."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from support.migrated import Example, Migrated, answer, ctl, smoke
from support.paths import FLIGHTS
from support.servers import Clusters

from cutoverd.daemon.embedded.loopback import free_port
from cutoverd.daemon.plan.load import load

EXAMPLE = Example("flights", ports=("DOOR_PORT", "APP_PORT", "BOARD_PORT", "TEST_PORT"))
COMPARISONS = EXAMPLE.comparisons


@pytest.fixture(scope="module", params=["18"])  # on 15 it is printoptim that is migrated
def migrated(request: pytest.FixtureRequest, clusters: Clusters, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Migrated]:
    """Made once for all tests of this file: nobody may write to `flights` or `flights_next`."""
    with Migrated.made(clusters, request.param, tmp_path_factory.mktemp("flights"), EXAMPLE) as made:
        yield made


@pytest.fixture
def scratch(migrated: Migrated) -> Iterator[str]:
    """The new database once more, to be written to."""
    yield migrated.clone("flights_next", "flights_try")
    migrated.rows("postgres", "DROP DATABASE flights_try WITH (FORCE)")


def test_the_old_tables_have_all_rows_and_no_key_or_constraint(migrated: Migrated) -> None:
    assert migrated.loaded == {"airlines": 16, "airports": 1458, "planes": 3322, "flights": 336776, "weather": 26115}
    found = migrated.rows("flights", "SELECT count(*) FROM pg_constraint WHERE connamespace = 'public'::regnamespace")
    assert found == [(0,)]
    assert migrated.rows(
        "flights", "SELECT count(*) FROM pg_index JOIN pg_class ON oid = indrelid WHERE relname ~ '^flights'"
    ) == [(0,)]


@pytest.mark.parametrize("name", COMPARISONS)
def test_a_comparison_of_the_plan_finds_every_row_once_and_the_same(migrated: Migrated, name: str) -> None:
    asked = COMPARISONS[name]
    old = migrated.sum_of("flights", asked["old"], asked["key"])
    assert old == migrated.sum_of("flights_next", asked["new"], asked["key"])
    assert old[0] == old[1] > 0, "the key is one"


def test_both_queries_of_a_comparison_give_the_same_columns_and_types(migrated: Migrated) -> None:
    for name, asked in COMPARISONS.items():
        shapes = []
        for database, query in (("flights", asked["old"]), ("flights_next", asked["new"])):
            with psycopg.connect(migrated.cluster.superuser_url(database)) as connection:
                described = connection.execute(f"SELECT * FROM ({query}) q LIMIT 0".encode()).description or []
                shapes.append([(column.name, column.type_code) for column in described])
        assert shapes[0] == shapes[1], name


def test_every_column_of_every_old_table_is_compared(migrated: Migrated) -> None:
    whole = {"airports": "airports of the register"}
    for (table,) in migrated.rows("flights", "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"):
        columns = migrated.rows(
            "flights", f"SELECT attname FROM pg_attribute WHERE attrelid = 'public.{table}'::regclass AND attnum > 0"
        )
        asked = COMPARISONS[whole.get(table, table)]["old"]
        [row, *_] = migrated.content("flights", f"{asked} LIMIT 1")
        assert {column for (column,) in columns} == set(row), table


def test_the_odd_rows_are_where_the_plan_says(migrated: Migrated) -> None:
    expected = {
        "flights": 336776,
        "flights of unregistered aircraft": 50094,
        "flights without a tail number": 2512,
        "flights to inferred airports": 7602,
        "hours that the clock showed twice": 6,
        "winds that cannot be": 1,
    }
    counts = {name: f"SELECT count(*) FROM ({COMPARISONS[name]['new']}) q" for name in expected}
    assert {name: migrated.rows("flights_next", count) for name, count in counts.items()} == {
        name: [(rows,)] for name, rows in expected.items()
    }


def test_the_validation_script_finds_everything_well(migrated: Migrated) -> None:
    assert all(ok is True for _, ok in migrated.validated("flights_next"))


def test_the_validation_script_finds_a_lost_flight_an_idle_inferred_airport_and_a_wrong_clock(
    migrated: Migrated, scratch: str
) -> None:
    migrated.rows(scratch, "DELETE FROM operations.tb_flight WHERE pk_flight = 1")
    migrated.rows(scratch, "INSERT INTO reference.tb_airport (identifier, source) VALUES ('QQQ', 'inferred')")
    migrated.rows(scratch, "UPDATE operations.tb_flight SET departure = departure + interval '1 minute' WHERE pk_flight = 2")
    wrong = [check for check, ok in migrated.validated(scratch) if not ok]
    assert "flights: old 336776, new 336775" in wrong
    assert "airport QQQ was inferred from a flight" in wrong
    assert "departures are as late as their delay says" in wrong


def test_the_corruption_of_the_demo_is_found_by_key_and_by_nothing_else(migrated: Migrated, scratch: str) -> None:
    corrupted = migrated.psql(scratch, FLIGHTS / "break" / "validate.sql")
    assert corrupted.returncode == 0, corrupted.stderr
    assert all(ok for _, ok in migrated.validated(scratch)), "counts alone do not show it"
    expected = json.loads((FLIGHTS / "break" / "validate.expected.json").read_text())
    for name, asked in ((name, asked) for name, asked in COMPARISONS.items() if "weather." in asked["new"]):
        same = [migrated.sum_of(database, asked["new"], asked["key"]) for database in ("flights_next", scratch)]
        assert (same[0] == same[1]) == (name not in expected), name
        assert same[0][:2] == same[1][:2], "counts stay"
    assert {name: migrated.differing(name, scratch) for name in expected} == expected


def test_a_broken_schema_file_passes_on_a_scratch_database_and_fails_on_the_new_one(migrated: Migrated, scratch: str) -> None:
    broken = FLIGHTS / "break" / "schema" / "db" / "0_schema" / "02_read_side" / "0202_gate.sql"
    assert migrated.psql(scratch, broken).returncode == 0
    failed = migrated.psql("flights_next", broken)
    assert failed.returncode == 3
    assert "gates cannot be made in flights_next" in failed.stderr
    assert migrated.rows("flights_next", "SELECT to_regclass('operations.tb_gate')") == [(None,)]


def test_a_broken_data_script_fails_after_its_first_row(migrated: Migrated) -> None:
    script = "db/migrations/data_migration/035_more_airlines.sql"
    failed = migrated.psql("flights_next", FLIGHTS / "break" / "data" / script)
    assert failed.returncode == 3
    assert f"{script}:3: ERROR" in failed.stderr
    assert "airline_identifier_is_iata" in failed.stderr
    assert migrated.rows("flights_next", "SELECT count(*) FROM reference.tb_airline") == [(16,)]


def test_migrating_again_gives_the_same_rows_and_ids(migrated: Migrated) -> None:
    again = migrated.clone("flights", "flights_again")
    files = sorted((FLIGHTS / "db" / "0_schema").glob("**/*.sql"))
    files += sorted((FLIGHTS / "db" / "migrations" / "data_migration").glob("0[1-3]*.sql"))
    assert migrated.psql(again, *files).returncode == 0
    for query in (
        "SELECT pk_airport, id, identifier, source FROM reference.tb_airport ORDER BY 1",
        "SELECT pk_aircraft, id, identifier, registered, fk_aircraft_model FROM fleet.tb_aircraft ORDER BY 1",
        "SELECT pk_observation, id, fk_airport, observed_at, fold FROM weather.tb_observation ORDER BY 1",
    ):
        assert migrated.rows(again, query) == migrated.rows("flights_next", query)


def test_the_application_may_do_what_it_needs_and_no_more(migrated: Migrated, scratch: str) -> None:
    with psycopg.connect(migrated.cluster.url(scratch, "flights_app"), autocommit=True) as connection:
        connection.execute("SELECT * FROM operations.v_flight LIMIT 1")
        note = "INSERT INTO operations.tb_note (fk_airline, flight_number, flight_date) VALUES (1, 1, '2013-01-01')"
        added = connection.execute(f"{note} RETURNING pk_note".encode())
        assert added.fetchone() == (6,), "five numbers were given out by the old system"
        for forbidden in ("DELETE FROM operations.tb_flight", "SELECT * FROM migration.tb_tally", "CREATE TABLE public.mine ()"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(forbidden.encode())


def test_old_and_new_services_give_the_same_answers_and_the_smoke_tests_pass_on_new_alone(
    migrated: Migrated, scratch: str, tmp_path: Path
) -> None:
    folder = tmp_path / "flights"
    shutil.copytree(FLIGHTS, folder, ignore=shutil.ignore_patterns("data", "__pycache__"))
    ports = {version: free_port() for version in ("old", "test")}
    try:
        for version, database in (("old", "flights"), ("test", scratch)):
            url = migrated.cluster.url(database, "flights_app")
            started = ctl(folder, "start", version, "--port", str(ports[version]), "--url", url)
            assert started.returncode == 0, started.stderr
        for path in ("/flights/UA/1545", "/flights/MQ/3944", "/flights/B6/725?date=2013-01-01", "/notes/3", "/notes/4"):
            assert answer(ports["old"], path) == answer(ports["test"], path)
        assert len(json.loads(answer(ports["old"], "/flights/MQ/3944"))["flights"]) == 162
        assert smoke(folder, ports["test"]).returncode == 0
        refused = smoke(folder, ports["old"], "-k", "new_version")
        assert refused.returncode == 1, refused.stdout
        shutil.copytree(FLIGHTS / "break" / "smoke", folder, dirs_exist_ok=True)
        broken = smoke(folder, ports["test"])
        assert (broken.returncode, "1 failed, 9 passed" in broken.stdout) == (1, True), broken.stdout
    finally:
        assert [ctl(folder, "stop", version).returncode for version in ports] == [0, 0]


def test_the_plan_is_one_that_the_daemon_reads(tmp_path: Path) -> None:
    folder = tmp_path / "flights"
    shutil.copytree(FLIGHTS, folder, ignore=shutil.ignore_patterns("data"))
    (folder / "plan.yaml").write_text(EXAMPLE.filled_in(RUN="demo", STATE_DIR=tmp_path / "state", PYTHON=sys.executable))
    loaded = load(folder / "plan.yaml")
    assert [Path(name).name for name in loaded.items()["data_scripts"]][-2:] == ["080_tally.sql", "090_drop_legacy.sql"]
    assert loaded.items()["comparisons"] == list(COMPARISONS)
    assert {"app/ctl.py", "app/lb.py"} <= set(loaded.hashes())
