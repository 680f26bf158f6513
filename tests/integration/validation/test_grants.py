"""What a role could do in old and cannot do in new is found, all at once, and may be waived by name."""

from __future__ import annotations

import pytest
from support.servers import Cluster

from cutoverd.daemon.postgres.compare.compare import Comparison
from cutoverd.daemon.postgres.validation.grants import check_grants
from cutoverd.daemon.postgres.validation.own_role import OURS
from cutoverd.daemon.postgres.validation.widened import EVERYBODY
from cutoverd.states.errors import CheckFailed
from cutoverd.states.ports import Evidence

pytestmark = pytest.mark.both_versions
LEGACY = """
CREATE TABLE a (id int, v text, secret text);
CREATE TABLE b (id serial);
CREATE FUNCTION f(int) RETURNS int LANGUAGE sql AS 'SELECT 1';
REVOKE ALL ON FUNCTION f(int) FROM PUBLIC;
CREATE SCHEMA store;
CREATE TABLE store.c (id int);
CREATE VIEW store.v AS SELECT 1 AS x;
ALTER TABLE store.c ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON store.c FOR SELECT TO app_user USING (id > 0);
GRANT USAGE ON SCHEMA store TO app_user;
GRANT SELECT ON a, store.c TO app_user;
GRANT SELECT (id, v), UPDATE (v) ON a TO clerk;
GRANT INSERT ON b TO clerk;
GRANT USAGE ON SEQUENCE b_id_seq TO clerk;
GRANT EXECUTE ON FUNCTION f(int) TO robot;
GRANT SELECT ON store.v TO PUBLIC;
ALTER DEFAULT PRIVILEGES IN SCHEMA store GRANT SELECT ON TABLES TO app_user;
"""
ROLES = "CREATE ROLE clerk; CREATE ROLE robot; CREATE ROLE idle; CREATE ROLE clerks; GRANT clerks TO app_user;"


def clone(cluster: Cluster, scripts: str = "", *, legacy: str = LEGACY) -> None:
    """Old, and new made from it with `scripts` run there by the owner."""
    cluster.execute(ROLES)
    cluster.execute("GRANT ALL ON SCHEMA public TO app_owner; GRANT CREATE ON DATABASE app TO app_owner", "app")
    cluster.execute("SET ROLE app_owner;" + legacy, "app")
    cluster.execute("ALTER DATABASE app RENAME TO app_previous")
    cluster.execute("CREATE DATABASE app_next TEMPLATE app_previous OWNER app_owner")
    run(cluster, scripts)


def run(cluster: Cluster, scripts: str) -> None:
    cluster.execute("SET ROLE app_owner; SELECT 1;" + scripts, "app_next")


async def judged(cluster: Cluster, **waive: str) -> Evidence:
    return await check_grants(cluster.server(), waive, new="app_next", old="app_previous")


async def found(cluster: Cluster) -> dict[str, list[str]]:
    with pytest.raises(CheckFailed) as failed:
        await judged(cluster)
    assert "validate.grants.waive" in failed.value.hint
    return dict(failed.value.evidence["found"])


on_18 = pytest.mark.parametrize("cluster", ["18"], indirect=True)
LOST = "grant is lost"
FORCED_NO_MORE = "row level security is not forced on the owner"
BROKEN = {
    "REVOKE SELECT ON a FROM app_user": {LOST: ["SELECT on public.a to app_user"]},
    "ALTER TABLE b RENAME TO gone; CREATE TABLE b (id int)": {LOST: ["INSERT on public.b to clerk"]},
    "REVOKE USAGE ON SCHEMA store FROM app_user": {LOST: ["USAGE on schema store to app_user"]},
    "REVOKE UPDATE (v) ON a FROM clerk": {LOST: ["UPDATE on column public.a.v to clerk"]},
    "REVOKE USAGE ON SEQUENCE b_id_seq FROM clerk": {LOST: ["USAGE on public.b_id_seq to clerk"]},
    "REVOKE EXECUTE ON FUNCTION f(int) FROM robot": {LOST: ["EXECUTE on function public.f(integer) to robot"]},
    "REVOKE ALL ON store.v FROM PUBLIC": {LOST: ["SELECT on store.v to public"]},
    "ALTER DEFAULT PRIVILEGES IN SCHEMA store REVOKE SELECT ON TABLES FROM app_user": {
        LOST: ["SELECT by default privileges of app_owner in store on tables to app_user"]
    },
    "DROP POLICY own ON store.c": {"policy is lost or for others": ["own on store.c"]},
    "ALTER POLICY own ON store.c TO PUBLIC": {"policy is lost or for others": ["own on store.c"]},
    "ALTER TABLE store.c DISABLE ROW LEVEL SECURITY": {"row level security is off": ["store.c"]},
    "ALTER TABLE store.c NO FORCE ROW LEVEL SECURITY": {FORCED_NO_MORE: ["store.c"]},
    "DROP TABLE a; DROP TABLE b": {"nothing can be read any more by": ["clerk"], "nothing can be written any more by": ["clerk"]},
    "DROP FUNCTION f(int)": {"nothing can be run any more by": ["robot"]},
    # the classic: granted on the tables, and nobody may enter the schema
    "DROP TABLE a; DROP TABLE b; CREATE SCHEMA n; CREATE TABLE n.a (id int); GRANT SELECT, INSERT ON n.a TO clerk": {
        "nothing can be read any more by": ["clerk"],
        "nothing can be written any more by": ["clerk"],
    },
}


