"""Smoke tests of the new service, over HTTP alone: pytest tests/smoke/ -v --url http://127.0.0.1:8081"""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

ANSWER_SECONDS = 10
Ask = Callable[..., tuple[int, dict[str, Any]]]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--url", default=os.environ.get("EXAMPLE_URL"), help="of the service under test (or EXAMPLE_URL)")


@pytest.fixture
def ask(request: pytest.FixtureRequest) -> Ask:
    """`ask(path)` gets, `ask(path, body)` posts; status and answer."""
    url = request.config.getoption("--url")
    if not url:
        pytest.fail("say which service: --url http://127.0.0.1:8081 or EXAMPLE_URL")

    def ask(path: str, body: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        posted = None if body is None else json.dumps(body).encode()
        asked = urllib.request.Request(url + path, posted, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(asked, timeout=ANSWER_SECONDS) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, json.load(refused)

    return ask
