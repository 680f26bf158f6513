"""SQL files through psql on real servers: one transaction with the ledger row, and what becomes of it."""

import asyncio
import time
from dataclasses import replace

import pytest
from support.new_database import Site, make_site

from cutoverd.daemon.postgres.scripts import psql
from cutoverd.daemon.postgres.scripts.scripts import DataScript
from cutoverd.daemon.postgres.session.reach import connect_with_retry
from cutoverd.daemon.postgres.session.refusal import Refused
from cutoverd.states.errors import CheckFailed, NotLeader, OutcomeUnknown, StepError, TimedOut
from cutoverd.states.ports import Found


@pytest.fixture
async def site(cluster, tmp_path):
    folder = tmp_path / "a run's \\ folder"
    folder.mkdir()
    return await make_site(cluster, folder)


async def test_schema_files_are_applied_in_order_by_the_owner(site: Site):
    files = [
        site.file(
            "schema/001_a.sql", "CREATE SCHEMA tenant; SET search_path = tenant; CREATE TABLE tb_a (pk_a int PRIMARY KEY);"
        ),
        site.file("schema/002_b.sql", "CREATE TABLE public.tb_b (fk_a int REFERENCES tenant.tb_a)"),
    ]
    done = await site.scripts(files).apply_schema(site.attempt_id("schema.apply"))
    assert (done["files"], done["already_done"]) == (2, False)
    owners = "SELECT c.relname, pg_get_userbyid(c.relowner) FROM pg_class c WHERE relname IN ('tb_a', 'tb_b') ORDER BY 1"
    assert site.rows(owners) == [("tb_a", "app_owner"), ("tb_b", "app_owner")]
    assert list((site.server.folder / "psql").iterdir()) == []


async def test_a_step_that_is_done_is_not_done_again(site: Site):
    scripts = site.scripts([site.file("a.sql", site.witness("a"))])
    attempt_id = site.attempt_id("schema.apply")
    first = await scripts.apply_schema(attempt_id)
    second = await scripts.apply_schema(replace(attempt_id, event_id="another"))
    assert (first["already_done"], second["already_done"], site.witnessed()) == (False, True, ["a"])


async def test_the_rows_that_a_file_wrote_are_counted_and_the_bytes_of_what_came_of_it(site: Site):
    files = "CREATE TABLE a (x int); CREATE TABLE b (x int)"
    made = await site.scripts([site.file("a.sql", files)]).apply_schema(site.attempt_id("schema.apply"))
    work = "INSERT INTO a SELECT generate_series(1, 100); UPDATE a SET x = 0 WHERE x <= 10;"
    passing = "CREATE TEMP TABLE t (x int); INSERT INTO t VALUES (1);"
    script = site.file("data.sql", f"{passing} {work} DELETE FROM a WHERE x > 95; INSERT INTO b SELECT x FROM a;")
    done = await site.scripts([], [DataScript("data.sql", script)]).run_script(
        site.attempt_id("data.run_script:data.sql"), "data.sql"
    )
    assert (made["rows"], done["rows"]) == (0, 100 + 10 + 5 + 95)
    assert 0 < made["bytes"] < done["bytes"]


async def test_two_at_once_do_it_once(site: Site):
    scripts = site.scripts([site.file("a.sql", "SELECT pg_sleep(0.3);" + site.witness("a"))])
    marks = [site.attempt_id("schema.apply"), replace(site.attempt_id("schema.apply"), event_id="another")]
    both = await asyncio.gather(*(scripts.apply_schema(attempt_id) for attempt_id in marks))
    assert sorted(done["already_done"] for done in both) == [False, True]
    assert site.witnessed() == ["a"]


async def test_an_error_names_file_and_line_and_nothing_is_kept(site: Site):
    files = [
        site.file("schema/001.sql", "CREATE TABLE a (x int);"),
        site.file("schema/002.sql", site.witness("two")),
        site.file(
            "schema/003.sql", "-- one\n\n\nCREATE TABLE c (x int);\n\n-- six\nINSERT INTO nowhere VALUES (1);\nSELECT 1;\n"
        ),
    ]
    with pytest.raises(StepError, match=r"^schema/003.sql:7: relation \"nowhere\" does not exist \(SQLSTATE 42P01\)$") as raised:
        await site.scripts(files).apply_schema(site.attempt_id("schema.apply"))
    assert "INSERT INTO nowhere" in raised.value.evidence["detail"]
    assert site.witnessed() == []
    assert site.rows("SELECT count(*) FROM pg_class WHERE relname IN ('a', 'c')") == [(0,)]


