from __future__ import annotations

from collections.abc import Callable
from typing import Any

Ask = Callable[..., tuple[int, dict[str, Any]]]


def test_the_new_version_answers(ask: Ask) -> None:
    status, health = ask("/health")
    assert (status, health["status"], health["version"], health["airlines"]) == (200, "ok", "new", 16)


def test_a_flight_is_what_it_was(ask: Ask) -> None:
    assert ask("/flights/UA/1545?date=2013-01-01")[1]["flights"] == [
        {
            "date": "2013-01-01",
            "airline": "UA",
            "airline_name": "United Air Lines Inc.",
            "number": 1545,
            "origin": "EWR",
            "destination": "IAH",
            "tail_number": "N14228",
            "scheduled_departure": "05:15",
            "departure_delay_minutes": 2,
            "arrival_delay_minutes": 11,
        }
    ]


def test_a_flight_to_an_inferred_airport_is_there(ask: Ask) -> None:
    [flight] = ask("/flights/B6/725?date=2013-01-01")[1]["flights"]
    assert (flight["origin"], flight["destination"]) == ("JFK", "BQN")


def test_a_flight_of_an_unregistered_aircraft_keeps_its_tail_number(ask: Ask) -> None:
    [flight] = ask("/flights/AA/301?date=2013-01-01")[1]["flights"]
    assert flight["tail_number"] == "N3ALAA"


def test_a_cancelled_flight_without_a_tail_number_is_there(ask: Ask) -> None:
    [flight] = ask("/flights/UA/623?date=2013-01-02")[1]["flights"]
    assert (flight["tail_number"], flight["departure_delay_minutes"], flight["arrival_delay_minutes"]) == (None, None, None)


def test_a_number_that_is_no_flight_has_none(ask: Ask) -> None:
    assert ask("/flights/UA/9999") == (200, {"flights": []})


def test_a_note_of_the_old_system_is_kept(ask: Ask) -> None:
    note = ask("/notes/3")[1]
    assert (note["airline"], note["number"], note["date"]) == ("B6", 725, "2013-01-01")
    assert note["body"] == 'Crew asked for "more coffee"; see backslash \\ and naïve café.'
    assert note["written"] == "2013-01-01T12:30:00.500000Z"


def test_a_note_can_be_written_and_takes_no_number_twice(ask: Ask) -> None:
    status, added = ask("/notes", {"airline": "UA", "number": 1545, "date": "2013-01-01", "body": "Smoke test."})
    assert status == 201
    assert added["id"] > 5  # five were given out by the old system, one of them withdrawn
    assert ask(f"/notes/{added['id']}")[1]["body"] == "Smoke test."


def test_a_note_for_no_airline_is_refused(ask: Ask) -> None:
    status, refused = ask("/notes", {"airline": "ZZ", "number": 1, "date": "2013-01-01", "body": "?"})
    assert (status, refused["reason"]) == (400, "there is no airline 'ZZ'")
