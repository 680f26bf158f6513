"""The printoptim service over HTTP. One program: its configuration says whether its queries know the old tables or the new.

GET  /health             {"status": "ok", "version": "old", "machines": 20000, …}, or 503
GET  /machines/SN500001  {"serial", "manufacturer", "model", "status", "customer", "mono_pages"}
GET  /customers/7        {"id", "name", "status", "address", "machines"}
POST /readings           {"serial", "mono", "colour"} → 201 {"id"}
GET  /readings/7         {"id", "serial", "read_at", "mono", "colour"}
POST /tickets            {"serial", "subject", "priority"} → 201 {"id"}
GET  /tickets/7          {"id", "serial", "subject", "status", "priority", "opened"}
"""

from __future__ import annotations

from pathlib import Path

import web

PRIORITIES = ("low", "normal", "high", "urgent")


def machine(asked: web.Asked) -> web.Answer:
    [serial] = asked.parts
    return 200, asked.database.row("machine", _no_machine(serial), serial=serial)


def customer(asked: web.Asked) -> web.Answer:
    [number] = asked.parts
    return 200, asked.database.row("customer", web.Refused(404, f"there is no customer {number}"), id=int(number))


def reading(asked: web.Asked) -> web.Answer:
    [number] = asked.parts
    return 200, asked.database.row("reading", web.Refused(404, f"there is no reading {number}"), id=int(number))


def ticket(asked: web.Asked) -> web.Answer:
    [number] = asked.parts
    return 200, asked.database.row("ticket", web.Refused(404, f"there is no ticket {number}"), id=int(number))


def add_reading(asked: web.Asked) -> web.Answer:
    values = {name: asked.body.get(name) for name in ("serial", "mono", "colour")}
    if not isinstance(values["mono"], int) or values["mono"] < 0:
        raise web.Refused(400, f"a reading has a serial and counts mono pages; this one has {sorted(asked.body)}")
    return 201, asked.database.row("add_reading", _no_machine(values["serial"]), **values)


def add_ticket(asked: web.Asked) -> web.Answer:
    values = {name: asked.body.get(name) for name in ("serial", "subject", "priority")}
    if not values["subject"] or values["priority"] not in PRIORITIES:
        raise web.Refused(400, f"a ticket has a serial, a subject and a priority of {', '.join(PRIORITIES)}")
    return 201, asked.database.row("add_ticket", _no_machine(values["serial"]), **values)


def _no_machine(serial: object) -> web.Refused:
    return web.Refused(404, f"there is no machine {serial!r}")


ROUTES = [
    ("GET", r"/machines/(SN\d{1,9})", machine),
    ("GET", r"/customers/(\d{1,9})", customer),
    ("GET", r"/readings/(\d{1,9})", reading),
    ("GET", r"/tickets/(\d{1,9})", ticket),
    ("POST", "/readings", add_reading),
    ("POST", "/tickets", add_ticket),
]

if __name__ == "__main__":
    web.serve("printoptim", Path(__file__).parent, ROUTES)
