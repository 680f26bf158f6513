"""The loop waits here for nobody: what it waits for in a pretended world is there at once or never."""

from __future__ import annotations

import pytest

from cutoverd.daemon.engine import loop, step_executor


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "PENDING_COMMAND_SECONDS", 0.05)
    monkeypatch.setattr(step_executor, "SLOWEST_RETRY_SECONDS", 0.05)
