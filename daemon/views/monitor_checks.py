"""The checks of Monitor for `status`: what the daemon of this machine saw last."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cutoverd.daemon.systems.watch_file import read_kept


def checks_of(status: dict[str, Any], run_dir: Path) -> dict[str, Any]:
    """{"checks": {name: {"ok", "value", "saw"}}, "watched_seconds", "checked_at"}; {} if this machine has watched nothing."""
    watched = read_kept(run_dir)
    if not status or watched is None:
        return {}
    return {
        "checks": {name: {"ok": e.ok, "value": e.value, "saw": e.saw} for name, e in watched.standings.items()},
        "watched_seconds": round(watched.elapsed_seconds - watched.unwatched_seconds, 3),
        "checked_at": watched.at.at.isoformat(timespec="seconds"),
    }
