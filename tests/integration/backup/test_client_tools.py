"""PostgreSQL's own programs are asked for their versions before anything depends on them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.servers import Cluster

from cutoverd.daemon.postgres.precheck.client_tools import check_tools
from cutoverd.daemon.postgres.session.server import Server

STEP = "precheck.check_server"
OF_SERVER = {"psql": 18, "pg_dump": 18, "pg_restore": 18}


def tools(folder: Path, versions: dict[str, int]) -> Server:
    """Programs that say so of themselves, and do nothing else."""
    for name, version in versions.items():
        program = folder / name
        program.write_text(f'#!/bin/sh\necho "{name} (PostgreSQL) {version}.1 (Debian)"\n')
        program.chmod(0o755)
    return Server("postgresql://cutover@127.0.0.1/app", "r1", 1, folder / "run", folder)


async def test_those_of_the_server_are_fit(cluster: Cluster, tmp_path: Path) -> None:
    server = replace(cluster.server(folder=tmp_path), epoch=0)
    assert await check_tools(server, int(cluster.major), step=STEP) == ([], [])


@pytest.mark.parametrize(
    ("versions", "major", "reasons"),
    [
        ({**OF_SERVER, "pg_dump": 15}, 18, ["pg_dump is of PostgreSQL 15 and dumps no newer server, and this one is of 18"]),
        ({**OF_SERVER, "pg_restore": 17}, 18, ["pg_restore is of PostgreSQL 17 and reads no dump of pg_dump 18"]),
        (OF_SERVER, 15, ["pg_restore is of PostgreSQL 18 and sets transaction_timeout, which 15 does not know"]),
        ({"psql": 16, "pg_dump": 16, "pg_restore": 16}, 15, []),
        ({**OF_SERVER, "psql": 0}, 18, []),
    ],
)
async def test_each_that_cannot_do_its_work_is_a_reason(
    tmp_path: Path, versions: dict[str, int], major: int, reasons: list[str]
) -> None:
    """Found: `check` said fit, and pg_dump refused the server in PreCheck."""
    found, warnings = await check_tools(tools(tmp_path, versions), major, step=STEP)
    assert [reason.partition(": ")[0] for reason in found] == reasons
    assert all(f"of PostgreSQL {major}, or give their folder as `client_tools`" in reason for reason in found)
    assert len(warnings) == (versions["psql"] < major)


async def test_one_that_is_not_there_or_says_nothing_is_named(tmp_path: Path) -> None:
    server = tools(tmp_path, {"psql": 18, "pg_dump": 18})
    (tmp_path / "psql").write_text("#!/bin/sh\nexit 3\n")
    found, _ = await check_tools(server, 18, step=STEP)
    assert [reason.partition(": ")[0] for reason in found] == [
        f"{tmp_path}/psql does not say its version (it ended with 3)",
        f"there is no {tmp_path}/pg_restore",
    ]
