"""A copy that was restored faithfully is what production is, by every line of its identity; and one that is not is named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.copies import restore_on
from support.new_database import Site, make_site
from support.production import CONTENT, attempt_id
from support.servers import Cluster, Clusters, running_clusters

from cutoverd.daemon.postgres.backup.backups import PgDump
from cutoverd.daemon.postgres.backup.rehearsal_record import RehearsalPlan
from cutoverd.daemon.postgres.precheck import given_copy
from cutoverd.states.errors import Unfit

pytestmark = pytest.mark.both_versions


@pytest.fixture(scope="session")
def others() -> Iterator[Clusters]:
    with running_clusters() as session:
        yield session


@pytest.fixture
def other(cluster: Cluster, others: Clusters, tmp_path: Path) -> Iterator[Cluster]:
    """Another server of the same version, with an empty database `app` and the same roles."""
    folder = tmp_path / "other"
    folder.mkdir()
    yield others.fresh(str(cluster.major), folder)
    others.clean(str(cluster.major))


@pytest.fixture
async def site(cluster: Cluster, tmp_path: Path) -> Site:
    made = await make_site(cluster, tmp_path)
    cluster.execute("DROP DATABASE app_next")
    cluster.execute(CONTENT, "app")
    return made


def backups(site: Site, other: Cluster) -> PgDump:
    plan = RehearsalPlan(sha256="of these files", database=other.url())
    return PgDump(site.server, site.folder / "backups", 1, site.scripts([]), rehearsal=plan)


INTRICATE = """
CREATE ROLE creator SUPERUSER; CREATE SCHEMA shop AUTHORIZATION app_owner;
SET ROLE creator; CREATE EXTENSION citext SCHEMA shop; CREATE EXTENSION pg_stat_statements SCHEMA shop; RESET ROLE;
GRANT EXECUTE ON FUNCTION shop.pg_stat_statements_reset TO app_user;
SET search_path = shop, public;
CREATE FUNCTION f(int DEFAULT 1) RETURNS int LANGUAGE sql IMMUTABLE SET search_path = shop, "$user" AS 'SELECT $1';
CREATE FUNCTION known(text) RETURNS text LANGUAGE sql AS 'SELECT $1';
CREATE PROCEDURE act() LANGUAGE sql BEGIN ATOMIC SELECT f(); END;
CREATE DOMAIN code AS text DEFAULT known('a') NOT NULL CONSTRAINT odd CHECK (known(VALUE) <> '');
ALTER DOMAIN code RENAME TO codes;
CREATE TYPE colour AS ENUM ('red', 'blue'); ALTER TYPE colour ADD VALUE 'green' BEFORE 'blue';
CREATE TYPE pair AS (x int, gone int, y codes); ALTER TYPE pair DROP ATTRIBUTE gone;
CREATE TYPE span AS RANGE (SUBTYPE = float8, SUBTYPE_DIFF = float8mi);
CREATE TABLE wide (gone int, a int GENERATED ALWAYS AS IDENTITY (MAXVALUE 99 CYCLE), b citext, c colour DEFAULT 'red', d span);
ALTER TABLE wide DROP gone, ADD PRIMARY KEY (a), ADD e int, ADD CHECK (f(e) > 0) NOT VALID;
CREATE UNIQUE INDEX wide_b ON wide (b) INCLUDE (c) WHERE a > 0; CREATE INDEX wide_e ON wide (f(e)) ;
ALTER TABLE wide ALTER b SET NOT NULL; CREATE UNIQUE INDEX other ON wide (b); ALTER TABLE wide REPLICA IDENTITY USING INDEX other;
UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'wide_e'::regclass;
CREATE RULE kept AS ON DELETE TO wide WHERE old.a = 1 DO INSTEAD NOTHING;
CREATE TABLE base (a int, b int); CREATE TABLE child (c int, b int, a int);
ALTER TABLE child INHERIT base; ALTER TABLE base ADD z int;
CREATE TABLE part (at date, n int, PRIMARY KEY (at, n)) PARTITION BY RANGE (at);
CREATE TABLE part_1 (n int NOT NULL, gone int, at date NOT NULL); ALTER TABLE part_1 DROP gone;
ALTER TABLE part ATTACH PARTITION part_1 FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
CREATE TABLE part_d PARTITION OF part DEFAULT PARTITION BY LIST (n); CREATE INDEX ON ONLY part (n);
CREATE SEQUENCE counter AS smallint INCREMENT -1 CACHE 5 OWNED BY wide.a; SELECT nextval('counter');
CREATE MATERIALIZED VIEW filled AS SELECT * FROM wide; CREATE MATERIALIZED VIEW empty AS SELECT 1 AS n WITH NO DATA;
CREATE VIEW guarded WITH (security_barrier, check_option = local) AS SELECT * FROM wide WHERE a > 1;
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN new; END$$;
CREATE TRIGGER noted BEFORE INSERT ON part FOR EACH ROW EXECUTE FUNCTION note(); ALTER TABLE base DISABLE TRIGGER ALL;
ALTER TABLE wide ENABLE ROW LEVEL SECURITY; CREATE POLICY few ON wide TO cutover, app_user, app_owner USING (f(e) = 1);
CREATE PUBLICATION feed FOR TABLE wide (c, a, b) WHERE (a > 1), part WITH (publish_via_partition_root);
CREATE PUBLICATION schemas FOR TABLES IN SCHEMA public, shop;
CREATE PUBLICATION everything FOR ALL TABLES WITH (publish = 'insert');
CREATE FUNCTION add(codes, codes) RETURNS codes LANGUAGE sql AS 'SELECT $1';
CREATE OPERATOR === (FUNCTION = add, LEFTARG = codes, RIGHTARG = codes, COMMUTATOR = ===);
CREATE OPERATOR CLASS ordered FOR TYPE int USING btree AS
    OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >, FUNCTION 1 btint4cmp(int, int);
