"""Which tests `make test` leaves to `make test-all`."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
from support import versions


@dataclass
class Item:
    nodeid: str
    own: str = ""
    added: list[str] = field(default_factory=list)

    def get_closest_marker(self, name: str) -> object:
        return SimpleNamespace() if name == self.own else None

    def add_marker(self, name: str) -> None:
        self.added.append(name)


def left_out(*items: Item) -> list[str]:
    versions.mark_other_version(items)  # type: ignore[arg-type]
    return [item.nodeid for item in items if item.added == [versions.LEFT_OUT]]


@pytest.fixture
def _18_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "_is_installed", lambda: True)


@pytest.mark.usefixtures("_18_is_installed")
def test_the_one_on_15_is_left_out_where_the_same_runs_on_18() -> None:
    assert left_out(Item("t.py::a[15]"), Item("t.py::a[18]"), Item("t.py::b[15-2]"), Item("t.py::b[18-2]")) == [
        "t.py::a[15]",
        "t.py::b[15-2]",
    ]


@pytest.mark.usefixtures("_18_is_installed")
def test_what_runs_on_15_alone_or_depends_on_the_version_is_not() -> None:
    both = (Item("t.py::a[15]", own=versions.BOTH), Item("t.py::a[18]", own=versions.BOTH))
    assert left_out(*both, Item("t.py::b[15-3]"), Item("t.py::b[18-2]"), Item("t.py::c"), Item("t.py::d[18]")) == []


def test_where_18_is_not_installed_nothing_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "_is_installed", lambda: False)
    assert left_out(Item("t.py::a[15]"), Item("t.py::a[18]")) == []
