"""The note of a change that was asked for and not yet seen; it outlives the daemon that asked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from cutoverd.daemon.host.private_files import write_private


@dataclass(frozen=True)
class PendingChange:
    """One file per service or door; it holds the verb that was begun, last."""

    file: Path

    @classmethod
    def of(cls, folder: Path, *names: str) -> PendingChange:
        return cls(folder / "begun" / ".".join(quote(name, safe="") for name in names))

    def read(self) -> str | None:
        try:
            return self.file.read_text()
        except FileNotFoundError:
            return None

    def write(self, verb: str) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        write_private(self.file, verb)

    def clear(self) -> None:
        self.file.unlink(missing_ok=True)
