from __future__ import annotations

from collections.abc import Callable
from typing import Any

Ask = Callable[..., tuple[int, dict[str, Any]]]
READING = {"serial": "SN500001", "mono": 123456, "colour": 7}
TICKET = {"serial": "SN500001", "subject": "Smoke test", "priority": "low"}


def test_the_new_version_answers(ask: Ask) -> None:
    status, health = ask("/health")
    assert (status, health["status"], health["version"]) == (200, "ok", "new")
    assert health["machines"] >= 200


def test_a_machine_is_known_by_its_serial_number(ask: Ask) -> None:
    status, machine = ask("/machines/SN500001")
    assert (status, machine["serial"]) == (200, "SN500001")
    assert machine["status"] in ("running", "down", "stock", "retired", "unknown")
    assert machine["mono_pages"] >= 0


def test_a_customer_who_was_entered_twice_is_found_under_both_numbers(ask: Ask) -> None:
    assert ask("/customers/40")[1] == ask("/customers/33")[1]
    assert ask("/customers/33")[1]["id"] == 33


def test_the_first_reading_of_the_old_system_is_kept(ask: Ask) -> None:
    status, reading = ask("/readings/2")
    assert (status, reading["id"]) == (200, 2)
    assert "2010-01-04T08:00:00" <= reading["read_at"] < "2025-02-01"


def test_a_ticket_keeps_its_number_and_has_a_status_of_the_list(ask: Ask) -> None:
    status, ticket = ask("/tickets/1")
    assert (status, ticket["id"]) == (200, 1)
    assert ticket["status"] in ("open", "in_progress", "closed", "unknown")


def test_a_reading_can_be_written_and_takes_no_number_twice(ask: Ask) -> None:
    numbers = [ask("/readings", READING)[1]["id"] for _ in range(2)]
    assert numbers[0] < numbers[1]
    written = ask(f"/readings/{numbers[1]}")[1]
    assert {name: written[name] for name in READING} == READING


def test_a_ticket_can_be_written(ask: Ask) -> None:
    status, added = ask("/tickets", TICKET)
    assert status == 201
    written = ask(f"/tickets/{added['id']}")[1]
    assert {name: written[name] for name in TICKET} == TICKET
    assert written["status"] == "open"


def test_what_is_of_no_machine_is_refused(ask: Ask) -> None:
    status, refused = ask("/readings", READING | {"serial": "SN1"})
    assert (status, refused["reason"]) == (404, "there is no machine 'SN1'")
    assert ask("/machines/SN1")[0] == 404


def test_a_ticket_of_no_priority_is_refused(ask: Ask) -> None:
    assert ask("/tickets", TICKET | {"priority": "yesterday"})[0] == 400
