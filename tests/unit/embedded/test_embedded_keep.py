"""The keeper of the embedded server outlives what keeps that server from starting."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from cutoverd.daemon.embedded import nats
from cutoverd.daemon.embedded.errors import DidNotStart


async def test_a_start_that_fails_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failures: list[Exception] = [DidNotStart("three times"), OSError(28, "No space left on device")]
    started = asyncio.Event()

    async def ensure(folder: Path) -> None:
        if failures:
            raise failures.pop()
        started.set()

    monkeypatch.setattr(nats, "ensure", ensure)
    keeping = asyncio.create_task(nats.keep(tmp_path, every_seconds=0.01))
    try:
        async with asyncio.timeout(5):
            await started.wait()
    finally:
        keeping.cancel()
        await asyncio.wait([keeping])