@pytest.mark.long
async def test_all_that_a_role_cannot_do_any_more_is_named(cluster: Cluster) -> None:
    clone(cluster)
    for scripts, expected in BROKEN.items():
        cluster.execute("DROP DATABASE app_next")
        cluster.execute("CREATE DATABASE app_next TEMPLATE app_previous OWNER app_owner")
        run(cluster, scripts)
        losses = await found(cluster)
        narrowed = {what: [text for text in losses.get(what, []) if text in texts] for what, texts in expected.items()}
        assert narrowed == expected, (scripts, losses)


@on_18
async def test_row_level_security_that_is_not_forced_any_more_is_named(cluster: Cluster) -> None:
    """Found: only whether it was on was read, so the owner, whom the application may log in as, saw all rows on new."""
    clone(cluster, "ALTER TABLE store.c NO FORCE ROW LEVEL SECURITY")
    assert await found(cluster) == {FORCED_NO_MORE: ["store.c"]}
    assert (await judged(cluster, **{"store.c": "the owner is the batch job"}))["waived"] == {
        f"{FORCED_NO_MORE}: store.c": "the owner is the batch job"
    }


FINE = {
    "": "a plain clone",
    "CREATE TABLE n (id int)": "new tables",
    "DROP TABLE a; CREATE TABLE x (id int, v text); GRANT SELECT ON x TO clerk, app_user": "other tables that are granted",
    "REVOKE SELECT ON a FROM app_user; GRANT SELECT ON a TO clerks": "the same right by another way",
    "DROP TABLE store.c; DROP VIEW store.v; ALTER DEFAULT PRIVILEGES IN SCHEMA store REVOKE SELECT ON TABLES FROM app_user;"
    "DROP SCHEMA store; CREATE VIEW seen AS SELECT 1 AS x; GRANT SELECT ON seen TO PUBLIC": "a schema that is gone",
}


async def test_what_is_carried_over_under_other_names_or_by_other_ways_is_fine(cluster: Cluster) -> None:
    clone(cluster)
    for scripts, why in FINE.items():
        cluster.execute("DROP DATABASE app_next")
        cluster.execute("CREATE DATABASE app_next TEMPLATE app_previous OWNER app_owner")
        run(cluster, scripts)
        assert (await judged(cluster))["waived"] == {}, why


@on_18
async def test_a_finding_is_waived_by_role_by_object_or_by_both_and_a_waiver_in_vain_is_named(cluster: Cluster) -> None:
    clone(cluster, "REVOKE SELECT ON a FROM app_user; DROP FUNCTION f(int); DROP POLICY own ON store.c")
    with pytest.raises(CheckFailed) as left:
        await judged(cluster, robot="it is retired")
    assert set(left.value.evidence["found"]) == {LOST, "policy is lost or for others"}
    waive = {"robot": "retired", "app_user on public.a": "reads the view", "store.c": "no tenants any more", "nobody": "?"}
    evidence = await judged(cluster, **waive)
    assert evidence["waived"] == {
        "grant is lost: SELECT on public.a to app_user": "reads the view",
        "nothing can be run any more by: robot": "retired",
        "policy is lost or for others: own on store.c": "no tenants any more",
    }
    assert evidence["unused"] == ["nobody"]


@on_18
async def test_a_role_that_reaches_none_of_the_new_tables_is_warned_of(cluster: Cluster) -> None:
    clone(cluster, "CREATE TABLE n (id int); GRANT SELECT ON n TO clerk")
    assert (await judged(cluster))["warnings"] == ["app_user reaches no table that old did not have"]


AS_CUTOVER = "SET ROLE cutover; CREATE SCHEMA zz; CREATE TABLE zz.tb_x (a int PRIMARY KEY); SET ROLE app_owner;"


