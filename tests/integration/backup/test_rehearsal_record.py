"""What a rehearsal on record stands for: this catalog, these files, this plan, for so long."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.new_database import Site, make_site
from support.production import attempt_id
from support.servers import Cluster

from cutoverd.daemon.postgres.backup.rehearsal_record import RehearsalPlan, find, keep
from cutoverd.states.errors import Unfit

pytestmark = pytest.mark.both_versions
PLAN = RehearsalPlan(sha256="of these files")
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
    await keep(site.server, attempt_id("precheck.record_rehearsal"), identity, {"schema.apply_schema": 1.0})
    return str(identity)


async def is_on_record(site: Site, plan: RehearsalPlan = PLAN) -> bool:
    return (await find(site.server, plan))["on_record"] is not None


async def test_rows_and_what_is_told_of_them_make_no_difference(site: Site) -> None:
    await recorded(site)
    site.execute("INSERT INTO public.item SELECT n, 'x' FROM generate_series(1, 1000) n; ANALYZE", "app")
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


async def test_a_production_that_is_too_large_wants_one_on_record(site: Site) -> None:
    large = RehearsalPlan(sha256=PLAN.sha256, here_up_to_bytes=1)
    with pytest.raises(Unfit, match=r"more than rehearsal.here_up_to \(.* GiB\), and no rehearsal of this catalog") as unfit:
        await find(site.server, large)
    assert "`cutoverd rehearse PLAN`" in unfit.value.hint
    await recorded(site)
    assert await is_on_record(site, large)


async def test_a_plan_that_leaves_it_out_says_so_where_warnings_are_read(site: Site) -> None:
    found = await find(site.server, RehearsalPlan(skip="a copy of it was rehearsed elsewhere"))
    assert found["warnings"] == ["the window is not rehearsed: a copy of it was rehearsed elsewhere"]
