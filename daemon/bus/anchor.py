"""The anchor as a file in the run's folder."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from pathlib import Path

from cutoverd.daemon.engine.anchor import Anchored
from cutoverd.daemon.engine.errors import AnchorUnreadable
from cutoverd.daemon.host.log import Logger
from cutoverd.daemon.host.private_files import write_private

log = Logger(__name__)


class FileAnchor:
    """The anchor as a file of mode 600, replaced whole."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def save(self, seq: int, hash: str) -> None:
        try:
            await asyncio.to_thread(write_private, self._path, json.dumps(asdict(Anchored(seq, hash))).encode())
        except OSError as error:
            log.warning("anchor_not_saved", path=str(self._path), seq=seq, error=str(error))

    async def load(self) -> Anchored | None:
        """What was saved last; None if nothing was. Raises `AnchorUnreadable`."""
        try:
            text = await asyncio.to_thread(self._path.read_text)
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise AnchorUnreadable(f"{self._path}: {error}") from error
        return _parsed(self._path, text)


def _parsed(path: Path, text: str) -> Anchored:
    try:
        return Anchored(int(json.loads(text)["seq"]), str(json.loads(text)["hash"]))
    except (ValueError, KeyError, TypeError) as error:
        raise AnchorUnreadable(f'{path} holds {text[:100]!r}, expected {{"seq": …, "hash": …}}') from error
