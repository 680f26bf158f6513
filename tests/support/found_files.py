"""What may lie where a file of ours was: after a power cut, on a bad disk, or because somebody put it there."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

CONTENTS = {
    "empty": b"",
    "NULs": b"\0" * 512,
    "half of it": b'{"pid": 12, "birth": "a 1", "ep',
    "garbage": b"\xff\xfe\x9b31m garbage \x00",
    "another JSON": b'[1, {"seq": "x"}]',
    "deep JSON": b"[" * 100_000,
}
CUT = ["empty", "NULs", "half of it"]  # what a power cut alone leaves


def put(path: Path, what: str) -> None:
    """Replace whatever is there by one of CONTENTS, or by a folder, a link, a dangling link or a pipe."""
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    OTHERS[what](path) if what in OTHERS else path.write_bytes(CONTENTS[what])


def _folder(path: Path) -> None:
    path.mkdir()
    (path / "somebody's").write_text("kept")


def _link(path: Path) -> None:
    elsewhere = path.with_name(f"{path.name}.elsewhere")
    elsewhere.write_text("17")
    path.symlink_to(elsewhere)


OTHERS: dict[str, Callable[[Path], None]] = {
    "a folder": _folder,
    "a link": _link,
    "a dangling link": lambda path: path.symlink_to("nowhere"),
    "a pipe": os.mkfifo,
}
EVERYTHING = [*CONTENTS, *OTHERS]
