"""The anchor as a file in the run's folder."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import asdict
from pathlib import Path

import structlog

from cutoverd.daemon.engine.anchor import Anchored
from cutoverd.daemon.engine.errors import AnchorUnreadable

log = structlog.get_logger(__name__)


class FileAnchor:
    """The anchor as a file of mode 600, replaced whole."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def save(self, seq: int, hash: str) -> None:
        try:
            await asyncio.to_thread(_replace, self._path, json.dumps(asdict(Anchored(seq, hash))).encode())
        except OSError as error:
            log.warning("anchor_not_saved", path=str(self._path), seq=seq, error=str(error))

    async def load(self) -> Anchored | None:
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


def _replace(path: Path, content: bytes) -> None:
    """After this the file holds `content`, or after a power cut what it held before: older, but whole."""
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.fchmod(handle, 0o600)  # a file left by a kill keeps the mode it had
        os.write(handle, content)
        os.fsync(handle)
    finally:
        os.close(handle)
    os.replace(beside, path)
