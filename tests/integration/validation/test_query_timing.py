"""Named queries on real servers: what new answers too slowly, differently or not at all is found, and told with both timings."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.servers import Cluster

from cutoverd.daemon.postgres.validation.query_timing import Side, TimedQuery, check_query, time_query
from cutoverd.states.errors import CheckFailed, StepError
from cutoverd.states.ports import Evidence

OLD = """
CREATE TABLE public.machine (id int PRIMARY KEY, site int, serial text);
INSERT INTO public.machine SELECT n, n / 10, md5(n::text) FROM generate_series(1, {rows}) n;
CREATE INDEX machine_site ON public.machine (site);
"""
NEW = "ALTER TABLE public.machine RENAME TO tb_machine; ALTER TABLE public.tb_machine RENAME site TO fk_site;"
ASKED = TimedQuery(
    "a site's machines",
    old="SELECT serial FROM public.machine WHERE site BETWEEN 700 AND 702 ORDER BY id;",
    new="SELECT serial FROM public.tb_machine WHERE fk_site BETWEEN 700 AND 702 ORDER BY id -- the same\n;",
    no_slower_than=1.5,
)


ENDLESS = "SELECT 1 FROM pg_sleep(60)"


def furnish(cluster: Cluster, rows: int = 10_000) -> None:
    """Old, and new made from it."""
    cluster.execute("GRANT ALL ON SCHEMA public TO app_owner", "app")
    cluster.execute(f"SET ROLE app_owner; {OLD.format(rows=rows)}", "app")
    cluster.execute("VACUUM ANALYZE public.machine", "app")
    cluster.execute("ALTER DATABASE app RENAME TO app_previous")
    cluster.execute("CREATE DATABASE app_next TEMPLATE app_previous OWNER app_owner")
    cluster.execute(NEW, "app_next")


async def timed(cluster: Cluster, query: TimedQuery, seconds_max: float = 20) -> Evidence:
    return await time_query(cluster.server(), query, old="app_previous", new="app_next", seconds_max=seconds_max)


async def test_a_query_as_quick_as_before_passes_and_one_whose_index_is_missing_is_told_with_both_timings(
    cluster: Cluster,
) -> None:
    furnish(cluster, rows=300_000)
    evidence = await timed(cluster, ASKED)
    assert (evidence["rows_old"], evidence["rows_new"], evidence["allowed"]) == (30, 30, 1.5)
    assert 0 < evidence["old_ms"]["fastest"] <= evidence["old_ms"]["median"] <= evidence["old_ms"]["slowest"]
    cluster.execute("DROP INDEX public.machine_site", "app_next")
    reason = r"^query a site's machines: \d+\.\d ms on old, \d+\.\d ms on new \(medians of \d, warm\): .+ times as long, .* 1\.5$"
    with pytest.raises(CheckFailed, match=reason) as slower:
        await timed(cluster, ASKED)
    assert slower.value.evidence["ratio"] > 1.5
    assert slower.value.evidence["new_ms"]["fastest"] > slower.value.evidence["old_ms"]["fastest"]
    assert "is an index missing" in slower.value.hint


on_18 = pytest.mark.parametrize("cluster", ["18"], indirect=True)


@on_18
async def test_a_query_that_finds_less_on_new_is_no_answer_unless_the_plan_says_so(cluster: Cluster) -> None:
    furnish(cluster)
    less = TimedQuery("few", ASKED.old, "SELECT 1 FROM public.tb_machine WHERE id = 7", 1.5)
    with pytest.raises(CheckFailed, match="query few: 30 rows on old, 1 on new"):
        await timed(cluster, less)
    evidence = await timed(cluster, TimedQuery("few", less.old, less.new, 1.5, same_rows=False))
    assert (evidence["rows_old"], evidence["rows_new"]) == (30, 1)


@on_18
async def test_a_query_that_does_not_end_is_ended_and_told(cluster: Cluster) -> None:
    furnish(cluster)
    with pytest.raises(CheckFailed, match=r"^query q, on new did not end within 0\.3 s; on old it took \d+\.\d ms$"):
        await timed(cluster, TimedQuery("q", "SELECT 1", ENDLESS, 1.5), seconds_max=0.3)
    with pytest.raises(CheckFailed, match=r"^query q, on new did not end within 0\.3 s, and on old neither$"):
        await timed(cluster, TimedQuery("q", ENDLESS, ENDLESS, 1.5), seconds_max=0.3)
    assert cluster.execute("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep%' AND pid <> pg_backend_pid()") == [
        (0,)
    ]


@on_18
async def test_a_query_that_is_too_slow_on_old_is_judged_on_new_alone(cluster: Cluster) -> None:
    """Found: what was slow on old already turned the night back, hours into the window; and nothing said so before it."""
    furnish(cluster)
    evidence = await timed(cluster, TimedQuery("q", ENDLESS, "SELECT 1", 1.5), seconds_max=0.3)
    assert evidence["new_ms"] < 300
    assert {name: evidence[name] for name in ("old", "rows_new")} == {"old": "not within 0.3 s", "rows_new": 1}
    assert "ratio" not in evidence
    before = await check_query(cluster.server(), TimedQuery("q", ENDLESS, "SELECT 1", 1.5), old="app_previous", seconds_max=0.3)
    assert before["warnings"] == [
        "query q, on old did not end within 0.3 s: Validate has new alone to judge, and only by that time; raise timeouts.query"
    ]


@on_18
async def test_a_query_that_is_too_slow_on_old_while_it_is_measured_is_judged_on_new_alone(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    furnish(cluster)
    real, asked = Side.run, []

    async def slower_and_slower(side: Side) -> tuple[float, int]:
        asked.append(side.what)
        if asked.count("query q, on old") < 4 or side.what == "query q, on new":
            return await real(side)
        return await real(replace(side, query=ENDLESS))

    monkeypatch.setattr(Side, "run", slower_and_slower)
    evidence = await timed(cluster, TimedQuery("q", "SELECT 1", "SELECT 1", 1.5), seconds_max=0.3)
    assert evidence["old"] == "not within 0.3 s"


WRONG = {
    "SELECT nothing": 'column "nothing" does not exist',
    "SELECT 1; SELECT 2": "syntax error",
    "SELECT 1) TO STDOUT; DELETE FROM public.tb_machine; COPY (SELECT 1": "syntax error",
    "DELETE FROM public.tb_machine RETURNING 1": "syntax error",
    "SELECT set_config('transaction_read_only', 'off', false)": "transaction read-write mode must be set before any query",
}


@on_18
async def test_what_is_not_one_query_that_reads_is_told_and_changes_nothing(cluster: Cluster) -> None:
    furnish(cluster)
    for query, reason in WRONG.items():
        with pytest.raises(StepError, match=f"^query q, on new: {reason}"):
            await timed(cluster, TimedQuery("q", "SELECT 1", query, 1.5))
    assert cluster.execute("SELECT count(*) FROM public.tb_machine", "app_next") == [(10_000,)]


@on_18
async def test_a_query_runs_with_the_settings_that_clients_of_the_database_get(cluster: Cluster) -> None:
    furnish(cluster)
    cluster.execute("ALTER DATABASE app_next SET work_mem = '123kB'")
    with pytest.raises(CheckFailed, match="rows on old"):
        await timed(cluster, TimedQuery("q", "SELECT 1", "SELECT 1 WHERE current_setting('work_mem') <> '123kB'", 1.5))


@on_18
async def test_a_query_that_production_cannot_be_asked_is_told_before_the_window(cluster: Cluster) -> None:
    furnish(cluster)
    evidence = await check_query(cluster.server(), ASKED, old="app_previous", seconds_max=20)
    assert (evidence["columns"], evidence["old_ms"] > 0, "warnings" in evidence) == (1, True, False)
    with pytest.raises(CheckFailed, match=r'^query q, on old: relation "public\.machines" does not exist'):
        await check_query(
            cluster.server(),
            TimedQuery("q", "SELECT 1 FROM public.machines", "SELECT 1", 1.5),
            old="app_previous",
            seconds_max=20,
        )
