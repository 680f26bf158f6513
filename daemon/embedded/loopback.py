"""Ports of the loopback interface."""

from __future__ import annotations

import random
import socket

HOST = "127.0.0.1"
# Below the range that the kernel gives to outgoing connections: else one of them may hold our port when a server starts again.
CANDIDATES = range(16_000, 32_000)


def free_port() -> int:
    """A port that nothing uses at this moment; whoever binds it may still lose a race."""
    while not is_free(port := random.choice(CANDIDATES)):  # noqa: S311 - which one does not matter
        pass
    return port


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True
