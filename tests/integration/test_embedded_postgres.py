"""A PostgreSQL of our own: its life, its death, and what it must not leave behind."""

from __future__ import annotations

from servers import Cluster


async def test_the_cluster_of_a_test_is_what_the_daemon_expects(cluster: Cluster) -> None:
    connection = await cluster.server().connect("app")
    async with connection:
        row = await (
            await connection.execute(
                "SELECT current_user, current_database(), rolsuper, rolcreatedb FROM pg_roles WHERE rolname = current_user"
            )
        ).fetchone()
    assert row == ("cutover", "app", False, True)
