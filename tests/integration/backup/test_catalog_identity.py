"""What makes a rehearsal on record one of another production: whatever decides what it finds, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.new_database import Site, make_site
from support.servers import Cluster

from cutoverd.daemon.postgres.backup import rehearsal_record
from cutoverd.daemon.postgres.backup.rehearsal_record import RehearsalPlan, find
from cutoverd.daemon.postgres.catalog.identity import read_identity, read_parts
from cutoverd.daemon.postgres.session.session import session

pytestmark = pytest.mark.both_versions
OBJECTS = """
CREATE ROLE readers; CREATE ROLE lender; CREATE ROLE stranger; GRANT readers TO app_user;
CREATE SCHEMA shop AUTHORIZATION app_owner; GRANT USAGE ON SCHEMA shop TO app_user;
CREATE TABLE shop.item (id int PRIMARY KEY, name text NOT NULL, note text);
CREATE UNIQUE INDEX item_name ON shop.item (name); CREATE INDEX item_note ON shop.item (note);
ALTER TABLE shop.item REPLICA IDENTITY USING INDEX item_pkey;
CREATE TABLE shop.wide (a int, b int);
CREATE TABLE shop.part (at date NOT NULL, n int) PARTITION BY RANGE (at);
CREATE TABLE shop.part_1 PARTITION OF shop.part FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
CREATE TABLE shop.part_2 (at date NOT NULL, n int);
CREATE TABLE shop.base (a int); CREATE TABLE shop.child (b int) INHERITS (shop.base);
CREATE DOMAIN shop.code AS text; CREATE DOMAIN shop.size AS int; CREATE TYPE shop.pair AS (x int, y int);
CREATE SEQUENCE shop.counter;
CREATE MATERIALIZED VIEW shop.sum AS SELECT count(*) FROM shop.item;
CREATE FUNCTION shop.f(a int) RETURNS int LANGUAGE sql AS 'SELECT $1';
CREATE FUNCTION shop.as_text(shop.pair) RETURNS text LANGUAGE sql AS 'SELECT $1.x::text';
CREATE FUNCTION shop.watch() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN END$$;
CREATE AGGREGATE shop.total(int) (SFUNC = int4pl, STYPE = int);
CREATE COLLATION shop.order_of (locale = 'C');
CREATE TEXT SEARCH CONFIGURATION shop.words (COPY = pg_catalog.simple);
CREATE PUBLICATION feed FOR TABLE shop.item;
CREATE EVENT TRIGGER watch ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION shop.watch();
CREATE FOREIGN DATA WRAPPER wire; CREATE SERVER far FOREIGN DATA WRAPPER wire OPTIONS (host 'a');
CREATE FOREIGN TABLE shop.remote (a int) SERVER far OPTIONS (relation 'x');
"""
ORDERS = "OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >, FUNCTION 1 btint4cmp(int, int)"
CHANGES = {
    "owner of the database": "ALTER DATABASE app OWNER TO app_user",
    "rights of the database": "REVOKE TEMPORARY ON DATABASE app FROM PUBLIC",
    "settings of the owner in all databases": "ALTER ROLE app_owner SET search_path = shop",
    "settings of all roles in all databases": "ALTER ROLE ALL SET app.tenant = 'one'",
    "settings of our role in all databases": "ALTER ROLE cutover SET work_mem = '5MB'",
    "row security of the owner": "ALTER ROLE app_owner BYPASSRLS",
    "row security of our role": "ALTER ROLE cutover BYPASSRLS",
    "inheritance of a role that has rights": "ALTER ROLE app_user NOINHERIT",
    "membership of a role that has rights": "GRANT pg_read_all_data TO app_user",
    "membership of its group": "GRANT lender TO readers",
    "membership of our role": "GRANT lender TO cutover",
    "membership of a role that the plan names": "GRANT lender TO stranger",
    "default privileges": "ALTER DEFAULT PRIVILEGES FOR ROLE app_owner REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC",
    "check of a domain": "ALTER DOMAIN shop.code ADD CHECK (VALUE <> '')",
    "domain that is not null": "ALTER DOMAIN shop.code SET NOT NULL",
    "type of a domain": "DROP DOMAIN shop.size; CREATE DOMAIN shop.size AS bigint",
    "attribute of a composite type": "ALTER TYPE shop.pair ADD ATTRIBUTE z int",
    "rule": "CREATE RULE kept AS ON DELETE TO shop.item DO INSTEAD NOTHING",
    "partition that is attached": "ALTER TABLE shop.part ATTACH PARTITION shop.part_2 DEFAULT",
    "partition that is detached": "ALTER TABLE shop.part DETACH PARTITION shop.part_1",
    "bounds of a partition": "ALTER TABLE shop.part DETACH PARTITION shop.part_1;"
    "ALTER TABLE shop.part ATTACH PARTITION shop.part_1 FOR VALUES FROM ('2020-01-01') TO ('2020-07-01')",
    "parents of a table": "ALTER TABLE shop.child NO INHERIT shop.base",
    "order of columns": "ALTER TABLE shop.wide DROP a, ADD a int",
    "materialized view that is not filled": "REFRESH MATERIALIZED VIEW shop.sum WITH NO DATA",
    "end of a sequence": "ALTER SEQUENCE shop.counter MAXVALUE 1000",
    "cycle of a sequence": "ALTER SEQUENCE shop.counter CYCLE",
    "owner of a sequence": "ALTER SEQUENCE shop.counter OWNED BY shop.item.id",
    "rows of a publication": "ALTER PUBLICATION feed SET TABLE shop.item WHERE (id > 0)",
    "columns of a publication": "ALTER PUBLICATION feed SET TABLE shop.item (id, name)",
    "roots of a publication": "ALTER PUBLICATION feed SET (publish_via_partition_root = true)",
    "index that is the replica identity": "ALTER TABLE shop.item REPLICA IDENTITY USING INDEX item_name",
    "index that is not valid": "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'shop.item_note'::regclass",
    "cast": "CREATE CAST (shop.pair AS text) WITH FUNCTION shop.as_text(shop.pair)",
    "operator": "CREATE OPERATOR shop.## (FUNCTION = int4pl, LEFTARG = int, RIGHTARG = int)",
    "operator class": f"CREATE OPERATOR CLASS shop.ordered FOR TYPE int USING btree AS {ORDERS}",
    "function of an aggregate": "DROP AGGREGATE shop.total(int); CREATE AGGREGATE shop.total(int) (SFUNC = int4mi, STYPE = int)",
    "function that is strict": "ALTER FUNCTION shop.f(int) STRICT",
    "default of an argument": "CREATE OR REPLACE FUNCTION shop.f(a int DEFAULT 1) RETURNS int LANGUAGE sql AS 'SELECT $1'",
    "collation": "DROP COLLATION shop.order_of; CREATE COLLATION shop.order_of (locale = 'POSIX')",
    "text search": "ALTER TEXT SEARCH CONFIGURATION shop.words DROP MAPPING FOR url",
    "statistics": "CREATE STATISTICS shop.both ON id, name FROM shop.item",
    "tags of an event trigger": "DROP EVENT TRIGGER watch;"
    "CREATE EVENT TRIGGER watch ON ddl_command_end WHEN TAG IN ('DROP TABLE') EXECUTE FUNCTION shop.watch()",
    "options of a foreign server": "ALTER SERVER far OPTIONS (SET host 'b')",
    "options of a foreign table": "ALTER FOREIGN TABLE shop.remote OPTIONS (SET relation 'y')",
    "options of a foreign column": "ALTER FOREIGN TABLE shop.remote ALTER a OPTIONS (name 'z')",
    "user mapping": "CREATE USER MAPPING FOR app_user SERVER far",
}
NOTHING = {
    "rows": "INSERT INTO shop.item VALUES (1, 'x'); REFRESH MATERIALIZED VIEW shop.sum; SELECT nextval('shop.counter'); ANALYZE",
    "large object": "SELECT lo_from_bytea(4711, 'x'); ALTER LARGE OBJECT 4711 OWNER TO stranger",
    "colleague who joins the readers": "GRANT readers TO stranger",
    "role that has nothing to do with it": "ALTER ROLE stranger SET work_mem = '5MB'; ALTER ROLE stranger BYPASSRLS",
    "settings of the owner in another database": "ALTER ROLE app_owner IN DATABASE postgres SET work_mem = '5MB'",
    "password of a foreign server": "CREATE USER MAPPING FOR PUBLIC SERVER far OPTIONS (password 'a');"
    "ALTER USER MAPPING FOR PUBLIC SERVER far OPTIONS (SET password 'b'); DROP USER MAPPING FOR PUBLIC SERVER far",
}
PLAN = RehearsalPlan(sha256="of these files")


@pytest.fixture
async def site(cluster: Cluster, tmp_path: Path) -> Site:
    made = await make_site(cluster, tmp_path)
    made.execute(OBJECTS, "app")
    return made


@pytest.fixture(autouse=True)
def no_settings_of_all(cluster: Cluster) -> Iterator[None]:
    """They would outlive the test."""
    yield
    cluster.execute("ALTER ROLE ALL RESET ALL")


async def identity(site: Site, plan: RehearsalPlan = PLAN) -> str:
    return str((await find(site.server, plan))["identity"])


@pytest.mark.parametrize("change", CHANGES)
async def test_whatever_decides_what_a_rehearsal_finds_is_in_its_identity(site: Site, change: str) -> None:
    """Found: each of these left a rehearsal on record, and failed in the window alone."""
    plan = replace(PLAN, roles=("stranger",))
    before = await identity(site, plan)
    site.execute(CHANGES[change], "app")
    assert await identity(site, plan) != before


@pytest.mark.parametrize("change", NOTHING)
async def test_what_decides_nothing_leaves_the_rehearsal_on_record(site: Site, change: str) -> None:
    before = await identity(site)
    site.execute(NOTHING[change], "app")
    assert await identity(site) == before


async def test_a_temporary_table_is_nobodys_business(site: Site) -> None:
    before = await identity(site)
    site.execute("CREATE ROLE passing")
    with site.cluster.superuser("app") as conn:
        conn.execute("SET ROLE passing; CREATE TEMPORARY TABLE mine (id int)")
        assert await identity(site) == before


async def test_a_rehearsal_by_another_role_or_release_is_another_and_a_patch_is_not(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found: what was rehearsed as a superuser let a role without rights into the window."""
    before = await identity(site)
    as_superuser = replace(site.server, url=site.cluster.superuser_url("app"))
    assert (await find(as_superuser, PLAN))["identity"] != before
    found = {}
    for version in ("1.4.0", "1.4.7", "1.5.0"):
        monkeypatch.setattr(rehearsal_record, "version", lambda name, version=version: version)
        found[version] = await identity(site)
    assert found["1.4.0"] == found["1.4.7"] != found["1.5.0"]


async def test_the_name_of_a_database_is_not_in_its_identity(site: Site) -> None:
    """A copy has two names while it is rehearsed on."""
    async with session(site.server, "app") as conn:
        before = await read_identity(conn)
    site.execute("ALTER DATABASE app RENAME TO app_copy")
    async with session(site.server, "app_copy") as conn:
        assert await read_identity(conn) == before


async def test_a_right_that_is_granted_to_a_role_leaves_a_kept_copy_fit_to_go_on_from(site: Site) -> None:
    """`--again` after a GRANT of a role is what it is for: the copy on the same server has it as well."""
    async with session(site.server, "app") as conn:
        before, around = await read_identity(conn), await read_parts(conn)
        site.execute("GRANT lender TO app_user; ALTER ROLE app_owner SET search_path = shop; ALTER ROLE cutover BYPASSRLS")
        assert (await read_identity(conn), await read_parts(conn) == around) == (before, False)
