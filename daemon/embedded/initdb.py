"""How a cluster of our own is made: whole or not at all, with a password for everybody who connects."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from cutoverd.daemon.embedded.errors import ServerError
from cutoverd.daemon.embedded.unprivileged import Identity
from cutoverd.daemon.host.environment import without_secrets
from cutoverd.daemon.host.private_files import write_private

SUPERUSER = "postgres"
INITDB_SECONDS = 120
SETTINGS_FILE = "cutoverd.conf"
ARGUMENTS = (f"--username={SUPERUSER}", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-instructions")


def make_cluster(identity: Identity, bin_dir: Path, data: Path, password: str, *, durable: bool) -> None:
    """Make the folder `data`, which must not exist, into a cluster; raises `ServerError`."""
    draft = data.with_name(f"{data.name}.part")
    shutil.rmtree(draft, ignore_errors=True)
    password_file = data.with_name("initdb.password")
    write_private(password_file, password)
    give(identity, password_file)
    try:
        flags = [*ARGUMENTS, f"--pwfile={password_file}", f"--pgdata={draft}", *([] if durable else ["--no-sync"])]
        _run([*identity.prefix, str(bin_dir / "initdb"), *flags], data.parent)
    finally:
        password_file.unlink()
    with (draft / "postgresql.conf").open("a") as configuration:
        configuration.write(f"include '{SETTINGS_FILE}'\n")
    draft.rename(data)


def configure(identity: Identity, data: Path, settings: Mapping[str, str]) -> None:
    """Write the settings into the cluster's configuration; ALTER SYSTEM still beats them."""
    lines = (f"{name} = '{value.replace(chr(39), chr(39) * 2)}'\n" for name, value in settings.items())
    write_private(data / SETTINGS_FILE, "".join(lines))
    give(identity, data / SETTINGS_FILE)


def give(identity: Identity, file: Path) -> None:
    if identity.user:
        os.chown(file, identity.user.pw_uid, identity.user.pw_gid)


def server_environment() -> dict[str, str]:
    """Ours without what libpq and PostgreSQL would take from it."""
    return {name: value for name, value in without_secrets().items() if not name.startswith("PG")}


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(
        command,
        cwd=folder,
        env=server_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=INITDB_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise ServerError(
            f"initdb could not make a cluster in {folder} (exit {done.returncode}); it said:\n{done.stdout.strip()}"
        )
