"""The log of the process: structlog, which is imported when the first line is written.

It draws in rich and pygments, 0.12 s of CPU at each start, and most commands write no line.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import Any

from cutoverd.daemon.host.printable import printable

_pending: list[Callable[[], None]] = []


class Logger:
    """A logger of structlog, had each time that it is used: `log.warning("nats_error", error=…)`."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, method: str) -> Any:
        import structlog

        configure_now()
        return getattr(structlog.get_logger(self._name), method)


def configure_at_first_use(configure: Callable[[], None]) -> None:
    """How lines are written, said before there is one."""
    _pending[:] = [configure]


def configure_now() -> None:
    """For whoever changes a part of the configuration: what is pending would undo it later."""
    if _pending:
        _pending[0]()
        _pending.clear()


def make_printable(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A processor: text of others in a line, an error's say, cannot draw over it. What is no text is shown by its `repr`."""
    return {name: printable(value) if isinstance(value, str) else value for name, value in line.items()}
