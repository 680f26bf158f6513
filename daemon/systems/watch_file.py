"""The file that remembers the watch of Monitor: the daemon writes it, and whoever asks how the run stands reads it."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from pydantic import TypeAdapter

from cutoverd.daemon.host.private_files import find_private, write_private
from cutoverd.states.check_rules import Watched

FILE = "watch.json"  # in the run's folder


def keep(folder: Path, watched: Watched) -> None:
    """In a run's folder, whole or not at all; raises OSError."""
    write_private(folder / FILE, _adapter().dump_json(watched))


def read_kept(folder: Path) -> Watched | None:
    """What was kept last in a run's folder; None if there is nothing that can be read."""
    return find_private(folder / FILE, lambda content: _adapter().validate_json(content))


@cache
def _adapter() -> TypeAdapter[Watched]:
    """Made when there is something to read or to write: a start would pay for it."""
    return TypeAdapter(Watched)
