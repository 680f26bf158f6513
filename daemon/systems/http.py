"""A check by HTTP: one GET, asked again until it answers as it should or the time is up."""

from __future__ import annotations

import asyncio
import ssl
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx

from cutoverd.states.errors import CheckFailed, format_error
from cutoverd.states.ports import AttemptId, Evidence

ASK_SECONDS = 5.0  # one attempt
ASK_SECONDS_MIN = 1.0  # the last one too, or "no answer within 0.01 s" would hide what the one before it saw
PAUSE_SECONDS = 0.25  # between two
BODY_BYTES_MAX = 1_000_000
EXCERPT_CHARS = 200


@dataclass(frozen=True)
class HttpCheck:
    """GET `url` answers with `status` and a body that holds `contains`; no redirect is followed, no proxy used."""

    url: str = field(repr=False)  # may hold user:password@; only `shown_url` is ever shown
    status: int = 200
    contains: str | None = None
    within_seconds: float = 30  # a service needs a moment

    async def prove(self, attempt_id: AttemptId) -> Evidence:
        """{"url", "status", "seconds", "attempts"}; raises `CheckFailed` with what was seen last."""
        began, attempts = time.monotonic(), 0
        async with self._client() as client:
            while True:
                attempts += 1
                left = self.within_seconds - (time.monotonic() - began)
                answer = await self._ask(client, max(ASK_SECONDS_MIN, min(ASK_SECONDS, left)))
                answer |= {"seconds": round(time.monotonic() - began, 3), "attempts": attempts}
                if "seen" not in answer:
                    return {"url": self.shown_url, **answer}
                if time.monotonic() - began + PAUSE_SECONDS >= self.within_seconds:
                    raise self._failed(answer)
                await asyncio.sleep(PAUSE_SECONDS)

    @property
    def shown_url(self) -> str:
        """The URL without user and password."""
        parts = urlsplit(self.url)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()

    def _client(self) -> httpx.AsyncClient:
        # The system's certificates, not the wheel's: they know the CA of the house. The URL without its password: httpx logs it.
        parts = urlsplit(self.url)
        auth = (unquote(parts.username or ""), unquote(parts.password or "")) if "@" in parts.netloc else None
        verify = ssl.create_default_context() if parts.scheme == "https" else True
        return httpx.AsyncClient(auth=auth, verify=verify, trust_env=False, follow_redirects=False)

    async def once(self, seconds: float) -> tuple[dict[str, Any], str]:
        """Asked a single time: {"status"}, and {"seen": in words} if it is not what the plan wants; and the body."""
        async with self._client() as client:
            return await self._asked(client, seconds)

    async def _ask(self, client: httpx.AsyncClient, seconds: float) -> dict[str, Any]:
        answer, _ = await self._asked(client, seconds)
        return answer

    async def _asked(self, client: httpx.AsyncClient, seconds: float) -> tuple[dict[str, Any], str]:
        try:
            async with asyncio.timeout(seconds), client.stream("GET", self.shown_url, timeout=seconds) as response:
                body = await _text(response)
        except TimeoutError:
            return {"seen": f"no answer within {seconds:.1f} s"}, ""
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            return {"seen": format_error(error)}, ""
        if response.status_code != self.status:
            return {"status": response.status_code, "seen": f"status {response.status_code}, body {body[:EXCERPT_CHARS]!r}"}, body
        if self.contains is not None and self.contains not in body:
            return {"status": response.status_code, "seen": f"status {self.status}, but body {body[:EXCERPT_CHARS]!r}"}, body
        return {"status": response.status_code}, body

    def _failed(self, answer: dict[str, Any]) -> CheckFailed:
        expected = f"status {self.status}" + (f" and a body with {self.contains!r}" if self.contains is not None else "")
        return CheckFailed(
            f"GET {self.shown_url}: saw {answer['seen']}, expected {expected};"
            f" asked {answer['attempts']} times in {answer['seconds']:.1f} s",
            hint="see what the service logs; if it only needs longer to be ready, raise its time-out in the plan",
            evidence={"url": self.shown_url, "expected": expected, **answer},
        )


async def _text(response: httpx.Response) -> str:
    body = b""
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) >= BODY_BYTES_MAX:
            break
    return body.decode(response.encoding or "utf-8", errors="replace")
