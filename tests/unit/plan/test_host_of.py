"""The host of an address is the one that the client will ask, though most addresses are read without it."""

from __future__ import annotations

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutoverd.daemon.plan.fields import PLAIN_URL, host_of

LABELS = st.text("ab-019.xn_", min_size=1, max_size=12) | st.sampled_from(["localhost", "127.0.0.1", "xn--a", "1.2.3", "a" * 63])


@given(LABELS, st.sampled_from(["", ":80", ":99999", "/health?a=b", "/a/b.c~d=&", "/é", "@b", "#x"]))
def test_what_is_read_without_the_client_is_what_the_client_reads(host: str, rest: str) -> None:
    url = f"http://{host}{rest}"
    if PLAIN_URL.fullmatch(url) and (found := host_of(url)) and not rest.startswith(":9"):
        assert httpx.URL(url).raw_host.decode("ascii") == found


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080/health", "https://api.example.org/v1/up", "http://db-1:9000"])
def test_the_addresses_of_most_plans_are_plain(url: str) -> None:
    assert PLAIN_URL.fullmatch(url)
