"""What holds up those steps of a rehearsal that no row of the ledger does: a lock, SQL of production, a view of the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SCRIPTS = {  # as those of a night: by `store.stand_still`
    "precheck.prove_backup.restore": "restore",
    "validate.time_query:machines": "query_machines",
}
LOCKS = {  # as those of a night: what the step reads or writes, and none of those before and after it that a kill repeats
    "data.set_sequences": ("postgres", "app_try_n", "fleet.tally"),
    "data.analyze": ("postgres", "app_try_n", "fleet.machine"),
    "validate.check_coverage": ("postgres", "app_try_p", "store.machine"),
    "validate.check_grants": ("postgres", "app_try_n", "pg_default_acl"),
    "validate.check_invariants": ("postgres", "app_try_n", "fleet.tally"),
    "precheck.check_copy": ("postgres", "app_try", "store.machine"),
    "precheck.record_rehearsal": ("postgres", "cutoverd", "cutoverd.rehearsals"),
    "precheck.drop_copy": ("postgres", "cutoverd", "cutoverd.counters"),
}
QUERY = {
    "name": "machines",
    "old": "SELECT id FROM store.machine WHERE store.stand_still('query_machines')",
    "new": "SELECT id FROM fleet.machine",
    "no_slower_than": 1000,
}
# its rows are restored only when it lets them in; with a path of its own, for PreCheck tries what has none
RESTORED = """
SET ROLE app_owner;
CREATE FUNCTION store.may_be_restored() RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN store.stand_still('restore');
END $$;
ALTER TABLE store.log ADD CHECK (store.may_be_restored());
"""
# two steps only read, in the ledger: the counters, first of all that does so once another step is on record
READS = """
SET allow_system_table_mods = on;
CREATE TABLE night.reads (step, after) AS VALUES
    ('downtime.record_position', 'downtime.fence_old'), ('smoke.check_old_unchanged', 'validate.close_old');
GRANT SELECT ON night.reads TO PUBLIC;
CREATE FUNCTION night.may_read() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    FOR turn IN 1 .. 1200 LOOP
        EXIT WHEN NOT EXISTS (
            SELECT FROM night.stalled JOIN night.reads USING (step) JOIN cutoverd.step_log AS done ON done.step = reads.after
             WHERE done.direction = 'forward' AND done.finished);
        PERFORM pg_sleep(0.05);
    END LOOP;
    RETURN true;
END $$;
DO $$
BEGIN
    EXECUTE format('CREATE OR REPLACE VIEW pg_catalog.pg_stat_database AS SELECT * FROM (%s) AS counted WHERE night.may_read()',
                   rtrim(pg_get_viewdef('pg_catalog.pg_stat_database'::regclass), ';'));
END $$;
"""


def with_query(validate: Mapping[str, Any]) -> dict[str, Any]:
    """The plan's section, with a query to be timed."""
    return {**validate, "queries": [QUERY]}