async def test_an_error_in_an_included_file_names_both(site: Site):
    outer = site.file("schema/001.sql", "CREATE SCHEMA IF NOT EXISTS public;\n\\ir parts/inner.sql\n")
    site.file("schema/parts/inner.sql", "SELECT 2;\n\nSELECT 1/0;\n")
    with pytest.raises(
        StepError, match=r"^schema/parts/inner.sql:3, included by schema/001.sql:2: division by zero \(SQLSTATE 22012\)"
    ):
        await site.scripts([outer]).apply_schema(site.attempt_id("schema.apply"))


DUMP = """\\restrict k
SELECT pg_catalog.set_config('search_path', '', false);
CREATE TABLE public.t (a text);
COPY public.t (a) FROM stdin;
COMMIT;
it's
\\.
\\unrestrict k
"""


async def test_copy_data_includes_and_a_dump_run_as_they_are(site: Site):
    file = site.file("a.sql", DUMP)
    site.file("rows.csv", "one\ntwo\n")
    copied = site.file("b.sql", "\\copy t from 'rows.csv'\n\\i c.sql\n")
    site.file("c.sql", site.witness("included"))
    await site.scripts([file, copied]).apply_schema(site.attempt_id("schema.apply"))
    assert [row[0] for row in site.rows("SELECT a FROM t")] == ["COMMIT;", "it's", "one", "two"]
    assert site.witnessed() == ["included"]


async def test_what_one_file_sets_does_not_reach_the_next(site: Site):
    site.execute("GRANT pg_monitor TO app_owner")
    first = site.file(
        "a.sql",
        "SET search_path = nowhere; SET ROLE pg_monitor; SET statement_timeout = 1;\n"
        "\\set ON_ERROR_STOP off\n\\set VERBOSITY terse\n",
    )
    second = site.file("b.sql", f"CREATE TABLE t AS SELECT pg_sleep(0.1)::text, current_user::text AS who;\n{site.witness('b')}")
    await site.scripts([first, second]).apply_schema(site.attempt_id("schema.apply"))
    assert site.rows("SELECT who FROM public.t") == [("app_owner",)]


async def test_a_stale_epoch_is_no_leader_and_does_nothing(site: Site):
    scripts = site.scripts([site.file("a.sql", site.witness("a"))])
    site.execute("UPDATE cutoverd.fence SET epoch = 2", "app_next")
    with pytest.raises(NotLeader):
        await scripts.apply_schema(site.attempt_id("schema.apply"))
    assert site.witnessed() == []


@pytest.mark.parametrize("slipped", ["COMMIT;", "COMMIT AND CHAIN;", "COMMIT; BEGIN;", "ROLLBACK; BEGIN;"])
async def test_a_script_that_ends_our_transaction_is_named_and_never_taken_for_done(site: Site, slipped):
    files = [site.file("schema/001.sql", "SELECT 1;"), site.file("schema/002.sql", f"{site.witness('two')}\n{slipped}\n")]
    attempt_id = site.attempt_id("schema.apply")
    with pytest.raises(StepError, match=r"^schema/002.sql ended the transaction that it was run in"):
        await site.scripts(files).apply_schema(attempt_id)
    kept = "ROLLBACK" not in slipped
    assert site.witnessed() == (["two"] if kept else [])
    found = (await site.scripts(files, step="schema.apply").probe_script(attempt_id, "schema.apply")).found
    assert found is (Found.UNKNOWN if kept else Found.ABSENT)
    if kept:
        with pytest.raises(StepError, match="an earlier attempt was committed without its end"):
            await site.scripts(files).apply_schema(attempt_id)


async def test_a_script_that_connects_anew_is_never_taken_for_done(site: Site):
    with pytest.raises(StepError, match="ended the transaction"):
        await site.scripts([site.file("a.sql", "\\connect app_next\nSELECT 1;\n")]).apply_schema(site.attempt_id("schema.apply"))


async def test_a_deferred_constraint_fails_in_its_step(site: Site):
    sql = (
        "CREATE TABLE p (i int PRIMARY KEY);"
        "CREATE TABLE c (i int REFERENCES p DEFERRABLE INITIALLY DEFERRED); INSERT INTO c VALUES (1);"
    )
    with pytest.raises(StepError, match="SQLSTATE 23503"):
        await site.scripts([site.file("a.sql", sql)]).apply_schema(site.attempt_id("schema.apply"))
    later = site.file("b.sql", "INSERT INTO p VALUES (1);")
    assert (await site.scripts([site.file("a.sql", sql), later]).apply_schema(site.attempt_id("schema.apply")))["files"] == 2


