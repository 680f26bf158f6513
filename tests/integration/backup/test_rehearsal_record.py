"""What a rehearsal on record stands for: this catalog, these files, this plan, for so long."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from support.new_database import Site, make_site
from support.production import attempt_id
from support.servers import Cluster

from cutoverd.daemon.postgres.backup.rehearsal_record import RehearsalPlan, check, find, keep, revoke
from cutoverd.states.errors import CheckFailed, Unfit

pytestmark = pytest.mark.both_versions
PLAN = RehearsalPlan(sha256="of these files")
SECONDS = {"schema.build_new": 3.0, "schema.apply_schema": 1.0, "validate.compare:a": 5.0, "undo schema.build_new": 0.5}
CHANGES = [
    "ALTER TABLE public.item ADD COLUMN more int",
    "ALTER TABLE public.item ALTER COLUMN name SET DEFAULT 'x'",
    "ALTER TABLE public.item ADD CHECK (id > 0)",
    "CREATE INDEX ON public.item (name)",
    "CREATE OR REPLACE VIEW public.shown AS SELECT 2 AS n",
    "CREATE OR REPLACE FUNCTION public.f() RETURNS int LANGUAGE sql AS 'SELECT 2'",
    "ALTER FUNCTION public.f() SECURITY DEFINER",
    "GRANT SELECT ON public.item TO app_user",
    "ALTER TABLE public.item ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE public.item REPLICA IDENTITY FULL",
    "ALTER TYPE public.colour ADD VALUE 'blue'",
    "CREATE PUBLICATION p FOR TABLE public.item",
    "ALTER TABLE public.item OWNER TO app_user",
    "ALTER DATABASE app SET work_mem = '5MB'",
]


@pytest.fixture
async def site(cluster: Cluster, tmp_path: Path) -> Site:
    made = await make_site(cluster, tmp_path)
    made.execute(
        "CREATE TABLE public.item (id int, name text); CREATE TYPE public.colour AS ENUM ('red');"
        "CREATE VIEW public.shown AS SELECT 1 AS n; CREATE FUNCTION public.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "app",
    )
    return made


async def recorded(site: Site) -> str:
    identity = (await find(site.server, PLAN))["identity"]
    await keep(site.server, PLAN, attempt_id("precheck.record_rehearsal"), identity, SECONDS, {"dump": 2.0, "restore": 60.0})
    return str(identity)


async def is_on_record(site: Site, plan: RehearsalPlan = PLAN) -> bool:
    return (await find(site.server, plan))["on_record"] is not None


async def test_rows_and_what_is_told_of_them_make_no_difference(site: Site) -> None:
    await recorded(site)
    site.execute("INSERT INTO public.item SELECT n, 'x' FROM generate_series(1, 1000) n; ANALYZE", "app")
    assert await is_on_record(site)


async def test_rights_count_and_not_the_order_in_which_they_were_granted(site: Site) -> None:
    """Found: a copy that a superuser had restored was not what production is, by the order of an ACL alone."""
    site.execute("GRANT SELECT ON public.item TO app_user, cutover; GRANT EXECUTE ON FUNCTION public.f() TO PUBLIC", "app")
    await recorded(site)
    site.execute("REVOKE SELECT ON public.item FROM app_user; GRANT SELECT ON public.item TO app_user", "app")
    site.execute("CREATE OR REPLACE FUNCTION public.f() RETURNS int LANGUAGE sql AS 'SELECT 1'", "app")
    assert await is_on_record(site)


async def test_each_change_of_the_catalog_is_another_identity(site: Site) -> None:
    known = [await recorded(site)]
    for change in CHANGES:
        site.execute(change, "app")
        found = await find(site.server, PLAN)
        assert found["on_record"] is None, change
        assert found["identity"] not in known, change
        known.append(found["identity"])


async def test_other_files_and_an_old_rehearsal_count_for_nothing(site: Site) -> None:
    await recorded(site)
    assert not await is_on_record(site, RehearsalPlan(sha256="of others"))
    site.execute("UPDATE cutoverd.rehearsals SET at = at - interval '8 days'", "cutoverd")
    assert (await find(site.server, PLAN))["why"] == "the rehearsal on record is 8.0 days old, and rehearsal.max_age is 7 days"


async def test_each_rehearsal_of_a_database_is_recorded_not_the_first_alone(site: Site) -> None:
    """Found: `cutoverd rehearse` goes by one name for ever, and its second record was taken for one that is there already."""
    await recorded(site)
    mended = RehearsalPlan(sha256="after a file was mended")
    identity = (await find(site.server, mended))["identity"]
    await keep(site.server, mended, attempt_id("precheck.record_rehearsal"), identity, SECONDS, {})
    assert await is_on_record(site, mended)
    site.execute("UPDATE cutoverd.rehearsals SET at = at - interval '8 days'", "cutoverd")
    await recorded(site)
    assert (await is_on_record(site), await is_on_record(site, mended)) == (True, False)


async def test_what_was_rehearsed_has_to_be_what_the_window_meets_and_not_what_it_met_days_before(site: Site) -> None:
    """Found: it was asked once, and a run that waited at its gate went down with a catalog that nobody had rehearsed."""
    identity = await recorded(site)
    assert (await check(site.server, PLAN, identity))["age_seconds"] < 60
    site.execute("CREATE TABLE public.later ()", "app")
    with pytest.raises(Unfit, match=r"app is no longer what was rehearsed: relation public\.later is new") as changed:
        await check(site.server, PLAN, identity)
    assert "put back what was changed in production, then `retry`" in changed.value.hint
    site.execute("DROP TABLE public.later", "app")
    await check(site.server, PLAN, identity)
    site.execute("UPDATE cutoverd.rehearsals SET at = at - interval '8 days'", "cutoverd")
    await check(site.server, PLAN, identity)  # this run has made it itself
    with pytest.raises(Unfit, match=r"the rehearsal on record is 8\.0 days old"):
        await check(replace(site.server, run="later"), PLAN, identity)


async def test_a_catalog_that_changes_while_it_is_rehearsed_is_not_on_record_as_the_one_of_its_beginning(site: Site) -> None:
    identity = (await find(site.server, PLAN))["identity"]
    site.execute("CREATE TABLE public.later ()", "app")
    with pytest.raises(CheckFailed, match="the catalog of app changed while it was rehearsed, so nothing is on record"):
        await keep(site.server, PLAN, attempt_id("precheck.record_rehearsal"), str(identity), SECONDS, {})
    assert not await is_on_record(site)


async def test_one_that_found_something_wrong_takes_back_that_it_was_fit_the_day_before(site: Site) -> None:
    """Found: rows are in no identity, so Monday's record let a run go down on what Thursday's rehearsal had found wrong."""
    identity = await recorded(site)
    assert await revoke(site.server, attempt_id("precheck.rehearse"), identity)
    assert not await revoke(site.server, attempt_id("precheck.rehearse"), identity)
    assert not await is_on_record(site)
    with pytest.raises(Unfit, match="a later one of the same files, plan and catalog found something wrong"):
        await check(site.server, PLAN, identity)


async def test_a_production_that_is_too_large_wants_one_on_record(site: Site) -> None:
    large = RehearsalPlan(sha256=PLAN.sha256, here_up_to_bytes=1)
    with pytest.raises(Unfit, match=r"more than rehearsal.here_up_to \(.* GiB\), and no rehearsal of this catalog") as unfit:
        await find(site.server, large)
    assert "`cutoverd rehearse PLAN`" in unfit.value.hint
    assert "A rehearsal: It takes the disk of three times" in str(unfit.value)
    await recorded(site)
    assert await is_on_record(site, large)


async def test_a_plan_that_leaves_it_out_says_so_where_warnings_are_read(site: Site) -> None:
    found = await find(site.server, RehearsalPlan(skip="a copy of it was rehearsed elsewhere"))
    assert found["warnings"] == ["the window is not rehearsed: a copy of it was rehearsed elsewhere"]


async def test_what_it_will_cost_is_said_before_it_begins_and_no_time_is_invented(site: Site) -> None:
    [(size,)] = site.execute("SELECT pg_database_size('app')")
    cost = (await find(site.server, PLAN))["cost"]
    assert (cost["bytes"]["restored copy"], cost["bytes"]["clone"], cost["seconds"]) == (size, size, None)
    assert "How long it takes is not known" in cost["says"]
    await recorded(site)
    says = (await find(site.server, PLAN))["says"]
    assert re.search(r"on \d{4}-\d\d-\d\d \d\d:\d\d by run r1, in 1:11; it is not made again here$", says), says
    other = await find(site.server, RehearsalPlan(sha256="after a file was mended"))
    apart = r"2\.0 s dump, 1:00 restore, 3\.0 s clone, 1\.0 s scripts, 5\.0 s checks, 0\.5 s names and rollback"
    took = rf"by run r1, took 1:11: {apart}$"
    assert re.search(took, other["says"]), other["says"]
    assert other["says"].startswith(
        "no rehearsal of this catalog, these SQL files and this plan is on record: PreCheck makes one. "
    )
    site.execute("UPDATE cutoverd.rehearsals SET production_bytes = production_bytes / 2", "cutoverd")
    grown = (await find(site.server, RehearsalPlan(sha256="another")))["says"]
    assert re.search(r"\. Production had .* then and has .* now: in proportion 2:2\d$", grown), grown
