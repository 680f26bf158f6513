"""Copies of production that a team would make: restored on another server, or a standby that is promoted."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.production import ATTRIBUTES
from support.servers import SETTINGS, Cluster, running_clusters

from cutoverd.daemon.embedded.postgres import Postgres
from cutoverd.daemon.embedded.unprivileged import identity


def restore_on(other: Cluster, source: Cluster, database: str = "app") -> None:
    """By a superuser, so that all is in it; `database` is there and empty, and gets an ACL: the way back would spell it out."""
    dumped = subprocess.run(
        [source.bin_dir / "pg_dump", "-Fc", "-d", source.superuser_url(database)], capture_output=True, timeout=60, check=True
    )
    command = [other.bin_dir / "pg_restore", "--exit-on-error", "-d", other.superuser_url(database)]
    subprocess.run(command, input=dumped.stdout, capture_output=True, timeout=60, check=True)
    other.execute(f"GRANT CONNECT ON DATABASE {database} TO PUBLIC")


@contextmanager
def a_copy_elsewhere(source: Cluster, folder: Path) -> Iterator[Cluster]:
    """Production's `app` on a server of its own, restored by a superuser, set as production is; `major`: another version."""
    with running_clusters() as others:
        (folder / "other").mkdir()
        other = others.fresh(str(source.postgres.major), folder / "other")
        other.execute(ATTRIBUTES)
        restore_on(other, source)
        yield other


@contextmanager
def a_standby(source: Cluster, folder: Path) -> Iterator[Cluster]:
    """It follows `source`, whose roles and passwords it has, until it is promoted."""
    who, server = identity(), Postgres(folder / "standby", source.bin_dir, settings=SETTINGS, durable=False)
    home = folder / "standby/home"
    home.parent.mkdir(mode=0o700)
    who.make_home(home)
    data = home.resolve() / "data"
    command = [source.bin_dir / "pg_basebackup", "-R", "-c", "fast", "-D", data, "-d", source.superuser_url("")]
    subprocess.run(command, capture_output=True, timeout=60, check=True)
    if who.user:
        for root, _, files in os.walk(data):
            for each in (root, *(f"{root}/{file}" for file in files)):
                os.chown(each, who.user.pw_uid, who.user.pw_gid)
    shutil.copy(source.postgres.folder / "passfile", folder / "standby/passfile")
    server.start()
    try:
        yield Cluster(server, folder)
    finally:
        server.kill()
        server.remove()
