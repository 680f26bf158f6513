"""The validation convention on real servers."""

import asyncio
import time
from functools import partial

import pytest
from fakes.recording_ports import Night
from support.new_database import Site, make_site

from cutoverd.daemon.engine.loop import Stopped
from cutoverd.daemon.postgres.validation.check_script import ROWS_MAX, check_script
from cutoverd.events import facts
from cutoverd.states.errors import CheckFailed


@pytest.fixture
async def site(cluster, tmp_path):
    return await make_site(cluster, tmp_path)


async def check(site: Site, sql: str):
    return await check_script(site.server, site.attempt_id("validate.check_script:v"), site.file("v.sql", sql))


async def failure(site: Site, sql: str) -> CheckFailed:
    with pytest.raises(CheckFailed) as raised:
        await check(site, sql)
    return raised.value


async def test_all_rows_of_all_result_sets_are_checks(site: Site):
    sql = """
    SET search_path = pg_catalog;
    SELECT true AS ok, 'a' AS check;
    SELECT 'b'::name AS name, x > 0 AS passed, x FROM generate_series(1, 1200) x;
    WITH c AS (SELECT 1) SELECT true AS ok, 'c' AS "check" FROM c;
    (SELECT true AS ok, 'd'::varchar(3) AS check);
    DO $$ BEGIN PERFORM 1; END $$"""
    assert await check(site, sql) == {"checks": 1203, "failed": []}


async def test_false_and_null_rows_fail_and_are_named(site: Site):
    error = await failure(site, "SELECT x <> 2 AS ok, 'c' || x AS check FROM generate_series(1, 3) x;"
                                "SELECT NULL::boolean AS ok, 'n' AS check; SELECT false AS ok, NULL::text AS check;")  # fmt: skip
    assert error.evidence == {"checks": 5, "failed": ["c2", "n", "(no name)"], "null": ["n"], "failed_count": 3}
    assert str(error) == "v.sql: 3 of 5 checks failed: c2, n (null), (no name)"


async def test_what_a_script_says_of_a_failed_check_is_told_with_it(site: Site):
    error = await failure(
        site, """SELECT x <> 2 AS ok, 'c' || x AS "check", 'saw ' || x AS detail FROM generate_series(1, 3) x"""
    )
    assert str(error) == "v.sql: 1 of 3 checks failed: c2 (saw 2)"
    assert error.evidence["details"] == {"c2": "saw 2"}


async def test_a_statement_that_fails_hides_nothing_that_comes_after_it(site: Site):
    """Found: each mistake in a script cost a window of its own, for it ended at the first."""
    error = await failure(site, """SELECT false AS ok, 'a' AS "check";\nSELECT nothing;\nSELECT 1 / 0 = 1 AS ok, 'b' AS "check";
        SELECT false AS ok, 'c' AS "check";""")  # fmt: skip
    assert str(error) == (
        'v.sql: 2 of 2 checks failed: a, c; v.sql:2: column "nothing" does not exist (SQLSTATE 42703);'
        " v.sql:3: division by zero (SQLSTATE 22012)"
    )
    assert [each["line"] for each in error.evidence["errors"]] == [2, 3]


WRONG = (
    "SELECT nothing;",
    "SELECT false AS ok, 'a' AS check;",
    "SELECT nothing; SELECT 1 / 0 = 1 AS ok, 'b' AS check;",
    "COMMIT;",
)


async def test_who_is_to_run_a_script_by_hand_is_sent_to_a_database_that_there_is(site: Site):
    """Found: in the rehearsal a statement with an error named the new database, which the window alone makes."""
    site.execute("CREATE DATABASE app_try_n")
    copy = site.server.of_copy()
    for sql in WRONG:
        assert "the new database, which the rollback keeps" in (await failure(site, sql)).hint, sql
        with pytest.raises(CheckFailed) as raised:
            await check_script(copy, site.attempt_id("validate.check_script:v"), site.file("v.sql", sql))
        assert "the copy, which `cutoverd rehearse --keep` leaves" in raised.value.hint, sql


async def test_many_failed_checks_are_counted_and_the_first_named(site: Site):
    error = await failure(site, "SELECT false AS ok, 'c' || x AS check FROM generate_series(1, 600) x;")
    assert (len(error.evidence["failed"]), error.evidence["failed_count"], error.evidence["failed"][0]) == (20, 600, "c1")


NO_CHECKS = {
    "": "v.sql checks nothing",
    "SET search_path = x;": "v.sql checks nothing",
    "\n\nSELECT true AS ok, 'a' AS check WHERE false;": "v.sql:3: no rows",
    "SELECT true AS fine, 'a' AS check;": "v.sql:1: columns seen: fine, check",
    "SELECT true AS ok;": "v.sql:1: columns seen: ok",
    "SELECT;": "v.sql:1: columns seen: none",
    "SELECT 1 AS ok, 'a' AS check;": "v.sql:1: `ok` is not boolean",
    "SELECT true AS ok, 1 AS check;": "v.sql:1: `ok` is not boolean or `check` is not text",
    "SELECT true AS ok, 'a' AS check;\nSHOW search_path;": "v.sql:2: columns seen: search_path",
    "SELECT true AS ok, 'a' AS check;\n\n\\q": "v.sql:3: \\q: psql's commands do not work",
    "SELECT true AS ok, 'a' AS check;\nCOMMIT;": "v.sql:2: COMMIT: the script is run in one read-only transaction",
    "SELECT 'open": "v.sql:1: the quote ' is opened and never closed",
    f"SELECT true AS ok, 'a' AS check FROM generate_series(1, {ROWS_MAX + 1});": f"v.sql:1: more than {ROWS_MAX} rows",
}


