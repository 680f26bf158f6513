"""What helps where our role lacks a right in the copy of production that the window is rehearsed on."""

import pytest
from support.new_database import Site, make_site

from cutoverd.daemon.postgres.session.reading import explained, reading
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.postgres.session.session import session
from cutoverd.states.errors import StepError

SECRET = "CREATE FUNCTION public.secret() RETURNS int RETURN 1; REVOKE EXECUTE ON FUNCTION public.secret() FROM PUBLIC"


@pytest.fixture
async def site(cluster, tmp_path):
    site = await make_site(cluster, tmp_path)
    site.execute("CREATE DATABASE app_try")
    for database in ("app_try", "app_next", "postgres"):
        site.execute(SECRET, database)
    yield site
    site.execute("DROP FUNCTION public.secret", "postgres")


async def hints(server: Server, database: str) -> set[str]:
    """Of a statement, and of a query of the plan."""
    hints = set()
    for read in (by_statement, by_query):
        with pytest.raises(StepError, match="permission denied for function secret") as raised:
            await read(server, database)
        hints.add(raised.value.hint)
    return hints


async def by_statement(server: Server, database: str) -> None:
    async with session(server, database) as conn:
        await conn.execute("SELECT public.secret()")


async def by_query(server: Server, database: str) -> None:
    async with reading(server, database) as conn:
        with explained("comparison x"):
            await conn.execute("SELECT public.secret()")


async def test_who_lacks_a_right_in_the_copy_is_told_that_a_retry_alone_does_not_bring_it(site: Site):
    """Found: "GRANT …, then `retry`", where a GRANT in production is not in the copy, and failed with the same words for ever."""
    every = await hints(site.server.of_copy(), "app_try")
    assert len(every) == 1, every
    [hint] = every
    assert hint.startswith("GRANT what is missing in production, whose next backup gives it to the copy, or ALTER ROLE … BYPASS")
    assert hint.endswith("then `abort` and start a run with a name of its own")
    [of_given] = await hints(site.server.of_copy(site.cluster.url("app_try")), "app_try")
    assert of_given.startswith("GRANT what is missing, in production and in the copy, or ALTER ROLE")
    assert of_given.endswith("then `retry`")


@pytest.mark.parametrize("database", ["app_next", "postgres"])
async def test_who_lacks_one_elsewhere_is_told_as_ever(site: Site, database: str):
    server = site.server if database == "app_next" else site.server.of_copy()
    assert not any("copy" in hint for hint in await hints(server, database))
