"""Which tests `make test` leaves to `make test-all`: once more on PostgreSQL 15, of what its version makes no difference to."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from cutoverd.daemon.embedded.errors import NotInstalled
from cutoverd.daemon.embedded.postgres import bundled_bin_dir

BOTH, LEFT_OUT = "both_versions", "other_version"
OLDER, NEWER = "15", "18"


def mark_other_version(items: Iterable[pytest.Item]) -> None:
    """`other_version`, for `-m`: on 15, the same test runs on 18 as well, and no `both_versions` says that it matters.

    Where 18 is not installed, nothing is left out: 15 is what there is.
    """
    if not _is_installed():
        return
    known = {item.nodeid: item for item in items}
    for name, item in known.items():
        if not item.get_closest_marker(BOTH) and (twin := _on_newer(name)) != name and twin in known:
            item.add_marker(LEFT_OUT)


def _on_newer(name: str) -> str:
    """`test[15-2]` as `test[18-2]`; the name itself if it says no version."""
    test, bracket, given = name.partition("[")
    return (
        test + bracket + "-".join(NEWER if each == OLDER else each for each in given.rstrip("]").split("-")) + "]" * len(bracket)
    )


def _is_installed() -> bool:
    try:
        bundled_bin_dir()
    except NotInstalled:
        return False
    return True