async def test_a_script_that_checks_nothing_or_not_by_the_convention_fails_with_its_line(site: Site):
    for sql, message in NO_CHECKS.items():
        assert str(await failure(site, sql)).startswith(message), sql


async def test_an_error_names_the_line_that_the_server_points_at(site: Site):
    error = await failure(site, "SELECT true AS ok, 'a' AS check;\n\nSELECT true AS ok,\n  'ä' AS check\nFROM nowhere;")
    assert (error.evidence["line"], error.evidence["sqlstate"]) == (5, "42P01")
    assert str(error) == 'v.sql:5: relation "nowhere" does not exist (SQLSTATE 42P01)'
    assert (await failure(site, "\nSET search_path = a;\nSET nonsense\n = 1;")).evidence["line"] == 3
    assert (await failure(site, "\nSELECT 1/x = 1 AS ok, 'a' AS check FROM generate_series(0, 1) x")).evidence[
        "sqlstate"
    ] == "22012"


async def test_a_script_cannot_write(site: Site):
    for sql in (
        site.witness("written"),
        "SET TRANSACTION READ WRITE;",
        f"SET default_transaction_read_only = off; {site.witness('written')}",
        "WITH w AS (INSERT INTO witness VALUES ('written') RETURNING 1) SELECT true AS ok, 'a' AS check FROM w;",
        "CREATE TABLE t AS SELECT 1;",
    ):
        assert (await failure(site, sql)).evidence["sqlstate"] is not None, sql
    assert site.witnessed() == []


async def test_all_statements_see_one_snapshot(site: Site):
    count = "SELECT count(*) = 0 AS ok, 'still empty' AS check FROM public.witness;"
    task = asyncio.create_task(check(site, f"{count} SELECT true AS ok, 'slept' AS check FROM pg_sleep(1); {count}"))
    await site.until_running("FETCH")
    site.execute(site.witness("late"), "app_next")
    assert (await task)["checks"] == 3


async def test_a_cancelled_validation_is_gone_within_seconds(site: Site):
    task = asyncio.create_task(check(site, "SELECT true AS ok, 'a' AS check FROM pg_sleep(60);"))
    await site.until_running("FETCH")
    asked = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - asked < 5
    assert site.backends() == []


async def test_a_file_that_is_not_there_or_not_utf8_fails(site: Site):
    missing = site.folder / "missing.sql"
    with pytest.raises(CheckFailed, match=r"missing.sql cannot be read"):
        await check_script(site.server, site.attempt_id("validate"), missing)
    missing.write_bytes("SELECT\n'é'".encode("latin1"))
    with pytest.raises(CheckFailed, match=r"missing.sql:2: byte 0xe9 is not valid UTF8"):
        await check_script(site.server, site.attempt_id("validate"), missing)


BAD_LUCK = {
    "no checks": ("SET search_path = x;", "v.sql checks nothing: none of its statements has a result"),
    "an empty result": (
        "SELECT true AS ok, 'a' AS check WHERE false;",
        "v.sql:1: no rows: a result set that checks nothing fails",
    ),
    "null": ("SELECT NULL::boolean AS ok, 'sum' AS check;", "v.sql: 1 of 1 checks failed: sum (null)"),
    "a result of another kind": ("SELECT 1;", "v.sql:1: columns seen: ?column?"),
    "an error": (
        "SELECT true AS ok, 'a' AS check;\n\nSELECT 1/0 = 1 AS ok, 'b' AS check;",
        "v.sql:3: division by zero (SQLSTATE 22012)",
    ),
    "too many rows": (
        f"SELECT true AS ok, 'a' AS check FROM generate_series(1, {ROWS_MAX + 1});",
        f"v.sql:1: more than {ROWS_MAX} rows: a check is one row, count what you compare",
    ),
}


@pytest.mark.parametrize("cluster", ["18"], indirect=True)
async def test_a_validation_with_no_check_a_null_an_error_or_too_many_rows_takes_the_run_back_and_says_why(site: Site):
    """The real check on a real server; the rest of the night is pretended."""
    for sql, reason in BAD_LUCK.values():
        night = Night()
        before = set(night.world.on)
        night.world.wrong["validation.check_script.v.sql"] = partial(check, site, sql)
        assert await night.daemon() is Stopped.OVER
        events = await night.events()
        [failed] = [event for event in events if isinstance(event, facts.StepFailed)]
        assert (failed.step, failed.reason) == ("validate.check_script:v.sql", reason)
        assert failed.hint
        [turned] = [event for event in events if isinstance(event, facts.Transitioned) and event.target == "rollback"]
        assert turned.reason == f"validate.check_script:v.sql: {reason}"
        assert night.log.run.state == "rolledback"
        assert night.world.on == before
