"""The flights service over HTTP. One program: its configuration says whether its queries know the old tables or the new.

GET  /health                          {"status": "ok", "version": "old", …}, or 503
GET  /flights/UA/1545?date=2013-01-01 {"flights": [{…}]}; without a date, all days
POST /notes                           {"airline", "number", "date", "body"} → 201 {"id"}
GET  /notes/4                         {"id", "airline", "number", "date", "body", "written"}
"""

from __future__ import annotations

from pathlib import Path

import web


def flights(asked: web.Asked) -> web.Answer:
    airline, number = asked.parts
    date = asked.parameters.get("date")
    return 200, {"flights": asked.database.rows("flights", airline=airline, number=int(number), date=date)}


def note(asked: web.Asked) -> web.Answer:
    [number] = asked.parts
    return 200, asked.database.row("note", web.Refused(404, f"there is no note {number}"), id=int(number))


def add_note(asked: web.Asked) -> web.Answer:
    values = {name: asked.body.get(name) for name in ("airline", "number", "date", "body")}
    if not isinstance(values["number"], int) or not values["date"]:
        raise web.Refused(400, f"a note has an airline, a number, a date and a body; this one has {sorted(asked.body)}")
    return 201, asked.database.row("add_note", web.Refused(400, f"there is no airline {values['airline']!r}"), **values)


ROUTES = [
    ("GET", r"/flights/([A-Z0-9]{2})/(\d{1,5})", flights),
    ("GET", r"/notes/(\d{1,9})", note),
    ("POST", "/notes", add_note),
]

if __name__ == "__main__":
    web.serve("flights", Path(__file__).parent, ROUTES)