async def test_what_set_role_none_left_to_the_daemons_own_role_is_named_with_the_statement_that_gives_it_back(
    cluster: Cluster,
) -> None:
    """Found: `SET ROLE NONE` in a data script, and the run completed with a table on which the owner had no right."""
    clone(cluster, AS_CUTOVER)
    assert await found(cluster) == {
        OURS: ["zz.tb_x (ALTER TABLE zz.tb_x OWNER TO app_owner)", "zz (ALTER SCHEMA zz OWNER TO app_owner)"]
    }
    assert set((await judged(cluster, zz="ours", **{"zz.tb_x": "ours"}))["waived"].values()) == {"ours"}
    run(cluster, "SET ROLE postgres; ALTER TABLE zz.tb_x OWNER TO app_owner; ALTER SCHEMA zz OWNER TO app_owner")
    assert (await judged(cluster))["waived"] == {}


async def test_what_belonged_to_the_daemons_own_role_in_old_may_in_new_also_under_another_name(cluster: Cluster) -> None:
    clone(cluster, legacy=f"{LEGACY} {AS_CUTOVER}")
    run(cluster, "SET ROLE cutover; ALTER TABLE zz.tb_x RENAME TO tb_y")
    assert (await judged(cluster))["waived"] == {}
    run(cluster, "SET ROLE cutover; DROP TABLE zz.tb_y; CREATE TABLE zz.tb_x (a int)")
    assert (await judged(cluster))["waived"] == {}


OTHER_KINDS = """
CREATE TYPE mood AS ENUM ('a', 'b');
CREATE DOMAIN amount AS int;
CREATE TYPE pair AS (a int, b int);
CREATE TYPE span AS RANGE (subtype = int);
CREATE TYPE secret AS ENUM ('a', 'b');
REVOKE USAGE ON TYPE secret FROM PUBLIC;
SET ROLE postgres;
CREATE FOREIGN DATA WRAPPER wrap;
CREATE SERVER far FOREIGN DATA WRAPPER wrap;
CREATE SERVER farther FOREIGN DATA WRAPPER wrap;
GRANT USAGE ON FOREIGN SERVER far TO clerk;
GRANT USAGE ON FOREIGN DATA WRAPPER wrap TO clerk;
"""
NARROWED = """
REVOKE USAGE ON TYPE mood, amount, pair, span FROM PUBLIC;
SET ROLE postgres;
REVOKE USAGE ON FOREIGN SERVER far FROM clerk;
REVOKE USAGE ON FOREIGN DATA WRAPPER wrap FROM clerk;
REVOKE USAGE ON LANGUAGE plpgsql FROM PUBLIC;
"""
EVERYBODYS = """
DROP TYPE secret;
CREATE TYPE secret AS ENUM ('a', 'b', 'c');
CREATE TYPE anew AS ENUM ();
SET ROLE postgres;
GRANT USAGE ON FOREIGN SERVER farther TO PUBLIC;
CREATE SERVER latest FOREIGN DATA WRAPPER wrap;
GRANT USAGE ON FOREIGN SERVER latest TO PUBLIC;
GRANT USAGE ON FOREIGN SERVER farther TO robot;
"""


async def test_rights_on_types_domains_languages_and_foreign_servers_are_compared(cluster: Cluster) -> None:
    """Found: none of them was, so a type that was made again was everybody's, and one that was taken away was not missed."""
    clone(cluster, NARROWED, legacy=LEGACY + OTHER_KINDS)
    types = [f"USAGE on type public.{name} to public" for name in ("amount", "mood", "pair", "span")]
    server, wrapper = "USAGE on foreign server far to clerk", "USAGE on foreign-data wrapper wrap to clerk"
    assert await found(cluster) == {LOST: [server, wrapper, "USAGE on language plpgsql to public", *types]}
    cluster.execute("DROP DATABASE app_next")
    cluster.execute("CREATE DATABASE app_next TEMPLATE app_previous OWNER app_owner")
    run(cluster, EVERYBODYS)
    servers = [f"USAGE on foreign server {name}" for name in ("farther", "latest")]
    assert await found(cluster) == {EVERYBODY: [servers[0], "USAGE on type public.secret", servers[1]]}
    assert set((await judged(cluster, public="it is meant"))["waived"].values()) == {"it is meant"}


@on_18
async def test_a_query_that_cannot_be_asked_hides_no_lost_grant(cluster: Cluster) -> None:
    """Found: its own comparison names it, and the grants were said to be wrong by it, too, and not by what was lost."""
    clone(cluster, "REVOKE SELECT ON a FROM app_user")
    wrong = [
        Comparison("renamed", "SELECT id FROM a", "SELECT label FROM a", ("id",)),
        Comparison("never there", "SELECT label FROM a", "SELECT id FROM a", ("id",)),
    ]
    with pytest.raises(CheckFailed) as failed:
        await check_grants(cluster.server(), {}, new="app_next", old="app_previous", comparisons=wrong)
    assert failed.value.evidence["found"] == {LOST: ["SELECT on public.a to app_user"]}
