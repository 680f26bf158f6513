"""What a role could not do in old and can do in new: found by name, all at once, and waived by name."""

from __future__ import annotations

import pytest
from support.servers import Cluster

from cutoverd.daemon.postgres.compare.compare import Comparison
from cutoverd.daemon.postgres.validation.grants import check_grants
from cutoverd.states.errors import CheckFailed
from cutoverd.states.ports import Evidence

pytestmark = pytest.mark.both_versions
LEGACY = """
CREATE TABLE item (id int, tenant text, name text);
ALTER TABLE item ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY mine ON item TO app_user USING (tenant = 'a');
CREATE TABLE plain (id int, secret text);
CREATE TABLE part (id int, tenant text) PARTITION BY RANGE (id);
CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (100);
ALTER TABLE part ENABLE ROW LEVEL SECURITY;
CREATE VIEW v_item WITH (security_invoker = true) AS SELECT id, name FROM item;
CREATE VIEW v_open AS SELECT id FROM plain;
CREATE VIEW v_wall WITH (security_barrier) AS SELECT id FROM plain WHERE id > 0;
CREATE VIEW v_mine AS SELECT id FROM plain WHERE id > 0 WITH CHECK OPTION;
CREATE VIEW v_deep AS SELECT id FROM v_wall WITH CHECK OPTION;
CREATE FUNCTION call(int) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION as_owner() RETURNS int LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog AS 'SELECT 1';
REVOKE ALL ON FUNCTION call(int), as_owner() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION as_owner() TO app_user;
GRANT SELECT ON item, v_item, v_open, v_wall TO app_user;
SELECT lo_create(77);
GRANT SELECT ON LARGE OBJECT 77 TO app_user;
ALTER DEFAULT PRIVILEGES REVOKE USAGE ON TYPES FROM PUBLIC;
"""
PAST = "a view reads past row level security"
EVERYBODY = "everybody can do what not everybody could"
BELOW = "a new table without row level security is granted, below one that has it"
FOLLOWS = "row level security does not follow the rows"
NEW = "CREATE SCHEMA shop; CREATE TABLE shop.tb_item (id int, tenant text, name text); GRANT SELECT ON shop.tb_item TO app_user;"
SECURED = f"{NEW} ALTER TABLE shop.tb_item ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;"
MOVED = [Comparison("items", "SELECT id FROM item", "SELECT id FROM shop.tb_item", ("id",))]
WIDENED = {
    "CREATE OR REPLACE VIEW v_item AS SELECT id, name FROM item": {
        "a view has lost security_invoker: it shows what its owner may see": ["public.v_item"]
    },
    "DROP VIEW v_item; CREATE VIEW v_item AS SELECT id, name FROM item; GRANT SELECT ON v_item TO app_user": {
        "a view has lost security_invoker: it shows what its owner may see": ["public.v_item"]
    },
    "ALTER VIEW v_wall RESET (security_barrier)": {"a view has lost security_barrier": ["public.v_wall"]},
    "CREATE OR REPLACE VIEW v_mine AS SELECT id FROM plain WHERE id > 0": {
        "a view has lost its CHECK OPTION: rows that it does not show can be written by it": ["public.v_mine"]
    },
    "CREATE OR REPLACE VIEW v_deep AS SELECT id FROM v_wall WITH LOCAL CHECK OPTION": {
        "a view's CHECK OPTION is LOCAL now: what views below it do not show can be written by it": ["public.v_deep"]
    },
    "CREATE OR REPLACE VIEW v_mine AS SELECT id FROM v_wall WITH LOCAL CHECK OPTION": {
        "a view's CHECK OPTION is LOCAL now: what views below it do not show can be written by it": ["public.v_mine"]
    },
    "ALTER TABLE item NO FORCE ROW LEVEL SECURITY; CREATE VIEW v_all AS SELECT * FROM item; GRANT SELECT ON v_all TO app_user": {
        PAST: ["public.v_all (of public.item)"],
        "row level security is not forced on the owner": ["public.item"],
    },
    "CREATE MATERIALIZED VIEW m AS SELECT 1 AS x FROM item WITH NO DATA; GRANT SELECT ON m TO app_user": {
        PAST: ["public.m (of public.item)"]
    },
    "ALTER TABLE item NO FORCE ROW LEVEL SECURITY; CREATE VIEW v_over AS TABLE v_item; GRANT SELECT ON v_over TO app_user": {
        PAST: ["public.v_over (of public.item)"],
        "row level security is not forced on the owner": ["public.item"],
    },
    "ALTER POLICY mine ON item USING (true)": {"policy reads otherwise than in old": ["mine on public.item"]},
    "CREATE POLICY more ON item USING (true)": {"policy is new and lets more rows through": ["more on public.item"]},
    "ALTER TABLE item DISABLE ROW LEVEL SECURITY": {"row level security is off": ["public.item"]},
    "ALTER TABLE item RENAME TO kept; ALTER TABLE kept DISABLE ROW LEVEL SECURITY": {
        "row level security is off": ["public.item, now public.kept"]
    },
    "CREATE SCHEMA s; ALTER TABLE item SET SCHEMA s; ALTER POLICY mine ON s.item USING (true)": {
        "policy reads otherwise than in old": ["mine on s.item"]
    },
    "GRANT SELECT ON LARGE OBJECT 77 TO PUBLIC": {EVERYBODY: ["SELECT on large object 77"]},
    "ALTER DEFAULT PRIVILEGES GRANT USAGE ON TYPES TO PUBLIC": {EVERYBODY: ["USAGE by default privileges of app_owner on types"]},
    "GRANT SELECT ON plain TO PUBLIC": {EVERYBODY: ["SELECT on public.plain"]},
    "GRANT SELECT (secret) ON plain TO PUBLIC": {EVERYBODY: ["SELECT on column public.plain.secret"]},
    "GRANT EXECUTE ON FUNCTION call(int) TO PUBLIC": {EVERYBODY: ["EXECUTE on function public.call(integer)"]},
    "DROP FUNCTION call(int); CREATE FUNCTION call(int) RETURNS int LANGUAGE sql AS 'SELECT 2'": {
        EVERYBODY: ["EXECUTE on function public.call(integer)"]
    },
    "ALTER FUNCTION call(int) SECURITY DEFINER": {"a function has become SECURITY DEFINER": ["public.call(integer)"]},
    "ALTER FUNCTION as_owner() RESET search_path": {
        "a SECURITY DEFINER function has lost its search_path": ["public.as_owner()"]
    },
    "CREATE FUNCTION backdoor() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'": {
        EVERYBODY: ["EXECUTE on function public.backdoor()"]
    },
    "CREATE TABLE n (id int); GRANT SELECT ON n TO PUBLIC": {EVERYBODY: ["SELECT on public.n"]},
    "CREATE SCHEMA shop; GRANT CREATE, USAGE ON SCHEMA shop TO PUBLIC": {EVERYBODY: ["CREATE on schema shop"]},
    "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC": {
        EVERYBODY: ["SELECT by default privileges of app_owner on tables"]
    },
    f"{NEW} DROP TABLE item CASCADE; CREATE VIEW v_item AS SELECT id FROM shop.tb_item; GRANT SELECT ON v_item TO app_user": {
        "a view has lost security_invoker: it shows what its owner may see": ["public.v_item"],
        FOLLOWS: ["public.item → shop.tb_item (comparison items)"],
    },
    "DROP VIEW v_item; CREATE MATERIALIZED VIEW v_item AS SELECT FROM item WITH NO DATA; GRANT SELECT ON v_item TO app_user": {
        "a view has lost security_invoker: it shows what its owner may see": ["public.v_item"]
    },
    "DROP VIEW v_item; CREATE TABLE v_item (id int); GRANT SELECT ON v_item TO app_user": {
        "a view with security_invoker is a table without row level security now": ["public.v_item"]
    },
    f"{SECURED} ALTER TABLE shop.tb_item NO FORCE ROW LEVEL SECURITY; DROP TABLE item CASCADE;"
    "CREATE VIEW item AS TABLE shop.tb_item; GRANT SELECT ON item TO app_user": {PAST: ["public.item (of shop.tb_item)"]},
    f"{NEW} DROP TABLE item CASCADE; CREATE VIEW item AS TABLE shop.tb_item; GRANT SELECT ON item TO app_user": {
        "row level security is off": ["public.item"]
    },
    "CREATE TABLE part_2 PARTITION OF part FOR VALUES FROM (100) TO (200); GRANT SELECT (id) ON part_2 TO app_user": {
        BELOW: ["public.part_2 (below public.part) to app_user"]
    },
    "ALTER TABLE part_1 RENAME TO part_0; GRANT SELECT ON part_0 TO app_user": {
        BELOW: ["public.part_0 (below public.part) to app_user"]
    },
    "CREATE TABLE child () INHERITS (item); CREATE TABLE below () INHERITS (child); GRANT SELECT ON below TO app_user": {
        BELOW: ["public.below (below public.item) to app_user"]
    },
    "SET ROLE postgres; ALTER TABLE item NO FORCE ROW LEVEL SECURITY; ALTER TABLE item OWNER TO app_user": {
        "row level security does not hold for a new owner": ["public.item (app_user)"]
    },
    f"{SECURED} ALTER TABLE shop.tb_item NO FORCE ROW LEVEL SECURITY": {
        "row level security is not forced on the owner where the rows went": ["public.item → shop.tb_item (comparison items)"]
    },
}
FINE = {
    "": "a plain clone",
    "CREATE OR REPLACE VIEW v_item WITH (security_invoker) AS SELECT id, name FROM item": "a view that is made again as it was",
    "CREATE OR REPLACE VIEW v_open AS SELECT id FROM plain WHERE id > 1": "a view that never was its caller's",
    "ALTER TABLE item RENAME COLUMN tenant TO tenant_id": "a renamed column: the server writes the policy otherwise",
    "CREATE POLICY less ON item AS RESTRICTIVE USING (id > 0)": "a policy that takes away",
    "CREATE FUNCTION plain_one() RETURNS int LANGUAGE sql AS 'SELECT 1'": "a new function with its caller's rights",
    "CREATE FUNCTION t() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN RETURN NEW; END'": "nobody calls a trigger",
    "CREATE SCHEMA shop; GRANT USAGE ON SCHEMA shop TO PUBLIC": "entering a schema shows nothing by itself",
    f"{SECURED} CREATE POLICY mine ON shop.tb_item TO app_user USING (tenant = 'a')": "security that follows the rows",
    f"{SECURED} DROP VIEW v_item; DROP TABLE item; CREATE VIEW item WITH (security_invoker) AS SELECT * FROM shop.tb_item;"
    "GRANT SELECT ON item TO app_user": "a view of the old name that leaves it to the table below",
    "CREATE TABLE part_2 PARTITION OF part FOR VALUES FROM (100) TO (200); ALTER TABLE part_2 ENABLE ROW LEVEL SECURITY;"
    "GRANT SELECT ON part_2 TO app_user": "a new partition that is secured itself",
    "CREATE TABLE part_2 PARTITION OF part FOR VALUES FROM (100) TO (200)": "a new partition that nobody else may read",
    "GRANT SELECT ON part_1 TO app_user": "a partition that old had, which is a warning",
    "CREATE VIEW secret AS SELECT * FROM item": "a view that nobody else may read",
    "CREATE OR REPLACE VIEW v_mine AS SELECT id FROM plain WHERE id > 0 WITH LOCAL CHECK OPTION": "LOCAL, with no view below",
}