async def test_a_flood_of_output_neither_hangs_nor_hides_the_error(site: Site):
    flood = (
        "SELECT repeat('x', 1000) FROM generate_series(1, 100000);\n"
        "DO $$BEGIN FOR i IN 1..20000 LOOP RAISE NOTICE 'n % %', i, repeat('y', 200); END LOOP; END$$;\n"
        "SELECT 1/0;"
    )
    with pytest.raises(StepError, match=r"^a.sql:3: division by zero"):
        await site.scripts([site.file("a.sql", flood)]).apply_schema(site.attempt_id("schema.apply"))


async def test_an_error_is_named_though_its_statement_is_long(site: Site):
    """Found: psql says the whole statement behind its error, and so of one of 64 KB the error was not kept."""
    long = f"SELECT 1;\nSELECT 1/0, '{'x' * 200_000}';\nSELECT 2;"
    with pytest.raises(StepError, match=r"^a.sql:2: division by zero"):
        await site.scripts([site.file("a.sql", long)]).apply_schema(site.attempt_id("schema.apply"))


async def test_a_time_out_of_the_role_or_the_database_does_not_end_a_script(site: Site):
    site.execute("ALTER ROLE cutover SET statement_timeout = '200ms'")
    site.execute("ALTER DATABASE app_next SET idle_in_transaction_session_timeout = '200ms'")
    await site.scripts([site.file("a.sql", "SELECT pg_sleep(0.5);\n\\! sleep 0.5\n" + site.witness("a"))]).apply_schema(
        site.attempt_id("schema.apply")
    )
    assert site.witnessed() == ["a"]


async def test_a_script_that_takes_too_long_is_ended_and_leaves_nothing(site: Site):
    scripts = site.scripts([site.file("a.sql", site.witness("a") + "SELECT pg_sleep(60);")], timeout_seconds=1)
    with pytest.raises(TimedOut, match="psql did not end within 1 s"):
        await scripts.apply_schema(site.attempt_id("schema.apply"))
    assert site.backends() == []
    assert site.witnessed() == []


async def test_a_cancelled_script_is_gone_within_seconds(site: Site):
    scripts = site.scripts([site.file("a.sql", site.witness("a") + "SELECT pg_sleep(60);")])
    task = asyncio.create_task(scripts.apply_schema(site.attempt_id("schema.apply")))
    await site.until_running("pg_sleep")
    asked = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - asked < 5
    assert site.backends() == []
    assert list((site.server.folder / "children").glob("*.json")) == []
    assert site.witnessed() == []
    assert (
        await site.scripts([], step="schema.apply").probe_script(site.attempt_id("schema.apply"), "schema.apply")
    ).found is Found.ABSENT


async def test_a_data_script_is_probed_by_the_ledger(site: Site):
    scripts = site.scripts([], [DataScript("load", site.file("load.sql", site.witness("load")))])
    attempt_id = site.attempt_id("data.run_script:load")
    assert (await scripts.probe_script(attempt_id, "load")).found is Found.ABSENT
    await scripts.run_script(attempt_id, "load")
    assert (await scripts.probe_script(attempt_id, "load")).found is Found.PRESENT


async def test_a_probe_says_unknown_when_new_cannot_be_asked(site: Site, monkeypatch):
    monkeypatch.setitem(connect_with_retry.__kwdefaults__, "reach_seconds", 0.5)
    site.execute("ALTER DATABASE app_next ALLOW_CONNECTIONS false")
    scripts = site.scripts([], [DataScript("load", site.file("load.sql", ""))])
    probed = await scripts.probe_script(site.attempt_id("data.run_script:load"), "load")
    assert probed.found is Found.UNKNOWN
    assert "app_next" in probed.evidence["error"]


