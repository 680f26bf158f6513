"""A witness outside NATS: a hash chain cannot see that its end is missing."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import structlog

from cutoverd.daemon.bus.errors import AnchorUnreadable, LogRegressed

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Anchored:
    """An event that was acknowledged once: its stream sequence and the sha256 of its message."""

    seq: int
    hash: str


class Anchor(Protocol):
    """Remembers the newest event of one run."""

    async def save(self, seq: int, hash: str) -> None:
        """Never raises and never waits long: an anchor that lags is weaker, not wrong. What failed is logged."""

    async def load(self) -> Anchored | None:
        """None if nothing was saved, or if it cannot be reached now (logged); raises `AnchorUnreadable`."""


def check(anchored: Anchored | None, hashes: Mapping[int, str]) -> None:
    """The replayed events (stream sequence → hash) reach as far as the anchor and hold that very message.

    Raises `LogRegressed`.
    """
    if anchored is None or hashes.get(anchored.seq) == anchored.hash:
        return
    end = max(hashes, default=0)
    if end < anchored.seq:
        raise LogRegressed(f"the log ends at sequence {end}, but {anchored.seq} was acknowledged (anchor {anchored.hash[:12]}…)")
    seen = hashes.get(anchored.seq)
    holds = f"a message that hashes to {seen[:12]}…" if seen else "no event"
    raise LogRegressed(f"the log holds {holds} at sequence {anchored.seq}, where {anchored.hash[:12]}… was acknowledged")


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
