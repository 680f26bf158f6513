"""What users get wrong, planted in the examples one by one and six at once: `rehearse` names it, in the words of the plan.

Each step that a mistake breaks is named, and no other; production is as it was, and nothing is left.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from support.migrated import Example
from support.planted import Edit, Mistake, Planted, added, compared, failures, planned, queried, replaced, unbuilt
from support.servers import Clusters

FLEET = "db/migrations/data_migration/002_fleet.sql"
SERVICE = "db/migrations/data_migration/003_service.sql"
BILLING = "db/migrations/data_migration/004_billing.sql"
PEOPLE = "db/migrations/data_migration/001_migrate_printoptim_data.sql"
TALLY = "db/migrations/data_migration/080_tally.sql"
LATER = "db/migrations/data_migration/085_later.sql"
CHECKS = "db/migrations/validation/001_validate_migration.sql"
MORE_CHECKS = "db/migrations/validation/002_more.sql"
GRANTS = "db/0_schema/09_security/0901_grants.sql"
MORE_SCHEMA = "db/0_schema/09_security/0902_more.sql"
BUILT = "schema.apply_schema"
READ = "precheck.check_files"
ROWS = 10_000  # the least that its loader makes


def in_script(file: str, *words: str) -> dict[str, Sequence[str]]:
    return {f"data.run_script:{file}": words}


def in_check(file: str, *words: str) -> dict[str, Sequence[str]]:
    return {f"validate.check_script:{file}": words}


def in_comparison(name: str, *words: str) -> dict[str, Sequence[str]]:
    return {f"validate.compare:{name}": words}


def in_coverage(*words: str) -> dict[str, Sequence[str]]:
    """Asked of production before there is a copy, and of the copy again."""
    return {"precheck.check_coverage": words, "validate.check_coverage": words}


def waived(plan: dict[str, Any]) -> None:
    plan["validate"]["waive"]["public.sessions"] = plan["validate"]["waive"].pop("public.session")


def not_compared(plan: dict[str, Any]) -> None:
    plan["validate"]["compare"] = [each for each in plan["validate"]["compare"] if each["name"] != "technicians"]


def keyed(plan: dict[str, Any]) -> None:
    [each] = [each for each in plan["validate"]["compare"] if each["name"] == "lines of the log"]
    each["key"] = ["printer_id", "status"]


def removed(file: str) -> Edit:
    return lambda home: (home / file).unlink()


def latin(file: str) -> Edit:
    return added(file, "INSERT INTO common.tb_setting (identifier, value) VALUES ('terms', 'payé à la livraison');\n", "latin-1")


PRINTOPTIM = [
    # --- comparisons and named queries
    Mistake(
        "a column of new that was renamed",
        [compared("manufacturers", "new", "name", "label AS name")],
        in_comparison("manufacturers", 'column "label" does not exist', "new"),
    ),
    Mistake(
        "a column of old that never was",
        [compared("models", "old", "lower(colour)", "lower(color)")],
        {**in_coverage('column "color" does not exist', "models"), **in_comparison("models", 'column "color" does not exist')},
    ),
    Mistake(
        "a relation of new that was renamed",
        [compared("parts", "new", "fleet.tb_part", "fleet.tb_parts")],
        in_comparison("parts", 'relation "fleet.tb_parts" does not exist'),
    ),
    Mistake(
        "a key that is not one",
        [planned(keyed)],
        in_comparison("lines of the log", "key", "printer_id"),
    ),
    Mistake(
        "a column of another type",
        [compared("parts", "new", "price::double precision AS price", "price")],
        in_comparison("parts", "price", "numeric", "double precision"),
    ),
    Mistake(
        "a waived table that there is not",
        [planned(waived)],
        in_coverage("public.session", "public.sessions"),
    ),
    Mistake(
        "a table that nothing compares",
        [planned(not_compared)],
        in_coverage("public.technician"),
    ),
    Mistake(
        "a query that is slower than it may be",
        [queried("a machine's page", "new", "WHERE identifier", "WHERE pg_sleep(0.05) IS NOT NULL AND identifier")],
        {"validate.time_query:a machine's page": ("times as long", "the plan allows 3")},
    ),
    Mistake(
        "a query of new with a typo",
        [queried("open tickets by priority", "new", "pk_ticket_status = fk_ticket_status", "pk_status = fk_ticket_status")],
        {"validate.time_query:open tickets by priority": ('column "pk_status" does not exist',)},
    ),
    Mistake(
        "a query of old with a typo",
        [queried("open tickets by priority", "old", "btrim(status)", "btrim(state)")],
        {
            "precheck.check_query:open tickets by priority": ('column "state" does not exist',),
            "validate.time_query:open tickets by priority": ('column "state" does not exist',),
        },
    ),
    # --- schema
    Mistake(
        "a typo in the fourth schema file",
        [replaced("db/0_schema/00_common/004_country.sql", "name text NOT NULL", "name txt NOT NULL")],
        {BUILT: ("004_country.sql:11", 'type "txt" does not exist')},
        built=True,
    ),
    Mistake(
        "a statement that runs in no transaction",
        [added(MORE_SCHEMA, "CREATE INDEX CONCURRENTLY machine_ip ON fleet.tb_machine (address_ip);\n")],
        {READ: ("0902_more.sql:1", "CREATE INDEX CONCURRENTLY")},
    ),
    Mistake(
        "grants that were forgotten",
        [replaced(GRANTS, "GRANT INSERT ON fleet.tb_meter_reading, fleet.tb_ticket TO printoptim_app;", "")],
        {"validate.check_grants": ("written", "printoptim_app")},
    ),
    Mistake(
        "a grant to a role that there is not",
        [added(MORE_SCHEMA, "GRANT USAGE ON SCHEMA fleet TO printoptim_reports;\n")],
        {BUILT: ("0902_more.sql:1", 'role "printoptim_reports" does not exist')},
    ),
    Mistake(
        "an owner that we may not give",
        [added(MORE_SCHEMA, "ALTER TABLE fleet.tb_part OWNER TO postgres;\n")],
        {BUILT: ("0902_more.sql:1", "postgres")},
    ),
    Mistake(
        "an extension that is not installed",
        [added(MORE_SCHEMA, "CREATE EXTENSION postgis;\n")],
        {BUILT: ("0902_more.sql:1", "postgis"), "precheck.check_dumpable": ("0902_more.sql:1", "postgis")},
    ),
    Mistake(
        "a constraint that is not valid",
        [added(LATER, "ALTER TABLE fleet.tb_part ADD CONSTRAINT stocked CHECK (stock > 20) NOT VALID;\n")],
        {"validate.check_invariants": ("stocked", "fleet.tb_part")},
    ),
    Mistake(
        "row security that hides rows of new",
        [
            added(
                LATER,
                "ALTER TABLE fleet.tb_part ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;\n"
                "CREATE POLICY stocked ON fleet.tb_part USING (stock > 20);\n",
            )
        ],
        {"data.set_sequences": ("tb_part", "row-level security", "BYPASSRLS")},
    ),
    # --- data
    Mistake(
        "an error in the third script",
        [replaced(SERVICE, "minutes, common.cents(cost)\nFROM", "minutes / 0, common.cents(cost)\nFROM")],
        in_script(SERVICE, "003_service.sql:48", "division by zero"),
    ),
    Mistake(
        "a cast that fails at one row of many",
        [
            replaced(
                FLEET,
                "common.moment(read_at), mono, colour",
                "common.moment(read_at), (CASE reading.id WHEN 900 THEN 'unread' ELSE mono::text END)::integer, colour",
            )
        ],
        in_script(FLEET, "002_fleet.sql:", "invalid input syntax for type integer"),
    ),
    Mistake(
        "rows lost by a WHERE",
        [
            replaced(
                BILLING,
                "JOIN billing.tb_payment_method known ON known.identifier = code\n",
                "JOIN billing.tb_payment_method known ON known.identifier = code\nWHERE invoice_id IS NOT NULL\n",
            )
        ],
        {**in_check(CHECKS, "payments: old 300, new"), **in_comparison("payments", "missing", "keys")},
    ),
    Mistake(
        "rows lost by an inner join",
        [replaced(PEOPLE, "FROM public.app_user\nLEFT JOIN", "FROM public.app_user\nJOIN")],
        {**in_check(CHECKS, "users: old 50, new"), **in_comparison("users", "missing", "keys")},
    ),
    Mistake(
        "rows that are there twice",
        [
            added(
                LATER,
                "INSERT INTO fleet.tb_meter_reading (pk_meter_reading, fk_machine, read_at, mono_pages, source)\n"
                "SELECT 1000000 + pk_meter_reading, fk_machine, read_at, mono_pages, source FROM fleet.tb_meter_reading\n"
                "LIMIT 10;\n",
            )
        ],
        {**in_check(CHECKS, "readings: old"), **in_comparison("readings", "extra", "keys")},
    ),
    Mistake(
        "a value that is changed on the way",
        [replaced(FLEET, "common.cents(purchase_price),", "common.cents(purchase_price * 1.2),")],
        in_comparison("printers", "changed", "keys"),
    ),
    Mistake(
        "a foreign key that does not hold",
        [
            replaced(
                FLEET,
                "FROM public.reading\nWHERE EXISTS (SELECT FROM public.printer WHERE printer.id = printer_id)\nORDER BY",
                "FROM public.reading\nORDER BY",
            )
        ],
        in_script(FLEET, "002_fleet.sql:", "foreign key"),
    ),
    Mistake(
        "a foreign key that is only checked at the end",
        [
            added(
                MORE_SCHEMA,
                "CREATE TABLE crm.tb_seat (fk_user integer REFERENCES crm.tb_user DEFERRABLE INITIALLY DEFERRED);\n",
            ),
            added(LATER, "INSERT INTO crm.tb_seat VALUES (0);\n"),
        ],
        in_script(LATER, "085_later.sql", "tb_seat_fk_user_fkey"),
    ),
    Mistake(
        "a trigger that fails",
        [
            added(
                MORE_SCHEMA,
                "CREATE FUNCTION fleet.refuse() RETURNS trigger LANGUAGE plpgsql AS\n"
                "$$ BEGIN RAISE EXCEPTION 'ticket % has no machine', NEW.pk_ticket; END $$;\n"
                "CREATE TRIGGER refuse BEFORE INSERT ON fleet.tb_ticket FOR EACH ROW WHEN (NEW.fk_machine IS NULL)\n"
                "EXECUTE FUNCTION fleet.refuse();\n",
            )
        ],
        in_script(SERVICE, "003_service.sql:", "has no machine"),
    ),
    Mistake(
        "a function that finds its table only by a search_path",
        [
            added(
                MORE_SCHEMA,
                "CREATE FUNCTION fleet.count_up() RETURNS trigger LANGUAGE plpgsql AS\n"
                "$$ BEGIN UPDATE tb_machine SET purchase_price = 0 WHERE false; RETURN NEW; END $$;\n"
                "CREATE TRIGGER count_up BEFORE INSERT ON fleet.tb_visit FOR EACH ROW EXECUTE FUNCTION fleet.count_up();\n",
            )
        ],
        in_script(SERVICE, "003_service.sql:", 'relation "tb_machine" does not exist'),
    ),
    Mistake(
        "a publication that makes UPDATE fail",
        [
            added(LATER, "UPDATE fleet.tb_line SET note = '' WHERE note IS NULL;\n"),
            added(MORE_SCHEMA, "CREATE TABLE fleet.tb_line (note text);\nCREATE PUBLICATION lines FOR TABLE fleet.tb_line;\n"),
        ],
        in_script(LATER, "085_later.sql:1", "replica identity"),
    ),
    Mistake(
        "a publication of production that makes UPDATE fail",
        [added("db/migrations/data_migration/000_first.sql", "UPDATE public.status_log SET note = '' WHERE note IS NULL;\n")],
        {
            "precheck.check_dumpable": ("000_first.sql:1", "replica identity"),
            **in_script("db/migrations/data_migration/000_first.sql", "000_first.sql:1", "replica identity"),
        },
        production="GRANT CREATE ON DATABASE printoptim TO printoptim_owner; SET ROLE printoptim_owner;"
        " CREATE PUBLICATION lines FOR TABLE public.status_log",
        undone="DROP PUBLICATION lines; REVOKE CREATE ON DATABASE printoptim FROM printoptim_owner",
    ),
    Mistake(
        "what only a superuser may",
        [added(LATER, "COPY common.tb_setting (identifier) FROM '/etc/hostname';\n")],
        {
            "precheck.check_dumpable": ("085_later.sql:1", "pg_read_server_files"),
            **in_script(LATER, "085_later.sql:1", "pg_read_server_files"),
        },
    ),
    Mistake(
        "a file that is included and not there",
        [added(LATER, "\\ir parts/more.sql\n")],
        {
            READ: ("085_later.sql:1", "more.sql"),
            "precheck.check_dumpable": ("085_later.sql:1", "more.sql"),
        },
    ),
    Mistake(
        "a script made for psql that goes to production by itself",
        [added(LATER, "\\c printoptim\nDROP TABLE public.status_log;\n")],
        {READ: ("085_later.sql:1", "\\c")},
    ),
    Mistake(
        "a script that leaves for the shell",
        [added(LATER, "\\! true\n")],
        {READ: ("085_later.sql:1", "\\!")},
    ),
    Mistake(
        "a setting of production's database in a schema file",
        [added(MORE_SCHEMA, "ALTER DATABASE printoptim SET search_path TO fleet, public;\n")],
        {READ: ("0902_more.sql:1", "ALTER DATABASE")},
        built=True,
    ),
    Mistake(
        "a role's setting in a data script",
        [added(LATER, "ALTER ROLE printoptim_app SET work_mem = '64MB';\n")],
        {READ: ("085_later.sql:1", "ALTER ROLE")},
    ),
    Mistake(
        "a file in another encoding",
        [latin(SERVICE)],
        {READ: ("003_service.sql:79", "UTF-8")},
    ),
    Mistake(
        "old tables that are dropped too early",
        [
            lambda home: (home / "db/migrations/data_migration/090_drop_legacy.sql").rename(
                home / "db/migrations/data_migration/0035_drop_legacy.sql"
            )
        ],
        in_script(SERVICE, "003_service.sql:4", 'relation "public.technician" does not exist'),
    ),
    # --- validation scripts
    Mistake(
        "a check that is false",
        [added(MORE_CHECKS, "SELECT count(*) > 100 AS ok, 'many parts' AS \"check\", count(*) AS detail FROM fleet.tb_part;\n")],
        in_check(MORE_CHECKS, "many parts", "40"),
    ),
    Mistake(
        "a check with a typo",
        [added(MORE_CHECKS, "\nSELECT cuont(*) > 1 AS ok, 'parts' AS \"check\" FROM fleet.tb_part;\n")],
        in_check(MORE_CHECKS, "002_more.sql:2", "function cuont() does not exist"),
    ),
    Mistake(
        "a check that answers with no ok",
        [added(MORE_CHECKS, "SELECT count(*) > 1 AS okay, 'parts' AS \"check\" FROM fleet.tb_part;\n")],
        in_check(MORE_CHECKS, "002_more.sql", "ok"),
    ),
    Mistake(
        "a check that writes",
        [added(MORE_CHECKS, "DELETE FROM fleet.tb_part WHERE stock = 0 RETURNING true AS ok, 'parts' AS \"check\";\n")],
        in_check(MORE_CHECKS, "002_more.sql:1", "read-only"),
    ),
    Mistake(
        "a check of what our role may not do",
        [added(MORE_CHECKS, "SELECT true AS ok, 'logins' AS \"check\" WHERE pg_read_file('/etc/hostname') > '';\n")],
        in_check(MORE_CHECKS, "002_more.sql:1", "permission denied"),
    ),
    Mistake(
        "projections that are not filled",
        [replaced(TALLY, "SELECT crm.refresh_tv_customer(), fleet.refresh_tv_machine();", "")],
        {
            **in_check(CHECKS, "every customer and every machine has its projection"),
            "validate.time_query:a machine's page": ("1 rows on old, 0 on new",),
        },
    ),
    # --- the plan
    Mistake(
        "a window that is too short",
        [planned(lambda plan: plan.update(window={"budget": "1s"}))],
        {"precheck.check_window": ("1 s", "window.budget")},
    ),
    Mistake(
        "a script that is named and not there",
        [planned(lambda plan: plan["data"]["scripts"].append("db/migrations/data_migration/100_last.sql"))],
        exit=2,
        says=("100_last.sql",),
    ),
    Mistake(
        "no validation script where the plan says",
        [removed(CHECKS)],
        exit=2,
        says=("validate.scripts", "db/migrations/validation/*.sql"),
    ),
]
MENDED = Mistake(
    "a sequence that was set back, which Data sets right",
    [added(LATER, "SELECT setval('fleet.tb_ticket_pk_ticket_seq', 1);\n")],
    exit=0,
)
FLIGHTS_DATA = "db/migrations/data_migration"
FLIGHTS = [
    Mistake(
        "a number that does not fit, in the third script",
        [replaced(f"{FLIGHTS_DATA}/030_weather.sql", "temp, dewp, humid,", "(temp * 1000)::smallint, dewp, humid,")],
        in_script(f"{FLIGHTS_DATA}/030_weather.sql", "030_weather.sql:", "smallint out of range"),
    ),
    Mistake(
        "flights lost by an inner join",
        [replaced(f"{FLIGHTS_DATA}/040_flights.sql", "LEFT JOIN fleet.tb_aircraft", "JOIN fleet.tb_aircraft")],
        {
            **in_check(CHECKS, "flights: old", "flights without a tail number: old"),
            **in_comparison("flights", "missing", "keys"),
            **in_comparison("flights without a tail number", "missing"),
        },
    ),
    Mistake(
        "airports that the register lacks, forgotten",
        [
            replaced(
                f"{FLIGHTS_DATA}/010_reference.sql",
                "FROM (SELECT origin AS faa FROM public.flights UNION SELECT dest FROM",
                "FROM (SELECT origin AS faa FROM public.flights UNION SELECT origin FROM",
            )
        ],
        in_script(f"{FLIGHTS_DATA}/040_flights.sql", "040_flights.sql:", "fk_destination"),
    ),
    Mistake(
        "clocks of another time zone",
        [
            replaced(
                f"{FLIGHTS_DATA}/040_flights.sql",
                "make_time(hour, minute, 0)) AT TIME ZONE departs.time_zone",
                "make_time(hour, minute, 0)) AT TIME ZONE 'UTC'",
            )
        ],
        {
            **in_check(CHECKS, "departures are as late as their delay says"),
            **in_comparison("flights", "changed", "keys"),
        },
    ),
    Mistake(
        "a key that repeats where clocks go back",
        [planned(lambda plan: plan["validate"]["compare"][7].update(key=["origin", "year", "month", "day", "hour"]))],
        in_comparison("weather", "key", "origin"),
    ),
    Mistake(
        "a number that was given out, and would be again",
        [replaced(f"{FLIGHTS_DATA}/080_tally.sql", "SELECT setval('operations.tb_note_pk_note_seq', rows)", "SELECT rows")],
        in_check(CHECKS, "note numbers given out: old 5, new 4"),
    ),
    Mistake(
        "grants that were forgotten",
        [removed("db/0_schema/09_security/0901_grants.sql")],
        {"validate.check_grants": ("nothing can be read any more by", "flights_app")},
    ),
    Mistake(
        "an old table that stays",
        [replaced(f"{FLIGHTS_DATA}/090_drop_legacy.sql", "public.weather, ", "")],
        in_check(CHECKS, "the old tables are gone"),
    ),
]
ALL_AT_ONCE = (
    "a column of new that was renamed",
    "a key that is not one",
    "grants that were forgotten",
    "a constraint that is not valid",
    "rows lost by a WHERE",
    "a check with a typo",
    "a query that is slower than it may be",
)
NOT_ALL_AT_ONCE = (
    "a table that nothing compares",
    "a query of old with a typo",
    "an error in the third script",
    "a column of new that was renamed",
    "a constraint that is not valid",
    "a check that is false",
)
# when clocks went back; the one wind that cannot be was in May
A_MONTH = "DELETE FROM public.flights WHERE month <> 11; DELETE FROM public.weather WHERE month NOT IN (5, 11)"


EXAMPLES: dict[str, tuple[Example, Sequence[Any], str]] = {
    "printoptim": (
        Example("printoptim", ports=("DOOR_PORT", "APP_PORT", "WORKER_PORT", "TEST_PORT", "METRICS_PORT")),
        [ROWS],
        "",
    ),
    "flights": (Example("flights", ports=("DOOR_PORT", "APP_PORT", "BOARD_PORT", "TEST_PORT")), [], A_MONTH),
}


@pytest.fixture(scope="module")
def planted(request: pytest.FixtureRequest, clusters: Clusters, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Planted]:
    example, loaded, then = EXAMPLES[request.param]
    with Planted.made(clusters, "18", tmp_path_factory.mktemp(example.name), example, *loaded, then=then) as made:
        yield made


of_printoptim = pytest.mark.parametrize("planted", ["printoptim"], indirect=True)
of_flights = pytest.mark.parametrize("planted", ["flights"], indirect=True)


def named(*names: str) -> list[Mistake]:
    return [each for name in names for each in PRINTOPTIM if each.name == name]


def assert_found(planted: Planted, mistakes: Sequence[Mistake], found: dict[str, list[str]], code: int) -> str:
    """Those steps fail and no other, each with those words; the output."""
    for each in mistakes:
        planted.production(each.production)
    before = planted.fingerprint()
    start = [] if any(each.built for each in mistakes) else [unbuilt]
    done = planted.rehearse(*start, *(edit for each in mistakes for edit in each.edits))
    assert planted.fingerprint() == before
    for each in mistakes:
        planted.production(each.undone)
    output = done.stdout + done.stderr
    assert "Traceback" not in output, output
    failed = failures(output)
    assert (done.returncode, sorted(failed)) == (code, sorted(found)), output
    for step, words in found.items():
        assert [word for word in words if word not in failed[step]] == [], failed[step]
    assert planted.left_over() == []
    return output


def alone(planted: Planted, mistake: Mistake) -> None:
    output = assert_found(planted, [mistake], {step: list(words) for step, words in mistake.found.items()}, mistake.exit)
    assert [words for words in mistake.says if words not in output] == [], output


@pytest.mark.long
@of_printoptim
def test_more_than_six_mistakes_at_once_are_each_named_and_nothing_else(planted: Planted) -> None:
    mistakes = named(*ALL_AT_ONCE)
    assert len(mistakes) == len(ALL_AT_ONCE)
    found: dict[str, list[str]] = {}
    for each in mistakes:
        for step, words in each.found.items():
            found.setdefault(step, []).extend(words)
    assert_found(planted, mistakes, found, 5)


@pytest.mark.soak
@of_printoptim
def test_what_a_failing_script_hides_is_said_and_the_rest_is_found(planted: Planted) -> None:
    mistakes = named(*NOT_ALL_AT_ONCE)
    assert len(mistakes) == len(NOT_ALL_AT_ONCE)
    before_it = [(step, list(words)) for each in mistakes[:3] for step, words in each.found.items()]
    found = {step: words for step, words in before_it if not step.startswith("validate.")}
    output = assert_found(planted, mistakes, found, 5)
    hidden = output.rpartition("not looked at")[2]
    for step in (BILLING, "validate.compare:manufacturers", "validate.check_invariants", MORE_CHECKS):
        assert step in hidden, output


@pytest.mark.soak
@of_printoptim
@pytest.mark.parametrize("mistake", [Mistake("none", [], exit=0, built=True), MENDED, *PRINTOPTIM], ids=lambda each: each.name)
def test_a_mistake_in_printoptim_is_found(planted: Planted, mistake: Mistake) -> None:
    alone(planted, mistake)


@pytest.mark.soak
@of_flights
@pytest.mark.parametrize("mistake", [Mistake("none", [], exit=0, built=True), *FLIGHTS], ids=lambda each: each.name)
def test_a_mistake_in_flights_is_found(planted: Planted, mistake: Mistake) -> None:
    alone(planted, mistake)