async def test_files_that_cannot_be_run_are_refused_all_at_once(site: Site, monkeypatch):
    monkeypatch.setenv("PGHOST", "no variable of psql's environment")
    schema = [
        site.file("schema/001.sql", "BEGIN;\n\\! date\n"),
        site.file("schema/002.sql", "-- cutoverd: no-transaction\nVACUUM;\n"),
    ]
    data = [
        DataScript("a", site.file("a.sql", "-- cutoverd: no-transaction\nVACUUM;\n")),
        DataScript("b", site.file("b.sql", "SELECT 1;"), "SELECT true"),
        DataScript("c", site.file("c.sql", "\\getenv h HOME\n\\getenv n PGHOST\nSELECT :'h',\n:'n';\n")),
    ]
    with pytest.raises(CheckFailed) as raised:
        await site.scripts(schema, data).check_files()
    places = [finding.split(": ")[0].removeprefix(f"{site.folder}/") for finding in raised.value.evidence["findings"]]
    assert places == [
        "schema/001.sql:1",
        "schema/001.sql:2",
        "schema/002.sql:1",
        "schema/002.sql:2",
        "a.sql:1",
        "b.sql:1",
        "c.sql:4",
    ]


async def test_files_that_can_be_run_are_counted_with_what_they_include(site: Site):
    site.file("inner.sql", "SELECT 1;")
    scripts = site.scripts([site.file("a.sql", "\\i inner.sql\n")], [DataScript("b", site.file("b.sql", ""))])
    assert await scripts.check_files() == {"files": 3}


INDEX = """-- cutoverd: no-transaction
DROP INDEX CONCURRENTLY IF EXISTS witness_index;
CREATE INDEX CONCURRENTLY witness_index ON witness (name);
INSERT INTO witness VALUES ('indexed');
"""
INDEXED = "SELECT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('witness_index') AND indisvalid)"


async def test_a_file_without_a_transaction_runs_once_and_is_probed(site: Site):
    scripts = site.scripts([], [DataScript("index", site.file("index.sql", INDEX), INDEXED)])
    attempt_id = site.attempt_id("data.run_script:index")
    assert (await scripts.probe_script(attempt_id, "index")).found is Found.ABSENT
    assert (await scripts.run_script(attempt_id, "index"))["already_done"] is False
    assert (await scripts.probe_script(attempt_id, "index")).found is Found.PRESENT
    assert (await scripts.run_script(replace(attempt_id, event_id="again"), "index"))["already_done"] is True
    assert site.witnessed() == ["indexed"]
    assert site.rows("SELECT finished FROM cutoverd.step_log") == [(True,)]


async def test_a_file_without_a_transaction_whose_probe_stays_false_fails(site: Site):
    scripts = site.scripts([], [DataScript("index", site.file("index.sql", INDEX), "SELECT false")])
    with pytest.raises(CheckFailed, match=r"index.sql ran, and its probe still says that it was not done"):
        await scripts.run_script(site.attempt_id("data.run_script:index"), "index")


NO_ANSWERS = [
    "SELECT 1",
    "SELECT true, true",
    "SELECT true FROM generate_series(1, 2)",
    "SELECT nowhere",
    "SELECT NULL::boolean",
    "CREATE TABLE made_by_a_probe ()",
]


async def test_a_probe_that_does_not_answer_yes_or_no_leaves_the_outcome_unknown(site: Site):
    attempt_id = site.attempt_id("data.run_script:index")
    for question in NO_ANSWERS:
        scripts = site.scripts([], [DataScript("index", site.file("index.sql", INDEX), question)])
        assert (await scripts.probe_script(attempt_id, "index")).found is Found.UNKNOWN, question
        with pytest.raises(OutcomeUnknown):
            await scripts.run_script(attempt_id, "index")
    assert site.witnessed() == []


async def test_a_stale_epoch_runs_no_file_without_a_transaction(site: Site):
    scripts = site.scripts([], [DataScript("index", site.file("index.sql", INDEX), INDEXED)])
    site.execute("UPDATE cutoverd.fence SET epoch = 2", "cutoverd")
    with pytest.raises(NotLeader):
        await scripts.run_script(site.attempt_id("data.run_script:index"), "index")
    assert site.witnessed() == []


async def test_an_error_in_a_file_without_a_transaction_names_its_line(site: Site):
    file = site.file("index.sql", "-- cutoverd: no-transaction\nSELECT 1;\nSELECT 1/0;\n")
    with pytest.raises(StepError, match=r"index.sql:3: division by zero"):
        await site.scripts([], [DataScript("index", file, "SELECT false")]).run_script(
            site.attempt_id("data.run_script:index"), "index"
        )


