"""Stored messages by request: the answer is JSON with base64, so nothing that a sender wrote goes through nats-py's parser."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import AsyncGenerator, Sequence
from datetime import datetime
from typing import Any

import nats.errors
from nats.js import errors as js_errors

from cutoverd.daemon.bus.connection import REQUEST_SECONDS, Client
from cutoverd.daemon.engine.message import Message
from cutoverd.daemon.host.cancellation import deadline
from cutoverd.events.subjects import STREAM

NO_MESSAGE = 10037
ID_HEADER = b"Nats-Msg-Id"


async def fetch_all(client: Client, subjects: Sequence[str], start: int) -> AsyncGenerator[Message, None]:
    """Messages of `subjects` from stream sequence `start` on, up to the end as the leader has it; raises `DOUBT`."""
    filter_subject = subjects[0] if len(subjects) == 1 else ">"  # a request takes one; asked one by one they have no order
    while message := await _fetch(client, {"seq": max(start, 1), "next_by_subj": filter_subject}):
        start = message.seq + 1
        if any(_matches(message.subject, subject) for subject in subjects):
            yield message


async def fetch_stored(client: Client) -> AsyncGenerator[tuple[Message, dict[str, Any]], None]:
    """All messages of the stream, each as a message and as the API wrote it, headers and all; raises `DOUBT`."""
    start = 1
    while answer := await _request(client, {"seq": start, "next_by_subj": ">"}):
        message = parse_stored(answer)
        start = message.seq + 1
        yield message, answer


async def fetch_last(client: Client, subject: str) -> Message | None:
    """The last message of a subject, from the leader; raises `DOUBT`."""
    return await _fetch(client, {"last_by_subj": subject})


async def _fetch(client: Client, which: dict[str, Any]) -> Message | None:
    stored = await _request(client, which)
    return parse_stored(stored) if stored else None


async def _request(client: Client, which: dict[str, Any]) -> dict[str, Any] | None:
    """A message as the API writes it, which can be read; None if there is no such message."""
    async with deadline(2 * REQUEST_SECONDS):
        try:
            answer = await client.nc.request(
                f"$JS.API.STREAM.MSG.GET.{STREAM}", json.dumps(which).encode(), timeout=REQUEST_SECONDS
            )
        except nats.errors.NoRespondersError as error:
            raise js_errors.ServiceUnavailableError from error
    try:
        stored = _checked(json.loads(answer.data))
        if stored:
            parse_stored(stored)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise nats.errors.Error(f"not an answer of JetStream: {answer.data[:200]!r}") from error
    return stored


def _checked(answer: dict[str, Any]) -> dict[str, Any] | None:
    """None if there is no such message; raises `APIError`."""
    if error := answer.get("error"):
        if error.get("err_code") == NO_MESSAGE:
            return None
        raise js_errors.APIError.from_error(error)
    return dict(answer["message"])


def parse_stored(stored: dict[str, Any]) -> Message:
    """Of what the API writes; raises ValueError, KeyError, TypeError for anything else."""
    data, headers = (b64decode(stored.get(part) or "") for part in ("data", "hdrs"))
    return Message(stored["seq"], data, datetime.fromisoformat(stored["time"]), stored["subject"], _id(headers))


def _id(headers: bytes) -> str:
    """The last Nats-Msg-Id of a block of headers, as nats-py reads it from a delivered message; empty if there is none."""
    pairs = (line.partition(b":") for line in headers.split(b"\r\n"))
    ids = [value for name, _, value in pairs if name.strip() == ID_HEADER]
    return ids[-1].strip().decode(errors="replace") if ids else ""


def _matches(subject: str, filter_subject: str) -> bool:
    tokens, wanted = subject.split("."), filter_subject.split(".")
    return len(tokens) == len(wanted) and all(want in ("*", token) for token, want in zip(tokens, wanted, strict=True))
