from __future__ import annotations

from collections.abc import Callable
from typing import Any


def test_a_machine_tells_when_its_toner_will_be_empty(ask: Callable[..., tuple[int, dict[str, Any]]]) -> None:
    assert "toner_empty_on" in ask("/machines/SN500001")[1]