MISSED = "INSERT INTO nowhere VALUES (1);\n"
GOES_ON = {
    "off": f"\\set ON_ERROR_STOP off\n\\set ON_ERROR_ROLLBACK on\n{MISSED}",
    "off and on again": f"\\set ON_ERROR_STOP off\n\\set ON_ERROR_ROLLBACK on\n{MISSED}\\set ON_ERROR_STOP on\nSELECT 1;\n",
    "unset": f"\\unset ON_ERROR_STOP\n\\set ON_ERROR_ROLLBACK on\n{MISSED}",
    "without a savepoint": f"\n\\set ON_ERROR_STOP off\n{MISSED}",
}


@pytest.mark.parametrize("text", GOES_ON.values(), ids=GOES_ON)
async def test_a_file_that_goes_on_after_an_error_is_not_done(site: Site, text):
    """Found: half of a script was missing, and the run completed."""
    file = site.file("a.sql", site.witness("before").rstrip("\n") + text + site.witness("after"))
    with pytest.raises(StepError, match=r"^a\.sql:3: relation \"nowhere\" does not exist \(SQLSTATE 42P01\)$"):
        await site.scripts([file]).apply_schema(site.attempt_id("schema.apply"))
    assert site.witnessed() == []


async def test_what_an_included_file_switches_off_is_not_done_either(site: Site):
    site.file("part.sql", f"\\unset ON_ERROR_STOP\n\\set ON_ERROR_ROLLBACK on\n{MISSED}")
    with pytest.raises(StepError, match=r"^part\.sql:3, included by a\.sql:1: relation \"nowhere\" does not exist"):
        await site.scripts([site.file("a.sql", "\\i part.sql\n")]).apply_schema(site.attempt_id("schema.apply"))


async def test_an_error_that_scrolled_away_still_counts(site: Site, monkeypatch):
    monkeypatch.setattr(psql, "OUTPUT_BYTES_MAX", 64 * 1024)
    flood = "DO $$BEGIN FOR i IN 1..5000 LOOP RAISE NOTICE '% %', i, repeat('y', 200); END LOOP; END$$;\n"
    file = site.file("a.sql", f"\\set ON_ERROR_STOP off\n\\set ON_ERROR_ROLLBACK on\n{MISSED}{flood}")
    with pytest.raises(
        StepError, match=r"^at the end of a\.sql: something in it failed with SQLSTATE 42P01, and the file went on$"
    ):
        await site.scripts([file]).apply_schema(site.attempt_id("schema.apply"))


@pytest.mark.both_versions
async def test_an_error_in_a_pipeline_stops_nothing_and_is_seen(site: Site):
    """psql 18 passes it over though ON_ERROR_STOP is on."""
    if site.cluster.major < 18:
        pytest.skip("psql has pipelines since 18")
    text = "-- cutoverd: no-transaction\n\\startpipeline\nSELECT 1/0 \\bind \\sendpipeline\n\\endpipeline\n"
    site.execute("CREATE TABLE public.asked ()", "app_next")
    scripts = site.scripts([], [DataScript("index", site.file("index.sql", text), "SELECT to_regclass('asked') IS NULL")])
    with pytest.raises(StepError, match=r"^index\.sql:4: division by zero"):
        await scripts.run_script(site.attempt_id("data.run_script:index"), "index")


ALONE = {
    "\\set ON_ERROR_STOP off\nSELECT 1/0;\n": r"^index\.sql:3: division by zero \(SQLSTATE 22012\)$",
    "BEGIN;\nINSERT INTO witness VALUES ('lost');\n": r"^at the end of index\.sql: it begins a transaction and does not end it",
    "\\set AUTOCOMMIT off\nINSERT INTO witness VALUES ('lost');\n": r"^at the end of index\.sql: it begins a transaction",
}


@pytest.mark.parametrize("text", ALONE)
async def test_a_file_without_a_transaction_that_goes_on_or_stays_open_is_not_done(site: Site, text):
    """Found: its probe was all that could tell."""
    file = site.file("index.sql", f"-- cutoverd: no-transaction\n{text}")
    scripts = site.scripts([], [DataScript("index", file, "SELECT false")])
    with pytest.raises(StepError, match=ALONE[text]):
        await scripts.run_script(site.attempt_id("data.run_script:index"), "index")
    assert site.witnessed() == []


async def test_how_psql_reads_and_where_it_is_does_not_reach_the_next_file(site: Site):
    (site.folder / "deep").mkdir()
    first = site.file("a.sql", "\\set SINGLELINE on\n\\set FETCH_COUNT 1\n\\cd deep\nSELECT 1\n")
    second = site.file("b.sql", f"\\i part.sql\nSELECT\n1;\n{site.witness('b')}")
    site.file("part.sql", "SELECT 2;\n")
    await site.scripts([first, second]).apply_schema(site.attempt_id("schema.apply"))
    assert site.witnessed() == ["b"]


