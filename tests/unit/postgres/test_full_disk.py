"""A drop on a full disk is tried again, and nothing else is."""

from __future__ import annotations

import psycopg
import pytest

from cutoverd.daemon.postgres.backup import full_disk
from cutoverd.daemon.postgres.backup.full_disk import TRIES, again_on_full_disk
from cutoverd.states.errors import StepError


class Drop:
    def __init__(self, fails: int, cause: Exception) -> None:
        self.fails, self.cause, self.tries = fails, cause, 0

    async def __call__(self) -> str:
        self.tries += 1
        if self.tries <= self.fails:
            raise StepError("PostgreSQL says no") from self.cause
        return "dropped"


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(full_disk, "PAUSE_SECONDS", 0)


@pytest.mark.parametrize("cause", [psycopg.errors.DiskFull(), psycopg.errors.InternalError_()], ids=repr)
async def test_room_is_given_back_though_the_first_statement_had_to_write_a_page(cause: Exception) -> None:
    """Found: the ledger could not be asked either, so that nothing was dropped and the disk stayed full."""
    drop = Drop(3, cause)
    assert (await again_on_full_disk(drop), drop.tries) == ("dropped", 4)


async def test_it_ends_by_the_last_error() -> None:
    drop = Drop(1000, psycopg.errors.DiskFull())
    with pytest.raises(StepError):
        await again_on_full_disk(drop)
    assert drop.tries == TRIES


async def test_any_other_error_is_raised_at_once() -> None:
    drop = Drop(1, psycopg.errors.InsufficientPrivilege())
    with pytest.raises(StepError):
        await again_on_full_disk(drop)
    assert drop.tries == 1
