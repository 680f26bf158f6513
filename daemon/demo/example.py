"""What the demonstration can play: an example of deploy/examples, and what of it the stage has to know."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Name(StrEnum):
    """The folder of an example; its database has the same name."""

    PRINTOPTIM = "printoptim"
    FLIGHTS = "flights"


@dataclass(frozen=True)
class Example:
    """`ports` are the names that its plan wants ports for; `login` is what its application asks when it connects."""

    name: Name
    description: str
    ports: tuple[str, ...]
    login: str
    rows: int | None = None  # its loader makes as many; None: it has as many as it has
    written: tuple[str, ...] = ()  # the old tables that clients write to; without any there are no clients

    @property
    def database(self) -> str:
        return self.name.value

    @property
    def owner(self) -> str:
        return f"{self.name}_owner"

    @property
    def application(self) -> str:
        return f"{self.name}_app"

    @property
    def smoke(self) -> str:
        """The role of its service in test mode."""
        return f"{self.name}_smoke"


PRINTOPTIM = Example(
    name=Name.PRINTOPTIM,
    description="fifteen years of a print fleet",
    ports=("DOOR_PORT", "WORKER_PORT", "APP_PORT", "TEST_PORT", "METRICS_PORT"),
    login="SELECT current_database() || ' ' || count(*) FROM public.printer",
    rows=1_000_000,
    written=("reading", "ticket"),
)
FLIGHTS = Example(
    name=Name.FLIGHTS,
    description="a year of flights",
    ports=("DOOR_PORT", "BOARD_PORT", "APP_PORT", "TEST_PORT", "METRICS_PORT"),
    login="SELECT current_database() || ' ' || count(*) FROM public.airlines",
)
EXAMPLES = {example.name: example for example in (PRINTOPTIM, FLIGHTS)}