PARENT = "CREATE TABLE p (i int PRIMARY KEY); CREATE TABLE c (i int REFERENCES p DEFERRABLE INITIALLY DEFERRED);"


async def test_a_constraint_that_was_put_off_names_the_files_and_none_of_ours(site: Site):
    """Found: the place was `script_finish.sql:2`."""
    files = [site.file("a.sql", PARENT), site.file("b.sql", "INSERT INTO c VALUES (1);")]
    fails = r"^at the end of a\.sql, b\.sql: insert or update on table \"c\" violates .* \(SQLSTATE 23503\)$"
    with pytest.raises(StepError, match=fails) as failed:
        await site.scripts(files).apply_schema(site.attempt_id("schema.apply"))
    assert failed.value.evidence["files"] == [str(file) for file in files]


async def test_a_file_that_is_gone_names_itself_and_none_of_ours(site: Site):
    """Found: the place was `psql/<hex>.sql:4`."""
    gone = site.folder / "gone.sql"
    with pytest.raises(StepError, match=r"^gone\.sql: .*gone\.sql: No such file or directory$") as failed:
        await site.scripts([site.file("a.sql", ""), gone]).apply_schema(site.attempt_id("schema.apply"))
    assert failed.value.evidence["file"] == str(gone)


async def test_a_character_that_the_database_has_not_is_refused_with_its_line(site: Site):
    """Found: it was seen by the server, in Data, at night."""
    site.execute("DROP DATABASE app")
    site.execute("CREATE DATABASE app OWNER app_owner ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    site.file("rows.csv", "a\nΩ\n")
    right = DataScript("c", site.file("c.sql", "SELECT 'für';\n"))
    files = [site.file("a.sql", "SELECT 'für';\nSELECT '€';\n"), site.file("b.sql", "\\copy t from rows.csv\n")]
    assert (await site.scripts([], [right]).check_files())["files"] == 1
    with pytest.raises(CheckFailed) as failed:
        await site.scripts(files[:1], [right, DataScript("b", files[1])]).check_files()
    findings = [finding.removeprefix(f"{site.folder}/") for finding in failed.value.evidence["findings"]]
    assert [finding.split(": ")[0] for finding in findings] == ["a.sql:2", "rows.csv:2"]
    assert 'has no equivalent in encoding "LATIN1"' in findings[0]


async def test_bytes_that_are_not_valid_in_the_encoding_that_a_file_names_are_refused(site: Site):
    file = site.folder / "a.sql"
    file.write_bytes(b"\\encoding EUC_JP\nSELECT 1;\nSELECT '\xff\xff';\n\\encoding WIN1252\nSELECT '\x80', '\x81';\n")
    with pytest.raises(CheckFailed) as failed:
        await site.scripts([file]).check_files()
    places = [finding.split(": ")[0].rpartition(":")[2] for finding in failed.value.evidence["findings"]]
    assert places == ["3", "5"]


PROCEDURE = "CREATE PROCEDURE public.load(n int) LANGUAGE plpgsql AS $$ BEGIN\nIF n > 1 THEN {}; END IF; END $$"


@pytest.mark.parametrize(("body", "refused"), [("COMMIT", True), ("NULL", False)])
async def test_a_call_of_a_procedure_of_production_that_commits_is_refused(site: Site, body, refused):
    """Found: it was seen by the server, in Data, at night."""
    site.execute(PROCEDURE.format(body), "app")
    scripts = site.scripts([], [DataScript("a", site.file("a.sql", "SELECT 1;\nCALL public.load(1);\n"))])
    if not refused:
        assert await scripts.check_files() == {"files": 1}
        return
    with pytest.raises(CheckFailed, match=r"a\.sql:2: CALL public\.load, a procedure that ends the transaction"):
        await scripts.check_files()


async def test_what_is_wrong_without_the_server_is_told_though_it_cannot_be_asked(site: Site):
    away = replace(site.server, reach_seconds=0, home="nowhere")
    text = "CALL public.load(1);\nSELECT 'ü';\n"
    file = site.file("a.sql", f"{text}COMMIT;\n")
    with pytest.raises(CheckFailed, match=r"a\.sql:3: COMMIT"):
        await site.scripts([file], server=away).check_files()
    file.write_text(text)
    with pytest.raises(Refused, match="there is no database nowhere"):
        await site.scripts([file], server=away).check_files()
