"""Who leads a run is asked of PostgreSQL, and an answer that can be had is had."""

from __future__ import annotations

import pytest
from support.production import lead
from support.servers import Cluster

from cutoverd.daemon.postgres.ledger import claims

pytestmark = pytest.mark.parametrize("cluster", ["18"], indirect=True)
FULL_TWICE = """
CREATE SEQUENCE cutoverd.asked;
CREATE FUNCTION cutoverd.may_answer() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF nextval('cutoverd.asked') <= 2 THEN
        RAISE EXCEPTION 'could not write blocks 25..25: No space left on device' USING ERRCODE = '53100';
    END IF;
    RETURN true;
END $$;
ALTER TABLE cutoverd.claims RENAME TO claimed;
CREATE VIEW cutoverd.claims AS SELECT * FROM cutoverd.claimed WHERE cutoverd.may_answer();
GRANT ALL ON ALL TABLES IN SCHEMA cutoverd TO cutover;
GRANT ALL ON ALL SEQUENCES IN SCHEMA cutoverd TO cutover;
"""


async def test_on_a_full_disk_who_leads_is_asked_until_it_is_answered(cluster: Cluster) -> None:
    """Found: a step that had filled the disk was not known to have failed, for the question who leads failed by it as well."""
    await lead(cluster, epoch=1)
    server = cluster.server(epoch=1)
    assert await claims.claim(server, above=6) == 7
    cluster.execute(FULL_TWICE, "cutoverd")
    assert await claims.newest(server) == 7