ALTER OPERATOR FAMILY ordered USING btree ADD OPERATOR 1 < (int, int8), FUNCTION 1 (int, int8) btint48cmp(int, int8);
CREATE FUNCTION as_text(pair) RETURNS text LANGUAGE sql AS 'SELECT $1.y::text';
CREATE CAST (pair AS text) WITH FUNCTION as_text(pair);
CREATE AGGREGATE total(int) (SFUNC = int4pl, STYPE = int, INITCOND = 0, SORTOP = <);
CREATE COLLATION order_of (locale = 'C'); CREATE TEXT SEARCH DICTIONARY plain (TEMPLATE = pg_catalog.simple, STOPWORDS = english);
CREATE TEXT SEARCH CONFIGURATION words (COPY = pg_catalog.simple);
ALTER TEXT SEARCH CONFIGURATION words ALTER MAPPING FOR word WITH plain, simple;
CREATE STATISTICS distinct_ones (ndistinct) ON a, b FROM wide;
CREATE FUNCTION watch() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN END$$;
CREATE EVENT TRIGGER watch ON ddl_command_end WHEN TAG IN ('DROP TABLE', 'CREATE VIEW') EXECUTE FUNCTION watch();
CREATE FOREIGN DATA WRAPPER wire OPTIONS (b '1', a '2'); CREATE SERVER far FOREIGN DATA WRAPPER wire OPTIONS (host 'a');
GRANT USAGE ON FOREIGN SERVER far TO app_user; CREATE USER MAPPING FOR app_user SERVER far OPTIONS (password 'x');
CREATE FOREIGN TABLE remote (a int OPTIONS (name 'z')) SERVER far OPTIONS (relation 'x');
ALTER DEFAULT PRIVILEGES FOR ROLE app_owner REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE app_owner IN SCHEMA shop GRANT INSERT, SELECT ON TABLES TO app_user WITH GRANT OPTION;
SET ROLE app_owner; GRANT SELECT, INSERT ON store.log TO app_user WITH GRANT OPTION;
SET ROLE app_user; GRANT SELECT ON store.log TO cutover; GRANT INSERT (line) ON store.log TO PUBLIC; RESET ROLE;
ALTER ROLE app_owner SET work_mem = '5MB'; GRANT pg_read_all_settings TO app_user;
"""
ELSEWHERE = "ALTER SERVER far OPTIONS (SET host 'nowhere'); DROP USER MAPPING FOR app_user SERVER far"


async def test_a_faithful_restore_is_what_production_is_however_it_came_about(site: Site, other: Cluster) -> None:
    """Found: an enum with a value put in later, a policy of several roles, a domain's default and an extension of another
    superuser were taken for others."""
    site.execute(INTRICATE, "app")
    other.execute("CREATE ROLE creator")
    restore_on(other, site.cluster)
    port = backups(site, other)
    await port.find_rehearsal(attempt_id("find"))
    other.execute(ELSEWHERE, "app")
    await port.find_rehearsal(attempt_id("find"))


DIFFERENT = {
    "column store.machine.kind": "ALTER TABLE store.machine ADD kind int",
    "default privileges of app_owner for r in store": "ALTER DEFAULT PRIVILEGES FOR ROLE app_owner IN SCHEMA store"
    " REVOKE SELECT ON TABLES FROM app_user",
    "constraint kind_check of domain public.kind": "ALTER DOMAIN public.kind ADD CHECK (VALUE <> '')",
    "rule kept of store.log": "CREATE RULE kept AS ON DELETE TO store.log DO INSTEAD NOTHING",
    "sequence store.log_id_seq": "ALTER SEQUENCE store.log_id_seq CYCLE",
}


async def test_what_decides_is_compared_with_the_copy_by_name(site: Site, other: Cluster) -> None:
    """Found: the same holes as in what is on record let a copy pass for what production is."""
    site.execute("CREATE DOMAIN public.kind AS text", "app")
    restore_on(other, site.cluster)
    for change in DIFFERENT.values():
        other.execute(change, "app")
    with pytest.raises(Unfit) as unfit:
        await backups(site, other).find_rehearsal(attempt_id("find"))
    named = str(unfit.value).partition("nothing would be proven: ")[2].partition(": make the copy anew")[0].split(", ")
    assert {each.partition(" is ")[0] for each in named} == {*DIFFERENT}


MADE = "CREATE DATABASE app OWNER app_owner TEMPLATE template0 LOCALE 'C' LOCALE_PROVIDER "


async def test_a_copy_of_another_locale_of_the_same_provider_is_refused(site: Site, other: Cluster) -> None:
    """Found: its provider was compared, and which locale of it was not."""
    kind, locales = ("icu ICU_LOCALE", ("de", "sv")) if site.cluster.major < 17 else ("builtin BUILTIN_LOCALE", ("C.UTF-8", "C"))
    for cluster, locale in zip((site.cluster, other), locales, strict=True):
        cluster.execute("DROP DATABASE app")
        cluster.execute(f"{MADE} {kind} '{locale}'")
        cluster.execute(CONTENT, "app")
        cluster.execute("GRANT CONNECT ON DATABASE app TO PUBLIC")
    with pytest.raises(Unfit) as unfit:
        await backups(site, other).find_rehearsal(attempt_id("find"))
    [reason] = unfit.value.evidence["reasons"]
    assert reason.endswith(f"its locale is {locales[1]} and production's is {locales[0]}: make it anew with that")


async def test_a_server_that_sorts_by_another_library_is_a_warning(
    site: Site, other: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few teams have a second one with the same."""
    restore_on(other, site.cluster)
    assert (await backups(site, other).find_rehearsal(attempt_id("find"))).get("warnings", []) == []
    version_of_port = "SELECT current_setting('port') FROM (SELECT %s::oid) AS asked"  # stands for two libraries
    monkeypatch.setattr(given_copy, "SORTED_BY", version_of_port)
    [warning] = (await backups(site, other).find_rehearsal(attempt_id("find")))["warnings"]
    assert f"sorts text by collation version {other.port}, production's by {site.cluster.port}" in warning
