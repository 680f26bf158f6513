"""The systems of a small night, as commands: `ctl.py VERB WHAT [VERSION]`. Their state, and what is asked of them, is in files.

VERB: start, stop, status (services), open, close, status (the door), health, smoke. Each line of witness.jsonl is one command
that was to change something, and the process that gave it. knobs/"VERB WHAT VERSION.json" makes the next such command
misbehave, once: {"skip": calls that go well before it, "pause": "before" | "after" (its effect), "seconds": of the pause,
"exit": code, "nothing": true (no effect), "always": true (not only once)}.
"""

import json
import os
import sys
import time
from pathlib import Path

HOME = Path(__file__).parent
SYSTEMS, KNOBS, WITNESS = HOME / "systems", HOME / "knobs", HOME / "witness.jsonl"
YES, NO = 0, 3
LONGEST_PAUSE_SECONDS = 60  # should nobody end it
CHANGES = {"start": True, "stop": False, "open": True, "close": False}


def main(verb: str, what: str, version: str = "") -> int:
    how = _knob(" ".join(filter(None, (verb, what, version))))
    if verb in CHANGES:
        return _change(verb, what, version, how)
    _pause(how)
    if how.get("exit") is not None:
        return how["exit"]
    return {"status": _status, "health": _health, "smoke": _smoke}[verb](what, version)


def _change(verb: str, what: str, version: str, how: dict) -> int:
    line = {"at": time.time(), "verb": verb, "what": what, "version": version, "by": os.getppid()}
    with WITNESS.open("a") as witness:
        witness.write(json.dumps(line) + "\n")
    _pause(how if how.get("pause") == "before" else {})
    if not how.get("nothing"):
        (_switch(what, version).touch if CHANGES[verb] else _switch(what, version).unlink)(**_FINE[CHANGES[verb]])
    _pause(how if how.get("pause") == "after" else {})
    return how.get("exit") or 0


_FINE = {True: {"exist_ok": True}, False: {"missing_ok": True}}


def _status(what: str, version: str) -> int:
    return YES if _switch(what, version).exists() else NO


def _health(what: str, version: str) -> int:
    """The door is open, and one version of each service runs."""
    running = [[_switch(service, version).exists() for version in ("old", "new")] for service in ("worker", "api")]
    return 0 if _switch("door", "").exists() and all(sum(each) == 1 for each in running) else 1


def _smoke(what: str, version: str) -> int:
    return _status(what, version)


def _switch(what: str, version: str) -> Path:
    return SYSTEMS / f"{what}.{version or 'door'}"


def _pause(how: dict) -> None:
    end = time.monotonic() + (how.get("seconds", LONGEST_PAUSE_SECONDS) if how.get("pause") else 0)
    while time.monotonic() < end:
        time.sleep(0.05)


def _knob(name: str) -> dict:
    """Taken by the one command that turns it."""
    file = KNOBS / f"{name}.json"
    if not file.exists():
        return {}
    how = json.loads(file.read_text())
    if how.get("skip"):
        file.write_text(json.dumps({**how, "skip": how["skip"] - 1}))
        return {}
    if not how.get("always"):
        file.unlink()
    return how


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
