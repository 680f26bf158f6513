"""The anchor as a file in the run's folder."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from pathlib import Path

from cutoverd.daemon.engine.anchor import Anchored
from cutoverd.daemon.host.log import Logger
from cutoverd.daemon.host.private_files import find_private, write_private

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
        """What was saved last; None if nothing was, or, with a line in the log, if the file does not say: the ledger's does."""
        return await asyncio.to_thread(find_private, self._path, _parse)


def _parse(content: bytes) -> Anchored:
    anchored = Anchored(**json.loads(content))
    if not (isinstance(anchored.seq, int) and isinstance(anchored.hash, str)):
        raise TypeError("no anchor")
    return anchored
