"""The page of the last resort, its SQL as it is written, by psql on a real server."""

from __future__ import annotations

import re
import subprocess

import pytest
from contract.test_databases import go_to
from support.paths import DOCS
from support.production import furnish, lead, log_in, names, photograph
from support.servers import Cluster

from cutoverd.daemon.postgres.ledger.taken_back import TakenBack, check_not_taken_back

PAGE = (DOCS / "last-resort.md").read_text()
FENCED, SWAPPED = ("1", "2", "3", "5", "6", "7"), ("1", "2", "4", "5", "6", "7")
RUN = "r1"


def written_sql(section: str) -> str:
    """What the page says in that section, in order."""
    return "\n".join(blocks(section))


def blocks(section: str) -> list[str]:
    text = re.split(r"^## ", PAGE, flags=re.MULTILINE)
    [found] = [part for part in text if part.startswith(f"{section} ")]
    return re.findall(r"^```sql\n(.*?)^```", found, re.MULTILINE | re.DOTALL)


def psql(cluster: Cluster, script: str) -> str:
    words = [cluster.bin_dir / "psql", "-X", "-v", "ON_ERROR_STOP=1", "-d", cluster.superuser_url("postgres")]
    done = subprocess.run(words, input=script, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done
    return done.stdout


@pytest.mark.both_versions
@pytest.mark.parametrize(("state", "last", "sections"), [("fenced", "close_old", FENCED), ("swapped", "exchange", SWAPPED)])
async def test_the_page_of_the_last_resort_takes_production_back(
    cluster: Cluster, state: str, last: str, sections: tuple[str, ...]
) -> None:
    furnish(cluster)
    cluster.execute("SET ROLE lender; GRANT CONNECT ON DATABASE app TO app_user")  # by a role that may grant it on
    before = photograph(cluster)
    databases = await lead(cluster)
    await go_to(databases, last)
    assert photograph(cluster, "app").row != before.row if state == "swapped" else "app_closed" not in names(cluster)
    for section in sections:
        assert written_sql(section), f"section {section} has none"
        psql(cluster, written_sql(section).replace("'night'", f"'{RUN}'"))
    assert photograph(cluster) == before
    assert log_in(cluster) == 500
    assert names(cluster) == {"app", "app_closed", "app_next"}
    with pytest.raises(TakenBack, match=f"production of run {RUN} was taken back without its journal"):
        await check_not_taken_back(cluster.server(run=RUN))


async def test_who_is_interrupted_in_the_page_and_begins_at_2_again_leaves_nothing_read_only(cluster: Cluster) -> None:
    """Found: without `app` the table led to the swapped, and the old database kept what the fence had set."""
    furnish(cluster)
    before = photograph(cluster)
    await go_to(await lead(cluster), "close_old")
    psql(cluster, written_sql("3"))
    assert "app" not in names(cluster)
    assert re.search(r"then \|\n\|---\|---\|\n\| no `app` \|.*: go on with 5 \|", PAGE), "the first that is looked for"
    psql(cluster, blocks("5")[0])
    assert names(cluster) == {"app", "app_closed", "app_next"}
    for script in [*blocks("5")[1:], *blocks("6"), *blocks("7")]:
        psql(cluster, script.replace("'night'", f"'{RUN}'"))
    assert photograph(cluster) == before
    assert log_in(cluster) == 500
