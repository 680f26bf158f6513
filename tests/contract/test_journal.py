"""What every journal, every command log and the runs on them promise: in memory and on a real nats-server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from cutoverd.daemon.bus.commands import CommandStream
from cutoverd.daemon.bus.connection import connect
from cutoverd.daemon.bus.errors import RunEnded, RunOpen
from cutoverd.daemon.bus.journal import Journal
from cutoverd.daemon.bus.memory import MemoryStream
from cutoverd.daemon.bus.run_registry import Runs
from cutoverd.daemon.bus.stream import prepare
from cutoverd.daemon.engine.errors import Conflict, ServerRefused
from cutoverd.daemon.engine.message import LARGEST_MESSAGE_BYTES, CommandLog, EventLog, Message
from cutoverd.events.mac import JournalKey
from cutoverd.events.subjects import RUNS, events_of

SUBJECT = events_of("r1")
BOUND_SECONDS = 10


@dataclass
class Bus:
    log: Callable[[str], EventLog]
    commands: Callable[[], CommandLog]


@pytest.fixture(params=["memory", "nats"])
async def bus(request: pytest.FixtureRequest) -> AsyncIterator[Bus]:
    if request.param == "memory":
        stream = MemoryStream()
        yield Bus(stream.journal, stream.commands)
        return
    client = await connect(request.getfixturevalue("nats_server").url)
    await prepare(client)
    yield Bus(lambda subject: Journal(client, subject), lambda: CommandStream(client))
    await client.close()


def new_id() -> str:
    return uuid4().hex


async def replayed(log: EventLog) -> list[Message]:
    return [message async for message in log.replay()]


async def taken(messages: AsyncGenerator[Message, None], count: int) -> list[Message]:
    found: list[Message] = []
    async with asyncio.timeout(BOUND_SECONDS), aclosing(messages):
        async for message in messages:
            found.append(message)
            if len(found) == count:
                break
    return found


async def test_an_empty_journal_replays_nothing(bus: Bus) -> None:
    assert await replayed(bus.log(SUBJECT)) == []


async def test_what_was_appended_is_replayed_in_order_to_the_byte(bus: Bus) -> None:
    log, bodies = bus.log(SUBJECT), [b"\x00\xff\r\n", b"", "é".encode() * 100]
    ids = [new_id() for _ in bodies]
    seqs = [await log.append(id, body) for id, body in zip(ids, bodies, strict=True)]
    messages = await replayed(bus.log(SUBJECT))
    assert [(m.seq, m.id, m.data, m.subject) for m in messages] == [
        (seq, id, body, SUBJECT) for seq, id, body in zip(seqs, ids, bodies, strict=True)
    ]
    assert seqs == sorted(set(seqs))


async def test_a_message_knows_when_it_was_stored(bus: Bus) -> None:
    log = bus.log(SUBJECT)
    await log.append(new_id(), b"x")
    (message,) = await replayed(log)
    assert message.at.tzinfo is UTC
    assert abs(datetime.now(UTC) - message.at) < timedelta(seconds=30)


async def test_a_writer_that_has_not_replayed_is_refused(bus: Bus) -> None:
    await bus.log(SUBJECT).append(new_id(), b"first")
    late = bus.log(SUBJECT)
    with pytest.raises(Conflict, match=r"expected 0"):
        await late.append(new_id(), b"second")
    assert [m.data for m in await replayed(late)] == [b"first"]


async def test_of_two_rivals_one_appends_and_the_other_must_replay(bus: Bus) -> None:
    one, other = bus.log(SUBJECT), bus.log(SUBJECT)
    results = await asyncio.gather(one.append(new_id(), b"one"), other.append(new_id(), b"other"), return_exceptions=True)
    assert sorted(type(result) for result in results if isinstance(result, Exception)) == [Conflict]
    loser = one if isinstance(results[0], Conflict) else other
    with pytest.raises(Conflict):
        await loser.append(new_id(), b"still blind")
    await replayed(loser)
    await loser.append(new_id(), b"seen")
    assert [m.data for m in await replayed(one)][1:] == [b"seen"]


async def test_rivals_that_replay_after_each_conflict_lose_nothing_and_double_nothing(bus: Bus) -> None:
    async def write(name: str) -> list[bytes]:
        log, bodies = bus.log(SUBJECT), [f"{name}{n}".encode() for n in range(10)]
        for body in bodies:
            while True:
                try:
                    await log.append(new_id(), body)
                    break
                except Conflict:
                    await replayed(log)
        return bodies

    async with asyncio.timeout(BOUND_SECONDS):
        written = await asyncio.gather(write("a"), write("b"))
    found = [m.data for m in await replayed(bus.log(SUBJECT))]
    assert sorted(found) == sorted(written[0] + written[1])
    assert [body for body in found if body.startswith(b"a")] == written[0]


async def test_a_replay_left_half_way_does_not_allow_an_append(bus: Bus) -> None:
    log = bus.log(SUBJECT)
    await log.append(new_id(), b"1")
    await log.append(new_id(), b"2")
    reader = bus.log(SUBJECT)
    await taken(reader.replay(), 1)
    with pytest.raises(Conflict):
        await reader.append(new_id(), b"3")


async def test_journals_of_two_runs_do_not_see_each_other(bus: Bus) -> None:
    one, other = bus.log(events_of("r1")), bus.log(events_of("r2"))
    await one.append(new_id(), b"one")
    await other.append(new_id(), b"other")
    await one.append(new_id(), b"one more")
    assert [m.data for m in await replayed(bus.log(events_of("r2")))] == [b"other"]
    assert [m.data for m in await replayed(bus.log(events_of("r1")))] == [b"one", b"one more"]


async def test_a_message_over_64_kib_is_refused_at_once_and_the_writer_goes_on(bus: Bus) -> None:
    log = bus.log(SUBJECT)
    for size in (LARGEST_MESSAGE_BYTES + 1, 2_000_000):
        with pytest.raises(ServerRefused, match=str(size)):
            await log.append(new_id(), b"x" * size)
    await log.append(new_id(), b"small")
    assert [m.data for m in await replayed(log)] == [b"small"]


async def test_who_reads_on_from_its_end_may_append_after_it(bus: Bus) -> None:
    log, other = bus.log(SUBJECT), bus.log(SUBJECT)
    await log.append(new_id(), b"ours")
    assert [m.data async for m in log.read_on()] == []
    await replayed(other)
    await bus.log(events_of("r2")).append(new_id(), b"elsewhere")
    await other.append(new_id(), b"theirs")
    with pytest.raises(Conflict):
        await log.append(new_id(), b"blind")
    assert [m.data async for m in log.read_on()] == [b"theirs"]
    await log.append(new_id(), b"seen")
    assert [m.data for m in await replayed(other)] == [b"ours", b"theirs", b"seen"]


async def test_messages_of_others_between_the_runs_are_stepped_over(bus: Bus) -> None:
    key = JournalKey((b"key",), frozenset({"r0"}))
    await bus.log(RUNS).append(new_id(), b"\xff")
    await Runs(bus.log(RUNS), key).open_run("r1")
    raw = bus.log(RUNS)
    opened = (await replayed(raw))[-1].data
    for body in (b'{"type":"run_opened","run":"r2"}', b'{"type":"run_closed","run":"r1","end":"completed"}', b"{}", opened):
        await raw.append(new_id(), body)
    assert await Runs(bus.log(RUNS), key).current() == "r1"
    await Runs(bus.log(RUNS), key).close_run("r1", "completed")
    await replayed(raw)
    await raw.append(new_id(), opened)
    await Runs(bus.log(RUNS), key).open_run("r3")
    history = await Runs(bus.log(RUNS), key).history()
    assert (history.open, history.ends, history.foreign) == ("r3", {"r1": "completed"}, 6)


async def test_runs_of_before_there_was_a_key_still_count(bus: Bus) -> None:
    await Runs(bus.log(RUNS)).open_run("r0")
    assert await Runs(bus.log(RUNS), JournalKey((b"key",), frozenset({"r0"}))).current() == "r0"


async def test_no_run_without_a_mac_counts_once_one_with_it_was_opened(bus: Bus) -> None:
    """Found: whoever may publish there could open a run of before, so that no other was opened any more."""
    key = JournalKey((b"key",), frozenset({"r0"}))
    await Runs(bus.log(RUNS), key).open_run("r1")
    raw = bus.log(RUNS)
    await replayed(raw)
    await raw.append(new_id(), b'{"type":"run_opened","run":"r0"}')
    history = await Runs(bus.log(RUNS), key).history()
    assert (history.open, history.foreign) == ("r1", 1)


async def test_follow_gives_what_was_and_what_comes(bus: Bus) -> None:
    log = bus.log(SUBJECT)
    first = await log.append(new_id(), b"before")
    following = asyncio.create_task(taken(bus.log(SUBJECT).follow(first), 2))
    await log.append(new_id(), b"after")
    assert [m.data for m in await following] == [b"before", b"after"]


async def test_follow_starts_where_it_is_told(bus: Bus) -> None:
    log = bus.log(SUBJECT)
    await log.append(new_id(), b"old")
    second = await log.append(new_id(), b"new")
    assert [m.data for m in await taken(log.follow(second), 1)] == [b"new"]


async def test_commands_of_all_senders_come_in_one_order_with_events_between_them(bus: Bus) -> None:
    log, commands = bus.log(SUBJECT), bus.commands()
    first = await commands.publish(b"advance", id=new_id())
    event = await log.append(new_id(), b"event")
    second = await commands.publish(b"hold", operator="alice", id=new_id())
    third = await commands.publish(b"resume", operator="bob", id=new_id())
    messages = await taken(commands.read(0), 3)
    assert [(m.seq, m.subject, m.data) for m in messages] == [
        (first, "cutover.cmd", b"advance"),
        (second, "cutover.cmd.alice", b"hold"),
        (third, "cutover.cmd.bob", b"resume"),
    ]
    assert first < event < second < third


async def test_a_command_sent_again_with_its_id_is_stored_once(bus: Bus) -> None:
    commands, id = bus.commands(), new_id()
    seq = await commands.publish(b"advance", id=id)
    assert await commands.publish(b"advance", id=id) == seq
    last = await commands.publish(b"note", id=new_id())
    assert [m.seq for m in await taken(commands.read(1), 2)] == [seq, last]


async def test_commands_are_read_from_the_position_after_the_last_one_handled(bus: Bus) -> None:
    commands = bus.commands()
    handled = await commands.publish(b"advance", id=new_id())
    await commands.publish(b"hold", id=new_id())
    assert [m.data for m in await taken(commands.read(handled + 1), 1)] == [b"hold"]


async def test_an_operator_whose_name_is_no_token_is_refused(bus: Bus) -> None:
    for name in ("a.b", "a b", "*", ">", ""):
        with pytest.raises(ValueError, match="operator"):
            await bus.commands().publish(b"advance", operator=name, id=new_id())


async def test_a_stream_carries_one_open_run(bus: Bus) -> None:
    runs = Runs(bus.log(RUNS))
    assert await runs.current() is None
    await runs.open_run("r1")
    with pytest.raises(RunOpen, match=r"'r2'.*'r1' is open"):
        await runs.open_run("r2")
    assert await Runs(bus.log(RUNS)).current() == "r1"


async def test_a_run_that_is_open_is_opened_again_without_a_trace(bus: Bus) -> None:
    await Runs(bus.log(RUNS)).open_run("r1")
    await Runs(bus.log(RUNS)).open_run("r1")
    assert len(await replayed(bus.log(RUNS))) == 1


async def test_an_ended_runs_name_is_never_used_again(bus: Bus) -> None:
    runs = Runs(bus.log(RUNS))
    await runs.open_run("r1")
    await runs.close_run("r1", "completed")
    assert await runs.current() is None
    with pytest.raises(RunEnded, match=r"'r1' has ended already \(completed\)"):
        await runs.open_run("r1")
    await runs.open_run("r2")
    await runs.close_run("r2", "aborted")
    with pytest.raises(RunEnded, match="r1"):
        await runs.open_run("r1")


async def test_a_run_is_closed_twice_only_with_the_same_end(bus: Bus) -> None:
    runs = Runs(bus.log(RUNS))
    await runs.open_run("r1")
    await runs.close_run("r1", "rolledback")
    await runs.close_run("r1", "rolledback")
    with pytest.raises(RunEnded, match="'completed': it has ended as 'rolledback'"):
        await runs.close_run("r1", "completed")
    assert len(await replayed(bus.log(RUNS))) == 2


async def test_a_run_that_was_never_opened_cannot_be_closed(bus: Bus) -> None:
    with pytest.raises(RunEnded, match="never opened"):
        await Runs(bus.log(RUNS)).close_run("r1", "completed")


async def test_of_two_daemons_with_two_runs_one_opens_its_own(bus: Bus) -> None:
    results = await asyncio.gather(Runs(bus.log(RUNS)).open_run("r1"), Runs(bus.log(RUNS)).open_run("r2"), return_exceptions=True)
    assert [type(result) for result in results if result is not None] == [RunOpen]
    assert len(await replayed(bus.log(RUNS))) == 1


async def test_a_runs_name_must_be_one_token(bus: Bus) -> None:
    for name in ("a.b", "a b", "a*", ">", "", "é"):
        with pytest.raises(ValueError, match="run"):
            await Runs(bus.log(RUNS)).open_run(name)
