from __future__ import annotations

from collections.abc import Callable
from typing import Any


def test_a_flight_tells_its_gate(ask: Callable[..., tuple[int, dict[str, Any]]]) -> None:
    assert "gate" in ask("/flights/UA/1545?date=2013-01-01")[1]["flights"][0]
