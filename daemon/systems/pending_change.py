"""The note of a change that was asked for and not yet seen; it outlives the daemon that asked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from cutoverd.daemon.host.private_files import UnusableFile, make_private_folder, read_private, remove_private, write_private

UNREADABLE = "?"


@dataclass(frozen=True)
class PendingChange:
    """One file per service or door; it holds the verb that was begun, last."""

    file: Path

    @classmethod
    def of(cls, folder: Path, *names: str) -> PendingChange:
        return cls(folder / "begun" / ".".join(quote(name, safe="") for name in names))

    def read(self) -> str | None:
        """`UNREADABLE`, which is no verb, where the note does not tell which: something was begun."""
        try:
            return read_private(self.file).decode("ascii") or UNREADABLE
        except FileNotFoundError:
            return None
        except (UnusableFile, UnicodeDecodeError):
            return UNREADABLE

    def write(self, verb: str) -> None:
        make_private_folder(self.file.parent)
        write_private(self.file, verb)

    def clear(self) -> None:
        remove_private(self.file)
