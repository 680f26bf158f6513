"""What `cutoverd check` prints, and what it makes of a bus that is not there."""

from __future__ import annotations

import pytest

from cutoverd.daemon.cli.check import _lines
from cutoverd.daemon.control import check
from cutoverd.daemon.control.check import CheckResult, Verdict
from cutoverd.daemon.embedded.errors import NotInstalled

TOGETHER = [
    "✖ precheck.check_server  a",
    "✖ precheck.check_server  b",
    "→ see to all of them",
    "✖ bus  c",
    "→ another",
]


def test_what_helps_is_said_once_behind_all_that_it_helps() -> None:
    """Found: the same sentence after each of twenty findings."""
    unfit = [CheckResult("precheck.check_server", Verdict.UNFIT, wrong, "see to all of them") for wrong in ("a", "b")]
    lines = list(_lines([*unfit, CheckResult("bus", Verdict.UNFIT, "c", "another")]))
    assert [line.strip() for line in lines] == TOGETHER


def test_what_helps_is_said_once_though_something_else_stands_between() -> None:
    """Found: only findings that followed each other shared it."""
    first, second = (CheckResult("precheck.check_server", Verdict.UNFIT, wrong, "see to all of them") for wrong in ("a", "b"))
    fit = [CheckResult("precheck.check_room", Verdict.FIT, each) for each in ("it is large", "it is larger")]
    lines = list(_lines([fit[0], first, CheckResult("bus", Verdict.UNFIT, "c", "another"), second, fit[1]]))
    said = [line.strip() for line in lines]
    assert said == ["✔ precheck.check_room  it is large", *TOGETHER, "✔ precheck.check_room  it is larger"]


def test_an_embedded_server_that_is_not_installed_is_unfit_and_not_merely_not_running(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise NotInstalled("nats-server is not installed")

    monkeypatch.setattr(check.nats_binary, "program", missing)
    assert check._of_embedded() == CheckResult("bus", Verdict.UNFIT, "nats-server is not installed")