def prepare(cluster: Cluster) -> None:
    cluster.execute("GRANT ALL ON SCHEMA public TO app_owner; GRANT CREATE ON DATABASE app TO app_owner", "app")
    cluster.execute("SET ROLE app_owner;" + LEGACY, "app")
    cluster.execute("ALTER DATABASE app RENAME TO app_previous; ALTER ROLE cutover BYPASSRLS")


def renew(cluster: Cluster, scripts: str) -> None:
    cluster.execute("DROP DATABASE IF EXISTS app_next")
    cluster.execute("CREATE DATABASE app_next TEMPLATE app_previous OWNER app_owner")
    cluster.execute("SET ROLE app_owner; SELECT 1;" + scripts, "app_next")


async def judged(cluster: Cluster, scripts: str = "", **waive: str) -> Evidence:
    comparisons = MOVED if "shop.tb_item" in scripts else []
    return await check_grants(cluster.server(), waive, new="app_next", old="app_previous", comparisons=comparisons)


@pytest.mark.long
async def test_each_right_that_is_wider_than_in_old_is_named_and_can_be_waived_by_name(cluster: Cluster) -> None:
    """Found: a view that lost security_invoker showed every tenant's rows, and the run completed."""
    prepare(cluster)
    for scripts, expected in WIDENED.items():
        renew(cluster, scripts)
        with pytest.raises(CheckFailed) as failed:
            await judged(cluster, scripts)
        found = failed.value.evidence["found"]
        assert {what: found.get(what) for what in expected} == expected, (scripts, found)
        assert "wider than in old" in failed.value.hint
        waived = await judged(cluster, scripts, **{text: "it is meant" for texts in found.values() for text in texts})
        assert len(waived["waived"]) == sum(map(len, found.values())), scripts


async def test_what_gives_nobody_more_than_in_old_is_fine(cluster: Cluster) -> None:
    prepare(cluster)
    for scripts, why in FINE.items():
        renew(cluster, scripts)
        assert (await judged(cluster, scripts))["waived"] == {}, why


async def test_what_a_named_role_was_given_is_said_and_lets_the_run_go_on(cluster: Cluster) -> None:
    prepare(cluster)
    renew(cluster, "GRANT DELETE ON plain TO app_user")
    assert "app_user can do more than in old: DELETE on public.plain" in (await judged(cluster))["warnings"]
